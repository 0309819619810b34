"""Figures of augmentation: many copies of one image, where crops begin, what it all costs.

As in `figures`, nothing is told by colour alone: rows carry names, points and bars their numbers.
"""

from typing import Any

import numpy as np
from keras import ops
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from shiftvit_utils.figures import PALETTE
from shiftvit_utils.image_figures import image_grid_figure
from shiftvit_utils.pixel_arrays import as_pixels

CROP_STYLES: tuple[dict[str, Any], ...] = (
    {"color": PALETTE["blue"], "marker": "s"},
    {"color": PALETTE["orange"], "marker": "o"},
)
DIRECT: dict[str, Any] = {"color": PALETTE["blue"], "marker": "o", "label": "called directly"}
COMPILED: dict[str, Any] = {
    "color": PALETTE["vermillion"],
    "marker": "D",
    "label": "compiled with XLA",
}


def augmentation_sheet_figure(rows, columns=None, title=None, image_inches=0.85):
    """One row for each augmentation, with many results of the same image side by side.

    Args:
        rows: dict from the name of a row to images, array or tensor `(N, H, W, 3)` with values
            0..255. What lies outside is drawn as 0 or 255.
        columns: int, images in a row at most; None draws all. Shorter rows end earlier.
        title: None, or a text above all.
        image_inches: float, width of one image on paper.

    Returns:
        `matplotlib.figure.Figure`. `figure.axes` holds the images row by row.

    Raises:
        TypeError, ValueError: there is no row, or one without images, or something else than
            images 0..255; the message names it.

    >>> figure = augmentation_sheet_figure({"flip": np.zeros((5, 8, 8, 3))}, columns=3)
    >>> len(figure.axes), figure.axes[0].get_ylabel()
    (3, 'flip')
    """
    if not rows or (columns is not None and columns < 1):
        raise ValueError(f"There must be a row and a column; got {len(rows)} and {columns!r}.")
    drawn = {name: _drawable(images, f"rows[{name!r}]")[:columns] for name, images in rows.items()}
    width = max(len(images) for images in drawn.values())
    size = (
        width * (image_inches + 0.06) + 1.6,
        len(drawn) * (image_inches + 0.06) + (0.4 if title else 0.1),
    )
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03))
    grid = figure.add_gridspec(len(drawn), width)
    for row, (name, images) in enumerate(drawn.items()):
        for column, image in enumerate(images):
            axes = figure.add_subplot(grid[row, column])
            axes.imshow(image, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if column == 0:
                axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9, labelpad=8)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def mixed_images_figure(images, labels, class_names, columns=None, image_inches=1.15):
    r"""Mixed images, each with what its label says: the weight of every class that takes part.

    Args:
        images: array or tensor `(N, H, W, 3)`, values 0..255.
        labels: array or tensor `(N, num_classes)`, weights of the classes.
        class_names: sequence of str, in label order.
        columns: int, images in a row; None puts all in one.
        image_inches: float, width of one image on paper.

    Returns:
        `matplotlib.figure.Figure` with one axes an image. Weights below 0.005 are left out.

    Raises:
        TypeError, ValueError: images and labels do not fit; the message names the argument.

    >>> figure = mixed_images_figure(np.zeros((1, 8, 8, 3)), [[0.75, 0.25]], ("cat", "dog"))
    >>> figure.axes[0].get_title()
    '0.75 cat\n0.25 dog'
    """
    pixels = _drawable(images, "images")
    weights = np.asarray(ops.convert_to_numpy(labels))
    if weights.shape != (len(pixels), len(class_names)):
        raise ValueError(
            f"labels must have the shape {(len(pixels), len(class_names))}, a weight for each "
            f"image and class name, got {weights.shape}."
        )
    texts = [_weights_text(weight, class_names) for weight in weights]
    lines = max(map(len, texts))  # as many for all, so that the first of a row stand side by side
    titles = ["\n".join(text + [""] * (lines - len(text))) for text in texts]
    columns = len(pixels) if columns is None else columns
    return image_grid_figure(pixels, titles, columns=columns, image_inches=image_inches)


def crop_offsets_figure(per_batch, per_image, largest):
    """Where the crops of one batch begin: cut by a layer with one offset, and with one an image.

    Args:
        per_batch: int array `(N, 2)`, top and left of each window, in pixels.
        per_image: the same for the other layer.
        largest: int, the largest offset that there may be, in pixels.

    Returns:
        `matplotlib.figure.Figure` with two axes. The area of a point grows with the number of
        images that begin there, which stands beside it.

    Raises:
        ValueError: offsets have another shape, or lie outside 0 to `largest`.

    >>> offsets = np.array([[1, 2], [1, 2]])
    >>> [text.get_text() for text in crop_offsets_figure(offsets, offsets, 4).axes[0].texts]
    ['2']
    """
    figure = Figure(figsize=(8.6, 4.2), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    names = ("one offset a batch", "one offset an image")
    for axes, offsets, name, style in zip(
        panels, (per_batch, per_image), names, CROP_STYLES, strict=True
    ):
        offsets = _offsets(offsets, name, largest)
        places, counts = np.unique(offsets, axis=0, return_counts=True)
        tops, lefts = places.T
        area = 60 + 900 * counts / len(offsets)
        axes.scatter(lefts, tops, s=area, alpha=0.75, **style)
        for top, left, count in zip(tops, lefts, counts, strict=True):
            axes.annotate(
                str(count),
                (left, top),
                ha="left",
                va="bottom",
                xytext=(9, 5) if count < len(offsets) else (18, 12),
                textcoords="offset points",
                fontsize=9,
            )
        plural = "place" if len(places) == 1 else "places"
        axes.set(title=f"{name}: {len(places)} {plural}", xlabel="left offset in pixels")
        axes.set(xticks=range(largest + 1), yticks=range(largest + 1))
        axes.set(xlim=(-0.6, largest + 0.6), ylim=(largest + 0.6, -0.6))  # row 0 on top
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
    panels[0].set(ylabel="top offset in pixels")
    return figure


def cost_figure(direct, compiled=None, title="Cost of augmentation"):
    """What each augmentation costs an image: a stem for each, with the number beside its end.

    Costs differ by factors of a thousand, so the axis is logarithmic: each grid line is ten times
    the one before.

    Args:
        direct: dict from the name of an augmentation to its cost in microseconds per image.
        compiled: None, or a dict of the same kind; names may be missing, as what cannot be
            compiled is.
        title: text above.

    Returns:
        `matplotlib.figure.Figure`, in the order of `direct`, from top to bottom.

    Raises:
        ValueError: there is no cost, one is not above 0, or `compiled` has a name of its own.

    >>> figure = cost_figure({"flip": 12.0, "crop": 150.0}, {"crop": 9.0})
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['12', '150', '9.0']
    """
    series = [(direct, DIRECT)] if not compiled else [(direct, DIRECT), (compiled, COMPILED)]
    names = list(direct)
    _check_costs(direct, compiled or {})
    figure = Figure(figsize=(8.6, 1.1 + 0.24 * len(series) * len(names)), layout="constrained")
    axes = figure.add_subplot()
    # The power of ten below the smallest cost: not the cost itself, or it would have no stem.
    everything = [cost for costs, _ in series for cost in costs.values()]
    lowest = 10 ** (np.ceil(np.log10(min(everything))) - 1)
    room = (max(everything) / lowest) ** 0.12  # for the number beside the longest stem
    sides = (0.0,) if len(series) == 1 else (-0.18, 0.18)  # two stems of a row lie side by side
    for (costs, style), side in zip(series, sides, strict=True):
        places = np.array([names.index(name) for name in costs]) + side
        values = np.array(list(costs.values()))
        dashed = ":" if style is COMPILED else "-"
        axes.hlines(places, lowest, values, color=style["color"], linestyle=dashed, linewidth=2)
        axes.plot(values, places, linestyle="none", markersize=6, **style)
        for value, place in zip(values, places, strict=True):
            axes.annotate(
                f"{value:#.2g}" if value < 9.95 else f"{value:,.0f}",
                (value, place),
                xytext=(7, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
            )
    axes.set_xscale("log")
    axes.set(xlabel="microseconds per image, logarithmic", title=title)
    axes.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.4, -0.6))
    axes.set_xlim(lowest, room * max(everything))
    axes.grid(alpha=0.3, axis="x")
    if compiled:
        figure.legend(loc="outside lower center", ncols=2)  # inside, it would cover numbers
    return figure


def _drawable(images, what):
    """Images of any backend and any number type as bytes."""
    array = np.asarray(ops.convert_to_numpy(images))
    if array.ndim != 4 or array.shape[-1] != 3:
        raise ValueError(f"{what} must have the shape (N, H, W, 3), got {array.shape}.")
    return as_pixels(np.clip(array, 0, 255), what)  # resampling and brightness overshoot


def _weights_text(weights, class_names):
    """A line for each class that takes part, the heaviest first."""
    heaviest_first = [c for c in np.argsort(-weights, kind="stable") if weights[c] >= 0.005]
    return [f"{weights[c]:.2f} {class_names[c]}" for c in heaviest_first]


def _offsets(offsets, name, largest):
    offsets = np.asarray(ops.convert_to_numpy(offsets))
    if offsets.ndim != 2 or offsets.shape[1] != 2 or len(offsets) == 0:
        raise ValueError(f"{name}: offsets must have the shape (N, 2), got {offsets.shape}.")
    if offsets.min() < 0 or offsets.max() > largest:
        raise ValueError(
            f"{name}: offsets must lie between 0 and largest={largest}, these go from "
            f"{offsets.min()} to {offsets.max()}."
        )
    return offsets


def _check_costs(direct, compiled):
    if not direct:
        raise ValueError("direct must hold the cost of at least one augmentation.")
    if unknown := sorted(set(compiled) - set(direct)):
        raise ValueError(f"compiled has a cost of {unknown[0]!r}, but direct has none.")
    for name, cost in [*direct.items(), *compiled.items()]:
        if not cost > 0:  # nan is not either
            raise ValueError(f"the cost of {name!r} must be above 0 microseconds, got {cost}.")

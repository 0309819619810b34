"""Figures of a data set: its images, its classes, its pixel values, and the order of its images.

`image_grid_figure` draws any images 0..255, so predictions, mistakes and augmented copies are shown
with it too. As in `figures`, nothing is told by colour alone.
"""

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from shiftvit_utils.figures import PALETTE
from shiftvit_utils.pixel_arrays import as_pixels

CHANNELS = {"red": PALETTE["vermillion"], "green": PALETTE["green"], "blue": PALETTE["blue"]}
SPLIT_COLORS = [PALETTE[name] for name in ("blue", "vermillion", "green", "purple", "orange")]


def image_grid_figure(
    images,
    titles=None,
    *,
    labels=None,
    class_names=None,
    columns=None,
    row_labels=None,
    title=None,
    image_inches=0.9,
):
    """Images side by side, row by row, each as its pixels are, without smoothing.

    Args:
        images: array `(N, H, W, 3)`, uint8 or float, values 0..255.
        titles: None, or N texts, one above each image; None among them leaves one out.
        labels: None, or int array `(N,)`; with `class_names`, another way to give the titles.
        class_names: sequence of str, which `labels` count through.
        columns: int, images in a row; None is 10, or N if that is fewer.
        row_labels: None, or one text a row, to its left.
        title: None, or a text above all.
        image_inches: float, width of one image on paper.

    Returns:
        `matplotlib.figure.Figure`. `figure.axes[k]` holds image k, for whoever wants to draw on it.

    Raises:
        TypeError, ValueError: images or texts do not fit; the message names the argument.

    >>> figure = image_grid_figure(np.zeros((3, 8, 8, 3), "uint8"), ["a", "b", "c"], columns=2)
    >>> [axes.get_title() for axes in figure.axes]
    ['a', 'b', 'c']
    """
    pixels = _pixels(images)
    count, height, width = pixels.shape[:3]
    columns = min(count, 10) if columns is None else columns
    if not isinstance(columns, int) or columns < 1:
        raise ValueError(f"columns must be an int >= 1, got {columns!r}.")
    rows = math.ceil(count / columns)
    titles = _titles(titles, labels, class_names, count)
    if row_labels is not None and len(row_labels) != rows:
        raise ValueError(
            f"row_labels has {len(row_labels)} texts, but {count} images in {columns} columns make "
            f"{rows} rows."
        )
    lines = max((text.count("\n") + 1 for text in titles if text), default=0)
    size = (
        columns * (image_inches + 0.08) + (0.9 if row_labels is not None else 0),
        rows * (image_inches * height / width + 0.08 + 0.17 * lines) + (0.35 if title else 0),
    )
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03))
    grid = figure.add_gridspec(rows, columns)
    for k, (image, text) in enumerate(zip(pixels, titles, strict=True)):
        axes = figure.add_subplot(grid[k // columns, k % columns])
        axes.imshow(image, interpolation="nearest")
        # At the top of its place: the layout measures room for titles from there.
        axes.set(xticks=[], yticks=[], anchor="N")
        axes.spines[:].set_visible(False)
        if text:
            axes.set_title(text, fontsize=9, pad=2)
        if row_labels is not None and k % columns == 0:
            axes.set_ylabel(
                row_labels[k // columns], rotation=0, ha="right", va="center", fontsize=9
            )
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def class_balance_figure(splits, class_names):
    """How many images each class has, in each split: bars with their counts.

    Splits of one size share their axis, so that the lengths of their bars can be compared.

    Args:
        splits: dict from the name of a split to its labels, int array `(N,)`.
        class_names: sequence of str, in label order.

    Returns:
        `matplotlib.figure.Figure` with one axes a split. The dotted line is the mean of the split.

    >>> figure = class_balance_figure({"training": [0, 0, 1], "test": [1]}, ("cat", "dog"))
    >>> [int(bar.get_width()) for bar in figure.axes[0].patches]
    [2, 1]
    """
    size = (0.8 + 2.8 * len(splits), 0.9 + 0.26 * len(class_names))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(splits), sharey=True, squeeze=False)[0]
    counts_of = [np.bincount(labels, minlength=len(class_names)) for labels in splits.values()]
    of_one_size = len({counts.sum() for counts in counts_of}) == 1
    for k, (axes, name, counts) in enumerate(zip(panels, splits, counts_of, strict=True)):
        longest = max(counts.max() for counts in counts_of) if of_one_size else counts.max()
        bars = axes.barh(class_names, counts, color=SPLIT_COLORS[k % len(SPLIT_COLORS)])
        axes.axvline(counts.mean(), color=PALETTE["grey"], linestyle=":")
        for count in axes.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=8):
            count.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.5})
        axes.set(title=f"{name}: {counts.sum():,}", xlabel="images", xlim=(0, 1.25 * longest))
        axes.locator_params(axis="x", nbins=3)
        axes.xaxis.set_major_formatter("{x:,.0f}")
    panels[0].invert_yaxis()  # the first class on top, as in a list; shared by all panels
    return figure


def pixel_statistics_figure(images):
    """The histogram of each colour channel, with its mean and one standard deviation around it.

    Args:
        images: uint8 array `(N, H, W, 3)`.

    Returns:
        `matplotlib.figure.Figure` with one axes a channel. Solid line: mean. Dashed lines: mean
        minus and plus one standard deviation, over all pixels of all images.

    >>> axes = pixel_statistics_figure(np.array([[[[0, 9, 9], [4, 9, 9]]]], "uint8")).axes[0]
    >>> axes.get_title()
    'red: mean 2.0, std 2.0'
    """
    values = np.arange(256)
    figure = Figure(figsize=(9.6, 2.9), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    for k, (axes, (name, color)) in enumerate(zip(panels, CHANNELS.items(), strict=True)):
        share = np.bincount(images[..., k].ravel(), minlength=256) / images[..., k].size
        # From the histogram: exact, and much faster than a pass over all pixels in floats.
        mean = (share * values).sum()
        std = np.sqrt((share * (values - mean) ** 2).sum())
        axes.stairs(100 * share, np.arange(257) - 0.5, fill=True, color=color, alpha=0.6)
        axes.axvline(mean, color="black")
        for edge in (mean - std, mean + std):
            axes.axvline(edge, color="black", linestyle="--", linewidth=1)
        axes.set(title=f"{name}: mean {mean:.1f}, std {std:.1f}", xlabel="pixel value")
        axes.set(xlim=(-1, 256), xticks=[0, 64, 128, 192, 255])
        axes.tick_params(axis="x", labelsize=8)
    panels[0].set(ylabel="% of pixels")
    return figure


def neighbour_jump_figure(images, block=8):
    """How much each column of pixels differs from the next: a test for JPEG compression.

    JPEG codes squares of 8x8 pixels one by one, so at their borders neighbours differ a little
    more. The columns that end a square are drawn darker and hatched.

    Args:
        images: uint8 array `(N, H, W, 3)`.
        block: int, side of the squares, in pixels.

    Returns:
        `matplotlib.figure.Figure`. Bar k is the mean absolute difference between the columns k
        and k + 1, counted from 1.

    >>> ramp = np.arange(0, 80, 10, dtype="uint8").reshape(1, 1, 8, 1).repeat(3, axis=-1)
    >>> float(neighbour_jump_figure(ramp).axes[0].patches[0].get_height())
    10.0
    """
    jumps = np.abs(np.diff(images.astype(np.int16), axis=2)).mean(axis=(0, 1, 3))  # (W - 1,)
    columns = np.arange(1, len(jumps) + 1)
    figure = Figure(figsize=(9.6, 2.6), layout="constrained")
    axes = figure.add_subplot()
    for at_border, name, color, hatch in (
        (False, f"within a {block}×{block} square", PALETTE["sky"], None),
        (True, "between two squares", PALETTE["blue"], "//"),
    ):
        k = columns[(columns % block == 0) == at_border]
        axes.bar(k, jumps[k - 1], label=name, color=color, hatch=hatch, edgecolor="white")
    axes.set(xlabel="between column k and k + 1", ylabel="mean difference")
    axes.set_xticks([1, *columns[columns % block == 0]])
    axes.set(ylim=(0, 1.3 * max(jumps.max(), 1)), title="Jumps between neighbouring pixels")
    axes.legend(ncols=2, fontsize=8)
    return figure


def order_figure(orders, labels, class_names):
    """Where each image stood before shuffling, against where it came out.

    Args:
        orders: dict from a name to an int array `(N,)`: `order[k]` is the former place of what
            comes out as number k.
        labels: int array `(N,)`, the class at each former place, sorted.
        class_names: sequence of str, in label order.

    Returns:
        `matplotlib.figure.Figure` with one axes an order.

    >>> labels = np.repeat([0, 1], 4)
    >>> len(order_figure({"as it was": np.arange(8)}, labels, ("cat", "dog")).axes)
    1
    """
    borders = np.searchsorted(labels, np.arange(len(class_names) + 1))
    figure = Figure(figsize=(0.9 + 3.9 * len(orders), 4.3), layout="constrained")
    panels = figure.subplots(1, len(orders), sharey=True, squeeze=False)[0]
    for k, (axes, (name, order)) in enumerate(zip(panels, orders.items(), strict=True)):
        out = np.arange(len(order))[:: max(1, len(order) // 4000)]  # more dots than that blur
        axes.scatter(out, np.asarray(order)[out], s=1.5, color=SPLIT_COLORS[k % len(SPLIT_COLORS)])
        axes.hlines(borders[1:-1], 0, len(order), color=PALETTE["grey"], linewidth=0.5)
        axes.set(title=name, xlabel="comes out as number", xlim=(0, len(order)))
        axes.locator_params(axis="x", nbins=3)
        axes.xaxis.set_major_formatter("{x:,.0f}")
    panels[0].set(ylim=(0, len(labels)), ylabel="stood before at (class)")
    panels[0].set_yticks((borders[:-1] + borders[1:]) / 2, class_names)
    return figure


def _pixels(images):
    images = np.asarray(images)
    if images.ndim != 4:
        raise ValueError(
            f"images has shape {images.shape}; expected (N, H, W, 3). One: image[None]."
        )
    if images.dtype.kind == "f":  # resizing may leave 255.00002
        inside = images.clip(0, 255)
        images = np.where(np.abs(images - inside) < 0.5, inside, images)
    return as_pixels(images, "images")


def _titles(titles, labels, class_names, count):
    if (labels is None) != (class_names is None) or (labels is not None and titles is not None):
        raise ValueError("Give titles, or labels together with class_names, or none of them.")
    if labels is not None:
        titles = [class_names[label] for label in labels]
    if titles is None:
        return [None] * count
    if len(titles) != count:
        what = "labels" if labels is not None else "titles"
        raise ValueError(f"{what} has {len(titles)} entries for {count} images.")
    return [None if text is None else str(text) for text in titles]

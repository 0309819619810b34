"""Figures of what a classifier says: images with their labels, confidences, and maps of attention.

Right and wrong are told by a mark (✓, ✗) and a frame as well as by colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from shiftvit_utils.figures import PALETTE
from shiftvit_utils.predictions import Predictions, softmax

RIGHT = {"mark": "✓", "color": PALETTE["blue"], "linestyle": "-"}
WRONG = {"mark": "✗", "color": PALETTE["vermillion"], "linestyle": "--"}


def confidence_figure(
    image: np.ndarray, logits: np.ndarray, class_names: Sequence[str], true_label: str | None = None
) -> Figure:
    """An image, its logits, and the probabilities that softmax makes of them, largest first.

    Args:
        image: uint8 `(H, W, 3)`.
        logits: float `(num_classes,)`; the ten largest are shown.
        class_names: one for each logit.
        true_label: the name to mark, or None where there is none.

    Returns:
        `matplotlib.figure.Figure` with three axes.
    """
    order = np.argsort(-logits, kind="stable")[:10]
    is_true = [class_names[k] == true_label for k in order]
    names = [
        f"{class_names[k]} {RIGHT['mark']}" if marked else class_names[k]
        for k, marked in zip(order, is_true, strict=True)
    ]
    figure = Figure(figsize=(9.6, 3.4), layout="constrained")
    axes = figure.subplots(1, 3, width_ratios=(1, 1.1, 1.1))
    _show(axes[0], image, f"true: {true_label}" if true_label else "")
    for panel, values, template in (
        (axes[1], logits[order], "{:.1f}"),
        (axes[2], 100 * softmax(logits)[order], "{:.1f} %"),
    ):
        bars = panel.barh(range(len(order)), values, color=PALETTE["blue"])
        for bar, marked in zip(bars, is_true, strict=True):
            if marked:
                bar.set_hatch("//")
                bar.set_edgecolor("white")
        panel.bar_label(bars, [template.format(value) for value in values], padding=3, fontsize=9)
        panel.set_yticks(range(len(order)), names)
        panel.invert_yaxis()
        panel.margins(x=0.22)
        panel.spines[["top", "right"]].set_visible(False)
    axes[1].axvline(0, color=PALETTE["grey"], linewidth=0.8)
    axes[1].set(title="logits")
    axes[2].set(title="probabilities (softmax)", xlabel="%")
    return figure


def prediction_grid_figure(
    images: np.ndarray | Sequence[np.ndarray],
    predictions: Predictions,
    true_labels: Sequence[str] | None = None,
    columns: int = 6,
) -> Figure:
    """Images with what the classifier says of them.

    Args:
        images: uint8 `(N, H, W, 3)`, or images of different sizes.
        predictions: of the same images, in the same order.
        true_labels: a name for each, to mark right and wrong; None writes the images' names.
        columns: int, images in a row.

    Returns:
        `matplotlib.figure.Figure`.
    """
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(1.65 * columns, 2.15 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for position, (axes, image, said) in enumerate(zip(grid, images, predictions, strict=False)):
        text = f"{said.label} {said.confidence:.0%}"
        if true_labels is None:
            _show(axes, image, f"{said.name}\n{text}")
            continue
        truth = true_labels[position]
        style = RIGHT if said.label == truth else WRONG
        _show(axes, image, f"{style['mark']} {text}\ntrue: {truth}")
        axes.title.set_color(style["color"])
        axes.axis("on")
        for spine in axes.spines.values():
            spine.set(color=style["color"], linestyle=style["linestyle"], linewidth=2.5)
    return figure


def original_and_seen_figure(
    originals: Sequence[np.ndarray], seen: Sequence[np.ndarray], titles: Sequence[str]
) -> Figure:
    """Upper row: pictures as files hold them. Lower row: what the network gets of them.

    Args:
        originals: uint8 images `(H, W, 3)`, of any sizes.
        seen: uint8 images, all of the network's size.
        titles: one for each.

    Returns:
        `matplotlib.figure.Figure`.
    """
    figure = Figure(figsize=(1.35 * len(titles), 3.5), layout="constrained")
    upper, lower = figure.subplots(2, len(titles), squeeze=False)
    for k, title in enumerate(titles):
        height, width = originals[k].shape[:2]
        _show(upper[k], originals[k], f"{title}\n{width}×{height}")
        _show(lower[k], seen[k], "")
    upper[0].set_ylabel("file")
    lower[0].set_ylabel("network sees")
    return figure


def occlusion_figure(
    image: np.ndarray, maps: Mapping[str, np.ndarray], label: str = "score falls by"
) -> Figure:
    """An image, and its occlusion maps beside it, each with a colour bar of its own.

    Args:
        image: uint8 `(H, W, 3)`.
        maps: title -> `(H, W)` as `occlusion_map` gives it.
        label: what the colour bars say: the meaning of the numbers and their unit.

    Returns:
        `matplotlib.figure.Figure`. A cross marks the middle of the place with the largest value of
        each map.
    """
    figure = Figure(figsize=(2.5 * (1 + len(maps)), 3.2), layout="constrained")
    first, *others = figure.subplots(1, 1 + len(maps))
    _show(first, image, "image")
    for axes, (title, values) in zip(others, maps.items(), strict=True):
        limit = float(np.abs(values).max()) or 1.0
        # Orange where the score needs the place, purple where it does better without.
        shown = _show(axes, values, title, cmap="PuOr_r", vmin=-limit, vmax=limit)
        row, column = _middle_of_largest(values)
        axes.plot(column, row, marker="x", color="black", markersize=8, markeredgewidth=2)
        figure.colorbar(shown, ax=axes, label=label, location="bottom", shrink=0.9)
    return figure


def _middle_of_largest(values: np.ndarray) -> tuple[float, float]:
    """The middle of the rectangle, from the first largest value on, that is as large all along."""
    row, column = np.unravel_index(values.argmax(), values.shape)
    is_largest = values == values.max()
    rows = np.append(is_largest[row:, column], False).argmin()  # until the first that is less
    columns = np.append(is_largest[row, column:], False).argmin()
    return float(row + (rows - 1) / 2), float(column + (columns - 1) / 2)


def _show(axes: Axes, image: np.ndarray, title: str, **style: Any) -> AxesImage:
    shown = axes.imshow(image, interpolation="nearest", **style)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=9)
    return shown

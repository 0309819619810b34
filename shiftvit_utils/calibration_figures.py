"""Figures of how far confidences can be trusted, and of how long an answer takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from shiftvit_utils.calibration import Reliability
from shiftvit_utils.figures import PALETTE


def reliability_figure(results: Mapping[str, Reliability]) -> Figure:
    """Accuracy against confidence; below, how many images each bar stands for.

    Args:
        results: title -> `Reliability`, one column each.

    Returns:
        `matplotlib.figure.Figure` with two axes for each result.
    """
    figure = Figure(figsize=(1.2 + 3.7 * len(results), 4.6), layout="constrained")
    grid = figure.subplots(2, len(results), squeeze=False, height_ratios=(3, 1), sharex=True)
    for (upper, lower), (title, result) in zip(grid.T, results.items(), strict=True):
        width = np.diff(result.edges)
        filled = result.counts > 0
        style = {"width": width[filled], "align": "edge", "edgecolor": "white"}
        upper.bar(result.edges[:-1][filled], result.accuracy[filled], color=PALETTE["sky"], **style)
        upper.plot([0, 1], [0, 1], color=PALETTE["grey"], linestyle="--", label="perfect")
        upper.plot(
            result.confidence[filled],
            result.accuracy[filled],
            color=PALETTE["blue"],
            linestyle="",
            marker="o",
            markersize=4,
            label="mean of a bar",
        )
        gap = result.expected_calibration_error
        upper.set(title=f"{title}\nECE {gap:.3f}", ylabel="accuracy", ylim=(0, 1.03), xlim=(0, 1))
        upper.legend(loc="upper left", fontsize=8)
        lower.bar(result.edges[:-1][filled], result.counts[filled], color=PALETTE["grey"], **style)
        lower.set(xlabel="confidence", ylabel="images")
    return figure


def speed_figure(batch_sizes: Sequence[int], milliseconds: Sequence[float]) -> Figure:
    """How long a call takes, and how many images a second that is, against the batch size.

    Args:
        batch_sizes: images in a call.
        milliseconds: what the call takes.

    Returns:
        `matplotlib.figure.Figure` with two axes.
    """
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    rates = [1000 * size / time for size, time in zip(batch_sizes, milliseconds, strict=True)]
    for axes, values, label in (
        (left, milliseconds, "ms a call"),
        (right, rates, "images a second"),
    ):
        axes.plot(batch_sizes, values, color=PALETTE["blue"], marker="o")
        axes.set_xscale("log", base=2)
        axes.set_xticks(batch_sizes, [str(size) for size in batch_sizes])
        for size, value in zip(batch_sizes, values, strict=True):
            text = f"{value:#.2g}" if value < 9.95 else f"{value:,.0f}"
            axes.annotate(text, (size, value), xytext=(0, 7), **_ABOVE)
        axes.margins(x=0.1)
        axes.set(xlabel="images in a call", ylabel=label, ylim=(0, 1.15 * max(values)))
        axes.grid(alpha=0.3)
    left.set_title("Latency: how long you wait")
    right.set_title("Throughput: how much gets done")
    return figure


_ABOVE = {"textcoords": "offset points", "ha": "center", "fontsize": 9}

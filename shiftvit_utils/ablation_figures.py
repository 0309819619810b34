"""The figure of an ablation: every run a dot, every point its mean, the baseline a line."""

import math

import numpy as np
from matplotlib.figure import Figure

from shiftvit_utils.ablation import ABLATIONS, summary
from shiftvit_utils.figures import PALETTE


def ablation_figure(rows, group):
    """Validation accuracy of the points of a group, one row each, from top to bottom.

    Args:
        rows: as `collect` or `read_csv` gives them.
        group: str, a group that has rows.

    Returns:
        `matplotlib.figure.Figure`. Dots are runs, one a seed. A thick tick is their mean, the bar
        around it is two standard errors to each side. The dotted line is the baseline's mean.
    """
    points = summary(rows, group)
    baseline = next(p.name for p in ABLATIONS if p.group == group and not p.changes)
    figure = Figure(figsize=(7.6, 0.9 + 0.42 * len(points)), layout="constrained")
    axes = figure.add_subplot()
    for height, point in enumerate(points):
        name = point["point"]
        values = [100 * r["val_top1"] for r in rows if (r["group"], r["point"]) == (group, name)]
        color = PALETTE["orange" if name == baseline else "blue"]
        mean = 100 * point["mean"]
        if len(values) > 1:
            error = 2 * np.std(values, ddof=1) / math.sqrt(len(values))
            axes.plot(
                [mean - error, mean + error], [height] * 2, color=color, linewidth=5, alpha=0.3
            )
        axes.plot(values, [height] * len(values), "o", color=color, markersize=5)
        axes.plot([mean], [height], "|", color=color, markersize=18, markeredgewidth=2.5)
        if name == baseline:
            axes.axvline(mean, color=color, linestyle=":", zorder=0)
    names = [p["point"] + (" (baseline)" if p["point"] == baseline else "") for p in points]
    axes.set_yticks(range(len(points)), names)
    axes.set(ylim=(len(points) - 0.5, -0.5), xlabel="validation accuracy (%)")
    axes.set_title(group[0].upper() + group[1:])
    axes.grid(alpha=0.3, axis="x")
    return figure

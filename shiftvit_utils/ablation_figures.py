"""The figures of an ablation: the runs of one group, and the differences that two sweeps found."""

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
    baseline = _baseline_name(group)
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


_SWEEP_STYLES = (("orange", "o"), ("blue", "s"), ("green", "^"), ("purple", "D"))


def compare_sweeps_figure(sweeps, groups):
    """What each point changes, in one sweep beside another.

    Args:
        sweeps: dict from a name to rows as `collect` or `read_csv` gives them; one to four sweeps
            with the same points.
        groups: list of str, groups that all sweeps have.

    Returns:
        `matplotlib.figure.Figure`. One row a point and one marker a sweep: the difference from the
        baseline of its own sweep, with a bar of two standard errors to each side.

    Raises:
        ValueError: if a group has no baseline in one of the sweeps, if these have not the same
            points in the same order, or if there are more sweeps than ways to draw them.
    """
    found = {
        name: [
            (group, point)
            for group in groups
            for point in summary(rows, group)
            if point["point"] != _baseline_name(group)
        ]
        for name, rows in sweeps.items()
    }
    labels = _labels(found)
    if len(found) > len(_SWEEP_STYLES):
        raise ValueError(f"{len(found)} sweeps are more than the {len(_SWEEP_STYLES)} it can draw.")
    figure = Figure(figsize=(7.6, 0.9 + 0.36 * len(labels)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color=PALETTE["grey"], linestyle=":", zorder=0)
    for index, (name, points) in enumerate(found.items()):
        color, marker = _SWEEP_STYLES[index]
        offset = 0.3 * (index - (len(found) - 1) / 2)
        axes.errorbar(
            [100 * point["difference"] for _, point in points],
            np.arange(len(points)) + offset,
            xerr=[200 * point["standard_error"] for _, point in points],
            fmt=marker,
            color=PALETTE[color],
            markersize=5,
            label=name,
        )
    axes.set_yticks(range(len(labels)), labels)
    axes.set(
        ylim=(len(labels) - 0.5, -0.5),
        xlabel="difference from the baseline (points of validation accuracy)",
    )
    axes.grid(alpha=0.3, axis="x")
    axes.legend(loc="best")
    return figure


def _labels(found):
    """The names of the rows, which must be those of every sweep."""
    first, *others = found
    rows = {
        name: [f"{group}: {point['point']}" for group, point in points]
        for name, points in found.items()
    }
    for other in others:
        if rows[other] != rows[first]:
            raise ValueError(
                f"{first!r} has the points {rows[first]}, {other!r} has {rows[other]}: compare "
                "sweeps of the same points in the same order."
            )
    return rows[first]


def _baseline_name(group):
    return next(point.name for point in ABLATIONS if point.group == group and not point.changes)

"""Figures that compare this library with the authors' code and the published Keras example."""

import numpy as np
from matplotlib.figure import Figure

from shiftvit_utils.figures import PALETTE


def difference_figure(differences, tolerance):
    """How far each place of a network is from a reference, on a logarithmic scale.

    Args:
        differences: dict of place -> {title of a network: relative difference > 0}.
        tolerance: float > 0, the difference that would be too much; drawn as a line.

    Returns:
        `matplotlib.figure.Figure`.

    >>> figure = difference_figure({"logits": {"batch norm": 1e-6}}, tolerance=1e-4)
    >>> figure.axes[0].get_yscale()
    'log'
    """
    figure = Figure(figsize=(7.6, 3.2), layout="constrained")
    axes = figure.add_subplot()
    styles = [("o", PALETTE["blue"]), ("s", PALETTE["orange"]), ("^", PALETTE["green"])]
    titles = list(next(iter(differences.values())))
    for title, (marker, color) in zip(titles, styles, strict=False):
        values = [place[title] for place in differences.values()]
        names = [place.replace("_", "\n") for place in differences]
        axes.plot(names, values, marker=marker, color=color, linestyle=":", label=title)
    axes.axhline(tolerance, color=PALETTE["grey"], linestyle="--", label="too much")
    axes.set(yscale="log", ylim=(1e-8, 10 * tolerance), ylabel="largest difference / largest value")
    axes.set_title("Difference from the authors' code, float32")
    axes.grid(alpha=0.3, axis="y")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def decay_figure(paths, learning_rate):
    """One weight under several optimizers, above the learning rate of each step.

    Args:
        paths: dict of label -> array `(steps + 1,)`, the weight before the first and after each
            step.
        learning_rate: array `(steps,)`.

    Returns:
        `matplotlib.figure.Figure` with two axes.
    """
    figure = Figure(figsize=(7.6, 4.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    styles = [("-", "sky", 5.0), ("--", "blue", 1.5), ("-.", "vermillion", 1.5)]
    for (label, path), (line, color, width) in zip(paths.items(), styles, strict=False):
        upper.plot(path, linestyle=line, color=PALETTE[color], linewidth=width, label=label)
    upper.set(ylabel="weight", title="One weight, the same gradients")
    upper.legend()
    upper.grid(alpha=0.3)
    lower.plot(np.arange(1, len(learning_rate) + 1), learning_rate, color=PALETTE["grey"])
    lower.set(xlabel="training step", ylabel="learning rate", ylim=(0, None))
    lower.grid(alpha=0.3)
    return figure

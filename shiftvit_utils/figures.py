"""Figures of the course: one palette, and a function for each that returns a matplotlib figure.

Colours are those of Okabe and Ito, which stay apart for colour-blind readers. No figure tells
anything by colour alone: lines differ in style, cells carry their numbers.
"""

import keras
import numpy as np
from matplotlib.figure import Figure

PALETTE = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "grey": "#5F5F5F",
}
# What a shift does to each group of channels, in the order of the channels. The arrow says the same
# as the colour, for readers who see no difference between the colours.
DIRECTION_STYLE = {
    "left": {"color": PALETTE["blue"], "arrow": "←"},
    "right": {"color": PALETTE["orange"], "arrow": "→"},
    "up": {"color": PALETTE["green"], "arrow": "↑"},
    "down": {"color": PALETTE["vermillion"], "arrow": "↓"},
    "unmoved": {"color": PALETTE["grey"], "arrow": "·"},
}
TRAINING = {"color": PALETTE["blue"], "linestyle": "-", "marker": "o", "markersize": 3}
VALIDATION = {"color": PALETTE["vermillion"], "linestyle": "--", "marker": "s", "markersize": 3}


def schedule_figure(schedule, total_steps, warmup_steps=None):
    """The learning rate at each step.

    Args:
        schedule: function from step to learning rate, such as `warmup_cosine` returns.
        total_steps: int >= 1.
        warmup_steps: None, or the step at which the warm-up ends, to mark it.

    Returns:
        `matplotlib.figure.Figure`.

    >>> from shiftvit_utils import warmup_cosine
    >>> len(schedule_figure(warmup_cosine(0.0, 1.0, 10, 100), 100, 10).axes)
    1
    """
    corners = [min(warmup_steps or 0, total_steps)]
    steps = np.unique([*np.linspace(0, total_steps, 111).astype(int), *corners])
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.add_subplot()
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        # Not called step by step: each time, JAX would compile its conditions anew.
        rates = keras.ops.convert_to_numpy(keras.ops.map(schedule, steps))
    else:
        rates = [float(schedule(int(step))) for step in steps]
    axes.plot(steps, rates, color=PALETTE["blue"])
    if warmup_steps:
        axes.axvline(warmup_steps, color=PALETTE["grey"], linestyle=":")
        axes.annotate(
            "end of warm-up",
            (warmup_steps, 0),
            xytext=(6, 6),
            textcoords="offset points",
            color=PALETTE["grey"],
        )
    axes.set(xlabel="training step", ylabel="learning rate", ylim=(0, None), title="Schedule")
    axes.grid(alpha=0.3)
    return figure


def history_figure(history, config=None):
    """Loss, and top-1 accuracy, of both splits over the epochs.

    Args:
        history: rows of `history.csv`, as `RunFolder.read_history` gives them.
        config: None, or what `RunFolder.read_config` gives: then the titles say by which labels
            training is measured, where they are not those of validation.

    Returns:
        `matplotlib.figure.Figure` with two axes.
    """
    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(9.6, 3.4), layout="constrained")
    loss_axes, accuracy_axes = figure.subplots(1, 2)
    for axes, name, scale in ((loss_axes, "loss", 1), (accuracy_axes, "top1", 100)):
        axes.plot(epochs, [scale * row[name] for row in history], label="training", **TRAINING)
        axes.plot(
            epochs,
            [scale * row[f"val_{name}"] for row in history],
            label="validation",
            **VALIDATION,
        )
        axes.set(xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    config = config or {}
    mixed = ["on mixed images"] * bool(config.get("mixup_alpha") or config.get("cutmix_alpha"))
    smoothed = ["with label smoothing"] * bool(config.get("label_smoothing"))
    loss_axes.set(title=_with_what("Loss", [*smoothed, *mixed]), ylabel="cross-entropy in nats")
    accuracy_axes.set(title=_with_what("Top-1 accuracy", mixed), ylabel="%")
    return figure


def _with_what(title, of_training):
    return f"{title} (training: {', '.join(of_training)})" if of_training else title


def confusion_figure(labels, predictions, class_names):
    """How often each true class (rows) is taken for which (columns), in percent of the row.

    Args:
        labels: int array `(N,)`.
        predictions: int array `(N,)`.
        class_names: sequence of str.

    Returns:
        `matplotlib.figure.Figure`.
    """
    from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

    matrix = confusion_matrix(labels, predictions, labels=range(len(class_names)), normalize="true")
    many = len(class_names) > 20  # numbers would not fit into the cells: then colours alone
    side = max(6.4, 0.16 * len(class_names))  # inches
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.add_subplot()
    display = ConfusionMatrixDisplay(100 * matrix, display_labels=class_names)
    display.plot(
        ax=axes,
        cmap="Blues",
        values_format=".0f",
        xticks_rotation=90 if many else 45,
        include_values=not many,
        colorbar=many,
    )
    axes.set(title="Test images: % of each true class", xlabel="predicted", ylabel="true")
    return figure

"""The figures hold the numbers that they were given."""

import math

import keras
import numpy as np
import pytest

from shiftvit_utils import figures, warmup_cosine

HISTORY = [
    {"epoch": 1, "loss": 2.0, "val_loss": 1.5, "top1": 0.25, "val_top1": 0.5},
    {"epoch": 2, "loss": 1.0, "val_loss": 1.0, "top1": 0.75, "val_top1": 0.625},
]


def test_schedule_is_drawn_at_every_step():
    figure = figures.schedule_figure(warmup_cosine(0.0, 1.0, 10, 110), 110, 10)
    steps, rates = figure.axes[0].lines[0].get_data()
    assert steps.tolist() == list(range(111))
    cosine = 0.5 * (1 + np.cos(np.pi * (steps - 10) / 100))
    np.testing.assert_allclose(rates, np.where(steps < 10, steps / 10, cosine), atol=1e-6)
    assert list(figure.axes[0].lines[1].get_xdata()) == [10, 10]


@pytest.mark.backend_free
def test_a_schedule_may_be_plain_python():
    figure = figures.schedule_figure(lambda step: math.sqrt(step) if step > 3 else 0.0, 110)
    steps, rates = figure.axes[0].lines[0].get_data()
    np.testing.assert_allclose(rates, np.where(steps > 3, np.sqrt(steps), 0))


if keras.backend.backend() == "jax":

    def test_jax_compiles_a_schedule_once():
        """It took a second for twenty steps, when each was a call of its own."""
        calls = []

        class Counted(keras.optimizers.schedules.CosineDecay):
            def __call__(self, step):
                calls.append(step)
                return super().__call__(step)

        figures.schedule_figure(Counted(1.0, 110), 110)
        assert 1 <= len(calls) <= 3


@pytest.mark.backend_free
def test_history_shows_both_splits_and_not_by_colour_alone():
    loss_axes, accuracy_axes = figures.history_figure(HISTORY).axes
    assert [list(line.get_ydata()) for line in loss_axes.lines] == [[2.0, 1.0], [1.5, 1.0]]
    assert [list(line.get_ydata()) for line in accuracy_axes.lines] == [[25, 75], [50, 62.5]]
    for axes in (loss_axes, accuracy_axes):
        assert len({line.get_linestyle() for line in axes.lines}) == 2
        assert [text.get_text() for text in axes.get_legend().texts] == ["training", "validation"]


@pytest.mark.backend_free
def test_confusion_counts_in_percent_of_each_true_class():
    labels, predictions = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 0, 0])
    axes = figures.confusion_figure(labels, predictions, ("cat", "dog")).axes[0]
    assert [text.get_text() for text in axes.texts] == ["75", "25", "100", "0"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("config", "loss", "accuracy"),
    [
        (None, "Loss", "Top-1 accuracy"),
        ({"label_smoothing": 0.1}, "Loss (training: with label smoothing)", "Top-1 accuracy"),
        (
            {"label_smoothing": 0.0, "cutmix_alpha": 1.0},
            "Loss (training: on mixed images)",
            "Top-1 accuracy (training: on mixed images)",
        ),
    ],
)
def test_titles_say_by_which_labels_training_is_measured(config, loss, accuracy):
    row = {"epoch": 1, "loss": 1.0, "top1": 0.5, "val_loss": 1.0, "val_top1": 0.5}
    axes = figures.history_figure([row], config).axes
    assert [one.get_title() for one in axes] == [loss, accuracy]


@pytest.mark.backend_free
def test_a_short_warm_up_ends_where_it_ends():
    figure = figures.schedule_figure(warmup_cosine(0.0, 1.0, 3, 10_000), 10_000, 3)
    steps, rates = figure.axes[0].lines[0].get_data()
    assert rates.max() == rates[list(steps).index(3)] == pytest.approx(1.0)


def test_many_classes_have_room():
    names = [f"class {k}" for k in range(100)]
    figure = figures.confusion_figure(np.arange(100), np.arange(100), names)
    assert figure.get_size_inches().min() >= 16
    assert not figure.axes[0].texts
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == names

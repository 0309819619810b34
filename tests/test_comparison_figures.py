"""What the figures of the comparison hold."""

import numpy as np
import pytest

from shiftvit_utils.comparison_figures import decay_figure, difference_figure

pytestmark = pytest.mark.backend_free


def test_differences_stand_at_their_places_and_below_the_line():
    differences = {"stage 1": {"a": 1e-7, "b": 3e-7}, "logits": {"a": 2e-6, "b": 4e-6}}
    axes = difference_figure(differences, tolerance=1e-4).axes[0]
    a, b, line = axes.get_lines()
    assert list(a.get_ydata()) == [1e-7, 2e-6]
    assert list(b.get_ydata()) == [3e-7, 4e-6]
    assert set(line.get_ydata()) == {1e-4}
    assert a.get_marker() != b.get_marker()  # not told by colour alone
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b", "too much"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["stage 1", "logits"]


def test_paths_and_the_learning_rate_share_their_steps():
    paths = {"TFA": np.linspace(1, 0, 6), "ours": np.linspace(1, 0.5, 6)}
    upper, lower = decay_figure(paths, np.arange(5.0)).axes
    lines = upper.get_lines()
    assert [line.get_label() for line in lines] == ["TFA", "ours"]
    np.testing.assert_array_equal(lines[1].get_ydata(), paths["ours"])
    assert lines[0].get_linestyle() != lines[1].get_linestyle()
    (rate,) = lower.get_lines()
    # The rate of step 1 stands where the weight has made its first step.
    assert rate.get_xdata().tolist() == [1, 2, 3, 4, 5]
    assert rate.get_ydata().tolist() == [0, 1, 2, 3, 4]

"""What the ablation's figures and its table of differences hold."""

import math

import numpy as np
import pytest

from shiftvit_utils.ablation import summary
from shiftvit_utils.ablation_figures import ablation_figure, compare_sweeps_figure

pytestmark = pytest.mark.backend_free

RUNS = {"1": [0.60, 0.62, 0.64], "2": [0.50, 0.51, 0.55], "3": [0.4]}
ROWS = [
    {"group": "pixels", "point": point, "seed": seed, "val_top1": value}
    for point, values in RUNS.items()
    for seed, value in enumerate(values)
] + [{"group": "other", "point": "1", "seed": 0, "val_top1": 0.1}]


def test_differences_come_with_their_standard_error():
    first, second, third = summary(ROWS, "pixels")
    assert first == {
        "point": "1",
        "is_baseline": True,
        "seeds": 3,
        "mean": pytest.approx(0.62),
        "difference": 0.0,
        "standard_error": 0.0,
    }
    assert second["difference"] == pytest.approx(0.52 - 0.62)
    # By hand: variances 0.0004 and 0.0007, each over three seeds.
    assert second["standard_error"] == pytest.approx(math.sqrt(0.0004 / 3 + 0.0007 / 3))
    assert math.isnan(third["standard_error"])
    assert not second["is_baseline"]


def test_a_group_without_its_baseline_is_refused():
    with pytest.raises(ValueError, match="No baseline for 'pixels'"):
        summary(ROWS[3:], "pixels")
    with pytest.raises(ValueError, match="No baseline for 'colour'"):
        summary(ROWS, "colour")


def test_every_run_is_a_dot_and_the_baseline_is_marked():
    axes = ablation_figure(ROWS, "pixels").axes[0]
    dots = [line for line in axes.get_lines() if line.get_marker() == "o"]
    assert [list(np.round(dot.get_xdata(), 6)) for dot in dots] == [
        [60, 62, 64], [50, 51, 55], [40]
    ]  # fmt: skip
    means = [float(line.get_xdata()[0]) for line in axes.get_lines() if line.get_marker() == "|"]
    assert means == pytest.approx([62, 52, 40])
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["1 (baseline)", "2", "3"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first point stands on top


def test_sweeps_are_compared_each_with_its_own_baseline():
    lower = [row | {"val_top1": row["val_top1"] / 2} for row in ROWS]
    axes = compare_sweeps_figure({"first": ROWS, "second": lower}, ["pixels"]).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["pixels: 2", "pixels: 3"]
    markers = {
        bars.get_label(): (bars[0].get_xdata(), bars[0].get_ydata()) for bars in axes.containers
    }
    assert markers["first"][0] == pytest.approx([-10, -22])
    assert markers["second"][0] == pytest.approx([-5, -11])
    for row in range(2):  # side by side in the row of their point
        assert row - 0.5 < markers["first"][1][row] < markers["second"][1][row] < row + 0.5
    first, _ = axes.containers[0].lines[2][0].get_segments()
    half = 2 * 100 * math.sqrt(0.0004 / 3 + 0.0007 / 3)
    assert first[:, 0] == pytest.approx([-10 - half, -10 + half])


def test_sweeps_with_other_groups_are_refused():
    with pytest.raises(ValueError, match="No baseline for 'pixels'"):
        compare_sweeps_figure({"first": ROWS, "second": ROWS[3:]}, ["pixels"])


def test_sweeps_of_other_points_are_refused():
    without_2 = [row for row in ROWS if row["point"] != "2"]
    with pytest.raises(ValueError, match=r"'first' has the points .*pixels: 2.*'second' has"):
        compare_sweeps_figure({"first": ROWS, "second": without_2}, ["pixels"])
    with pytest.raises(ValueError, match="9 sweeps are more than the"):
        compare_sweeps_figure({str(k): ROWS for k in range(9)}, ["pixels"])

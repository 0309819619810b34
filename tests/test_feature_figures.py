"""The figures hold the arrays and the numbers that they were given."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from shiftvit_utils import feature_figures as figures
from shiftvit_utils.figures import DIRECTION_STYLE
from shiftvit_utils.layer_costs import LayerCost

pytestmark = pytest.mark.backend_free


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_patches_become_tokens_row_by_row():
    image = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    left, right = figures.patches_figure(image, 2).axes
    assert sorted(texts(left), key=int) == [str(k) for k in range(1, 9)]
    assert texts(right) == ["1", "2", "5", "6", "3", "4", "7", "8"]
    # Each number has the same colour on both sides: matplotlib draws one cell for each text.
    where = {text.get_text(): text.get_position() for text in left.texts}
    assert where["7"] == (2, 1), "column 2, row 1"
    colors = [
        {t: to_hex(p.get_facecolor()) for t, p in zip(texts(a), cells(a), strict=True)}
        for a in (left, right)
    ]
    assert colors[0] == colors[1]
    assert len(set(colors[0].values())) == 2
    assert not {style["color"].lower() for style in DIRECTION_STYLE.values()} - {
        DIRECTION_STYLE["unmoved"]["color"].lower()
    } & set(colors[0].values())
    assert (left.get_title(), right.get_title()) == ("image 2×4×1", "tokens 1×2×4")


def cells(axes):
    return [p for p in axes.patches if (p.get_width(), p.get_height()) == (1, 1) and p.get_fill()]


def test_drop_path_shows_every_sample_and_its_mean():
    outputs = {"a": np.array([np.zeros((2, 2)), np.full((2, 2), 2.0)]), "b": np.ones((2, 2, 2))}
    axes = figures.drop_path_figure(outputs).axes
    assert [a.get_xlabel() for a in axes] == ["mean 0", "mean 2", "mean 1", "mean 1"]
    assert [a.get_ylabel() for a in axes] == ["a", "", "b", ""]
    for a, values in zip(axes, [*outputs["a"], *outputs["b"]], strict=True):
        np.testing.assert_array_equal(a.images[0].get_array(), values)
    assert len({a.images[0].get_clim() for a in axes}) == 1, "one scale for all"


def test_ramps_are_drawn_over_all_blocks():
    ramps = {"one": [[0.0, 0.1], [0.2]], "each": [[0.0, 0.2], [0.0]]}
    figure = figures.ramp_figure(ramps)
    axes = figure.axes[0]
    assert [list(line.get_ydata()) for line in axes.lines[:2]] == [[0, 0.1, 0.2], [0, 0.2, 0]]
    assert axes.lines[2].get_xdata()[0] == 2.5, "the end of the first stage"
    assert len({line.get_marker() for line in axes.lines[:2]}) == 2
    assert [text.get_text() for text in figure.legends[0].texts] == ["one", "each"]


def test_costs_are_shown_in_percent_with_merging_apart():
    costs = [
        LayerCost("stage_0/block_0/norm", (1,), (1,), 10, 0),
        LayerCost("stage_0/block_0/mlp/expand", (1,), (1,), 20, 60),
        LayerCost("stage_0/merging/reduction", (1,), (1,), 30, 20),
        LayerCost("average_pooling", (1,), (1,), 0, 0),
        LayerCost("head", (1,), (1,), 140, 20),
    ]
    left, right = figures.parameters_figure(costs).axes
    assert [bar.get_width() for bar in left.patches] == [15, 70, 15, 0]
    assert [bar.get_width() for bar in right.patches] == [60, 20, 20, 0]
    assert [bar.get_x() for bar in right.patches] == [0, 0, 60, 20]
    assert [bar.get_hatch() for bar in left.patches] == [None, None, "///", "///"]
    assert texts(left) == ["30.0 %", "70.0 %"]
    assert texts(right) == ["80.0 %", "20.0 %"]
    assert [t.get_text() for t in left.get_yticklabels()] == ["stage_0", "head"]
    assert left.get_title() == "200 parameters"
    for axes, widest in ((left, 70), (right, 80)):
        assert axes.get_xlim()[1] > widest + 10, "room for the label"


def test_growth_is_drawn_on_logarithmic_axes():
    axes = figures.growth_figure([1, 10], {"a": [1, 100], "b": [1, 10]}).axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [list(line.get_ydata()) for line in axes.lines] == [[1, 100], [1, 10]]
    assert len({line.get_linestyle() for line in axes.lines}) == 2


@pytest.mark.parametrize("channels", [10, 48])
def test_feature_maps_stand_under_the_direction_of_their_group(channels):
    image = np.full((8, 8, 3), 7, "uint8")
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(4, 4, channels)) * np.linspace(1, 2, channels)
    num_div = 5
    figure = figures.feature_maps_figure(image, {"first": maps, "second": maps[:2]}, num_div)
    picture, *axes = figure.axes
    np.testing.assert_array_equal(picture.images[0].get_array(), image)
    group = channels // num_div
    seen = {direction: set() for direction in DIRECTION_STYLE}
    for a in axes[: len(axes) // 2]:
        arrow, channel = a.get_title().split()
        np.testing.assert_array_equal(a.images[0].get_array(), maps[..., int(channel)])
        direction = [*DIRECTION_STYLE][min(int(channel) // group, 4)]
        assert arrow == DIRECTION_STYLE[direction]["arrow"]
        assert a.title.get_color() == DIRECTION_STYLE[direction]["color"]
        assert to_hex(a.spines["left"].get_edgecolor()) == to_hex(a.title.get_color())
        seen[direction].add(int(channel))
    spread = maps.std(axis=(0, 1))
    assert [len(found) for found in seen.values()] == [2] * 5
    for k, found in enumerate(seen.values()):
        rest = set(range(k * group, (k + 1) * group if k < 4 else channels)) - found
        assert not rest or max(spread[list(rest)]) <= min(spread[list(found)])
    assert axes[0].get_ylabel() == f"first\n4×4×{channels}"
    assert axes[len(axes) // 2].get_ylabel() == f"second\n2×4×{channels}"
    assert texts(axes[0]) == ["left"]


def test_drift_is_found_in_every_direction():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 9, 11, 10))
    moved = x + 0.3 * rng.normal(size=x.shape)
    # Two channels in each group; left, right, up, down, and two that stay.
    for k, (axis, pixels) in enumerate(((2, -1), (2, 2), (1, -3), (1, 1))):
        moved[..., 2 * k : 2 * k + 2] = np.roll(moved[..., 2 * k : 2 * k + 2], pixels, axis)
    drift = figures.channel_drift(x, moved, num_div=5, largest=4)
    assert list(drift) == list(DIRECTION_STYLE)
    assert [int(values.argmax()) - 4 for values in drift.values()] == [1, 2, 3, 1, 0]
    # Correlation of x with x plus noise of 0.3: 1 / sqrt(1 + 0.09).
    assert drift["right"].max() == pytest.approx(1 / np.sqrt(1.09), abs=0.02)
    axes = figures.drift_figure(drift).axes[0]
    for line, (direction, values) in zip(axes.lines, drift.items(), strict=True):
        assert line.get_color() == DIRECTION_STYLE[direction]["color"]
        assert line.get_xdata()[values.argmax()] == int(values.argmax()) - 4
        assert line.get_label() == f"{DIRECTION_STYLE[direction]['arrow']} {direction}"
    assert len({line.get_marker() for line in axes.lines}) == 5


def test_drift_where_no_channel_stays():
    x = np.random.default_rng(0).normal(size=(4, 9, 9, 8))
    drift = figures.channel_drift(x, x, num_div=4, largest=2)
    assert list(drift) == ["left", "right", "up", "down"]
    assert all(np.isfinite(values).all() for values in drift.values())
    assert len(figures.drift_figure(drift).axes[0].lines) == 4

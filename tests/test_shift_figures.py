"""The figures of 03 hold the arrays that they were given, and tell nothing by colour alone."""

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Rectangle
from numpy_oracles import shifted

from shiftvit_utils import shift_figures
from shiftvit_utils.figures import DIRECTION_STYLE

pytestmark = pytest.mark.backend_free


def cells(axes):
    """The tinted cells of a grid by (row, column)."""
    found = [patch for patch in axes.patches if isinstance(patch, Rectangle) and patch.get_fill()]
    return {(round(p.get_y() + 0.5), round(p.get_x() + 0.5)): p for p in found}


def hatched(axes):
    return {place for place, cell in cells(axes).items() if cell.get_hatch()}


def hue(color):
    """Which of red, green and blue is strongest, and which weakest."""
    return tuple(np.argsort(to_rgb(color)))


def test_number_maps_show_their_numbers_and_hatch_zeros():
    before = np.arange(1, 5).reshape(1, 4)
    after = np.array([[2, 3, 4, 0]])
    figure = shift_figures.number_maps_figure([before, after], ["a", "b"], [None, "left"])
    left, right = figure.axes
    assert [text.get_text() for text in left.texts] == ["1", "2", "3", "4"]
    assert [text.get_text() for text in right.texts] == ["2", "3", "4", "0"]
    assert (left.get_title(), right.get_title()) == ("a", "b")
    assert hatched(left) == set()
    assert hatched(right) == {(0, 3)}
    tints = [sum(cells(left)[0, column].get_facecolor()[:3]) for column in range(4)]
    assert tints == sorted(tints, reverse=True), "a larger number is darker"
    assert hue(cells(right)[0, 2].get_facecolor()) == hue(DIRECTION_STYLE["left"]["color"])


def test_number_maps_in_two_rows():
    figure = shift_figures.number_maps_figure([np.ones((2, 3))] * 4, list("abcd"), rows=2)
    assert [axes.get_title() for axes in figure.axes] == list("abcd")
    assert {axes.get_subplotspec().rowspan.start for axes in figure.axes} == {0, 1}


def test_channel_split_draws_every_channel_once():
    figure = shift_figures.channel_split_figure([("paper", 96, 8), ("53", 53, 4), ("all", 8, 2)])
    axes = figure.axes[0]
    widths = np.array([bar.get_width() for bar in axes.patches]).reshape(3, 5)
    np.testing.assert_allclose(widths[0], 100 * np.array([8, 8, 8, 8, 64]) / 96)
    np.testing.assert_allclose(widths[1], 100 * np.array([4, 4, 4, 4, 37]) / 53)
    np.testing.assert_allclose(widths[2], [25, 25, 25, 25, 0])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["paper", "53", "all"]
    texts = [text.get_text() for text in axes.texts]
    assert texts[:5] == ["← 8", "→ 8", "↑ 8", "↓ 8", "· 64"]
    colors = [to_hex(bar.get_facecolor()).upper() for bar in axes.patches[:5]]
    assert colors == [style["color"] for style in DIRECTION_STYLE.values()]


def test_impulse_shows_where_the_pixel_was_and_where_it_is():
    figure = shift_figures.impulse_figure(lambda x: shifted(x, 5), "the shift")
    impulses, ones = figure.axes[:5], figure.axes[5:]
    lit = {0: (2, 1), 1: (2, 3), 2: (1, 2), 3: (3, 2), 4: (2, 2)}
    for k, axes in enumerate(impulses):
        white = {place for place, cell in cells(axes).items() if min(cell.get_facecolor()) == 1}
        assert set(cells(axes)) - white == {lit[k]}
        assert [(t.get_position(), t.get_text()) for t in axes.texts] == [(lit[k][::-1], "1")]
        (was_here,) = [patch for patch in axes.patches if not patch.get_fill()]
        assert (was_here.get_y() + 0.5, was_here.get_x() + 0.5) == (2, 2)
        assert list(DIRECTION_STYLE.values())[k]["arrow"] in axes.get_title()
    assert hatched(ones[0]) == {(row, 4) for row in range(5)}
    assert hatched(ones[3]) == {(0, column) for column in range(5)}
    assert hatched(ones[4]) == set()


def test_shift_groups_show_before_after_and_the_difference():
    before = np.random.default_rng(0).normal(size=(1, 6, 7, 26))
    after = shifted(before, num_div=12)  # groups of 2, 18 stay
    figure = shift_figures.shift_groups_figure(before[0], after[0], num_div=12)
    images = np.array([axes.images[0].get_array() for axes in figure.axes]).reshape(3, 5, 6, 7)
    firsts = [0, 2, 4, 6, 8]
    np.testing.assert_array_equal(images[0], before[0][..., firsts].transpose(2, 0, 1))
    np.testing.assert_array_equal(images[1], after[0][..., firsts].transpose(2, 0, 1))
    np.testing.assert_array_equal(images[2], images[1] - images[0])
    titles = [axes.get_title() for axes in figure.axes[:5]]
    assert titles[0] == "← left\nchannels 0–1"
    assert titles[4] == "· unmoved\nchannels 8–25"
    frames = [to_hex(axes.spines["left"].get_edgecolor()).upper() for axes in figure.axes[:5]]
    assert frames == [style["color"] for style in DIRECTION_STYLE.values()]
    assert figure.axes[0].images[0].get_clim() == figure.axes[5].images[0].get_clim()


def test_differences_are_signed_around_white():
    image = np.arange(12.0).reshape(3, 4)
    figure = shift_figures.difference_figure(image, {"a": image - 4, "b": np.zeros((3, 4))})
    assert [axes.get_title() for axes in figure.axes[1:]] == ["a", "b"]
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), image - 4)
    for axes in figure.axes[1:]:
        shown = axes.images[0]
        low, high = shown.get_clim()
        assert low == -high < 0
        below, zero, above = (shown.cmap(shown.norm(value))[:3] for value in (low, 0.0, high))
        assert min(zero) > 0.95  # as good as white
        assert hue(below) != hue(above)


def test_reach_fills_what_is_reached_and_darkens_where_more_arrives():
    reached = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)
    share = np.array([[0, 1, 0], [1, 8, 1], [0, 1, 0]]) / 12
    figure = shift_figures.reach_figure([reached, share], ["L = 1", "how much"])
    for axes in figure.axes:
        assert hatched(axes) == {(0, 0), (0, 2), (2, 0), (2, 2)}
        assert [list(line.get_xydata()[0]) for line in axes.lines] == [[1, 1]]
    flat, shaded = (cells(axes) for axes in figure.axes)
    assert flat[0, 1].get_facecolor() == flat[1, 1].get_facecolor()
    assert sum(shaded[1, 1].get_facecolor()) < sum(shaded[0, 1].get_facecolor())


def test_groups_of_a_shift_where_no_channel_stays():
    before = np.random.default_rng(0).normal(size=(6, 6, 8))
    figure = shift_figures.shift_groups_figure(before, before, num_div=4)
    assert len(figure.axes) == 3 * 4

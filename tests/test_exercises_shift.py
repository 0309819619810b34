"""The checkers of 03: right answers pass, wrong ones get the hint that helps, nothing crashes."""

import numpy as np
import pytest
from checker_tests import not_yet
from numpy_oracles import shifted

from shiftvit_utils.exercises import shift as exercises
from shiftvit_utils.exercises.broken_shifts import BROKEN, right_shift

pytestmark = pytest.mark.backend_free

ROWS = ([3, 4, 5, 0, 0], [1, 2, 3, 4, 0], [0, 2, 3, 4, 5])
AXES = {"left": (2, -1), "right": (2, 1), "up": (1, -1), "down": (1, 1)}


def padded(x, num_div, shift_pixel, axes=AXES):
    """A right shift by padding, other than the slices of the solution."""
    parts, group = [], x.shape[-1] // num_div
    for k, (axis, sign) in enumerate(axes.values()):
        part = x[..., k * group : (k + 1) * group]
        width, size = [(0, 0)] * 4, x.shape[axis]
        width[axis] = (shift_pixel, shift_pixel)
        first = shift_pixel - sign * shift_pixel
        parts.append(np.pad(part, width).take(range(first, first + size), axis))
    return np.concatenate([*parts, x[..., 4 * group :]], axis=-1)


def slide(x, axis, pixels):
    y = np.roll(x, pixels, axis)
    lines = [slice(None)] * x.ndim
    lines[axis] = slice(0, pixels) if pixels > 0 else slice(pixels, None)
    y[tuple(lines)] = 0
    return y


def slide_as_in_the_stub(x, axis, pixels):
    size = x.shape[axis]
    kept = np.arange(pixels, size) if pixels > 0 else np.arange(0, size + pixels)
    padding = [(0, 0)] * x.ndim
    padding[axis] = (pixels, 0) if pixels > 0 else (0, -pixels)
    return np.pad(np.take(x, kept, axis), padding)


def moves(shift_function):
    """Against another right shift, on channels that leave a remainder and with two pixels."""
    x = np.arange(1.0, 1 + 5 * 6 * 14).reshape(1, 5, 6, 14)
    return np.array_equal(shift_function(x, 6, 2), shifted(x, 6, 2))


def moves_by_assert(shift_function):
    assert moves(shift_function)
    return True


def impulse_in_the_middle(shift_function):
    x = np.zeros((1, 5, 5, 5))
    x[0, 2, 2] = 1
    there = [(2, 1), (2, 3), (1, 2), (3, 2), (2, 2)]
    y = shift_function(x, 5, 1)
    return all(y[0, row, column, k] == 1 for k, (row, column) in enumerate(there))


def diamond(num_blocks, shift_pixel):
    rows = range(1, 2 * num_blocks + 2, 2)
    return sum(rows) + sum(rows[:-1]), 1 + 2 * num_blocks * shift_pixel


RIGHT = [
    (exercises.check_num_div, 8),
    (exercises.check_num_div, np.int64(8)),
    (exercises.check_rows, ROWS),
    (exercises.check_rows, [np.array(row, "float32") for row in ROWS]),
    (exercises.check_shift, padded),
    (exercises.check_shift, right_shift),
    (exercises.check_slide, slide),
    (exercises.check_moves, moves),
    (exercises.check_moves, moves_by_assert),
    (exercises.check_diamond, diamond),
    (exercises.check_diamond, lambda blocks, s: [len(cells(blocks)), 2 * blocks * s + 1]),
]


def cells(blocks):
    reached = {(0, 0)}
    for _ in range(blocks):
        reached |= {
            (r + a, c + b) for r, c in reached for a, b in ((0, 1), (0, -1), (1, 0), (-1, 0))
        }
    return reached


@pytest.mark.parametrize(("checker", "answer"), RIGHT)
def test_right_answers_pass(checker, answer, capsys):
    assert checker(answer), capsys.readouterr().out
    assert capsys.readouterr().out.startswith("✓")


def in_place(x, num_div, shift_pixel):
    x[:] = padded(x, num_div, shift_pixel)
    return x


def into_zeros(x, num_div, shift_pixel):
    y = np.zeros(x.shape)
    y[:] = padded(x, num_div, shift_pixel)
    return y


def slices_that_forget_zero(x, num_div, shift_pixel):
    y, group = padded(x, num_div, shift_pixel), x.shape[-1] // num_div
    y[:, :, :-shift_pixel, :group] = x[:, :, shift_pixel:, :group]
    return y


def ends_that_become_negative(x, num_div, shift_pixel):
    """`W - s` below 0 counts from the end, so the two sides differ in length."""
    y, group, width = padded(x, num_div, shift_pixel), x.shape[-1] // num_div, x.shape[2]
    y[:, :, : width - shift_pixel, :group] = x[:, :, shift_pixel:, :group]
    return y


def rolled_and_blanked(x, num_div, shift_pixel):
    y, group, width = padded(x, num_div, shift_pixel), x.shape[-1] // num_div, x.shape[2]
    y[..., :group] = np.roll(x[..., :group], -shift_pixel, axis=2)
    y[:, :, width - shift_pixel :, :group] = 0
    return y


def one_group_missing(x, num_div, shift_pixel):
    y, group = padded(x, num_div, shift_pixel), x.shape[-1] // num_div
    y[..., 3 * group : 4 * group] = x[..., 3 * group : 4 * group]
    return y


def half_mended(x, axis, pixels):
    return (slide if pixels > 0 else slide_as_in_the_stub)(x, axis, pixels)


def rows_with(k, row):
    return tuple(row if j == k else right for j, right in enumerate(ROWS))


def looks_for_the_impulse(shift):
    """Fails on a shift that goes so far that the impulse leaves the map."""
    x = np.zeros((1, 5, 5, 12), "float32")
    x[0, 2, 2] = 1
    moved = shift(x, 12, 2)
    return [tuple(np.argwhere(moved[0, ..., k])[0]) for k in range(4)] == [
        (2, 0),
        (2, 4),
        (0, 2),
        (4, 2),
    ]


def looks_for_one_impulse(shift):
    """Cannot be unpacked where a broken shift leaves nothing on the map."""
    x = np.zeros((1, 5, 5, 12), "float32")
    x[0, 2, 2] = 1
    moved = shift(x, 12, 2)
    places = []
    for k in range(4):
        [place] = np.argwhere(moved[0, ..., k])
        places.append(tuple(place))
    return places == [(2, 0), (2, 4), (0, 2), (4, 2)]


WRONG = [
    (exercises.check_num_div, ..., "not written yet"),
    (exercises.check_num_div, 12, "0.333 of the channels"),
    (exercises.check_num_div, 4, "1 of the channels, not 0.5"),
    (exercises.check_num_div, 2, "each of the four groups half"),
    (exercises.check_num_div, 0.5, "whole number, at least 4"),
    (exercises.check_num_div, "half", "must be a number, yours is str"),
    (exercises.check_rows, (..., ..., ...), "not written yet"),
    (exercises.check_rows, rows_with(2, ...), "not written yet"),
    (exercises.check_rows, [1, 2, 3, 4, 5], "give three rows"),
    (exercises.check_rows, None, "give three rows"),
    (exercises.check_rows, rows_with(0, [3, 4, 5]), "left_by_two must have the shape (5,)"),
    (exercises.check_rows, rows_with(0, [0, 0, 1, 2, 3]), "a shift to the right"),
    (exercises.check_rows, rows_with(0, [3, 4, 5, 1, 2]), "what leaves is lost"),
    (exercises.check_rows, rows_with(0, [1, 2, 3, 0, 0]), "only blanks the border"),
    (exercises.check_rows, rows_with(1, [1, 2, 3, 4, 5]), "lost for good"),
    (exercises.check_rows, rows_with(1, [0, 2, 3, 4, 5]), "left first and then right"),
    (exercises.check_rows, rows_with(2, [0, 1, 2, 3, 4]), "that is a real shift"),
    (exercises.check_rows, rows_with(2, [9, 9, 9, 9, 9]), "which number stands here"),
    (exercises.check_shift, not_yet, "not written yet"),
    (exercises.check_shift, 3, "give the function itself, not a int"),
    (exercises.check_shift, lambda *_: None, "Did you forget `return`"),
    (exercises.check_shift, lambda x, *_: x[0], "must have the shape (2, 5, 4, 14)"),
    (exercises.check_shift, in_place, "you wrote into the input"),
    (exercises.check_shift, into_zeros, "your result float64"),
    (exercises.check_shift, slices_that_forget_zero, "x[:-0] is empty"),
    (exercises.check_shift, ends_that_become_negative, "take max(W - s, 0). Your code stopped"),
    (exercises.check_shift, rolled_and_blanked, "take max(W - s, 0)"),
    (exercises.check_shift, one_group_missing, "channel 6 (goes down) is wrong"),
    (
        exercises.check_shift,
        lambda x, n, s: padded(x, n, s, dict(reversed(AXES.items()))),
        "channel 0 (goes left) is wrong",
    ),
    *((exercises.check_shift, broken, hint) for broken, hint in BROKEN.values()),
    (exercises.check_slide, not_yet, "not written yet"),
    (exercises.check_slide, slide_as_in_the_stub, "still nothing moves"),
    (exercises.check_slide, half_mended, "one half is mended. For pixels < 0, still nothing"),
    (exercises.check_slide, lambda x, axis, pixels: slide(x, axis, -pixels), "the wrong way"),
    (exercises.check_slide, lambda x, axis, pixels: slide(x, axis, 2 * pixels), "too far"),
    (exercises.check_slide, lambda x, axis, pixels: np.roll(x, pixels, axis), "Zeros must come"),
    (exercises.check_slide, lambda x, axis, pixels: x, "the result is the input"),
    (exercises.check_slide, lambda x, axis, pixels: x[:, 1:], "cut off as many lines as you pad"),
    (exercises.check_slide, lambda x, axis, pixels: 7 * x, "should give [[0, 1"),
    (exercises.check_moves, not_yet, "not written yet"),
    (exercises.check_moves, lambda shift: True, "accepts everything"),
    (exercises.check_moves, lambda shift: False, "rejects a shift that is correct"),
    (exercises.check_moves, lambda shift: None, "Did you forget `return`"),
    (exercises.check_moves, lambda shift: shift(np.zeros((4, 4))), "needs (N, H, W, C)"),
    (exercises.check_moves, looks_for_the_impulse, "stops with an IndexError"),
    (exercises.check_moves, looks_for_one_impulse, "stops with a ValueError"),
    (exercises.check_moves, impulse_in_the_middle, "come in on the other side slips through"),
    (exercises.check_diamond, not_yet, "not written yet"),
    (exercises.check_diamond, lambda L, s: 5, "must return two numbers"),
    (exercises.check_diamond, lambda L, s: ("five", 3), "must be a number, yours is str"),
    (exercises.check_diamond, lambda L, s: ((2 * L + 1) ** 2, 2 * L + 1), "full square"),
    (
        exercises.check_diamond,
        lambda L, s: ((2 * L * s + 1) ** 2, 2 * L * s + 1),
        "full square. Its corners",
    ),
    (exercises.check_diamond, lambda L, s: (4 * L + 1, 2 * L + 1), "a plus sign"),
    (exercises.check_diamond, lambda L, s: (2 * L * L + 2 * L, 2 * L + 1), "the pixel itself"),
    (exercises.check_diamond, lambda L, s: diamond(L + 1, s), "one block more"),
    (exercises.check_diamond, lambda L, s: diamond(abs(L - 1), s), "one block less"),
    (exercises.check_diamond, lambda L, s: (diamond(L * s, 1)[0], 2 * L * s + 1), "leave holes"),
    (exercises.check_diamond, lambda L, s: (diamond(L, s)[0], 2 * L + 1), "shift_pixel pixels far"),
    (exercises.check_diamond, lambda L, s: (diamond(L, s)[0], L * s), "Both sides"),
]


@pytest.mark.parametrize(("checker", "answer", "hint"), WRONG)
def test_wrong_answers_get_the_right_hint(checker, answer, hint, capsys):
    assert not checker(answer)
    line = capsys.readouterr().out
    assert hint.replace("*", "") in line.replace("*", "")
    assert line.count("\n") == 1


@pytest.mark.parametrize("name", BROKEN)
def test_a_test_that_misses_one_broken_shift_is_told_which(name, capsys):
    broken = BROKEN[name][0]

    def misses_it(shift_function):
        x = np.arange(1.0, 1 + 5 * 6 * 14).reshape(1, 5, 6, 14)
        return moves(shift_function) or np.array_equal(shift_function(x, 6, 2), broken(x, 6, 2))

    assert not exercises.check_moves(misses_it)
    assert f"one that {name} slips through." in capsys.readouterr().out


def test_the_broken_shifts_differ_from_the_right_one_and_from_each_other():
    x = np.arange(1, 1 + 2 * 5 * 6 * 14, dtype="float32").reshape(2, 5, 6, 14)
    np.testing.assert_array_equal(right_shift(x, 6, 2), shifted(x, 6, 2))
    results = {broken(x, 6, 2).tobytes() for broken, _ in BROKEN.values()}
    assert len(results | {shifted(x, 6, 2).tobytes()}) == len(BROKEN) + 1
    assert all(broken(x, 6, 2).dtype == x.dtype for broken, _ in BROKEN.values())


CHECKERS = sorted({checker for checker, _ in RIGHT}, key=lambda checker: checker.__name__)
GARBAGE = [
    None, "text", [], {}, float("nan"), object(), np.zeros(0), [[1], [2, 3]], 1 + 2j, (None,) * 3,
    len, lambda: None, lambda *_: None, lambda *_: "text", lambda *_: object(), lambda *_: 1 / 0,
    lambda *_: np.zeros((1, 2)), lambda *_: (np.nan, np.inf), lambda *_: iter([1]), dict, str,
]  # fmt: skip


@pytest.mark.parametrize("checker", CHECKERS, ids=lambda checker: checker.__name__)
def test_whatever_comes_is_answered_by_one_sentence(checker, capsys):
    for answer in GARBAGE:
        assert not checker(answer)
        line = capsys.readouterr().out
        assert line.startswith(("✗", "○"))
        assert "Traceback" not in line

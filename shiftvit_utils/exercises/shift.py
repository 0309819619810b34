"""Checkers for the exercises of `03_shift`; the right and the broken shifts: `broken_shifts`."""

import numpy as np

from shiftvit_utils.exercises.broken_shifts import BROKEN, NAMES, right_shift
from shiftvit_utils.exercises.checking import (
    WrongAnswerError,
    array,
    checker,
    forgot_return,
    number,
    require_function,
)

# Where a slice with `-shift_pixel` goes wrong.
MINUS_ZERO = "In NumPy x[:-0] is empty, and x[-0:] is the whole of x."
TOO_FAR = (
    "shift_pixel may be larger than the image: then every moving channel is all zeros. A slice's "
    "end W - s below 0 counts from the end of the row: take max(W - s, 0)."
)


@checker
def check_num_div(answer):
    """03.1: the `num_div` that moves half of the channels of every feature map.

    Args:
        answer: int.

    Returns:
        bool, after printing one line.
    """
    num_div = number(answer, "num_div")
    if num_div != 8 and num_div >= 4 and num_div == int(num_div):
        raise WrongAnswerError(
            f"with num_div={num_div:g}, four groups of one {num_div:g}th each move: that is "
            f"{4 / num_div:.3g} of the channels, not 0.5."
        )
    if num_div == 2:
        raise WrongAnswerError(
            "2 would make each of the *four* groups half of the channels. What must one group be?"
        )
    if num_div != 8:
        raise WrongAnswerError(
            f"{num_div:g} cannot be: num_div is a whole number, at least 4. The four groups "
            "together are 4 / num_div of the channels."
        )


@checker
def check_rows(answer):
    """03.2: three rows of five numbers, made from `[1 2 3 4 5]` by hand.

    Args:
        answer: `(left by two pixels, right by one and then left by one, the published example's
            "right")`.

    Returns:
        bool, after printing one line.
    """
    if isinstance(answer, tuple | list) and any(row is Ellipsis for row in answer):
        raise NotImplementedError
    if not isinstance(answer, tuple | list) or len(answer) != 3:
        raise WrongAnswerError("give three rows: (left_by_two, there_and_back, published_right).")
    names = ("left_by_two", "there_and_back", "published_right")
    rows = {name: array(row, name, (5,)) for name, row in zip(names, answer, strict=True)}
    right = {
        "left_by_two": [3, 4, 5, 0, 0],
        "there_and_back": [1, 2, 3, 4, 0],
        "published_right": [0, 2, 3, 4, 5],
    }
    wrong = {
        "left_by_two": [
            ([0, 0, 1, 2, 3], "that is a shift to the right."),
            ([3, 4, 5, 1, 2], "what leaves is lost: zeros come in, not the 1 and the 2."),
            ([2, 3, 4, 5, 0], "that is one pixel; two were asked for."),
            ([1, 2, 3, 0, 0], "that only blanks the border: the 1 must leave, the 3 come first."),
        ],
        "there_and_back": [
            ([1, 2, 3, 4, 5], "what leaves the row on the way there is lost for good."),
            ([0, 2, 3, 4, 5], "that is left first and then right. It was right first: who leaves?"),
            ([0, 1, 2, 3, 4], "that is only the way there."),
        ],
        "published_right": [
            (
                [0, 1, 2, 3, 4],
                "that is a real shift. The example puts the piece back in its place.",
            ),
            ([1, 2, 3, 4, 0], "that is its 'left'. Its 'right' cuts off the first column."),
            ([1, 2, 3, 4, 5], "one column is blanked."),
        ],
    }
    for name, row in rows.items():
        for values, hint in wrong[name]:
            if np.array_equal(row, values):
                raise WrongAnswerError(f"{name}: {hint}")
        if not np.array_equal(row, right[name]):
            raise WrongAnswerError(
                f"{name}: {row.tolist()} is not it. Write the positions 0 to 4 above the row, and "
                "ask of each: which number stands here now?"
            )


@checker
def check_shift(function):
    """03.3: `my_shift(x, num_div, shift_pixel)` in NumPy.

    Args:
        function: the learner's function; returns an array like `x`.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    for shape, num_div, pixels, dtype in (
        ((2, 5, 4, 14), 6, 1, "float32"),
        ((1, 6, 7, 14), 6, 2, "float32"),
        ((1, 4, 4, 9), 4, 1, "int32"),
        ((1, 3, 4, 8), 4, 0, "float32"),
        ((1, 3, 4, 8), 4, 9, "float32"),
        ((1, 3, 4, 8), 4, 5, "float32"),  # W - s = -1 keeps all but one where 9 keeps nothing
    ):
        x = np.arange(1, 1 + np.prod(shape), dtype=dtype).reshape(shape)  # no zero in it
        what = f"my_shift(x, num_div={num_div}, shift_pixel={pixels}) for x of shape {shape}"
        given = x.copy()
        try:
            result = function(given, num_div, pixels)
        except ValueError as error:
            if pixels > max(shape[1:3]):
                raise WrongAnswerError(f"{TOO_FAR} Your code stopped with: {error}.") from None
            if pixels != 0:
                raise
            raise WrongAnswerError(
                f"shift_pixel=0 must change nothing, but your code stopped with: {error}. "
                f"{MINUS_ZERO}"
            ) from None
        if not np.array_equal(given, x):
            raise WrongAnswerError("you wrote into the input x. Work on a copy: y = x.copy().")
        got = array(result, f"What {what} returns", shape)
        if got.dtype != x.dtype:
            raise WrongAnswerError(
                f"x is {x.dtype}, your result {got.dtype}. np.zeros alone makes float64: take "
                "np.zeros_like(x) or x.copy()."
            )
        expected = right_shift(x, num_div, pixels)
        if np.array_equal(got, expected):
            continue
        if pixels > max(shape[1:3]):
            raise WrongAnswerError(TOO_FAR)
        for broken, hint in BROKEN.values():
            if np.array_equal(got, broken(x, num_div, pixels)):
                raise WrongAnswerError(hint)
        _explain_shift(x, got, expected, num_div, pixels)


def _explain_shift(x, got, expected, num_div, pixels):
    """Raises with the first group that is wrong."""
    if pixels == 0:
        raise WrongAnswerError(f"shift_pixel=0 must change nothing. {MINUS_ZERO}")
    group = x.shape[-1] // num_div
    channel = int(np.argwhere((got != expected).any(axis=(0, 1, 2)))[0, 0])
    name = NAMES[channel // group] if channel < 4 * group else "no direction: it stays"
    raise WrongAnswerError(
        f"with num_div={num_div}, shift_pixel={pixels} and {x.shape[-1]} channels, channel "
        f"{channel} (goes {name}) is wrong. Its first image should be "
        f"{expected[0, :, :, channel].astype(int).tolist()}, yours is "
        f"{got[0, :, :, channel].astype(int).tolist()}."
    )


@checker
def check_slide(function):
    """03.4: the mended `slide(x, axis, pixels)`.

    Args:
        function: the learner's function; returns an array like `x`.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    x = np.arange(1.0, 1 + 2 * 5 * 6 * 2, dtype="float32").reshape(2, 5, 6, 2)
    kinds = {}
    for axis, pixels in ((2, 1), (2, -1), (1, 1), (1, -1), (2, 2), (1, -2)):
        result = function(x.copy(), axis, pixels)
        got = array(result, f"slide(x, axis={axis}, pixels={pixels})")
        if got.shape != x.shape:
            raise WrongAnswerError(
                f"slide(x, axis={axis}, pixels={pixels}) must keep the shape {x.shape}, yours has "
                f"{got.shape}: cut off as many lines as you pad."
            )
        kinds[axis, pixels] = _kind_of_slide(x, got, axis, pixels)
    if set(kinds.values()) == {"right"}:
        return
    wrong = {key: kind for key, kind in kinds.items() if kind != "right"}
    (axis, pixels), kind = next(iter(wrong.items()))
    hints = {
        "still": "still nothing moves. Follow the row 1 2 3 4 with pixels = 1: which numbers are "
        "kept, and where do they land?",
        "unchanged": "the result is the input: cut lines off at one end, pad at the other.",
        "opposite": "it moves the wrong way: pixels > 0 means towards higher indices, so the zeros "
        "come in at the front.",
        "too far": "it moves too far: cut and padding together must move by `pixels`, not twice.",
        "wrapped": "what leaves on one side comes in on the other. Zeros must come in.",
    }
    if len(wrong) < len(kinds) and kind in ("still", "opposite"):
        side = "pixels > 0" if pixels > 0 else "pixels < 0"
        raise WrongAnswerError(f"one half is mended. For {side}, {hints[kind]}")
    expected = _slid(x, axis, pixels).take(0, axis=3)[0].astype(int).tolist()
    raise WrongAnswerError(
        hints.get(
            kind, f"slide(x, axis={axis}, pixels={pixels}) should give {expected} in channel 0."
        )
    )


def _slid(x, axis, pixels, border="zeros"):
    """All channels moved by `pixels` along `axis`."""
    offset = (int(axis == 1), int(axis == 2))
    signed = tuple(int(np.sign(pixels)) * part for part in offset)
    return right_shift(x, 1, abs(pixels), offsets=[signed], border=border)


def _kind_of_slide(x, got, axis, pixels):
    kinds = {
        "right": _slid(x, axis, pixels),
        "still": np.where(_slid(np.ones_like(x), axis, pixels), x, 0),
        "unchanged": x,
        "opposite": _slid(x, axis, -pixels),
        "too far": _slid(x, axis, 2 * pixels),
        "wrapped": _slid(x, axis, pixels, border="wrap"),
    }
    found = [kind for kind, values in kinds.items() if np.array_equal(got, values)]
    return found[0] if found else "unknown"


@checker
def check_moves(function):
    """03.5: the learner's test `moves(shift_function)`, tried on a correct and on broken shifts.

    Args:
        function: the learner's test; takes `shift_function(x, num_div, shift_pixel)` and returns
            whether that one is correct. A failed `assert` counts as False.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    if not _verdict(function, right_shift):
        raise WrongAnswerError(
            "your test rejects a shift that is correct. Compare with the figures in section 2."
        )
    slipped = []
    for name, (broken, _) in BROKEN.items():
        try:
            if _verdict(function, broken):
                slipped.append(name)
        except (IndexError, ValueError) as error:  # of what it looked for, nothing was there
            kind = type(error).__name__
            raise WrongAnswerError(
                f"your test stops with {'an' if kind[0] in 'AEIOU' else 'a'} {kind} ({error}) on "
                f"one that {name}. Return False there."
            ) from None
    if len(slipped) == len(BROKEN):
        raise WrongAnswerError(
            "your test accepts everything, even a function that changes nothing."
        )
    if slipped:
        more = f" (and {len(slipped) - 1} more)" if len(slipped) > 1 else ""
        raise WrongAnswerError(f"one that {slipped[0]} slips through{more}.")


def _verdict(test, shift_function):
    def on_copies(x, num_div=12, shift_pixel=1):
        x = np.array(x)
        if x.ndim != 4 or x.shape[-1] < max(num_div, 4):
            raise WrongAnswerError(
                f"your test calls the shift with x of shape {x.shape} and num_div={num_div}. It "
                "needs (N, H, W, C) with at least num_div channels, and num_div >= 4."
            )
        return shift_function(x, num_div, shift_pixel)

    try:
        verdict = test(on_copies)
    except AssertionError:
        return False
    if not isinstance(verdict, bool | np.bool_):
        raise WrongAnswerError(
            f"your test must return True or False, yours returns {type(verdict).__name__}."
            f"{forgot_return(verdict)}"
        )
    return bool(verdict)


@checker
def check_diamond(function):
    """03.6: `diamond(num_blocks, shift_pixel)`: how many pixels L shifts reach, and how wide.

    Args:
        function: the learner's function; returns `(number of pixels, width in pixels)`.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    for blocks, pixels in ((1, 1), (2, 1), (5, 1), (0, 1), (2, 2), (4, 3)):
        answer = function(blocks, pixels)
        call = f"diamond({blocks}, {pixels})"
        if not isinstance(answer, tuple | list | np.ndarray) or len(answer) != 2:
            raise WrongAnswerError(
                f"{call} must return two numbers, (number of pixels, width).{forgot_return(answer)}"
            )
        count = number(answer[0], f"The number of pixels of {call}")
        width = number(answer[1], f"The width of {call}")
        far = blocks * pixels
        _explain_count(call, count, blocks, pixels)
        if width != 2 * far + 1:
            known = {
                far: "that is the distance to one side. Both sides and the pixel itself count.",
                2 * far: "the pixel itself counts too.",
                far + 1: "that is the pixel and one side. There are two.",
                2 * blocks + 1: "each block goes shift_pixel pixels far, not one.",
            }
            hint = known.get(width, "from the leftmost pixel to the rightmost, both counted.")
            raise WrongAnswerError(f"the width of {call} is {2 * far + 1}, not {width:g}: {hint}")


def _explain_count(call, count, blocks, pixels):
    expected = 2 * blocks**2 + 2 * blocks + 1
    if count == expected:
        return
    far = blocks * pixels
    known = {
        4 * blocks + 1: "that is a plus sign. A path may turn: left, then up.",
        expected - 1: "the pixel itself counts too: standing still is a step.",
        2 * blocks**2 - 2 * blocks + 1: "that is the diamond of one block less.",
        2 * (blocks + 1) ** 2 + 2 * (blocks + 1) + 1: "that is the diamond of one block more.",
        2 * far**2 + 2 * far + 1: "steps of shift_pixel leave holes: the pixels between are never "
        "reached, so the number is that of steps of one.",
        (2 * far + 1) ** 2: "that is the full square, holes and corners included.",
        # Last, for it is the same number where shift_pixel is 1 and there are no holes.
        (2 * blocks + 1) ** 2: "that is the full square. Its corners need more than L steps.",
    }
    hint = known.get(count, "count the rows of the diamond: 1, 3, 5, … and back.")
    raise WrongAnswerError(f"{call} reaches {expected} pixels, not {count:g}: {hint}")

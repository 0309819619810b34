"""The shift in plain NumPy, right and broken in a dozen ways, each with the hint that helps.

A learner's shift is compared with all of them, so that a checker can say which mistake it is. A
learner's test is tried on all of them, to see which slip through.
"""

import numpy as np

LEFT, RIGHT, UP, DOWN = (0, -1), (0, 1), (-1, 0), (1, 0)  # (rows, columns) per pixel
OFFSETS = (LEFT, RIGHT, UP, DOWN)
NAMES = ("left", "right", "up", "down")


def right_shift(x, num_div, shift_pixel, offsets=OFFSETS, group=None, border="zeros"):
    """The shift: picks, for every place, the pixel that belongs there. Other arguments break it.

    Args:
        x: array `(N, H, W, C)`.
        num_div: int.
        shift_pixel: int >= 0.
        offsets: where the four groups go.
        group: channels of a group; None: `C // num_div`.
        border: what comes in: "zeros", "wrap" (the other side) or "edge" (the last pixel again).

    Returns:
        array like `x`.
    """
    group = x.shape[-1] // num_div if group is None else group
    y = x.copy()
    for k, (down, right) in enumerate(offsets):
        channels = slice(k * group, (k + 1) * group)
        rows = np.arange(x.shape[1]) - down * shift_pixel
        columns = np.arange(x.shape[2]) - right * shift_pixel
        if border == "edge":
            rows, columns = rows.clip(0, x.shape[1] - 1), columns.clip(0, x.shape[2] - 1)
        y[..., channels] = x[:, rows % x.shape[1]][:, :, columns % x.shape[2]][..., channels]
        if border == "zeros":
            y[:, (rows < 0) | (rows >= x.shape[1]), :, channels] = 0
            y[:, :, (columns < 0) | (columns >= x.shape[2]), channels] = 0
    return y


def same_offset_shift(x, num_div, shift_pixel):
    """As the published example: nothing moves, but the lines at which zeros come in are blanked."""
    return np.where(right_shift(np.ones_like(x), num_div, shift_pixel), x, 0).astype(x.dtype)


def _without_remainder(x, num_div, shift_pixel):
    y = right_shift(x, num_div, shift_pixel)
    y[..., 4 * (x.shape[-1] // num_div) :] = 0
    return y


def _remainder_moves_down(x, num_div, shift_pixel):
    y, group = right_shift(x, num_div, shift_pixel), x.shape[-1] // num_div
    y[..., 3 * group :] = right_shift(x, 1, shift_pixel, offsets=[DOWN])[..., 3 * group :]
    return y


# Broken shifts: what a test has to notice, and the hint for who has written one.
BROKEN = {
    "returns its input unchanged": (
        lambda x, num_div, pixels: x.copy(),
        "nothing moves: your result equals the input.",
    ),
    "blanks a border line and moves nothing, as the published example does": (
        same_offset_shift,
        "a border line becomes zero, but no pixel moves: you take each pixel from the very place "
        "where you put it.",
    ),
    "goes right, left instead of left, right": (
        lambda x, num_div, pixels: right_shift(x, num_div, pixels, (RIGHT, LEFT, UP, DOWN)),
        "left and right are exchanged. To move left, column w takes the value of column w + 1.",
    ),
    "goes down, up instead of up, down": (
        lambda x, num_div, pixels: right_shift(x, num_div, pixels, (LEFT, RIGHT, DOWN, UP)),
        "up and down are exchanged. Row 0 is at the top, so up means towards lower rows.",
    ),
    "goes the other way in all four directions": (
        lambda x, num_div, pixels: right_shift(x, num_div, pixels, (RIGHT, LEFT, DOWN, UP)),
        "all four groups go the other way. To move left, column w takes the value of column w + 1.",
    ),
    "takes rows for columns": (
        lambda x, num_div, pixels: right_shift(x, num_div, pixels, (UP, DOWN, LEFT, RIGHT)),
        "you have exchanged the axes: in (N, H, W, C), axis 2 runs from left to right.",
    ),
    "lets pixels that leave come in on the other side": (
        lambda x, num_div, pixels: right_shift(x, num_div, pixels, border="wrap"),
        "what leaves on one side comes in on the other (np.roll does that). Zeros must come in.",
    ),
    "repeats the border pixel instead of letting zeros come in": (
        lambda x, num_div, pixels: right_shift(x, num_div, pixels, border="edge"),
        "the border line stays where it was as well. Zeros must come in there.",
    ),
    "goes twice as far": (
        lambda x, num_div, pixels: right_shift(x, num_div, 2 * pixels),
        "the groups go twice as far as shift_pixel says.",
    ),
    "goes one pixel, whatever shift_pixel says": (
        lambda x, num_div, pixels: right_shift(x, num_div, min(pixels, 1)),
        "the groups go one pixel, whatever shift_pixel says.",
    ),
    "has groups of num_div channels": (
        lambda x, num_div, pixels: right_shift(x, num_div, pixels, group=num_div),
        "your groups hold num_div channels each. They must hold C // num_div.",
    ),
    "zeroes the channels that should stay": (
        _without_remainder,
        "the channels after the four groups are zero. They must stay as they are.",
    ),
    "moves the channels that should stay": (
        _remainder_moves_down,
        "the channels after the four groups move down too. They must stay as they are.",
    ),
}

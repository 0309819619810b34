"""Checkers for the exercises of `02_augmentation`; the two longest have modules of their own."""

import numpy as np

from shiftvit_utils.exercises.checking import (
    WrongAnswerError,
    array,
    checker,
    forgot_return,
    number,
    require_function,
)
from shiftvit_utils.exercises.cut_mix import check_cut_mix
from shiftvit_utils.exercises.random_crops import check_random_crops

__all__ = [
    "KEEPS_LABEL",
    "check_number_of_pictures",
    "check_keeps_label",
    "check_rescale",
    "check_random_crops",
    "check_cut_mix",
]

# Whether the label is still right, and what to think of where the answer was wrong.
KEEPS_LABEL = {
    "car, mirrored left-right": (True, "a mirrored car is a car that drives the other way."),
    "digit 2, mirrored left-right": (False, "write a 2 on paper and look at it from behind."),
    "digit 2, moved by one of its 8 pixels": (True, "people read a 2 wherever it stands."),
    "digit 6, turned by 180 degrees": (False, "which digit is a 6 that stands on its head?"),
    "ship, a little darker": (True, "the ship is still there in the evening."),
    "sign 'turn left', mirrored left-right": (False, "where does the arrow point afterwards?"),
    "frog, half of it a truck (CutMix)": (False, "the label 'frog' alone hides half of the truth."),
}


@checker
def check_number_of_pictures(answer):
    """02.1: number of different pictures from crops of 48x48 out of 52x52, flipped or not.

    Args:
        answer: int.

    Returns:
        bool, after printing one line.
    """
    pictures = number(answer, "The number of pictures")
    hints = {
        16: "between 0 and 4 there are five offsets, not four; and each crop can be flipped.",
        25: "those are the crops. Each of them can be flipped or not.",
        32: "from 52 to 48 there are the offsets 0, 1, 2, 3 and 4: count them.",
        10: "the window moves down *and* to the right, each on its own.",
        100: "this flip is left-right only, so each crop comes in two forms, not in four.",
    }
    if pictures in hints:
        raise WrongAnswerError(hints[pictures])
    if pictures != 50:
        raise WrongAnswerError(
            f"{pictures:,g} is not it: (places from top to bottom) * (places from left to right) "
            "* (flipped or not)."
        )


@checker
def check_keeps_label(answers):
    """02.2: which transformations leave the label right.

    Args:
        answers: dict from each text in `KEEPS_LABEL` to True or False.

    Returns:
        bool, after printing one line.
    """
    if not isinstance(answers, dict):
        raise WrongAnswerError(
            f"give the whole dict, not a {type(answers).__name__}.{forgot_return(answers)}"
        )
    if missing := [name for name in KEEPS_LABEL if name not in answers]:
        raise WrongAnswerError(f"there is no answer for {missing[0]!r}.")
    if any(answers[name] is Ellipsis for name in KEEPS_LABEL):
        raise NotImplementedError
    for name in KEEPS_LABEL:
        if not isinstance(answers[name], bool | np.bool_):
            given = answers[name]
            yours = repr(given) if isinstance(given, int | str) else f"a {type(given).__name__}"
            raise WrongAnswerError(f"{name!r} must be True or False, yours is {yours}.")
    wrong = [name for name, (truth, _) in KEEPS_LABEL.items() if bool(answers[name]) != truth]
    if wrong:
        right = len(KEEPS_LABEL) - len(wrong)
        raise WrongAnswerError(
            f"{right} of {len(KEEPS_LABEL)} are right. Think again about {wrong[0]!r}: "
            f"{KEEPS_LABEL[wrong[0]][1]}"
        )


@checker
def check_rescale(function):
    """02.3: `rescale(images)`: bytes 0..255 to float32 -1..1.

    Args:
        function: the learner's function; takes uint8 `(N, H, W, 3)`, returns float32 of that shape.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    values = np.arange(256, dtype=np.uint8)
    images = np.repeat(values, 3).reshape(1, 16, 16, 3)
    mine = images.copy()
    answer = function(mine)
    if not np.array_equal(mine, images):
        raise WrongAnswerError("your function changed the images that it was given. Make new ones.")
    got = array(answer, "rescale(images)", images.shape)
    if got.dtype.kind in "uib":
        raise WrongAnswerError(
            f"yours are {got.dtype}, whole numbers: of -1..1 only -1, 0 and 1 are left. Return "
            "float32."
        )
    if got.dtype.kind != "f":
        raise WrongAnswerError(f"rescale(images) must hold float32, yours holds {got.dtype}.")
    if got.dtype == np.float16:
        raise WrongAnswerError("float16 has about three digits, too few here. Return float32.")
    if not np.isfinite(got).all():
        raise WrongAnswerError("some pixels became NaN or infinite. Is there a division by 0?")
    levels = got.reshape(-1, 3)[:, 0].astype(np.float64)  # what becomes of 0, 1, ..., 255
    if np.allclose(levels, 1 - values / 127.5, atol=1e-4):
        raise WrongAnswerError("black became 1 and white -1: yours is a negative of the image.")
    if (np.diff(levels) < 0).any():
        k = int(np.argmax(np.diff(levels) < 0))
        raise WrongAnswerError(
            f"pixel {k + 1} comes out darker than pixel {k}. Bytes wrap around: in uint8, 200 + "
            "200 is 144. Make floats of them first."
        )
    for expected, hint in (
        (values / 255, "that is 0..1. Stretch it to twice the length and move it down by 1."),
        (values / 255 - 0.5, "that is -0.5..0.5, half as long as asked."),
        (values / 128 - 1, "255 becomes 0.992, not 1: half of 255 is 127.5, not 128."),
        (values / 127.5, "that is 0..2: it still has to move down by 1."),
    ):
        if np.allclose(levels, expected, atol=1e-4):
            raise WrongAnswerError(hint)
    narrow = np.full((1, 16, 16, 3), 100, np.uint8)
    narrow[0, 0] = 150
    again = array(function(narrow.copy()), "rescale(images)", narrow.shape)
    if not np.isclose(again[0, 5, 5, 0], levels[100], atol=1e-4):
        raise WrongAnswerError(
            f"pixel 100 becomes {levels[100]:.3f} in one image and {again[0, 5, 5, 0]:.3f} in "
            "another. Use fixed numbers, not the minimum, maximum or mean of these images."
        )
    expected = values / 127.5 - 1
    if not np.allclose(levels, expected, atol=1e-4):
        k = int(np.argmax(~np.isclose(levels, expected, atol=1e-4)))
        raise WrongAnswerError(
            f"pixel {k} must become {expected[k]:.3f}, yours becomes {levels[k]:.3f}."
        )
    if got.dtype != np.float32:
        raise WrongAnswerError(
            f"the numbers are right, but they are {got.dtype}. The network computes in float32: "
            "make it that before you divide."
        )

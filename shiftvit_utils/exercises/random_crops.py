"""Checker for exercise 4 of `02_augmentation`: each window of a batch at a place of its own."""

import numpy as np

from shiftvit_utils.exercises.checking import (
    WrongAnswerError,
    array,
    checker,
    require_function,
)

SPARE_ROWS, SPARE_COLUMNS = 3, 5  # of the images with which crops are tried


@checker
def check_random_crops(function):
    """02.4: `random_crops(images, height, width, rng)`, each image at a place of its own.

    Args:
        function: the learner's function; takes images `(N, H, W, C)`, the size of the window in
            pixels and a `numpy.random.Generator`, returns `(N, height, width, C)`.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    rng = np.random.default_rng(1)
    tops, lefts = offsets = _crop_offsets(function, rng).T
    if (offsets == offsets[:, :1]).all():
        others = [_crop_offsets(function, rng)[0] for _ in range(5)]
        if np.all(others == offsets[:, 0]):
            raise WrongAnswerError("there is no chance in it: the window is always the same one.")
        raise WrongAnswerError(
            "all images of the batch are cropped at one offset. Draw a top and a left for each."
        )
    if not np.array_equal(_crop_offsets(function, np.random.default_rng(1)).T, offsets):
        raise WrongAnswerError(
            "with the same generator it crops differently. Draw from `rng`, not from `np.random`, "
            "or nobody can repeat your run."
        )
    if np.array_equal(_crop_offsets(function, rng).T, offsets):
        raise WrongAnswerError(
            "every call gives the same crops. A generator made inside the function starts from its "
            "seed each time: draw from `rng`."
        )
    for found, spare, name in ((tops, SPARE_ROWS, "top"), (lefts, SPARE_COLUMNS, "left")):
        counts = np.bincount(found, minlength=spare + 1)
        if not counts[1:].any() or not counts[:-1].any():
            raise WrongAnswerError(f"the {name} of the window is always {found[0]}.")
        if not counts[-1]:
            raise WrongAnswerError(
                f"the last place is never used: {name} may be 0 to {spare}, yours goes up to "
                f"{found.max()}. `rng.integers(n)` draws from 0 to n - 1."
            )
        if not counts[0]:
            raise WrongAnswerError(f"the first place is never used: {name} may be 0.")
        uneven = ((counts - counts.mean()) ** 2 / counts.mean()).sum()
        if uneven > 40:  # 5 degrees of freedom at most: by chance once in ten million
            raise WrongAnswerError(
                f"not all places are as likely: of {counts.sum()} windows, {counts.tolist()} began "
                f"at {name} 0 to {spare}. Draw whole numbers; rounding gives the ends half."
            )
    if abs(np.corrcoef(tops, lefts)[0, 1]) > 0.3:
        raise WrongAnswerError("top and left go together. Draw two numbers for each image.")


def _crop_offsets(function, rng, count=2400):
    """Where the learner's windows began, `(count, 2)`: every pixel carries its own place."""
    height, width = 5, 4
    rows, columns = np.mgrid[: height + SPARE_ROWS, : width + SPARE_COLUMNS].astype("float32")
    images = np.stack([np.zeros_like(rows), rows, columns], axis=-1)[None].repeat(count, axis=0)
    images[..., 0] += np.arange(count)[:, None, None]
    mine = images.copy()
    try:
        answer = function(mine, height, width, rng)
    except (ValueError, IndexError) as error:
        raise WrongAnswerError(
            f"your code stopped with {type(error).__name__}: {error}. Does a window begin so far "
            "down or right that it hangs over the edge? Then NumPy cuts it short, silently."
        ) from error
    if not np.array_equal(mine, images):
        raise WrongAnswerError("your function changed the images that it was given. Make new ones.")
    windows = array(answer, "random_crops(...)", (count, height, width, 3))
    if windows.dtype != images.dtype:
        raise WrongAnswerError(
            f"random_crops(...) must be {images.dtype}, as the images are, yours is "
            f"{windows.dtype}. np.empty alone makes float64: take np.empty(..., images.dtype)."
        )
    if not np.array_equal(windows[..., 0], images[:, :height, :width, 0]):
        k = int(np.argmax((windows[..., 0] != images[:, :height, :width, 0]).any(axis=(1, 2))))
        raise WrongAnswerError(f"window {k} has pixels that are not from image {k}.")
    begins = windows[:, 0, 0, 1:]
    pixels = np.moveaxis(np.mgrid[:height, :width], 0, -1)
    if not np.array_equal(windows[..., 1:], begins[:, None, None] + pixels):
        raise WrongAnswerError(
            "a window must be pixels that are neighbours in the image. Yours has gaps, is turned, "
            "or goes on at the other side."
        )
    return begins.astype(int)

"""Checker for exercise 5 of `02_augmentation`: a patch of the partner, and of its label."""

import numpy as np

from shiftvit_utils.exercises.checking import (
    WrongAnswerError,
    array,
    checker,
    forgot_return,
    require_function,
)


@checker
def check_cut_mix(function):
    """02.5: `cut_mix(images, labels, partners, top, left, height, width)`.

    Args:
        function: the learner's function; takes images `(N, H, W, C)`, one-hot labels
            `(N, num_classes)`, the number of each image's partner `(N,)` and a box in pixels that
            may hang over the edge; returns the mixed images and the mixed labels.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    _check_box(function, "a box inside the image", 1, 2, 3, 4)
    _check_box(function, "a box that hangs over the lower right corner", 4, 6, 5, 7)
    _check_box(
        function, "a box that hangs over the upper left corner (top and left < 0)", -2, -1, 4, 5
    )
    _check_box(function, "a box as large as the image", 0, 0, 6, 8)
    _check_box(function, "a box beside the image (nothing of it is inside)", 7, 9, 2, 2)
    # Its end is below 0 as well, and as the end of a slice would count from the end.
    _check_box(function, "a box wholly above the image (its end < 0)", -3, 1, 2, 3)
    _check_box(function, "a box wholly left of the image (its end < 0)", 1, -4, 2, 3)


def _check_box(function, where, top, left, height, width):
    rng = np.random.default_rng(0)
    images = rng.uniform(1, 255, (4, 6, 8, 3)).astype("float32")
    labels = np.eye(5, dtype="float32")[[3, 1, 4, 0]]  # classes are not the numbers of the images
    partners = np.array([2, 0, 3, 1])
    inside = np.zeros((6, 8), bool)
    for row in range(top, top + height):
        for column in range(left, left + width):
            if 0 <= row < 6 and 0 <= column < 8:
                inside[row, column] = True
    mine, my_labels = images.copy(), labels.copy()
    answer = function(mine, my_labels, partners.copy(), top, left, height, width)
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise WrongAnswerError(
            "return two things: the mixed images and the mixed labels. Yours is "
            f"{type(answer).__name__}.{forgot_return(answer)}"
        )
    if not np.array_equal(mine, images) or not np.array_equal(my_labels, labels):
        raise WrongAnswerError(
            "your function changed the images or labels that it was given. Mix a copy of them."
        )
    pixels = _numbers(answer[0], "The mixed images", images.shape)
    weights = _numbers(answer[1], "The mixed labels", labels.shape)
    _check_pixels(pixels, images, partners, inside, where)
    _check_labels(weights, labels, labels[partners], inside.mean(), height * width / 48, where)


def _numbers(value, what, shape):
    result = array(value, what, shape)
    if result.dtype.kind not in "iuf":
        raise WrongAnswerError(f"{what} must hold numbers, yours hold {result.dtype}.")
    return result.astype(float)


def _check_pixels(got, images, partners, inside, where):
    box = inside[None, ..., None]
    if np.allclose(got, np.where(box, images[partners], images), atol=1e-3):
        return
    if np.allclose(got, images):
        why = " In NumPy a negative start counts from the end: cut the box to the image first."
        raise WrongAnswerError(f"for {where}, nothing was pasted.{why if '< 0' in where else ''}")
    if np.allclose(got, np.where(box, images, images[partners]), atol=1e-3):
        raise WrongAnswerError("the partner belongs inside the box, the image itself around it.")
    outside = ~np.broadcast_to(box, got.shape)
    if not np.allclose(got[outside], images[outside], atol=1e-3):
        raise WrongAnswerError(f"for {where}, pixels around the box changed too.")
    raise WrongAnswerError(
        f"for {where}, the pixels in the box are not those of the partner at the same place."
    )


def _check_labels(got, own, other, share, wanted_share, where):
    def mixed(share):
        return (1 - share) * own + share * other

    if np.allclose(got, mixed(share), atol=1e-4):
        return
    if np.allclose(got, own):
        raise WrongAnswerError(
            f"you mixed the images, not the labels: for {where}, {share:.0%} of the pixels are the "
            "partner's."
        )
    if np.allclose(got, mixed(1 - share), atol=1e-4):
        raise WrongAnswerError(
            f"the weights are swapped: for {where}, the partner has {share:.0%} of the pixels."
        )
    if np.allclose(got, mixed(wanted_share), atol=1e-4):
        raise WrongAnswerError(
            f"for {where}, you count the box as it was wanted. Only the part inside the image was "
            f"pasted: {share:.0%} of the pixels, not {wanted_share:.0%}."
        )
    if not np.allclose(got.sum(axis=1), 1, atol=1e-4):
        raise WrongAnswerError(
            f"for {where}, the weights of a label add up to {got.sum(axis=1)[0]:.3f}, not to 1."
        )
    raise WrongAnswerError(
        f"for {where}, the partner's label must weigh {share:.3f}, its share of the pixels; yours "
        f"weighs {got[0, 4]:.3f}."
    )

"""What a network looks at: cover a part of the image, and see how far the score falls.

This needs no gradients and no knowledge of the network, only a function from images to scores. It
covers one patch at a time, so what two places hold alike (both ears of a cat) goes unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

GREY = 128  # what the classifiers here scale to about 0: neither dark nor bright


def patch_corners(length: int, patch_size: int, stride: int) -> list[int]:
    """Where patches start along a side; the last one ends at the border.

    Example:
    >>> patch_corners(10, patch_size=4, stride=4)
    [0, 4, 6]
    """
    return sorted({*range(0, length - patch_size + 1, stride), length - patch_size})


def occlude(
    image: np.ndarray, top: int, left: int, patch_size: int, fill: Any = GREY
) -> np.ndarray:
    """A copy of the image with one square covered.

    Args:
        image: `(H, W, 3)`.
        top: the first row that is covered.
        left: the first column that is covered.
        patch_size: int, side of the square in pixels.
        fill: one value, or `(red, green, blue)`.

    Returns:
        array of the same shape and dtype; `image` is not changed.
    """
    covered = image.copy()
    covered[top : top + patch_size, left : left + patch_size] = fill
    return covered


def occlusion_map(
    score: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    patch_size: int = 8,
    stride: int = 4,
    fill: int | Sequence[int] = GREY,
) -> np.ndarray:
    """How far the score falls when a patch covers a pixel, averaged over the patches that do.

    Source: Zeiler and Fergus 2013, arXiv 1311.2901, section 4.2.

    Args:
        score: function from images `(M, H, W, 3)` to one number each, `(M,)`, such as the
            probability of a class. It is called once, with the bare image first.
        image: uint8 `(H, W, 3)`.
        patch_size: int, side of the patch in pixels.
        stride: int, pixels from one patch to the next.
        fill: what covers the image, 0..255: one value, or `(red, green, blue)`.

    Returns:
        float64 `(H, W)`, in the unit of the score. Positive: the score needs this place. Negative:
        without it the score is higher.

    Raises:
        ValueError: the patch does not fit, the stride leaves gaps, or the scores have another
            shape.

    Example:
    >>> image = np.zeros((4, 4, 3), np.uint8)
    >>> image[0, 0] = 100
    >>> corner = lambda images: images[:, 0, 0, 0].astype(float)  # looks at one pixel only
    >>> occlusion_map(corner, image, patch_size=2, stride=2, fill=0)[:, ::2].tolist()
    [[100.0, 0.0], [100.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """
    _check_patch(image, patch_size, stride)
    height, width, _ = image.shape
    places = [
        (top, left)
        for top in patch_corners(height, patch_size, stride)
        for left in patch_corners(width, patch_size, stride)
    ]
    covered = [occlude(image, top, left, patch_size, fill) for top, left in places]
    scores = np.asarray(score(np.stack([image, *covered])), "float64")  # (1 + places,)
    if scores.shape != (1 + len(places),):
        raise ValueError(
            f"score gave shape {scores.shape} for {1 + len(places)} images; expected one number "
            "each. Of probabilities (N, num_classes), take the column of one class."
        )
    total, count = np.zeros((height, width)), np.zeros((height, width))
    for (top, left), fall in zip(places, scores[0] - scores[1:], strict=True):
        square = np.s_[top : top + patch_size, left : left + patch_size]
        total[square] += fall
        count[square] += 1
    return total / count


def _check_patch(image: np.ndarray, patch_size: int, stride: int) -> None:
    if image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(f"image has shape {image.shape}; expected (H, W, 3), one image.")
    largest = min(image.shape[:2])
    if not 1 <= patch_size <= largest:
        raise ValueError(f"patch_size={patch_size!r} must be 1..{largest} here.")
    if not 1 <= stride <= patch_size:
        raise ValueError(
            f"stride={stride!r} must be 1..{patch_size} (patch_size), so that no pixel is left out."
        )

"""Arrays from anywhere, checked to be images with values 0..255.

Images scaled to 0..1, with channels first or with a fourth channel are common, and a network gives
an answer to each of them: a wrong one. So they are refused, with the line that mends them.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


def is_array(value: Any) -> bool:
    """Whether this is a NumPy array or a tensor of the backend."""
    return isinstance(value, (np.ndarray, np.generic)) or keras.ops.is_tensor(value)


def as_pixels(values: Any, what: str) -> np.ndarray:
    """An array of one image or of many, checked, as the bytes that it stands for.

    Args:
        values: array or tensor `(H, W)`, `(H, W, 3)` or `(N, H, W, 3)`, values 0..255.
        what: its name in messages.

    Returns:
        uint8 `(H, W, 3)` or `(N, H, W, 3)`; floats are rounded.

    Raises:
        TypeError: the dtype is no number.
        ValueError: the shape or the values are not those of an image; the message has a way out.

    Example:
    >>> as_pixels([[0.0, 254.6]], "images").tolist()
    [[[0, 0, 0], [255, 255, 255]]]
    """
    array = keras.ops.convert_to_numpy(values) if keras.ops.is_tensor(values) else values
    array = np.asarray(array)
    if array.dtype.kind not in "uif":
        way_out = " Give paths as a list: images.tolist()." if array.dtype.kind in "UO" else ""
        raise TypeError(
            f"{what} has dtype {array.dtype}; expected uint8, or numbers 0..255.{way_out}"
        )
    _check_shape(array, what)
    if array.dtype != np.uint8:
        _check_range(array, what)
        array = np.rint(array).astype(np.uint8)
    return np.repeat(array[..., None], 3, axis=-1) if array.ndim == 2 else array


def _check_shape(array: np.ndarray, what: str) -> None:
    expected = f"{what} has shape {array.shape}; expected (H, W, 3), (H, W) or (N, H, W, 3)"
    if array.ndim not in (2, 3, 4) or (array.ndim > 2 and array.shape[-1] != 3):
        last = array.shape[-1] if array.ndim else None
        if array.ndim in (3, 4) and last == 1:
            way_out = "Repeat the one channel: np.repeat(images, 3, axis=-1)."
        elif array.ndim == 3 and last == 4:
            way_out = "Four channels may be RGBA: give Image.fromarray(image), of Pillow."
        elif array.ndim in (3, 4) and array.shape[-3] == 3:
            way_out = "Channels come last here: np.moveaxis(images, -3, -1)."
        elif array.ndim == 3:
            way_out = "Grey images as one batch: np.repeat(images[..., None], 3, axis=-1)."
        else:
            way_out = "Colour comes last, red, green, blue."
        raise ValueError(f"{expected}. {way_out}")
    if array.size == 0:
        raise ValueError(f"{expected}, with none of them 0.")


def _check_range(array: np.ndarray, what: str) -> None:
    if not np.isfinite(array).all():
        raise ValueError(f"{what} holds NaN or infinite values; expected 0..255.")
    low, high = array.min(), array.max()
    if low < 0 or high > 255:
        raise ValueError(
            f"{what} has values from {low:g} to {high:g}; expected 0..255. "
            + (
                "The model scales pixels itself: give them as they are in the file."
                if low < 0
                else "Divide 16-bit values by 257."
            )
        )
    if array.dtype.kind == "f" and 0 < high <= 1:
        raise ValueError(
            f"{what} has float values up to {high:g}: those of an image scaled to 0..1? The model "
            "scales 0..255 itself: give 255 * images. If it really is that dark, give "
            "images.astype('uint8')."
        )

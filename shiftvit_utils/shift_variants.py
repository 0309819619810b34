"""The shift written in other ways, the published example's among them.

Networks use `shift.py`. What stands here is for understanding and testing it: the same map by slice
assignment, by crop and pad, and as a depthwise convolution; and its opposite, which is also its
gradient.
"""

import numpy as np
from keras import ops

from shiftvit_utils.shift import DIRECTIONS, channels_per_group, shift


def shift_by_assignment(x, num_div=12, shift_pixel=1):
    """The shift as the authors write it: zeros, into which each group is written at its new place.

    Args:
        x: tensor `(N, H, W, C)` of any dtype, H and W known.
        num_div: int, the groups hold `C // num_div` channels each.
        shift_pixel: int >= 0, in pixels.

    Returns:
        A tensor with the shape and dtype of `x`.

    >>> ops.convert_to_numpy(shift_by_assignment(_row(), num_div=4))[0, 0, :, 0].tolist()
    [2.0, 3.0, 4.0, 0.0]
    """
    group = channels_per_group(x.shape[-1], num_div)
    # What stays is copied; the moving groups start as zeros.
    y = ops.concatenate([ops.zeros_like(x[..., : 4 * group]), x[..., 4 * group :]], axis=-1)
    for k, (start, goal, size) in enumerate(_rectangles(x.shape, shift_pixel)):
        if 0 not in size:
            piece = _crop(x[..., k * group : (k + 1) * group], start, size)
            y = ops.slice_update(y, (0, *goal, k * group), piece)
    return y


def shift_by_crop_and_pad(x, num_div=12, shift_pixel=1, same_offset=False, group=None):
    """The shift as "cut a rectangle out of the map, pad it with zeros to the old size".

    Everything hangs on two offsets: where the rectangle is cut out, and where it is put. The
    published Keras example takes the same offset for both (`same_offset=True`), and then nothing
    moves: one line at the border becomes zero. It also makes its groups `num_div` channels large
    instead of `C // num_div` (`group=num_div`).

    Args:
        x: tensor `(N, H, W, C)` of any dtype, H and W known.
        num_div: int, the groups hold `C // num_div` channels each.
        shift_pixel: int >= 0, in pixels.
        same_offset: bool, put each rectangle where the example puts it: back where it came from.
        group: None, or the channels of a group, if not `C // num_div`.

    Returns:
        A tensor with the shape and dtype of `x`.

    >>> blanked = shift_by_crop_and_pad(_row(), num_div=4, same_offset=True)
    >>> ops.convert_to_numpy(blanked)[0, 0, :, 0].tolist()
    [1.0, 2.0, 3.0, 0.0]
    """
    height, width, channels = x.shape[1:]
    group = channels_per_group(channels, num_div) if group is None else group
    parts = []
    for k, (start, goal, size) in enumerate(_rectangles(x.shape, shift_pixel)):
        cut_at = goal if same_offset else start
        piece = _crop(x[..., k * group : (k + 1) * group], cut_at, size)
        rows = (goal[0], height - goal[0] - size[0])
        columns = (goal[1], width - goal[1] - size[1])
        parts.append(ops.pad(piece, [(0, 0), rows, columns, (0, 0)]))
    return ops.concatenate([*parts, x[..., 4 * group :]], axis=-1)


def shift_by_depthwise_kernel(x, num_div=12, shift_pixel=1):
    """The shift as a depthwise convolution whose fixed kernel holds a single one per channel.

    Args:
        x: float tensor `(N, H, W, C)`.
        num_div: int, the groups hold `C // num_div` channels each.
        shift_pixel: int >= 0, in pixels.

    Returns:
        A tensor with the shape and dtype of `x`.

    >>> ops.convert_to_numpy(shift_by_depthwise_kernel(_row(), num_div=4))[0, 0, :, 0].tolist()
    [2.0, 3.0, 4.0, 0.0]
    """
    kernel = ops.cast(shift_kernel(x.shape[-1], num_div, shift_pixel), x.dtype)
    return ops.depthwise_conv(x, kernel, padding="same", data_format="channels_last")


def shift_kernel(channels, num_div=12, shift_pixel=1):
    """The kernel of `shift_by_depthwise_kernel`: all zeros but one 1 for each channel.

    Returns:
        float32 array `(k, k, channels, 1)` with `k = 2 * shift_pixel + 1`.

    >>> shift_kernel(4, num_div=4)[1, :, 0, 0].tolist()  # left: takes the right neighbour
    [0.0, 0.0, 1.0]
    """
    side = 2 * shift_pixel + 1
    kernel = np.zeros((side, side, channels, 1), "float32")
    group = channels_per_group(channels, num_div)
    for k, (axis, sign) in enumerate(DIRECTIONS.values()):
        place = [shift_pixel, shift_pixel]
        place[axis - 1] -= sign * shift_pixel  # what moves right comes from the left
        kernel[place[0], place[1], k * group : (k + 1) * group] = 1.0
    kernel[shift_pixel, shift_pixel, 4 * group :] = 1.0
    return kernel


def opposite_shift(x, num_div=12, shift_pixel=1):
    """Moves each group back the other way: the shift, seen upside down and mirrored.

    It undoes the shift away from the border, and it is the shift's transpose: the gradient of a
    loss travels backwards through `shift` by this map.

    Args:
        x: tensor `(N, H, W, C)`.
        num_div: int, as in `shift`.
        shift_pixel: int >= 0, as in `shift`.

    Returns:
        A tensor with the shape and dtype of `x`.

    >>> ops.convert_to_numpy(opposite_shift(_row(), num_div=4))[0, 0, :, 0].tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    return _half_turn(shift(_half_turn(x), num_div, shift_pixel))


def _half_turn(x):
    """Images upside down and mirrored. Keras 3.13 flips one axis at a time on TensorFlow."""
    return ops.flip(ops.flip(x, axis=1), axis=2)


def _rectangles(shape, shift_pixel):
    """For each direction: where the surviving rectangle starts, where it goes, and its size."""
    for axis, sign in DIRECTIONS.values():
        start, goal, size = [0, 0], [0, 0], list(shape[1:3])
        pixels = min(shift_pixel, size[axis - 1])
        size[axis - 1] -= pixels
        (goal if sign > 0 else start)[axis - 1] = pixels
        yield start, goal, size


def _crop(x, start, size):
    return x[:, start[0] : start[0] + size[0], start[1] : start[1] + size[1]]


def _row():
    """The row 1 2 3 4 in each of four channels, `(1, 1, 4, 4)`: for the examples above."""
    return ops.convert_to_tensor(
        np.repeat(np.arange(1.0, 5.0, dtype="float32"), 4).reshape(1, 1, 4, 4)
    )

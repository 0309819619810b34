"""How far information travels through blocks of "shift, then mix the channels".

In theory: the pixels that L blocks can reach, and how much of one pixel arrives at each if every
block averages the channels. In practice: which outputs of a given function change when one pixel
does. The strength that training gives to each path is not this module's business.
"""

import numpy as np
from keras import ops

from shiftvit_utils.shift import shift


def spread(num_blocks, num_div=12, shift_pixel=1):
    """What becomes of one lit pixel after L times "shift, then average all channels".

    Averaging is the plainest MLP that mixes all channels with positive weights, so nothing cancels:
    a pixel is not zero exactly if information can get there. With `C = num_div` channels, one of
    each `num_div` parts moves in each direction, and the rest stays.

    Args:
        num_blocks: int >= 0, L.
        num_div: int >= 4.
        shift_pixel: int >= 0, in pixels.

    Returns:
        float array `(S, S)` with `S = 2 * L * shift_pixel + 1`, just large enough; adds up to 1.

    >>> (12 * spread(1)).round().astype(int).tolist()
    [[0, 1, 0], [1, 8, 1], [0, 1, 0]]
    """
    return _push_through(num_blocks, num_div, shift_pixel, np.mean)


def reach(num_blocks, shift_pixel=1):
    """The pixels that can know of one pixel after L blocks of shift and channel mixing.

    Args:
        num_blocks: int >= 0, L.
        shift_pixel: int >= 0, in pixels.

    Returns:
        bool array `(S, S)` with `S = 2 * L * shift_pixel + 1`, the pixel in its middle.
        Some channels stay where they are, as in all networks here. (With `num_div=4` none would,
        and about every second of these pixels would know nothing.)

    >>> [int(reach(L).sum()) for L in (1, 2, 3, 4)]
    [5, 13, 25, 41]
    """
    return _push_through(num_blocks, 5, shift_pixel, np.max) > 0


def influence(function, x, row, column):
    """How much each output pixel changes when one input pixel does.

    Args:
        function: from a tensor `(N, H, W, C)` to one of the same height and width.
        x: float array `(1, H, W, C)`.
        row: int, of the pixel that is changed: its first channel by 1, its second by -1, and so on.
        column: int, of the same pixel.

    Returns:
        float array `(H, W)`: the largest change of any channel.

    >>> changed = influence(lambda x: shift(x, num_div=4), np.zeros((1, 3, 3, 4), "float32"), 1, 1)
    >>> changed.tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """
    poked = x.copy()
    # Signs alternate because a normalisation would take away what is added to all channels alike.
    poked[0, row, column] += (-1.0) ** np.arange(x.shape[-1])
    before, after = (ops.convert_to_numpy(function(ops.convert_to_tensor(a))) for a in (x, poked))
    return np.abs(after - before).max(axis=-1)[0]


def _push_through(num_blocks, num_div, shift_pixel, mix):
    """One lit pixel after L times "shift, then `mix` the channels and give all the result"."""
    far = num_blocks * shift_pixel
    x = np.zeros((1, 2 * far + 1, 2 * far + 1, num_div), "float32")
    x[0, far, far] = 1.0
    for _ in range(num_blocks):
        shifted = ops.convert_to_numpy(shift(x, num_div, shift_pixel))
        x = np.repeat(mix(shifted, axis=-1, keepdims=True), num_div, axis=-1)
    return x[0, :, :, 0]

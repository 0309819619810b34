"""The shift: the paper's replacement for attention.

Four groups of channels slide by `shift_pixel` pixels, one group in each direction; all other
channels stay. No parameters, no multiplications: only where a number stands changes. This module
holds the function and the layer that wraps it, and nothing else of the network.
"""

import keras
from keras import ops

# Where each of the four groups goes, in channel order, as (axis of an (N, H, W, C) tensor, sign
# along that axis). The order is the one of the authors' code, so that their weights meet the
# channels they were trained with.
DIRECTIONS = {"left": (2, -1), "right": (2, +1), "up": (1, -1), "down": (1, +1)}


def channels_per_group(channels, num_div):
    """Number of channels in each of the four moving groups, `channels // num_div`.

    Args:
        channels: int, the size C of the channel axis.
        num_div: int, the paper's divisor.

    Returns:
        int, at least 1 and at most `channels / 4`.

    Raises:
        ValueError: if a group would be empty, or the four groups do not fit into the channels.

    >>> channels_per_group(96, 12)
    8
    """
    if type(num_div) is not int or num_div < 1:
        raise ValueError(f"num_div must be a positive int, got {num_div!r}.")
    if channels is None:
        raise ValueError(
            "The channel axis must have a known size, got None. Give the last dimension of the "
            "input shape."
        )
    group = channels // num_div
    if group == 0:
        raise ValueError(
            f"num_div={num_div} is larger than the {channels} channels, so a group would hold no "
            "channel and nothing "
            f"would move. Use num_div <= {channels}."
        )
    if 4 * group > channels:
        raise ValueError(
            f"Four groups of C // num_div = {channels} // {num_div} = {group} channels need "
            f"{4 * group} channels, "
            f"but there are {channels}. Use num_div >= 4."
        )
    return group


def shift(x, num_div=12, shift_pixel=1):
    """Moves four groups of channels by `shift_pixel` pixels: left, right, up, down.

    Group k holds the channels `k * g` to `(k + 1) * g - 1`, with `g = C // num_div`. Pixels that
    leave the image are lost, the pixels that come in are zero, and the channels from `4 * g` on are
    untouched.

    Args:
        x: tensor of any dtype, `(N, H, W, C)`, H and W at least 1 (they may be unknown while a
            graph is traced).
        num_div: int, the groups hold `C // num_div` channels each. The paper uses 12: a third of
            the channels moves.
        shift_pixel: int, at least 0, in pixels. From the size of the image on, a group is all
            zeros.

    Returns:
        A tensor with the shape and dtype of `x`.

    Raises:
        ValueError: if `x` has not four axes, the groups are empty or do not fit, or `shift_pixel`
            is no int >= 0.

    Example: channel 0 moves left, so every pixel shows its right neighbour.

    >>> import numpy as np
    >>> row = np.array([1.0, 2.0, 3.0, 4.0], "float32").reshape(1, 1, 4, 1)
    >>> x = np.repeat(row, 4, axis=-1)
    >>> moved = keras.ops.convert_to_numpy(shift(x, num_div=4))
    >>> moved[0, 0, :, 0].tolist(), moved[0, 0, :, 1].tolist()
    ([2.0, 3.0, 4.0, 0.0], [0.0, 1.0, 2.0, 3.0])

    Reference:
        Wang et al., "When Shift Operation Meets Vision Transformer", arXiv 2201.10801, section 3
        and algorithm 1.
    """
    if len(x.shape) != 4:
        raise ValueError(
            f"shift() needs a tensor (N, H, W, C), got {len(x.shape)} axes: {tuple(x.shape)}."
        )
    check_shift_pixel(shift_pixel)
    group = channels_per_group(x.shape[-1], num_div)
    if shift_pixel == 0:
        return ops.convert_to_tensor(x)
    moved = [
        _move(x[..., k * group : (k + 1) * group], axis, sign * shift_pixel)
        for k, (axis, sign) in enumerate(DIRECTIONS.values())
    ]
    return ops.concatenate([*moved, x[..., 4 * group :]], axis=-1)


def check_shift_pixel(shift_pixel):
    """Raises a ValueError unless `shift_pixel` is an int >= 0."""
    if type(shift_pixel) is not int or shift_pixel < 0:
        raise ValueError(f"shift_pixel must be an int >= 0 (pixels), got {shift_pixel!r}.")


def _move(x, axis, pixels):
    """Slides `x` along `axis`: zeros come in at one end, as many lines leave at the other."""
    # Padding and cutting at *opposite* ends is what moves the pixels. Both at the same end would
    # only blank a line.
    padding = [(0, 0)] * 4
    kept = [slice(None)] * 4
    if pixels > 0:
        padding[axis], kept[axis] = (pixels, 0), slice(None, -pixels)
    else:
        padding[axis], kept[axis] = (0, -pixels), slice(-pixels, None)
    return ops.pad(x, padding)[tuple(kept)]


@keras.saving.register_keras_serializable(package="shiftvit_utils")
class Shift(keras.layers.Layer):
    """`shift()` as a layer without weights.

    Args:
        num_div: int, the four groups hold `C // num_div` channels each.
        shift_pixel: int >= 0, how far the groups move, in pixels.
        **kwargs: `name`, `dtype` and the other arguments of every Keras layer.

    Call arguments:
        inputs: tensor `(N, H, W, C)`.

    Output shape: that of the inputs.

    Raises:
        ValueError: as `shift()` does, when the layer is made or built.

    >>> Shift(num_div=4)(keras.ops.ones((1, 8, 8, 24))).shape == (1, 8, 8, 24)
    True
    """

    def __init__(self, num_div=12, shift_pixel=1, **kwargs):
        super().__init__(**kwargs)
        check_shift_pixel(shift_pixel)
        self.num_div = num_div
        self.shift_pixel = shift_pixel

    def build(self, input_shape):
        channels_per_group(input_shape[-1], self.num_div)
        self.built = True

    def call(self, inputs):
        return shift(inputs, self.num_div, self.shift_pixel)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "num_div": self.num_div, "shift_pixel": self.shift_pixel}

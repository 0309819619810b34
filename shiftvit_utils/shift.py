"""The shift: the paper's replacement for attention.

Four groups of channels slide by `shift_pixel` pixels, one group in each direction; all other
channels stay. No parameters, no multiplications: only where a number stands changes. This module
holds the function and the layer that wraps it, and nothing else of the network. The layer can also
do what the published Keras example does instead, for comparison.
"""

import keras
from keras import ops

# Where each of the four groups goes, in channel order, as (axis of an (N, H, W, C) tensor, sign
# along that axis). The order is the one of the authors' code, so that their weights meet the
# channels they were trained with.
DIRECTIONS = {"left": (2, -1), "right": (2, +1), "up": (1, -1), "down": (1, +1)}

# What the layer `Shift` does with its four groups. Only the first is the paper's; the other two
# are what it is compared with.
SHIFT_VARIANTS = ("paper", "border_zeroing", "none")


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
    if channels < 4:
        raise ValueError(
            f"The four groups of a shift need at least 4 channels, but C = {channels}."
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


def group_size(channels, num_div, group_channels=None):
    """Channels of each of the four groups: `group_channels` if given, else `C // num_div`.

    Args:
        channels: int, the size C of the channel axis.
        num_div: int, the paper's divisor; without effect if `group_channels` is given.
        group_channels: None, or an int >= 1.

    Returns:
        int.

    Raises:
        ValueError: if the four groups do not fit into the channels, or one would be empty.

    >>> group_size(96, 12), group_size(192, 12), group_size(192, 12, group_channels=12)
    (8, 16, 12)
    """
    check_group_channels(group_channels)
    if group_channels is None:
        return channels_per_group(channels, num_div)
    if channels is None or 4 * group_channels > channels:
        raise ValueError(
            f"Four groups of group_channels={group_channels} need {4 * group_channels} channels, "
            f"but there are {channels}. Use a smaller group_channels, or None for C // num_div."
        )
    return group_channels


def check_group_channels(group_channels):
    """Raises a ValueError unless `group_channels` is None or an int >= 1."""
    if group_channels is not None and (type(group_channels) is not int or group_channels < 1):
        raise ValueError(
            "group_channels must be None (C // num_div channels a group) or an int >= 1, got "
            f"{group_channels!r}."
        )


def check_shift_variant(shift_variant):
    """Raises a ValueError unless `shift_variant` is one of `SHIFT_VARIANTS`."""
    if shift_variant not in SHIFT_VARIANTS:
        raise ValueError(f"shift_variant must be one of {SHIFT_VARIANTS}, got {shift_variant!r}.")


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


def zero_borders(x, shift_pixel=1):
    """What the published Keras example does in place of the shift: blanks lines, moves nothing.

    It cuts a rectangle out of each quarter of the channels and pads it back where it came from, so
    that `shift_pixel` lines become zero: those at which `shift` lets zeros in.

    Args:
        x: tensor `(N, H, W, 4 * g)` of any dtype: the four groups and no other channel.
        shift_pixel: int >= 0, in pixels.

    Returns:
        A tensor with the shape and dtype of `x`.

    >>> import numpy as np
    >>> row = np.arange(1.0, 5.0, dtype="float32").reshape(1, 1, 4, 1).repeat(4, axis=-1)
    >>> keras.ops.convert_to_numpy(zero_borders(row))[0, 0, :, 0].tolist()
    [1.0, 2.0, 3.0, 0.0]
    """
    group = x.shape[-1] // 4
    blanked = []
    for k, (axis, sign) in enumerate(DIRECTIONS.values()):
        part = x[..., k * group : (k + 1) * group]
        # The other way and back: the same as cutting and padding at one end, and it needs to know
        # neither height nor width.
        away = _move(part, axis, -sign * shift_pixel)
        blanked.append(_move(away, axis, sign * shift_pixel))
    return ops.concatenate(blanked, axis=-1)


@keras.saving.register_keras_serializable(package="shiftvit_utils")
class Shift(keras.layers.Layer):
    """`shift()` as a layer without weights, and what it is compared with.

    Args:
        num_div: int, the four groups hold `C // num_div` channels each.
        shift_pixel: int >= 0, how far the groups move, in pixels.
        shift_variant: "paper" moves the groups. "border_zeroing" is the published Keras example,
            which moves nothing and blanks the lines at the border. "none" leaves all as it is.
        group_channels: None, or an int >= 1: so many channels in each group, whatever `num_div` and
            C are. The published Keras example has 12, in every stage.
        **kwargs: `name`, `dtype` and the other arguments of every Keras layer.

    Call arguments:
        inputs: tensor `(N, H, W, C)`.

    Output shape: that of the inputs.

    Raises:
        ValueError: as `shift()` does, when the layer is made or built.

    >>> Shift(num_div=4)(keras.ops.ones((1, 8, 8, 24))).shape == (1, 8, 8, 24)
    True
    """

    def __init__(
        self, num_div=12, shift_pixel=1, shift_variant="paper", group_channels=None, **kwargs
    ):
        super().__init__(**kwargs)
        check_shift_pixel(shift_pixel)
        check_shift_variant(shift_variant)
        check_group_channels(group_channels)
        self.num_div = num_div
        self.shift_pixel = shift_pixel
        self.shift_variant = shift_variant
        self.group_channels = group_channels

    def build(self, input_shape):
        group_size(input_shape[-1], self.num_div, self.group_channels)
        self.built = True

    def call(self, inputs):
        if self.shift_variant == "none":
            return inputs
        if self.shift_variant == "paper" and self.group_channels is None:
            return shift(inputs, self.num_div, self.shift_pixel)
        moving_channels = 4 * group_size(inputs.shape[-1], self.num_div, self.group_channels)
        moving, rest = inputs[..., :moving_channels], inputs[..., moving_channels:]
        if self.shift_variant == "paper":
            moving = shift(moving, num_div=4, shift_pixel=self.shift_pixel)
        else:
            moving = zero_borders(moving, self.shift_pixel)
        return ops.concatenate([moving, rest], axis=-1)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "num_div": self.num_div,
            "shift_pixel": self.shift_pixel,
            "shift_variant": self.shift_variant,
            "group_channels": self.group_channels,
        }

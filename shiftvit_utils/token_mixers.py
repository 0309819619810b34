"""What can stand in the place of the shift, to be compared with it: a convolution, attention.

The paper asks whether attention is what makes vision transformers work, and puts the shift in its
place. These layers make the comparison one argument, `ShiftViT(token_mixer=...)`: the same network,
the same MLPs, another way to mix neighbouring tokens. Nothing else uses them.
"""

import keras
import numpy as np
from keras import ops

from shiftvit_utils.shift import Shift, check_shift_pixel
from shiftvit_utils.shift_variants import shift_kernel

TOKEN_MIXERS = ("shift", "depthwise_conv", "attention")


@keras.saving.register_keras_serializable(package="shiftvit_utils")
class DepthwiseConvMixer(keras.layers.Layer):
    """A depthwise convolution that starts as the paper's shift, and learns from there.

    Its kernel is at first the one that the shift is as a convolution: a single one for each
    channel. So training starts where a network with the shift does, and what it then gains is
    what learning the mix of neighbours gains. With `shift_pixel=1` the kernel is 3x3, and the layer
    has `10 * C` weights.

    Args:
        num_div: int, `C // num_div` channels start as a shift in each direction.
        shift_pixel: int >= 0, in pixels; the kernel reaches as far.
        **kwargs: `name`, `dtype` and the other arguments of every Keras layer.

    Call arguments:
        inputs: tensor `(N, H, W, C)`.

    Output shape: that of the inputs.

    >>> DepthwiseConvMixer(num_div=4)(keras.ops.ones((1, 8, 8, 24))).shape == (1, 8, 8, 24)
    True
    """

    def __init__(self, num_div=12, shift_pixel=1, **kwargs):
        super().__init__(**kwargs)
        check_shift_pixel(shift_pixel)
        self.num_div = num_div
        self.shift_pixel = shift_pixel

    def build(self, input_shape):
        channels = input_shape[-1]
        start = shift_kernel(channels, self.num_div, self.shift_pixel)  # (k, k, C, 1)
        self.kernel = self.add_weight(
            shape=start.shape,
            initializer=lambda shape, dtype: ops.convert_to_tensor(start, dtype),
            name="kernel",
        )
        self.bias = self.add_weight(shape=(channels,), initializer="zeros", name="bias")
        self.built = True

    def call(self, inputs):
        # A sum over the shifted maps, as in `shift`. XLA's own convolution of that kind takes more
        # than ten times as long on a CPU.
        height, width = ops.shape(inputs)[1:3]
        reach = self.shift_pixel
        padded = ops.pad(inputs, [(0, 0), (reach, reach), (reach, reach), (0, 0)])
        mixed = self.bias  # (C,)
        for row, column in np.ndindex(*self.kernel.shape[:2]):
            moved = padded[:, row : row + height, column : column + width]  # (N, H, W, C)
            mixed = mixed + moved * self.kernel[row, column, :, 0]
        return mixed

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "num_div": self.num_div,
            "shift_pixel": self.shift_pixel,
        }


@keras.saving.register_keras_serializable(package="shiftvit_utils")
class AttentionMixer(keras.layers.Layer):
    """Self-attention over all tokens of the map, as in a vision transformer: `x + attention(norm)`.

    Attention alone does not know where a token stands, so each place has a learned vector that is
    added to what attention sees. Its shortcut is the transformer's own; the block adds its MLP to
    what comes out, as it does to a shifted map. It has `4 * C * (C + 1) + H * W * C + 2 * C`
    weights.

    Args:
        head_channels: int, channels of an attention head; C must be a multiple, or smaller.
        epsilon: float, added to the variance in the layer normalisation.
        **kwargs: `name`, `dtype` and the other arguments of every Keras layer.

    Call arguments:
        inputs: tensor `(N, H, W, C)`, H and W known and always the same.

    Output shape: that of the inputs.

    Raises:
        ValueError: if H or W is not known, or C is no multiple of `head_channels`.

    Reference:
        Dosovitskiy et al., "An Image is Worth 16x16 Words", arXiv 2010.11929.

    >>> AttentionMixer()(keras.ops.ones((1, 4, 4, 48))).shape == (1, 4, 4, 48)
    True
    """

    def __init__(self, head_channels=24, epsilon=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.head_channels = head_channels
        self.epsilon = epsilon

    def build(self, input_shape):
        _, height, width, channels = input_shape
        if height is None or width is None:
            raise ValueError(
                "token_mixer='attention' learns a vector for each place, and needs a known height "
                f"and width; got {tuple(input_shape)}. Give image_shape as numbers."
            )
        head_channels = min(self.head_channels, channels)
        if channels % head_channels:
            raise ValueError(
                f"{channels} channels are no multiple of head_channels={head_channels}. For "
                "token_mixer='attention' use a projected_dim that is one."
            )
        self.position = self.add_weight(
            shape=(height * width, channels),
            initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            name="position_embedding",  # Muon leaves what goes by "embedding" to AdamW
        )
        self.norm = keras.layers.LayerNormalization(
            epsilon=self.epsilon, dtype=self.dtype_policy, trainable=self.trainable, name="norm"
        )
        self.heads = channels // head_channels
        # Muon steps kernels of two axes only. Those of Keras's `MultiHeadAttention` have three.
        self.query, self.key, self.value, self.output_dense = (
            keras.layers.Dense(
                channels, dtype=self.dtype_policy, trainable=self.trainable, name=name
            )
            for name in ("query", "key", "value", "output")
        )
        tokens = (None, height * width, channels)
        for layer in (self.norm, self.query, self.key, self.value, self.output_dense):
            layer.build(tokens)
        self.built = True

    def call(self, inputs):
        _, height, width, channels = inputs.shape
        tokens = ops.reshape(inputs, (-1, height * width, channels))  # (N, H * W, C)
        seen = self.norm(tokens) + ops.cast(self.position, tokens.dtype)
        in_heads = (-1, height * width, self.heads, channels // self.heads)
        query, key, value = (
            ops.reshape(dense(seen), in_heads) for dense in (self.query, self.key, self.value)
        )
        mixed = ops.dot_product_attention(query, key, value)  # (N, H * W, heads, C / heads)
        mixed = tokens + self.output_dense(ops.reshape(mixed, (-1, height * width, channels)))
        return ops.reshape(mixed, (-1, height, width, channels))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "head_channels": self.head_channels,
            "epsilon": self.epsilon,
        }


def make_token_mixer(
    token_mixer, num_div, shift_pixel, shift_variant, group_channels, epsilon, dtype
):
    """The layer that goes by `token_mixer`, named "shift" or as `token_mixer` says.

    Args:
        token_mixer: "shift", "depthwise_conv" or "attention".
        num_div: as in `Shift` and `DepthwiseConvMixer`.
        shift_pixel: likewise.
        shift_variant: as in `Shift`; the others have no variants.
        group_channels: as in `Shift`.
        epsilon: float, of the normalisation before attention.
        dtype: dtype policy of the layer.

    Returns:
        A Keras layer for `(N, H, W, C)`.

    Raises:
        ValueError: if `token_mixer` is none of the three.
    """
    # Made for the others too: so its arguments are checked in every network.
    shift = Shift(num_div, shift_pixel, shift_variant, group_channels, dtype=dtype, name="shift")
    if token_mixer == "shift":
        return shift
    if token_mixer == "depthwise_conv":
        return DepthwiseConvMixer(num_div, shift_pixel, dtype=dtype, name=token_mixer)
    if token_mixer == "attention":
        return AttentionMixer(epsilon=epsilon, dtype=dtype, name=token_mixer)
    raise ValueError(f"token_mixer must be one of {TOKEN_MIXERS}, got {token_mixer!r}.")

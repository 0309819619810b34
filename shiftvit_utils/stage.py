"""The pyramid: patches become tokens, blocks stack to stages, merging halves the map between.

Both the patch embedding and patch merging cut the map into squares that do not overlap and put one
dense layer on each square. That is a convolution whose stride equals its kernel, written as a
reshape and a matrix product.
"""

import keras
from keras import ops

from shiftvit_utils.block import (
    ShiftViTBlock,
    hand_on_trainable,
    make_dense,
    make_normalization,
)


def patchify(x, patch_size):
    """Cuts images into squares: `(N, H, W, C)` -> `(N, H / p, W / p, p * p * C)`.

    The last axis holds a patch row by row, channels last, as the kernel of a convolution does.

    Args:
        x: tensor `(N, H, W, C)`; H and W divisible by `patch_size`.
        patch_size: int p >= 1, in pixels.

    Raises:
        ValueError: if a known H or W is not divisible by `patch_size`.

    >>> patchify(keras.ops.ones((2, 8, 12, 3)), 4).shape == (2, 2, 3, 48)
    True
    """
    static_height, static_width, channels = x.shape[1:]
    _check_divisible((static_height, static_width), patch_size)
    count, height, width = ops.shape(x)[:3]
    rows = None if static_height is None else static_height // patch_size
    columns = None if static_width is None else static_width // patch_size
    # Where a size is known only when it runs, so must be the number of images: with -1, a size that
    # cannot be divided would move rows from one image to another instead of failing.
    count = count if None in (rows, columns) else -1
    rows, columns = rows or height // patch_size, columns or width // patch_size
    x = ops.reshape(x, (count, rows, patch_size, columns, patch_size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))  # (N, H/p, W/p, p, p, C)
    return ops.reshape(x, (count, rows, columns, patch_size * patch_size * channels))


def _check_divisible(sizes, patch_size):
    for axis, size in zip(("height", "width"), sizes, strict=True):
        if size is not None and size % patch_size:
            raise ValueError(
                f"The {axis} of the images, {size}, is not divisible by patch_size={patch_size}. "
                f"Resize the images or choose a patch size that divides {size}."
            )


@keras.saving.register_keras_serializable(package="shiftvit_utils")
class PatchEmbedding(keras.layers.Layer):
    """Turns each square of `patch_size` pixels into one token of `projected_dim` channels.

    Args:
        patch_size: int >= 1, in pixels.
        projected_dim: int, channels of a token.
        patch_norm: bool, normalise the tokens (the authors' code does, the published Keras example
            does not).
        epsilon: float, added to the variance in that normalisation.
        normalization: "layer", "group" or "batch".
        kernel_initializer: name, configuration or instance of a Keras initializer.
        **kwargs: `name`, `dtype` and the other arguments of every Keras layer.

    Call arguments:
        inputs: tensor `(N, H, W, C)`, H and W divisible by `patch_size`.
        training: bool.

    Output shape: `(N, H / patch_size, W / patch_size, projected_dim)`.

    Raises:
        ValueError: if a known H or W is not divisible by `patch_size`.

    >>> PatchEmbedding(4, 96)(keras.ops.ones((1, 32, 32, 3))).shape == (1, 8, 8, 96)
    True
    """

    def __init__(
        self,
        patch_size=4,
        projected_dim=96,
        patch_norm=True,
        epsilon=1e-5,
        normalization="layer",
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.patch_size = patch_size
        self.projected_dim = projected_dim
        self.patch_norm = patch_norm
        self.epsilon = epsilon
        self.normalization = normalization
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.projection = make_dense(
            projected_dim, self.kernel_initializer, self.dtype_policy, name="projection"
        )
        self.norm = (
            make_normalization(normalization, epsilon, self.dtype_policy, "norm")
            if patch_norm
            else None
        )

    def build(self, input_shape):
        _check_divisible(input_shape[1:3], self.patch_size)
        self.projection.build((*input_shape[:3], self.patch_size**2 * input_shape[-1]))
        if self.norm is not None:
            self.norm.build(self.compute_output_shape(input_shape))
        hand_on_trainable(self, [self.projection, self.norm])
        self.built = True

    def call(self, inputs, training=False):
        tokens = self.projection(patchify(inputs, self.patch_size))  # (N, H/p, W/p, projected_dim)
        return tokens if self.norm is None else self.norm(tokens, training=training)

    def compute_output_shape(self, input_shape):
        sizes = [None if size is None else size // self.patch_size for size in input_shape[1:3]]
        return (input_shape[0], *sizes, self.projected_dim)

    def get_config(self):
        return {
            **super().get_config(),
            "patch_size": self.patch_size,
            "projected_dim": self.projected_dim,
            "patch_norm": self.patch_norm,
            "epsilon": self.epsilon,
            "normalization": self.normalization,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@keras.saving.register_keras_serializable(package="shiftvit_utils")
class PatchMerging(keras.layers.Layer):
    """Halves the map and doubles the channels: four neighbours become one token.

    A map of odd height or width gets one line of zeros below or on the right first, so nothing of
    it is lost and even a map of one pixel can be merged. (The authors' code leaves the last line
    out; at even sizes there is no difference.)

    Args:
        epsilon: float, added to the variance in the normalisation before the merge.
        normalization: "layer", "group" or "batch".
        kernel_initializer: name, configuration or instance of a Keras initializer.
        **kwargs: `name`, `dtype` and the other arguments of every Keras layer.

    Call arguments:
        inputs: tensor `(N, H, W, C)`.
        training: bool.

    Output shape: `(N, ceil(H / 2), ceil(W / 2), 2 * C)`.

    >>> PatchMerging()(keras.ops.ones((1, 3, 8, 24))).shape == (1, 2, 4, 48)
    True
    """

    def __init__(
        self, epsilon=1e-5, normalization="layer", kernel_initializer="glorot_uniform", **kwargs
    ):
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.normalization = normalization
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.norm = make_normalization(normalization, epsilon, self.dtype_policy, name="norm")

    def build(self, input_shape):
        channels = input_shape[-1]
        self.norm.build(input_shape)
        self.reduction = make_dense(
            2 * channels,
            self.kernel_initializer,
            self.dtype_policy,
            use_bias=False,
            name="reduction",
        )
        self.reduction.build((*input_shape[:3], 4 * channels))
        hand_on_trainable(self, [self.norm, self.reduction])
        self.built = True

    def call(self, inputs, training=False):
        x = self.norm(inputs, training=training)
        height, width = ops.shape(x)[1:3]
        x = ops.pad(x, [(0, 0), (0, height % 2), (0, width % 2), (0, 0)])  # (N, even H, even W, C)
        return self.reduction(patchify(x, 2))  # (N, H/2, W/2, 4C) -> (N, H/2, W/2, 2C)

    def compute_output_shape(self, input_shape):
        sizes = [None if size is None else -(-size // 2) for size in input_shape[1:3]]
        return (input_shape[0], *sizes, 2 * input_shape[-1])

    def get_config(self):
        return {
            **super().get_config(),
            "epsilon": self.epsilon,
            "normalization": self.normalization,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@keras.saving.register_keras_serializable(package="shiftvit_utils")
class StackedShiftBlocks(keras.layers.Layer):
    """One stage: blocks in a row, then, in all stages but the last, patch merging.

    Args:
        drop_path_rates: sequence of floats in [0, 1), one for each block; its length is the number
            of blocks.
        merge: bool, end with `PatchMerging`.
        num_div, shift_pixel, mlp_expand_ratio, mlp_dropout_rate, epsilon, normalization,
            activation, kernel_initializer, shift_variant, group_channels, token_mixer: as in
            `ShiftViTBlock`.
        **kwargs: `name`, `dtype` and the other arguments of every Keras layer.

    Call arguments:
        inputs: tensor `(N, H, W, C)`.
        training: bool.

    Output shape: `(N, ceil(H / 2), ceil(W / 2), 2 * C)` with `merge`, else that of the inputs.

    >>> StackedShiftBlocks([0.0, 0.1])(keras.ops.ones((1, 8, 8, 24))).shape == (1, 4, 4, 48)
    True
    """

    def __init__(
        self,
        drop_path_rates,
        merge=True,
        num_div=12,
        shift_pixel=1,
        mlp_expand_ratio=4,
        mlp_dropout_rate=0.0,
        epsilon=1e-5,
        normalization="layer",
        activation="gelu",
        kernel_initializer="glorot_uniform",
        shift_variant="paper",
        group_channels=None,
        token_mixer="shift",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.drop_path_rates = [float(rate) for rate in drop_path_rates]
        self.block_config = {
            "num_div": num_div,
            "shift_pixel": shift_pixel,
            "mlp_expand_ratio": mlp_expand_ratio,
            "mlp_dropout_rate": mlp_dropout_rate,
            "epsilon": epsilon,
            "normalization": normalization,
            "activation": activation,
            "kernel_initializer": keras.initializers.serialize(
                keras.initializers.get(kernel_initializer)
            ),
            "shift_variant": shift_variant,
            "group_channels": group_channels,
            "token_mixer": token_mixer,
        }
        self.blocks = [
            ShiftViTBlock(
                **self.block_config, drop_path_rate=rate, dtype=self.dtype_policy, name=f"block_{k}"
            )
            for k, rate in enumerate(self.drop_path_rates)
        ]
        self.merging = (
            PatchMerging(
                epsilon, normalization, kernel_initializer, dtype=self.dtype_policy, name="merging"
            )
            if merge
            else None
        )

    def build(self, input_shape):
        for block in self.blocks:
            block.build(input_shape)
        if self.merging is not None:
            self.merging.build(input_shape)
        hand_on_trainable(self, [*self.blocks, self.merging])
        self.built = True

    def call(self, inputs, training=False):
        x = inputs
        for block in self.blocks:
            x = block(x, training=training)
        return x if self.merging is None else self.merging(x, training=training)

    def compute_output_shape(self, input_shape):
        return (
            tuple(input_shape)
            if self.merging is None
            else self.merging.compute_output_shape(input_shape)
        )

    def get_config(self):
        return {
            **super().get_config(),
            **self.block_config,
            "drop_path_rates": self.drop_path_rates,
            "merge": self.merging is not None,
        }

"""The block: shift, then a residual branch of normalisation, MLP and drop path.

The shift mixes neighbouring pixels, the MLP mixes the channels of one pixel. Together they do what
attention and its MLP do in a vision transformer. This module holds the parts of one block;
`stage.py` stacks them.
"""

import math

import keras
from keras import ops

from shiftvit_utils.token_mixers import make_token_mixer

NORMALIZATIONS = ("layer", "group", "batch")


def make_normalization(normalization, epsilon, dtype, name=None):
    """The normalisation layer that goes by `normalization`.

    Args:
        normalization: "layer" (each pixel over its channels), "group" (each image over its pixels
            and channels: the paper's group norm with one group) or "batch".
        epsilon: float, added to the variance.
        dtype: dtype policy of the layer.
        name: optional layer name.

    Returns:
        A Keras layer for `(N, H, W, C)`.

    Raises:
        ValueError: if `normalization` is none of the three.
    """
    if not (math.isfinite(epsilon) and epsilon >= 0):
        raise ValueError(f"epsilon must be a finite number >= 0, got {epsilon!r}.")
    if normalization == "layer":
        return keras.layers.LayerNormalization(epsilon=epsilon, dtype=dtype, name=name)
    if normalization == "group":
        return keras.layers.GroupNormalization(groups=1, epsilon=epsilon, dtype=dtype, name=name)
    if normalization == "batch":
        # PyTorch's momentum of 0.1 is the weight of the new value, Keras's 0.9 that of the old one:
        # the same average.
        return keras.layers.BatchNormalization(
            momentum=0.9, epsilon=epsilon, dtype=dtype, name=name
        )
    raise ValueError(f"normalization must be one of {NORMALIZATIONS}, got {normalization!r}.")


def make_dense(units, kernel_initializer, dtype, use_bias=True, name=None):
    """A Dense layer with an initializer of its own.

    A Keras initializer without a seed gives the same numbers each time it is called, so layers
    that shared one would start equal. A clone draws anew.
    """
    initializer = keras.initializers.get(kernel_initializer).clone()
    return keras.layers.Dense(
        units, use_bias=use_bias, kernel_initializer=initializer, dtype=dtype, name=name
    )


def hand_on_trainable(layer, parts):
    """Freezes the layers within one that was made with `trainable=False`.

    Keras hands on only what is set later, so that a model around it would go on training them.

    Args:
        layer: the Keras layer.
        parts: list of the layers within it that have weights, or None.
    """
    for part in parts:
        if part is not None and not layer.trainable:
            part.trainable = False


def check_rate(name, rate):
    """Raises a ValueError unless `rate` is a number in [0, 1)."""
    if not 0.0 <= rate < 1.0:  # False for NaN too
        raise ValueError(f"{name} must be a number in [0, 1), got {rate!r}.")


@keras.saving.register_keras_serializable(package="shiftvit_utils")
class MLP(keras.layers.Layer):
    """Two dense layers on the channels of each pixel: C -> `mlp_expand_ratio` * C -> C.

    Args:
        mlp_expand_ratio: number > 0, hidden units per channel.
        mlp_dropout_rate: float in [0, 1), dropout after each dense layer (the paper uses 0).
        activation: name of a Keras activation between the two; "gelu" is the exact one, with erf.
        kernel_initializer: name, configuration or instance of a Keras initializer.
        **kwargs: `name`, `dtype` and the other arguments of every Keras layer.

    Call arguments:
        inputs: tensor `(N, H, W, C)`, or any `(..., C)`.
        training: bool, dropout acts only if True.

    Output shape: that of the inputs.

    >>> MLP(mlp_expand_ratio=2)(keras.ops.ones((1, 4, 4, 8))).shape == (1, 4, 4, 8)
    True
    """

    def __init__(
        self,
        mlp_expand_ratio=4,
        mlp_dropout_rate=0.0,
        activation="gelu",
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not mlp_expand_ratio > 0:
            raise ValueError(f"mlp_expand_ratio must be > 0, got {mlp_expand_ratio!r}.")
        check_rate("mlp_dropout_rate", mlp_dropout_rate)
        self.mlp_expand_ratio = mlp_expand_ratio
        self.mlp_dropout_rate = mlp_dropout_rate
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        channels = input_shape[-1]
        hidden_channels = int(channels * self.mlp_expand_ratio)
        if hidden_channels == 0:
            raise ValueError(
                f"mlp_expand_ratio={self.mlp_expand_ratio} leaves no hidden unit for {channels} "
                f"channels. Use mlp_expand_ratio >= {math.ceil(1000 / channels) / 1000:g}."
            )
        self.expand = make_dense(
            hidden_channels, self.kernel_initializer, self.dtype_policy, name="expand"
        )
        self.project = make_dense(
            channels, self.kernel_initializer, self.dtype_policy, name="project"
        )
        self.expand_dropout = keras.layers.Dropout(self.mlp_dropout_rate, dtype=self.dtype_policy)
        self.project_dropout = keras.layers.Dropout(self.mlp_dropout_rate, dtype=self.dtype_policy)
        hidden_shape = (*input_shape[:-1], hidden_channels)
        self.expand.build(input_shape)
        self.expand_dropout.build(hidden_shape)
        self.project.build(hidden_shape)
        self.project_dropout.build(input_shape)
        hand_on_trainable(self, [self.expand, self.project])
        self.built = True

    def call(self, inputs, training=False):
        x = self.activation(self.expand(inputs))  # (..., C) -> (..., ratio * C)
        x = self.expand_dropout(x, training=training)
        x = self.project(x)  # (..., ratio * C) -> (..., C)
        return self.project_dropout(x, training=training)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "mlp_expand_ratio": self.mlp_expand_ratio,
            "mlp_dropout_rate": self.mlp_dropout_rate,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@keras.saving.register_keras_serializable(package="shiftvit_utils")
class DropPath(keras.layers.Layer):
    """Stochastic depth: in training, whole samples of a residual branch are dropped.

    Each sample is zeroed with probability `drop_path_rate`, and those that stay are divided by `1 -
    drop_path_rate`, so that the mean is that of the branch itself. At inference nothing happens.

    Args:
        drop_path_rate: float in [0, 1).
        seed: int or None, for the same masks in every run.
        **kwargs: `name`, `dtype` and the other arguments of every Keras layer.

    Call arguments:
        inputs: tensor `(N, ...)`.
        training: bool, samples are dropped only if True.

    Output shape: that of the inputs.

    Reference:
        Huang et al., "Deep Networks with Stochastic Depth", arXiv 1603.09382.

    >>> x = keras.ops.ones((2, 4, 4, 8))
    >>> bool(keras.ops.all(DropPath(0.5)(x, training=False) == x))
    True
    """

    def __init__(self, drop_path_rate=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        check_rate("drop_path_rate", drop_path_rate)
        self.drop_path_rate = drop_path_rate
        self.seed = seed
        if drop_path_rate > 0.0:
            # A generator, not a plain seed: a plain seed would draw the same mask at every step.
            self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        if not training or self.drop_path_rate == 0.0:
            return inputs
        keep_probability = 1.0 - self.drop_path_rate
        one_per_sample = (ops.shape(inputs)[0],) + (1,) * (len(inputs.shape) - 1)  # (N, 1, 1, 1)
        # Drawn in float32: uniform numbers in float16 or bfloat16 are too coarse for small rates.
        uniform = keras.random.uniform(one_per_sample, dtype="float32", seed=self.seed_generator)
        scale = ops.where(uniform < keep_probability, 1.0 / keep_probability, 0.0)
        return inputs * ops.cast(scale, inputs.dtype)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "drop_path_rate": self.drop_path_rate, "seed": self.seed}


@keras.saving.register_keras_serializable(package="shiftvit_utils")
class ShiftViTBlock(keras.layers.Layer):
    """One block: `s = shift(x)`, then `s + drop_path(mlp(norm(s)))`.

    The shortcut leaves *after* the shift: what the branch adds to is the shifted map, in the paper
    as in the published Keras example.

    Args:
        num_div: int, the shift moves four groups of `C // num_div` channels.
        shift_pixel: int >= 0, how far, in pixels.
        mlp_expand_ratio: number > 0, hidden units of the MLP per channel.
        mlp_dropout_rate: float in [0, 1).
        drop_path_rate: float in [0, 1).
        epsilon: float, added to the variance in the normalisation.
        normalization: "layer", "group" or "batch".
        activation: name of a Keras activation.
        kernel_initializer: name, configuration or instance of a Keras initializer.
        shift_variant: "paper", "border_zeroing" or "none"; see `Shift`.
        group_channels: None, or an int >= 1: channels of each moving group; see `Shift`.
        token_mixer: "shift", or, to compare with it, "depthwise_conv" or "attention" in its place.
        **kwargs: `name`, `dtype` and the other arguments of every Keras layer.

    Call arguments:
        inputs: tensor `(N, H, W, C)`.
        training: bool.

    Output shape: that of the inputs.

    Reference:
        arXiv 2201.10801, figure 2 and section 3.

    >>> ShiftViTBlock()(keras.ops.ones((1, 8, 8, 24))).shape == (1, 8, 8, 24)
    True
    """

    def __init__(
        self,
        num_div=12,
        shift_pixel=1,
        mlp_expand_ratio=4,
        mlp_dropout_rate=0.0,
        drop_path_rate=0.0,
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
        self.epsilon = epsilon
        self.normalization = normalization
        self.mixer_config = {
            "num_div": num_div,
            "shift_pixel": shift_pixel,
            "shift_variant": shift_variant,
            "group_channels": group_channels,
            "token_mixer": token_mixer,
        }
        # Or what a comparison puts in its place.
        self.shift = make_token_mixer(**self.mixer_config, epsilon=epsilon, dtype=self.dtype_policy)
        self.norm = make_normalization(normalization, epsilon, self.dtype_policy, name="norm")
        self.mlp = MLP(
            mlp_expand_ratio,
            mlp_dropout_rate,
            activation,
            kernel_initializer,
            dtype=self.dtype_policy,
            name="mlp",
        )
        self.drop_path = DropPath(drop_path_rate, dtype=self.dtype_policy, name="drop_path")

    def build(self, input_shape):
        for layer in (self.shift, self.norm, self.mlp, self.drop_path):
            layer.build(input_shape)
        hand_on_trainable(self, [self.shift, self.norm, self.mlp])
        self.built = True

    def call(self, inputs, training=False):
        shifted = self.shift(inputs)  # (N, H, W, C), as is all that follows
        branch = self.mlp(self.norm(shifted, training=training), training=training)
        return shifted + self.drop_path(branch, training=training)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        mlp = self.mlp.get_config()
        return {
            **super().get_config(),
            **self.mixer_config,
            "mlp_expand_ratio": mlp["mlp_expand_ratio"],
            "mlp_dropout_rate": mlp["mlp_dropout_rate"],
            "drop_path_rate": self.drop_path.drop_path_rate,
            "epsilon": self.epsilon,
            "normalization": self.normalization,
            "activation": mlp["activation"],
            "kernel_initializer": mlp["kernel_initializer"],
        }

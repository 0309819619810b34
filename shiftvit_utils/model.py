"""The network: patch embedding, stages of shift blocks, average pooling, one dense layer."""

import keras
import numpy as np

from shiftvit_utils.block import check_rate, hand_on_trainable, make_dense, make_normalization
from shiftvit_utils.presets import preset_config
from shiftvit_utils.pretrained import load_weights, network_changes
from shiftvit_utils.shift import group_size
from shiftvit_utils.stage import PatchEmbedding, StackedShiftBlocks

DROP_PATH_RAMPS = ("network", "stage")


def drop_path_ramp(stochastic_depth_rate, num_blocks_per_stage):
    """Drop path rates that rise linearly over *all* blocks, from 0 to `stochastic_depth_rate`.

    Args:
        stochastic_depth_rate: float in [0, 1), the rate of the last block.
        num_blocks_per_stage: sequence of ints.

    Returns:
        list of lists of floats, one list a stage.

    >>> drop_path_ramp(0.75, (2, 2))
    [[0.0, 0.25], [0.5, 0.75]]
    """
    ramp = np.linspace(0.0, stochastic_depth_rate, sum(num_blocks_per_stage))
    last_of_stage = np.cumsum(num_blocks_per_stage)[:-1]
    return [rates.tolist() for rates in np.split(ramp, last_of_stage)]


def drop_path_rates(stochastic_depth_rate, num_blocks_per_stage, ramp="network"):
    """Drop path rates of all blocks, along one of the two ramps in use.

    Args:
        stochastic_depth_rate: float in [0, 1), where a ramp ends.
        num_blocks_per_stage: sequence of ints.
        ramp: "network", one ramp over all blocks (the authors' code), or "stage", a ramp from 0 in
            every stage (the published Keras example).

    Returns:
        list of lists of floats, one list a stage.

    Raises:
        ValueError: for another `ramp`.

    >>> drop_path_rates(0.5, (2, 1, 3), ramp="stage")
    [[0.0, 0.5], [0.0], [0.0, 0.25, 0.5]]
    """
    if ramp == "network":
        return drop_path_ramp(stochastic_depth_rate, num_blocks_per_stage)
    if ramp == "stage":
        return [np.linspace(0.0, stochastic_depth_rate, n).tolist() for n in num_blocks_per_stage]
    raise ValueError(f"drop_path_ramp must be one of {DROP_PATH_RAMPS}, got {ramp!r}.")


@keras.saving.register_keras_serializable(package="shiftvit_utils")
class ShiftViT(keras.Model):
    """The hierarchical vision transformer of the paper, with a shift in place of attention.

    Args:
        image_shape: `(H, W, C)` of the images; H and W may be None.
        num_classes: int, number of logits.
        patch_size: int, pixels on each side of the squares that become tokens.
        projected_dim: int, channels of the first stage. Each further stage has twice as many.
        num_shift_blocks_per_stages: sequence of ints, blocks in each stage.
        num_div: int, each of the four moving groups has `C // num_div` channels.
        shift_pixel: int >= 0, how far they move, in pixels.
        mlp_expand_ratio: number > 0, hidden units of each MLP per channel.
        mlp_dropout_rate: float in [0, 1), dropout in the MLPs.
        stochastic_depth_rate: float in [0, 1), drop path rate of the last block; it rises linearly
            from 0, as `drop_path_ramp` says.
        epsilon: float, added to the variance in every normalisation.
        normalization: "layer", "group" (the paper's) or "batch".
        activation: name of a Keras activation; "gelu" is the exact one.
        kernel_initializer: name, configuration or instance of a Keras initializer, of all kernels.
            The ImageNet presets start as the authors' code does.
        patch_norm: bool, normalise after the patch embedding.
        final_norm: bool, normalise before the average pooling.
        shift_variant: "paper"; or, to compare with it, "border_zeroing" (the published Keras
            example: no pixel moves, lines at the border become zero) or "none".
        group_channels: None, or an int >= 1: each moving group has so many channels in every stage,
            instead of `C // num_div`. The published Keras example has 12.
        drop_path_ramp: "network", one ramp over all blocks, or "stage", from 0 again in every stage
            (the published Keras example).
        token_mixer: "shift"; or, to compare with it, "depthwise_conv" or "attention" in its place;
            see `token_mixers.py`.
        dtype: dtype policy such as "mixed_bfloat16"; None is Keras's global one.
        name: str, name of the model.
        trainable: bool; False freezes all weights, also inside another model.

    Call arguments:
        inputs: float tensor `(N, H, W, C)`, already normalised (`build_classifier` takes raw
            images).
        training: bool, drop path and dropout act only if True.

    Output shape: `(N, num_classes)`, float32 logits under every dtype policy.

    Raises:
        ValueError: for sizes that do not fit together; the message names the argument.

    Reference:
        Wang et al., "When Shift Operation Meets Vision Transformer", arXiv 2201.10801;
        models/shiftvit.py in microsoft/SPACH.

    >>> model = ShiftViT.from_preset("micro", num_classes=7)
    >>> model(keras.ops.zeros((2, 32, 32, 3))).shape == (2, 7)
    True
    """

    def __init__(
        self,
        image_shape=(32, 32, 3),
        num_classes=10,
        patch_size=4,
        projected_dim=96,
        num_shift_blocks_per_stages=(2, 4, 8, 2),
        num_div=12,
        shift_pixel=1,
        mlp_expand_ratio=4,
        mlp_dropout_rate=0.0,
        stochastic_depth_rate=0.0,
        epsilon=1e-5,
        normalization="layer",
        activation="gelu",
        patch_norm=True,
        final_norm=True,
        kernel_initializer="glorot_uniform",
        shift_variant="paper",
        group_channels=None,
        drop_path_ramp="network",
        token_mixer="shift",
        dtype=None,
        name=None,
        trainable=True,
    ):
        image_shape = tuple(image_shape)
        if isinstance(num_shift_blocks_per_stages, int):
            raise ValueError(
                "num_shift_blocks_per_stages must hold one number for each stage, as in "
                f"(2, 4, 8, 2), got {num_shift_blocks_per_stages}."
            )
        blocks_per_stage = tuple(num_shift_blocks_per_stages)
        _check_sizes(image_shape, num_classes, patch_size, projected_dim, blocks_per_stage)
        check_rate("stochastic_depth_rate", stochastic_depth_rate)
        group_size(projected_dim, num_div, group_channels)
        rates_of_stages = drop_path_rates(stochastic_depth_rate, blocks_per_stage, drop_path_ramp)

        # --- Layers ---
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        patch_embedding = PatchEmbedding(
            patch_size,
            projected_dim,
            patch_norm,
            epsilon,
            normalization,
            kernel_initializer,
            dtype=policy,
            name="patch_embedding",
        )
        last = len(rates_of_stages) - 1
        stages = [
            StackedShiftBlocks(
                rates,
                merge=k < last,
                num_div=num_div,
                shift_pixel=shift_pixel,
                mlp_expand_ratio=mlp_expand_ratio,
                mlp_dropout_rate=mlp_dropout_rate,
                epsilon=epsilon,
                normalization=normalization,
                activation=activation,
                kernel_initializer=kernel_initializer,
                shift_variant=shift_variant,
                group_channels=group_channels,
                token_mixer=token_mixer,
                dtype=policy,
                name=f"stage_{k}",
            )
            for k, rates in enumerate(rates_of_stages)
        ]
        norm = (
            make_normalization(normalization, epsilon, policy, name="norm") if final_norm else None
        )
        # Logits stay in float32 under mixed precision: softmax of half-precision logits loses small
        # probabilities.
        head = make_dense(num_classes, kernel_initializer, "float32", name="head")

        # --- Functional model ---
        inputs = keras.Input(image_shape, name="images")
        x = patch_embedding(inputs)  # (N, H/p, W/p, projected_dim)
        for stage in stages:
            x = stage(x)  # all but the last: half the height and width, twice the channels
        if norm is not None:
            x = norm(x)
        pooling = keras.layers.GlobalAveragePooling2D(
            data_format="channels_last", dtype="float32", name="average_pooling"
        )
        x = pooling(x)  # (N, channels)
        super().__init__(inputs=inputs, outputs=head(x), name=name, trainable=trainable)
        hand_on_trainable(self, self.layers)

        # --- Config ---
        self.dtype_policy = policy
        self._config = {
            "image_shape": image_shape,
            "num_classes": num_classes,
            "patch_size": patch_size,
            "projected_dim": projected_dim,
            "num_shift_blocks_per_stages": blocks_per_stage,
            "num_div": num_div,
            "shift_pixel": shift_pixel,
            "mlp_expand_ratio": mlp_expand_ratio,
            "mlp_dropout_rate": mlp_dropout_rate,
            "stochastic_depth_rate": stochastic_depth_rate,
            "epsilon": epsilon,
            "normalization": normalization,
            "activation": activation,
            "patch_norm": patch_norm,
            "final_norm": final_norm,
            "kernel_initializer": keras.initializers.serialize(
                keras.initializers.get(kernel_initializer)
            ),
            "shift_variant": shift_variant,
            "group_channels": group_channels,
            "drop_path_ramp": drop_path_ramp,
            "token_mixer": token_mixer,
        }

    @classmethod
    def from_preset(cls, name, weights=None, **overrides):
        """The network of that name in `PRESETS`, with any argument of `ShiftViT` replaced.

        Args:
            name: a key of `PRESETS`.
            weights: None for random weights, "cifar10" for those that come with the library (for
                the preset "nano"), or a path; see `load_weights` in `pretrained.py`. The head
                starts anew if `num_classes` is another.
            **overrides: arguments of `ShiftViT`.

        Raises:
            ValueError: if there is no such preset, or the weights do not fit the network.
        """
        network = cls(**{**preset_config(name), **network_changes(weights), **overrides})
        if weights is not None:
            load_weights(network, weights)
        return network

    def get_config(self):
        policy = keras.dtype_policies.serialize(self.dtype_policy)
        return {**self._config, "name": self.name, "trainable": self.trainable, "dtype": policy}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        if isinstance(config.get("dtype"), dict):
            config["dtype"] = keras.dtype_policies.deserialize(config["dtype"])
        return cls(**config)


def _check_sizes(image_shape, num_classes, patch_size, projected_dim, blocks_per_stage):
    if (
        len(image_shape) != 3
        or image_shape[-1] is None
        or any(size is not None and size < 1 for size in image_shape)
    ):
        raise ValueError(
            "image_shape must be (height, width, channels), positive, with known channels, "
            f"got {image_shape}."
        )
    sizes = {"num_classes": num_classes, "patch_size": patch_size, "projected_dim": projected_dim}
    for name, size in sizes.items():
        if type(size) is not int or size < 1:
            raise ValueError(f"{name} must be a positive int, got {size!r}.")
    if not blocks_per_stage or any(not isinstance(n, int) or n < 0 for n in blocks_per_stage):
        raise ValueError(
            "num_shift_blocks_per_stages must hold the number of blocks of each stage, as in (2, "
            "4, 8, 2), "
            f"got {blocks_per_stage!r}."
        )

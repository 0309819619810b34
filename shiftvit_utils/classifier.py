"""The model that is trained and saved: raw images in, logits out, all in one graph."""

import keras
import numpy as np

from shiftvit_utils.augmentation import Augmentation
from shiftvit_utils.image_decoding import check_image_size
from shiftvit_utils.model import ShiftViT
from shiftvit_utils.presets import preset_config
from shiftvit_utils.pretrained import input_scale, load_weights, network_changes
from shiftvit_utils.quiet_start import set_random_seed


def build_classifier(
    preset="nano",
    num_classes=10,
    image_shape=(32, 32, 3),
    augmentation="light",
    horizontal_flip=True,
    max_translation=4,
    seed=None,
    dtype=None,
    weights=None,
    image_size=None,
    **overrides,
):
    """A `ShiftViT` behind its preprocessing: resize, augment (in training only), scale to -1..1.

    With `augmentation="keras_io_2022"` the scale is that of the published Keras example, 0..1.

    Resizing is for small images: those of another shape are stretched, and of larger ones pixels
    are skipped. `load_dataset(image_size=...)` crops and resizes such images well before.

    Args:
        preset: str, a key of `PRESETS`.
        num_classes: int, number of logits.
        image_shape: `(H, W, 3)` of the raw images.
        augmentation: "light", "erasing", "randaugment", "published", "keras_io_2022" or "none"; see
            `Augmentation`.
        horizontal_flip: bool, mirror half of the training images.
        max_translation: int >= 0, in pixels; see `Augmentation`.
        seed: int or None. With a seed, initial weights and random numbers are the same in every run
            on one backend.
        dtype: dtype policy of the network, such as "mixed_bfloat16"; None is Keras's global one.
            With "mixed_float16", `compile` scales the loss. Not of a model that was loaded from a
            file: there, wrap the optimizer in a `keras.optimizers.LossScaleOptimizer`.
        weights: None for random weights, "cifar10" for those that come with the library (for the
            preset "nano"), or a path, of a run or of the authors' checkpoint; see `load_weights`
            in `pretrained.py`. The head starts anew if `num_classes` is another.
        image_size: None, or pixels to which the images are resized for the network, one int or
            `(height, width)`; None takes the preset's.
        **overrides: arguments of `ShiftViT` that replace those of the preset.

    Returns:
        A `keras.Model`: `uint8` or float images `(N, H, W, 3)` with values 0..255 -> float32 logits
        `(N, num_classes)`.

    Raises:
        ValueError: if the preset is unknown, sizes do not fit together, images do not have three
            channels, or the weights do not fit the network.

    >>> model = build_classifier("micro", num_classes=5, seed=0)
    >>> model.predict(keras.ops.zeros((2, 32, 32, 3), dtype="uint8"), verbose=0).shape
    (2, 5)
    """
    network_config = {
        **preset_config(preset),
        **network_changes(weights),
        "num_classes": num_classes,
        **overrides,
    }
    if len(image_shape) != 3 or image_shape[-1] != 3:
        raise ValueError(
            f"image_shape={tuple(image_shape)} must be (H, W, 3).{_for_grey_images(image_shape)}"
        )
    size = check_image_size(image_size)
    if size is not None:
        network_config["image_shape"] = (*size, 3)
    scale, offset = (1 / 255, 0.0) if augmentation == "keras_io_2022" else (1 / 127.5, -1.0)
    trained_scale = input_scale(weights)
    if trained_scale is not None and not np.allclose(trained_scale, (scale, offset)):
        lowest, highest = (trained_scale[1], 255 * trained_scale[0] + trained_scale[1])
        raise ValueError(
            f"weights={str(weights)!r} take images scaled to {lowest:g}..{highest:g}, and "
            f"augmentation={augmentation!r} scales them to {offset:g}..{255 * scale + offset:g}. "
            "Choose another augmentation: 'keras_io_2022' scales to 0..1, all others to -1..1."
        )
    if seed is not None:
        set_random_seed(seed)
    height, width = network_config["image_shape"][:2]
    images = keras.Input(image_shape, name="images")
    # float32 whatever the policy: in half precision neighbouring pixel values would be rounded to
    # one.
    x = Augmentation(
        height,
        width,
        augmentation,
        horizontal_flip=horizontal_flip,
        max_translation=max_translation,
        seed=seed,
        dtype="float32",
        name="augmentation",
    )(images)  # (N, height, width, 3)
    x = keras.layers.Rescaling(scale, offset, dtype="float32", name="rescaling")(x)
    network = ShiftViT(**network_config, dtype=dtype, name="shiftvit")
    if weights is not None:
        load_weights(network, weights)
    logits = network(x)  # (N, num_classes)
    model = keras.Model(images, logits, name=f"{preset}_classifier")
    # By the policy of the outermost model, `compile` decides whether to scale the loss.
    model.dtype_policy = network.dtype_policy
    return model


def _for_grey_images(image_shape):
    if len(image_shape) == 2:
        return " Give grey images three channels: np.repeat(images[..., None], 3, axis=-1)."
    if len(image_shape) == 3 and image_shape[-1] == 1:
        return " Repeat the channel of grey images: np.repeat(images, 3, axis=-1)."
    return ""

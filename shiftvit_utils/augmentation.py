"""Augmentation inside the graph: a crop and a flip, drawn anew for every image of a batch.

Keras's own `RandomCrop` and `RandomTranslation` switch compilation off for the whole model, and
`RandomCrop` cuts all images of a batch at the same place. `RandomCropPerImage` does neither. The
flip and the resize are Keras's. One crop for all is here too, as `"keras_io_2022"`: what the
published Keras example did is a baseline, and compiles.
"""

import keras
from keras import ops

from shiftvit_utils.rand_augment import RandAugmentPerImage

AUGMENTATIONS = ("light", "erasing", "randaugment", "published", "keras_io_2022", "none")
# Half of the images lose a rectangle of 2 to 25 % of their area, which becomes black, like what
# comes in from beyond the edge. Mid-grey would be exactly 0 after scaling: with biases of 0 such a
# place is 0 in every block, and each normalisation multiplies its gradient by 1 / sqrt(epsilon).
ERASING = {"factor": (0.5, 0.5), "scale": (0.02, 0.25), "fill_value": 0.0}


@keras.saving.register_keras_serializable(package="shiftvit_utils")
class RandomCropPerImage(keras.layers.Layer):
    """Cuts a window out of each image: in training at a place of its own, else from the centre.

    Args:
        height: int, of the window, in pixels.
        width: int, of the window, in pixels.
        seed: int or None, for the same windows in every run.
        **kwargs: `name`, `dtype` and the other arguments of every Keras layer.

    Call arguments:
        images: tensor `(N, H, W, C)` with `H >= height` and `W >= width`.
        training: bool, random only if True.

    Output shape: `(N, height, width, C)`.

    Raises:
        ValueError: if the window is larger than the images.

    >>> RandomCropPerImage(4, 4)(keras.ops.ones((2, 6, 8, 3)), training=True).shape == (2, 4, 4, 3)
    True
    """

    def __init__(self, height, width, seed=None, **kwargs):
        super().__init__(**kwargs)
        for axis, size in (("height", height), ("width", width)):
            if type(size) is not int or size < 1:
                raise ValueError(f"{axis} must be an int >= 1 (pixels), got {size!r}.")
        self.height = height
        self.width = width
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        if None in input_shape[1:3]:
            raise ValueError("RandomCropPerImage needs the height and width of its images.")
        if input_shape[1] < self.height or input_shape[2] < self.width:
            raise ValueError(
                f"A crop of {self.height}x{self.width} pixels does not fit into images of "
                f"{input_shape[1]}x{input_shape[2]}. Choose a smaller crop or resize the images "
                "first."
            )
        self.built = True

    def call(self, images, training=False):
        images = ops.cast(images, self.compute_dtype)  # Keras casts floats, but not uint8
        spare_rows, spare_columns = images.shape[1] - self.height, images.shape[2] - self.width
        if not training:
            top, left = spare_rows // 2, spare_columns // 2
            return images[:, top : top + self.height, left : left + self.width]
        # Whole numbers 0..spare, each as likely: uniform in [0, 1) times (spare + 1), rounded down.
        uniform = keras.random.uniform(
            (ops.shape(images)[0], 2), dtype="float32", seed=self.seed_generator
        )
        top = ops.cast(uniform[:, 0] * (spare_rows + 1), "int32")  # (N,)
        left = ops.cast(uniform[:, 1] * (spare_columns + 1), "int32")  # (N,)
        rows = top[:, None] + ops.arange(self.height, dtype="int32")  # (N, height)
        columns = left[:, None] + ops.arange(self.width, dtype="int32")  # (N, width)
        images = ops.take_along_axis(images, rows[:, :, None, None], axis=1)  # (N, height, W, C)
        return ops.take_along_axis(
            images, columns[:, None, :, None], axis=2
        )  # (N, height, width, C)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.height, self.width, input_shape[-1])

    def get_config(self):
        return {
            **super().get_config(),
            "height": self.height,
            "width": self.width,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="shiftvit_utils")
class Augmentation(keras.layers.Layer):
    """Brings images to the network's size and, in training, crops and flips each in its own way.

    - "published": the sizes of the published Keras example. Resize a little too large (52 for a
      network of 48), cut a random window, flip left and right. Evaluation cuts the centre window.
    - "keras_io_2022": the same, but as the example ran it: one window for all images of a batch,
      and evaluation shrinks the whole enlarged image, as Keras 2's `RandomCrop` did.
      (`build_classifier` then scales to 0..1, as the example did.)
    - "light": move the image by up to `max_translation` pixels, black coming in, and flip.
      Evaluation leaves it as is.
    - "erasing": "light", and half of the images lose a rectangle of up to a quarter of their area.
    - "randaugment": "light", and two operations on each image; see `RandAugmentPerImage`.
    - "none": resize only.

    Args:
        height: int, of the output, in pixels.
        width: int, of the output, in pixels.
        augmentation: "light", "erasing", "randaugment", "published", "keras_io_2022" or "none".
        horizontal_flip: bool, mirror half of the images (wrong for digits and letters).
        max_translation: int >= 0, in pixels, for "light", "erasing" and "randaugment".
        seed: int or None, for the same random numbers in every run.
        **kwargs: `name`, `dtype` and the other arguments of every Keras layer.

    Call arguments:
        images: tensor `(N, H, W, C)`, values 0..255.
        training: bool, random only if True.

    Output shape: `(N, height, width, C)`, same range of values.

    Raises:
        ValueError: if `augmentation` is none of these, or `max_translation` is negative; with
            "randaugment", if the images do not have three channels.

    >>> images = keras.ops.ones((2, 32, 32, 3))
    >>> Augmentation(48, 48, "published")(images, training=True).shape == (2, 48, 48, 3)
    True
    """

    def __init__(
        self,
        height,
        width,
        augmentation="light",
        horizontal_flip=True,
        max_translation=4,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if augmentation not in AUGMENTATIONS:
            raise ValueError(f"augmentation must be one of {AUGMENTATIONS}, got {augmentation!r}.")
        if not isinstance(max_translation, int) or max_translation < 0:
            raise ValueError(
                f"max_translation must be an int >= 0 (pixels), got {max_translation!r}."
            )
        self.height = height
        self.width = width
        self.augmentation = augmentation
        self.horizontal_flip = horizontal_flip
        self.max_translation = max_translation
        self.seed = seed

        resize_height, resize_width = height, width
        # The example's 52 for 48, in proportion.
        if augmentation in ("published", "keras_io_2022"):
            resize_height, resize_width = height + height // 12, width + width // 12
        flip_seed = None if seed is None else seed + 1
        self.resize = keras.layers.Resizing(
            resize_height, resize_width, data_format="channels_last", dtype=self.dtype_policy
        )
        self.shrink = keras.layers.Resizing(
            height, width, data_format="channels_last", dtype=self.dtype_policy
        )
        self.crop = RandomCropPerImage(height, width, seed=seed, dtype=self.dtype_policy)
        self.flip = keras.layers.RandomFlip(
            "horizontal", seed=flip_seed, data_format="channels_last", dtype=self.dtype_policy
        )
        if augmentation == "erasing":
            erasing_seed = None if seed is None else seed + 2
            self.erase = keras.layers.RandomErasing(
                **ERASING, seed=erasing_seed, data_format="channels_last", dtype=self.dtype_policy
            )
        if augmentation == "randaugment":
            operations_seed = None if seed is None else seed + 2
            self.rand_augment = RandAugmentPerImage(seed=operations_seed, dtype=self.dtype_policy)

    def build(self, input_shape):
        if self.augmentation == "randaugment":
            self.rand_augment.build((input_shape[0], self.height, self.width, input_shape[-1]))
        self.needs_resize = tuple(input_shape[1:3]) != (self.resize.height, self.resize.width)
        self.built = True

    def call(self, images, training=False):
        images = ops.cast(images, self.compute_dtype)  # Keras casts floats, but not uint8
        x = self.resize(images) if self.needs_resize else images
        if self.augmentation == "none":
            return x
        if self.augmentation == "keras_io_2022":
            x = self._crop_at_one_place(x) if training else self.shrink(x)
        elif self.augmentation == "published":
            x = self.crop(x, training=training)
        elif training:
            p = self.max_translation
            x = self.crop(ops.pad(x, [(0, 0), (p, p), (p, p), (0, 0)]), training=True)
            if self.augmentation == "erasing":
                x = self.erase(x, training=True)
            elif self.augmentation == "randaugment":
                x = self.rand_augment(x, training=True)
        # `training` is always handed on: without it Keras's flip takes it to be True.
        return self.flip(x, training=training) if self.horizontal_flip else x

    def _crop_at_one_place(self, images):
        """One random window for the whole batch, each place as likely."""
        spare = (images.shape[1] - self.height, images.shape[2] - self.width)
        # The crop's own generator, so that the state of a run has the same variables as any other.
        uniform = keras.random.uniform((2,), dtype="float32", seed=self.crop.seed_generator)
        top, left = (ops.cast(uniform[k] * (spare[k] + 1), "int32") for k in (0, 1))
        rows = top + ops.arange(self.height, dtype="int32")
        columns = left + ops.arange(self.width, dtype="int32")
        return ops.take(ops.take(images, rows, axis=1), columns, axis=2)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.height, self.width, input_shape[-1])

    def get_config(self):
        return {
            **super().get_config(),
            "height": self.height,
            "width": self.width,
            "augmentation": self.augmentation,
            "horizontal_flip": self.horizontal_flip,
            "max_translation": self.max_translation,
            "seed": self.seed,
        }

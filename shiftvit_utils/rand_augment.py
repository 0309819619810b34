"""RandAugment inside the graph: operations drawn anew for every image of a batch.

Keras's `RandAugment` draws its operations once for a whole batch, computes all of them for each
one that it applies, and switches compilation off for the whole model. `RandAugmentPerImage` does
neither: what moves pixels is one gather, what changes their values is chosen image by image, and
it compiles on TensorFlow and JAX. The operations and their ranges are those of the paper (Cubuk,
Zoph, Shlens, Le, arXiv 1909.13719), computed as Pillow computes them, but for the rounding.
"""

import math

import keras
from keras import ops

# What is drawn, each as likely. The paper's fourteen.
OPERATIONS = (
    "identity",
    "auto_contrast",
    "equalize",
    "solarize",
    "posterize",
    "color",
    "contrast",
    "brightness",
    "sharpness",
    "rotate",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)
MAX_MAGNITUDE = 10
# Of each operation at magnitude 10. At 0 nothing moves, and no whole grey level changes but in
# auto_contrast and equalize, which have no strength.
LARGEST = {
    "rotate": math.radians(30),
    "shear": 0.3,
    "translate": 150 / 331,  # of the side
    "enhance": 0.9,  # color, contrast, brightness, sharpness: 1 - 0.9 to 1 + 0.9
    "posterize": 4,  # bits that are dropped
    "solarize": 256,  # grey levels, from white, that are inverted
}
SMOOTH_CENTRE = 5  # Pillow's SMOOTH: a 3x3 mean in which the centre counts five times


@keras.saving.register_keras_serializable(package="shiftvit_utils")
class RandAugmentPerImage(keras.layers.Layer):
    """In training, applies `num_ops` operations drawn for each image; else changes nothing.

    Args:
        num_ops: int >= 1, operations one after the other, drawn with replacement.
        magnitude: float in [0, 10], strength of each. What can go two ways (left or right, brighter
            or darker) goes either way half of the time.
        seed: int or None, for the same draws in every run.
        **kwargs: `name`, `dtype` and the other arguments of every Keras layer.

    Call arguments:
        images: tensor `(N, H, W, 3)`, red, green and blue, values 0..255.
        training: bool, random only if True.

    Output shape: that of the input, same range of values. Black comes in where an image was moved
    away.

    Raises:
        ValueError: for arguments out of range, or images without three channels.

    >>> images = keras.ops.ones((2, 32, 32, 3))
    >>> RandAugmentPerImage()(images, training=True).shape == (2, 32, 32, 3)
    True
    """

    def __init__(self, num_ops=2, magnitude=5.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        if type(num_ops) is not int or num_ops < 1:
            raise ValueError(f"num_ops must be an int >= 1, got {num_ops!r}.")
        is_number = isinstance(magnitude, int | float) and not isinstance(magnitude, bool)
        if not is_number or not 0 <= magnitude <= MAX_MAGNITUDE:
            raise ValueError(f"magnitude must be a number in [0, 10], got {magnitude!r}.")
        self.num_ops = num_ops
        self.magnitude = magnitude
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        if len(input_shape) != 4 or input_shape[-1] != 3:
            raise ValueError(
                "RandAugmentPerImage needs images of shape (N, H, W, 3): red, green and blue. Got "
                f"{tuple(input_shape)}."
            )
        self.built = True

    def call(self, images, training=False):
        images = ops.cast(images, self.compute_dtype)  # Keras casts floats, but not uint8
        if not training:
            return images
        uniform = keras.random.uniform(
            (self.num_ops, 2, ops.shape(images)[0]), dtype="float32", seed=self.seed_generator
        )
        drawn = ops.cast(uniform[:, 0] * len(OPERATIONS), "int32")  # (num_ops, N)
        signs = ops.where(uniform[:, 1] < 0.5, -1.0, 1.0)  # (num_ops, N)
        x = ops.cast(images, "float32")  # half precision would misplace pixels
        for step in range(self.num_ops):
            x = apply_operations(x, drawn[step], signs[step] * self.magnitude)
        return ops.cast(x, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_ops": self.num_ops,
            "magnitude": self.magnitude,
            "seed": self.seed,
        }


def apply_operations(images, drawn, magnitudes):
    """One operation on each image.

    Args:
        images: float32 tensor `(N, H, W, 3)`, values 0..255.
        drawn: int32 tensor `(N,)`, places in `OPERATIONS`.
        magnitudes: float32 tensor `(N,)` in [-10, 10]. The sign says which way, where there are
            two.

    Returns:
        float32 tensor `(N, H, W, 3)`, values 0..255.

    >>> red = keras.ops.ones((1, 2, 2, 3)) * keras.ops.array([200.0, 0.0, 0.0])
    >>> brighter = apply_operations(
    ...     red, keras.ops.array([OPERATIONS.index("brightness")]), keras.ops.array([2.0])
    ... )
    >>> round(float(brighter[0, 0, 0, 0]))  # 200 * (1 + 0.9 * 2 / 10)
    236
    """
    strength = magnitudes / MAX_MAGNITUDE  # (N,) in [-1, 1]

    def are(name):
        return drawn == OPERATIONS.index(name)  # (N,)

    x = _moved(images, are, strength)
    x = _enhanced(x, are, strength)
    unsigned = ops.abs(strength)[:, None, None, None]
    dropped = 2.0 ** ops.round(unsigned * LARGEST["posterize"])  # grey levels that become one
    bright = x >= 256 - unsigned * LARGEST["solarize"]
    for name, changed in (
        ("auto_contrast", _auto_contrast(x)),
        ("equalize", _equalized(x)),
        ("posterize", ops.floor(x / dropped) * dropped),
        ("solarize", ops.where(bright, 255.0 - x, x)),
    ):
        x = ops.where(are(name)[:, None, None, None], changed, x)
    return x


def _moved(images, are, strength):
    """Rotation about the centre, shears and translations: each result pixel's source, gathered."""
    height, width, channels = images.shape[1:]
    zero = ops.zeros_like(strength)

    def only(name, amount):
        return ops.where(are(name), amount, zero)[:, None, None]  # (N, 1, 1)

    angle = only("rotate", strength * LARGEST["rotate"])
    shear_x, shear_y = (only(f"shear_{axis}", strength * LARGEST["shear"]) for axis in "xy")
    right, down = (
        only(f"translate_{axis}", strength * LARGEST["translate"] * side)
        for axis, side in (("x", width), ("y", height))
    )
    # Centres of pixels, from the top left corner and, for the rotation, from the middle.
    y = ops.arange(height, dtype="float32")[:, None] + 0.5
    x = ops.arange(width, dtype="float32") + 0.5
    from_middle_y, from_middle_x = y - height / 2, x - width / 2
    cos, sin = ops.cos(angle), ops.sin(angle)
    source_x = cos * from_middle_x - sin * from_middle_y + width / 2 + shear_x * y - right
    source_y = sin * from_middle_x + cos * from_middle_y + height / 2 + shear_y * x - down
    column, row = (ops.cast(ops.floor(s), "int32") for s in (source_x, source_y))  # (N, H, W)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    places = ops.reshape(ops.where(inside, row * width + column, 0), (-1, height * width, 1))
    pixels = ops.reshape(images, (-1, height * width, channels))
    gathered = ops.reshape(
        ops.take_along_axis(pixels, places, axis=1), (-1, height, width, channels)
    )
    return ops.where(inside[..., None], gathered, 0.0)


def _enhanced(x, are, strength):
    """Away from, or towards, an image without colour, contrast, light or edges."""
    grey = ops.image.rgb_to_grayscale(x, data_format="channels_last")  # (N, H, W, 1)
    plain = x
    for name, without in (
        ("color", grey),
        ("contrast", ops.mean(grey, axis=(1, 2), keepdims=True)),
        ("brightness", ops.zeros_like(grey)),
        ("sharpness", _smoothed(x)),
    ):
        plain = ops.where(are(name)[:, None, None, None], without, plain)
    factor = 1 + strength[:, None, None, None] * LARGEST["enhance"]
    return ops.clip(plain + factor * (x - plain), 0.0, 255.0)


def _smoothed(x):
    """3x3 means in which the centre counts five times; the border stays."""
    height, width = x.shape[1:3]
    if height < 3 or width < 3:
        return x
    inner = x[:, 1:-1, 1:-1]
    means = ops.average_pool(x, 3, strides=1, padding="valid", data_format="channels_last")
    smooth = (9 * means + (SMOOTH_CENTRE - 1) * inner) / (8 + SMOOTH_CENTRE)
    return x + ops.pad(smooth - inner, [(0, 0), (1, 1), (1, 1), (0, 0)])


def _auto_contrast(x):
    """Each channel of each image stretched to 0..255."""
    low, high = (f(x, axis=(1, 2), keepdims=True) for f in (ops.min, ops.max))  # (N, 1, 1, 3)
    flat = high <= low
    return ops.where(flat, x, (x - low) * (255.0 / ops.where(flat, 1.0, high - low)))


def _equalized(x):
    """Each channel of each image with grey levels that are used equally often."""
    height, width, channels = x.shape[1:]
    grey_levels = ops.cast(ops.clip(x, 0.0, 255.0), "int32")  # 256 would be the next image's 0
    values = ops.reshape(
        ops.transpose(grey_levels, (0, 3, 1, 2)), (-1, height * width)
    )  # (N * C, H * W)
    planes = ops.shape(values)[0]
    bins = ops.reshape(values + 256 * ops.arange(planes, dtype="int32")[:, None], (-1,))
    counts = ops.segment_sum(ops.ones_like(bins), bins, num_segments=planes * 256)
    counts = ops.reshape(counts, (-1, 256))
    darker = ops.cumsum(counts, axis=1) - counts  # (N * C, 256): pixels below each grey level
    # Pillow's whole numbers: 255 steps of so many pixels, without those of the brightest level.
    brightest = ops.max(values, axis=1, keepdims=True)
    step = ops.take_along_axis(darker, brightest, axis=1) // 255  # (N * C, 1)
    levels = ops.clip((darker + step // 2) // ops.maximum(step, 1), 0, 255)
    result = ops.where(step == 0, values, ops.take_along_axis(levels, values, axis=1))
    result = ops.reshape(ops.cast(result, "float32"), (-1, channels, height, width))
    return ops.transpose(result, (0, 2, 3, 1))

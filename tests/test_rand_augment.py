"""RandAugment: each operation against Pillow's, and one draw for each image."""

import keras
import numpy as np
import pytest
from keras import ops
from numpy_oracles import as_numpy
from PIL import Image, ImageEnhance, ImageOps

from shiftvit_utils.rand_augment import OPERATIONS, RandAugmentPerImage, apply_operations

SIDES = (20, 32)  # height, width
# Not such that whole rows of sources lie just between two pixels, where rounding decides.
MAGNITUDES = (-9.7, -7.1, -3.3, 0, 4.1, 8.9)
ENHANCERS = {
    "color": ImageEnhance.Color,
    "contrast": ImageEnhance.Contrast,
    "brightness": ImageEnhance.Brightness,
    "sharpness": ImageEnhance.Sharpness,
}
MOVING = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")


def pictures():
    """Smooth, noisy, nearly uniform, black, and of two grey levels; uint8 (5, H, W, 3)."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (4, 5, 3), "uint8"))
    smooth = np.asarray(small.resize(SIDES[::-1], Image.Resampling.BICUBIC))
    noisy = rng.integers(30, 190, (*SIDES, 3), "uint8")
    flat = np.full((*SIDES, 3), 77, "uint8")
    flat[3, 4] = (80, 77, 70)
    two = np.where(rng.random((*SIDES, 1)) < 0.3, np.uint8(20), np.uint8(230)).repeat(3, axis=-1)
    return np.stack([smooth, noisy, flat, np.zeros_like(flat), two])


def apply(images, drawn, magnitudes):
    tensors = (
        ops.convert_to_tensor(np.asarray(value, dtype))
        for value, dtype in ((images, "float32"), (drawn, "int32"), (magnitudes, "float32"))
    )
    return as_numpy(apply_operations(*tensors))


def by_pillow(pixels, name, magnitude):
    """The paper's operation at this magnitude: its ranges, written out a second time."""
    image, share = Image.fromarray(pixels), magnitude / 10
    if name in ENHANCERS:
        return ENHANCERS[name](image).enhance(1 + 0.9 * share)
    if name in MOVING:
        height, width = SIDES
        radians = np.deg2rad(30) * share
        cos, sin = np.cos(radians), np.sin(radians)
        middle = np.array([width / 2, height / 2])
        turned = middle - np.array([[cos, -sin], [sin, cos]]) @ middle
        matrix = {
            "rotate": (cos, -sin, turned[0], sin, cos, turned[1]),
            "shear_x": (1, 0.3 * share, 0, 0, 1, 0),
            "shear_y": (1, 0, 0, 0.3 * share, 1, 0),
            "translate_x": (1, 0, -share * 150 / 331 * width, 0, 1, 0),
            "translate_y": (1, 0, 0, 0, 1, -share * 150 / 331 * height),
        }[name]
        return image.transform((width, height), Image.Transform.AFFINE, matrix)
    return {
        "identity": lambda: image,
        "auto_contrast": lambda: ImageOps.autocontrast(image),
        "equalize": lambda: ImageOps.equalize(image),
        "solarize": lambda: ImageOps.solarize(image, 256 - 256 * abs(share)),
        "posterize": lambda: ImageOps.posterize(image, 8 - round(4 * abs(share))),
    }[name]()


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_is_that_of_pillow(name):
    images = pictures()
    drawn = np.full(len(images), OPERATIONS.index(name))
    for magnitude in MAGNITUDES:
        found = apply(images, drawn, np.full(len(images), magnitude))
        expected = np.stack([by_pillow(pixels, name, magnitude) for pixels in images])
        difference = np.abs(found - expected.astype("float32")).max(axis=-1)
        if name in MOVING:  # a source that falls between two pixels may round either way
            assert (difference > 0).mean() < 0.005
        else:  # Pillow rounds, the grey image too, which a factor of up to 1.9 makes larger
            assert difference.max() < 2.0


def test_at_magnitude_nothing_only_the_two_without_strength_change_anything():
    images = pictures()[:2]
    for name in OPERATIONS:
        found = apply(images, np.full(2, OPERATIONS.index(name)), np.zeros(2))
        same = np.allclose(found, images, atol=1e-3)
        assert same is (name not in ("auto_contrast", "equalize")), name


def test_a_batch_of_all_operations_is_each_image_by_itself():
    image = pictures()[:1]
    drawn = np.arange(len(OPERATIONS))
    strengths = np.linspace(-9, 8, len(OPERATIONS))
    together = apply(np.repeat(image, len(OPERATIONS), axis=0), drawn, strengths)
    for k in range(len(OPERATIONS)):
        alone = apply(image, drawn[k : k + 1], strengths[k : k + 1])
        np.testing.assert_allclose(together[k], alone[0], atol=1e-3)


def which_operation(out, image, magnitude):
    """Names and signs of the operations that make `out` of `image`; there is at least one."""
    tries = [(name, sign) for name in OPERATIONS for sign in (1, -1)]
    made = apply(
        np.repeat(image[None], len(tries), axis=0),
        [OPERATIONS.index(name) for name, _ in tries],
        [sign * magnitude for _, sign in tries],
    )
    fits = [t for t, result in zip(tries, made, strict=True) if np.allclose(result, out, atol=0.01)]
    assert fits, "an image that no operation makes"
    return fits


def test_draws_every_operation_for_each_image_as_often_and_both_ways():
    count, magnitude = 1400, 6.0
    image = pictures()[1]
    layer = RandAugmentPerImage(num_ops=1, magnitude=magnitude, seed=1)
    outs = as_numpy(layer(np.repeat(image[None], count, axis=0), training=True))
    different, which = np.unique(outs.round(1), axis=0, return_inverse=True)
    seen = dict.fromkeys(OPERATIONS, 0)
    ways = {}
    for k in range(len(different)):
        times = int((which == k).sum())
        fits = which_operation(outs[np.argmax(which == k)], image, magnitude)
        assert len({name for name, _ in fits}) == 1, "the picture cannot tell operations apart"
        seen[fits[0][0]] += times
        if len(fits) == 1:  # else it has one way only
            ways[fits[0]] = times
    expected = count / len(OPERATIONS)
    chi_square = sum((times - expected) ** 2 / expected for times in seen.values())
    assert chi_square < 34.5  # 13 degrees of freedom: exceeded once in a thousand
    assert {name for name, _ in ways} == {*ENHANCERS, *MOVING}
    assert len(ways) == 2 * len({name for name, _ in ways}), "a way that never comes"


def test_repeats_with_its_seed_and_is_never_random_outside_training():
    images = pictures().repeat(4, axis=0)

    def draw(seed):
        layer = RandAugmentPerImage(seed=seed)
        return [as_numpy(layer(images, training=True)) for _ in range(2)]

    first, second = draw(1)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(draw(1), [first, second])
    assert not np.array_equal(draw(2)[0], first)
    for training in (False, None):
        np.testing.assert_array_equal(
            as_numpy(RandAugmentPerImage()(images, training=training)), images
        )


def test_half_precision_moves_the_same_pixels():
    """bfloat16 has whole numbers up to 256 only, and images have 1,024 pixels."""
    images = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3)).astype("float32")
    exact = as_numpy(RandAugmentPerImage(magnitude=9, seed=1)(images, training=True))
    half = RandAugmentPerImage(magnitude=9, seed=1, dtype="mixed_bfloat16")(images, training=True)
    assert keras.backend.standardize_dtype(half.dtype) == "bfloat16"
    assert np.abs(as_numpy(half, "float32") - exact).max() <= 1.0  # 8 bits of 255


def test_compiles_and_draws_anew_in_each_step():
    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.Dense(1, use_bias=False)(RandAugmentPerImage(seed=1)(inputs))
    model = keras.Model(inputs, outputs)
    compiled = keras.config.backend() != "torch"  # which Keras runs eagerly
    model.compile(keras.optimizers.SGD(0.0), loss=lambda _, y: ops.mean(y), jit_compile=compiled)
    images = np.random.default_rng(0).uniform(0, 255, (16, 8, 8, 3)).astype("float32")
    targets = np.zeros((16, 8, 8, 1), "float32")

    def loss(on_batch):
        model.reset_metrics()  # Keras 3.13 gives the mean since the last reset
        return round(float(on_batch(images, targets)), 4)

    assert len({loss(model.train_on_batch) for _ in range(4)}) == 4
    assert len({loss(model.test_on_batch) for _ in range(3)}) == 1
    assert model.jit_compile is compiled
    assert RandAugmentPerImage().supports_jit


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"num_ops": 0}, "num_ops must be an int >= 1, got 0"),
        ({"num_ops": 2.0}, "num_ops must be an int >= 1"),
        ({"magnitude": -1}, r"magnitude must be a number in \[0, 10\], got -1"),
        ({"magnitude": 10.5}, "magnitude must be a number"),
        ({"magnitude": float("nan")}, "magnitude must be a number"),
        ({"magnitude": "5"}, "magnitude must be a number"),
    ],
)
def test_bad_arguments_are_named(argument, message):
    with pytest.raises(ValueError, match=message):
        RandAugmentPerImage(**argument)


@pytest.mark.parametrize("shape", [(1, 8, 8, 1), (1, 8, 8, 4), (8, 8, 3)])
def test_needs_red_green_and_blue(shape):
    with pytest.raises(ValueError, match=r"\(N, H, W, 3\)"):
        RandAugmentPerImage()(np.zeros(shape, "float32"))

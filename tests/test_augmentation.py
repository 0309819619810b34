"""Crops are drawn for every image of its own, evenly over all windows, and compile."""

import keras
import numpy as np
import pytest
from keras import ops
from numpy_oracles import as_numpy
from PIL import Image

from shiftvit_utils import Augmentation, RandomCropPerImage

ALL = ["light", "erasing", "randaugment", "published", "keras_io_2022", "none"]


def numbered(count, height, width):
    """Images whose two channels hold row and column, so that a pixel tells where it was."""
    rows, columns = np.mgrid[:height, :width].astype("float32")
    return np.tile(np.stack([rows, columns], axis=-1), (count, 1, 1, 1))


def offsets(windows):
    """(top, left) of each window of numbered images, after checking that it is one."""
    corners = windows[:, 0, 0]
    rows, columns = np.mgrid[: windows.shape[1], : windows.shape[2]]
    expected = corners[:, None, None] + np.stack([rows, columns], axis=-1)
    np.testing.assert_array_equal(windows, expected)
    return corners.astype(int)


def test_each_image_has_a_crop_of_its_own_and_all_are_as_likely():
    count, spare = 4000, (2, 3)
    layer = RandomCropPerImage(5, 4, seed=1)
    found = offsets(as_numpy(layer(numbered(count, 5 + spare[0], 4 + spare[1]), training=True)))
    places = (spare[0] + 1) * (spare[1] + 1)
    seen = np.zeros((spare[0] + 1, spare[1] + 1))
    np.add.at(seen, tuple(found.T), 1)  # fails outside the legal windows
    chi_square = ((seen - count / places) ** 2 / (count / places)).sum()
    assert chi_square < 31.3  # 11 degrees of freedom: exceeded once in a thousand


def test_crop_is_the_centre_outside_training():
    layer = RandomCropPerImage(4, 3)
    for training in (False, None):
        found = offsets(as_numpy(layer(numbered(3, 8, 8), training=training)))
        assert found.tolist() == [[2, 2]] * 3  # of 5 places left and right, the middle: 5 // 2
    assert offsets(as_numpy(layer(numbered(1, 8, 8)))).tolist() == [[2, 2]]


def test_a_crop_of_the_images_own_size_changes_nothing():
    images = numbered(4, 5, 6)
    np.testing.assert_array_equal(as_numpy(RandomCropPerImage(5, 6)(images, training=True)), images)


@pytest.mark.parametrize("size", [(7, 4), (4, 7)])
def test_a_crop_must_fit(size):
    with pytest.raises(ValueError, match=f"crop of {size[0]}x{size[1]} .* images of 6x6"):
        RandomCropPerImage(*size)(numbered(1, 6, 6))


@pytest.mark.parametrize(
    ("height", "width", "message"),
    [
        (0, 4, r"^height must be .* got 0\."),
        (4, -1, r"^width must be .* got -1\."),
        (2.5, 4, r"^height must be .* got 2\.5\."),
    ],
)
def test_a_crop_has_a_positive_size(height, width, message):
    with pytest.raises(ValueError, match=message):
        RandomCropPerImage(height, width)


def test_crop_needs_the_size_of_the_images():
    with pytest.raises(ValueError, match="height and width"):
        RandomCropPerImage(4, 4)(keras.KerasTensor((None, None, None, 3)))


def test_crops_repeat_with_their_seed_and_differ_from_call_to_call():
    def draw(seed):
        layer = RandomCropPerImage(4, 4, seed=seed)
        images = numbered(32, 8, 8)
        return [offsets(as_numpy(layer(images, training=True))).tolist() for _ in range(2)]

    first, second = draw(seed=1)
    assert first != second
    assert draw(seed=1) == [first, second]
    assert draw(seed=2) != [first, second]


def test_light_moves_by_up_to_max_translation_with_black_coming_in():
    images = 1.0 + numbered(600, 6, 6)
    layer = Augmentation(6, 6, "light", horizontal_flip=False, max_translation=2, seed=1)
    padded = np.pad(images[0], [(2, 2), (2, 2), (0, 0)])
    windows = np.stack([padded[r : r + 6, c : c + 6] for r in range(5) for c in range(5)])
    moved = as_numpy(layer(images, training=True), "float32")
    which = (moved[:, None] == windows[None]).all(axis=(2, 3, 4))
    assert which.any(axis=1).all(), "an image that is no translation"
    assert which.any(axis=0).all(), "a translation that never comes"
    np.testing.assert_array_equal(as_numpy(layer(images, training=False)), images)


def test_flips_half_of_the_images():
    images = numbered(1000, 4, 4)
    layer = Augmentation(4, 4, "light", max_translation=0, seed=1)
    out = as_numpy(layer(images, training=True))
    flipped = out[:, 0, 0, 1] == 3.0
    np.testing.assert_array_equal(out[flipped], images[flipped][:, :, ::-1])
    np.testing.assert_array_equal(out[~flipped], images[~flipped])
    assert flipped.mean() == pytest.approx(0.5, abs=5 * np.sqrt(0.25 / 1000))


@pytest.mark.parametrize("augmentation", ["light", "published", "keras_io_2022"])
def test_never_flips_without_horizontal_flip(augmentation):
    layer = Augmentation(24, 24, augmentation, horizontal_flip=False, seed=1)
    out = as_numpy(layer(100.0 * numbered(200, 24, 24), training=True))
    columns = out[:, 12, 6:18, 1]
    assert (np.diff(columns) > 0).all(), "columns must still rise from left to right"


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("augmentation", ALL)
def test_is_never_random_outside_training(augmentation, flip):
    images = np.random.default_rng(0).uniform(0, 255, (16, 24, 24, 3)).astype("float32")
    layer = Augmentation(24, 24, augmentation, horizontal_flip=flip)
    at_rest = as_numpy(layer(images, training=False))
    np.testing.assert_array_equal(as_numpy(layer(images, training=None)), at_rest)
    np.testing.assert_array_equal(as_numpy(layer(images)), at_rest)
    np.testing.assert_array_equal(as_numpy(layer(images, training=False)), at_rest)
    in_training = as_numpy(layer(images, training=True))
    assert np.array_equal(in_training, at_rest) is (augmentation == "none")


def bilinear(image, size):
    channels = [Image.fromarray(channel) for channel in np.moveaxis(image, -1, 0)]
    resized = [np.asarray(channel.resize(size[::-1], Image.BILINEAR)) for channel in channels]
    return np.stack(resized, axis=-1)


def test_published_resizes_to_52_and_crops_48():
    images = np.random.default_rng(0).uniform(0, 255, (60, 32, 32, 3)).astype("float32")
    layer = Augmentation(48, 48, "published", horizontal_flip=False, seed=1)
    larger = np.stack([bilinear(image, (52, 52)) for image in images])
    at_rest = as_numpy(layer(images, training=False))
    np.testing.assert_allclose(at_rest, larger[:, 2:50, 2:50], atol=0.01)
    cropped = as_numpy(layer(images, training=True), "float32")
    windows = np.stack([larger[:, r : r + 48, c : c + 48] for r in range(5) for c in range(5)])
    distance = np.abs(windows - cropped).max(axis=(2, 3, 4))  # (25 windows, 60 images)
    assert distance.min(axis=0).max() < 0.01
    assert len(set(distance.argmin(axis=0))) > 12


def test_keras_io_2022_cuts_one_window_of_the_batch_and_all_are_as_likely():
    """Numbered images of the size of the window are resized first: so ask for the larger size."""
    count = 600
    layer = Augmentation(24, 24, "keras_io_2022", horizontal_flip=False, seed=1)
    images = numbered(3, 26, 26)  # 24 + 24 // 12, so that nothing has to be resized
    found = []
    for _ in range(count):
        places = offsets(as_numpy(layer(images, training=True)))
        assert (places == places[0]).all(), "images of one batch cut at several places"
        found.append(tuple(places[0]))
    seen = np.zeros((3, 3))
    np.add.at(seen, tuple(np.transpose(found)), 1)  # fails outside the legal windows
    assert ((seen - count / 9) ** 2 / (count / 9)).sum() < 26.1  # 8 degrees: once in a thousand


def test_keras_io_2022_resizes_to_52_and_differs_from_call_to_call():
    image = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype("float32")
    layer = Augmentation(48, 48, "keras_io_2022", horizontal_flip=False, seed=1)
    larger = bilinear(image[0], (52, 52))
    # At rest the whole enlarged image is shrunk again: nothing of it is cut off.
    # (Pillow would also blur when it shrinks; Keras does not.)
    places = np.clip((np.arange(48) + 0.5) * 52 / 48 - 0.5, 0, 51)
    weights = np.stack([np.interp(places, np.arange(52), row) for row in np.eye(52)], axis=1)
    shrunk = np.einsum("rh,cw,hwd->rcd", weights, weights, larger)
    np.testing.assert_allclose(as_numpy(layer(image))[0], shrunk, atol=0.01)
    assert np.abs(shrunk - larger[2:50, 2:50]).max() > 10
    windows = np.stack([larger[r : r + 48, c : c + 48] for r in range(5) for c in range(5)])
    found = set()
    for _ in range(20):
        batch = as_numpy(layer(np.repeat(image, 4, axis=0), training=True))
        np.testing.assert_array_equal(batch, np.repeat(batch[:1], 4, axis=0))
        distance = np.abs(windows - batch[0]).max(axis=(1, 2, 3))
        assert distance.min() < 0.01
        found.add(int(distance.argmin()))
    assert len(found) > 5


def test_keras_io_2022_flips_each_image_for_itself():
    images = numbered(400, 26, 26)
    layer = Augmentation(24, 24, "keras_io_2022", seed=1)
    out = as_numpy(layer(images, training=True))
    flipped = out[:, 0, 0, 1] > out[:, 0, -1, 1]
    assert flipped.mean() == pytest.approx(0.5, abs=5 * np.sqrt(0.25 / 400))
    upright = np.where(flipped[:, None, None, None], out[:, :, ::-1], out)
    places = offsets(upright)
    assert (places == places[0]).all()


def test_none_only_resizes():
    images = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype("float32")
    expected = np.stack([bilinear(image, (12, 16)) for image in images])
    layer = Augmentation(12, 16, "none")
    np.testing.assert_allclose(as_numpy(layer(images, training=True)), expected, atol=0.01)


@pytest.mark.parametrize("augmentation", ALL)
def test_images_of_bytes_become_float(augmentation):
    images = np.random.default_rng(0).integers(0, 256, (2, 12, 12, 3), "uint8")
    layer = Augmentation(12, 12, augmentation)
    for training in (True, False):
        out = layer(ops.convert_to_tensor(images), training=training)
        assert keras.backend.standardize_dtype(out.dtype) == "float32"
    exact = as_numpy(layer(images.astype("float32")))
    np.testing.assert_allclose(as_numpy(layer(ops.convert_to_tensor(images))), exact, atol=1e-3)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"augmentation": "heavy"}, r"augmentation must be one of .*published.*'heavy'"),
        ({"max_translation": -1}, "max_translation must be an int >= 0"),
        ({"max_translation": 1.5}, "max_translation must be an int >= 0"),
    ],
)
def test_bad_arguments_are_named(argument, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(8, 8, **argument)


@pytest.mark.parametrize("augmentation", ["published", "keras_io_2022"])
def test_in_compiled_training_each_step_draws_anew(augmentation):
    inputs = keras.Input((8, 8, 2))
    outputs = Augmentation(6, 6, augmentation, seed=1)(inputs)
    outputs = RandomCropPerImage(2, 2, seed=2)(outputs)
    model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False)(outputs))
    model.set_weights([np.array([[1.0], [0.1]])])
    compiled = keras.config.backend() != "torch"  # which Keras runs eagerly
    model.compile(keras.optimizers.SGD(0.0), loss=mean_output, jit_compile=compiled)
    images, targets = numbered(16, 8, 8), np.zeros((16, 2, 2, 1), "float32")

    def loss(on_batch):
        model.reset_metrics()  # Keras 3.13 gives the mean since the last reset
        return round(float(on_batch(images, targets)), 4)

    in_training = {loss(model.train_on_batch) for _ in range(5)}
    at_rest = {loss(model.test_on_batch) for _ in range(3)}
    assert model.jit_compile is compiled
    assert (len(in_training), len(at_rest)) == (5, 1)


def mean_output(_, outputs):
    return ops.mean(outputs)


def test_erasing_takes_a_rectangle_from_half_of_the_images():
    count, side = 2000, 24
    images = np.full((count, side, side, 3), 10.0, "float32")
    layer = Augmentation(side, side, "erasing", max_translation=0, seed=1)
    gone = (as_numpy(layer(images, training=True)) != 10.0).any(axis=-1)
    share = gone.mean(axis=(1, 2))
    hit = share > 0
    assert hit.mean() == pytest.approx(0.5, abs=5 * np.sqrt(0.25 / count))
    # A rectangle that would stick out is cut off, so it may be smaller than it was drawn.
    assert share.max() <= 0.25 + 2 / side
    assert share[hit].mean() > 0.05
    for mask in gone[hit][:50]:
        rows, columns = np.where(mask)
        assert mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all()
    np.testing.assert_array_equal(as_numpy(layer(images, training=False)), images)


@pytest.mark.parametrize("augmentation", ["erasing", "randaugment"])
def test_leaves_compilation_on(augmentation):
    layer = Augmentation(24, 24, augmentation)
    layers = [layer, *layer._flatten_layers(include_self=False)]
    assert all(getattr(inner, "supports_jit", True) for inner in layers)

"""What is trained and saved: raw images in, logits out, compiled as one graph."""

import keras
import numpy as np
import pytest
from numpy_oracles import as_numpy

from shiftvit_utils import ShiftViT, build_classifier

TINY = {"projected_dim": 12, "num_shift_blocks_per_stages": (1, 1)}


def tiny(**kwargs):
    return build_classifier("micro", **{"num_classes": 4, **TINY, **kwargs})


def raw_images(count=8, size=(32, 32), dtype="uint8"):
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3)).astype(dtype)


def test_equals_the_network_on_pixels_scaled_to_minus_one_and_one():
    model = tiny(augmentation="light")
    network = model.get_layer("shiftvit")
    assert isinstance(network, ShiftViT)
    images = raw_images()
    expected = as_numpy(network(images.astype("float32") / 255.0 * 2.0 - 1.0))
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, atol=1e-5)


def test_keras_io_2022_scales_to_zero_and_one_without_mean_or_deviation():
    model = tiny(augmentation="keras_io_2022")
    # Images of one colour each, which no resize changes.
    colours = raw_images(size=(1, 1))
    images = np.broadcast_to(colours, (len(colours), 32, 32, 3))
    pixels = images.astype("float32") / 255.0
    expected = as_numpy(model.get_layer("shiftvit")(pixels))
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, atol=1e-5)


@pytest.mark.parametrize("augmentation", ["light", "published", "keras_io_2022", "none"])
def test_bytes_and_floats_give_the_same_logits(augmentation):
    model = tiny(augmentation=augmentation)
    logits = model.predict(raw_images(), verbose=0)
    assert np.ptp(logits) > 1e-4
    as_floats = model.predict(raw_images(dtype="float32"), verbose=0)
    np.testing.assert_array_equal(as_floats, logits)


def test_evaluation_is_deterministic():
    model = tiny(augmentation="published", stochastic_depth_rate=0.5, mlp_dropout_rate=0.5)
    images = raw_images()
    first, second = (model.predict(images, verbose=0) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(as_numpy(model(images)), as_numpy(model(images, training=False)))


def test_raw_size_and_network_size_may_differ():
    model = build_classifier("cifar10", 7, image_shape=(40, 28, 3), **TINY)
    assert model.input_shape == (None, 40, 28, 3)
    assert model.get_layer("shiftvit").input_shape == (None, 48, 48, 3)
    assert model.predict(raw_images(2, (40, 28)), verbose=0).shape == (2, 7)


def test_a_seed_fixes_weights_and_random_numbers():
    def run(seed):
        model = tiny(augmentation="light", stochastic_depth_rate=0.5, seed=seed)
        return model.get_weights(), as_numpy(model(raw_images(), training=True))

    weights, logits = run(seed=1)
    same_weights, same_logits = run(seed=1)
    for ours, theirs in zip(weights, same_weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(logits, same_logits)
    other_weights, other_logits = run(seed=2)
    assert not np.array_equal(weights[0], other_weights[0])
    assert not np.array_equal(logits, other_logits)


@pytest.mark.parametrize(
    ("given", "size"), [(16, (16, 16)), ((16, 24), (16, 24)), (None, (32, 32))]
)
def test_the_network_takes_the_size_that_was_asked_for(given, size):
    model = tiny(image_size=given, image_shape=(40, 40, 3), augmentation="none")
    assert model.get_layer("shiftvit").input_shape[1:] == (*size, 3)
    assert model.predict(raw_images(size=(40, 40)), verbose=0).shape == (8, 4)


@pytest.mark.parametrize("augmentation", ["light", "published", "keras_io_2022", "none"])
def test_no_layer_switches_compilation_off(augmentation):
    model = tiny(augmentation=augmentation, stochastic_depth_rate=0.1, mlp_dropout_rate=0.1)
    assert [layer.name for layer in model._flatten_layers() if not layer.supports_jit] == []
    model.compile(loss="mse", jit_compile=True)
    assert model.jit_compile is True


def test_compiled_training_stays_compiled_and_learns():
    model = tiny(augmentation="light", stochastic_depth_rate=0.1, mlp_dropout_rate=0.1)
    compiled = keras.config.backend() != "torch"  # which Keras runs eagerly
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss=loss, jit_compile=compiled)
    assert model.jit_compile is compiled
    labels = np.arange(16) % 4
    images = raw_images(16) // 8 + (64 * labels[:, None, None, None]).astype("uint8")
    losses = [float(model.train_on_batch(images, labels)) for _ in range(20)]
    assert model.jit_compile is compiled
    assert 0.5 < losses[0] < 4.0  # of the order of log(4)
    assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:3])


def test_logits_and_pixels_stay_float32_under_mixed_precision():
    model = tiny(dtype="mixed_bfloat16")
    assert model.output.dtype == "float32"
    assert model.get_layer("rescaling").compute_dtype == "float32"
    assert model.get_layer("shiftvit").get_layer("stage_0").compute_dtype == "bfloat16"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"preset": "huge"}, "Unknown preset 'huge'"),
        ({"num_classes": 0}, "num_classes must be a positive int"),
        ({"augmentation": "heavy"}, "augmentation must be one of"),
        ({"normalization": "x"}, "normalization must be one of"),
        ({"image_shape": (28, 28)}, r"must be \(H, W, 3\).*np.repeat\(images\[..., None\], 3"),
        ({"image_shape": (28, 28, 1)}, r"must be \(H, W, 3\).*np.repeat\(images, 3"),
        ({"image_shape": (28, 28, 4)}, r"must be \(H, W, 3\)\.$"),
    ],
)
def test_bad_arguments_are_named(argument, message):
    with pytest.raises(ValueError, match=message):
        build_classifier(**{"preset": "micro", **TINY, **argument})


def test_a_misspelt_argument_is_refused():
    with pytest.raises((TypeError, ValueError), match="drop_rate"):
        tiny(drop_rate=0.1)


def test_compile_scales_the_loss_of_a_network_in_half_precision():
    for policy, scales in (("mixed_float16", True), ("mixed_bfloat16", False)):
        model = tiny(dtype=policy)
        model.compile("adam", "sparse_categorical_crossentropy")
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) == scales

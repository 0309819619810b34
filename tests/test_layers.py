"""What holds for every public layer, asserted by one routine that each of them goes through."""

import dataclasses
import importlib.util
import inspect
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy_oracles import as_numpy

import shiftvit_utils
from shiftvit_utils import (
    MLP,
    AttentionMixer,
    Augmentation,
    DepthwiseConvMixer,
    DropPath,
    PatchEmbedding,
    PatchMerging,
    RandAugmentPerImage,
    RandomCropPerImage,
    Shift,
    ShiftViT,
    ShiftViTBlock,
    StackedShiftBlocks,
    build_classifier,
    load_model,
    save_model,
)

ROOT = Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class Case:
    """A layer with no argument at its default, and what it must be, counted by hand."""

    layer: type
    config: dict
    inputs: tuple
    outputs: tuple
    trainable: int = 0
    moving: int = 0  # elements of moving averages
    random: bool = False  # two calls in training differ
    any_size: bool = True  # height and width of the inputs may be unknown
    fixed_outputs: bool = False  # their height and width do not follow from the inputs

    def make(self, **kwargs):
        return self.layer(**self.config, **kwargs)

    def images(self):
        return np.random.default_rng(0).uniform(0.1, 1.0, self.inputs).astype("float32")

    def loose_inputs(self):
        """Their shape without the batch size and, where the layer allows it, height and width."""
        return (None, None, None, self.inputs[-1]) if self.any_size else (None, *self.inputs[1:])

    def loose_outputs(self):
        follows = self.any_size and not self.fixed_outputs
        return (None, None, None, self.outputs[-1]) if follows else (None, *self.outputs[1:])


INITIALIZER = keras.initializers.serialize(keras.initializers.RandomNormal(stddev=0.1))

BLOCK = {
    "num_div": 5,
    "shift_pixel": 2,
    "mlp_expand_ratio": 3,
    "mlp_dropout_rate": 0.25,
    "epsilon": 1e-3,
    "normalization": "batch",
    "activation": "relu",
    "kernel_initializer": INITIALIZER,
    "shift_variant": "border_zeroing",
    "group_channels": 1,
    "token_mixer": "depthwise_conv",
}


def block_weights(channels, ratio=3):
    """A 5x5 kernel and its bias, the normalisation, and two dense layers with biases."""
    hidden = ratio * channels
    mixer = (5 * 5 + 1) * channels
    return mixer + 2 * channels + channels * hidden + hidden + hidden * channels + channels


CASES = [
    Case(
        Shift,
        {
            "num_div": 5,
            "shift_pixel": 2,
            "shift_variant": "border_zeroing",
            "group_channels": 3,
        },
        (2, 6, 5, 13),
        (2, 6, 5, 13),
    ),
    Case(
        MLP,
        {
            "mlp_expand_ratio": 3,
            "mlp_dropout_rate": 0.25,
            "activation": "relu",
            "kernel_initializer": INITIALIZER,
        },
        (2, 4, 3, 8),
        (2, 4, 3, 8),
        trainable=8 * 24 + 24 + 24 * 8 + 8,
        random=True,
    ),
    Case(
        DropPath,
        {"drop_path_rate": 0.5, "seed": 3},
        (16, 2, 3, 4),
        (16, 2, 3, 4),
        random=True,
    ),
    Case(
        DepthwiseConvMixer,
        {"num_div": 5, "shift_pixel": 2},
        (2, 6, 5, 13),
        (2, 6, 5, 13),
        trainable=5 * 5 * 13 + 13,
    ),
    Case(
        AttentionMixer,
        {"head_channels": 5, "epsilon": 1e-3},
        (2, 4, 3, 10),
        (2, 4, 3, 10),
        # query, key, value, output; a vector for each of 12 places; scale and offset
        trainable=4 * (10 * 10 + 10) + 12 * 10 + 2 * 10,
        any_size=False,
    ),
    Case(
        ShiftViTBlock,
        {**BLOCK, "drop_path_rate": 0.5},
        (8, 5, 4, 10),
        (8, 5, 4, 10),
        trainable=block_weights(10),
        moving=2 * 10,
        random=True,
    ),
    Case(
        PatchEmbedding,
        {
            "patch_size": 3,
            "projected_dim": 8,
            "patch_norm": False,
            "epsilon": 1e-3,
            "normalization": "group",
            "kernel_initializer": INITIALIZER,
        },
        (2, 6, 9, 4),
        (2, 2, 3, 8),
        trainable=3 * 3 * 4 * 8 + 8,
    ),
    Case(
        PatchMerging,
        {"epsilon": 1e-3, "normalization": "batch", "kernel_initializer": INITIALIZER},
        (2, 5, 4, 6),
        (2, 3, 2, 12),
        trainable=2 * 6 + 4 * 6 * 12,
        moving=2 * 6,
    ),
    Case(
        StackedShiftBlocks,
        {**BLOCK, "drop_path_rates": [0.0, 0.5], "merge": False},
        (8, 5, 4, 10),
        (8, 5, 4, 10),
        trainable=2 * block_weights(10),
        moving=2 * 2 * 10,
        random=True,
    ),
    Case(
        RandomCropPerImage,
        {"height": 3, "width": 5, "seed": 3},
        (4, 8, 7, 3),
        (4, 3, 5, 3),
        random=True,
        any_size=False,
    ),
    Case(
        RandAugmentPerImage,
        {"num_ops": 3, "magnitude": 7, "seed": 3},
        (4, 8, 7, 3),
        (4, 8, 7, 3),
        random=True,
    ),
    Case(
        Augmentation,
        {
            "height": 24,
            "width": 36,
            "augmentation": "published",
            "horizontal_flip": False,
            "max_translation": 2,
            "seed": 3,
        },
        (4, 8, 7, 3),
        (4, 24, 36, 3),
        random=True,
        fixed_outputs=True,
    ),
    Case(
        ShiftViT,
        {
            **BLOCK,
            "image_shape": (12, 18, 4),
            "num_classes": 5,
            "patch_size": 3,
            "projected_dim": 8,
            "num_shift_blocks_per_stages": (1, 2),
            "stochastic_depth_rate": 0.5,
            "patch_norm": False,
            "final_norm": False,
            "drop_path_ramp": "stage",
        },
        (8, 12, 18, 4),
        (8, 5),
        # patch embedding, first stage, merging, second stage, head
        trainable=(36 * 8 + 8) + block_weights(8) + (16 + 32 * 16) + 2 * block_weights(16) + 85,
        moving=16 + 16 + 2 * 32,
        random=True,
        any_size=False,
    ),
]


def perturb(layer):
    """Gives every weight a value of its own that no initializer gives."""
    rng = np.random.default_rng(1)
    for variable in layer.weights:
        if len(variable.shape) > 1:
            variable.assign(rng.normal(0.0, 0.2, variable.shape))
        else:  # scales and variances among them, which must be positive
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))


def paths(layer):
    return [variable.path.partition("/")[2] for variable in layer.weights]


def elements(variables):
    return sum(int(np.prod(variable.shape)) for variable in variables)


def package_layers():
    """All `keras.Layer` subclasses that the modules of the package define."""
    found = set()
    for module in pkgutil.iter_modules(shiftvit_utils.__path__):
        name = f"shiftvit_utils.{module.name}"
        for value in vars(importlib.import_module(name)).values():
            if inspect.isclass(value) and issubclass(value, keras.Layer):
                found |= {value} if value.__module__ == name else set()
    return found


def test_every_layer_of_the_package_has_its_case():
    assert {case.layer for case in CASES} == package_layers()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.layer.__name__)
class TestEveryLayer:
    def test_case_changes_every_default(self, case):
        """Without this, an argument missing from `get_config` would go unnoticed."""
        parameters = inspect.signature(case.layer.__init__).parameters.values()
        defaults = {p.name: p.default for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD}
        for name in ("self", "name", "dtype", "trainable"):  # those of every Keras layer
            defaults.pop(name, None)
        assert set(case.config) == set(defaults)
        same = [name for name, default in defaults.items() if case.config[name] == default]
        assert not same

    def test_is_public_and_registered(self, case):
        name = case.layer.__name__
        assert getattr(shiftvit_utils, name) is case.layer
        assert name in shiftvit_utils.__all__
        assert keras.saving.get_registered_name(case.layer) == f"shiftvit_utils>{name}"

    def test_config_round_trip(self, case):
        layer = case.make(name="mine", dtype="mixed_bfloat16")
        config = layer.get_config()
        assert {name: config[name] for name in case.config} == case.config
        twin = case.layer.from_config(config)
        assert twin.get_config() == config
        assert (twin.name, twin.dtype_policy.name) == ("mine", "mixed_bfloat16")
        text = json.dumps(keras.saving.serialize_keras_object(layer))
        again = keras.saving.deserialize_keras_object(json.loads(text)).get_config()
        assert json.dumps(again) == json.dumps(config)

    def test_arguments_of_every_keras_layer(self, case):
        layer = case.make(name="mine", trainable=False)
        assert layer.name == "mine"
        layer(case.images())
        assert layer.trainable_weights == []
        assert layer.get_config()["trainable"] is False
        # A model asks each weight, not the layer that it is in.
        images = keras.Input(case.inputs[1:])
        assert keras.Model(images, layer(images)).trainable_weights == []
        with pytest.raises((TypeError, ValueError), match="no_such_argument"):
            case.make(no_such_argument=1)

    def test_build_makes_every_weight(self, case):
        layer = case.make()
        layer.build(case.loose_inputs())
        assert layer.built
        assert elements(layer.trainable_weights) == case.trainable
        assert elements(layer.non_trainable_weights) == case.moving
        assert layer.count_params() == case.trainable + case.moving
        made = paths(layer)
        layer(case.images(), training=True)
        assert paths(layer) == made, "the first call must not make weights"

    def test_shapes_are_announced(self, case):
        layer = case.make()
        assert tuple(layer(case.images()).shape) == case.outputs
        assert layer.compute_output_shape(case.inputs) == case.outputs
        assert layer.compute_output_shape(case.loose_inputs()) == case.loose_outputs()
        spec = layer.compute_output_spec(keras.KerasTensor(case.loose_inputs()))
        assert (spec.shape, spec.dtype) == (case.loose_outputs(), "float32")

    @pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
    def test_dtype_policies(self, case, policy):
        layer, exact = case.make(dtype=policy), case.make(dtype="float32")
        outputs = layer(case.images())
        exact(case.images())
        perturb(layer)
        exact.set_weights(layer.get_weights())
        outputs, expected = layer(case.images()), exact(case.images())
        half = keras.dtype_policies.get(policy).compute_dtype
        promised = "float32" if case.layer is ShiftViT else half  # its logits are never halves
        assert keras.backend.standardize_dtype(outputs.dtype) == promised
        assert {variable.dtype for variable in layer.weights} <= {"float32"}
        scale = np.abs(as_numpy(expected)).max()
        tolerance = 1e-6 if policy == "float32" else 0.05
        np.testing.assert_allclose(as_numpy(outputs), as_numpy(expected), atol=tolerance * scale)
        trained = as_numpy(layer(case.images(), training=True))
        assert np.isfinite(trained).all()

    def test_is_random_in_training_only(self, case):
        layer, images = case.make(), case.images()
        at_rest = [as_numpy(layer(images, training=training)) for training in (False, None, False)]
        np.testing.assert_array_equal(at_rest[0], at_rest[1])
        np.testing.assert_array_equal(at_rest[0], at_rest[2])
        np.testing.assert_array_equal(at_rest[0], as_numpy(layer(images)))
        perturb(layer)  # else the branch of a block is too small for its dropout to show
        first, second = (as_numpy(layer(images, training=True)) for _ in range(2))
        assert first.shape == case.outputs
        assert np.array_equal(first, second) is not case.random

    def test_saves_and_loads_within_a_model(self, case, tmp_path):
        inputs = keras.Input(case.inputs[1:])
        layer = case.make(name="mine")
        model = keras.Model(inputs, layer(inputs))
        images = case.images()
        untouched = model.predict(images, verbose=0)
        perturb(layer)
        expected = model.predict(images, verbose=0)
        assert np.array_equal(untouched, expected) is not bool(layer.weights)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert type(loaded.get_layer("mine")) is case.layer
        assert paths(loaded) == paths(model)
        for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_allclose(loaded.predict(images, verbose=0), expected, atol=1e-6)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.any_size], ids=lambda case: case.layer.__name__
)
def test_size_may_stay_unknown_until_the_call(case):
    layer = case.make()
    inputs = keras.Input(case.loose_inputs()[1:])
    model = keras.Model(inputs, layer(inputs))
    perturb(layer)
    images = case.images()
    np.testing.assert_allclose(
        model.predict(images, verbose=0), as_numpy(layer(images)), rtol=1e-5, atol=1e-5
    )


def test_images_of_a_size_that_no_patch_divides_are_not_mixed():
    """32 images of 33 columns have as many pixels as 33 of 32."""
    network = ShiftViT.from_preset("micro", image_shape=(None, None, 3), patch_size=2)
    assert network.predict(np.zeros((3, 32, 64, 3), "float32"), verbose=0).shape == (3, 10)
    message = "The width of the images, 33, is not divisible by patch_size=2"
    if keras.backend.backend() == "tensorflow":
        # After another size, it finds out within the traced function, and says so in its own way.
        message = r"Detected at node \S*patch_embedding\S*/Reshape "
    with pytest.raises(Exception, match=message):
        network.predict(np.zeros((32, 32, 33, 3), "float32"), verbose=0)


def micro_classifier(seed):
    model = build_classifier("micro", num_classes=3, num_shift_blocks_per_stages=(1, 1), seed=seed)
    perturb(model)
    return model


def raw_images():
    return np.random.default_rng(7).integers(0, 256, (4, 32, 32, 3)).astype("float32")


# Run by another Python under another backend: loads the files of the first, and writes its own.
OTHER_BACKEND = """
import sys

theirs, ours, *more = sys.argv[1:]
sys.path[:0] = ["tests", *more]
import keras
import numpy as np
from test_layers import micro_classifier, raw_images
from shiftvit_utils import load_model, save_model

model, names = load_model(f"{theirs}.keras")
assert names == ("a", "b", "c"), names
expected = np.load(f"{theirs}.npy")
np.testing.assert_allclose(model.predict(raw_images(), verbose=0), expected, rtol=1e-5, atol=1e-5)
fresh = micro_classifier(seed=5)
fresh.set_weights([0 * weight for weight in fresh.get_weights()])
fresh.load_weights(f"{theirs}.weights.h5")
np.testing.assert_allclose(fresh.predict(raw_images(), verbose=0), expected, rtol=1e-5, atol=1e-5)
save_model(model, f"{ours}.keras", names)
print("loaded under", keras.config.backend())
"""


@pytest.mark.backend_free
def test_files_of_one_backend_load_under_the_others(tmp_path):
    backend = keras.config.backend()
    model = micro_classifier(seed=4)
    expected = model.predict(raw_images(), verbose=0)
    assert np.ptp(expected) > 1e-2, "outputs must depend on the image and the class"
    save_model(model, tmp_path / f"{backend}.keras", ("a", "b", "c"))
    model.save_weights(tmp_path / f"{backend}.weights.h5")
    np.save(tmp_path / f"{backend}.npy", expected)
    others = {"tensorflow", "jax", "torch"} - {backend}
    missing = {other for other in others if importlib.util.find_spec(other) is None}
    # Keras loads TensorFlow on every backend if it can; most who use another one have none.
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "tensorflow.py").write_text("raise ImportError")
    runs = {
        other: subprocess.Popen(
            [sys.executable, "-c", OTHER_BACKEND, tmp_path / backend, tmp_path / other]
            + [tmp_path / "without"] * (other != "tensorflow"),
            env={**os.environ, "KERAS_BACKEND": other},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for other in others - missing
    }
    for other, run in runs.items():
        output, errors = run.communicate()
        assert run.returncode == 0, errors
        assert f"loaded under {other}" in output
        theirs, _ = load_model(tmp_path / f"{other}.keras")
        np.testing.assert_allclose(
            theirs.predict(raw_images(), verbose=0), expected, rtol=1e-5, atol=1e-5
        )
    if missing:
        pytest.skip(f"not installed: {', '.join(sorted(missing))}")

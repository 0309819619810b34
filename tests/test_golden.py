"""The authors' network on the authors' weights: the shift, every stage and the logits."""

import json

import keras
import numpy as np
import pytest
from golden_files import GOLDEN, NAMES, channels_last, load_golden

from shiftvit_utils import load_official_checkpoint, shift

TOLERANCE = 1e-5
LAYERS = ["patch_embedding", *(f"stage_{k}" for k in range(4)), "head"]
FEATURES = ["patch_embed", *(f"layers.{k}" for k in range(4))]


def gelu_by_tanh(x):
    return keras.activations.gelu(x, approximate=True)


def relative_error(ours, theirs):
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


def errors(model, arrays):
    """The largest difference of each layer, in units of the largest value there."""
    outputs = [model.get_layer(layer).output for layer in LAYERS]
    images = channels_last(arrays["input"])
    ours = keras.Model(model.input, outputs).predict(images, verbose=0)
    theirs = [*(channels_last(arrays[f"feature/{key}"]) for key in FEATURES), arrays["logits"]]
    return dict(zip(LAYERS, map(relative_error, ours, theirs), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_every_stage_and_the_logits_equal_the_authors(name):
    arguments, state, arrays = load_golden(name)
    differences = errors(load_official_checkpoint(state, **arguments), arrays)
    print(
        f"{keras.backend.backend()} {name}: " + ", ".join(f"{v:.1e}" for v in differences.values())
    )
    assert max(differences.values()) < TOLERANCE, differences


@pytest.mark.parametrize("name", NAMES)
def test_the_shift_equals_the_authors(name):
    arguments, _, arrays = load_golden(name)
    moved = shift(channels_last(arrays["shift/input"]), arguments["num_div"])
    expected = channels_last(arrays["shift/output"])
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(moved), expected)


@pytest.mark.backend_free  # the comparison with the right settings, above, runs on each
@pytest.mark.parametrize(
    "change",
    [
        {"shift_pixel": 0},
        {"num_div": 24},
        {"normalization": "layer"},
        {"activation": "relu"},
        {"activation": gelu_by_tanh},
        {"epsilon": 1e-3},
    ],
    # Not the address of a function, which differs between the processes of a test run.
    ids=lambda change: " ".join(f"{k}={getattr(v, '__name__', v)}" for k, v in change.items()),
)
def test_the_comparison_feels_every_choice(change):
    arguments, state, arrays = load_golden("official_gn_gelu")
    model = load_official_checkpoint(state, **{**arguments, **change})
    assert errors(model, arrays)["head"] > 5 * TOLERANCE


@pytest.mark.backend_free
@pytest.mark.parametrize("name", NAMES)
def test_normalisations_have_pytorchs_epsilon(name):
    """1e-5 is what the authors leave it at. A tenth of it would hardly change an output."""
    arguments, state, _ = load_golden(name)
    layers = load_official_checkpoint(state, **arguments)._flatten_layers()
    found = [layer.epsilon for layer in layers if hasattr(layer, "epsilon")]
    assert len(found) > 10
    assert set(found) == {1e-5}


@pytest.mark.backend_free
@pytest.mark.parametrize("name", NAMES)
def test_sizes_are_told_by_the_shapes(name):
    arguments, state, _ = load_golden(name)
    with np.load(GOLDEN / f"{name}.npz") as file:
        official = json.loads(str(file["config"]))
    config = load_official_checkpoint(state, **arguments).get_config()
    assert config["projected_dim"] == official["embed_dim"]
    assert list(config["num_shift_blocks_per_stages"]) == official["depths"]
    assert config["mlp_expand_ratio"] == official["mlp_ratio"]
    assert config["num_classes"] == official["num_classes"]
    assert config["normalization"] == {"GN1": "group", "BN": "batch"}[official["norm_layer"]]


@pytest.mark.backend_free
@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_as_many_as_the_authors(name):
    arguments, state, _ = load_golden(name)
    running = ("running_mean", "running_var", "num_batches_tracked")
    trained = sum(value.size for key, value in state.items() if not key.endswith(running))
    model = load_official_checkpoint(state, **arguments)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == trained

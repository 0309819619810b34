"""The authors' network on the authors' weights: every stage and the logits, to 1e-4.

`golden/official_*.npz` hold outputs of models/shiftvit.py of microsoft/SPACH, with PyTorch's names
and layouts.
"""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from shiftvit_utils import ShiftViT

GOLDEN = Path(__file__).parent / "golden"
NAMES = ["official_gn_gelu", "official_bn_relu"]

NORM_NAMES = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
MODULES = {
    "patch_embedding/projection": "patch_embed.proj",
    "patch_embedding/norm": "patch_embed.norm",
    "stage_": "layers.",
    "/block_": ".blocks.",
    "/merging": ".downsample",
    "/norm": ".norm",
    "/mlp/expand": ".mlp.fc1",
    "/mlp/project": ".mlp.fc2",
    "/reduction": ".reduction",
}


def load(name):
    """Config, state dict, and the other arrays of a golden file."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    config = json.loads(str(arrays.pop("config")))
    state = {
        key.removeprefix("state_dict/"): arrays.pop(key)
        for key in list(arrays)
        if key.startswith("state_dict/")
    }
    return config, state, arrays


def network(config, **overrides):
    arguments = {
        "image_shape": (config["img_size"], config["img_size"], 3),
        "num_classes": config["num_classes"],
        "patch_size": 4,
        "projected_dim": config["embed_dim"],
        "num_shift_blocks_per_stages": config["depths"],
        "num_div": config["n_div"],
        "mlp_expand_ratio": config["mlp_ratio"],
        "normalization": {"GN1": "group", "BN": "batch"}[config["norm_layer"]],
        "activation": config["act_layer"].lower(),
    }
    return ShiftViT(**{**arguments, **overrides})


def official_key(path):
    module, _, leaf = path.rpartition("/")
    for ours, theirs in MODULES.items():
        module = module.replace(ours, theirs)
    if ".blocks." in module:
        module = module.replace(".norm", ".norm2")
    leaf = {"kernel": "weight", **NORM_NAMES}.get(leaf, leaf)
    return f"{module}.{leaf}"


def dense_kernel(weight):
    """(O, C, h, w) or (O, C) of PyTorch -> (h * w * C, O)."""
    weight = weight.reshape(*weight.shape[:2], *(weight.shape[2:] or (1, 1)))
    return weight.transpose(2, 3, 1, 0).reshape(-1, len(weight))


def load_weights(model, state):
    used = set()
    for variable in model.weights:
        key = official_key(variable.path)
        value = dense_kernel(state[key]) if variable.path.endswith("kernel") else state[key]
        variable.assign(value)
        used.add(key)
    unused = {key for key in state if not key.endswith("num_batches_tracked")} - used
    assert not unused
    return model


def relative_error(ours, theirs):
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


@pytest.mark.parametrize("name", NAMES)
def test_every_stage_and_the_logits_equal_the_authors(name):
    config, state, arrays = load(name)
    model = load_weights(network(config), state)
    layers = ["patch_embedding", *(f"stage_{k}" for k in range(4)), "head"]
    outputs = [model.get_layer(layer).output for layer in layers]
    images = arrays["input"].transpose(0, 2, 3, 1)
    ours = keras.Model(model.input, outputs).predict(images, verbose=0)
    keys = ["patch_embed", *(f"layers.{k}" for k in range(4))]
    theirs = [arrays[f"feature/{key}"].transpose(0, 2, 3, 1) for key in keys]
    errors = [relative_error(a, b) for a, b in zip(ours, [*theirs, arrays["logits"]], strict=True)]
    assert max(errors) < 1e-4, dict(zip(layers, errors, strict=True))


@pytest.mark.parametrize(
    "change",
    [
        {"shift_pixel": 0},
        {"normalization": "layer"},
        {"activation": "relu"},
        {"epsilon": 1e-2},
    ],
    ids=str,
)
def test_the_comparison_feels_every_choice(change):
    config, state, arrays = load("official_gn_gelu")
    model = load_weights(network(config, **change), state)
    logits = model.predict(arrays["input"].transpose(0, 2, 3, 1), verbose=0)
    assert relative_error(logits, arrays["logits"]) > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_as_many_as_the_authors(name):
    config, state, _ = load(name)
    running = ("running_mean", "running_var", "num_batches_tracked")
    trained = sum(value.size for key, value in state.items() if not key.endswith(running))
    model = network(config)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == trained

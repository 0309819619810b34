"""Checkpoints of the authors' code: read from every kind of file, refused when they do not fit."""

import argparse
import os
import re
import sys

import keras
import numpy as np
import pytest
from golden_files import GOLDEN, NAMES, load_golden

from shiftvit_utils import (
    ShiftViT,
    build_classifier,
    load_official_checkpoint,
    load_official_weights,
    save_official_state_dict,
)

NAME = "official_gn_gelu"


@pytest.fixture(scope="module")
def golden():
    arguments, state, _ = load_golden(NAME)
    return arguments, state


@pytest.mark.backend_free
@pytest.mark.parametrize("name", NAMES)
def test_the_way_back_gives_the_very_same_arrays(name):
    arguments, state, _ = load_golden(name)
    saved = save_official_state_dict(load_official_checkpoint(state, **arguments))
    assert set(saved) == set(state)
    for key, value in state.items():
        if key.endswith("num_batches_tracked"):
            assert saved[key].dtype == value.dtype
        else:
            np.testing.assert_array_equal(saved[key], value, err_msg=key)
            assert saved[key].dtype == np.float32


@pytest.mark.backend_free
@pytest.mark.parametrize("under_model", [False, True], ids=["bare", "under model"])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
def test_pytorch_files(golden, tmp_path, suffix, under_model):
    torch = pytest.importorskip("torch")
    arguments, state = golden
    tensors = {key: torch.from_numpy(value) for key, value in state.items()}
    # What training scripts leave beside the weights.
    extras = {"epoch": 299, "args": argparse.Namespace(model="shiftvit_r2_tiny", lr=5e-4)}
    path = tmp_path / f"checkpoint{suffix}"
    torch.save({"model": tensors, **extras} if under_model else tensors, path)
    assert_same(save_official_state_dict(load_official_checkpoint(path, **arguments)), state)


@pytest.mark.backend_free
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".npz"])
def test_files_that_were_saved_here(golden, tmp_path, suffix):
    if suffix == ".pth":
        pytest.importorskip("torch")
    arguments, state = golden
    path = tmp_path / f"checkpoint{suffix}"
    save_official_state_dict(load_official_checkpoint(state, **arguments), path)
    assert_same(save_official_state_dict(load_official_checkpoint(path, **arguments)), state)


@pytest.mark.backend_free
def test_a_dict_under_model(golden):
    arguments, state = golden
    model = load_official_checkpoint({"model": state, "epoch": 299}, **arguments)
    assert_same(save_official_state_dict(model), state)


def assert_same(saved, state):
    assert set(saved) == set(state)
    for key, value in state.items():
        np.testing.assert_array_equal(saved[key], value, err_msg=key)


@pytest.mark.backend_free
def test_a_golden_file_is_a_checkpoint_itself(golden):
    arguments, state = golden
    saved = save_official_state_dict(load_official_checkpoint(GOLDEN / f"{NAME}.npz", **arguments))
    np.testing.assert_array_equal(saved["head.weight"], state["head.weight"])


@pytest.mark.backend_free
def test_safetensors_of_bfloat16_are_read(golden, tmp_path):
    torch = pytest.importorskip("torch")
    arguments, state = golden
    halves = {k: torch.from_numpy(np.array(v)).to(torch.bfloat16) for k, v in state.items()}
    pytest.importorskip("safetensors.torch").save_file(halves, tmp_path / "theirs.safetensors")
    loaded = load_official_checkpoint(tmp_path / "theirs.safetensors", **arguments)
    for name, found in save_official_state_dict(loaded).items():
        np.testing.assert_array_equal(found, halves[name].float().numpy())


@pytest.mark.backend_free
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_pytorch_reads_what_was_saved(golden, tmp_path, suffix):
    torch = pytest.importorskip("torch")
    arguments, state = golden
    path = tmp_path / f"ours{suffix}"
    save_official_state_dict(load_official_checkpoint(state, **arguments), path)
    if suffix == ".pth":
        tensors = torch.load(path, weights_only=True)
    else:
        tensors = pytest.importorskip("safetensors.torch").load_file(path)
    # The merge as the authors run it: a convolution with the saved kernel.
    kernel = tensors["layers.0.downsample.reduction.weight"]
    x = torch.arange(2 * 24 * 4 * 4, dtype=torch.float32).reshape(2, 24, 4, 4)
    merged = torch.nn.functional.conv2d(x, kernel, stride=2).numpy()
    expected = np.einsum(
        "nchiwj,ochw->noij",
        x.numpy().reshape(2, 24, 2, 2, 2, 2).transpose(0, 1, 3, 2, 5, 4),
        state["layers.0.downsample.reduction.weight"],
    )
    np.testing.assert_allclose(merged, expected, rtol=1e-4)


def test_half_precision_tensors_become_float32(golden, tmp_path):
    torch = pytest.importorskip("torch")
    arguments, state = golden
    path = tmp_path / "half.pth"
    torch.save({k: torch.from_numpy(v).to(torch.bfloat16) for k, v in state.items()}, path)
    model = load_official_checkpoint(path, **arguments)
    kernel = keras.ops.convert_to_numpy(model.get_layer("head").kernel)
    assert kernel.dtype == np.float32
    np.testing.assert_allclose(kernel.T, state["head.weight"], rtol=2**-8)


class RunsCode:
    """Unpickling it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.backend_free
def test_no_code_in_a_checkpoint_is_run(golden, tmp_path):
    torch = pytest.importorskip("torch")
    trap = tmp_path / "it ran"
    path = tmp_path / "evil.pth"
    torch.save({"model": {}, "trap": RunsCode(str(trap))}, path)
    with pytest.raises(ValueError, match=r"evil\.pth was refused: .*could run code"):
        load_official_checkpoint(path)
    assert not trap.exists()
    torch.load(path, weights_only=False)
    assert trap.exists()  # the trap is a real one


def test_keys_that_do_not_fit_are_all_listed(golden):
    arguments, state = golden
    model = load_official_checkpoint(state, **arguments)
    before = save_official_state_dict(model)
    broken = {key: value + 1 for key, value in state.items()}
    del broken["norm.bias"], broken["layers.1.blocks.0.mlp.fc1.bias"]
    broken["layers.0.blocks.0.attn.qkv.weight"] = np.zeros((72, 24), "float32")
    broken["head.bias"] = np.zeros(11, "float32")
    with pytest.raises(ValueError, match="does not fit") as caught:
        load_official_weights(model, broken)
    lines = str(caught.value).splitlines()
    assert lines[1].split() == ["missing:", "layers.1.blocks.0.mlp.fc1.bias,", "norm.bias"]
    assert lines[2].split() == ["unknown:", "layers.0.blocks.0.attn.qkv.weight"]
    assert lines[3].strip() == "misshapen: head.bias is (11,), not (10,)"
    for key, value in save_official_state_dict(model).items():
        np.testing.assert_array_equal(value, before[key], err_msg=f"{key} was changed")


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_div": 16}, "num_div=16 does not divide the 24 channels"),
        ({"num_div": 0}, "num_div must be a positive int"),
        ({"image_shape": (48, 32, 3)}, "must be divisible by 32"),
    ],
    ids=str,
)
def test_arguments_that_do_not_fit(golden, change, message):
    arguments, state = golden
    with pytest.raises(ValueError, match=message):
        load_official_checkpoint(state, **{**arguments, **change})


@pytest.mark.backend_free
def test_a_base_network_is_not_loaded_with_the_groups_of_a_tiny_one():
    # 128 channels: the default of 12 would move groups of 10 channels where the authors move 8.
    base = {
        **ShiftViT.from_preset("light_base").get_config(),
        "num_shift_blocks_per_stages": (1, 0),
    }
    state = save_official_state_dict(ShiftViT.from_config(base))
    with pytest.raises(ValueError, match="those of 128 use num_div=16"):
        load_official_checkpoint(state)
    assert load_official_checkpoint(state, num_div=16).get_config()["projected_dim"] == 128


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "no state dict of the authors' ShiftViT.*Its first keys: none"),
        ({"conv1.weight": np.zeros(3)}, "Its first keys: conv1.weight"),
        ({"optimizer": {"lr": 1.0}}, "'optimizer' is a dict, not an array"),
        ({"patch_embed.proj.weight": np.zeros((24, 3, 4, 4))}, "has no layers.0.*head.weight"),
    ],
    ids=["empty", "another network", "nested", "no blocks"],
)
def test_dicts_that_are_no_checkpoint(content, message):
    with pytest.raises(ValueError, match=message):
        load_official_checkpoint(content)


@pytest.mark.backend_free
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".npz"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_damaged_files_are_named(golden, tmp_path, suffix, damage):
    if suffix == ".pth":
        pytest.importorskip("torch")
    arguments, state = golden
    path = tmp_path / f"damaged{suffix}"
    if damage == "truncated":
        save_official_state_dict(load_official_checkpoint(state, **arguments), path)
        path.write_bytes(path.read_bytes()[:-5000])
    else:
        path.write_bytes(b"" if damage == "empty" else b"not found" * 20)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        load_official_checkpoint(path, **arguments)


@pytest.mark.backend_free
def test_missing_files_and_unknown_endings(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .*nowhere\.pth"):
        load_official_checkpoint(tmp_path / "nowhere.pth")
    (tmp_path / "weights.h5").write_bytes(b"")
    with pytest.raises(ValueError, match=r"unknown kind of checkpoint '\.h5'. Use one of \.pth"):
        load_official_checkpoint(tmp_path / "weights.h5")


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("suffix", "package"), [(".pth", "torch"), (".safetensors", "safetensors")]
)
def test_a_missing_package_is_named(tmp_path, monkeypatch, suffix, package):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(b"x")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"pip install {package}"):
        load_official_checkpoint(path)


@pytest.mark.backend_free
def test_only_a_shiftvit_is_saved():
    with pytest.raises(ValueError, match=r'got a Functional.*get_layer\("shiftvit"\)'):
        save_official_state_dict(build_classifier("micro"))


@pytest.mark.backend_free
@pytest.mark.parametrize("token_mixer", ["attention", "depthwise_conv"])
def test_their_code_has_no_other_token_mixer(token_mixer):
    with pytest.raises(ValueError, match=f"token_mixer='{token_mixer}': the authors' code has"):
        save_official_state_dict(ShiftViT.from_preset("micro", token_mixer=token_mixer))


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"normalization": "layer"}, "normalization='layer': the authors' code has group norm"),
        ({"shift_variant": "none"}, "shift_variant='none': .* nothing but shift_variant='paper'"),
        ({"shift_pixel": 2}, "shift_pixel=2: the authors' code has nothing but shift_pixel=1"),
        ({"group_channels": 6}, "group_channels=6: .* nothing but group_channels=None"),
        ({"image_shape": (40, 32, 3)}, "divisible by 16. At an odd map the authors' patch merging"),
    ],
    ids=str,
)
def test_what_their_code_would_compute_otherwise_is_not_written(tmp_path, settings, message):
    network = ShiftViT.from_preset("micro", **{"normalization": "group", **settings})
    with pytest.raises(ValueError, match=message):
        save_official_state_dict(network, tmp_path / "ours.npz")
    assert list(tmp_path.iterdir()) == []

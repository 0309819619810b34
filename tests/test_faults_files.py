"""Files from a failing disk, or from somebody who means harm: named and refused, never trusted."""

import json
import random
import zipfile

import numpy as np
import pytest
from fault_tries import Try, losses
from hostile_files import (
    CLASS_NAMES,
    attack,
    good_model,
    hostile_files,
    keras_files,
    layer,
    rewritten,
    with_layer,
)

from shiftvit_utils import build_classifier, load_model
from shiftvit_utils.image_cache import cache_path, read_cache, write_cache
from shiftvit_utils.npz_file import load_npz
from shiftvit_utils.official_state_dict import read_state_dict
from shiftvit_utils.pretrained import load_weights, save_weights
from shiftvit_utils.saving import METADATA_MEMBER
from shiftvit_utils.weights_check import check_weights

pytestmark = pytest.mark.backend_free

PYTORCH = (".pth", ".bin", ".pt")
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8), np.uint8)
ARRAYS = {"x_train": IMAGES, "y_train": np.array([0, 1, 0, 1])}


# ---------------------------------------------------------------- hostile


@pytest.mark.parametrize("pytorch", [False, True], ids=["", "pytorch"])
def test_hostile_files_do_no_harm(tmp_path, pytorch):
    """Their code does not run, nothing is written, no other file is read, the error names them."""
    if pytorch:
        pytest.importorskip("torch")
    files = [file for file in hostile_files() if file.name.endswith(PYTORCH) is pytorch]
    assert len(files) >= (4 if pytorch else 45)
    tries = []
    for number, file in enumerate(files):
        home = tmp_path / str(number)
        home.mkdir()
        tries.append(Try(file.kind, file.what, attack(file, home)))
    assert losses(tries) == []


def test_the_frame_around_hostile_layers_is_a_good_one(tmp_path):
    """What is refused above is refused for its layer: with harmless ones the file is read."""
    path = tmp_path / "good.keras"
    inside = [
        layer("Reshape", name="r", target_shape=[2, 1536]),
        layer("GlobalAveragePooling1D", name="p", data_format="channels_first"),
    ]
    with_layer(path, layer("Sequential", module="keras", layers=inside))
    model, class_names = load_model(path)
    assert class_names == CLASS_NAMES
    images = np.zeros((1, 32, 32, 3), "float32")
    images[:, :16] = 3.0
    assert model.predict(images, verbose=0).tolist() == [[3.0, 0.0]]


def test_weights_in_other_files_are_seen_without_keras(tmp_path):
    """Keras before 3.13.2 would read them."""
    refused = 0
    for file in keras_files():
        if file.name == "weights.keras":
            path = tmp_path / file.name
            file.write(path, tmp_path / "planted")
            with (
                zipfile.ZipFile(path) as archive,
                archive.open("model.weights.h5") as weights,
                pytest.raises(ValueError, match="its weights /layers/"),
            ):
                check_weights(weights)
            refused += 1
    assert refused == 5


def test_weights_of_this_library_pass(tmp_path):
    path = tmp_path / "good.keras"
    path.write_bytes(good_model())
    with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as weights:
        check_weights(weights)


# ---------------------------------------------------------------- damaged


def same(found, wanted):
    return found.keys() == wanted.keys() and all(
        np.array_equal(found[name], wanted[name]) for name in wanted
    )


def read_images(path):
    found, _ = load_npz(path)
    return {"x_train": found["x_train"][..., 0], "y_train": found["y_train"]}


def every_bit(path, read, wanted, count, seed=0):
    """Flips bits, one at a time: refused by name with a ValueError, or read as it was."""
    content, dice = path.read_bytes(), random.Random(seed)
    damaged = path.with_name(f"damaged{path.suffix}")
    refused = 0
    for bit in dice.sample(range(8 * len(content)), min(count, 8 * len(content))):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.write_bytes(flipped)
        try:
            found, reason = read(damaged), ""
        except ValueError as error:
            found, reason = None, str(error)
        assert damaged.name in reason or same(found, wanted), f"bit {bit}: {reason or found}"
        refused += bool(reason)
    return refused


def test_every_bit_of_an_npz(tmp_path, capsys):
    np.savez(tmp_path / "plain.npz", **ARRAYS)
    np.savez_compressed(tmp_path / "packed.npz", **ARRAYS)
    for name in ("plain.npz", "packed.npz"):
        assert every_bit(tmp_path / name, read_images, ARRAYS, 600) > 300


def test_every_bit_of_a_pytorch_file(tmp_path):
    torch = pytest.importorskip("torch")
    arrays = {"weight": np.arange(600, dtype="float32"), "bias": np.arange(3)}
    torch.save(
        {name: torch.from_numpy(array) for name, array in arrays.items()}, tmp_path / "a.pth"
    )
    assert every_bit(tmp_path / "a.pth", read_state_dict, arrays, 600) > 300


@pytest.mark.parametrize(
    "member",
    [
        # Headers that NumPy's parser, and the parser of that, do not expect.
        b"\x93NUMPY\x01\x00\x02\x00(\n",
        b"\x93NUMPY\x01\x00\x46\x00"
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (1048576, 1048576), }",
        b"\x93NUMPY\x01\x00\x02\x00\xff\n",
        b"\x93NUMPY\x09\x00",
        b"",
    ],
)
def test_arrays_with_odd_headers(tmp_path, member):
    path = tmp_path / "odd.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", member)
        archive.writestr("y_train.npy", member)
    network = build_classifier("micro", 2)
    for read in (load_npz, read_state_dict, lambda path: load_weights(network, path)):
        with pytest.raises(ValueError, match=r"odd\.npz"):
            read(path)
    assert read_cache(path, "key") is None


def test_shipped_kind_of_weights_with_a_bit_flipped(tmp_path):
    from shiftvit_utils import ShiftViT

    network = ShiftViT.from_preset("micro", num_classes=2)
    path = tmp_path / "w.npz"
    save_weights(network, path, {})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"w\.npz is no archive of weights, or damaged"):
        load_weights(network, path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": "1"}, "must hold"),
        ({"class_names": 2}, "must hold"),
        ({"class_names": "ab"}, "must hold"),
        ({"class_names": [1, 2]}, "must hold"),
        ({"keras": None}, "must hold"),
        ({"class_names": ["a", "b", "c"]}, r"no classifier of its 3 classes.*\(None, 2\)"),
        ({"class_names": []}, "no classifier of its 0 classes"),
    ],
)
def test_notes_of_a_model_that_do_not_fit(tmp_path, change, message):
    path = tmp_path / "model.keras"
    note = {"format_version": 1, "class_names": list(CLASS_NAMES), "keras": "3.13.0"} | change
    rewritten(path, good_model(), **{METADATA_MEMBER: json.dumps(note).encode()})
    with pytest.raises(ValueError, match=rf"model\.keras.*{message}|{message}.*model\.keras"):
        load_model(path)


def test_a_model_without_weights(tmp_path):
    path = tmp_path / "model.keras"
    rewritten(path, good_model(), **{"model.weights.h5": None})
    with pytest.raises(ValueError, match=r"model\.keras.*model\.weights\.h5"):
        load_model(path)


# ---------------------------------------------------------------- the cache of a folder


def test_a_cache_that_was_half_written_when_its_process_was_killed(tmp_path):
    """As large as the images, and of no use to anyone: the next one that writes removes it."""
    import multiprocessing
    import os

    path = cache_path(tmp_path / "flowers", None)
    dead = multiprocessing.get_context("spawn").Process()
    dead.start()
    dead.join()
    of_dead = path.with_name(f"{path.name}.{dead.pid}.partial")
    of_living = path.with_name(f"{path.name}.{os.getppid()}.partial")
    of_another = path.with_name(f"other.npz.{dead.pid}.partial")
    for partial in (of_dead, of_living, of_another):
        partial.write_bytes(b"half")
    assert write_cache(path, "key", {"y_train": np.arange(3)}, [])
    assert not of_dead.exists()
    assert of_living.exists()
    assert of_another.exists()
    assert read_cache(path, "key")[0]["y_train"].tolist() == [0, 1, 2]

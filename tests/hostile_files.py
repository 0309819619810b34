"""Files that would run code, read other files, write outside or fill the memory; no tests in here.

Each is the real thing: what `proof` does with it, in the careless way that the library does not
take, has the effect that is feared. The effect is always a folder that appears.
"""

import base64
import dataclasses
import functools
import io
import json
import os
import pickle
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np

from shiftvit_utils import build_classifier, cifar_batches, save_model
from shiftvit_utils.cifar_batches import read_batch_archive, read_batch_folder
from shiftvit_utils.npz_file import load_npz
from shiftvit_utils.official_state_dict import read_state_dict
from shiftvit_utils.pretrained import load_weights
from shiftvit_utils.saving import METADATA_MEMBER, load_model

BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
CLASS_NAMES = ("cat", "dog")
PLANTED = "planted"


@dataclasses.dataclass(frozen=True)
class Hostile:
    """One file.

    Args:
        kind: what it is, in the words of a table.
        what: how it attacks.
        name: of the file.
        write: `write(path, planted)` writes it; `planted` is the folder that must not appear.
        read: what of the library reads it.
        proof: `proof(path)` falls for it, or None where the harm would not be a folder.
        harmless: whether the library may also read it, as long as nothing happens.
    """

    kind: str
    what: str
    name: str
    write: Callable[[Path, Path], object]
    read: Callable[[Path], object]
    proof: Callable[[Path], object] | None = None
    harmless: bool = False


class RunsCode:
    """Makes a folder when it is unpickled."""

    def __init__(self, planted):
        self.planted = str(planted)

    def __reduce__(self):
        return os.mkdir, (self.planted,)


# ---------------------------------------------------------------- .keras


@functools.cache
def good_model():
    """The bytes of a model file of this library."""
    network = {"projected_dim": 12, "num_shift_blocks_per_stages": (1,)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "good.keras")
        save_model(build_classifier("micro", len(CLASS_NAMES), **network), path, CLASS_NAMES)
        return path.read_bytes()


def rewritten(path, content, **changes):
    """Writes `content`, a zip file, with members changed, added (or taken away, by None)."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()} | changes
    with zipfile.ZipFile(path, "w") as archive:
        for name, member in members.items():
            if member is not None:
                archive.writestr(name, member)


def with_layer(path, layer):
    """A model file whose network is one layer between images and logits, told by its config."""
    tensor = {"shape": [None, 32, 32, 3], "dtype": "float32", "keras_history": ["images", 0, 0]}
    place = [{"class_name": "__keras_tensor__", "config": tensor}]
    images = {
        "module": "keras.layers",
        "class_name": "InputLayer",
        "config": {"batch_shape": [None, 32, 32, 3], "dtype": "float32", "name": "images"},
        "registered_name": None,
        "name": "images",
        "inbound_nodes": [],
    }
    layer = {"name": "evil", "inbound_nodes": [{"args": place, "kwargs": {}}], **layer}
    network = {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": {
            "name": "network",
            "trainable": True,
            "layers": [images, layer],
            "input_layers": [["images", 0, 0]],
            "output_layers": [["evil", 0, 0]],
        },
        "registered_name": "Functional",
    }
    rewritten(path, good_model(), **{"config.json": json.dumps(network).encode()})


def layer(class_name, module="keras.layers", registered_name=None, name="evil", **config):
    return {
        "module": module,
        "class_name": class_name,
        "config": {"name": name, **config},
        "registered_name": registered_name,
    }


def function(name, module):
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def lambda_that_plants(path, planted):
    images = keras.Input((32, 32, 3))
    # The call is in the function's own bytes, and it is made when the network is built.
    source = f"lambda x: (__import__('os').makedirs({str(planted)!r}, exist_ok=True), x)[1]"
    network = keras.Model(images, keras.layers.Lambda(eval(source))(images))
    planted.rmdir()  # made while the attacker built it
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, "plain.keras")
        network.save(plain)
        with zipfile.ZipFile(io.BytesIO(good_model())) as archive:
            note = archive.read(METADATA_MEMBER)
        rewritten(path, plain.read_bytes(), **{METADATA_MEMBER: note})


def through_layer(make):
    """`write` for a file whose one layer `make(planted)` describes."""
    return lambda path, planted: with_layer(path, make(planted))


def torch_module(planted):
    # What Keras's own wrapper would unpickle.
    content = base64.b64encode(pickle.dumps(RunsCode(planted))).decode()
    wrapper = layer("TorchModuleWrapper")
    wrapper["config"]["module"] = {"class_name": "__bytes__", "config": {"value": content}}
    return wrapper


def with_weights(change):
    """`write` for a model file whose HDF5 file `change(file, path)` has altered."""

    def write(path, planted):
        with zipfile.ZipFile(io.BytesIO(good_model())) as archive:
            content = io.BytesIO(archive.read("model.weights.h5"))
        with h5py.File(content, "a") as file:
            change(file, path)
        rewritten(path, good_model(), **{"model.weights.h5": content.getvalue()})

    return write


def largest_array(file):
    names = []
    file.visititems(lambda name, found: names.append(name) if hasattr(found, "shape") else None)
    return max(names, key=lambda name: file[name].size)


def elsewhere(path):
    """Another file of the machine, that the weights must not be read from."""
    other = path.with_name("other-file.h5")
    with h5py.File(other, "w") as file:
        file["secret"] = np.ones((4096, 4096), "float32")
    return other


def external_link(file, path):
    name = largest_array(file)
    del file[name]
    file[name] = h5py.ExternalLink(str(elsewhere(path)), "secret")


def soft_link(file, path):
    name = largest_array(file)
    file.move(name, "hidden")
    file[name] = h5py.SoftLink("/hidden")


def external_storage(file, path):
    name = largest_array(file)
    shape = file[name].shape
    del file[name]
    size = int(np.prod(shape)) * 4
    file.create_dataset(name, shape, "float32", external=[(str(elsewhere(path)), 0, size)])


def virtual_dataset(file, path):
    name = largest_array(file)
    shape = file[name].shape
    del file[name]
    layout = h5py.VirtualLayout(shape, "float32")
    layout[...] = h5py.VirtualSource(str(elsewhere(path)), "secret", shape)
    file.create_virtual_dataset(name, layout)


def shape_bomb(file, path):
    name = largest_array(file)
    del file[name]
    file.create_dataset(name, (2**20, 2**20), "float32", chunks=(1024, 1024), compression="gzip")


def climbing_members(path, planted):
    up = "../" * 12 + str(planted).lstrip("/") + "/x"
    names = [up, str(planted / "x"), f"assets/{up}", "assets/..\\..\\x"]
    rewritten(path, good_model(), **dict.fromkeys(names, b"escaped"))


def keras_files():
    kind = "code or foreign data in a model file"
    careless = functools.partial(keras.saving.load_model, compile=False, safe_mode=False)
    yield Hostile(kind, "Lambda", "lambda.keras", lambda_that_plants, load_model, careless)
    layers = {
        "Lambda of os.makedirs": lambda planted: layer(
            "Lambda", function=function("makedirs", "os"), arguments={"exist_ok": True}
        ),
        "activation from os": lambda planted: layer(
            "Dense", units=2, activation=function("system", "os")
        ),
        "activation from builtins": lambda planted: layer(
            "Dense", units=2, activation=function("exec", "builtins")
        ),
        "registered activation": lambda planted: layer(
            "Dense",
            units=2,
            activation={**function("system", "os"), "registered_name": "shiftvit_utils>system"},
        ),
        "class from subprocess": lambda planted: layer(
            "Popen", module="subprocess", args=["mkdir", str(planted)]
        ),
        "class from os, by a registered name": lambda planted: layer(
            "system", module="os", registered_name="shiftvit_utils>NoSuchLayer"
        ),
        "class from this library's imports": lambda planted: layer(
            "Path", module="shiftvit_utils.saving", path=str(planted)
        ),
        "class from keras.src": lambda planted: layer(
            "DiskIOStore", module="keras.src.saving.saving_lib", root_path=str(planted), mode="w"
        ),
        "safe mode switched off": lambda planted: layer(
            "Lambda", function=function("enable_unsafe_deserialization", "keras.config")
        ),
        "get_file": lambda planted: layer(
            "Lambda",
            function=function("get_file", "keras.utils"),
            arguments={"origin": "file:///etc/passwd", "cache_dir": str(planted)},
        ),
        "Lambda in a Lambda": lambda planted: layer(
            "TimeDistributed",
            layer=layer(
                "Lambda",
                function={
                    "class_name": "__lambda__",
                    "config": {"code": "4wEAAA==", "defaults": None, "closure": None},
                },
            ),
        ),
        "pickled PyTorch module": torch_module,
        "vocabulary from a file": lambda planted: layer("StringLookup", vocabulary="/etc/passwd"),
        "type of a tensor from os": lambda planted: layer(
            "Dense",
            units={
                "class_name": "__typespec__",
                "spec_name": "system",
                "module": "os",
                "registered_name": None,
                "config": [f"mkdir {planted}"],
            },
        ),
        "initializer from os": lambda planted: layer(
            "Dense", units=2, kernel_initializer=function("system", "os")
        ),
    }
    for what, make in layers.items():
        yield Hostile(kind, what, "layer.keras", through_layer(make), load_model)
    for what, change in {
        "weights linked from another file": external_link,
        "weights linked within the file": soft_link,
        "weights stored in another file": external_storage,
        "weights mapped from another file": virtual_dataset,
        "weights of four terabytes": shape_bomb,
    }.items():
        yield Hostile(kind, what, "weights.keras", with_weights(change), load_model)
    yield Hostile(
        "paths that leave an archive",
        ".keras",
        "climbs.keras",
        climbing_members,
        load_model,
        harmless=True,
    )


# ---------------------------------------------------------------- pickles


def pickled(path, planted):
    path.write_bytes(pickle.dumps({"head.bias": RunsCode(planted)}))


def torch_zip(path, planted):
    import torch

    torch.save({"head.bias": torch.zeros(2), "extra": RunsCode(planted)}, path)


def torch_legacy(path, planted):
    import torch

    content = {"head.bias": torch.zeros(2), "extra": RunsCode(planted)}
    torch.save(content, path, _use_new_zipfile_serialization=False)


def unpickle_torch(path):
    import torch

    torch.load(path, weights_only=False)


def objects_in_npz(name):
    def write(path, planted):
        array = np.array([RunsCode(planted)] * 4, dtype=object)
        np.savez(path, **{name: array, "y_train": np.array([0, 1, 0, 1])})

    return write


def unpickle_npz(path):
    with np.load(path, allow_pickle=True) as archive:
        for name in archive.files:
            archive[name]


def bare_pickle(path, planted):
    # np.load looks at the content, not at the name, and would take this for a pickle.
    path.write_bytes(pickle.dumps(RunsCode(planted)))


def batches_with(content):
    """`write` for a folder of official batches, the second of which is `content(planted)`."""

    def write(folder, planted):
        folder.mkdir()
        for name in BATCHES:
            batch = {b"data": np.zeros((4, 3072), np.uint8), b"labels": [0, 1, 2, 3]}
            (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
        (folder / "data_batch_2").write_bytes(content(planted))

    return write


def memo_bomb(planted):
    # Stores a value under a number of four bytes: a table of 32 GB, in the C reader of pickles.
    return b"\x80\x02N" + b"r\xff\xff\xff\xff" + b"."


def unpickle_batch(folder):
    pickle.loads((folder / "data_batch_2").read_bytes())


def pickle_files():
    read = read_state_dict
    for name, write in (
        ("plain.pth", pickled),
        ("zip.pth", torch_zip),
        ("legacy.pth", torch_legacy),
        ("zip.bin", torch_zip),
    ):
        proof = (
            unpickle_torch if write is not pickled else lambda path: pickle.loads(path.read_bytes())
        )
        yield Hostile("code in a PyTorch checkpoint", name, name, write, read, proof)
    for what, reader in (
        ("load_npz", load_npz),
        ("read_state_dict", read_state_dict),
        ("load_weights", lambda path: load_weights(build_classifier("micro", 2), path)),
    ):
        yield Hostile(
            "Python objects in an npz file",
            what,
            "x.npz",
            objects_in_npz("x_train"),
            reader,
            unpickle_npz,
        )
        yield Hostile(
            "Python objects in an npz file",
            f"{what}, a bare pickle",
            "bare.npz",
            bare_pickle,
            reader,
            lambda path: np.load(path, allow_pickle=True),
        )
    call = b"cos\nmkdir\n(X"
    attacks = {
        "reduce": lambda planted: pickle.dumps({b"data": RunsCode(planted), b"labels": [0]}),
        "protocol 0": lambda planted: pickle.dumps(RunsCode(planted), protocol=0),
        "inst": lambda planted: b"(S'" + str(planted).encode() + b"'\nios\nmkdir\n.",
        "stack_global": lambda planted: (
            b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93\x8c"
            + bytes([len(str(planted))])
            + str(planted).encode()
            + b"\x85R."
        ),
        "after a good batch": lambda planted: (
            pickle.dumps({b"data": RunsCode(planted), b"labels": []}, protocol=2)[:-1]
            + call
            + len(str(planted)).to_bytes(4, "little")
            + str(planted).encode()
            + b"tR0."
        ),
        "attribute of an allowed name": lambda planted: (
            b"\x80\x04\x8c\x05numpy\x8c\x1adtype.__class__.__mro__\x93."
        ),
        "extension code": lambda planted: b"\x80\x02\x82\x01.",
        "persistent id": lambda planted: b"\x80\x02K\x01Q.",
    }
    for what, content in attacks.items():
        runs = what in ("reduce", "protocol 0", "inst", "stack_global", "after a good batch")
        yield Hostile(
            "code in batches of CIFAR-10",
            what,
            "cifar-10-batches-py",
            batches_with(content),
            read_batch_folder,
            unpickle_batch if runs else None,
        )
    yield Hostile(
        "code in batches of CIFAR-10",
        "table of 32 GB",
        "cifar-10-batches-py",
        batches_with(memo_bomb),
        read_batch_folder,
    )


# ---------------------------------------------------------------- archives


def tar_with(*members):
    """`write` for an archive of the official name, with its batches and with `members(planted)`.

    The checksum that the library compares is altered with it: in earnest, it would be the first to
    refuse each of these.
    """

    def write(path, planted):
        with tarfile.open(path, "w:gz") as archive:
            for name in BATCHES:
                batch = {b"data": np.zeros((4, 3072), np.uint8), b"labels": [0, 1, 2, 3]}
                content = pickle.dumps(batch, protocol=2)
                info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            for make in members:
                info, content = make(planted)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))

    return write


def member(name, content=b"escaped", kind=tarfile.REGTYPE, link=""):
    def make(planted):
        info = tarfile.TarInfo(name.format(planted=planted, up="../" * 20 + str(planted)[1:]))
        info.type = kind
        info.linkname = link.format(planted=planted, up="../" * 20 + str(planted)[1:])
        return info, content

    return make


def read_archive(path):
    import hashlib

    before = cifar_batches.ARCHIVE_MD5
    cifar_batches.ARCHIVE_MD5 = hashlib.md5(path.read_bytes()).hexdigest()
    try:
        return read_batch_archive(path)
    finally:
        cifar_batches.ARCHIVE_MD5 = before


def unpack_all(path):
    with tarfile.open(path) as archive:
        archive.extractall(path.parent / "unpacked", filter="fully_trusted")


def archive_files():
    kind = "paths that leave an archive"
    attacks = {
        "..": [member("{up}/x")],
        ".. within": [member("cifar-10-batches-py/../{up}/x")],
        "absolute": [member("{planted}/x")],
        "folder": [member("{planted}", b"", tarfile.DIRTYPE)],
        "symlink, then through it": [
            member("out", b"", tarfile.SYMTYPE, "/"),
            member("out{planted}/x"),
        ],
        "hard link": [
            member("cifar-10-batches-py/test_batch", b"", tarfile.LNKTYPE, "/etc/passwd"),
        ],
        "symlink for a batch": [
            member("cifar-10-batches-py/test_batch", b"", tarfile.SYMTYPE, "/etc/passwd"),
        ],
        "device": [member("cifar-10-batches-py/zero", b"", tarfile.CHRTYPE)],
        "pipe": [member("cifar-10-batches-py/test_batch", b"", tarfile.FIFOTYPE)],
    }
    for what, members in attacks.items():
        proof = unpack_all if what in ("..", "absolute", "folder") else None
        yield Hostile(
            kind, f"tar, {what}", "a.tar.gz", tar_with(*members), read_archive, proof, harmless=True
        )

    def npz(path, planted):
        np.savez(path, x_train=np.zeros((4, 8, 8), np.uint8), y_train=[0, 1, 0, 1])
        with zipfile.ZipFile(path, "a") as archive:
            for name in ("../" * 20 + str(planted)[1:] + "/x.npy", f"{planted}/x.npy"):
                archive.writestr(name, b"escaped")

    yield Hostile(kind, ".npz", "climbs.npz", npz, load_npz, harmless=True)


def hostile_files():
    """All of them."""
    return [*keras_files(), *pickle_files(), *archive_files()]


def attack(hostile, folder):
    """Writes a file, has the library read it, and says what went wrong.

    Args:
        hostile: `Hostile`.
        folder: Path of an empty folder.

    Returns:
        str; empty if nothing went wrong.
    """
    planted, path = folder / PLANTED, folder / hostile.name
    hostile.write(path, planted)
    if planted.exists():
        return "the test itself planted it"
    before = {found: found.stat().st_mtime_ns for found in folder.rglob("*")}
    try:
        hostile.read(path)
        refused = False
    except ValueError as error:
        refused = True
        if path.name not in str(error):
            return f"refused without its name: {error}"
    except Exception as error:
        return f"another error than the promised one: {type(error).__name__}: {error}"
    if planted.exists():
        return "its code ran, or it wrote outside"
    after = {found: found.stat().st_mtime_ns for found in folder.rglob("*")}
    if after != before:
        return f"files changed: {sorted(set(after) ^ set(before))}"
    if not refused and not hostile.harmless:
        return "it was read as if it were good"
    if hostile.proof is not None:
        try:
            hostile.proof(path)
        except Exception as error:  # after the effect, as a rule: what it unpickles is no model
            del error
        if not planted.exists():
            return "the attack is not a real one"
    return ""

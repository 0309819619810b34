"""The official CIFAR-10 files: five training batches and a test batch, in a folder or a tar.gz.

A batch is a pickled dictionary: `data` holds one image a row, 1,024 red values, then 1,024 green,
then 1,024 blue, each 32x32 plane row by row; `labels` holds as many integers
(https://www.cs.toronto.edu/~kriz/cifar.html, "Dataset layout").

A pickle may run code when it is read. The reader here can build nothing but plain values and
arrays of numbers, and takes members out of an archive by exact name, in memory, so that no name
inside it ever becomes a path on this machine.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

NUM_CLASSES = 10
ARCHIVE_MD5 = "c58f30108f718f92721af3b95e74349a"  # published on the page named above
# Of the files in that archive.
BATCH_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
_INNER_FOLDER = "cifar-10-batches-py"
_TRAIN_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
_BATCHES = (*_TRAIN_BATCHES, "test_batch")
_OFFICIAL_IMAGES = 10_000  # in each batch
_MOST_BYTES = 64 * 2**20  # twice an official batch


def read_batch_folder(folder: Path) -> dict[str, np.ndarray]:
    """Reads the unpacked official files.

    Args:
        folder: holds `data_batch_1` to `data_batch_5` and `test_batch`, directly or in an inner
            `cifar-10-batches-py`.

    Returns:
        `x_train` uint8 `(50000, 32, 32, 3)`, `y_train` int64 `(50000,)` in the official order,
        and `x_test`, `y_test` with 10,000.

    Raises:
        ValueError: a batch is missing, truncated, not the official one, or holds anything else.

    Example:
    >>> read_batch_folder(Path("no-such-folder"))
    Traceback (most recent call last):
    ValueError: The CIFAR-10 folder 'no-such-folder' lacks data_batch_1, ...
    """
    inner = folder / _INNER_FOLDER
    home = inner if inner.is_dir() else folder
    missing = [name for name in _BATCHES if not (home / name).is_file()]
    if missing:
        raise ValueError(
            f"The CIFAR-10 folder {str(home)!r} lacks {', '.join(missing)}. It was probably not "
            "unpacked to the end: delete it, and unpack or download it again."
        )
    return _join({name: _read_official(home / name) for name in _BATCHES})


def read_batch_archive(path: Path) -> dict[str, np.ndarray]:
    """Reads the official `cifar-10-python.tar.gz` without unpacking it to disk.

    Args:
        path: the archive, under any name.

    Returns:
        As `read_batch_folder`.

    Raises:
        ValueError: the checksum is not the published one, so the file is truncated or altered;
            or a batch is missing.
    """
    with open(path, "rb") as file:
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if md5 != ARCHIVE_MD5:
        raise ValueError(
            f"The CIFAR-10 archive {str(path)!r} ({path.stat().st_size:,} bytes) is truncated or "
            f"altered: its MD5 is {md5}, the published one {ARCHIVE_MD5}. Delete it, and download "
            "it again."
        )
    wanted = {f"{_INNER_FOLDER}/{name}": name for name in _BATCHES}
    batches: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                # isreg: a link would make tarfile read another member, or nothing at all.
                if member.name in wanted and member.isreg() and member.size <= _MOST_BYTES:
                    content = archive.extractfile(member)
                    assert content is not None  # promised for a regular file
                    batches[wanted[member.name]] = _read_batch(content.read(), path / member.name)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ValueError(
            f"The CIFAR-10 archive {str(path)!r} cannot be unpacked ({error}). Delete it, and "
            "download it again."
        ) from error
    missing = [name for name in _BATCHES if name not in batches]
    if missing:
        raise ValueError(
            f"The CIFAR-10 archive {str(path)!r} lacks {', '.join(missing)}. Delete it, and "
            "download it again."
        )
    return _join(batches)


def _read_official(path: Path) -> tuple[np.ndarray, np.ndarray]:
    size = path.stat().st_size
    if size > _MOST_BYTES:
        raise ValueError(
            f"The CIFAR-10 batch {str(path)!r} has {size:,} bytes, twice an official one: it is "
            "another file. Delete it, and get it again."
        )
    content = path.read_bytes()
    images, labels = _read_batch(content, path)
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    # A folder with fewer images, cut down for a try, has no published checksum.
    if len(images) == _OFFICIAL_IMAGES and md5 != BATCH_MD5[path.name]:
        raise ValueError(
            f"The CIFAR-10 batch {str(path)!r} is altered: its MD5 is {md5}, that of the official "
            f"one {BATCH_MD5[path.name]}. Delete it, and get it again."
        )
    return images, labels


def _join(batches: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    x_test, y_test = batches["test_batch"]
    return {
        "x_train": np.concatenate([batches[name][0] for name in _TRAIN_BATCHES]),
        "y_train": np.concatenate([batches[name][1] for name in _TRAIN_BATCHES]),
        "x_test": x_test,
        "y_test": y_test,
    }


def _read_batch(content: bytes, place: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        batch = _NumbersOnlyUnpickler(io.BytesIO(content), encoding="bytes").load()
        # Python 2 wrote the official keys as byte strings.
        batch = {key.decode() if isinstance(key, bytes) else key: batch[key] for key in batch}
        rows, labels = np.asarray(batch["data"]), np.asarray(batch["labels"])
    except _BROKEN_PICKLE as error:
        raise ValueError(
            f"The CIFAR-10 batch {str(place)!r} cannot be read, it is truncated, altered or no "
            f"CIFAR-10 batch ({type(error).__name__}: {error}). Delete it, and get it again."
        ) from error
    if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != 3 * 32 * 32 or not len(rows):
        raise ValueError(
            f"The CIFAR-10 batch {str(place)!r} holds data of shape {rows.shape} and type "
            f"{rows.dtype}; expected uint8 (N, 3072). Is it another data set?"
        )
    if labels.shape != (len(rows),) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"The CIFAR-10 batch {str(place)!r} holds {len(rows)} images but labels of shape "
            f"{labels.shape} and type {labels.dtype}; expected one integer an image."
        )
    if labels.min() < 0 or labels.max() >= NUM_CLASSES:
        raise ValueError(
            f"The CIFAR-10 batch {str(place)!r} holds labels from {labels.min()} to "
            f"{labels.max()}; expected 0 to {NUM_CLASSES - 1}. Is it another data set?"
        )
    planes = rows.reshape(-1, 3, 32, 32)  # (N, C, H, W), as written
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels.astype(np.int64)


_BROKEN_PICKLE = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
)


def _blank_array(*_: Any) -> np.ndarray:
    # NumPy pickles an array as this empty one plus a state, which it checks, that fills it.
    return np.empty(0, np.uint8)


def _number_dtype(name: str | bytes, *flags: Any) -> np.dtype:
    dtype = np.dtype(name.decode() if isinstance(name, bytes) else name)
    if dtype.kind not in "biuf":
        raise pickle.UnpicklingError(f"arrays of {dtype} are not allowed in a batch")
    return dtype


def _latin1(text: str, encoding: str) -> bytes:
    # How Python 3 writes bytes into the old pickle format; any other codec has no place here.
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the codec {encoding!r} is not allowed in a batch")
    return text.encode("latin1")


# What `_reconstruct` is told to build. It knows that, so that this need not be the class itself.
_NDARRAY = "numpy.ndarray"

_ALLOWED: dict[tuple[str, str], Callable[..., Any] | str] = {
    ("numpy.core.multiarray", "_reconstruct"): _blank_array,
    ("numpy._core.multiarray", "_reconstruct"): _blank_array,
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _number_dtype,
    ("_codecs", "encode"): _latin1,
}


# Python's own reader, not the one in C: that one takes a large index into its table of values, a
# matter of five bytes, as a reason to allocate 32 GB. In this one the table is a dictionary.
class _NumbersOnlyUnpickler(pickle._Unpickler):
    """Builds numbers, strings, lists, dictionaries and numeric arrays; refuses all else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a batch")
        return _ALLOWED[module, name]

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
_INNER_FOLDER = "cifar-10-batches-py"
_TRAIN_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
_BATCHES = (*_TRAIN_BATCHES, "test_batch")
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
        ValueError: a batch is missing, truncated, or holds anything else.

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
    return _join({name: _read_batch((home / name).read_bytes(), home / name) for name in _BATCHES})


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


_ALLOWED: dict[tuple[str, str], Callable[..., Any] | type] = {
    ("numpy.core.multiarray", "_reconstruct"): _blank_array,
    ("numpy._core.multiarray", "_reconstruct"): _blank_array,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _number_dtype,
    ("_codecs", "encode"): _latin1,
}


class _NumbersOnlyUnpickler(pickle.Unpickler):
    """Builds numbers, strings, lists, dictionaries and numeric arrays; refuses all else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a batch")
        return _ALLOWED[module, name]

"""The decoded pixels of a folder, kept as one `.npz` beside it.

Decoding sixty thousand JPEGs takes seconds on every start; reading them back takes a fraction
of one. The cache is only ever a shortcut: it is used while a fingerprint of the folder's file
names, sizes and times still matches, and every failure to write or read it is told in one line
and costs nothing but time.

It does not decide what a folder means (see `image_folder`).
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shiftvit_utils.npz_archive import ARCHIVE_DAMAGE, read_npz
from shiftvit_utils.predictions import printable

# Part of the fingerprint: raise it when decoding changes, and old caches retire themselves.
_DECODER_VERSION = 2
_META = "meta"


def cache_path(folder: Path, image_size: tuple[int, int] | None) -> Path:
    """Where the decoded images of `folder` are kept.

    Example:
    >>> cache_path(Path("/data/flowers"), (32, 48)).name
    'flowers.cache-32x48.npz'
    >>> cache_path(Path("/data/flowers"), None).name
    'flowers.cache-auto.npz'
    """
    folder = folder.resolve()
    size = "auto" if image_size is None else f"{image_size[0]}x{image_size[1]}"
    return folder.parent / f"{folder.name}.cache-{size}.npz"


def fingerprint(folder: Path, names: Sequence[str], image_size: tuple[int, int] | None) -> str:
    """A hash that changes when a file is added, removed, renamed, resized or touched.

    Args:
        folder: the folder that `names` are relative to.
        names: the files, in a fixed order.
        image_size: what the images are fitted to.

    Returns:
        64 hexadecimal digits.

    Example:
    >>> len(fingerprint(Path("."), [], None))
    64
    """
    digest = hashlib.sha256(repr((_DECODER_VERSION, image_size)).encode())
    for name in names:
        try:
            stat = os.stat(os.path.join(folder, name))
            state = (stat.st_size, stat.st_mtime_ns)
        except OSError:  # a dangling link: decoding will name it, here it only has to count
            state = (-1, -1)
        # surrogateescape: file names on Linux are bytes, and need not be valid Unicode.
        digest.update(f"{name}\0{state}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def read_cache(path: Path, key: str) -> tuple[dict[str, np.ndarray], list[str]] | None:
    """The arrays and the report that were kept under `key`, or `None` to decode again.

    Prints one line where a cache exists but is damaged. A stale one is passed over.

    Args:
        path: from `cache_path`.
        key: from `fingerprint`.

    Example:
    >>> read_cache(Path("no/such/cache.npz"), "key") is None
    True
    """
    if not path.exists():
        return None
    try:
        note, names = read_npz(path, (_META,))
        meta = json.loads(str(note[_META]))
        if meta["fingerprint"] != key:
            return None
        arrays, _ = read_npz(path, names)
        return arrays, [str(line) for line in meta["report"]]
    except (*ARCHIVE_DAMAGE, KeyError, TypeError, AttributeError) as error:
        name = printable(path.name)
        print(f"The cache {name} is damaged ({type(error).__name__}): decoding again.")
        return None


def write_cache(
    path: Path, key: str, arrays: Mapping[str, np.ndarray], report: Sequence[str]
) -> bool:
    """Keeps `arrays` and `report` under `key`; never leaves half a file.

    Args:
        path: from `cache_path`.
        key: from `fingerprint`.
        arrays: what to keep, by name.
        report: the lines to print again whenever the cache is used.

    Returns:
        Whether it worked. If not, one line says why, and the caller goes on without.

    Example:
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "flowers.cache-auto.npz"
    >>> write_cache(path, "key", {"y_train": np.arange(3)}, ["1 image skipped"])
    True
    >>> read_cache(path, "key")[1]
    ['1 image skipped']
    """
    meta = np.array(json.dumps({"fingerprint": key, "report": list(report)}))
    content: dict[str, Any] = {_META: meta, **arrays}
    # Written under another name and moved in one step, so that a reader, or a second notebook
    # that starts at the same moment, sees a whole cache or none.
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        _remove_left_behind(path)
        try:
            with open(partial, "wb") as file:
                np.savez(file, **content)
            os.replace(partial, path)
        finally:
            if partial.exists():
                partial.unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        name = printable(path.name)
        print(f"The decoded images could not be kept as {name} ({reason}): going on without.")
        return False
    return True


def _remove_left_behind(path: Path) -> None:
    """Removes what processes that were killed while writing left: it is as large as the images."""
    for partial in path.parent.glob(f"{glob.escape(path.name)}.*.partial"):
        process = partial.name.removeprefix(f"{path.name}.").removesuffix(".partial")
        if process.isdigit() and not _is_running(int(process)):
            partial.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    if os.name != "posix":
        return True  # there, asking would end it
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True

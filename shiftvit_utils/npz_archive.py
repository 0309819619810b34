"""Archives of arrays as NumPy writes them, read without ever building a Python object.

An `.npz` is a zip file, and a zip file has a checksum for each member, so damage within the arrays
is noticed. It has many names: a flipped bit may look like a password, an unknown compression or an
array of terabytes. `ARCHIVE_DAMAGE` lists them once for all readers of such files.
"""

from __future__ import annotations

import lzma
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Container

import numpy as np

# RuntimeError: "encrypted", and NotImplementedError, which is one, for unknown compression.
# TokenError and SyntaxError come from NumPy's parser of an array's header.
ARCHIVE_DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    RuntimeError,
    MemoryError,
    SyntaxError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


def read_npz(
    path: str | os.PathLike[str], names: Container[str] | None = None
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of an `.npz`.

    Args:
        path: of the file, under any name.
        names: the arrays to read, or `None` for all.

    Returns:
        `arrays`: by name, in the order of the file.
        `others`: the names that were not asked for.

    Raises:
        ARCHIVE_DAMAGE: any of these, for the caller to say what the file should have been.

    Example:
    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "two.npz")
    >>> np.savez(path, a=np.arange(3), b=np.zeros(2))
    >>> read_npz(path, names=["a"])
    ({'a': array([0, 1, 2])}, ['b'])
    """
    # Opened as the zip it should be: np.load would also accept a bare array or a pickle. And
    # opened here, because np.load leaves a damaged file open, which Windows cannot replace then.
    with open(path, "rb") as file:
        with zipfile.ZipFile(file):
            file.seek(0)  # from behind the table of contents, where np.load would go on reading
        with np.load(file, allow_pickle=False) as archive:
            wanted = [name for name in archive.files if names is None or name in names]
            others = [name for name in archive.files if name not in wanted]
            arrays = {name: archive[name] for name in wanted}
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # NumPy hands out other members as their bytes
            raise ValueError(f"{name!r} is no array")
    return arrays, others

"""A folder of images, one sub-folder a class, as arrays: decoded once, cached from then on.

Damaged images are named and skipped, on every start and not only on the first. A class of which
nothing can be read is an error.

It does not split, shuffle or balance (see `splits`), and knows no layout (see `folder_layout`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from shiftvit_utils.folder_layout import FolderLayout, read_layout
from shiftvit_utils.image_cache import cache_path, fingerprint, read_cache, write_cache
from shiftvit_utils.image_decoding import UnreadableImageError, decode_image, fit_image
from shiftvit_utils.predictions import printable

MIXED_SIZE = (32, 32)
_MOST_NAMED = 20
_MOST_BYTES = 4 * 2**30


def load_image_folder(
    folder: str | os.PathLike[str],
    image_size: tuple[int, int] | None = None,
    expected_classes: Sequence[str] | None = None,
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Decodes a folder, or reads the cache that the first decoding left beside it.

    Args:
        folder: holds `train/<class>/*`, and maybe `test/` and `val/`, `valid/` or
            `validation/`; or the class folders themselves.
        image_size: `(height, width)`; `None` keeps the images' own size where they all share
            one, and takes 32x32 where they differ.
        expected_classes: the only class names to accept, or `None` for any.

    Returns:
        `arrays`: `x_train` uint8 `(N, H, W, 3)` and `y_train` int64 `(N,)`, the same for `val`
        and `test` where the folder has them, ordered by class, then file name.
        `class_names`: sorted; a label is an index into them.

    Raises:
        FileNotFoundError, NotADirectoryError: `folder` is not there, or is a file.
        ValueError: its layout, classes or images cannot be used; the message says which and why.

    Example:
    >>> import tempfile
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp()) / "coins"
    >>> for name, grey in (("copper", 90), ("silver", 200)):
    ...     (folder / name).mkdir(parents=True)
    ...     Image.new("L", (8, 8), grey).save(folder / name / "1.png")
    >>> arrays, class_names = load_image_folder(folder)
    coins has no train/: its own folders are taken as the classes.
    Decoding 2 images of coins, once.
    >>> class_names, arrays["x_train"].shape
    (('copper', 'silver'), (2, 8, 8, 3))
    """
    layout = read_layout(folder, expected_classes)
    folder = Path(folder).resolve()
    for note in layout.notes:
        print(note)
    path = cache_path(folder, image_size)
    key = fingerprint(folder, [file.name for file in layout.files], image_size)
    cached = read_cache(path, key)
    if cached is None:
        print(f"Decoding {len(layout.files):,} images of {printable(folder.name)}, once.")
        arrays, report = _decode(folder, layout, image_size)
        write_cache(path, key, arrays, report)
    else:
        arrays, report = cached
    for line in report:
        print(line)
    return arrays, layout.class_names


def _decode(
    folder: Path, layout: FolderLayout, image_size: tuple[int, int] | None
) -> tuple[dict[str, np.ndarray], list[str]]:
    # One thread: opening a small file is Python's work, so on 32x32 JPEGs a pool of two was
    # measured slower than none, and a folder is decoded only once.
    images: list[np.ndarray] = []
    owners: list[tuple[str, int]] = []
    skipped: list[str] = []
    report: list[str] = []
    size = image_size
    for file in layout.files:
        try:
            image = decode_image(folder / file.name, size)
        except UnreadableImageError as error:
            skipped.append(f"  {printable(file.name)}: {error}")
            continue
        if size is None and images and image.shape != images[0].shape:
            size = MIXED_SIZE
            report.append(
                f"The images differ in size: all are resized to {size[0]}x{size[1]}. "
                "Choose another size with image_size=(height, width)."
            )
            images = [fit_image(other, MIXED_SIZE) for other in images]
            image = fit_image(image, MIXED_SIZE)
        images.append(image)
        owners.append((file.split, file.label))
        if size is None and len(images) * image.nbytes > _MOST_BYTES:
            raise ValueError(
                f"image_size=None keeps the images' own size, {image.shape[0]}x{image.shape[1]}, "
                f"and {len(layout.files):,} of those are too many to hold in memory. Give "
                "image_size=(height, width), such as (32, 32)."
            )
    report += _skipped_lines(skipped, len(layout.files))
    _require_images(folder, layout, owners, skipped)
    arrays: dict[str, np.ndarray] = {}
    for split in dict.fromkeys(split for split, _ in owners):
        rows = [row for row, owner in enumerate(owners) if owner[0] == split]
        arrays[f"x_{split}"] = np.stack([images[row] for row in rows])
        arrays[f"y_{split}"] = np.array([owners[row][1] for row in rows], dtype=np.int64)
    return arrays, report


def _skipped_lines(skipped: list[str], total: int) -> list[str]:
    if not skipped:
        return []
    lines = [f"Skipped {len(skipped):,} of {total:,} images, which cannot be read:"]
    lines += skipped[:_MOST_NAMED]
    if len(skipped) > _MOST_NAMED:
        lines.append(f"  ... and {len(skipped) - _MOST_NAMED:,} more")
    return lines


def _require_images(
    folder: Path, layout: FolderLayout, owners: list[tuple[str, int]], skipped: list[str]
) -> None:
    decoded = set(owners)
    empty = [
        (file.split, file.label) for file in layout.files if (file.split, file.label) not in decoded
    ]
    if not empty:
        return
    split, label = empty[0]
    what = (
        "None of the images"
        if not decoded
        else f"No {split} image of class {layout.class_names[label]!r}"
    )
    raise ValueError(
        f"{what} in the image folder {folder.name!r} can be read. Replace the damaged files, or "
        "remove the class.\n" + "\n".join(_skipped_lines(skipped, len(layout.files)))
    )

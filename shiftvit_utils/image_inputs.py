"""What people hand to a classifier (arrays, files, a folder, a mix) as one list of named images.

Nothing is decoded here until an image's turn comes, so that a folder may be larger than memory.
Wrong arrays are errors. Damaged files are `UnreadableImageError`, for the caller to skip and name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from shiftvit_utils.image_decoding import (
    IMAGE_SUFFIXES,
    decode_image,
    fit_image,
    pillow_pixels,
)
from shiftvit_utils.pixel_arrays import as_pixels, is_array

_SYSTEM_FILES = ("thumbs.db", "desktop.ini")
_WANTED = (
    "an array (H, W, 3), (H, W) or (N, H, W, 3) with values 0..255, a Pillow image, a path, a "
    "folder, or a list of images and paths"
)


class NamedImage(NamedTuple):
    """One image that has not been decoded yet, and what to call it."""

    name: str
    content: np.ndarray | Image.Image | Path

    def pixels(self, image_size: tuple[int, int]) -> np.ndarray:
        """The image as a network sees it.

        Args:
            image_size: `(height, width)`. The aspect is kept: what is too long is cropped at both
                ends.

        Returns:
            uint8 `(height, width, 3)`.

        Raises:
            UnreadableImageError: the file is damaged, missing, or no image.
        """
        if isinstance(self.content, Path):
            return decode_image(self.content, image_size)
        if isinstance(self.content, Image.Image):
            return fit_image(pillow_pixels(self.content), image_size)
        return fit_image(self.content, image_size)


def named_images(images: Any) -> tuple[Iterable[NamedImage], str]:
    """Every image of what was given, in order.

    Args:
        images: one image, or many: an array or tensor `(H, W, 3)`, `(H, W)` or `(N, H, W, 3)`, a
            Pillow image, the path of a file or of a folder, or a list or iterator of images and
            paths.

    Returns:
        The images, and a line about files in a folder that are no images (`""` if there are none).

    Raises:
        FileNotFoundError: there is no such file or folder, or the folder holds no images.
        TypeError, ValueError: this is no image; the message says what is wrong and the way out.

    Example:
    >>> found, note = named_images(np.zeros((2, 8, 8, 3), np.uint8))
    >>> [image.name for image in found]
    ['image 0', 'image 1']
    """
    if isinstance(images, (str, os.PathLike)):
        path = Path(images)
        if not os.fspath(images) or not os.path.exists(path):
            raise FileNotFoundError(
                f"There is no file or folder {str(images)!r}. Relative paths start at "
                f"{os.getcwd()!r}."
            )
        return _folder(path) if path.is_dir() else ([NamedImage(str(images), path)], "")
    if isinstance(images, Image.Image):
        return [_pillow("image 0", images)], ""
    if is_array(images):
        array = as_pixels(images, "images")
        batch = array if array.ndim == 4 else array[None]  # (N, H, W, 3)
        return [NamedImage(f"image {k}", image) for k, image in enumerate(batch)], ""
    if isinstance(images, (list, tuple, Iterator)):
        return _each(images), ""
    raise TypeError(f"images is {_type_name(images)}; expected {_WANTED}.{_hint(images)}")


def _each(images: Iterable[Any]) -> Iterator[NamedImage]:
    for position, image in enumerate(images):
        if isinstance(image, (str, os.PathLike)):
            path = Path(image)
            if os.path.isdir(path):
                raise ValueError(
                    f"images[{position}] is the folder {str(image)!r}. Give one folder by itself, "
                    "or a list of files."
                )
            yield NamedImage(str(image), path)
        elif isinstance(image, Image.Image):
            yield _pillow(f"image {position}", image)
        elif is_array(image):
            array = as_pixels(image, f"images[{position}]")
            if array.ndim == 4:
                raise ValueError(
                    f"images[{position}] has shape {array.shape}, a batch within a list. Join "
                    "batches with np.concatenate(images)."
                )
            yield NamedImage(f"image {position}", array)
        else:
            raise TypeError(
                f"images[{position}] is {_type_name(image)}; expected an array, a Pillow image or "
                f"a path.{_hint(image)}"
            )


def _folder(folder: Path) -> tuple[list[NamedImage], str]:
    found: list[Path] = []
    ignored = 0
    # Links to folders are not followed: they can lead in a circle.
    for place, folders, files in os.walk(folder, onerror=_reraise):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        for name in files:
            if name.startswith(".") or name.lower() in _SYSTEM_FILES:
                continue
            is_image = Path(name).suffix.lower() in IMAGE_SUFFIXES
            ignored += not is_image
            if is_image:
                found.append(Path(place, name))
    if not found:
        raise FileNotFoundError(
            f"The folder {str(folder)!r} and its sub-folders hold no images, and {ignored} other "
            f"file(s). Images end in {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    names = {path: path.relative_to(folder).as_posix() for path in sorted(found)}
    note = f"Ignored {ignored} file(s) that are not JPEG, PNG, BMP, GIF or WebP." if ignored else ""
    return [NamedImage(name, path) for path, name in names.items()], note


def _reraise(error: OSError) -> None:
    raise error


def _pillow(name: str, image: Image.Image) -> NamedImage:
    if 0 in image.size:
        raise ValueError(f"{name} is {image.width}x{image.height}: it has no pixels.")
    return NamedImage(name, image)


def _type_name(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def _hint(value: Any) -> str:
    if isinstance(value, (bytes, bytearray)):
        return " Open the bytes of a file with Image.open(io.BytesIO(data)), of Pillow."
    return ""

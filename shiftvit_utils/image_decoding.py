"""One image file, of any size and mode, to the RGB pixels that a network sees.

Files from the wild hold more than RGB: phones store a rotation beside the pixels, icons are
transparent, scanners write 16 bits, print shops write CMYK. Each is turned into what a person
would see in a viewer. A file that cannot be read whole raises one kind of error, with a reason.

It does not walk folders (see `image_folder`) and never guesses at the missing half of a file.
"""

from __future__ import annotations

import os
import stat
import struct
import warnings
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp"})

# Pillow looks at a file's content, not its name, and its EPS reader starts Ghostscript. Only
# the formats promised above are tried, so a PostScript file named cat.jpg stays a broken image.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")

# What Pillow's readers raise for damaged files. A wider net would also hide our own mistakes.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    OverflowError,
    struct.error,
    zlib.error,
    MemoryError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
# And for damaged notes beside good pixels, which Pillow reads with less care.
_DAMAGED_NOTES = (*_DAMAGE, TypeError, KeyError, AttributeError, ZeroDivisionError)

# How the picture lies, by the number that EXIF has for it.
_TO_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadableImageError(ValueError):
    """An image file that is damaged, truncated, missing, or too large to be decoded safely."""


def check_image_size(image_size: int | Sequence[int] | None) -> tuple[int, int] | None:
    """Returns `image_size` as `(height, width)`, or `None` for "as the images are".

    Args:
        image_size: pixels; one int for a square, or `(height, width)`.

    Raises:
        TypeError: not an int, a pair of ints, or `None`.
        ValueError: a side below 1, or not exactly two of them.

    Example:
    >>> check_image_size(32)
    (32, 32)
    """
    if image_size is None:
        return None
    is_pair = isinstance(image_size, (tuple, list))
    sides: Any = image_size if is_pair else (image_size, image_size)
    expected = f"image_size={image_size!r} must be (height, width), one int, or None, in pixels."
    if not all(_is_int(side) for side in sides):
        raise TypeError(expected)
    if len(sides) != 2 or min(sides) < 1:
        raise ValueError(f"{expected} Both sides must be at least 1; try image_size=(32, 32).")
    return int(sides[0]), int(sides[1])


def _is_int(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def fit_image(image: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Resizes an image with its aspect kept, by cropping the longer side around the centre.

    Args:
        image: uint8 `(H, W, 3)`.
        image_size: `(height, width)` of the result.

    Returns:
        uint8 `(height, width, 3)`; `image` itself where the size is right already.

    Example:
    >>> fit_image(np.zeros((40, 60, 3), np.uint8), (32, 32)).shape
    (32, 32, 3)
    """
    if image.shape[:2] == image_size:
        return image
    height, width = image_size
    fitted = ImageOps.fit(Image.fromarray(image), (width, height), Image.Resampling.BICUBIC)
    return np.asarray(fitted)


def stated_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """The size that the header of an image file states, before any rotation; decodes no pixel.

    For a decision on whether to decode a file that comes from a stranger.

    Args:
        path: a JPEG, PNG, BMP, GIF or WebP file.

    Returns:
        `(height, width)`.

    Raises:
        UnreadableImageError: with the reason; its cause is Pillow's `DecompressionBombError` if
            the header states more than twice Pillow's own limit.

    Example:
    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "grey.png")
    >>> Image.new("L", (5, 4), 128).save(path)
    >>> stated_size(path)
    (4, 5)
    """
    try:
        with warnings.catch_warnings():
            # It is the caller who decides what is too much.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with _open(path) as opened:
                return opened.height, opened.width
    except _DAMAGE as error:
        raise UnreadableImageError(_reason(error)) from error


def decode_image(
    path: str | os.PathLike[str], image_size: tuple[int, int] | None = None
) -> np.ndarray:
    """Reads one image file; of an animation, the first frame.

    Args:
        path: a JPEG, PNG, BMP, GIF or WebP file.
        image_size: `(height, width)` to fit the image to, or `None` for its own size.

    Returns:
        uint8 `(H, W, 3)`, rotated as its EXIF tag says, transparency laid on white. Damaged EXIF
        beside good pixels turns nothing, as in a viewer.

    Raises:
        UnreadableImageError: with the reason; the message leaves the path to the caller.

    Example:
    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "grey.png")
    >>> Image.new("L", (5, 4), 128).save(path)
    >>> decode_image(path).shape
    (4, 5, 3)
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Pillow's, on notes beside the pixels
            # Between one and two times its limit Pillow only warns of a decompression bomb.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with _open(path) as opened:
                pixels = np.asarray(_as_rgb(_upright(opened)))
    except _DAMAGE as error:
        raise UnreadableImageError(_reason(error)) from error
    return pixels if image_size is None else fit_image(pixels, image_size)


def pillow_pixels(image: Image.Image) -> np.ndarray:
    """The pixels of an image that Pillow has opened or made, as a viewer would show them.

    Args:
        image: of any mode; it is not changed.

    Returns:
        uint8 `(H, W, 3)`, rotated as its EXIF tag says, transparency laid on white.

    Raises:
        UnreadableImageError: with the reason; Pillow reads a file's pixels only now.

    Example:
    >>> pillow_pixels(Image.new("L", (5, 4), 128)).shape
    (4, 5, 3)
    """
    try:
        return np.asarray(_as_rgb(_upright(image)))
    except _DAMAGE as error:
        raise UnreadableImageError(_reason(error)) from error


def _open(path: str | os.PathLike[str]) -> Image.Image:
    # Opening a pipe or a device that is named like an image could wait, or read, forever.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("not a file")
    return Image.open(path, formats=_FORMATS)


def _upright(image: Image.Image) -> Image.Image:
    # Not ImageOps.exif_transpose: that also writes the EXIF anew, which fails on odd entries and
    # would lose a picture for the sake of notes that are thrown away here.
    image.load()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, on notes that nobody needs
            orientation = _stated_orientation(image)
        turn = _TO_UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    except _DAMAGED_NOTES:
        turn = None
    return image if turn is None else image.transpose(turn)


def _stated_orientation(image: Image.Image) -> object:
    # Without EXIF, Pillow looks into other notes (XMP, texts of a PNG), by which no viewer goes.
    notes = image.info
    image.info = {"exif": notes["exif"]} if "exif" in notes else {}
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    finally:
        image.info = notes


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range; save it as 8 or 16 bit")
    if image.mode.startswith("I"):
        image = _sixteen_to_eight_bits(image)
    if image.has_transparency_data:
        # Transparent pixels still hold a colour, often black or leftovers that no viewer shows.
        # Drawings and icons are made for a light page, so white is what people saw of them.
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _sixteen_to_eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("pixels outside 0..65535; save it as 8 or 16 bit")
    if image.mode == "I" and 0 < values.max() <= 255:
        raise ValueError(
            f"32-bit pixels up to {values.max()}, which may mean 8 or 16 bits; save it as either "
            "(an array: astype('uint8'))"
        )
    # Pillow's own conversion clips at 255, which turns nearly every 16-bit image white. This is
    # 255 / 65535 of the value, rounded, in integers: floats would take several times the memory.
    eight_bits = Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
    if (transparent := image.info.get("transparency")) is not None:  # one shade of grey
        eight_bits.putalpha(
            Image.fromarray(np.where(values == transparent, 0, 255).astype("uint8"))
        )
    return eight_bits


def _reason(error: BaseException) -> str:
    # Pillow's "cannot identify" repeats the absolute path; notebooks should not publish it.
    if isinstance(error, Image.UnidentifiedImageError):
        return "not a JPEG, PNG, BMP, GIF or WebP image"
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__

"""One call for every source of images, one form for what comes back.

scikit-learn's digits, CIFAR-10, an `.npz` file or a folder of images: `load_dataset` says in one
line what it used, splits it under a seed, and never takes another source than it was asked for.

Images stay uint8 from 0 to 255. Normalising and augmenting belong to the model.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits

from shiftvit_utils.cifar10 import CLASS_NAMES as CIFAR10_CLASS_NAMES
from shiftvit_utils.cifar10 import DEFAULT_VALIDATION, load_cifar10
from shiftvit_utils.dataset import Dataset
from shiftvit_utils.image_decoding import check_image_size, fit_image
from shiftvit_utils.image_folder import load_image_folder
from shiftvit_utils.npz_file import load_npz
from shiftvit_utils.predictions import printable
from shiftvit_utils.splits import (
    DEFAULT_FRACTION,
    check_seed,
    held_out_count,
    require_every_class,
    stratified_split,
    stratified_subset,
)

NAMED_SOURCES = ("cifar10", "digits")
_EXPECTED = "'cifar10', 'digits', the path of an .npz file, or the path of a folder of images"


def source_text(source: str | os.PathLike[str]) -> str:
    """A source as text. A path stays one: `Path("digits")` is a folder, no named source.

    >>> source_text(Path("digits")), source_text("digits")
    ('./digits', 'digits')
    """
    text = os.fspath(source)
    if isinstance(source, os.PathLike) and os.path.basename(text) == text:
        return os.path.join(os.curdir, text)
    return text


class _Source(NamedTuple):
    arrays: dict[str, np.ndarray]
    class_names: tuple[str, ...]
    description: str
    default_validation: int | float = DEFAULT_FRACTION
    validation_is_last: bool = False


def load_dataset(
    source: str | os.PathLike[str] = "digits",
    validation_size: int | float | None = None,
    seed: int = 0,
    image_size: int | Sequence[int] | None = None,
    test_size: int | float | None = None,
    limit_train: int | None = None,
) -> Dataset:
    """Loads images and labels, split into training, validation and test.

    Splits that the source brings are kept, in the source's order (a folder's is class by class).
    Those it lacks are drawn from the training images, stratified, in random order. The official
    CIFAR-10 files are validated on the last images of the 50,000, as published work does.

    Args:
        source: one of

            - `"digits"`: 1,797 real 8x8 images that come with scikit-learn, each pixel repeated
              to 4x4, so 32x32. No download.
            - `"cifar10"`: 60,000 images of 32x32; see `cifar10.load_cifar10` for where it looks.
            - the path of an `.npz` with `x_train`, `y_train`, ...; see `npz_file.load_npz`.
            - the path of a folder with `train/<class>/*`; see `image_folder.load_image_folder`.
        validation_size: how many training images to hold out: a count (int), a fraction of them
            (float), or `None` for 10,000 of CIFAR-10 and a fifth of anything else.
        seed: the same seed gives the same splits.
        image_size: pixels, `(height, width)` or one int; larger or smaller images are resized,
            the longer side cropped. `None` keeps the source's size.
        test_size: as `validation_size`, for a source without test images of its own.
        limit_train: keep this many training images, stratified; `None` or 0 keeps all.

    Returns:
        A `Dataset`: images uint8 `(N, H, W, 3)`, labels int64 `(N,)`.

    Raises:
        TypeError: an argument is of another type.
        ValueError: an argument, or what the source holds, cannot be used.
        FileNotFoundError: the source is nowhere to be found.

    Example:
    >>> data = load_dataset("digits", validation_size=200)
    Data: digits from scikit-learn, each pixel repeated to 4x4
    >>> data.x_train.shape, len(data.x_val), len(data.x_test)
    ((1237, 32, 32, 3), 200, 360)
    """
    seed = check_seed(seed)
    size = check_image_size(image_size)
    arrays, names, description, default_validation, validation_is_last = _load(source, size)
    if size is not None:
        for key in [key for key in arrays if key.startswith("x_")]:
            arrays[key] = _resize(arrays[key], size)

    if "x_test" in arrays:
        _refuse("test_size", test_size, "test")
    else:
        total = len(arrays["y_train"])
        count = held_out_count("test_size", test_size, total, len(names))
        kept, held = stratified_split(arrays["y_train"], count, seed, names, "test_size")
        _move(arrays, kept, held, "test")
        if source != "digits":
            print(f"No test images of its own: {count:,} of {total:,} held out, seed {seed}.")

    if "x_val" in arrays:
        _refuse("validation_size", validation_size, "validation")
    else:
        labels = arrays["y_train"]
        count = held_out_count(
            "validation_size", validation_size, len(labels), len(names), default_validation
        )
        if validation_is_last:
            kept, held = np.split(np.arange(len(labels)), [len(labels) - count])
            advice = f"The last {count} images are used: choose a larger validation_size."
            require_every_class(labels[held], names, "validation", advice)
        else:
            kept, held = stratified_split(labels, count, seed, names, "validation_size")
        _move(arrays, kept, held, "val")

    advice = "Add images of it, or take it out of the class names."
    require_every_class(arrays["y_train"], names, "training", advice)
    whole = Dataset(**arrays, class_names=names, source=description, id_of_all=None)
    chosen = stratified_subset(arrays["y_train"], limit_train, seed, names)
    print(f"Data: {description}")
    if len(chosen) == len(arrays["y_train"]):
        return whole
    arrays["x_train"], arrays["y_train"] = arrays["x_train"][chosen], arrays["y_train"][chosen]
    return Dataset(**arrays, class_names=names, source=description, id_of_all=whole.data_id)


def _load(source: str | os.PathLike[str], size: tuple[int, int] | None) -> _Source:
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"source={source!r} must be {_EXPECTED}.")
    if source == "digits":
        return _digits()
    if source == "cifar10":
        cifar = load_cifar10(size)
        return _Source(
            cifar.arrays,
            CIFAR10_CLASS_NAMES,
            cifar.description,
            DEFAULT_VALIDATION,
            cifar.official_order,
        )
    path = Path(source).expanduser()
    # The description is printed in notebooks and kept with results: no absolute path in it.
    shown = printable(path.name if path.is_absolute() else path.as_posix())
    if not os.fspath(source):  # Path("") would be the current folder
        raise _unknown(source)
    if path.is_dir():
        return _Source(*load_image_folder(path, size), f"image folder {shown}")
    if path.suffix.lower() == ".npz":
        return _Source(*load_npz(path), f"npz file {shown}")
    if path.exists():
        raise ValueError(
            f"source={str(source)!r} is a file, but not an .npz: expected {_EXPECTED}. Unpack an "
            "archive first, and save other arrays with np.savez."
        )
    raise _unknown(source)


def _unknown(source: str | os.PathLike[str]) -> Exception:
    text = os.fspath(source)
    if isinstance(source, os.PathLike) or os.path.basename(text) != text:
        return FileNotFoundError(f"source={text!r} does not exist: check the path.")
    close = difflib.get_close_matches(text.lower(), NAMED_SOURCES, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return ValueError(f"source={text!r} is unknown; expected {_EXPECTED}.{hint}")


def _digits() -> _Source:
    digits = load_digits()
    # 0..16 in the original. Rounding keeps 0 black and makes 16 exactly 255.
    grey = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    images = grey.repeat(4, axis=1).repeat(4, axis=2)[..., None].repeat(3, axis=-1)
    return _Source(
        {"x_train": images, "y_train": digits.target.astype(np.int64)},
        tuple(str(digit) for digit in digits.target_names),
        "digits from scikit-learn, each pixel repeated to 4x4",
    )


def _resize(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if images.shape[1:3] == size:
        return images
    return np.stack([fit_image(image, size) for image in images])


def _refuse(name: str, value: int | float | None, split: str) -> None:
    if value is not None:
        raise ValueError(
            f"{name}={value!r} was given, but this source brings its own {split} images. Leave "
            f"{name} out, or take them out of the source."
        )


def _move(arrays: dict[str, np.ndarray], kept: np.ndarray, held: np.ndarray, split: str) -> None:
    for kind in "xy":
        whole = arrays[f"{kind}_train"]
        arrays[f"{kind}_{split}"], arrays[f"{kind}_train"] = whole[held], whole[kept]

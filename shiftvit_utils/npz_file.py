"""Anyone's images, brought as arrays in one `.npz` file.

    np.savez("mine.npz", x_train=..., y_train=..., x_test=..., y_test=...)

Arrays say less than image files do: whether grey is one channel, whether floats end at 1 or at
255, whether labels start at 0. What is unambiguous is converted; what could be read in two ways
is an error that says how to settle it.

It does not split, and reads no pickled objects.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from shiftvit_utils.npz_archive import ARCHIVE_DAMAGE, read_npz
from shiftvit_utils.predictions import printable

_SPLITS = ("train", "val", "test")
_KEYS = tuple(f"{kind}_{split}" for split in _SPLITS for kind in "xy")


def load_npz(
    path: str | os.PathLike[str],
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Reads and checks a data set that was saved with `np.savez`.

    Args:
        path: holds `x_train`, `y_train`; maybe `x_val`, `y_val`, `x_test`, `y_test`,
            `class_names`. Images `(N, H, W)`, `(N, H, W, 1)` or `(N, H, W, 3)`, uint8, or other
            numbers from 0 to 255. Labels whole numbers from 0, `(N,)` or `(N, 1)`.

    Returns:
        `arrays`: images as uint8 `(N, H, W, 3)`, floats rounded, grey repeated; labels as int64
        `(N,)`.
        `class_names`: those of the file, or the label numbers as text.

    Raises:
        FileNotFoundError: `path` is not there.
        ValueError: no `.npz`, a damaged one, or arrays that do not fit; the message names the
            key and the value.

    Example:
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "mine.npz"
    >>> np.savez(path, x_train=np.zeros((4, 8, 8), np.uint8), y_train=[0, 1, 0, 1])
    >>> arrays, class_names = load_npz(path)
    >>> arrays["x_train"].shape, class_names
    ((4, 8, 8, 3), ('0', '1'))
    """
    path = Path(path)
    found, others = _read(path)
    for split in _SPLITS:
        given = [key for key in (f"x_{split}", f"y_{split}") if key in found]
        if len(given) == 1 or (split == "train" and not given):
            keys = ", ".join([*found, *map(printable, others)])
            raise ValueError(
                f"{path.name!r} needs x_{split} and y_{split} together; it has the keys "
                f"{keys or 'none'}. Save it with np.savez(path, x_train=..., y_train=..., "
                "x_test=..., y_test=...)."
            )
    arrays: dict[str, np.ndarray] = {}
    for split in [split for split in _SPLITS if f"x_{split}" in found]:
        images = _images(found[f"x_{split}"], f"x_{split}")
        labels = _labels(found[f"y_{split}"], f"y_{split}", len(images))
        arrays |= {f"x_{split}": images, f"y_{split}": labels}
    class_names = _class_names(found.get("class_names"), arrays["y_train"])
    for key in [key for key in arrays if key.startswith("y_")]:
        _require_below(arrays[key], key, len(class_names))
    return arrays, class_names


def _read(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    if not path.exists():
        raise FileNotFoundError(f"The file {str(path)!r} does not exist: check the path.")
    try:
        found, unknown = read_npz(path, (*_KEYS, "class_names"))
    except ARCHIVE_DAMAGE as error:
        raise ValueError(
            f"{path.name!r} is not a readable .npz: it is damaged, of another format, or holds "
            f"Python objects ({error}). Save plain arrays again with np.savez."
        ) from error
    if unknown:
        print(
            f"Not read from {printable(path.name)}: {', '.join(map(printable, sorted(unknown)))}."
        )
    return found, unknown


def _class_names(names: np.ndarray | None, labels: np.ndarray) -> tuple[str, ...]:
    if names is not None:
        if names.ndim != 1 or names.dtype.kind not in "US":
            raise ValueError(
                f"class_names has shape {names.shape} and type {names.dtype}; expected one text "
                "for each class, such as np.array(['cat', 'dog'])."
            )
        try:
            return tuple(str(name) for name in names.astype(str))
        except UnicodeDecodeError as error:
            raise ValueError(
                f"class_names has bytes that are no ASCII ({error}): save them as str, such as "
                "np.array(['cat', 'dog'])."
            ) from error
    present = np.unique(labels)
    if len(present) <= present[-1]:
        gap = int(np.setdiff1d(np.arange(len(present)), present)[0])
        raise ValueError(
            f"y_train goes up to {present[-1]} but has no label {gap}. Labels count from 0 "
            "without gaps: subtract the smallest, or save class_names to name every class."
        )
    if len(present) < 2:
        raise ValueError("y_train holds no label but 0; at least two classes are expected.")
    return tuple(str(label) for label in present)


def _images(images: np.ndarray, key: str) -> np.ndarray:
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not images.size:
        hint = ""
        if images.ndim == 4 and images.shape[1] in (1, 3):
            hint = f" The channels seem to come first: save {key}.transpose(0, 2, 3, 1)."
        raise ValueError(
            f"{key} has shape {images.shape}; expected (N, H, W), (N, H, W, 1) or (N, H, W, 3), "
            f"with none of them 0.{hint}"
        )
    if images.dtype.kind not in "iuf":
        raise ValueError(
            f"{key} has type {images.dtype}; expected uint8, or numbers from 0 to 255."
        )
    if images.dtype != np.uint8:
        images = _as_uint8(images, key)
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images


def _as_uint8(images: np.ndarray, key: str) -> np.ndarray:
    if images.dtype.kind == "f":
        broken = len(images) - int(np.isfinite(images).all(axis=(1, 2, 3)).sum())
        if broken:
            raise ValueError(
                f"{key} has {broken} image(s) with NaN or infinite values. Find them with "
                f"~np.isfinite({key}).all(axis=(1, 2, 3)), and drop or repair them."
            )
    lowest, highest = images.min(), images.max()
    if lowest < 0 or highest > 255:
        raise ValueError(f"{key} goes from {lowest} to {highest}; expected values from 0 to 255.")
    if images.dtype.kind == "f" and highest <= 1:
        raise ValueError(
            f"{key} is float and goes from {lowest} to {highest}: that may mean 0..1 or nearly "
            f"black images. If it is 0..1, multiply by 255; then save {key} as uint8."
        )
    return np.rint(images).astype(np.uint8)


def _labels(labels: np.ndarray, key: str, count: int) -> np.ndarray:
    if labels.shape not in ((count,), (count, 1)) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{key} has shape {labels.shape} and type {labels.dtype}; expected one integer for "
            f"each of the {count} images, ({count},) or ({count}, 1).{_label_advice(labels, key)}"
        )
    labels = labels.reshape(-1).astype(np.int64)
    if labels.min() < 0:
        where = int(np.argmax(labels < 0))
        raise ValueError(f"{key}[{where}] is {labels[where]}, but labels count from 0.")
    return labels


def _label_advice(labels: np.ndarray, key: str) -> str:
    if labels.ndim == 2 and labels.shape[1] > 1 and labels.dtype.kind in "iufb":
        return f" If these are one-hot, save {key}.argmax(axis=1)."
    if labels.dtype.kind == "f":
        return f" If these are whole numbers, save {key}.astype(int)."
    if labels.dtype.kind in "US":
        return (
            f" Of texts, save class_names, {key} = np.unique({key}, return_inverse=True), the same "
            "class_names for every split."
        )
    return ""


def _require_below(labels: np.ndarray, key: str, num_classes: int) -> None:
    wrong = np.flatnonzero(labels >= num_classes)
    if len(wrong):
        raise ValueError(
            f"{key}[{wrong[0]}] is {labels[wrong[0]]}, and {len(wrong)} label(s) in all are above "
            f"{num_classes - 1}, the last of the {num_classes} classes. Labels count from 0."
        )

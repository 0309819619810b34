"""Which files of a folder are images, of which class, for which split.

    flowers/train/daisy/*.jpg    flowers/test/daisy/*.jpg    (and, if present, flowers/val/)
    flowers/train/tulip/*.jpg    flowers/test/tulip/*.jpg

A folder with the classes directly inside counts as `train/`. A class that is missing from a
split, or empty, is an error: a network trained without it would be wrong in silence.

It only reads names. No image is opened here (see `image_folder`).
"""

from __future__ import annotations

import errno
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from shiftvit_utils.image_decoding import IMAGE_SUFFIXES
from shiftvit_utils.predictions import printable

_VALIDATION = ("val", "valid", "validation")
_SPLITS = {"train": "train", **dict.fromkeys(_VALIDATION, "val"), "test": "test"}
_SPLIT_LIKE = {*_SPLITS, "training", "testing"}
_SYSTEM_FILES = ("thumbs.db", "desktop.ini")


class ImageFile(NamedTuple):
    """One image: its name below the folder, `"train"`, `"val"` or `"test"`, and its label."""

    name: str
    split: str
    label: int


@dataclass(frozen=True)
class FolderLayout:
    """What a folder of images holds, before any is opened.

    Attributes:
        class_names: sorted; a label is an index into them.
        files: split by split, class by class, by file name.
        notes: lines that tell the reader what was assumed or passed over.
    """

    class_names: tuple[str, ...]
    files: tuple[ImageFile, ...]
    notes: tuple[str, ...]


def read_layout(
    folder: str | os.PathLike[str], expected_classes: Sequence[str] | None = None
) -> FolderLayout:
    """Finds the splits, the classes and the image files of a folder.

    Hidden files, `Thumbs.db` and the like are passed over; other files that are no images are
    counted in `notes`.

    Args:
        folder: holds `train/<class>/*`, and maybe `test/` and `val/`, `valid/` or
            `validation/`; or the class folders themselves.
        expected_classes: the only class names to accept, or `None` for any.

    Raises:
        FileNotFoundError, NotADirectoryError: `folder` is not there, or is a file.
        ValueError: fewer than two classes, an empty class, a class whose name cannot be printed,
            splits with different classes, two folders for validation, or a folder such as `Test/`.

    Example:
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("train/cat/1.png", "train/dog/1.png"):
    ...     (folder / name).parent.mkdir(parents=True)
    ...     (folder / name).touch()
    >>> read_layout(folder).files[1]
    ImageFile(name='train/dog/1.png', split='train', label=1)
    """
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"The image folder {str(folder)!r} does not exist: check the path.")
    if not folder.is_dir():
        raise NotADirectoryError(f"{str(folder)!r} is a file, but a folder of images is expected.")
    folder = folder.resolve()  # so that "." has a name to print
    splits, notes = _find_splits(folder)
    class_names = _agreed_classes(folder, splits, expected_classes)
    files, ignored, nested = _list_images(folder, splits)
    if ignored:
        notes.append(f"Ignored {ignored} file(s) that are not JPEG, PNG, BMP, GIF or WebP.")
    if nested:
        notes.append(
            f"Not read: {len(nested)} folder(s) inside a class, such as {printable(nested[0])}."
        )
    return FolderLayout(class_names, tuple(files), tuple(notes))


def _sub_folders(folder: Path) -> dict[str, Path]:
    with os.scandir(folder) as entries:
        names = [
            entry.name
            for entry in entries
            if _is_folder(entry) and not entry.name.startswith(".") and entry.name != "__MACOSX"
        ]
    return {name: folder / name for name in sorted(names)}


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if (
            error.errno == errno.ELOOP
        ):  # a link in a circle: no folder, but maybe named like an image
            return False
        raise


def _find_splits(folder: Path) -> tuple[dict[str, Path], list[str]]:
    found = _sub_folders(folder)
    if "train" not in found:
        split_like = [name for name in found if name.casefold() in _SPLIT_LIKE]
        if split_like:
            raise ValueError(
                f"The image folder {folder.name!r} has {', '.join(split_like)} but no train/ (in "
                "lower case). Rename or add it, with one sub-folder a class."
            )
        return {"train": folder}, [
            f"{printable(folder.name)} has no train/: its own folders are taken as the classes."
        ]
    validation = [f"{name}/" for name in found if name in _VALIDATION]
    if len(validation) > 1:
        raise ValueError(
            f"The image folder {folder.name!r} has {' and '.join(validation)}: keep one."
        )
    for name in found:
        if name not in _SPLITS and name.casefold() in _SPLIT_LIKE:
            raise ValueError(
                f"The image folder {folder.name!r} has {name}/ beside train/, and its images would "
                "not be read. Call it as it is read (train/, val/, test/), or move it away."
            )
    splits = {_SPLITS[name]: path for name, path in found.items() if name in _SPLITS}
    others = [name for name in found if name not in _SPLITS]
    shown = ", ".join(map(printable, others))
    return splits, [f"Not read, beside train/: {shown}."] if others else []


def _agreed_classes(
    folder: Path, splits: dict[str, Path], expected: Sequence[str] | None
) -> tuple[str, ...]:
    found = tuple(_sub_folders(splits["train"]))
    # Class names go into tables, JSON and files that others read. File names are only bytes.
    unprintable = [name for name in found if not _is_text(name)]
    if unprintable:
        raise ValueError(
            f"The class folder {unprintable[0]!r} of {folder.name!r} has a name that holds control "
            "characters or is no UTF-8, and a class is called as its folder is. Rename it."
        )
    class_names = found if expected is None else tuple(sorted(expected))
    if expected is None and len(found) < 2:
        what = f"only {found[0]!r}" if found else "none"
        raise ValueError(
            f"The image folder {folder.name!r} needs at least two class folders, and {what} was "
            "found. Put the images of each class into a sub-folder named after it."
        )
    for path in splits.values():
        here = set(_sub_folders(path))
        missing, unknown = sorted(set(class_names) - here), sorted(here - set(class_names))
        if missing or unknown:
            raise ValueError(
                f"The class folders in {path.name!r} of the image folder {folder.name!r} are not "
                f"the {len(class_names)} expected. Missing: {', '.join(missing) or 'none'}. "
                f"Unknown: {', '.join(unknown) or 'none'}. Every split needs the same classes."
            )
    return class_names


def _is_text(name: str) -> bool:
    # Cc: control characters, Cs: bytes that are no UTF-8.
    return not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)


def _list_images(folder: Path, splits: dict[str, Path]) -> tuple[list[ImageFile], int, list[str]]:
    """Every image, how many other files lie among them, and the folders that do."""
    files: list[ImageFile] = []
    ignored, nested = 0, []
    for split, split_folder in splits.items():
        for label, (class_name, class_folder) in enumerate(_sub_folders(split_folder).items()):
            with os.scandir(class_folder) as entries:
                seen = [
                    (entry.name, _is_folder(entry))
                    for entry in sorted(entries, key=lambda entry: entry.name)
                    if not entry.name.startswith(".") and entry.name.lower() not in _SYSTEM_FILES
                ]
            names = [name for name, is_folder in seen if not is_folder]
            images = [name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES]
            place = class_folder.relative_to(folder).as_posix()
            if not images:
                raise ValueError(
                    f"The class folder {place!r} of {folder.name!r} has no images. Add some "
                    f"({', '.join(sorted(IMAGE_SUFFIXES))}), or remove class {class_name!r}."
                )
            ignored += len(names) - len(images)
            nested += [f"{place}/{name}" for name, is_folder in seen if is_folder]
            files += [ImageFile(f"{place}/{name}", split, label) for name in images]
    return files, ignored, nested

"""CIFAR-10, from the nearest place that has it.

60,000 colour images of 32x32 pixels in ten classes, 50,000 to train and 10,000 to test (Alex
Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009,
https://www.cs.toronto.edu/~kriz/cifar.html). The places are tried in a fixed order and the first
that exists is used. A damaged one is an error, never a reason to take another in silence.

It does not know the official file format (see `cifar_batches`) and does not split.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shiftvit_utils.cifar_batches import read_batch_archive, read_batch_folder
from shiftvit_utils.image_folder import load_image_folder

CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
DEFAULT_VALIDATION = 10_000
_STALLED_SECONDS = 60.0  # without a single byte

# Under `datasets/` in Keras's cache, newest first: Keras 3.15 writes the first two.
_KERAS_FOLDERS = ("cifar-10-batches-py-target", "cifar-10-batches-py")
_KERAS_ARCHIVES = (
    "cifar-10-batches-py-target_archive",
    "cifar-10-batches-py_archive",
    "cifar-10-batches-py.tar.gz",
)


class Cifar10(NamedTuple):
    """What a place held.

    Attributes:
        arrays: `x_train`, `y_train`, `x_test`, `y_test` (and `x_val`, `y_val` from a folder that
            has them); images uint8 `(N, 32, 32, 3)`, labels int64 `(N,)`.
        official_order: whether the images come in the order in which the authors published
            them, in which the last training images are a fair validation set.
        description: where it came from, without the paths of this machine.
    """

    arrays: dict[str, np.ndarray]
    official_order: bool
    description: str


class _Place(NamedTuple):
    shown: str
    path: Path
    kind: str


def load_cifar10(image_size: tuple[int, int] | None = None) -> Cifar10:
    """Reads CIFAR-10 from the first of these places that exists.

    1. `$SHIFTVIT_DATA/cifar10/{train,test}/<class>/*`, images
    2. `$SHIFTVIT_DATA/cifar-10-batches-py`, the official files
    3. `$SHIFTVIT_DATA/cifar-10-python.tar.gz`, the official archive
    4. Keras's own cache, in `$KERAS_HOME` or `~/.keras`
    5. the download that Keras does, into that cache

    Args:
        image_size: `(height, width)` for place 1, where images may have any size; the others
            are 32x32 whatever it says.

    Raises:
        ValueError: the place is damaged, or is not CIFAR-10; the message names it.
        FileNotFoundError: no place has it, and the download failed.

    Example:
    >>> len(CLASS_NAMES), CLASS_NAMES[3]
    (10, 'cat')
    """
    for place in (*_shiftvit_places(), *_keras_places()):
        if not place.path.exists():
            continue
        description = f"CIFAR-10 from {place.shown} ({place.kind})"
        if place.kind == "image folder":
            return Cifar10(_read_images(place, image_size), False, description)
        read = read_batch_folder if place.kind == "official batches" else read_batch_archive
        return Cifar10(read(place.path), True, description)
    return Cifar10(_download(), True, "CIFAR-10 from the download by Keras")


def _shiftvit_places() -> list[_Place]:
    root = os.environ.get("SHIFTVIT_DATA")
    if not root:
        return []
    home = Path(root).expanduser()
    return [
        _Place(f"$SHIFTVIT_DATA/{name}", home / name, kind)
        for name, kind in (
            ("cifar10", "image folder"),
            ("cifar-10-batches-py", "official batches"),
            ("cifar-10-python.tar.gz", "official archive"),
        )
    ]


def _keras_places() -> list[_Place]:
    shown = "$KERAS_HOME" if "KERAS_HOME" in os.environ else "~/.keras"
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    homes = [(shown, home)]
    if not os.access(home, os.W_OK):  # then Keras keeps its data sets here instead
        temporary = Path(tempfile.gettempdir()) / ".keras"
        homes.append((str(temporary), temporary))
    return [
        _Place(f"{shown}/datasets/{name}", home / "datasets" / name, kind)
        for shown, home in homes
        for names, kind in (
            (_KERAS_FOLDERS, "official batches"),
            (_KERAS_ARCHIVES, "official archive"),
        )
        for name in names
    ]


def _read_images(place: _Place, image_size: tuple[int, int] | None) -> dict[str, np.ndarray]:
    missing = [f"{name}/" for name in ("train", "test") if not (place.path / name).is_dir()]
    if missing:
        raise ValueError(
            f"{place.shown} ({str(place.path)!r}) has no {' and no '.join(missing)}. CIFAR-10 as "
            "images needs train/<class>/* and test/<class>/*. Complete the folder, or rename it "
            "to have the other places searched."
        )
    arrays, _ = load_image_folder(place.path, image_size, expected_classes=CLASS_NAMES)
    return arrays


def _download() -> dict[str, np.ndarray]:
    import keras  # here, so that digits and folders load without it

    print(
        "CIFAR-10 is not on this machine: Keras downloads it now (170 MB; the official host is "
        "slow, up to an hour). A copy in $SHIFTVIT_DATA avoids that."
    )
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_STALLED_SECONDS)  # else a server that falls silent is waited for
    try:
        (x_train, y_train), (x_test, y_test) = keras.datasets.cifar10.load_data()
    except Exception as error:  # Keras reports a failed download as a plain Exception
        raise FileNotFoundError(_nowhere(error, _keras_places())) from error
    finally:
        socket.setdefaulttimeout(patience)
    return {
        "x_train": _channels_last(x_train),
        "y_train": np.asarray(y_train).reshape(-1).astype(np.int64),
        "x_test": _channels_last(x_test),
        "y_test": np.asarray(y_test).reshape(-1).astype(np.int64),
    }


def _channels_last(images: np.ndarray) -> np.ndarray:
    # Keras hands out (N, 3, 32, 32) where its global image format is "channels_first".
    return np.moveaxis(images, 1, -1) if images.shape[1:] == (3, 32, 32) else images


def _nowhere(error: Exception, keras_places: Sequence[_Place]) -> str:
    root = os.environ.get("SHIFTVIT_DATA")
    state = f"SHIFTVIT_DATA={root!r}" if root else "SHIFTVIT_DATA is not set"
    if root and not Path(root).expanduser().is_dir():
        state += ", which is not a folder"
    lines = [
        f"CIFAR-10 was not found, and the download failed ({error}). Looked in:",
        f"  $SHIFTVIT_DATA/cifar10/{{train,test}}/<class>/*   ({state})",
        "  $SHIFTVIT_DATA/cifar-10-batches-py",
        "  $SHIFTVIT_DATA/cifar-10-python.tar.gz",
        *(f"  {place.shown}" for place in keras_places),
        "Get one of these, and set the environment variable SHIFTVIT_DATA to the folder that "
        "holds it; or use the source 'digits', 1,797 real images that need no download.",
    ]
    lines += [
        f"The download left {str(place.path)!r}, which is incomplete: delete it."
        for place in keras_places
        if place.path.exists()
    ]
    return "\n".join(lines)

"""What every source of images is turned into: three splits, checked to belong together.

It holds arrays and checks them. Where they come from is `data`'s business.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images and labels to train, validate and test with.

    Attributes:
        x_train, x_val, x_test: uint8 `(N, H, W, 3)`, values 0..255; only `N` differs.
        y_train, y_val, y_test: int64 `(N,)`, from 0 to `num_classes - 1`.
        class_names: one text for each label, in label order.
        source: what was loaded, for the record that a training run keeps.
        id_of_all: None, or the `data_id` of all images, where some are left out of training.

    Raises:
        TypeError: an attribute is of another type.
        ValueError: a shape, a length, or a label does not fit.

    Example:
    >>> images, labels = np.zeros((2, 32, 32, 3), np.uint8), np.array([0, 1])
    >>> Dataset(images, labels, images, labels, images, labels, ("cat", "dog"), "zeros")
    zeros: 2 training, 2 validation, 2 test images of 32x32x3, 2 classes
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]
    source: str
    id_of_all: str | None = None

    def __post_init__(self) -> None:
        names = self.class_names
        if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"class_names={names!r} must be a tuple of str.")
        if len(names) < 2 or len(set(names)) < len(names):
            raise ValueError(f"class_names={names!r} must hold at least two names, all different.")
        if not isinstance(self.source, str) or not self.source:
            raise TypeError(f"source={self.source!r} must be a str: where the data is from.")
        for split in ("train", "val", "test"):
            images, labels = getattr(self, f"x_{split}"), getattr(self, f"y_{split}")
            _check_images(f"x_{split}", images)
            if images.shape[1:] != self.image_shape:
                raise ValueError(
                    f"x_{split} has images of {images.shape[1:]}, x_train of {self.image_shape}. "
                    "Give image_size=(height, width) to resize all of them."
                )
            _check_labels(f"y_{split}", labels, len(images), len(names))

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(height, width, 3)` of every image."""
        height, width, channels = self.x_train.shape[1:]
        return height, width, channels

    @property
    def validation_id(self) -> str:
        """Which images are held back for validation: 16 hexadecimal digits.

        Equal for the same images and labels in the same order. Two copies of one data set that are
        split by other rules differ here, although seed and sizes are the same.
        """
        return _digest(self.x_val, self.y_val)

    @property
    def test_id(self) -> str:
        """Which images are held back for the test, as `validation_id`."""
        return _digest(self.x_test, self.y_test)

    @property
    def data_id(self) -> str:
        """Which images and labels there are: 16 hexadecimal digits.

        Equal for the same ones in any order, however they are split, and for each `limit_train`.
        """
        if self.id_of_all is not None:
            return self.id_of_all
        total = 0
        for split in ("train", "val", "test"):
            images, labels = getattr(self, f"x_{split}"), getattr(self, f"y_{split}")
            # A sum does not know the order. One by one: all at once would copy the images.
            total += sum(int(_digest(*one), 16) for one in zip(images, labels, strict=True))
        return f"{total % 2**64:016x}"

    def __str__(self) -> str:
        height, width, channels = self.image_shape
        return (
            f"{self.source}: {len(self.x_train):,} training, {len(self.x_val):,} validation, "
            f"{len(self.x_test):,} test images of {height}x{width}x{channels}, "
            f"{self.num_classes} classes"
        )

    __repr__ = __str__  # the generated one would print every pixel


def _digest(images: np.ndarray, labels: np.ndarray) -> str:
    digest = hashlib.blake2b(np.ascontiguousarray(images).data, digest_size=8)
    digest.update(np.ascontiguousarray(labels).data)
    return digest.hexdigest()


def _check_images(name: str, images: np.ndarray) -> None:
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        what = getattr(images, "dtype", type(images).__name__)
        raise TypeError(f"{name} is {what}; expected a NumPy array of uint8 from 0 to 255.")
    if images.ndim != 4 or images.shape[-1] != 3 or not images.size:
        raise ValueError(
            f"{name} has shape {images.shape}; expected (N, height, width, 3), with none of them 0."
        )


def _check_labels(name: str, labels: np.ndarray, count: int, num_classes: int) -> None:
    if not isinstance(labels, np.ndarray) or labels.dtype != np.int64:
        what = getattr(labels, "dtype", type(labels).__name__)
        raise TypeError(f"{name} is {what}; expected a NumPy array of int64.")
    if labels.shape != (count,):
        raise ValueError(
            f"{name} has shape {labels.shape}; expected ({count},), one label for each image."
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(wrong):
        raise ValueError(
            f"{name}[{wrong[0]}] is {labels[wrong[0]]}; expected labels from 0 to "
            f"{num_classes - 1}, the {num_classes} classes."
        )

"""Seeded, stratified splits: which images train, which validate, which test.

Stratified means that every part keeps the class proportions of the whole. The random choice
itself is scikit-learn's; this module adds what a learner meets first when it goes wrong: sizes
that make no sense, and classes with too few images, each told by name.

It only deals in indices and labels. It never sees an image, so it cannot resize or shuffle one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import resample

DEFAULT_FRACTION = 0.2
_NUMBER = (int, float, np.integer, np.floating)
_LARGEST_SEED = 2**31 - 3  # what every backend takes, with room for seed + 1


def check_seed(seed: int) -> int:
    """Returns `seed` as an `int`, or says what a seed must be.

    Args:
        seed: a whole number from 0 to 2,147,483,645.

    Raises:
        TypeError: `seed` is not a whole number (`True` and `1.0` are not).
        ValueError: `seed` is negative or above 2,147,483,645.

    Example:
    >>> check_seed(7)
    7
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"seed={seed!r} must be an int from 0 to {_LARGEST_SEED}. Try seed=0.")
    if not 0 <= int(seed) <= _LARGEST_SEED:
        raise ValueError(f"seed={seed!r} must be from 0 to {_LARGEST_SEED}. Try seed=0.")
    return int(seed)


def held_out_count(
    name: str,
    size: int | float | None,
    available: int,
    num_classes: int,
    default: int | float = DEFAULT_FRACTION,
) -> int:
    """Turns a count, a fraction or `None` into the number of images to hold out.

    Args:
        name: the argument that errors should name, such as `"validation_size"`.
        size: a count (int), a fraction of `available` between 0 and 1 (float, rounded up), or
            `None` for `default`.
        available: how many images there are to split.
        num_classes: how many classes they have; both parts need one image of each.
        default: a count or fraction. A default fraction is raised to one image per class, so
            that a folder of a dozen images still splits without thinking about sizes.

    Returns:
        A count from `num_classes` to `available - num_classes`.

    Raises:
        TypeError: `size` is neither an int, nor a float, nor `None`.
        ValueError: `size` is zero, negative, not finite, or leaves a part without some class.

    Example:
    >>> held_out_count("validation_size", 0.1, available=200, num_classes=10)
    20
    """
    if size is not None and (isinstance(size, bool) or not isinstance(size, _NUMBER)):
        raise TypeError(
            f"{name}={size!r} must be a count of images (int), a fraction between 0 and 1 "
            "(float), or None for the default."
        )
    wanted = default if size is None else size
    if isinstance(wanted, (int, np.integer)):
        count = int(wanted)
        if count < 1:
            raise ValueError(
                f"{name}={size!r} must be at least 1. Give a count such as {num_classes}, or a "
                f"fraction such as {DEFAULT_FRACTION}."
            )
    else:
        # Written so that NaN, which compares false with everything, is refused too.
        if not 0 < wanted < 1:
            raise ValueError(
                f"{name}={size!r} is a float, so it must lie between 0 and 1, both excluded. "
                "For a count of images give an int."
            )
        count = math.ceil(wanted * available)
        if size is None:
            count = max(count, num_classes)
    largest = available - num_classes
    if not num_classes <= count <= largest:
        given = f"{name}={size!r}" if size is not None else f"{name}=None (the default)"
        advice = (
            f"Choose {name} from {num_classes} to {largest}."
            if largest >= num_classes
            else f"These images are too few to split: bring at least {2 * num_classes}."
        )
        raise ValueError(
            f"{given} asks for {count} of {available} images, but both parts need at least one "
            f"image of each of the {num_classes} classes. {advice}"
        )
    return count


def require_every_class(
    labels: np.ndarray, class_names: Sequence[str], part: str, advice: str
) -> None:
    """Checks that each class has an image in `labels`.

    Args:
        labels: integers `(N,)`, each below `len(class_names)`.
        class_names: the names, in label order.
        part: what `labels` belong to, as the error should call it.
        advice: what the reader can do, as a sentence.

    Raises:
        ValueError: names the first class that is missing.

    Example:
    >>> require_every_class(np.array([0, 1]), ["cat", "dog"], "validation", "Get more cats.")
    """
    counts = np.bincount(labels, minlength=len(class_names))
    if not counts.all():
        missing = class_names[int(np.argmin(counts))]
        raise ValueError(f"class {missing!r} has no image in the {part} split. {advice}")


def stratified_split(
    labels: np.ndarray, count: int, seed: int, class_names: Sequence[str], name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Chooses `count` images to hold out, with every class in its usual proportion.

    Args:
        labels: integers `(N,)`.
        count: how many to hold out, from `held_out_count`.
        seed: the same seed gives the same split.
        class_names: the names, in label order, for the errors.
        name: the argument that set `count`, for the errors.

    Returns:
        Two disjoint int64 index arrays in random order, `(N - count,)` kept and `(count,)` held.

    Raises:
        ValueError: a class has fewer than two images, or so few that one part would miss it.

    Example:
    >>> labels = np.repeat([0, 1], 10)
    >>> kept, held = stratified_split(labels, 4, 0, ["cat", "dog"], "validation_size")
    >>> np.bincount(labels[held])
    array([2, 2])
    """
    counts = np.bincount(labels, minlength=len(class_names))
    for class_name, images in zip(class_names, counts, strict=True):
        if images < 2:
            raise ValueError(
                f"class {class_name!r} has {images} image(s), and a split needs at least 2: one "
                "for each part. Add images of that class, remove the class, or bring both parts "
                "ready-made."
            )
    kept, held = train_test_split(
        np.arange(len(labels)), test_size=count, stratify=labels, random_state=seed
    )
    advice = f"It has too few images for {name}={count}: add some, or change {name}."
    require_every_class(labels[held], class_names, "held-out", advice)
    require_every_class(labels[kept], class_names, "remaining", advice)
    return kept, held


def stratified_subset(
    labels: np.ndarray, limit: int | None, seed: int, class_names: Sequence[str]
) -> np.ndarray:
    """Chooses `limit` images for a quick experiment, every class in its usual proportion.

    Args:
        labels: integers `(N,)`.
        limit: how many to keep; `None` or 0 keeps all, in their order.
        seed: the same seed gives the same subset.
        class_names: the names, in label order.

    Returns:
        Distinct int64 indices `(limit,)`.

    Raises:
        TypeError: `limit` is neither an int nor `None`.
        ValueError: `limit` is negative, below one image a class, or above `N`.

    Example:
    >>> stratified_subset(np.repeat([0, 1], 10), 6, 0, ["cat", "dog"]).shape
    (6,)
    """
    if limit is None:
        return np.arange(len(labels))
    if isinstance(limit, bool) or not isinstance(limit, (int, np.integer)):
        raise TypeError(f"limit_train={limit!r} must be an int, or None for all images.")
    if limit == 0 or limit == len(labels):
        return np.arange(len(labels))
    if not len(class_names) <= limit <= len(labels):
        raise ValueError(
            f"limit_train={limit} must be from {len(class_names)} (one image a class) to "
            f"{len(labels)}, the training images available; 0 or None keeps all."
        )
    chosen = resample(
        np.arange(len(labels)),
        replace=False,
        n_samples=int(limit),
        stratify=labels,
        random_state=seed,
    )
    advice = f"limit_train={limit} is too few for so rare a class: raise it."
    require_every_class(labels[chosen], class_names, "limited training", advice)
    return chosen

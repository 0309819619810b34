"""What a classifier said about some images: arrays for code, a table for people.

A network gives logits, one number a class. `softmax` turns them into numbers that are positive and
add up to 1. They are called probabilities here, as everywhere; whether a confidence of 90 % is
right nine times out of ten is another question (see `calibration`).
"""

from __future__ import annotations

import html
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

_MOST_ROWS = 20
_RUNNERS_UP = 2  # how many classes a row of the table names besides the first


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Logits to probabilities, over the last axis.

    Args:
        logits: `(..., num_classes)`.
        temperature: above 0; more than 1 makes the probabilities more alike.

    Returns:
        float64 of the same shape, each row adding up to 1.

    Raises:
        ValueError: `temperature` is not above 0.

    Example:
    >>> softmax([2.0, 1.0, 0.0]).round(3).tolist()
    [0.665, 0.245, 0.09]
    """
    if not temperature > 0:
        raise ValueError(f"temperature={temperature!r} must be above 0; 1 changes nothing.")
    scaled = np.asarray(logits, "float64") / temperature
    # Only differences count. With the largest at 0, exp() cannot overflow.
    exponentials = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


class SkippedFile(NamedTuple):
    """A file of which there is no prediction, and why."""

    name: str
    reason: str


class Prediction(NamedTuple):
    """One image.

    Attributes:
        name: of the file, or `"image 3"`.
        label: name of the class with the largest probability.
        confidence: that probability, 0..1.
        top: `(class name, probability)` of the `top_k` largest, largest first.
    """

    name: str
    label: str
    confidence: float
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True, eq=False, repr=False)
class Predictions:
    """What `Classifier.predict` returns, in the order of the images.

    Rows of all arrays belong to `names`. A skipped file has no row, so go by the names, not by the
    list that was given, where files may be damaged.

    Attributes:
        names: one for each image.
        logits: float32 `(N, num_classes)`.
        class_names: one for each logit.
        top_k: how many classes `top_*` hold.
        skipped: the files that could not be read.

    Example:
    >>> said = Predictions(("a.png",), np.array([[0.0, 3.0]]), ("cat", "dog"))
    >>> said.labels
    ('dog',)
    >>> print(said)
    image  label  confidence  then
    a.png  dog         95.3%  cat 4.7%
    """

    names: tuple[str, ...]
    logits: np.ndarray
    class_names: tuple[str, ...]
    top_k: int = 5
    skipped: tuple[SkippedFile, ...] = ()

    @cached_property
    def probabilities(self) -> np.ndarray:
        """float64 `(N, num_classes)`, each row adding up to 1."""
        return softmax(self.logits)

    @cached_property
    def top_indices(self) -> np.ndarray:
        """int64 `(N, top_k)`: the classes with the largest probabilities, largest first."""
        # Sorting is by logits: far below the largest, different ones have the same probability 0.
        # "stable" keeps the order of the classes among equals, so that every machine agrees.
        return np.argsort(-self.logits, axis=-1, kind="stable")[:, : self.top_k]

    @property
    def indices(self) -> np.ndarray:
        """int64 `(N,)`: the class with the largest probability."""
        return self.top_indices[:, 0]

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of `indices`."""
        return tuple(self.class_names[index] for index in self.indices)

    @property
    def top_labels(self) -> tuple[tuple[str, ...], ...]:
        """The names of `top_indices`."""
        return tuple(tuple(self.class_names[index] for index in row) for row in self.top_indices)

    @cached_property
    def top_confidences(self) -> np.ndarray:
        """float64 `(N, top_k)`: the probabilities of `top_indices`."""
        return np.take_along_axis(self.probabilities, self.top_indices, axis=-1)

    @property
    def confidences(self) -> np.ndarray:
        """float64 `(N,)`: the largest probability of each image."""
        return self.top_confidences[:, 0]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, which: int | str) -> Prediction:
        """One image by its position, or by its name."""
        if isinstance(which, str):
            if which not in self.names:
                hint = "; it was skipped" if which in dict(self.skipped) else ""
                raise KeyError(f"No prediction of {which!r}{hint}. See .names and .skipped.")
            which = self.names.index(which)
        position = operator.index(which)
        names = (self.class_names[index] for index in self.top_indices[position])
        top = tuple(zip(names, self.top_confidences[position].tolist(), strict=True))
        return Prediction(self.names[position], *top[0], top)

    def __iter__(self) -> Iterator[Prediction]:
        return (self[position] for position in range(len(self)))

    def _rows(self) -> list[tuple[str, str, str, str]]:
        rows = [("image", "label", "confidence", "then")]
        for position in range(min(len(self), _MOST_ROWS)):
            name, label, confidence, top = self[position]
            runners_up = ", ".join(
                f"{other} {value:.1%}" for other, value in top[1 : 1 + _RUNNERS_UP]
            )
            rows.append((printable(name), label, f"{confidence:.1%}", runners_up))
        return rows

    def _last_lines(self) -> list[str]:
        hidden, skipped = len(self) - _MOST_ROWS, len(self.skipped)
        return [
            *([f"... and {hidden:,} more images"] if hidden > 0 else []),
            *([f"skipped: {skipped:,} (see .skipped)"] if skipped else []),
        ]

    def __str__(self) -> str:
        rows = self._rows()
        name, label, confidence, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
        lines = [
            f"{row[0]:<{name}}  {row[1]:<{label}}  {row[2]:>{confidence}}  {row[3]}".rstrip()
            for row in rows
        ]
        return "\n".join(lines + self._last_lines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head, *body = [[html.escape(cell) for cell in row] for row in self._rows()]
        lines = ["<table>", "<tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr>"]
        lines += ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in body]
        return "\n".join([*lines, "</table>", *(f"<p>{line}</p>" for line in self._last_lines())])


def printable(name: str) -> str:
    r"""A file name with what no terminal or notebook can show written as an escape.

    File names on Linux are bytes: they may hold line breaks, or be no Unicode at all.

    Example:
    >>> printable("two\nlines.png")
    'two\\nlines.png'
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in name
    )

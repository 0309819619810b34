"""A trained model put to use: images in any form in, class names and confidences out."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from shiftvit_utils.classifier import build_classifier
from shiftvit_utils.image_decoding import UnreadableImageError
from shiftvit_utils.image_inputs import NamedImage, named_images
from shiftvit_utils.predictions import Predictions, SkippedFile, printable
from shiftvit_utils.pretrained import shipped_record
from shiftvit_utils.run_folder import RunFolder
from shiftvit_utils.saving import load_model

_MOST_NAMED = 20
# On JAX, Keras gives the arrays of the weights away while it computes: another thread, such as one
# of a web server, would find them deleted.
_ONE_AT_A_TIME = threading.Lock()


class Classifier:
    """A saved model with the names of its classes.

    Images of any size are made to fit: the longer side is cropped around the centre, then the
    image is resized (`fit_image`). Nothing is squeezed, and nothing beside the middle square is
    seen.

    Args:
        path: a `model.keras`, a run folder that holds one, or a `RunFolder`, such as
            `newest_run("cifar10")`. None if `weights` is given.
        weights: "cifar10" for the network that comes with the library, with nothing to train.

    Attributes:
        model: `keras.Model`, not compiled: images 0..255 `(N, height, width, 3)` to logits.
        class_names: tuple of str, one for each logit.
        image_size: `(height, width)` that the model takes.

    Raises:
        FileNotFoundError: there is no model.
        ValueError: the file is no model of this project, or is damaged.

    Example:
    >>> import tempfile
    >>> from shiftvit_utils import build_classifier, save_model
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(build_classifier("micro", 2), folder + "/model.keras", ["cat", "dog"])
    ...     classifier = Classifier(folder)
    >>> classifier
    Classifier of 32x32 images: cat, dog
    >>> classifier.predict(np.zeros((3, 40, 60, 3), np.uint8)).top_confidences.shape
    (3, 2)
    """

    def __init__(
        self, path: str | os.PathLike[str] | RunFolder | None = None, weights: str | None = None
    ):
        if (path is None) == (weights is None):
            raise TypeError(
                "Give either a path, of a model.keras or a run folder, or weights; got "
                f"path={path!r} and weights={weights!r}."
            )
        if weights is not None:
            self.model, self.class_names = _shipped_model(weights)
        elif not isinstance(path, (str, os.PathLike, RunFolder)):
            raise TypeError(
                f"path={path!r} must be the path of a model.keras or of a run folder, or a "
                "RunFolder such as newest_run() gives."
            )
        else:
            if isinstance(path, RunFolder):
                path = path.model_path
            path = os.path.expanduser(path)
            if os.path.isdir(path):
                path = RunFolder(path).model_path
            self.model, self.class_names = load_model(path)
        height, width, channels = self.model.input_shape[1:]
        if channels != 3:
            raise ValueError(
                f"{os.path.basename(str(path))} takes images with {channels} channels; expected 3, "
                "as build_classifier makes them."
            )
        if None in (height, width):
            raise ValueError(
                f"{os.path.basename(str(path))} takes images of any size, so that nobody knows "
                "which to resize to. Build it with a fixed image_shape."
            )
        self.image_size: tuple[int, int] = (height, width)

    def __repr__(self) -> str:
        height, width = self.image_size
        return f"Classifier of {height}x{width} images: {', '.join(self.class_names)}"

    def prepare(self, image: Any) -> np.ndarray:
        """One image as the network sees it, for a picture of that.

        Args:
            image: array, Pillow image or path.

        Returns:
            uint8 `(height, width, 3)`.

        Raises:
            UnreadableImageError: the file is damaged.
            TypeError, ValueError: this is no image, or more than one.
        """
        found = list(named_images(image)[0])
        if len(found) != 1:
            raise ValueError(f"image holds {len(found)} images; prepare takes one.")
        return found[0].pixels(self.image_size)

    def predict(
        self, images: Any, top_k: int = 5, batch_size: int = 64, on_error: str = "skip"
    ) -> Predictions:
        """What the model says about one image or many.

        Args:
            images: an array or tensor `(H, W, 3)`, `(H, W)` or `(N, H, W, 3)` with values 0..255,
                a Pillow image, the path of a file, a folder (with its sub-folders, sorted by
                name, hidden files left out), or a list of images and paths.
            top_k: int >= 1, classes to list for each image; at most all of them.
            batch_size: int >= 1, images a call of the network, and held in memory at a time.
                Fewer images take the next power of two (or `batch_size`, if that is less), so
                that one image is fast and few shapes have to be compiled.
            on_error: "skip" names the files that cannot be read and goes on, "raise" stops at the
                first.

        Returns:
            `Predictions`, with one row for each image that could be read.

        Raises:
            FileNotFoundError: no such file or folder, or a folder without images.
            UnreadableImageError: no file at all can be read, or the first one that cannot, with
                `on_error="raise"`.
            TypeError, ValueError: an argument that cannot be used; the message says which and why.
        """
        _check_arguments(top_k, batch_size, on_error)
        inputs, note = named_images(images)
        if note:
            print(note)
        names: list[str] = []
        logits: list[np.ndarray] = []
        skipped: list[SkippedFile] = []
        decoded = self._decode(inputs, on_error, skipped)
        while batch := list(itertools.islice(decoded, batch_size)):
            names += [name for name, _ in batch]
            # After a first batch the network is compiled for that size already.
            size = batch_size if logits else min(batch_size, _next_power_of_two(len(batch)))
            logits.append(self._logits([pixels for _, pixels in batch], size))
        _report(skipped, len(names))
        top_k = min(top_k, len(self.class_names))
        all_logits = np.concatenate(logits)  # (N, num_classes)
        return Predictions(tuple(names), all_logits, self.class_names, top_k, tuple(skipped))

    def _decode(
        self, inputs: Iterable[NamedImage], on_error: str, skipped: list[SkippedFile]
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Names and pixels of what can be read; what cannot is added to `skipped`."""
        for image in inputs:
            try:
                pixels = image.pixels(self.image_size)
            except UnreadableImageError as error:
                if on_error == "raise":
                    raise UnreadableImageError(f"{printable(image.name)}: {error}") from error
                skipped.append(SkippedFile(image.name, str(error)))
            else:
                yield image.name, pixels

    def _logits(self, images: list[np.ndarray], size: int) -> np.ndarray:
        """Of fewer images than `size`, filled up with copies of the last, for one shape."""
        batch = np.stack(images + images[-1:] * (size - len(images)))  # (size, H, W, 3)
        # Not `predict`: that prepares a pipeline in each call, which takes TensorFlow longer than
        # the network takes for one image.
        with _ONE_AT_A_TIME:
            logits = np.asarray(self.model.predict_on_batch(batch))[: len(images)]
        if not np.isfinite(logits).all():
            raise ValueError(
                "The model gives NaN or infinite logits: its training must have failed. Train it "
                "again, or take another run."
            )
        return logits


def _next_power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


def _check_arguments(top_k: Any, batch_size: Any, on_error: str) -> None:
    for name, value in (("top_k", top_k), ("batch_size", batch_size)):
        is_int = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if not is_int or value < 1:
            raise ValueError(f"{name}={value!r} must be an int >= 1.")
    if on_error not in ("skip", "raise"):
        raise ValueError(f"on_error={on_error!r} must be 'skip' or 'raise'.")


def _report(skipped: list[SkippedFile], num_read: int) -> None:
    """Names what was skipped; if nothing is left, that is an error."""
    if not skipped and not num_read:
        raise ValueError("images holds no image at all; expected at least one.")
    if not skipped:
        return
    total = num_read + len(skipped)
    lines = [f"  {printable(name)}: {reason}" for name, reason in skipped[:_MOST_NAMED]]
    if len(skipped) > _MOST_NAMED:
        lines.append(f"  ... and {len(skipped) - _MOST_NAMED:,} more")
    text = "\n".join([f"{len(skipped):,} of {total:,} images, which cannot be read:", *lines])
    if not num_read:
        raise UnreadableImageError(f"Nothing is left to predict without {text}")
    print(f"Skipped {text}")


def _shipped_model(weights: str) -> tuple[Any, tuple[str, ...]]:
    """The classifier of the shipped weights, and the names of its classes."""
    record = shipped_record(weights)
    class_names = tuple(record["class_names"])
    return build_classifier(record["preset"], len(class_names), weights=weights), class_names

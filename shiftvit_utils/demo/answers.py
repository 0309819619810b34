"""What the demo says about uploaded files, in plain values: no web framework in here.

An upload comes from anybody. Its bytes, and the pixels that its header promises, are counted before
one of them is decoded; what is left goes through the library's own decoding, as in `Classifier`.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from shiftvit_utils.image_decoding import UnreadableImageError, stated_size
from shiftvit_utils.inference import Classifier
from shiftvit_utils.inference_figures import occlusion_figure
from shiftvit_utils.predictions import SkippedFile
from shiftvit_utils.saliency import occlusion_map

TOP_K = 5
_DOTS_PER_INCH = 160


class UploadLimits(NamedTuple):
    """What an upload may be.

    Attributes:
        megabytes: of a file, of 2**20 bytes each.
        megapixels: of a picture, in millions.
        files: at a time.
    """

    megabytes: int = 10
    megapixels: int = 25
    files: int = 50


class Answer(NamedTuple):
    """What the demo says about one picture.

    Attributes:
        confidences: class name to probability, the `TOP_K` largest, largest first.
        picture: uint8 `(height, width, 3)`, as the network sees it.
        decode_ms: milliseconds from the file to `picture`.
        network_ms: milliseconds from `picture` to `confidences`.
    """

    confidences: dict[str, float]
    picture: np.ndarray
    decode_ms: float
    network_ms: float


class BatchAnswer(NamedTuple):
    """What the demo says about several files.

    Attributes:
        rows: of each picture its name, label, confidence, and the `TOP_K` in words.
        skipped: the files without a row, each with the reason.
        seconds: for all of them.
    """

    rows: list[tuple[str, str, str, str]]
    skipped: list[SkippedFile]
    seconds: float


def read_upload(
    classifier: Classifier, path: str | os.PathLike[str], limits: UploadLimits
) -> np.ndarray:
    """One uploaded file as the network sees it.

    Args:
        classifier: what will look at it.
        path: of the file.
        limits: checked before any pixel is decoded.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        UnreadableImageError: the file is above a limit, damaged, or no image; the message leaves
            its name to the caller.
    """
    try:
        size = os.path.getsize(path)
    except OSError as error:
        raise UnreadableImageError(error.strerror or str(error)) from error
    if size > limits.megabytes * 2**20:
        raise UnreadableImageError(
            f"{size / 2**20:.1f} MB are too much; the limit is {limits.megabytes} MB"
        )
    most = f"the limit is {limits.megapixels} million pixels"
    try:
        height, width = stated_size(path)
    except UnreadableImageError as error:
        if isinstance(error.__cause__, Image.DecompressionBombError):
            raise UnreadableImageError(f"it has too many pixels; {most}") from error
        raise
    if height * width > limits.megapixels * 1_000_000:
        raise UnreadableImageError(f"{width} × {height} pixels are too many; {most}")
    return classifier.prepare(path)


def answer(
    classifier: Classifier, path: str | os.PathLike[str], limits: UploadLimits | None = None
) -> Answer:
    """What a classifier says about one uploaded file.

    Args:
        classifier: the network, with the names of its classes.
        path: of the file.
        limits: what the file may be; None for the usual ones.

    Returns:
        `Answer`.

    Raises:
        UnreadableImageError: as in `read_upload`.
    """
    start = time.perf_counter()
    picture = read_upload(classifier, path, limits or UploadLimits())
    decoded = time.perf_counter()
    said = classifier.predict(picture, top_k=TOP_K)[0]
    end = time.perf_counter()
    return Answer(dict(said.top), picture, 1e3 * (decoded - start), 1e3 * (end - decoded))


def answer_batch(
    classifier: Classifier,
    files: Iterable[tuple[str, str | os.PathLike[str]]],
    limits: UploadLimits | None = None,
) -> BatchAnswer:
    """What a classifier says about several uploaded files.

    Args:
        classifier: the network, with the names of its classes.
        files: of each file what to call it, and its path. Those beyond `limits.files` are skipped.
        limits: what each file may be; None for the usual ones.

    Returns:
        `BatchAnswer`.
    """
    limits = limits or UploadLimits()
    start = time.perf_counter()
    names, pictures, skipped = [], [], []
    for position, (name, path) in enumerate(files):
        try:
            if position >= limits.files:
                raise UnreadableImageError(f"the limit is {limits.files} files at a time")
            pictures.append(read_upload(classifier, path, limits))
            names.append(name)
        except UnreadableImageError as error:
            skipped.append(SkippedFile(name, str(error)))
    rows = []
    if pictures:
        predictions = classifier.predict(np.stack(pictures), top_k=TOP_K)
        for name, said in zip(names, predictions, strict=True):
            top = ", ".join(f"{label} {confidence:.1%}" for label, confidence in said.top)
            rows.append((name, said.label, f"{said.confidence:.1%}", top))
    return BatchAnswer(rows, skipped, time.perf_counter() - start)


def explain(classifier: Classifier, picture: np.ndarray, label: str) -> np.ndarray:
    """Where a picture must not be covered, for the classifier to keep its confidence in a class.

    A square of a quarter of the side is moved over the picture in steps of an eighth.

    Args:
        classifier: the network, with the names of its classes.
        picture: uint8 `(height, width, 3)`, as the network sees it.
        label: one of `classifier.class_names`.

    Returns:
        uint8 `(H, W, 3)`: a drawing of the picture and of the map.
    """
    column = classifier.class_names.index(label)
    patch_size = max(2, min(classifier.image_size) // 4)

    def confidence(pictures: np.ndarray) -> np.ndarray:
        return 100 * classifier.predict(pictures, top_k=1).probabilities[:, column]

    values = occlusion_map(confidence, picture, patch_size, patch_size // 2)
    title = f"what “{label}” rests on"
    figure = occlusion_figure(picture, {title: values}, "confidence lost if covered (points)")
    height, width = classifier.image_size
    figure.axes[0].set_title(f"all the network sees: {width} × {height}", fontsize=9)
    return _drawn(figure)


def _drawn(figure: Figure) -> np.ndarray:
    file = io.BytesIO()
    # "tight": with a single map, the figure is too low for its titles.
    figure.savefig(file, format="png", dpi=_DOTS_PER_INCH, bbox_inches="tight", pad_inches=0.05)
    return np.asarray(Image.open(file).convert("RGB"))

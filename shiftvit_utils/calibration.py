"""Is a confidence of 90 % right nine times out of ten? How to count it, and mend it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shiftvit_utils.predictions import softmax

_TEMPERATURES = np.geomspace(0.2, 5.0, 321)  # 1 is the middle one; neighbours differ by 1 %


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence against accuracy, in bins of equal width.

    Attributes:
        edges: float64 `(bins + 1,)`, from 0 to 1.
        counts: int64 `(bins,)`, images in each bin.
        confidence: float64 `(bins,)`, their mean confidence; NaN in an empty bin.
        accuracy: float64 `(bins,)`, the share of them that is right; NaN in an empty bin.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def expected_calibration_error(self) -> float:
        """The gap between confidence and accuracy, averaged over images; 0 is best."""
        gaps = np.nan_to_num(np.abs(self.confidence - self.accuracy))
        return float((self.counts * gaps).sum() / self.counts.sum())


def reliability(confidences: np.ndarray, correct: np.ndarray, num_bins: int = 10) -> Reliability:
    """Sorts predictions into bins by confidence and counts how many are right in each.

    Source: Guo, Pleiss, Sun, Weinberger 2017, arXiv 1706.04599, section 2.

    Args:
        confidences: float `(N,)`, 0..1: the largest probability of each image.
        correct: bool `(N,)`, whether the predicted class is the true one.
        num_bins: int >= 1. Few bins hide gaps, many are filled by chance.

    Returns:
        `Reliability`. A confidence on an edge belongs to the bin below it.

    Raises:
        ValueError: the arrays are empty, differ in length, or hold no confidences.

    Example:
    >>> sure = reliability(np.full(4, 0.9), np.array([True, True, False, False]))
    >>> round(sure.expected_calibration_error, 3)
    0.4
    """
    confidences, correct = np.asarray(confidences, "float64"), np.asarray(correct, "bool")
    _check_predictions(confidences, correct, num_bins)
    edges = np.linspace(0, 1, num_bins + 1)
    bins = np.clip(np.searchsorted(edges, confidences) - 1, 0, num_bins - 1)  # (N,)
    counts = np.bincount(bins, minlength=num_bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 in an empty bin is the NaN that is promised
        confidence = np.bincount(bins, confidences, num_bins) / counts
        accuracy = np.bincount(bins, correct, num_bins) / counts
    return Reliability(edges, counts, confidence, accuracy)


def _check_predictions(confidences: np.ndarray, correct: np.ndarray, num_bins: int) -> None:
    if confidences.ndim != 1 or confidences.shape != correct.shape or not len(correct):
        raise ValueError(
            f"confidences {confidences.shape} and correct {correct.shape} must be of one length "
            "(N,), at least 1."
        )
    if not ((confidences >= 0) & (confidences <= 1 + 1e-6)).all():
        raise ValueError("confidences must lie in 0..1: give probabilities, not logits.")
    if num_bins < 1:
        raise ValueError(f"num_bins={num_bins!r} must be an int >= 1.")


def mean_negative_log_likelihood(
    logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0
) -> float:
    """Cross-entropy at a temperature, in nats: how surprised the network is by the truth.

    Example:
    >>> round(mean_negative_log_likelihood(np.zeros((1, 2)), np.array([0])), 4)
    0.6931
    """
    logits, labels = np.asarray(logits), np.asarray(labels)
    if labels.shape != logits.shape[:1]:
        raise ValueError(
            f"labels {labels.shape} must have one number for each of the {len(logits)} rows of "
            "logits, so the shape (N,): labels.ravel() makes it of (N, 1)."
        )
    probabilities = softmax(logits, temperature)[np.arange(len(labels)), labels]
    # A probability that was rounded to 0 would be an infinite surprise.
    return float(-np.log(np.maximum(probabilities, np.finfo("float64").tiny)).mean())


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that makes probabilities fit the truth best.

    It tries 321 of them between 0.2 and 5. One number cannot change which class comes first, so
    the accuracy stays. Fit it on validation images; on test images it would be chosen by them.

    Source: Guo, Pleiss, Sun, Weinberger 2017, arXiv 1706.04599, section 4.2.

    Args:
        logits: float `(N, num_classes)`.
        labels: int `(N,)`.

    Returns:
        float; below 1 the network was too modest, above 1 too sure.

    Raises:
        ValueError: if there is not one label for each row of logits.

    Example:
    >>> logits = np.array([[2.0, 0.0]] * 4)  # sure of class 0 to 88 %, four times
    >>> round(fit_temperature(logits, np.array([0, 0, 0, 1])), 2)  # right in 75 %
    1.83
    """
    losses = [mean_negative_log_likelihood(logits, labels, t) for t in _TEMPERATURES]
    return float(_TEMPERATURES[int(np.argmin(losses))])

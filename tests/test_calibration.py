"""Calibration, against scikit-learn, a sum over single bins, and temperatures that are known."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from shiftvit_utils.calibration import (
    fit_temperature,
    mean_negative_log_likelihood,
    reliability,
)
from shiftvit_utils.predictions import softmax

pytestmark = pytest.mark.backend_free


def some_predictions(count=600):
    rng = np.random.default_rng(3)
    confidences = rng.uniform(0.21, 1.0, count)
    return confidences, rng.random(count) < confidences**2


@pytest.mark.parametrize("num_bins", [1, 5, 10, 15])
def test_bins_equal_scikit_learns(num_bins):
    confidences, correct = some_predictions()
    result = reliability(confidences, correct, num_bins)
    accuracy, confidence = calibration_curve(correct, confidences, n_bins=num_bins)
    filled = result.counts > 0
    np.testing.assert_allclose(result.accuracy[filled], accuracy)
    np.testing.assert_allclose(result.confidence[filled], confidence)
    assert np.isnan(result.accuracy[~filled]).all()
    assert result.counts.sum() == len(confidences)
    assert result.edges.tolist() == pytest.approx([k / num_bins for k in range(num_bins + 1)])


def test_error_by_hand():
    # Five images at 0.9, two right: gap 0.5. Five at 0.4, all right: gap 0.6.
    confidences = np.array([0.9] * 5 + [0.4] * 5)
    correct = np.array([1, 1, 0, 0, 0] + [1] * 5)
    assert reliability(confidences, correct, 10).expected_calibration_error == pytest.approx(0.55)
    # In one bin, one gap is too high and one too low: mean confidence 0.65, accuracy 0.7.
    assert reliability(confidences, correct, 1).expected_calibration_error == pytest.approx(0.05)


def test_error_weights_bins_by_their_images():
    confidences = np.array([0.95] * 9 + [0.15])
    result = reliability(confidences, confidences > 0.5, 10)
    assert result.expected_calibration_error == pytest.approx(0.9 * 0.05 + 0.1 * 0.15)


def test_both_ends_have_a_bin():
    result = reliability(np.array([0.0, 0.1, 1.0, 1.0 + 1e-9]), np.ones(4, bool), 10)
    assert result.counts.tolist() == [2, 0, 0, 0, 0, 0, 0, 0, 0, 2]


@pytest.mark.parametrize(
    ("confidences", "correct", "bins", "message"),
    [
        ([], [], 10, "at least 1"),
        ([0.5, 0.6], [True], 10, "one length"),
        ([[0.5]], [[True]], 10, "one length"),
        ([7.5], [True], 10, "not logits"),
        ([-0.5], [True], 10, "not logits"),
        ([float("nan")], [True], 10, "not logits"),
        ([0.5], [True], 0, "num_bins"),
    ],
)
def test_what_cannot_be_binned(confidences, correct, bins, message):
    with pytest.raises(ValueError, match=message):
        reliability(np.array(confidences), np.array(correct), bins)


def test_log_likelihood_equals_scikit_learns():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 3, (200, 5)), rng.integers(0, 5, 200)
    for temperature in (0.5, 1.0, 2.0):
        expected = log_loss(labels, softmax(logits, temperature), labels=range(5))
        got = mean_negative_log_likelihood(logits, labels, temperature)
        assert got == pytest.approx(expected)


def test_a_sure_mistake_is_a_large_but_finite_surprise():
    loss = mean_negative_log_likelihood(np.array([[5000.0, 0.0]]), np.array([1]))
    assert 700 < loss < np.inf


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 2.5])
def test_the_temperature_of_the_truth_is_found(true_temperature):
    """Labels drawn from softmax(logits / T) are best described by T."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (20_000, 6))
    chances = softmax(logits, true_temperature).cumsum(axis=1)
    labels = (rng.random((20_000, 1)) > chances).sum(axis=1).clip(0, 5)
    assert fit_temperature(logits, labels) == pytest.approx(true_temperature, rel=0.04)


def test_right_in_every_case_means_as_sure_as_possible():
    assert fit_temperature(np.eye(4), np.arange(4)) == pytest.approx(0.2)
    assert fit_temperature(-np.eye(4), np.arange(4)) == pytest.approx(5.0)


@pytest.mark.parametrize("labels", [np.zeros((4, 1), int), np.zeros(3, int), 0])
def test_one_label_for_each_row_of_logits(labels):
    with pytest.raises(ValueError, match=r"one number for each of the 4 rows .*ravel"):
        fit_temperature(np.eye(4), labels)

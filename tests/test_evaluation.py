"""Logits do not depend on how images are batched; metrics equal scikit-learn's."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import accuracy_score, log_loss, top_k_accuracy_score

from shiftvit_utils import build_classifier, classification_metrics, predict_logits


@pytest.fixture(scope="module")
def model():
    return build_classifier(
        "micro", num_classes=4, projected_dim=12, num_shift_blocks_per_stages=(1,), seed=0
    )


def raw_images(count):
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), "uint8")


@pytest.mark.parametrize(("count", "batch_size"), [(10, 4), (8, 4), (1, 4)])
def test_logits_do_not_depend_on_the_batches(model, count, batch_size):
    images = raw_images(count)
    expected = np.concatenate([model.predict(images[k : k + 1], verbose=0) for k in range(count)])
    logits = predict_logits(model, images, batch_size)
    assert (logits.shape, logits.dtype) == ((count, 4), np.float32)
    np.testing.assert_allclose(logits, expected, atol=1e-5)


class Recorder:
    """Stands for a model: its logits are each image's mean, and it notes what it was given."""

    def __init__(self, images):
        self.images, self.given = images, []

    def predict(self, images, batch_size, verbose):
        self.given.append((len(images), batch_size))
        self.copied = not np.shares_memory(images, self.images)
        return images.mean(axis=(1, 2, 3), dtype="float64")[:, None]


@pytest.mark.parametrize(("count", "given"), [(8, [8]), (9, [8, 4]), (1, [4])])
def test_every_batch_is_full(count, given):
    images = raw_images(count)
    recorder = Recorder(images)
    logits = predict_logits(recorder, images, batch_size=4)
    assert recorder.given == [(number, 4) for number in given]
    assert recorder.copied == (count % 4 > 0), "all images may fill the memory"
    np.testing.assert_allclose(logits[:, 0], images.mean(axis=(1, 2, 3)))


def test_images_are_left_alone(model):
    images = raw_images(3)
    before = images.copy()
    predict_logits(model, images, batch_size=4)
    np.testing.assert_array_equal(images, before)


def test_no_images(model):
    with pytest.raises(ValueError, match="images"):
        predict_logits(model, raw_images(0))


@pytest.mark.parametrize("batch_size", [0, -1])
def test_batch_size_must_be_positive(model, batch_size):
    with pytest.raises(ValueError, match="batch_size"):
        predict_logits(model, raw_images(2), batch_size)


@pytest.mark.parametrize("classes", [2, 3, 4, 5, 6, 10, 100])
def test_metrics_equal_scikit_learns(classes):
    rng = np.random.default_rng(classes)
    labels = rng.integers(0, classes, 501)
    logits = rng.normal(size=(501, classes)).astype("float32")
    logits[np.arange(501), labels] += 1.0
    probabilities = softmax(logits.astype("float64"), axis=1)
    every_class = np.arange(classes)
    metrics = classification_metrics(logits, labels)
    assert set(metrics) == {"loss", "top1", "top5"}
    assert {type(value) for value in metrics.values()} == {float}
    assert metrics["loss"] == pytest.approx(
        log_loss(labels, probabilities, labels=every_class), rel=1e-5
    )
    assert metrics["top1"] == pytest.approx(accuracy_score(labels, logits.argmax(axis=1)))
    expected = (
        1.0 if classes <= 5 else top_k_accuracy_score(labels, logits, k=5, labels=every_class)
    )
    assert metrics["top5"] == pytest.approx(expected)
    assert metrics["top1"] <= metrics["top5"]


def test_metrics_of_sure_predictions():
    logits = np.full((3, 7), -1e4, "float32")
    logits[[0, 1, 2], [6, 0, 3]] = 1e4
    right = classification_metrics(logits, np.array([6, 0, 3]))
    assert right == {"loss": 0.0, "top1": 1.0, "top5": 1.0}
    wrong = classification_metrics(logits, np.array([5, 6, 4]))
    assert wrong["top1"] == 0.0
    assert wrong["loss"] == pytest.approx(2e4)


def test_labels_of_any_integer_type():
    logits = np.random.default_rng(0).normal(size=(40, 10))
    labels = np.arange(40) % 10
    expected = classification_metrics(logits, labels)
    for dtype in ("uint8", "int32", "int64"):
        assert classification_metrics(logits, labels.astype(dtype)) == expected
    assert classification_metrics(logits.tolist(), labels.tolist()) == expected

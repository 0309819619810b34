"""The checkers of 06: right answers pass, wrong ones get the hint that helps."""

import itertools

import numpy as np
import pytest
import scipy.special
from checker_tests import not_yet

from shiftvit_utils.exercises import inference as exercises

pytestmark = pytest.mark.backend_free


def top_k(probabilities, k):
    largest = np.argpartition(-probabilities, k, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(probabilities, largest, axis=1), axis=1)
    return np.take_along_axis(largest, order, axis=1)


def binned(confidences, correct, num_bins):
    """Sum of (confidence - right) in each bin that is not empty, and the sizes of those bins."""
    bins = np.minimum((confidences * num_bins).astype(int), num_bins - 1)
    sums = np.bincount(bins, confidences - correct, num_bins)
    sizes = np.bincount(bins, minlength=num_bins)
    return sums[sizes > 0], sizes[sizes > 0]


def calibration_error(confidences, correct, num_bins):
    sums, _ = binned(confidences, correct, num_bins)
    return np.abs(sums).sum() / len(confidences)


def calibration_error_by_edges(confidences, correct, num_bins, last_edge=1.0):
    """Bins that hold their lower edge."""
    edges = [*(k / num_bins for k in range(num_bins)), last_edge]
    total = 0.0
    for low, high in itertools.pairwise(edges):
        inside = (confidences >= low) & (confidences < high)
        total += abs((confidences - correct)[inside].sum())
    return total / len(confidences)


def calibration_error_by_bins(confidences, correct, num_bins):
    sums, sizes = binned(confidences, correct, num_bins)
    return np.abs(sums / sizes).mean()


def calibration_error_with_empty_bins(confidences, correct, num_bins):
    total = 0.0
    for k in range(num_bins):
        inside = (confidences > k / num_bins) & (confidences <= (k + 1) / num_bins)
        gap = abs(confidences[inside].mean() - correct[inside].mean())
        total += inside.mean() * gap
    return total


def occlusion_map(predict, image, patch_size, fill=128, sign=1, copy=True):
    """All covered images in one batch."""
    rows, columns = image.shape[0] // patch_size, image.shape[1] // patch_size
    batch = np.repeat(image[None], rows * columns, axis=0)
    for k in range(rows * columns):
        y, x = patch_size * (k // columns), patch_size * (k % columns)
        batch[k if copy else slice(k, None), y : y + patch_size, x : x + patch_size] = fill
    return sign * (predict(image[None])[0] - predict(batch)).reshape(rows, columns)


def occlusion_map_in_place(predict, image, patch_size):
    whole = predict(image[None])[0]
    falls = np.zeros((image.shape[0] // patch_size, image.shape[1] // patch_size))
    for i, j in np.ndindex(falls.shape):
        covered = image
        covered[i * patch_size : (i + 1) * patch_size, j * patch_size : (j + 1) * patch_size] = 128
        falls[i, j] = whole - predict(covered[None])[0]
    return falls


def scores_of_covered(predict, image, patch_size):
    return predict(image[None])[0] - occlusion_map(predict, image, patch_size)


def whole_image_map(predict, image, patch_size):
    square = np.ones((patch_size, patch_size))
    return np.kron(occlusion_map(predict, image, patch_size), square)


def softmax_in_place(logits):
    logits -= logits.max(axis=1, keepdims=True)
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def softmax_of_float32(logits):
    return scipy.special.softmax(logits.astype("float32"), axis=1)


def softmax_less(number_of):
    def softmax(logits):
        weights = np.exp(logits - number_of(logits))
        return weights / weights.sum(axis=1, keepdims=True)

    return softmax


def softmax_with_one_maximum(logits):
    weights = np.exp(logits - logits.max())
    return weights / weights.sum(axis=1, keepdims=True)


RIGHT = [
    (exercises.check_temperature, 4),
    (exercises.check_temperature, 4 / np.log(0.73 / 0.27)),  # from the rounded percentages
    (exercises.check_softmax, lambda logits: scipy.special.softmax(logits, axis=-1)),
    (exercises.check_softmax, softmax_of_float32),
    (exercises.check_top_k, top_k),
    (exercises.check_top_k, lambda p, k: np.argsort(p, axis=1)[:, ::-1][:, :k].tolist()),
    (exercises.check_expected_calibration_error, calibration_error),
    (
        exercises.check_expected_calibration_error,
        lambda *given: calibration_error_by_edges(*given, last_edge=1.1),
    ),
    (exercises.check_occlusion_map, occlusion_map),
]
CHECKERS = list(dict.fromkeys(checker for checker, _ in RIGHT))


@pytest.mark.parametrize(("checker", "answer"), RIGHT)
def test_right_answers_pass(checker, answer, capsys):
    assert checker(answer)
    assert capsys.readouterr().out == f"✓ {checker.__name__.removeprefix('check_')}: right.\n"


def crashes(*_):
    return {}["no such key"]


WRONG = [
    (exercises.check_temperature, ..., "not written yet"),
    (exercises.check_temperature, 0.25, "4 / 0.25 is 16"),
    (exercises.check_temperature, 3, "not taken from them"),
    (exercises.check_temperature, 1.0, "changes nothing"),
    (exercises.check_temperature, 0, "it must be 1"),
    (exercises.check_temperature, float("nan"), "it must be 1"),
    (exercises.check_temperature, "four", "must be a number, yours is str"),
    (exercises.check_softmax, np.exp, "do not add up to 1"),
    (exercises.check_softmax, lambda x: np.exp(x - x.max(1, keepdims=True)), "do not add up"),
    (exercises.check_softmax, lambda x: scipy.special.softmax(x, axis=0), "the columns add up"),
    (exercises.check_softmax, scipy.special.softmax, "all images together"),
    (exercises.check_softmax, lambda x: x / x.sum(1, keepdims=True), "logits can be negative"),
    (
        exercises.check_softmax,
        lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True),
        "overflows",
    ),
    (exercises.check_softmax, softmax_less(lambda x: x.min(1, keepdims=True)), "the largest logit"),
    (
        exercises.check_softmax,
        softmax_less(lambda x: x.mean(1, keepdims=True)),
        "the largest logit",
    ),
    (exercises.check_softmax, softmax_less(lambda x: x[:, :1]), "no other number"),
    (exercises.check_softmax, softmax_with_one_maximum, "that of the whole array"),
    (exercises.check_softmax, softmax_in_place, "changed the logits"),
    (exercises.check_softmax, lambda x: scipy.special.expit(x), "must give [0.644"),
    (exercises.check_softmax, lambda x: x.argmax(axis=1), "must have the shape (3, 4)"),
    (exercises.check_softmax, lambda x: x.astype(str), "must hold numbers, yours holds <U"),
    (exercises.check_top_k, lambda p, k: np.argsort(p, axis=1)[:, -k:], "smallest first"),
    (exercises.check_top_k, lambda p, k: np.argsort(p, axis=1)[:, :k], "k smallest"),
    (exercises.check_top_k, lambda p, k: -np.sort(-p, axis=1)[:, :k], "argsort, not sort"),
    (
        exercises.check_top_k,
        lambda p, k: np.sort(np.argpartition(-p, k, axis=1)[:, :k], axis=1),
        "in no order",
    ),
    (exercises.check_top_k, lambda p, k: top_k(p, k) + 1, "counted from 0"),
    (exercises.check_top_k, lambda p, k: np.argsort(-p, axis=0)[:, :k], "for k=1 and the row"),
    (exercises.check_top_k, lambda p, k: np.argsort(-p[0])[:k], "must have the shape (30, 1)"),
    (
        exercises.check_expected_calibration_error,
        calibration_error_by_bins,
        "Weight it by its share",
    ),
    (
        exercises.check_expected_calibration_error,
        lambda *given: abs(binned(*given)[0].sum()) / len(given[0]),
        "absolute value of each bin",
    ),
    (
        exercises.check_expected_calibration_error,
        calibration_error_with_empty_bins,
        "an empty bin has no mean",
    ),
    (
        exercises.check_expected_calibration_error,
        lambda *given: 100 * calibration_error(*given),
        "not percent",
    ),
    (
        exercises.check_expected_calibration_error,
        lambda *given: len(given[0]) * calibration_error(*given),
        "Divide by their number",
    ),
    (
        exercises.check_expected_calibration_error,
        lambda confidences, correct, num_bins: np.abs(confidences - correct).mean(),
        "each single image",
    ),
    (
        exercises.check_expected_calibration_error,
        calibration_error_by_edges,
        "one of exactly 1 in the last",
    ),
    (
        exercises.check_expected_calibration_error,
        lambda *given: calibration_error(*given[:2], 10),
        "for 4 bins expected",
    ),
    (exercises.check_occlusion_map, occlusion_map_in_place, "image that you were given"),
    (
        exercises.check_occlusion_map,
        lambda *given: occlusion_map_in_place(given[0], given[1].copy(), given[2]),
        "pile up",
    ),
    (exercises.check_occlusion_map, lambda *given: occlusion_map(*given, sign=-1), "sign"),
    (exercises.check_occlusion_map, lambda *given: occlusion_map(*given, fill=0), "black"),
    (exercises.check_occlusion_map, lambda *given: occlusion_map(*given, fill=99), "top left"),
    (exercises.check_occlusion_map, scores_of_covered, "scores of the covered"),
    (exercises.check_occlusion_map, whole_image_map, "one number each"),
    (exercises.check_occlusion_map, lambda *given: occlusion_map(*given).T, "wrong way round"),
    (
        exercises.check_occlusion_map,
        lambda predict, image, _: occlusion_map(predict, image, 4),
        "holds (6, 4) patches of 2x2",
    ),
    (exercises.check_occlusion_map, lambda predict, image, _: predict(image), "takes a batch"),
]
for check in CHECKERS[1:]:
    WRONG += [
        (check, not_yet, "not written yet"),
        (check, crashes, "stopped with KeyError"),
        (check, lambda: 1, "stopped with TypeError"),
        (check, lambda *_: None, "Did you forget `return`"),
        (check, 0.5, "give the function itself, not a float"),
    ]


@pytest.mark.parametrize(("checker", "answer", "hint"), WRONG)
def test_wrong_answers_get_the_right_hint(checker, answer, hint, capsys):
    assert not checker(answer)
    line = capsys.readouterr().out
    assert hint in line.replace("*each row*", "each row")
    assert "Traceback" not in line


GARBAGE = [
    None,
    "text",
    b"bytes",
    [],
    [[]],
    {},
    float("nan"),
    float("inf"),
    3 + 4j,
    True,
    object(),
    np.zeros(0),
    np.full((3, 4), np.nan),
    np.full((30, 1), np.inf),
    np.array([["a"]]),
    np.array([1, None], dtype=object),
    np.zeros((3, 2), complex),
    np.zeros((1,) * 20),
    lambda: 0,
    ...,
]


@pytest.mark.parametrize("checker", CHECKERS, ids=lambda checker: checker.__name__)
@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_refused_in_one_line(checker, garbage, capsys):
    assert not checker(garbage)
    assert not checker(lambda *_: garbage)
    printed = capsys.readouterr()
    assert printed.err == ""
    assert [line[0] for line in printed.out.splitlines()] in (["✗", "✗"], ["○", "✗"])

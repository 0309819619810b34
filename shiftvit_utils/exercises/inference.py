"""Checkers for the exercises of `06_inference`."""

import warnings

import numpy as np

from shiftvit_utils.exercises.checking import (
    WrongAnswerError,
    array,
    checker,
    number,
    require_function,
)


@checker
def check_temperature(answer):
    """06.1: the temperature that turns logits [4, 0] into the probabilities of logits [1, 0].

    Args:
        answer: float.

    Returns:
        bool, after printing one line.
    """
    temperature = number(answer, "The temperature")
    if temperature == 0.25:
        raise WrongAnswerError("logits are divided by the temperature: 4 / 0.25 is 16, not 1.")
    if temperature == 3:
        raise WrongAnswerError("logits are divided by the temperature, it is not taken from them.")
    if temperature == 1:
        raise WrongAnswerError("a temperature of 1 changes nothing: [4, 0] stays [4, 0].")
    if not abs(temperature - 4) < 0.05:  # 73 % and 27 % are rounded
        raise WrongAnswerError(
            f"4 / {temperature:g} is {4 / temperature if temperature else np.inf:.3g}; it must be "
            "1."
        )


@checker
def check_softmax(function):
    """06.2: `softmax(logits)`, from `(N, num_classes)` to probabilities of the same shape.

    Args:
        function: the learner's function.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    logits = np.array([[2.0, 1.0, 0.0, -1.0], [0.5, 0.5, 0.5, 0.5], [-3.0, 1.0, 4.0, 1.0]])
    weights = np.exp(logits)
    expected = weights / weights.sum(axis=1, keepdims=True)
    got = _probabilities(function, logits)
    if not np.allclose(got, expected):
        raise WrongAnswerError(_what_is_wrong_with(got, logits, weights, expected))
    big, small = (
        _probabilities(function, logits + 1000.0),
        _probabilities(function, logits - 1000.0),
    )
    if not (np.isfinite(big).all() and np.isfinite(small).all()):
        raise WrongAnswerError(
            "logits of 1000 or -1000 give inf or nan: exp() overflows, or all of it is 0. "
            "Subtract each row's largest logit first; only differences count."
        )
    if not (np.allclose(big, expected) and np.allclose(small, expected)):
        raise WrongAnswerError("adding 1000 to all logits, or taking it away, must change nothing.")
    wide = np.array([[0.0, 1000.0, -1000.0, 999.0], [1000.0, 0.0, -1000.0, 0.0]])
    share = 1 / (1 + np.exp(-1.0))  # of the first of two logits that differ by 1
    if not np.allclose(_probabilities(function, wide), [[0, share, 0, 1 - share], [1, 0, 0, 0]]):
        raise WrongAnswerError(
            "a row that holds both 1000 and -1000 comes out wrong: subtract the largest logit of "
            "each row, and no other number."
        )
    uneven = logits + np.array([[0.0], [2000.0], [0.0]])
    if not np.allclose(_probabilities(function, uneven), expected):
        raise WrongAnswerError(
            "one row with large logits spoils the others. Subtract the largest logit of each row "
            "(axis=1, keepdims=True), not that of the whole array."
        )


def _what_is_wrong_with(got, logits, weights, expected):
    if np.allclose(got, weights) or np.allclose(got, weights / weights.max(axis=1, keepdims=True)):
        return "the rows do not add up to 1: divide by the sum of each row."
    if np.allclose(got.sum(axis=0), 1):
        return "the columns add up to 1, not the rows. Classes are the last axis: sum over axis=1."
    if np.isclose(got.sum(), 1):
        return "all images together add up to 1. Each row is an image of its own: sum over axis=1."
    if np.allclose(got, logits / logits.sum(axis=1, keepdims=True)):
        return "logits can be negative. Take exp() of them before dividing."
    return (
        f"logits {logits[0].tolist()} must give {expected[0].round(3).tolist()}; yours gives "
        f"{got[0].round(3).tolist()}."
    )


def _probabilities(function, logits):
    given = logits.copy()
    answer = _quietly(function, given)
    if not np.array_equal(given, logits):
        raise WrongAnswerError("you changed the logits that you were given. Compute a new array.")
    return _numbers(answer, "softmax(logits)", logits.shape)


@checker
def check_top_k(function):
    """06.3: `top_k(probabilities, k)`, the indices `(N, k)` of the largest, largest first.

    Args:
        function: the learner's function.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    rng = np.random.default_rng(0)
    probabilities = rng.permuted(np.tile(np.arange(1.0, 11.0) / 55, (30, 1)), axis=1)
    for k in (1, 3, 9):
        ranked = [sorted(range(10), key=row.__getitem__, reverse=True) for row in probabilities]
        expected = np.array(ranked)[:, :k]
        got = _numbers(_quietly(function, probabilities.copy(), k), f"top_k(..., k={k})", (30, k))
        if np.array_equal(got, expected):
            continue
        values = np.take_along_axis(probabilities, expected, axis=1)
        if np.allclose(got, values) or np.allclose(got, values[:, ::-1]):
            raise WrongAnswerError(
                "these are the probabilities themselves. Give the positions of the classes: "
                "argsort, not sort."
            )
        if np.array_equal(got, expected[:, ::-1]):
            raise WrongAnswerError("the right classes, but smallest first. Turn the order round.")
        smallest = np.argsort(probabilities, axis=1)[:, :k]
        if np.array_equal(np.sort(got, axis=1), np.sort(smallest, axis=1)):
            raise WrongAnswerError("these are the k smallest: argsort goes upwards.")
        if np.array_equal(np.sort(got, axis=1), np.sort(expected, axis=1)):
            raise WrongAnswerError(
                "the right classes, but in no order. argpartition does not sort what it finds: "
                "sort these k as well."
            )
        if np.array_equal(got, 1 + expected):
            raise WrongAnswerError("classes are counted from 0.")
        raise WrongAnswerError(
            f"for k={k} and the row {probabilities[0].round(2).tolist()} expected "
            f"{expected[0].tolist()}, got {got[0].tolist()}."
        )


@checker
def check_expected_calibration_error(function):
    """06.4: `expected_calibration_error(confidences, correct, num_bins)`, a float.

    Args:
        function: the learner's function.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    rng = np.random.default_rng(1)
    # Too sure at 0.93 and 0.65, too modest at 0.55; none on an inner edge, and many empty bins.
    groups = rng.choice(3, 400, p=(0.6, 0.2, 0.2))
    confidences = np.array([0.93, 0.65, 0.55])[groups] + rng.uniform(-0.02, 0.02, 400)
    correct = rng.random(400) < np.array([0.75, 0.3, 0.9])[groups]
    confidences[:20], correct[:20] = 1.0, False  # a float32 softmax gives 1; the last bin has it
    for num_bins in (10, 4):
        gaps, sizes = [], []
        for k in range(num_bins):
            inside = (confidences > k / num_bins) & (confidences <= (k + 1) / num_bins)
            if inside.any():
                gaps.append(confidences[inside].mean() - correct[inside].mean())
                sizes.append(inside.sum())
        expected = np.average(np.abs(gaps), weights=sizes)
        answer = _quietly(function, confidences.copy(), correct.copy(), num_bins)
        got = number(answer, "The calibration error")
        if np.isclose(got, expected):
            continue
        if np.isnan(got):
            raise WrongAnswerError(
                "it is nan: an empty bin has no mean. Leave bins without images out."
            )
        if np.isclose(got, np.average(gaps, weights=sizes)) or np.isclose(
            got, -np.average(gaps, weights=sizes)
        ):
            raise WrongAnswerError(
                "bins that are too sure and bins that are too modest cancel out. Take the "
                "absolute value of each bin's gap."
            )
        if np.isclose(got, np.mean(np.abs(gaps))) or np.isclose(
            got, np.sum(np.abs(gaps)) / num_bins
        ):
            raise WrongAnswerError(
                "each bin counts the same in yours. Weight it by its share of the images."
            )
        if np.isclose(got, 100 * expected):
            raise WrongAnswerError("give a fraction between 0 and 1, not percent.")
        if np.isclose(got, len(confidences) * expected):
            raise WrongAnswerError("that is a sum over images. Divide by their number.")
        if np.isclose(got, np.abs(confidences - correct).mean()):
            raise WrongAnswerError(
                "you compare each single image with 0 or 1. First take the means of a bin, then "
                "their difference."
            )
        raise WrongAnswerError(
            f"for {num_bins} bins expected {expected:.4f}, got {got:.4f}. Each confidence is "
            "in one bin, one of exactly 1 in the last."
        )


@checker
def check_occlusion_map(function):
    """06.5: `occlusion_map(predict, image, patch_size)`, how far the score falls for each patch.

    Args:
        function: the learner's function; returns one number a patch.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    rng = np.random.default_rng(2)
    image = rng.integers(140, 256, (12, 8, 3)).astype("uint8")
    weights = rng.normal(size=image.shape)

    def predict(images):
        images = np.asarray(images, "float64")
        if images.ndim != 4:
            raise WrongAnswerError(
                f"predict takes a batch (N, H, W, 3), you gave it {images.shape}. One image as a "
                "batch is image[None], and its score is predict(image[None])[0]."
            )
        return (images * weights).sum(axis=(1, 2, 3))

    for patch_size, rows, columns in ((4, 3, 2), (2, 6, 4)):
        # A patch's share of the score, in closed form: nothing is covered here.
        change = {fill: weights * (image.astype("float64") - fill) for fill in (0, 128)}
        black, grey = (
            change[fill].reshape(rows, patch_size, columns, patch_size, 3).sum(axis=(1, 3, 4))
            for fill in (0, 128)
        )
        given = image.copy()
        answer = _quietly(function, predict, given, patch_size)
        got = _numbers(answer, "The map")
        if not np.array_equal(given, image):
            raise WrongAnswerError(
                "the image that you were given has changed: grey squares stayed in it. Cover a "
                "copy for each patch: covered = image.copy()."
            )
        if got.shape != grey.shape:
            turned = got.shape == (columns, rows)
            raise WrongAnswerError(
                f"an image of 12x8 pixels holds ({rows}, {columns}) patches of {patch_size}x"
                f"{patch_size}, one number each; your map has the shape {got.shape}."
                + (" You have rows and columns the wrong way round." if turned else "")
            )
        if not np.allclose(got, grey):
            whole = predict(image[None])[0]
            raise WrongAnswerError(_what_is_wrong_with_map(got, grey, black, whole))


def _what_is_wrong_with_map(got, grey, black, whole):
    by_rows = np.cumsum(grey.ravel()).reshape(grey.shape)
    by_columns = np.cumsum(grey.T.ravel()).reshape(grey.T.shape).T
    if np.allclose(got, by_rows) or np.allclose(got, by_columns):
        return (
            "the grey squares pile up: each patch still covers those before it. Start from a fresh "
            "copy of the image for each patch."
        )
    if np.allclose(got, -grey):
        return (
            "the sign is swapped. A patch that the score needs must be positive: score of the "
            "whole image minus score of the covered one."
        )
    if np.allclose(got, whole - grey):
        return (
            "these are the scores of the covered images. Say how far each lies below the score of "
            "the whole image."
        )
    if np.allclose(got, black):
        return "you cover with black, 0. Cover with grey, 128."
    return (
        f"the patch at the top left must lower the score by {grey[0, 0]:.1f}; yours says "
        f"{got[0, 0]:.1f}."
    )


def _numbers(answer, what, shape=None):
    result = array(answer, what, shape)
    if result.dtype.kind not in "iuf":
        raise WrongAnswerError(f"{what} must hold numbers, yours holds {result.dtype}.")
    return result


def _quietly(function, *arguments):
    # NumPy's warnings about overflow and 0 / 0 would come before the sentence that explains them.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        return function(*arguments)

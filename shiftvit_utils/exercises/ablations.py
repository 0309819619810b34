"""Checkers for the exercises of `08_ablations`.

Every truth is computed here in plain NumPy or counted by hand, not by the library's own sweep.
"""

import math

import numpy as np

from shiftvit_utils.exercises.checking import (
    WrongAnswerError,
    array,
    checker,
    number,
    refuse_known_mistakes,
    require_function,
)


@checker
def check_num_div(answer):
    """08.1: the `num_div` with which four groups move two fifths of the channels.

    Args:
        answer: int.

    Returns:
        bool, after printing one line.
    """
    value = number(answer, "num_div")
    hints = {
        2 / 5: "that is the share. num_div says how many parts the channels are cut into.",
        5.0: "a fifth moves in each direction then, four fifths in all.",
        2.5: "that would be one group of two fifths. There are four groups.",
        20.0: "a twentieth in each direction makes four twentieths: a fifth.",
        1.6: "the other way round: each group is 1/num_div of the channels.",
    }
    refuse_known_mistakes(value, hints)
    if value != 10:
        raise WrongAnswerError(
            f"four groups of 1/{value:g} are {4 / value if value else math.inf:.2f} of the "
            "channels, not 0.40."
        )


@checker
def check_matching_ratio(function):
    """08.2: `matching_ratio(blocks, other_blocks, other_ratio)`, an MLP ratio of the same cost.

    Args:
        function: the learner's function: the MLP ratio with which `blocks` blocks have as many
            weights in their dense layers as `other_blocks` blocks of `other_ratio`.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    for blocks, other_blocks, other_ratio in ((4, 2, 2), (1, 2, 2), (6, 2, 4), (3, 3, 1.5)):
        call = f"matching_ratio({blocks}, {other_blocks}, {other_ratio})"
        got = number(function(blocks, other_blocks, other_ratio), call)
        expected = other_blocks * other_ratio / blocks
        if math.isclose(got, expected):
            continue
        if math.isclose(got, other_ratio):
            hint = "the same ratio with another number of blocks has another cost."
        elif math.isclose(got, other_ratio * blocks / other_blocks):
            hint = "the wrong way round: more blocks leave less for each of them."
        else:
            hint = "an MLP of ratio r on C channels has 2 * r * C * C weights: what must be equal?"
        raise WrongAnswerError(f"{call} gave {got:g}: {hint}")


@checker
def check_standard_error(function):
    """08.3: `standard_error(values, baseline)` of the difference between two means.

    Args:
        function: the learner's function of two lists of accuracies, one a seed.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    for values, baseline in (
        ([0.70, 0.72, 0.74], [0.60, 0.60, 0.66]),
        ([0.5, 0.6], [0.55, 0.56, 0.57, 0.58]),
    ):
        call = f"standard_error({values}, {baseline})"
        got = number(function(list(values), list(baseline)), call)

        def error(ddof, over_n=True, both=(values, baseline)):
            return math.sqrt(sum(np.var(v, ddof=ddof) / (len(v) if over_n else 1) for v in both))

        if math.isclose(got, error(1), rel_tol=1e-6):
            continue
        hints = {
            error(0): "the variance of a few samples divides by one less than their number "
            "(ddof=1), or it comes out too small.",
            error(1, over_n=False): "that is the spread of single runs. A mean of n runs has "
            "an n-th of their variance.",
            error(1) ** 2: "that is the variance; take its root.",
            error(1, both=(values,)): "the baseline has a spread of its own.",
            sum(error(1, both=(v,)) for v in (values, baseline)): "variances add, standard "
            "errors do not.",
        }
        refuse_known_mistakes(
            got, {mistake: f"{call} gave {got:.4f}: {hint}" for mistake, hint in hints.items()}
        )
        raise WrongAnswerError(
            f"{call} gave {got:.4g}. Variance of each, over its number of runs; add both; root."
        )


@checker
def check_false_alarm(function):
    """08.4: `false_alarm(comparisons, chance)`, of at least one among several.

    Args:
        function: the learner's function: how probable at least one false alarm is in so many
            independent comparisons, if each gives one with this chance.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    for comparisons, chance in ((1, 0.1), (2, 0.4), (16, 0.1), (20, 0.05)):
        call = f"false_alarm({comparisons}, {chance})"
        got = number(function(comparisons, chance), call)
        if math.isclose(got, 1 - (1 - chance) ** comparisons, rel_tol=1e-6):
            continue
        if math.isclose(got, comparisons * chance):
            hint = "that is how many to expect; as a chance it could pass 1."
        elif math.isclose(got, (1 - chance) ** comparisons):
            hint = "that is the chance that there is none."
        elif math.isclose(got, chance**comparisons):
            hint = "that is the chance that all of them are."
        else:
            hint = "how probable is it that not one of them gives an alarm?"
        raise WrongAnswerError(f"{call} gave {got:.3g}: {hint}")


def _pooled(x, subtract=True, count_border=False):
    """Mean of each 3x3 neighbourhood, minus the pixel itself: `(N, H, W, C)` -> the same."""
    height, width = x.shape[1:3]
    total, count = np.zeros_like(x), np.zeros((height, width, 1), x.dtype)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    inside = np.pad(np.ones((height, width, 1), x.dtype), ((1, 1), (1, 1), (0, 0)))
    for row in range(3):
        for column in range(3):
            total += padded[:, row : row + height, column : column + width]
            count += inside[row : row + height, column : column + width]
    return total / (9 if count_border else count) - (x if subtract else 0)


@checker
def check_pool_mixer(function):
    """08.5: `pool_mixer(x)`, a token mixer without parameters that takes means.

    Args:
        function: the learner's function, `(N, H, W, C)` float32 -> the same shape: the mean of the
            3x3 neighbourhood, as far as it lies inside, minus the pixel itself.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    rng = np.random.default_rng(0)
    for shape in ((2, 5, 6, 3), (1, 4, 3, 2)):
        x = rng.normal(size=shape).astype("float32")
        got = array(function(x.copy()), "The result", shape)
        if np.allclose(got, _pooled(x), atol=1e-5):
            continue
        if np.allclose(got, _pooled(x, subtract=False), atol=1e-5):
            hint = "subtract x: the shortcut around the mixer adds it again."
        elif np.allclose(got, _pooled(x, count_border=True), atol=1e-5):
            hint = "at the border you divide by 9, but a corner has 4 neighbours, itself included."
        elif np.allclose(got, _pooled(x, subtract=False, count_border=True), atol=1e-5):
            hint = "two things are missing: subtract x, and divide by the places that lie inside."
        elif np.allclose(got[:, 1:-1, 1:-1], _pooled(x)[:, 1:-1, 1:-1], atol=1e-5):
            hint = "right inside, wrong at the border: only places inside the map count."
        elif np.allclose(got, -_pooled(x), atol=1e-5):
            hint = "the sign is turned: mean minus x."
        else:
            hint = "for each pixel the mean over 3 x 3 places, each channel for itself, minus x."
        raise WrongAnswerError(hint)

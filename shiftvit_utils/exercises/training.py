"""Checkers for the exercises of `05_train`."""

import numpy as np

from shiftvit_utils.exercises.checking import WrongAnswerError, checker, number, require_function


@checker
def check_steps_per_epoch(answer):
    """05.1: number of training steps in an epoch of 40,000 images with batches of 256.

    Args:
        answer: int.

    Returns:
        bool, after printing one line.
    """
    steps = number(answer, "The number of steps")
    if steps == 157:
        raise WrongAnswerError(
            "157 counts a last batch of 64 images. Training leaves incomplete batches out."
        )
    if steps == 156.25:
        raise WrongAnswerError("there is no quarter of a step: only whole batches count.")
    if steps != 156:
        raise WrongAnswerError(f"{steps:g} is not how many whole 256s fit into 40,000.")


@checker
def check_learning_rate(function):
    """05.2: `learning_rate(step, lr_start, lr_max, warmup_steps, total_steps)`.

    Args:
        function: the learner's function; returns a float.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    arguments = (1e-5, 1e-3, 10, 110)

    def at(step):
        return number(function(step, *arguments), f"learning_rate({step}, ...)")

    hints = {
        0: (1e-5, "at step 0 it must be lr_start"),
        5: (5.05e-4, "half-way through the warm-up it must be half-way from lr_start to lr_max"),
        10: (1e-3, "at the end of the warm-up it must be lr_max"),
        60: (5e-4, "half-way down the cosine it must be lr_max / 2; does your cosine start at 10?"),
        110: (0.0, "at the last step it must be 0"),
    }
    for step, (expected, hint) in hints.items():
        if not np.isclose(at(step), expected, rtol=1e-4, atol=1e-9):
            raise WrongAnswerError(f"{hint}, so {expected:g}; yours is {at(step):g}.")
    expected = 0.5e-3 * (1 + np.cos(np.pi * 0.25))
    if not np.isclose(at(35), expected, rtol=1e-4):
        raise WrongAnswerError(
            f"a quarter of the way down it must be {expected:.3g}; yours is {at(35):.3g}. A "
            "straight line goes through the same ends and middle: use the cosine."
        )


@checker
def check_decay_step(function):
    """05.3: `decay_step(weight, learning_rate, weight_decay, times_lr)`.

    Args:
        function: the learner's function; returns the decayed weight, a float.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    for weight in (2.0, -1.0):
        with_lr = number(function(weight, 0.01, 0.5, True), "decay_step(..., times_lr=True)")
        without = number(function(weight, 0.01, 0.5, False), "decay_step(..., times_lr=False)")
        if np.isclose(with_lr, weight - 0.005) or np.isclose(without, weight - 0.5):
            raise WrongAnswerError("decay takes a share *of the weight*: multiply by the weight.")
        if np.isclose(with_lr, weight * 0.5) and np.isclose(without, weight * 0.995):
            raise WrongAnswerError("you have the two meanings the wrong way round.")
        if not np.isclose(with_lr, weight * 0.995):
            raise WrongAnswerError(
                f"with times_lr, {weight:g} loses 0.01 * 0.5 of itself and becomes "
                f"{weight * 0.995:g}; yours becomes {with_lr:g}."
            )
        if not np.isclose(without, weight * 0.5):
            raise WrongAnswerError(
                f"without times_lr, {weight:g} loses 0.5 of itself and becomes {weight * 0.5:g}; "
                f"yours becomes {without:g}."
            )


@checker
def check_top_k_accuracy(function):
    """05.4: `top_k_accuracy(logits, labels, k)`.

    Args:
        function: the learner's function; returns a fraction.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    from sklearn.metrics import top_k_accuracy_score

    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(200, 10)), rng.integers(0, 10, 200)
    for k in (1, 3, 9):
        expected = top_k_accuracy_score(labels, logits, k=k, labels=range(10))
        got = number(function(logits.copy(), labels.copy(), k), f"top_k_accuracy(..., k={k})")
        if np.isclose(got, expected):
            continue
        if np.isclose(got, top_k_accuracy_score(labels, -logits, k=k, labels=range(10))):
            raise WrongAnswerError("you took the k smallest logits: sorting goes upwards.")
        if np.isclose(got, 100 * expected):
            raise WrongAnswerError("give a fraction between 0 and 1, not percent.")
        if np.isclose(got, 200 * expected):
            raise WrongAnswerError("that is a count. Divide by the number of images.")
        raise WrongAnswerError(f"for k={k} expected {expected:.3f}, got {got:.3f}.")

"""Checkers for the exercises of `07_paper_and_code`.

Every truth is computed here in plain NumPy or counted by hand, not by the layers of the library.
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
def check_moving_share(answer):
    """07.1: share of the channels that the published example would treat in a stage of 240.

    Args:
        answer: float, between 0 and 1.

    Returns:
        bool, after printing one line.
    """
    share = number(answer, "The share")
    hints = {
        4 / 12: "that is the authors' share: their groups grow with the channels.",
        12 / 240: "that is one group. There are four.",
        48 / 192: "that is the second stage, with 192 channels.",
        48 / 384: "that is the third stage, with 384 channels.",
        48.0: "give the share of all channels: divide by 240.",
        20.0: "give a fraction between 0 and 1, not percent.",
    }
    refuse_known_mistakes(share, hints)
    if not math.isclose(share, 4 * 12 / 240):
        raise WrongAnswerError(
            f"{share:g} is not it. Four groups of 12 channels, in every stage: how many of 240?"
        )


@checker
def check_dense_kernel(function):
    """07.2: `dense_kernel(weight)`, a PyTorch convolution kernel as the kernel of a dense layer.

    Args:
        function: the learner's function, `(out, in, h, w)` -> `(h * w * in, out)`.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    rng = np.random.default_rng(0)
    for out, channels, side in ((5, 3, 2), (4, 6, 1)):
        weight = rng.normal(size=(out, channels, side, side)).astype("float32")
        shape = (side * side * channels, out)
        kernel = array(function(weight.copy()), "The kernel", shape)
        # The answer counts: one square through the convolution, and flattened through the dense.
        square = rng.normal(size=(side, side, channels)).astype("float32")
        expected = np.einsum("hwi,oihw->o", square, weight)
        if np.allclose(square.reshape(-1) @ kernel, expected, atol=1e-4):
            continue
        if np.allclose(square.transpose(2, 0, 1).reshape(-1) @ kernel, expected, atol=1e-4):
            raise WrongAnswerError(
                "your rows go channel by channel, as PyTorch's do. Here a square is written pixel "
                "by pixel, its channels last: transpose before you reshape."
            )
        if np.allclose(square.transpose(1, 0, 2).reshape(-1) @ kernel, expected, atol=1e-4):
            raise WrongAnswerError("height and width are exchanged.")
        raise WrongAnswerError(
            "the shape is right, the order is not. Bring (out, in, h, w) to (h, w, in, out) first, "
            "then join the first three axes."
        )


@checker
def check_keras_weight_decay(function):
    """07.3: `keras_weight_decay(constant_decay, learning_rates)`, over a whole run.

    Args:
        function: the learner's function: the weight decay with which Keras's AdamW, at these
            learning rates, one a step, leaves as much of a weight as a constant decay does.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    warmup, cosine = np.linspace(0, 1, 60), 0.5 * (1 + np.cos(np.linspace(0, np.pi, 340)))
    runs = {
        "a constant rate of 0.002": np.full(200, 2e-3),
        "a warm-up and a cosine, of 400 steps": 1e-3 * np.concatenate([warmup, cosine]),
        "a line from 0.01 to 0, of 300 steps": np.linspace(1e-2, 0, 300),
    }
    for run, rates in runs.items():
        for decay in (1e-4, 5e-4):
            got = number(function(decay, rates.copy()), f"The decay for {run}")
            left, expected = np.prod(1 - got * rates), (1 - decay) ** len(rates)
            if math.isclose(1 - left, 1 - expected, rel_tol=0.01):
                continue
            mistakes = {
                decay: "that is the constant decay itself, which Keras would multiply by the rate.",
                decay / rates.max(): "that is equal at the peak only. Most rates are lower.",
                decay * rates.mean(): "divide by the mean rate: what Keras multiplies by it.",
                decay / rates.sum(): "that loses in all steps what should be lost in each.",
            }
            refuse_known_mistakes(got, mistakes)
            raise WrongAnswerError(
                f"with {run}, a constant decay of {decay:g} leaves {expected:.4f} of a weight. "
                f"Yours, {got:g}, leaves {left:.4f}. What is lost in a step is the decay times its "
                "rate: add up the rates."
            )


@checker
def check_rate_at_stop(function):
    """07.4: `rate_at_stop(epoch, epochs, warmup_fraction)`, as a share of the peak.

    Args:
        function: the learner's function: the learning rate of warm-up and cosine at the end of
            `epoch` of `epochs`, as a fraction of its peak, for an `epoch` after the warm-up.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    for epoch, epochs, warmup in ((50, 100, 0.15), (100, 100, 0.15), (10, 20, 0.0), (60, 80, 0.25)):
        call = f"rate_at_stop({epoch}, {epochs}, {warmup})"
        got = number(function(epoch, epochs, warmup), call)
        progress = (epoch / epochs - warmup) / (1 - warmup)
        if math.isclose(got, 0.5 * (1 + math.cos(math.pi * progress)), abs_tol=1e-6):
            continue
        if math.isclose(got, 0.5 * (1 + math.cos(math.pi * epoch / epochs)), abs_tol=1e-6):
            hint = "the cosine begins after the warm-up, not at epoch 0."
        elif math.isclose(got, 1 - progress, abs_tol=1e-6):
            hint = "that is a straight line down; the schedule is half a cosine."
        elif math.isclose(got, math.cos(math.pi * progress), abs_tol=1e-6):
            hint = "a cosine goes from 1 to -1; lift and halve it, so that it ends at 0."
        else:
            hint = "how much of the way from the end of the warm-up to the last epoch is done?"
        raise WrongAnswerError(f"{call} gave {got:.3g}: {hint}")

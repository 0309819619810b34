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
    """07.1: share of the 384 channels that the published example treats in its third stage.

    Args:
        answer: float, between 0 and 1.

    Returns:
        bool, after printing one line.
    """
    share = number(answer, "The share")
    hints = {
        4 / 12: "that is the authors' share: their groups grow with the channels.",
        12 / 384: "that is one group. There are four.",
        48 / 768: "that is the last stage, with 768 channels.",
        48 / 192: "that is the second stage, with 192 channels.",
        48.0: "give the share of all channels: divide by 384.",
        12.5: "give a fraction between 0 and 1, not percent.",
    }
    refuse_known_mistakes(share, hints)
    if not math.isclose(share, 4 * 12 / 384):
        raise WrongAnswerError(
            f"{share:g} is not it. Four groups of 12 channels, in every stage: how many of 384?"
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
def check_decay_step(function):
    """07.3: `decay_step(weight, learning_rate, weight_decay, library)`.

    Args:
        function: the learner's function: what weight decay alone makes of a weight in one step, for
            the library "keras" or "tfa".

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    for weight, rate, decay in ((2.0, 0.5, 0.1), (-3.0, 0.01, 0.2), (1.0, 0.0, 0.3)):
        truths = {"keras": weight * (1 - rate * decay), "tfa": weight * (1 - decay)}
        for library, expected in truths.items():
            call = f"decay_step({weight:g}, {rate:g}, {decay:g}, {library!r})"
            got = number(function(weight, rate, decay, library), call)
            if math.isclose(got, expected, abs_tol=1e-9):
                continue
            other = truths["tfa" if library == "keras" else "keras"]
            lost = weight - expected
            if math.isclose(got, other, abs_tol=1e-9):
                hint = "that is the other library."
            elif math.isclose(got, lost, abs_tol=1e-9):
                hint = "that is what is lost. Give the weight that is left."
            elif math.isclose(got, weight + lost, abs_tol=1e-9):
                hint = "the weight grew: decay takes away."
            else:
                hint = "decay takes a share of the weight itself; only in one library does the "
                hint += "learning rate scale that share."
            raise WrongAnswerError(f"{call} gave {got:g}: {hint}")


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

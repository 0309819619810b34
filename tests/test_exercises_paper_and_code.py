"""The checkers of 07: right answers pass, wrong ones get the hint that helps."""

import numpy as np
import pytest
from checker_tests import (
    garbage_is_answered_with_one_sentence,
    right_answers_pass,
    stubs_are_not_written_yet,
)

from shiftvit_utils import warmup_cosine
from shiftvit_utils.exercises import paper_and_code as exercises

pytestmark = pytest.mark.backend_free


def dense_kernel(weight):
    return np.concatenate(
        [weight[:, :, r, c].T for r in range(weight.shape[2]) for c in range(weight.shape[3])]
    )


def keras_weight_decay(constant_decay, learning_rates):
    # The exact one, by halving an interval; a mean of the rates gives it to first order.
    expected = len(learning_rates) * np.log(1 - constant_decay)
    low, high = 0.0, 1.0
    for _ in range(50):
        decay = (low + high) / 2
        too_much = np.log(1 - decay * learning_rates).sum() < expected
        low, high = (low, decay) if too_much else (decay, high)
    return low


def rate_at_stop(epoch, epochs, warmup_fraction):
    # The library's own schedule, at a hundred steps an epoch.
    total = 100 * epochs
    return float(warmup_cosine(0.0, 1.0, int(warmup_fraction * total), total)(100 * epoch))


RIGHT = {
    exercises.check_moving_share: 0.2,
    exercises.check_dense_kernel: dense_kernel,
    exercises.check_keras_weight_decay: keras_weight_decay,
    exercises.check_rate_at_stop: rate_at_stop,
}


test_right_answers_pass = right_answers_pass(RIGHT)
test_stubs_are_not_written_yet = stubs_are_not_written_yet(RIGHT)
test_garbage_is_answered_with_one_sentence = garbage_is_answered_with_one_sentence(RIGHT)


def test_the_first_order_is_close_enough():
    assert exercises.check_keras_weight_decay(lambda decay, rates: decay * len(rates) / sum(rates))


def cosine(progress):
    return 0.5 * (1 + np.cos(np.pi * progress))


@pytest.mark.parametrize(
    ("checker", "answer", "hint"),
    [
        (exercises.check_moving_share, 1 / 3, "authors' share"),
        (exercises.check_moving_share, 48, "divide by 240"),
        (exercises.check_moving_share, 20, "not percent"),
        (exercises.check_dense_kernel, lambda w: w.reshape(len(w), -1).T, "channel by channel"),
        (
            exercises.check_dense_kernel,
            lambda w: w.transpose(3, 2, 1, 0).reshape(-1, len(w)),
            "height and width",
        ),
        (exercises.check_dense_kernel, lambda w: w.reshape(-1, len(w)), "the order is not"),
        (exercises.check_dense_kernel, lambda w: w, "must have the shape"),
        (exercises.check_keras_weight_decay, lambda c, rates: c, "the constant decay itself"),
        (exercises.check_keras_weight_decay, lambda c, rates: c / rates.max(), "at the peak only"),
        (
            exercises.check_keras_weight_decay,
            lambda c, rates: c * rates.mean(),
            "divide by the mean",
        ),
        (exercises.check_keras_weight_decay, lambda c, rates: c / rates.sum(), "in all steps"),
        (
            exercises.check_keras_weight_decay,
            lambda c, rates: 2 * c / rates.max(),
            "add up the rates",
        ),
        (exercises.check_rate_at_stop, lambda e, n, _: cosine(e / n), "begins after the warm-up"),
        (
            exercises.check_rate_at_stop,
            lambda e, n, w: 1 - (e / n - w) / (1 - w),
            "straight line",
        ),
        (
            exercises.check_rate_at_stop,
            lambda e, n, w: 2 * cosine((e / n - w) / (1 - w)) - 1,
            "lift and halve",
        ),
    ],
)
def test_hints_name_the_mistake(checker, answer, hint, capsys):
    assert not checker(answer)
    assert hint in capsys.readouterr().out

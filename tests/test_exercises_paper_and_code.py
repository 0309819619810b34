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


def decay_step(weight, learning_rate, weight_decay, library):
    return weight - weight * weight_decay * (learning_rate if library == "keras" else 1)


def rate_at_stop(epoch, epochs, warmup_fraction):
    # The library's own schedule, at a hundred steps an epoch.
    total = 100 * epochs
    return float(warmup_cosine(0.0, 1.0, int(warmup_fraction * total), total)(100 * epoch))


RIGHT = {
    exercises.check_moving_share: 0.125,
    exercises.check_dense_kernel: dense_kernel,
    exercises.check_decay_step: decay_step,
    exercises.check_rate_at_stop: rate_at_stop,
}


test_right_answers_pass = right_answers_pass(RIGHT)
test_stubs_are_not_written_yet = stubs_are_not_written_yet(RIGHT)
test_garbage_is_answered_with_one_sentence = garbage_is_answered_with_one_sentence(RIGHT)


def cosine(progress):
    return 0.5 * (1 + np.cos(np.pi * progress))


@pytest.mark.parametrize(
    ("checker", "answer", "hint"),
    [
        (exercises.check_moving_share, 1 / 3, "authors' share"),
        (exercises.check_moving_share, 48, "divide by 384"),
        (exercises.check_moving_share, 12.5, "not percent"),
        (exercises.check_dense_kernel, lambda w: w.reshape(len(w), -1).T, "channel by channel"),
        (
            exercises.check_dense_kernel,
            lambda w: w.transpose(3, 2, 1, 0).reshape(-1, len(w)),
            "height and width",
        ),
        (exercises.check_dense_kernel, lambda w: w.reshape(-1, len(w)), "the order is not"),
        (exercises.check_dense_kernel, lambda w: w, "must have the shape"),
        (exercises.check_decay_step, lambda w, lr, wd, _: w - lr * wd * w, "the other library"),
        (exercises.check_decay_step, lambda w, lr, wd, _: lr * wd * w, "that is what is lost"),
        (exercises.check_decay_step, lambda w, lr, wd, _: w + lr * wd * w, "the weight grew"),
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

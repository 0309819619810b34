"""The checkers of 05: right answers pass, wrong ones get the hint that helps."""

import numpy as np
import pytest
from checker_tests import not_yet, right_answers_pass

from shiftvit_utils.exercises import training as exercises

pytestmark = pytest.mark.backend_free


def learning_rate(step, lr_start, lr_max, warmup_steps, total_steps):
    if step < warmup_steps:
        return lr_start + (lr_max - lr_start) * step / warmup_steps
    progress = (step - warmup_steps) / (total_steps - warmup_steps)
    return lr_max * np.cos(np.pi * progress / 2) ** 2  # the same as (1 + cos) / 2


def from_zero(step, lr_start, lr_max, warmup_steps, total_steps):
    return learning_rate(step, 0.0, lr_max, warmup_steps, total_steps)


def straight_down(step, lr_start, lr_max, warmup_steps, total_steps):
    if step < warmup_steps:
        return learning_rate(step, lr_start, lr_max, warmup_steps, total_steps)
    return lr_max * (total_steps - step) / (total_steps - warmup_steps)


def cosine_from_step_zero(step, lr_start, lr_max, warmup_steps, total_steps):
    if step <= warmup_steps:
        return learning_rate(step, lr_start, lr_max, warmup_steps, total_steps)
    return lr_max * (1 + np.cos(np.pi * step / total_steps)) / 2


def decay_step(weight, learning_rate, weight_decay, times_lr):
    return weight * (1 - weight_decay * (learning_rate if times_lr else 1))


def top_k_accuracy(logits, labels, k):
    own = logits[np.arange(len(labels)), labels]
    return np.mean((logits > own[:, None]).sum(axis=1) < k)


RIGHT = {
    exercises.check_steps_per_epoch: 156,
    exercises.check_learning_rate: learning_rate,
    exercises.check_decay_step: decay_step,
    exercises.check_top_k_accuracy: top_k_accuracy,
}


test_right_answers_pass = right_answers_pass(RIGHT)


def crashes(*_):
    return {}["no such key"]


def crashes_with_a_page(*_):
    raise ValueError("first line\nsecond line\nthird line")


def test_a_long_error_of_the_learner_is_one_line(capsys):
    assert not exercises.check_top_k_accuracy(crashes_with_a_page)
    printed = capsys.readouterr().out
    assert printed == "✗ top_k_accuracy: your code stopped with ValueError: first line\n"


@pytest.mark.parametrize(
    ("checker", "answer", "hint"),
    [
        (exercises.check_steps_per_epoch, ..., "not written yet"),
        (exercises.check_steps_per_epoch, 157, "leaves incomplete batches out"),
        (exercises.check_steps_per_epoch, 40_000 / 256, "no quarter of a step"),
        (exercises.check_steps_per_epoch, "156 steps", "must be a number, yours is str"),
        (exercises.check_learning_rate, not_yet, "not written yet"),
        (exercises.check_learning_rate, from_zero, "at step 0 it must be lr_start"),
        (exercises.check_learning_rate, straight_down, "use the cosine"),
        (exercises.check_learning_rate, cosine_from_step_zero, "does your cosine start at 10"),
        (exercises.check_learning_rate, lambda *_: None, "Did you forget `return`"),
        (exercises.check_learning_rate, 0.001, "give the function itself, not a float"),
        (exercises.check_learning_rate, lambda step: step, "stopped with TypeError"),
        (exercises.check_decay_step, not_yet, "not written yet"),
        (
            exercises.check_decay_step,
            lambda w, lr, decay, times_lr: decay_step(w, lr, decay, not times_lr),
            "the wrong way round",
        ),
        (
            exercises.check_decay_step,
            lambda w, lr, decay, times_lr: w - decay * (lr if times_lr else 1),
            "of the weight",
        ),
        (
            exercises.check_decay_step,
            lambda w, lr, decay, times_lr: w * (1 - lr * decay),
            "without times_lr, 2 loses 0.5 of itself",
        ),
        (exercises.check_top_k_accuracy, not_yet, "not written yet"),
        (
            exercises.check_top_k_accuracy,
            lambda logits, labels, k: top_k_accuracy(-logits, labels, k),
            "k smallest",
        ),
        (
            exercises.check_top_k_accuracy,
            lambda *answer: 100 * top_k_accuracy(*answer),
            "not percent",
        ),
        (
            exercises.check_top_k_accuracy,
            lambda *answer: len(answer[1]) * top_k_accuracy(*answer),
            "Divide by the number of images",
        ),
        (
            exercises.check_top_k_accuracy,
            lambda logits, labels, k: top_k_accuracy(logits, labels, 1),
            "for k=3 expected",
        ),
        (exercises.check_top_k_accuracy, crashes, "stopped with KeyError"),
    ],
)
def test_wrong_answers_get_the_right_hint(checker, answer, hint, capsys):
    assert not checker(answer)
    line = capsys.readouterr().out
    assert hint in line.replace("*", "")
    assert "Traceback" not in line

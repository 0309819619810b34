"""The checkers of 08: right answers pass, wrong ones get the hint that helps."""

import keras
import numpy as np
import pytest
from checker_tests import (
    garbage_is_answered_with_one_sentence,
    right_answers_pass,
    stubs_are_not_written_yet,
)

from shiftvit_utils.exercises import ablations as exercises

pytestmark = pytest.mark.backend_free


def pool_mixer(x):
    means = keras.ops.average_pool(x, 3, strides=1, padding="same")
    return keras.ops.convert_to_numpy(means) - x


def standard_error(values, baseline):
    return np.hypot(*(np.std(v, ddof=1) / np.sqrt(len(v)) for v in (values, baseline)))


RIGHT = {
    exercises.check_num_div: 10,
    exercises.check_matching_ratio: lambda blocks, others, ratio: others * ratio / blocks,
    exercises.check_standard_error: standard_error,
    exercises.check_false_alarm: lambda comparisons, chance: 1 - (1 - chance) ** comparisons,
    exercises.check_pool_mixer: pool_mixer,
}


test_right_answers_pass = right_answers_pass(RIGHT)
test_stubs_are_not_written_yet = stubs_are_not_written_yet(RIGHT)
test_garbage_is_answered_with_one_sentence = garbage_is_answered_with_one_sentence(RIGHT, more=[0])


def padded_mean(x):
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = x.shape[1:3]
    return sum(padded[:, r : r + height, c : c + width] for r in range(3) for c in range(3)) / 9


@pytest.mark.parametrize(
    ("checker", "answer", "hint"),
    [
        (exercises.check_num_div, 0.4, "that is the share"),
        (exercises.check_num_div, 5, "four fifths"),
        (exercises.check_num_div, 12, "are 0.33 of the channels"),
        (exercises.check_matching_ratio, lambda b, o, r: r, "another cost"),
        (exercises.check_matching_ratio, lambda b, o, r: r * b / o, "the wrong way round"),
        (exercises.check_matching_ratio, lambda b, o, r: 7.0, "what must be equal"),
        (
            exercises.check_standard_error,
            lambda v, b: np.hypot(np.std(v) / len(v) ** 0.5, np.std(b) / len(b) ** 0.5),
            "ddof=1",
        ),
        (
            exercises.check_standard_error,
            lambda v, b: np.hypot(np.std(v, ddof=1), np.std(b, ddof=1)),
            "spread of single runs",
        ),
        (exercises.check_standard_error, lambda v, b: standard_error(v, b) ** 2, "take its root"),
        (
            exercises.check_standard_error,
            lambda v, b: np.std(v, ddof=1) / len(v) ** 0.5,
            "a spread of its own",
        ),
        (
            exercises.check_standard_error,
            lambda v, b: sum(np.std(x, ddof=1) / len(x) ** 0.5 for x in (v, b)),
            "variances add",
        ),
        (exercises.check_false_alarm, lambda n, p: n * p, "how many to expect"),
        (exercises.check_false_alarm, lambda n, p: (1 - p) ** n, "that there is none"),
        (exercises.check_false_alarm, lambda n, p: p**n, "that all of them are"),
        (exercises.check_pool_mixer, lambda x: pool_mixer(x) + x, "subtract x"),
        (exercises.check_pool_mixer, lambda x: padded_mean(x) - x, "you divide by 9"),
        (exercises.check_pool_mixer, padded_mean, "two things are missing"),
        (exercises.check_pool_mixer, lambda x: -pool_mixer(x), "the sign is turned"),
        (exercises.check_pool_mixer, lambda x: x[:, 1:], "must have the shape"),
        (exercises.check_pool_mixer, lambda x: 0 * x, "each channel for itself"),
    ],
)
def test_hints_name_the_mistake(checker, answer, hint, capsys):
    assert not checker(answer)
    assert hint in capsys.readouterr().out

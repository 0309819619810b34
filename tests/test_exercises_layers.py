"""The checkers of 04: right answers pass, wrong ones get the hint that helps."""

import numpy as np
import pytest
from checker_tests import (
    garbage_is_answered_with_one_sentence,
    right_answers_pass,
    stubs_are_not_written_yet,
)

from shiftvit_utils.exercises import layers as exercises

pytestmark = pytest.mark.backend_free

COUNTS = {"mlp": 24_832, "block": 24_960, "merging": 32_896}


def drop_path_rates(last_rate, blocks_per_stage):
    rates = iter(np.linspace(0, last_rate, sum(blocks_per_stage)))
    return [[next(rates) for _ in range(blocks)] for blocks in blocks_per_stage]


def patchify(images, p):
    """Strided slices: one for each pixel inside a square."""
    return np.concatenate([images[:, r::p, c::p] for r in range(p) for c in range(p)], axis=-1)


def drop_path(x, drop_path_rate, training, rng):
    if not training:
        return x
    kept = rng.binomial(1, 1 - drop_path_rate, size=len(x))
    return np.einsum("n...,n->n...", x, kept / (1 - drop_path_rate))


def block(x, shift, norm, mlp, drop_path):
    x = shift(x)
    x += drop_path(mlp(norm(x)))
    return x


RIGHT = {
    exercises.check_stage_shape: (4, 4, 384),
    exercises.check_parameter_counts: COUNTS,
    exercises.check_drop_path_rates: drop_path_rates,
    exercises.check_patchify: patchify,
    exercises.check_drop_path: drop_path,
    exercises.check_block: block,
}


MORE_GARBAGE = [
    7, [[]], np.zeros((2, 3)), (..., ..., ...), {"mlp": None, "block": "x", "merging": []},
    {"mlp": np.nan, "block": 1, "merging": 1}, lambda *_: [], lambda *_: [[1], None],
    lambda x, *_: x.__setitem__(..., np.nan) or x,
]  # fmt: skip

test_right_answers_pass = right_answers_pass(RIGHT)
test_stubs_are_not_written_yet = stubs_are_not_written_yet(RIGHT)
test_garbage_is_answered_with_one_sentence = garbage_is_answered_with_one_sentence(
    RIGHT, MORE_GARBAGE
)


def test_counts_that_are_still_dots_are_not_written_yet(capsys):
    assert not exercises.check_parameter_counts(dict.fromkeys(COUNTS, ...))
    assert "not written yet" in capsys.readouterr().out


def squares(images, p):
    n, height, width, c = images.shape
    return images.reshape(n, height // p, p, width // p, p, c).transpose(0, 1, 3, 2, 4, 5)


def tokens(squares):
    return squares.reshape(*squares.shape[:3], -1)


def scaled(x, uniform, rate, scale):
    return np.where(uniform < 1 - rate, x * scale, 0)


def dropped(scale=None, size=None, swap=False, always=False):
    """A drop path with mistakes."""

    def function(x, rate, training, rng):
        if not training and not always:
            return x
        factor = 1 / (1 - rate) if scale is None else scale(rate)
        uniform = rng.uniform(size=(len(x), 1, 1, 1) if size is None else size(x))
        return scaled(x, 1 - uniform if swap else uniform, 1 - rate if swap else rate, factor)

    return function


def reseeded(x, rate, training, rng):
    return drop_path(x, rate, training, np.random.default_rng(3))


GENERATOR = np.random.default_rng(4)


def of_its_own(x, rate, training, rng):
    return drop_path(x, rate, training, GENERATOR)


@pytest.mark.parametrize(
    ("checker", "answer", "hint"),
    [
        (exercises.check_stage_shape, (16, 16, 96), "leaves the patch embedding"),
        (exercises.check_stage_shape, (8, 8, 192), "what enters stage_1"),
        (exercises.check_stage_shape, (2, 2, 768), "one merging too many"),
        (exercises.check_stage_shape, (384, 4, 4), "channels stand last"),
        (exercises.check_stage_shape, (4, 4, 96), "doubles the channels"),
        (exercises.check_stage_shape, (16, 16, 384), "halves that"),
        (exercises.check_stage_shape, (1, 4, 4, 384), "leave the batch axis out"),
        (exercises.check_stage_shape, (None, 4, 4, 384), "leave the batch axis out"),
        (exercises.check_stage_shape, (4, 4), "three numbers, yours has 2"),
        (exercises.check_parameter_counts, 24_832, "a dictionary of three counts, not a int"),
        (exercises.check_parameter_counts, {"mlp": 1}, "lacks block, merging"),
        (exercises.check_parameter_counts, COUNTS | {"mlp": 24_576}, "mlp: you forgot the biases"),
        (exercises.check_parameter_counts, COUNTS | {"mlp": 24_768}, "second dense layer has a"),
        (exercises.check_parameter_counts, COUNTS | {"mlp": 24_640}, "first dense layer has a"),
        (exercises.check_parameter_counts, COUNTS | {"mlp": 12_480}, "two dense layers"),
        (exercises.check_parameter_counts, COUNTS | {"mlp": 8_320}, "forgot the ratio"),
        (exercises.check_parameter_counts, COUNTS | {"mlp": 49_536}, "goes back to C channels"),
        (exercises.check_parameter_counts, COUNTS | {"mlp": 123_648}, "applied the ratio twice"),
        (exercises.check_parameter_counts, COUNTS | {"mlp": 74_368}, "applied the ratio twice"),
        (exercises.check_parameter_counts, COUNTS | {"mlp": 24_960}, "leave the normalisation out"),
        (exercises.check_parameter_counts, COUNTS | {"mlp": 1}, "1 is not it"),
        (exercises.check_parameter_counts, COUNTS | {"block": 24_832}, "gamma and beta"),
        (exercises.check_parameter_counts, COUNTS | {"block": 24_896}, "a gamma and a beta"),
        (exercises.check_parameter_counts, COUNTS | {"block": 25_088}, "one normalisation"),
        (exercises.check_parameter_counts, COUNTS | {"block": 24_704}, "biases of the MLP"),
        (exercises.check_parameter_counts, COUNTS | {"block": 24_576}, "biases, and the"),
        (exercises.check_parameter_counts, COUNTS | {"block": 25_536}, "shift has no parameters"),
        (exercises.check_parameter_counts, COUNTS | {"block": 24_964}, "shift has no parameters"),
        (exercises.check_parameter_counts, COUNTS | {"merging": 32_768}, "gamma and beta"),
        (exercises.check_parameter_counts, COUNTS | {"merging": 33_024}, "has no bias"),
        (exercises.check_parameter_counts, COUNTS | {"merging": 33_280}, "C channels, not 4C"),
        (exercises.check_parameter_counts, COUNTS | {"merging": 33_408}, "no bias, and the"),
        (exercises.check_parameter_counts, COUNTS | {"merging": 8_320}, "four tokens become one"),
        (
            exercises.check_parameter_counts,
            COUNTS | {"merging": 16_512},
            "gives 2C channels, not C",
        ),
        (exercises.check_parameter_counts, COUNTS | {"merging": 65_664}, "2C channels, not 4C"),
        (
            exercises.check_drop_path_rates,
            lambda rate, blocks: [np.linspace(0, rate, n) for n in blocks],
            "begin again at 0 in every stage",
        ),
        (
            exercises.check_drop_path_rates,
            lambda rate, blocks: drop_path_rates(rate * (1 - 1 / sum(blocks)), blocks),
            "does not reach the last rate",
        ),
        (
            exercises.check_drop_path_rates,
            lambda rate, blocks: np.split(
                rate * np.arange(1, sum(blocks) + 1) / sum(blocks), np.cumsum(blocks)[:-1]
            ),
            "first block must have the rate 0",
        ),
        (
            exercises.check_drop_path_rates,
            lambda rate, blocks: np.split(
                np.linspace(rate, 0, sum(blocks)), np.cumsum(blocks)[:-1]
            ),
            "ramp goes down",
        ),
        (
            exercises.check_drop_path_rates,
            lambda rate, blocks: [[rate] * n for n in blocks],
            "every block has the last rate",
        ),
        (
            exercises.check_drop_path_rates,
            lambda rate, blocks: np.linspace(0, rate, sum(blocks)),
            "a list of lists",
        ),
        (
            exercises.check_drop_path_rates,
            lambda rate, blocks: [list(np.linspace(0, rate, sum(blocks)))],
            "one list for each stage",
        ),
        (exercises.check_drop_path_rates, lambda *_: None, "Did you forget `return`"),
        (exercises.check_drop_path_rates, 0.2, "give the function itself, not a float"),
        (
            exercises.check_patchify,
            lambda x, p: x.reshape(len(x), x.shape[1] // p, x.shape[2] // p, -1),
            "strips, not squares",
        ),
        (
            exercises.check_patchify,
            lambda x, p: tokens(squares(x, p).transpose(0, 1, 2, 4, 3, 5)),
            "down the columns",
        ),
        (
            exercises.check_patchify,
            lambda x, p: tokens(squares(x, p).transpose(0, 1, 2, 5, 3, 4)),
            "channels first",
        ),
        (
            exercises.check_patchify,
            lambda x, p: tokens(squares(x, p).transpose(0, 2, 1, 3, 4, 5)),
            "rows and columns of tokens",
        ),
        (exercises.check_patchify, lambda x, p: tokens(squares(x, p)[..., 0]), "lost the channels"),
        (exercises.check_patchify, squares, "flatten each square"),
        (
            exercises.check_patchify,
            lambda x, p: squares(x, p).transpose(0, 1, 3, 2, 4, 5),
            "transpose, then flatten",
        ),
        (
            exercises.check_patchify,
            lambda x, p: patchify(x, p).reshape(len(x), -1, p * p * x.shape[-1]),
            "as two axes",
        ),
        (
            exercises.check_patchify,
            lambda x, p: tokens(
                x.reshape(len(x), p, x.shape[1] // p, p, x.shape[2] // p, x.shape[3]).transpose(
                    0, 2, 4, 1, 3, 5
                )
            ),
            "H becomes (H / p, p)",
        ),
        (exercises.check_patchify, lambda x, p: patchify(x, p)[..., ::-1], "at (0, 0, 0, 0) exp"),
        (exercises.check_patchify, lambda x, p: x, "must have the shape"),
        (exercises.check_drop_path, dropped(size=np.shape), "within one sample"),
        (
            exercises.check_drop_path,
            dropped(size=lambda x: (len(x), 1, 1, x.shape[-1])),
            "within one sample",
        ),
        (exercises.check_drop_path, dropped(size=lambda x: ()), "all samples share one fate"),
        (exercises.check_drop_path, dropped(scale=lambda rate: 1.0), "the mean sinks"),
        (exercises.check_drop_path, dropped(scale=lambda rate: 1 - rate), "Divide."),
        (exercises.check_drop_path, dropped(scale=lambda rate: 1 / rate), "divided by the drop"),
        (exercises.check_drop_path, dropped(scale=lambda rate: 3.0), "multiplied by 1.333"),
        (exercises.check_drop_path, dropped(swap=True), "drop and keep are swapped"),
        (exercises.check_drop_path, dropped(always=True), "at inference"),
        (exercises.check_drop_path, lambda x, *_: x, "nothing was dropped"),
        (exercises.check_drop_path, reseeded, "the second step drops the same samples"),
        (exercises.check_drop_path, of_its_own, "one seed must give one mask"),
        (
            exercises.check_drop_path,
            lambda x, rate, training, rng: drop_path(x, rate / 2, training, rng),
            "about 25% of the samples must become zero",
        ),
        (
            exercises.check_block,
            lambda x, shift, norm, mlp, drop: x + drop(mlp(norm(shift(x)))),
            "shortcut leaves before the shift",
        ),
        (
            exercises.check_block,
            lambda x, shift, norm, mlp, drop: shift(x) + drop(norm(mlp(shift(x)))),
            "The order is norm, then MLP",
        ),
        (
            exercises.check_block,
            lambda x, shift, norm, mlp, drop: drop(mlp(norm(shift(x)))),
            "forgot the shortcut",
        ),
        (
            exercises.check_block,
            lambda x, shift, norm, mlp, drop: shift(x) + drop(mlp(shift(x))),
            "forgot the normalisation",
        ),
        (
            exercises.check_block,
            lambda x, shift, norm, mlp, drop: x + drop(mlp(norm(x))),
            "forgot the shift",
        ),
        (
            exercises.check_block,
            lambda x, shift, norm, mlp, drop: shift(x) + drop(mlp(norm(x))),
            "starts from the map before the shift",
        ),
        (
            exercises.check_block,
            lambda x, shift, norm, mlp, drop: x + drop(shift(mlp(norm(x)))),
            "shift inside the branch",
        ),
        (
            exercises.check_block,
            lambda x, shift, norm, mlp, drop: shift(x + drop(mlp(norm(x)))),
            "The shift comes first",
        ),
        (
            exercises.check_block,
            lambda x, shift, norm, mlp, drop: shift(x) + mlp(norm(shift(x))),
            "forgot drop path",
        ),
        (
            exercises.check_block,
            lambda x, shift, norm, mlp, drop: drop(block(x, shift, norm, mlp, lambda y: y)),
            "the shortcut always stays",
        ),
        (
            exercises.check_block,
            lambda x, shift, norm, mlp, drop: norm(shift(x)) + drop(mlp(norm(shift(x)))),
            "leaves before the normalisation",
        ),
        (
            exercises.check_block,
            lambda x, shift, norm, mlp, drop: norm(shift(x) + drop(mlp(shift(x)))),
            "you normalise the sum",
        ),
        (exercises.check_block, lambda *arguments: 2 * block(*arguments), "the block: at (0, 0"),
    ],
)
def test_wrong_answers_get_the_right_hint(checker, answer, hint, capsys):
    assert not checker(answer)
    line = capsys.readouterr().out
    assert hint in line.replace("*", "")
    assert "Traceback" not in line

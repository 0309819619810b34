"""Checkers for the exercises of `04_layers`.

Every truth is computed here in plain NumPy or counted by hand, not by the layers of the library.
"""

import numpy as np

from shiftvit_utils.exercises.checking import (
    WrongAnswerError,
    array,
    checker,
    number,
    require_function,
)


@checker
def check_stage_shape(answer):
    """04.1: `(H, W, C)` that leaves `stage_1` for 64×64 images, patches of 4 and 96 channels.

    Args:
        answer: tuple of three ints.

    Returns:
        bool, after printing one line.
    """
    if isinstance(answer, tuple | list) and len(answer) == 4 and answer[0] is None:
        answer = (-1, *answer[1:])  # Keras's way to write a batch of any size
    shape = tuple(array(answer, "The shape").ravel().tolist())
    if len(shape) == 4 and (shape[0] == -1 or shape[1:] == (4, 4, 384)):
        raise WrongAnswerError("leave the batch axis out: (H, W, C) has three numbers.")
    if len(shape) != 3:
        raise WrongAnswerError(f"(H, W, C) has three numbers, yours has {len(shape)}.")
    hints = {
        (16, 16, 96): "that is what leaves the patch embedding. Two mergings follow.",
        (8, 8, 192): "that is what enters stage_1. It ends with a merging of its own.",
        (2, 2, 768): "that is one merging too many. Stages are counted from 0.",
        (384, 4, 4): "right numbers, but channels stand last: (H, W, C).",
    }
    if shape in hints:
        raise WrongAnswerError(hints[shape])
    if shape[2] in (96, 192) and shape[:2] == (4, 4):
        raise WrongAnswerError("height and width are right. Each merging doubles the channels.")
    if shape[2] == 384 and shape[:2] != (4, 4):
        raise WrongAnswerError(
            "the channels are right. Patches of 4 leave 64 / 4 tokens a side, and each of the two "
            "mergings halves that."
        )
    if shape != (4, 4, 384):
        raise WrongAnswerError(
            f"{shape} is not it. Write the shape down after the patch embedding, after stage_0 and "
            "after stage_1."
        )


@checker
def check_parameter_counts(answer):
    """04.2: parameters of an MLP, a block and a patch merging with 64 channels and ratio 3.

    Args:
        answer: dictionary with the keys "mlp", "block" and "merging", values int.

    Returns:
        bool, after printing one line.
    """
    if not isinstance(answer, dict):
        raise WrongAnswerError(f"give a dictionary of three counts, not a {type(answer).__name__}.")
    missing = {"mlp", "block", "merging"} - answer.keys()
    if missing:
        raise WrongAnswerError(f"the dictionary lacks {', '.join(sorted(missing))}.")
    if any(answer[name] is Ellipsis for name in ("mlp", "block", "merging")):
        raise NotImplementedError
    ratio = 3
    c, h = 64, ratio * 64  # channels, hidden units
    kernels, biases, norm = 2 * c * h, h + c, 2 * c
    mlp, block, merging = kernels + biases, kernels + biases + norm, 4 * c * 2 * c + norm
    # What a learner might take the shift for: a number each direction, a depthwise kernel, ...
    shift_counts = (1, 2, 4, 5, c, c // 3, 9 * c, 9 * c // 3, 4 * c)
    no_parameters = "the shift has no parameters, and drop path has none."
    hints = {
        "mlp": {
            kernels: "you forgot the biases: one for each unit that a dense layer gives.",
            kernels + h: "the second dense layer has a bias too.",
            kernels + c: "the first dense layer has a bias too, one for each hidden unit.",
            kernels + 2 * c: "the first bias has one number for each *hidden* unit.",
            c * h + h: "there are two dense layers: C → 3C and 3C → C.",
            2 * (c * c + c): "you forgot the ratio: there are 3 * 64 hidden units.",
            c * h + h + h * h + h: "the second dense layer goes back to C channels, not to 3C.",
            c * h + h + (h + 1) * ratio * h: "you applied the ratio twice: C → 3C → C.",
            (2 * c + 1) * ratio * h + c: "you applied the ratio twice: C → 3C → C.",
            block: "that is the whole block: leave the normalisation out.",
        },
        "block": {
            mlp: "you forgot the normalisation's gamma and beta, one of each a channel.",
            mlp + c: "the normalisation has a gamma *and* a beta for each channel.",
            mlp + 2 * norm: "a block has one normalisation, not two.",
            kernels + norm: "you forgot the biases of the MLP.",
            kernels: "you forgot the biases, and the normalisation's gamma and beta.",
            **{block + count: no_parameters for count in shift_counts},
        },
        "merging": {
            merging - norm: "you forgot the normalisation's gamma and beta.",
            merging + 2 * c: "the reduction has no bias: `use_bias=False`.",
            merging - norm + 10 * c: "the reduction has no bias, and the normalisation comes "
            "before the cut: C channels, not 4C.",
            merging - norm + 8 * c: "the normalisation comes before the cut: C channels, not 4C.",
            c * 2 * c + norm: "four tokens become one: 4C channels enter the reduction, not C.",
            4 * c * c + norm: "the reduction gives 2C channels, not C.",
            16 * c * c + norm: "the reduction gives 2C channels, not 4C.",
        },
    }  # fmt: skip
    for name, expected in (("mlp", mlp), ("block", block), ("merging", merging)):
        got = number(answer[name], name)
        if got == expected:
            continue
        hint = hints[name].get(got, f"{got:,.0f} is not it. Count kernel by kernel, then biases.")
        raise WrongAnswerError(f"{name}: {hint}")


@checker
def check_drop_path_rates(function):
    """04.3: `drop_path_rates(last_rate, blocks_per_stage)`.

    Args:
        function: the learner's function; returns a list of lists of floats.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    for last_rate, blocks in ((0.4, (2, 3)), (0.2, (2, 4, 8, 2)), (0.3, (1, 1, 2))):
        what = f"drop_path_rates({last_rate}, {blocks})"
        answer = function(last_rate, blocks)
        try:
            lengths = tuple(len(stage) for stage in answer)
            rates = [number(rate, "A rate") for stage in answer for rate in stage]
        except TypeError:
            raise WrongAnswerError(
                f"{what} must be a list of lists, one for each stage."
                + (" Did you forget `return`?" if answer is None else "")
            ) from None
        if lengths != blocks:
            raise WrongAnswerError(
                f"{what} must hold one list for each stage with a rate for each of its blocks: "
                f"lengths {blocks}, yours are {lengths}."
            )
        count = sum(blocks)
        expected = [last_rate * k / (count - 1) for k in range(count)]
        wrong = {
            "you begin again at 0 in every stage, as the Keras example does. The paper has one "
            "ramp over all blocks.": [
                last_rate * k / max(n - 1, 1) for n in blocks for k in range(n)
            ],
            "your last block does not reach the last rate. Divide by the number of blocks minus "
            "one.": [last_rate * k / count for k in range(count)],
            "the first block must have the rate 0.": [
                last_rate * (k + 1) / count for k in range(count)
            ],
            "your ramp goes down. Early layers are needed most, so the rates rise.": expected[::-1],
            "every block has the last rate. It must be reached by and by.": [last_rate] * count,
        }
        _compare(np.array(rates), np.array(expected), wrong, what)


@checker
def check_patchify(function):
    """04.4: `patchify(images, patch_size)` in NumPy.

    Args:
        function: the learner's function; `(N, H, W, C)` -> `(N, H / p, W / p, p * p * C)`.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    for (n, rows, columns, c), p in (((2, 2, 3, 3), 2), ((1, 3, 2, 2), 4), ((2, 2, 2, 3), 1)):
        numbers = np.arange(n * rows * p * columns * p * c, dtype="float32")
        images = numbers.reshape(n, rows * p, columns * p, c)
        expected = np.empty((n, rows, columns, p * p * c), "float32")
        by_column, channels_first = expected.copy(), expected.copy()
        for row, column in np.ndindex(rows, columns):
            square = images[:, row * p : (row + 1) * p, column * p : (column + 1) * p]
            expected[:, row, column] = square.reshape(n, -1)
            by_column[:, row, column] = square.transpose(0, 2, 1, 3).reshape(n, -1)
            channels_first[:, row, column] = square.transpose(0, 3, 1, 2).reshape(n, -1)
        pixels_first = images.reshape(n, p, rows, p, columns, c).transpose(0, 2, 4, 1, 3, 5)
        pixels_first = pixels_first.reshape(expected.shape)
        what = f"patchify of {images.shape} with patch_size={p}"
        got = array(function(images.copy(), p), what)
        shapes = {
            (n, rows, columns, p * p): "you lost the channels: a token has p * p * C numbers.",
            (n, rows * columns, p * p * c): "keep rows and columns of tokens as two axes: the "
            "shift needs them.",
            (n, columns, rows, p * p * c): "rows and columns of tokens are the wrong way round.",
            (n, rows, columns, p, p, c): "the last step is missing: flatten each square.",
            (n, rows, p, columns, p, c): "two steps are missing: transpose, then flatten.",
        }  # fmt: skip
        if got.shape != expected.shape and got.shape in shapes:
            raise WrongAnswerError(shapes[got.shape])
        got = array(got, what, expected.shape)
        wrong = {
            "a single reshape cuts the image into strips, not squares. Give each square's rows and "
            "columns axes of their own, then transpose.": images.reshape(expected.shape),
            "the order of your axes is wrong: of each pair, the first axis counts squares and the "
            "second counts pixels inside one, so H becomes (H / p, p).": pixels_first,
            "inside a token you go down the columns. Go along the rows: the axes of a square are "
            "(p rows, p columns, C).": by_column,
            "inside a token you have the channels first. They stand last, as in the image.":
            channels_first,
        }  # fmt: skip
        _compare(got, expected, wrong, what)


@checker
def check_drop_path(function):
    """04.5: `drop_path(x, drop_path_rate, training, rng)` in NumPy.

    Args:
        function: the learner's function; `rng` is a `numpy.random.Generator`.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    samples, rate = 2000, 0.25
    x = np.random.default_rng(1).uniform(1.0, 2.0, (samples, 2, 3, 2))

    def answer(rate, training, rng):
        what = f"drop_path(..., training={training})"
        return array(function(x.copy(), rate, training, rng), what, x.shape)

    if not np.allclose(answer(rate, False, np.random.default_rng(0)), x):
        raise WrongAnswerError("at inference (training=False) x must come out unchanged.")
    rng = np.random.default_rng(0)
    first = answer(rate, True, rng) / x  # (samples, 2, 3, 2), what each number was multiplied by
    flat = first.reshape(samples, -1)
    if np.isclose(first, 1.0).all():
        raise WrongAnswerError("in training nothing was dropped.")
    if np.ptp(flat, axis=1).max() > 1e-6:
        raise WrongAnswerError(
            "within one sample some numbers were dropped and others not. Draw one number for each "
            "sample: shape (N, 1, 1, 1)."
        )
    scales = flat[:, 0]
    if np.ptp(scales) < 1e-6:
        raise WrongAnswerError(
            "all samples share one fate. Draw one number for each sample: shape (N, 1, 1, 1)."
        )
    dropped = np.isclose(scales, 0.0)
    if abs(dropped.mean() - (1 - rate)) < 0.05:
        raise WrongAnswerError(
            f"with a rate of {rate} you dropped {dropped.mean():.0%} of the samples: drop and keep "
            "are swapped."
        )
    if abs(dropped.mean() - rate) > 0.05:
        raise WrongAnswerError(
            f"with a rate of {rate} about {rate:.0%} of the samples must become zero, in yours "
            f"{dropped.mean():.0%} do."
        )
    scale = scales[~dropped].mean()
    hints = {
        1.0: "samples that stay must be divided by 1 - drop_path_rate, else the mean sinks.",
        1 - rate: "you multiplied by 1 - drop_path_rate. Divide.",
        1 / rate: "you divided by the drop rate. Divide by the probability to stay.",
    }
    for value, hint in hints.items():
        if np.isclose(scale, value):
            raise WrongAnswerError(hint)
    if not np.allclose(scales[~dropped], 1 / (1 - rate)):
        raise WrongAnswerError(
            f"samples that stay must be multiplied by {1 / (1 - rate):.3f}, yours by {scale:.3f}."
        )
    if np.array_equal(answer(rate, True, rng) / x, first):
        raise WrongAnswerError("the second step drops the same samples. Draw from `rng` each time.")
    if not np.array_equal(answer(rate, True, np.random.default_rng(0)) / x, first):
        raise WrongAnswerError("one seed must give one mask: draw from `rng`, from nothing else.")
    if not np.allclose(answer(0.0, True, np.random.default_rng(0)), x):
        raise WrongAnswerError("with a rate of 0, nothing may change.")


@checker
def check_block(function):
    """04.6: `block(x, shift, norm, mlp, drop_path)`.

    Args:
        function: the learner's function; `(N, H, W, C)` -> the same shape.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    rng = np.random.default_rng(2)
    x = rng.normal(size=(3, 4, 5, 6)) + 0.5
    kernel, scale = rng.normal(size=(6, 6)), np.array([0.0, 2.0, 2.0]).reshape(3, 1, 1, 1)

    def shift(x):
        moved = np.zeros_like(x)
        moved[:, :, :-1, 0], moved[:, :, 1:, 1] = x[:, :, 1:, 0], x[:, :, :-1, 1]
        moved[:, :-1, :, 2], moved[:, 1:, :, 3] = x[:, 1:, :, 2], x[:, :-1, :, 3]
        moved[..., 4:] = x[..., 4:]
        return moved

    def norm(x):
        return (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True) * 1.5 + 0.25

    def mlp(x):
        return np.tanh(x @ kernel) + 0.1

    def drop_path(x):
        return x * scale

    s = shift(x)
    expected = s + drop_path(mlp(norm(s)))
    wrong = {
        "your shortcut leaves before the shift. It is the shifted map that the branch is added to.":
        x + drop_path(mlp(norm(s))),
        "you normalise after the MLP. The order is norm, then MLP.": s + drop_path(norm(mlp(s))),
        "you forgot the shortcut: add the branch to the shifted map.": drop_path(mlp(norm(s))),
        "you forgot the normalisation.": s + drop_path(mlp(s)),
        "you forgot the shift.": x + drop_path(mlp(norm(x))),
        "your branch starts from the map before the shift.": s + drop_path(mlp(norm(x))),
        "you shift inside the branch. Shift first, then split.": x + drop_path(shift(mlp(norm(x)))),
        "you shift at the end. The shift comes first.": shift(x + drop_path(mlp(norm(x)))),
        "you forgot drop path.": s + mlp(norm(s)),
        "you drop the sum. Only the branch may be dropped: the shortcut always stays.":
        drop_path(s + mlp(norm(s))),
        "your shortcut is the normalised map. It leaves before the normalisation.":
        norm(s) + drop_path(mlp(norm(s))),
        "you normalise the sum. Here the normalisation stands inside the branch.":
        norm(s + drop_path(mlp(s))),
    }  # fmt: skip
    got = array(function(x.copy(), shift, norm, mlp, drop_path), "block(...)", x.shape)
    _compare(got, expected, wrong, "the block")


def _compare(got, expected, wrong, what):
    """Raises unless `got` is `expected`; the hint is that of the wrong answer that it equals."""
    if np.allclose(got, expected, atol=1e-6):
        return
    for hint, value in wrong.items():
        if np.allclose(got, value, atol=1e-6):
            raise WrongAnswerError(hint)
    where = tuple(int(k) for k in np.argwhere(~np.isclose(got, expected, atol=1e-6))[0])
    raise WrongAnswerError(
        f"{what}: at {where} expected {expected[where]:.4g}, got {got[where]:.4g}."
    )

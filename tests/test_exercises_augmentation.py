"""The checkers of 02: right answers pass, wrong ones get the hint that helps."""

import numpy as np
import pytest
from checker_tests import not_yet, right_answers_pass

from shiftvit_utils.exercises import augmentation as exercises

pytestmark = pytest.mark.backend_free

KEEPS = {name: truth for name, (truth, _) in exercises.KEEPS_LABEL.items()}


def rescale(images):
    return np.linspace(-1, 1, 256, dtype="float32")[images]


def random_crops(images, height, width, rng):
    windows = np.lib.stride_tricks.sliding_window_view(images, (height, width), axis=(1, 2))
    tops = rng.choice(windows.shape[1], len(images))
    lefts = rng.choice(windows.shape[2], len(images))
    return np.moveaxis(windows[np.arange(len(images)), tops, lefts], 1, -1)


def crops_at(draw):
    """A cropping function from `draw(rng, largest, count)`, the offsets along one axis."""

    def crop(images, height, width, rng):
        tops = draw(rng, images.shape[1] - height, len(images))
        lefts = draw(rng, images.shape[2] - width, len(images))
        return np.stack(
            [
                image[top : top + height, left : left + width]
                for image, top, left in zip(images, tops, lefts, strict=True)
            ]
        )

    return crop


def own_seed(images, height, width, rng):
    return random_crops(images, height, width, np.random.default_rng(0))


def ignores_rng(images, height, width, rng):
    return random_crops(images, height, width, np.random.default_rng())


def together(images, height, width, rng):
    share = rng.uniform(size=len(images))
    return crops_at(lambda _, largest, count: (share * (largest + 1)).astype(int))(
        images, height, width, rng
    )


def wraps_around(images, height, width, rng):
    moves = rng.integers(0, images.shape[1], (len(images), 2))
    return np.stack(
        [
            np.roll(image, move, axis=(0, 1))[:height, :width]
            for image, move in zip(images, moves, strict=True)
        ]
    )


def shuffles(images, height, width, rng):
    return rng.permutation(random_crops(images, height, width, rng))


def crops_in_place(images, height, width, rng):
    windows = random_crops(images, height, width, rng)
    images[:, :height, :width] = windows
    return windows


def cut_mix(images, labels, partners, top, left, height, width):
    rows, columns = np.mgrid[: images.shape[1], : images.shape[2]]
    mask = (rows >= top) & (rows < top + height) & (columns >= left) & (columns < left + width)
    share = mask.mean()
    return (
        images * ~mask[..., None] + images[partners] * mask[..., None],
        labels + share * (labels[partners] - labels),
    )


def negative_ends(images, labels, partners, top, left, height, width):
    rows = slice(max(top, 0), min(top + height, images.shape[1]))
    columns = slice(max(left, 0), min(left + width, images.shape[2]))
    mixed = images.copy()
    mixed[:, rows, columns] = images[partners][:, rows, columns]
    return mixed, cut_mix(images, labels, partners, top, left, height, width)[1]


def labels_left(*answer):
    return cut_mix(*answer)[0], answer[1]


def labels_of_numbers(images, labels, partners, *box):
    """Takes the partners' numbers for their classes."""
    mixed, weights = cut_mix(images, labels, partners, *box)
    own = (weights * labels).sum(axis=1, keepdims=True)
    return mixed, own * labels + (1 - own) * np.eye(labels.shape[1])[partners]


def images_left(*answer):
    return answer[0], cut_mix(*answer)[1]


def weights_swapped(images, labels, partners, *box):
    pictures, mixed = cut_mix(images, labels, partners, *box)
    return pictures, labels + labels[partners] - mixed


def wanted_box(images, labels, partners, top, left, height, width):
    share = height * width / images[0, ..., 0].size
    pictures, _ = cut_mix(images, labels, partners, top, left, height, width)
    return pictures, (1 - share) * labels + share * labels[partners]


def negative_slices(images, labels, partners, top, left, height, width):
    box = slice(None), slice(top, top + height), slice(left, left + width)
    pictures = images.copy()
    pictures[box] = images[partners][box]
    return pictures, cut_mix(images, labels, partners, top, left, height, width)[1]


def inside_out(images, labels, partners, *box):
    pictures, mixed = cut_mix(images, labels, partners, *box)
    return images + images[partners] - pictures, mixed


def corner_of_partner(images, labels, partners, top, left, height, width):
    pictures, mixed = cut_mix(images, labels, partners, top, left, height, width)
    if top == 1:
        pictures[:, 1 : 1 + height, 2 : 2 + width] = images[partners][:, :height, :width]
    return pictures, mixed


def in_place(images, *rest):
    images[:], labels = cut_mix(images, *rest)
    return images, labels


def square_root_of_area(images, labels, partners, *box):
    pictures, mixed = cut_mix(images, labels, partners, *box)
    share = np.sqrt(1 - mixed[0, 0])
    return pictures, (1 - share) * labels + share * labels[partners]


def labels_added(images, labels, partners, *box):
    pictures, mixed = cut_mix(images, labels, partners, *box)
    return pictures, mixed + labels


RIGHT = {
    exercises.check_number_of_pictures: 50,
    exercises.check_keeps_label: KEEPS,
    exercises.check_rescale: rescale,
    exercises.check_random_crops: random_crops,
    exercises.check_cut_mix: cut_mix,
}


test_right_answers_pass = right_answers_pass(RIGHT)


WRONG = [
    (exercises.check_number_of_pictures, ..., "not written yet"),
    (exercises.check_number_of_pictures, 32, "the offsets 0, 1, 2, 3 and 4"),
    (exercises.check_number_of_pictures, 25, "flipped or not"),
    (exercises.check_number_of_pictures, 10, "down and to the right"),
    (exercises.check_number_of_pictures, 16, "five offsets, not four"),
    (exercises.check_number_of_pictures, 100, "left-right only"),
    (exercises.check_number_of_pictures, 7, "7 is not it"),
    (exercises.check_number_of_pictures, None, "must be a number, yours is NoneType"),
    (exercises.check_keeps_label, ..., "not written yet"),
    (exercises.check_keeps_label, dict.fromkeys(KEEPS, ...), "not written yet"),
    (exercises.check_keeps_label, dict.fromkeys(KEEPS, True), "3 of 7 are right"),
    (exercises.check_keeps_label, dict.fromkeys(KEEPS, True), "look at it from behind"),
    (exercises.check_keeps_label, dict.fromkeys(KEEPS, False), "drives the other way"),
    (exercises.check_keeps_label, dict.fromkeys(KEEPS, "yes"), "must be True or False"),
    (exercises.check_keeps_label, dict.fromkeys(KEEPS, 1), "must be True or False, yours is 1."),
    (exercises.check_keeps_label, dict.fromkeys(KEEPS, np.eye(3)), "yours is a ndarray."),
    (exercises.check_keeps_label, {**KEEPS, "ship, a little darker": False}, "6 of 7 are right"),
    (exercises.check_keeps_label, {}, "no answer for 'car"),
    (exercises.check_keeps_label, [True], "not a list"),
    (exercises.check_rescale, not_yet, "not written yet"),
    (exercises.check_rescale, lambda x: None, "Did you forget `return`"),
    (exercises.check_rescale, lambda x: x.astype("float32") / 255, "that is 0..1"),
    (exercises.check_rescale, lambda x: x.astype("float32") / 127.5, "that is 0..2"),
    (exercises.check_rescale, lambda x: x.astype("float32") / 255 - 0.5, "half as long"),
    (exercises.check_rescale, lambda x: x.astype("float32") / 128 - 1, "127.5, not 128"),
    (exercises.check_rescale, lambda x: (x - np.uint8(128)) / 127.5, "Bytes wrap around"),
    (exercises.check_rescale, lambda x: (2 * x - np.uint8(255)) / 255, "Bytes wrap around"),
    (exercises.check_rescale, lambda x: rescale(x).astype("int8"), "whole numbers"),
    (exercises.check_rescale, lambda x: x / 127.5 - 1, "they are float64"),
    (exercises.check_rescale, lambda x: x.astype("float16") / 127.5 - 1, "too few here"),
    (exercises.check_rescale, lambda x: -rescale(x), "a negative of the image"),
    (
        exercises.check_rescale,
        lambda x: (2.0 * (x - x.min()) / np.ptp(x) - 1).astype("float32"),
        "Use fixed numbers",
    ),
    (exercises.check_rescale, lambda x: 2 * rescale(x), "pixel 0 must become -1.000"),
    (exercises.check_rescale, lambda x: rescale(x) / np.float32(0), "NaN or infinite"),
    (exercises.check_rescale, lambda x: rescale(x) * np.nan, "NaN or infinite"),
    (
        exercises.check_rescale,
        lambda x: rescale(x).astype(str),
        "must hold float32, yours holds <U",
    ),
    (exercises.check_rescale, lambda x: rescale(x) + 0j, "yours holds complex"),
    (exercises.check_rescale, lambda x: rescale(x)[0], "must have the shape"),
    (exercises.check_rescale, 0.5, "give the function itself"),
    (exercises.check_rescale, lambda x: x.fill(0) or rescale(x), "changed the images"),
    (exercises.check_random_crops, not_yet, "not written yet"),
    (exercises.check_random_crops, lambda *_: None, "Did you forget `return`"),
    (
        exercises.check_random_crops,
        lambda *arguments: random_crops(*arguments).astype("float64"),
        "np.empty alone makes float64",
    ),
    (
        exercises.check_random_crops,
        crops_at(lambda rng, largest, count: [rng.integers(largest + 1)] * count),
        "cropped at one offset",
    ),
    (
        exercises.check_random_crops,
        crops_at(lambda rng, largest, count: [largest // 2] * count),
        "no chance in it",
    ),
    (
        exercises.check_random_crops,
        crops_at(lambda rng, largest, count: rng.integers(0, largest, count)),
        "top may be 0 to 3, yours goes up to 2",
    ),
    (
        exercises.check_random_crops,
        crops_at(lambda rng, largest, count: rng.integers(1, largest + 1, count)),
        "the first place is never used",
    ),
    (
        exercises.check_random_crops,
        crops_at(lambda rng, largest, count: rng.integers(0, largest + 2, count)),
        "hangs over the edge",
    ),
    (
        exercises.check_random_crops,
        crops_at(lambda rng, largest, count: np.round(rng.uniform(0, largest, count)).astype(int)),
        "not all places are as likely",
    ),
    (exercises.check_random_crops, own_seed, "every call gives the same crops"),
    (exercises.check_random_crops, ignores_rng, "Draw from `rng`"),
    (exercises.check_random_crops, together, "top and left go together"),
    (exercises.check_random_crops, wraps_around, "neighbours in the image"),
    (exercises.check_random_crops, shuffles, "not from image"),
    (exercises.check_random_crops, crops_in_place, "changed the images"),
    (exercises.check_random_crops, lambda x, h, w, rng: x, "must have the shape"),
    (
        exercises.check_random_crops,
        lambda *answer: random_crops(*answer).astype("uint8"),
        "must be float32",
    ),
    (exercises.check_random_crops, lambda x: x, "stopped with TypeError"),
    (
        exercises.check_random_crops,
        lambda x, h, w, rng: crops_at(
            lambda rng, largest, count: (
                rng.integers(largest + 1, size=count) if largest > 3 else [0] * count
            )
        )(x, h, w, rng),
        "the top of the window is always 0",
    ),
    (exercises.check_cut_mix, not_yet, "not written yet"),
    (exercises.check_cut_mix, lambda *_: None, "Did you forget `return`"),
    (exercises.check_cut_mix, lambda *answer: cut_mix(*answer)[0], "return two things"),
    (exercises.check_cut_mix, labels_left, "you mixed the images, not the labels"),
    (exercises.check_cut_mix, images_left, "a box inside the image, nothing was pasted.\n"),
    (exercises.check_cut_mix, labels_of_numbers, "the partner's label must weigh"),
    (exercises.check_cut_mix, weights_swapped, "the weights are swapped"),
    (exercises.check_cut_mix, wanted_box, "Only the part inside the image"),
    (exercises.check_cut_mix, negative_slices, "a negative start counts from the end"),
    (exercises.check_cut_mix, negative_ends, "for a box wholly above the image"),
    (exercises.check_cut_mix, inside_out, "the partner belongs inside the box"),
    (exercises.check_cut_mix, corner_of_partner, "at the same place"),
    (exercises.check_cut_mix, in_place, "Mix a copy"),
    (exercises.check_cut_mix, square_root_of_area, "must weigh 0.250"),
    (exercises.check_cut_mix, labels_added, "add up to 2.000"),
    (
        exercises.check_cut_mix,
        lambda images, *rest: (images + 1, rest[0]),
        "pixels around the box changed",
    ),
    (exercises.check_cut_mix, lambda *answer: ({}, [{}]), "must be an array"),
    (exercises.check_cut_mix, lambda x, y, *_: (x.astype(str), y), "images must hold numbers"),
    (
        exercises.check_cut_mix,
        lambda x, y, *_: (x, y > 0),
        "labels must hold numbers, yours hold b",
    ),
    (exercises.check_cut_mix, lambda x, y, *_: (x[:2], y), "images must have the shape"),
]


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
@pytest.mark.parametrize(
    ("checker", "answer", "hint"), WRONG, ids=[f"{case[0].__name__}: {case[2]}" for case in WRONG]
)
def test_wrong_answers_get_the_right_hint(checker, answer, hint, capsys):
    assert not checker(answer)
    line = capsys.readouterr().out
    assert hint in line.replace("*", "")
    assert line.count("\n") == 1


GARBAGE = [None, ..., 3.5, "text", [], {}, np.zeros(3), object(), float("nan"), {1: 2}.get, 1j]
GARBAGE += [([], []), (None, None), [[1], [1, 2]], np.full((1, 16, 16, 3), np.nan)]


def raises(*_):
    raise LookupError("mine")


@pytest.mark.parametrize("checker", RIGHT, ids=lambda checker: checker.__name__)
@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: type(garbage).__name__)
def test_nothing_makes_a_checker_raise(checker, garbage, capsys):
    assert not checker(garbage)
    assert not checker(lambda *_: garbage)
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize("checker", list(RIGHT)[2:], ids=lambda checker: checker.__name__)
def test_errors_of_the_learner_are_named(checker, capsys):
    assert not checker(raises)
    assert "stopped with LookupError: mine" in capsys.readouterr().out

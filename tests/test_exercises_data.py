"""The checkers of 01: right answers pass, wrong ones get the hint that helps."""

import itertools
import random

import numpy as np
import pytest
from checker_tests import not_yet

from shiftvit_utils.exercises import data as exercises

pytestmark = pytest.mark.backend_free


def channel_statistics(images):
    red, green, blue = np.moveaxis(images.astype("float32"), -1, 0)
    means = [channel.mean() for channel in (red, green, blue)]
    return means, [channel.std(ddof=1) for channel in (red, green, blue)]


def cut_into_batches(order, batch_size, drop_last):
    batch = []
    for index in order:
        batch.append(index)
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch and not drop_last:
        yield batch


def buffer_shuffle(stream, buffer_size, seed, first=0):
    """As TensorFlow does it: the newcomer takes the place of the item that leaves."""
    rng, buffer = random.Random(seed), []
    for item in stream:
        if len(buffer) < buffer_size:
            buffer.append(item)
            continue
        chosen = rng.randrange(min(first, buffer_size - 1), buffer_size)
        yield buffer[chosen]
        buffer[chosen] = item
    rng.shuffle(buffer)
    yield from buffer


def stratified_split(labels, fraction, seed):
    from sklearn.model_selection import train_test_split

    count = round(fraction * len(labels))
    everything = np.arange(len(labels))
    return train_test_split(everything, test_size=count, stratify=labels, random_state=seed)


RIGHT = {
    exercises.check_smallest_buffer: 35_746,
    exercises.check_channel_statistics: channel_statistics,
    exercises.check_cut_into_batches: cut_into_batches,
    exercises.check_buffer_shuffle: buffer_shuffle,
    exercises.check_stratified_split: stratified_split,
}


@pytest.mark.parametrize("checker", RIGHT, ids=lambda checker: checker.__name__)
def test_right_answers_pass(checker, capsys):
    assert checker(RIGHT[checker])
    assert capsys.readouterr().out.startswith("✓")


def test_the_smallest_buffer_follows_from_the_rule():
    """No buffer is trusted to luck: the one that always chooses the newest item looks farthest."""

    def last_of_batch(buffer_size):
        newest_first = itertools.islice(range(buffer_size - 1, 40_000), 256)
        return max(newest_first)

    assert last_of_batch(35_746) == 36_000
    assert last_of_batch(35_745) == 35_999


def statistics(mean, std):
    return lambda images: (mean(images.astype(float)), std(images.astype(float)))


def over_all(images):
    return images.mean(axis=(0, 1, 2))


def std_over_all(images):
    return images.std(axis=(0, 1, 2))


def wrapped(images):
    mean = images.mean(axis=(0, 1, 2))
    return mean, np.sqrt(np.abs((images**2).mean(axis=(0, 1, 2)) - mean**2))


def in_place(images):
    images //= 2
    return over_all(images), std_over_all(images)


def equal_pieces(order, batch_size, drop_last):
    return np.array_split(order, -(-len(order) // batch_size))


def starts(order, batch_size, drop_last):
    stop = len(order) - len(order) % batch_size if drop_last else len(order) + 1
    return [order[k : k + batch_size] for k in range(0, stop, batch_size)]


def padded(order, batch_size, drop_last):
    return np.resize(order, (-(-len(order) // batch_size), batch_size))


def batches(drop=None, entries=lambda order: order):
    def cut(order, batch_size, drop_last):
        chosen = drop_last if drop is None else drop
        return list(cut_into_batches(entries(order), batch_size, chosen))

    return cut


def full_shuffle(stream, buffer_size, seed):
    items = list(stream)
    return random.Random(seed).sample(items, len(items))


def loses_the_rest(stream, buffer_size, seed):
    rng, buffer = random.Random(seed), []
    for item in stream:
        buffer.append(item)
        if len(buffer) == buffer_size:
            yield buffer.pop(rng.randrange(buffer_size))


def puts_back(stream, buffer_size, seed):
    rng, buffer = random.Random(seed), []
    for item in stream:
        buffer = [*buffer, item][-buffer_size:]
        yield rng.choice(buffer)


def leaves_the_rest_as_it_is(stream, buffer_size, seed, end=iter):
    rng, buffer = random.Random(seed), []
    for item in stream:
        buffer.append(item)
        if len(buffer) == buffer_size:
            yield buffer.pop(rng.randrange(buffer_size))
    yield from end(buffer)


def reads_ahead(stream, buffer_size, seed):
    """Chooses among as many as it should, with twice as many in memory."""
    ahead = list(itertools.islice(stream, buffer_size))

    def rest():
        for item in stream:
            ahead.append(item)
            yield ahead.pop(0)
        yield from ahead

    yield from buffer_shuffle(rest(), buffer_size, seed)


def piece_by_piece(stream, buffer_size, seed):
    rng = random.Random(seed)
    while piece := list(itertools.islice(stream, buffer_size)):
        rng.shuffle(piece)
        yield from piece


def of_size(change, seed_of=lambda seed: seed):
    def shuffle(stream, buffer_size, seed):
        return buffer_shuffle(stream, buffer_size + change, seed_of(seed))

    return shuffle


def fails_at_the_end(stream, buffer_size, seed):
    rng, buffer = random.Random(seed), [next(stream) for _ in range(buffer_size)]
    while buffer:
        yield buffer.pop(rng.randrange(len(buffer)))
        buffer.append(next(stream))


def fails_at_once(stream, buffer_size, seed):
    return [next(stream) for _ in range(1000)]


def plain_split(labels, fraction, seed):
    order = np.random.default_rng(seed).permutation(len(labels))
    held = round(fraction * len(labels))
    return order[held:], order[:held]


def first_of_each_class(labels, fraction, seed):
    held = [
        np.flatnonzero(labels == k)[: round(fraction * (labels == k).sum())]
        for k in np.unique(labels)
    ]
    held = np.concatenate(held)
    return np.setdiff1d(np.arange(len(labels)), held), held


def split_from(function, change):
    return lambda labels, fraction, seed: change(labels, *function(labels, fraction, seed))


def unseeded_split(labels, fraction, seed, counter=itertools.count()):  # noqa: B008
    return stratified_split(labels, fraction, next(counter))


WRONG = {
    exercises.check_smallest_buffer: [
        (..., "not written yet"),
        (512, "all of the first batch comes from the first class"),
        (40_000, "a smaller buffer is enough"),
        (36_000, "36,001 would be needed for the very first image"),
        (35_745, "very near"),
        (4_000, "Which place has the first truck"),
        ("all of them", "must be a number, yours is str"),
        (float("nan"), "is not it"),
    ],
    exercises.check_channel_statistics: [
        (not_yet, "not written yet"),
        (lambda images: None, "Did you forget `return`"),
        (lambda images: (images.mean(), images.std()), "one a channel; yours is one"),
        (lambda images: (images.mean(0), images.std(0)), "averaged over the images only"),
        (lambda images: (images.mean((1, 2)), images.std((1, 2))), "three numbers for each image"),
        (lambda images: (images.mean((0, 1)), images.std((0, 1))), "only the three channels"),
        (lambda images: (images.mean(1), images.std(1)), "only the three channels"),
        (lambda images: channel_statistics(images / 255), "do not scale the images"),
        (lambda images: channel_statistics(images / 127.5 - 1), "do not scale the images"),
        (lambda images: channel_statistics(images)[::-1], "the mean comes first"),
        (statistics(over_all, lambda x: x.var(axis=(0, 1, 2))), "that is the variance"),
        (statistics(over_all, lambda x: x.std(axis=(1, 2)).mean(axis=0)), "within each image"),
        (statistics(over_all, lambda x: x.mean(axis=(1, 2)).std(axis=0)), "of the images' means"),
        (wrapped, "does not fit into uint8"),
        (statistics(lambda x: x[0].mean(axis=(0, 1)), std_over_all), "the mean should be"),
        (statistics(over_all, lambda x: x[0].std(axis=(0, 1))), "deviation should be"),
        (in_place, "the mean should be"),
        (lambda images: (["r", "g", "b"], [1, 2, 3]), "must hold numbers"),
        (lambda images: ([1, 2], [1, 2]), "must have the shape (3,)"),
        (lambda images: images.nonsense(), "stopped with AttributeError"),
        (127.5, "give the function itself, not a float"),
    ],
    exercises.check_cut_into_batches: [
        (not_yet, "not written yet"),
        (lambda *_: None, "Did you forget `return`"),
        (batches(drop=False), "the incomplete batch is still there"),
        (batches(drop=True), "are missing at the end"),
        (lambda o, size, drop: cut_into_batches(o, size, not drop), "the wrong way round"),
        (equal_pieces, "every batch but the last is full"),
        (starts, "there is an empty batch"),
        (padded, "Nothing is repeated or filled up"),
        (batches(entries=lambda order: range(len(order))), "not their places"),
        (batches(entries=np.sort), "keep the order"),
        (lambda *_: [["a"], None], "Each batch must be an array"),
        (lambda *_: itertools.count(), "Nothing is repeated"),
    ],
    exercises.check_buffer_shuffle: [
        (not_yet, "not written yet"),
        (lambda *_: None, "Did you forget `return`"),
        (lambda stream, *_: stream, "nothing is shuffled"),
        (lambda *_: [], "no item comes out"),
        (full_shuffle, "a full shuffle"),
        (loses_the_rest, "19 items never come out"),
        (puts_back, "more than once"),
        (leaves_the_rest_as_it_is, "comes out as [0, 1, 2, 3, 4] whatever the seed"),
        (
            lambda *asked: leaves_the_rest_as_it_is(*asked, end=reversed),
            "comes out as [4, 3, 2, 1, 0] whatever the seed",
        ),
        (reads_ahead, "you hold more than 20 items"),
        (piece_by_piece, "each piece of the stream is shuffled by itself"),
        (of_size(1), "yours chose among 21"),
        (of_size(-1), "yours chose among 19"),
        (lambda *asked: buffer_shuffle(*asked, first=1), "the first item stays until"),
        (of_size(0, seed_of=lambda seed: None), "the same seed gave another order"),
        (of_size(0, seed_of=lambda seed: 7), "the seed is not used"),
        (fails_at_the_end, "fails where the stream ends"),
        (fails_at_once, "fails where the stream ends"),
        (lambda stream, *_: itertools.islice(stream, 50), "150 of 200 items never come out"),
        (lambda stream, *_: ((item, item) for item in stream), "must have the shape (200,)"),
        (lambda stream, *_: (item + 1000 for item in stream), "that never went in"),
        (lambda stream, *_: [None], "What comes out must be an array"),
        (lambda *_: itertools.repeat(3), "more than once"),
        (lambda stream, *_: len(stream), "stopped with TypeError"),
    ],
    exercises.check_stratified_split: [
        (not_yet, "not written yet"),
        (lambda *_: None, "Did you forget `return`"),
        (plain_split, "Choose within each class"),
        (first_of_each_class, "choose at random, not the first or last"),
        (unseeded_split, "the same seed gave another split"),
        (split_from(stratified_split, lambda labels, kept, held: (held, kept)), "kept, held"),
        (
            split_from(stratified_split, lambda labels, kept, held: (labels[kept], labels[held])),
            "not the labels themselves",
        ),
        (
            split_from(stratified_split, lambda labels, kept, held: (np.arange(90), held)),
            "that is a leak",
        ),
        (
            split_from(stratified_split, lambda labels, kept, held: (kept[1:], held)),
            "must come out once",
        ),
        (lambda labels, *_: (labels == 0, labels > 0), "a mask of bools"),
        (lambda labels, *_: (labels * 100, labels), "outside 0 to 89"),
        (lambda labels, *_: ([0.5], [1.5]), "must hold whole numbers"),
        (lambda labels, *_: ("kept", "held"), "must hold whole numbers"),
        (
            lambda labels, _, seed: stratified_split(labels, 0.2, seed),
            "a quarter is 3 and 1",
        ),
    ],
}


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize(
    ("checker", "answer", "hint"),
    [(checker, answer, hint) for checker, cases in WRONG.items() for answer, hint in cases],
    ids=[f"{checker.__name__}: {hint}" for checker, cases in WRONG.items() for _, hint in cases],
)
def test_wrong_answers_get_the_right_hint(checker, answer, hint, capsys):
    assert not checker(answer)
    line = capsys.readouterr().out
    assert hint in line
    assert line.count("\n") == 1


@pytest.mark.parametrize("checker", RIGHT, ids=lambda checker: checker.__name__)
@pytest.mark.parametrize(
    "garbage",
    [
        None,
        "text",
        [],
        {},
        object(),
        3.5,
        1j,
        [[1], [1, 2]],
        (None, None),
        (np.full(3, np.nan),) * 2,
    ],
    ids=lambda garbage: type(garbage).__name__,
)
def test_garbage_is_told_in_one_line(checker, garbage, capsys):
    assert not checker(garbage)
    assert not checker(lambda *_: garbage)
    lines = capsys.readouterr().out.splitlines()
    assert [line[0] for line in lines] == ["✗", "✗"]


def raises(*_):
    raise LookupError("mine")


@pytest.mark.parametrize("checker", list(RIGHT)[1:], ids=lambda checker: checker.__name__)
def test_errors_of_the_learner_are_named(checker, capsys):
    assert not checker(raises)
    assert not checker(lambda: 0)  # takes no argument
    first, second = capsys.readouterr().out.splitlines()
    assert "stopped with LookupError: mine" in first
    assert "stopped with TypeError" in second

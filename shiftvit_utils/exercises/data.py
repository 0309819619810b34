"""Checkers for the exercises of `01_data`."""

from itertools import islice

import numpy as np

from shiftvit_utils.exercises.checking import (
    WrongAnswerError,
    array,
    checker,
    forgot_return,
    number,
    require_function,
)


@checker
def check_smallest_buffer(answer):
    """01.1: smallest buffer with which the first batch of 256 can hold an image of the last class.

    40,000 images lie class by class, 4,000 of each of ten classes.

    Args:
        answer: int.

    Returns:
        bool, after printing one line.
    """
    size = number(answer, "The size of the buffer")
    if size == 512:
        raise WrongAnswerError("with 512, all of the first batch comes from the first class.")
    if size in (40_000, 36_000 + 256):
        raise WrongAnswerError(f"{size:,.0f} is enough, but a smaller buffer is enough too.")
    if size in (36_000, 36_001):
        raise WrongAnswerError(
            "36,001 would be needed for the very first image. The last image of the batch "
            "comes out 255 later, and for each that left, the buffer has read one more."
        )
    if size in (35_744, 35_745, 35_747):
        raise WrongAnswerError(
            f"very near. Places count from 0: the first truck is at 36,000, the last image of the "
            f"first batch is number 255. Put {size:,.0f} into the rule and see what it gives."
        )
    if size != 35_746:
        raise WrongAnswerError(
            f"{size:,g} is not it. Which place has the first truck, and which number has the last "
            "image of the first batch?"
        )


@checker
def check_channel_statistics(function):
    """01.2: `channel_statistics(images)` -> mean and standard deviation of each channel.

    Args:
        function: the learner's function; takes uint8 `(N, H, W, 3)`, returns two arrays `(3,)`.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    rng = np.random.default_rng(0)
    for count in (6, 9):
        # Dark and bright images of unequal channels, so that each wrong axis gives other numbers.
        brightness = rng.uniform(20, 200, size=(count, 1, 1, 3))
        images = (brightness + rng.uniform(-20, 55, size=(count, 4, 5, 3))).astype("uint8")
        returned = function(images.copy())
        if not isinstance(returned, (tuple, list)) or len(returned) != 2:
            raise WrongAnswerError(
                f"return two things, `mean, std`; yours is a {type(returned).__name__}."
                + forgot_return(returned)
            )
        _check_statistics(images, *_shaped_statistics(returned, images.shape))


def _shaped_statistics(returned, shape):
    results = []
    for value, what in zip(returned, ("The mean", "The standard deviation"), strict=True):
        result = array(value, what)
        if result.dtype.kind not in "iuf":
            raise WrongAnswerError(f"{what} must hold numbers, yours holds {result.dtype}.")
        if result.size == 1:
            raise WrongAnswerError(f"{what} must be three numbers, one a channel; yours is one.")
        if result.shape == shape[1:]:
            raise WrongAnswerError(
                f"{what} has shape {result.shape}: you averaged over the images only. Average over "
                "rows and columns too."
            )
        if result.shape == (shape[0], 3):
            raise WrongAnswerError(
                f"{what} has shape {result.shape}: three numbers for each image. Average over the "
                "images too."
            )
        if result.ndim > 1:
            raise WrongAnswerError(
                f"{what} has shape {result.shape}, and only the three channels should be left. "
                "Average over images, rows and columns: axes 0, 1 and 2."
            )
        results.append(array(value, what, shape=(3,)).astype("float64"))
    return results


def _check_statistics(images, mean, std):
    pixels = images.reshape(-1, 3).astype("float64")
    true_mean, true_std = pixels.mean(axis=0), pixels.std(axis=0)

    def is_close(value, expected, rtol=2e-3):
        return np.allclose(value, expected, rtol=rtol)

    if is_close(mean, true_mean / 255) or is_close(mean, true_mean / 127.5 - 1):
        raise WrongAnswerError("stay with the pixel values 0..255: do not scale the images.")
    if is_close(mean, true_std, rtol=0.01) and is_close(std, true_mean):
        raise WrongAnswerError("the mean comes first, then the standard deviation.")
    if not is_close(mean, true_mean):
        raise WrongAnswerError(
            f"the mean should be {true_mean.round(1)}, yours is {mean.round(1)}. Average over "
            "images, rows and columns: axes 0, 1 and 2."
        )
    if is_close(std, true_std**2):
        raise WrongAnswerError("that is the variance: the standard deviation is its square root.")
    if is_close(std, images.std(axis=(1, 2)).mean(axis=0)):
        raise WrongAnswerError(
            "that is the spread within each image, averaged. It leaves out that some images are "
            "darker than others. Take the standard deviation of all pixels at once."
        )
    if is_close(std, images.mean(axis=(1, 2)).std(axis=0)):
        raise WrongAnswerError(
            "that is the spread of the images' means. It leaves out the spread within each image."
        )
    overflown = (images**2).reshape(-1, 3).mean(axis=0) - true_mean**2
    if not np.isfinite(std).all() or is_close(std, np.sqrt(np.abs(overflown))):
        raise WrongAnswerError(
            "a square like 200 ** 2 does not fit into uint8 and starts again from 0. Make the "
            "images float before you square."
        )
    # Dividing by n - 1 instead of n is a standard deviation too.
    if not (is_close(std, true_std) or is_close(std, pixels.std(axis=0, ddof=1))):
        raise WrongAnswerError(
            f"the standard deviation should be {true_std.round(1)}, yours is {std.round(1)}."
        )


@checker
def check_cut_into_batches(function):
    """01.3: `cut_into_batches(order, batch_size, drop_last)` -> list of batches of indices.

    Args:
        function: the learner's function; returns arrays or lists, or yields them.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    rng = np.random.default_rng(1)
    for count, batch_size in ((10, 4), (8, 4), (3, 4), (9, 3)):
        order = rng.permutation(count) + 100
        kept = _batches(function, order, batch_size, False)
        dropped = _batches(function, order, batch_size, True)
        full, left = divmod(count, batch_size)
        case = f"{count} images in batches of {batch_size}"
        lengths, dropped_lengths = [len(batch) for batch in kept], [len(batch) for batch in dropped]
        right, right_dropped = [batch_size] * full + [left] * (left > 0), [batch_size] * full
        if left and lengths == right_dropped and dropped_lengths == right:
            raise WrongAnswerError("drop_last works the wrong way round.")
        if 0 in lengths + dropped_lengths:
            raise WrongAnswerError(
                f"{case}: there is an empty batch, with no image in it. Leave it out."
            )
        if left and lengths == right and dropped_lengths == right:
            raise WrongAnswerError(f"{case}, drop_last=True: the incomplete batch is still there.")
        if lengths != right and sum(lengths) == count:
            raise WrongAnswerError(
                f"{case} must have the lengths {right}, yours have {lengths}: every batch but the "
                "last is full."
            )
        if sum(lengths) > count:
            raise WrongAnswerError(
                f"{case}, drop_last=False: {sum(lengths)} images came out. Nothing is repeated or "
                "filled up."
            )
        if lengths != right:
            raise WrongAnswerError(
                f"{case}, drop_last=False: {count - sum(lengths)} image(s) are missing at the end."
            )
        if dropped_lengths != right_dropped:
            raise WrongAnswerError(
                f"{case}, drop_last=True must have the lengths {right_dropped}, yours have "
                f"{dropped_lengths}."
            )
        _check_contents(order, kept)
        _check_contents(order, dropped)


def _batches(function, order, batch_size, drop_last):
    returned = function(order.copy(), batch_size, drop_last)
    # One batch at most for each image, and one more to notice too many.
    batches = _as_list(returned, len(order) + 1, "cut_into_batches must return a list of batches")
    return [array(batch, "Each batch").reshape(-1).tolist() for batch in batches]


def _check_contents(order, batches):
    joined = [index for batch in batches for index in batch]
    if joined and joined == list(range(len(joined))):
        raise WrongAnswerError("put the entries of `order` into the batches, not their places.")
    if joined != order[: len(joined)].tolist():
        raise WrongAnswerError("keep the order: batch 0 holds the first entries of `order`.")


@checker
def check_buffer_shuffle(function):
    """01.4: `buffer_shuffle(stream, buffer_size, seed)`, which yields the items of a stream.

    Args:
        function: the learner's function; `stream` is an iterator that can be read only once.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    count, size = 200, 20
    order, reads = _through(function, count, size, seed=1)
    if sorted(order) != list(range(count)):
        _explain_wrong_items(order, count, size)
    if order == list(range(count)):
        raise WrongAnswerError("the items come out as they went in: nothing is shuffled.")
    if reads[0] == count:
        raise WrongAnswerError(
            "you read the whole stream before the first item comes out: a full shuffle. It must "
            f"fit into memory then. Hold {size} items at most, and `yield`."
        )
    if all(sorted(order[k : k + size]) == list(range(k, k + size)) for k in range(0, count, size)):
        raise WrongAnswerError(
            "you empty the whole buffer before you fill it again, so each piece of the stream is "
            "shuffled by itself. Read one new item for each that comes out."
        )
    other, _ = _through(function, count, size, seed=2)
    # Of 180 choices, the newest item wins one in 20: it never does in one of ten thousand streams.
    farthest = max(item - k for one in (order, other) for k, item in enumerate(one))
    if farthest != size - 1:
        raise WrongAnswerError(
            f"with buffer_size={size}, each time one of {size} items must be chosen; yours chose "
            f"among {farthest + 1}. Fill the buffer, give one, read one."
        )
    # Item 0 has 180 chances of one in 20 to leave before the stream ends.
    if min(order.index(0), other.index(0)) >= count - size:
        raise WrongAnswerError(
            "the first item stays until the stream ends: each that waits must be as likely to "
            "leave. rng.integers(n) draws from 0 to n - 1."
        )
    if _through(function, count, size, seed=1)[0] != order:
        raise WrongAnswerError(
            "the same seed gave another order: draw from np.random.default_rng(seed)."
        )
    if other == order:
        raise WrongAnswerError("another seed gave the same order: the seed is not used.")
    if _through(function, 5, 1, seed=1)[0] != list(range(5)):
        raise WrongAnswerError("a buffer of 1 has no choice: the order must stay as it is.")
    if any(had > k + 1 + size for k, had in enumerate(reads)):  # one may be in hand
        raise WrongAnswerError(
            f"you hold more than {size} items: read one new item for each that comes out."
        )
    short = [_through(function, 5, 8, seed)[0] for seed in range(1, 9)]
    if any(sorted(one) != list(range(5)) for one in short):
        raise WrongAnswerError("a stream shorter than the buffer must come out whole.")
    if all(one == short[0] for one in short):
        raise WrongAnswerError(
            f"a stream shorter than the buffer comes out as {short[0]} whatever the seed: when the "
            "stream ends, give out those who wait at random, too."
        )


def _through(function, count, size, seed):
    """What comes out, and how many items had been read when each came out."""
    read = 0

    def stream():
        nonlocal read
        for item in range(count):
            read += 1
            yield item

    message = "buffer_shuffle must give its items one by one, with `yield`"
    order, reads = [], []
    try:
        for item in islice(_iterator(function(stream(), size, seed), message), 2 * count):
            order.append(item)
            reads.append(read)
    except (StopIteration, RuntimeError) as error:
        # Python turns a StopIteration that leaves a generator into a RuntimeError.
        if isinstance(error, RuntimeError) and not isinstance(error.__cause__, StopIteration):
            raise
        raise WrongAnswerError(
            "`next(stream)` fails where the stream ends. Use `for item in stream`."
        ) from None
    return array(order, "What comes out", shape=(len(order),)).tolist(), reads


def _explain_wrong_items(order, count, size):
    missing = len(set(range(count)) - set(order))
    if not order:
        raise WrongAnswerError("no item comes out. Is there a `yield`?")
    if set(order) - set(range(count)):
        raise WrongAnswerError("things come out that never went in. Yield the items themselves.")
    if len(set(order)) < len(order):
        raise WrongAnswerError(
            "items come out more than once: take an item out of the buffer when you give it."
        )
    if size - 1 <= missing <= size:
        raise WrongAnswerError(
            f"{missing} items never come out: when the stream ends, the buffer is still full."
        )
    raise WrongAnswerError(f"{missing} of {count} items never come out.")


@checker
def check_stratified_split(function):
    """01.5: `stratified_split(labels, fraction, seed)` -> indices kept, indices held out.

    Args:
        function: the learner's function; returns two int arrays.

    Returns:
        bool, after printing one line.
    """
    require_function(function)
    labels = np.random.default_rng(3).permutation(np.repeat([0, 1, 2], [40, 30, 20]))
    parts = {seed: _split(function, labels, 0.2, seed) for seed in range(4)}
    for kept, held in parts.values():
        _check_parts(labels, kept, held)
    held = {seed: sorted(part.tolist()) for seed, (_, part) in parts.items()}
    if sorted(_split(function, labels, 0.2, seed=1)[1].tolist()) != held[1]:
        raise WrongAnswerError(
            "the same seed gave another split: draw from np.random.default_rng(seed)."
        )
    if held[1] == held[2]:
        raise WrongAnswerError(
            "another seed gave the same split: choose at random, not the first or last of a class."
        )
    _, quarter = _split(function, np.repeat([0, 1], [12, 4]), 0.25, seed=5)
    if sorted(quarter >= 12) != [False] * 3 + [True]:
        raise WrongAnswerError(
            "of two classes of 12 and 4 images, a quarter is 3 and 1. Count the images of each "
            "class, and use `fraction`."
        )


def _check_parts(labels, kept, held):
    everything = np.sort(np.concatenate([kept, held]))
    if np.array_equal(everything, np.sort(labels)):
        raise WrongAnswerError("return indices, places in `labels`, not the labels themselves.")
    both = np.intersect1d(kept, held)
    if len(both):
        raise WrongAnswerError(f"{len(both)} image(s) are in both parts: that is a leak.")
    if not np.array_equal(everything, np.arange(len(labels))):
        raise WrongAnswerError(
            f"every index from 0 to {len(labels) - 1} must come out once; yours give "
            f"{len(kept)} and {len(held)} of {len(labels)}."
        )
    counts = np.bincount(labels[held], minlength=3).tolist()
    if counts == [32, 24, 16]:
        raise WrongAnswerError("the larger part is kept: return `kept, held`, in this order.")
    if counts != [8, 6, 4]:
        raise WrongAnswerError(
            f"a fifth of 40, 30 and 20 images is 8, 6 and 4; you hold out {counts}. Choose within "
            "each class."
        )


def _split(function, labels, fraction, seed):
    returned = function(labels.copy(), fraction, seed)
    if not isinstance(returned, (tuple, list)) or len(returned) != 2:
        raise WrongAnswerError(
            f"return two things, `kept, held`; yours is a {type(returned).__name__}."
            + forgot_return(returned)
        )
    parts = []
    for value, what in zip(returned, ("kept", "held"), strict=True):
        part = array(value, f"`{what}`").reshape(-1)
        if part.dtype == bool:
            raise WrongAnswerError(f"`{what}` is a mask of bools; np.flatnonzero makes indices.")
        if part.size and part.dtype.kind not in "iu":
            raise WrongAnswerError(f"`{what}` must hold whole numbers, yours holds {part.dtype}.")
        part = part.astype(np.int64)
        if part.size and (part.min() < 0 or part.max() >= len(labels)):
            raise WrongAnswerError(f"`{what}` has indices outside 0 to {len(labels) - 1}.")
        parts.append(part)
    return parts


def _iterator(value, message):
    try:
        return iter(value)
    except TypeError:
        raise WrongAnswerError(
            f"{message}; yours gives {type(value).__name__}.{forgot_return(value)}"
        ) from None


def _as_list(value, most, message):
    """At most `most` entries of what the learner returned: a generator may never end."""
    return list(islice(_iterator(value, message), most))

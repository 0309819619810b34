"""MixUp and CutMix: which pixels and labels a batch gets, and that a resumed run gets the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftvit_utils.callbacks import TrainingBatches, mix_images

pytestmark = pytest.mark.backend_free

SIDE = (6, 9)


def batch_of_numbers(count):
    """Image k is `k` everywhere and has a class of its own, so that each pixel says whose it is."""
    numbers = np.arange(count, dtype=np.uint8)[:, None, None, None]
    images = np.tile(numbers, (1, *SIDE, 3))
    return images, np.eye(count, dtype="float32")


def test_without_either_the_same_arrays_come_back():
    images, labels = batch_of_numbers(4)
    mixed, shares = mix_images(images, labels, 0.0, 0.0, np.random.default_rng(0))
    assert mixed is images
    assert shares is labels


@settings(deadline=None)
@given(seed=st.integers(0, 2**31), alpha=st.floats(0.1, 4.0), count=st.integers(1, 12))
def test_mixup_adds_two_images_and_their_labels_in_the_same_shares(seed, alpha, count):
    images, labels = batch_of_numbers(count)
    mixed, shares = mix_images(images, labels, alpha, 0.0, np.random.default_rng(seed))
    assert (mixed.dtype, shares.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-5)
    assert ((shares > 0).sum(axis=1) <= 2).all()
    # An image is what its labels say: the sum of k times the share of image k.
    expected = shares @ np.arange(count)
    np.testing.assert_allclose(mixed, np.broadcast_to(expected[:, None, None, None], mixed.shape),
                               rtol=1e-4, atol=1e-4)  # fmt: skip


@settings(deadline=None)
@given(seed=st.integers(0, 2**31), alpha=st.floats(0.1, 4.0), count=st.integers(1, 12))
def test_cutmix_puts_one_rectangle_in_and_labels_count_pixels(seed, alpha, count):
    images, labels = batch_of_numbers(count)
    before = images.copy()
    mixed, shares = mix_images(images, labels, 0.0, alpha, np.random.default_rng(seed))
    assert mixed.dtype == np.uint8
    np.testing.assert_array_equal(images, before)
    for k in range(count):
        visible = np.bincount(mixed[k, ..., 0].ravel(), minlength=count) / np.prod(SIDE)
        np.testing.assert_allclose(shares[k], visible, atol=1e-6)
        foreign = mixed[k, ..., 0] != k
        if foreign.any():
            rows, columns = np.where(foreign)
            rectangle = foreign[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            assert rectangle.all()


def test_cutmix_takes_pixels_from_the_same_place():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, *SIDE, 3)).astype(np.uint8)
    mixed, shares = mix_images(images, np.eye(8, dtype="float32"), 0.0, 1.0, rng)
    assert ((shares > 0).sum(axis=1) == 2).any()
    for k in range(8):
        sources = images[shares[k] > 0]
        assert (mixed[k][None] == sources).all(axis=-1).any(axis=0).all()


def test_shares_are_drawn_from_the_beta_distribution():
    """MixUp's share of the first image has mean 1/2 and the variance 1 / (4 * (2 * alpha + 1))."""
    images, labels = batch_of_numbers(2)
    alpha, shares = 0.5, []
    for seed in range(4000):
        _, mixed = mix_images(images, labels, alpha, 0.0, np.random.default_rng(seed))
        if mixed[0, 0] < 1.0:  # not mixed with itself
            shares.append(mixed[0, 0])
    assert np.mean(shares) == pytest.approx(0.5, abs=0.04)
    assert np.var(shares) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_cutmix_covers_what_the_beta_distribution_says():
    """The rectangle's area is `1 - share`, but for what of it sticks out at the border.

    Of an interval of length `s` whose middle lies anywhere in [0, 1], `s - s**2 / 4` is seen on
    average; so of a square of side `s`, the square of that.
    """
    own = np.arange(8, dtype=np.uint8)[:, None, None, None]
    images = np.tile(own, (1, 64, 64, 1))  # so large that rounding to pixels does not count
    for alpha in (1.0, 0.3):
        covered = []
        for seed in range(2000):
            mixed, _ = mix_images(images, np.eye(8), 0.0, alpha, np.random.default_rng(seed))
            # All have the same rectangle, but for those that are mixed with themselves.
            covered.append((mixed != own).mean(axis=(1, 2, 3)).max())
        side = np.sqrt(1.0 - np.random.default_rng(0).beta(alpha, alpha, 100_000))
        assert np.mean(covered) == pytest.approx(np.mean((side - side**2 / 4) ** 2), rel=0.06)


def test_with_both_about_half_of_the_batches_get_each():
    images, labels = batch_of_numbers(6)
    types = [
        mix_images(images, labels, 0.2, 1.0, np.random.default_rng(seed))[0].dtype
        for seed in range(400)
    ]
    assert types.count(np.float32) == pytest.approx(200, abs=50)


def numbered_batches(mixup_alpha, cutmix_alpha, seed=3):
    images, _ = batch_of_numbers(50)
    return TrainingBatches(images, np.arange(50) % 5, 5, 8, seed, mixup_alpha, cutmix_alpha)


@pytest.mark.parametrize("alphas", [(0.2, 0.0), (0.0, 1.0), (0.2, 1.0)])
def test_a_batch_depends_on_seed_epoch_and_step_alone(alphas):
    wandered, resumed = numbered_batches(*alphas), numbered_batches(*alphas)
    for index in (2, 0, 5):
        wandered[index]
    wandered.start_epoch(4)
    resumed.start_epoch(4, step=2)
    for index in range(len(resumed)):
        for ours, theirs in zip(wandered[index + 2], resumed[index], strict=True):
            np.testing.assert_array_equal(ours, theirs)
    other = numbered_batches(*alphas, seed=4)
    other.start_epoch(4)
    assert not np.array_equal(other[0][1], wandered[0][1])
    wandered.start_epoch(5)
    assert not np.array_equal(wandered[2][1], resumed[0][1])


@pytest.mark.parametrize(("mixup_alpha", "dtype"), [(0.0, np.uint8), (0.2, np.float32)])
def test_images_have_one_type_in_all_batches(mixup_alpha, dtype):
    batches = numbered_batches(mixup_alpha, 1.0)
    assert {batches[index][0].dtype for index in range(len(batches))} == {np.dtype(dtype)}

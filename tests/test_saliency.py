"""Occlusion maps of scores whose answer is known in closed form."""

import numpy as np
import pytest

from shiftvit_utils.saliency import GREY, occlude, occlusion_map, patch_corners

pytestmark = pytest.mark.backend_free


def noise(height=12, width=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype("uint8")


def linear_score(weights):
    return lambda images: (images.astype("float64") * weights).sum(axis=(1, 2, 3))


def test_of_a_linear_score_each_patch_has_its_own_share():
    image = noise()
    weights = np.random.default_rng(1).normal(size=image.shape)
    shares = (weights * (image.astype(float) - GREY)).sum(axis=-1)  # of each pixel
    patches = shares.reshape(3, 4, 2, 4).sum(axis=(1, 3))
    got = occlusion_map(linear_score(weights), image, patch_size=4, stride=4)
    np.testing.assert_allclose(got, np.kron(patches, np.ones((4, 4))))


def test_overlapping_patches_are_averaged():
    """Against a sum over all patches that cover a pixel, for a stride that does not fit."""
    image = noise(11, 9)
    weights = np.random.default_rng(1).normal(size=image.shape)
    shares = (weights * (image.astype(float) - [9, 99, 199])).sum(axis=-1)
    rows, columns = (0, 3, 6, 7), (0, 3, 5)  # 11 - 4 = 7 and 9 - 4 = 5 end at the border
    expected = np.empty((11, 9))
    for y, x in np.ndindex(11, 9):
        expected[y, x] = np.mean(
            [
                shares[top : top + 4, left : left + 4].sum()
                for top in rows
                for left in columns
                if top <= y < top + 4 and left <= x < left + 4
            ]
        )
    got = occlusion_map(linear_score(weights), image, patch_size=4, stride=3, fill=(9, 99, 199))
    np.testing.assert_allclose(got, expected)


def test_a_place_that_lowers_the_score_is_negative():
    image = np.full((4, 4, 3), 228, np.uint8)
    disliked = np.zeros(image.shape)
    disliked[3, 3, 0] = -1.0
    got = occlusion_map(linear_score(disliked), image, patch_size=2, stride=2)
    assert got[2:, 2:].tolist() == [[-100.0, -100.0], [-100.0, -100.0]]
    assert np.count_nonzero(got) == 4


def test_score_is_called_once_with_the_bare_image_first_and_the_image_is_left_alone():
    image, batches = noise(8, 8), []
    before = image.copy()

    def score(images):
        batches.append(images)
        return np.zeros(len(images))

    occlusion_map(score, image, patch_size=4, stride=2)
    (batch,) = batches
    assert batch.shape == (1 + 9, 8, 8, 3)
    assert batch.dtype == np.uint8
    np.testing.assert_array_equal(batch[0], image)
    np.testing.assert_array_equal(image, before)
    for covered in batch[1:]:
        assert (covered == GREY).all(axis=-1).sum() == 16  # one square each, never two


def test_occlude_covers_one_square_of_a_copy():
    image = noise()
    covered = occlude(image, 2, 5, 3, fill=(1, 2, 3))
    changed = np.argwhere((covered != image).any(axis=-1))
    assert (changed.min(axis=0).tolist(), changed.max(axis=0).tolist()) == ([2, 5], [4, 7])
    assert covered[4, 7].tolist() == [1, 2, 3]


def test_a_patch_as_large_as_the_image_and_one_of_a_pixel():
    image, weights = noise(4, 4), np.ones((4, 4, 3))
    whole = occlusion_map(linear_score(weights), image, patch_size=4, stride=1)
    assert np.unique(whole).tolist() == [int(image.sum()) - GREY * 48]
    single = occlusion_map(linear_score(weights), image, patch_size=1, stride=1)
    np.testing.assert_allclose(single, image.sum(axis=-1) - 3.0 * GREY)


@pytest.mark.parametrize("length", [8, 9, 10, 11])
def test_patches_reach_every_pixel(length):
    corners = patch_corners(length, 4, 3)
    covered = {k for corner in corners for k in range(corner, corner + 4)}
    assert covered == set(range(length))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image": noise()[..., 0]}, "one image"),
        ({"image": noise()[None]}, "one image"),
        ({"patch_size": 9}, r"patch_size=9 must be 1\.\.8"),
        ({"patch_size": 0, "stride": 1}, "patch_size=0"),
        ({"stride": 5}, "no pixel is left out"),
        ({"stride": 0}, "stride=0"),
        ({"score": lambda images: np.zeros((len(images), 10))}, "take the column of one class"),
        ({"score": lambda images: 0.5}, "one number each"),
    ],
)
def test_what_cannot_be_mapped(settings, message):
    defaults = {"score": lambda images: np.zeros(len(images)), "image": noise()}
    with pytest.raises(ValueError, match=message):
        occlusion_map(**{**defaults, "patch_size": 4, "stride": 4, **settings})

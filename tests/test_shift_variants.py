"""The other ways to write the shift: against slices, sums and a convolution in plain NumPy."""

import keras
import numpy as np
import pytest
from keras import ops
from numpy_oracles import OFFSETS, as_numpy, shifted

from shiftvit_utils import PatchEmbedding, shift
from shiftvit_utils import shift_variants as variants

WAYS = [
    variants.shift_by_assignment,
    variants.shift_by_crop_and_pad,
    variants.shift_by_depthwise_kernel,
]
CASES = [((2, 5, 4, 13), 6, 1), ((1, 3, 6, 12), 12, 2), ((1, 4, 4, 9), 4, 0), ((1, 2, 3, 8), 4, 3)]


def numbers(shape, seed=0):
    """Whole numbers as float32: sums and products of them are exact."""
    return np.random.default_rng(seed).integers(-99, 100, shape).astype("float32")


def by(way, x, *args, **kwargs):
    return as_numpy(way(ops.convert_to_tensor(x), *args, **kwargs), "float32")


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_equals_slices_in_numpy(way, case):
    shape, num_div, shift_pixel = case
    x = numbers(shape)
    np.testing.assert_array_equal(
        by(way, x, num_div, shift_pixel), shifted(x, num_div, shift_pixel)
    )


@pytest.mark.parametrize("way", WAYS[:2], ids=lambda way: way.__name__)
@pytest.mark.parametrize("dtype", ["int32", "float16"])
def test_dtype_is_that_of_the_input(way, dtype):
    y = way(ops.cast(numbers((1, 3, 4, 13)), dtype))
    assert keras.backend.standardize_dtype(y.dtype) == dtype
    np.testing.assert_array_equal(as_numpy(y), shifted(numbers((1, 3, 4, 13))))


@pytest.mark.parametrize(("shift_pixel", "group"), [(1, None), (2, None), (1, 3)])
def test_same_offset_moves_nothing_and_blanks_one_border(shift_pixel, group):
    x = 100.0 + numbers((1, 5, 6, 14))  # no zero in it
    y = by(variants.shift_by_crop_and_pad, x, 7, shift_pixel, same_offset=True, group=group)
    blanked, g = x.copy(), group or 2
    blanked[:, :, -shift_pixel:, :g] = 0  # "left" loses columns on the right
    blanked[:, :, :shift_pixel, g : 2 * g] = 0
    blanked[:, -shift_pixel:, :, 2 * g : 3 * g] = 0
    blanked[:, :shift_pixel, :, 3 * g : 4 * g] = 0
    np.testing.assert_array_equal(y, blanked)


def test_kernel_holds_one_one_a_channel():
    kernel = variants.shift_kernel(14, num_div=6, shift_pixel=2)
    assert kernel.shape == (5, 5, 14, 1)
    for channel in range(14):
        down, right = OFFSETS[channel // 2] if channel < 8 else (0, 0)
        assert np.argwhere(kernel[:, :, channel, 0]).tolist() == [[2 - 2 * down, 2 - 2 * right]]
    assert kernel.sum() == 14


@pytest.mark.parametrize("case", CASES, ids=str)
def test_opposite_shift_is_the_transpose(case):
    """The matrix of one is the transpose of the other's: <S x, y> = <x, S' y> for all x and y."""
    shape, num_div, shift_pixel = case
    for seed in range(3):
        x, y = numbers(shape, seed), numbers(shape, seed + 9)
        opposite = by(variants.opposite_shift, y, num_div, shift_pixel)
        assert (shifted(x, num_div, shift_pixel) * y).sum() == (x * opposite).sum()


def test_the_tokens_of_an_image_can_be_shifted_in_every_way():
    tokens = PatchEmbedding(4, 24)(ops.convert_to_tensor(numbers((1, 16, 16, 3))))
    expected = as_numpy(shift(tokens))
    for way in WAYS:
        np.testing.assert_array_equal(as_numpy(way(tokens)), expected)

"""How far shifts carry: against a formula, a convolution with a plus, and real blocks."""

import numpy as np
import pytest
from keras import ops
from scipy.signal import convolve2d

from shiftvit_utils import ShiftViTBlock, receptive_field


@pytest.mark.parametrize("shift_pixel", [1, 2])
@pytest.mark.parametrize("num_blocks", [0, 1, 3])
def test_reach_is_a_diamond_with_holes_if_steps_are_large(num_blocks, shift_pixel):
    reached = receptive_field.reach(num_blocks, shift_pixel)
    assert reached.dtype == bool
    rows, columns = np.indices(reached.shape) - num_blocks * shift_pixel
    on_grid = (rows % shift_pixel == 0) & (columns % shift_pixel == 0)
    near = abs(rows) + abs(columns) <= num_blocks * shift_pixel
    np.testing.assert_array_equal(reached, on_grid & near)
    assert reached.sum() == 2 * num_blocks**2 + 2 * num_blocks + 1


@pytest.mark.parametrize("num_div", [5, 12])
def test_spread_is_a_repeated_convolution_with_a_plus(num_div):
    plus = np.array([[0, 1, 0], [1, num_div - 4, 1], [0, 1, 0]]) / num_div
    expected = np.ones((1, 1))
    for num_blocks in range(4):
        np.testing.assert_allclose(receptive_field.spread(num_blocks, num_div), expected, atol=1e-6)
        expected = convolve2d(expected, plus)


def test_spread_of_many_blocks_does_not_vanish():
    share = receptive_field.spread(24)
    rows, _ = np.indices(share.shape) - 24
    assert share.sum() == pytest.approx(1, abs=1e-4)
    assert (share * rows**2).sum() == pytest.approx(24 / 6, rel=1e-3)  # one sixth a block


def test_influence_finds_the_neighbours_that_a_function_touches():
    def sum_of_two_columns(x):  # every pixel adds three times its left neighbour
        return x + 3.0 * ops.pad(x, [(0, 0), (0, 0), (1, 0), (0, 0)])[:, :, :-1]

    changed = receptive_field.influence(
        sum_of_two_columns, np.arange(24.0, dtype="float32").reshape(1, 3, 4, 2), row=1, column=1
    )
    expected = np.zeros((3, 4))
    expected[1, 1:3] = 1, 3
    np.testing.assert_array_equal(changed, expected)


@pytest.mark.parametrize("normalization", ["layer", "group"])
def test_real_blocks_reach_the_diamond_and_group_norm_reaches_all(normalization):
    x = np.random.default_rng(0).normal(size=(1, 7, 7, 24)).astype("float32")
    blocks = [ShiftViTBlock(normalization=normalization) for _ in range(2)]

    def stack(x):
        for block in blocks:
            x = block(x)
        return x

    changed = receptive_field.influence(stack, x, 3, 3) > 0
    if normalization == "group":  # mean and variance over the whole map
        assert changed.all()
    else:
        np.testing.assert_array_equal(changed[1:6, 1:6], receptive_field.reach(2))
        assert changed.sum() == 13

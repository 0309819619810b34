"""The shift moves the paper's pixels: against slices, impulses, a convolution and golden arrays."""

from pathlib import Path

import keras
import numpy as np
import pytest
from autodiff import gradients
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from numpy_oracles import OFFSETS, as_numpy, central_differences, shifted

from shiftvit_utils import Shift, shift
from shiftvit_utils.shift import channels_per_group
from shiftvit_utils.shift_variants import shift_by_crop_and_pad

GOLDEN = Path(__file__).parent / "golden"
EXAMPLES = settings(max_examples=20, deadline=None)
FEW_EXAMPLES = settings(max_examples=10, deadline=None)


@st.composite
def cases(draw):
    """Shape, `num_div` and `shift_pixel`; small, so that the borders are often reached.

    A few sizes in all combinations: JAX compiles every new shape.
    """
    channels, num_div = draw(st.sampled_from([(4, 4), (9, 4), (6, 6), (13, 6), (8, 5)]))
    height, width = draw(st.sampled_from([1, 2, 5])), draw(st.sampled_from([1, 3, 4]))
    return (2, height, width, channels), num_div, draw(st.integers(0, 6))


def numbers(shape, seed=0):
    """Whole numbers as float32: sums and products of them are exact."""
    return np.random.default_rng(seed).integers(-99, 100, shape).astype("float32")


def moved(x, num_div=12, shift_pixel=1):
    return as_numpy(shift(ops.convert_to_tensor(x), num_div, shift_pixel), "float32")


def offset_of(channel, channels, num_div):
    group = channel // (channels // num_div)
    return OFFSETS[group] if group < 4 else (0, 0)


@EXAMPLES
@given(cases())
def test_equals_slice_assignment(case):
    shape, num_div, shift_pixel = case
    x = numbers(shape)
    np.testing.assert_array_equal(
        moved(x, num_div, shift_pixel), shifted(x, num_div, shift_pixel), strict=True
    )


@FEW_EXAMPLES
@given(cases(), st.data())
def test_a_lit_pixel_lands_where_its_group_goes_or_falls_off(case, data):
    shape, num_div, shift_pixel = case
    n, h, w, c = (data.draw(st.integers(0, size - 1)) for size in shape)
    x = np.zeros(shape, "float32")
    x[n, h, w, c] = 1.0
    down, right = offset_of(c, shape[-1], num_div)
    there = (h + shift_pixel * down, w + shift_pixel * right)
    expected = np.zeros(shape, "float32")
    if 0 <= there[0] < shape[1] and 0 <= there[1] < shape[2]:
        expected[n, there[0], there[1], c] = 1.0
    np.testing.assert_array_equal(moved(x, num_div, shift_pixel), expected)


@pytest.mark.parametrize(
    ("channel", "row", "column"), [(0, 2, 1), (1, 2, 3), (2, 1, 2), (3, 3, 2), (4, 2, 2)]
)
def test_groups_go_left_right_up_down_in_this_order(channel, row, column):
    x = np.zeros((1, 5, 5, 5), "float32")
    x[0, 2, 2, channel] = 1.0
    assert np.argwhere(moved(x, num_div=5)).tolist() == [[0, row, column, channel]]


@FEW_EXAMPLES
@given(cases(), st.integers(-5, 5), st.integers(-5, 5))
def test_is_linear(case, a, b):
    shape, num_div, shift_pixel = case
    x, y = numbers(shape, 1), numbers(shape, 2)
    together = moved(a * x + b * y, num_div, shift_pixel)
    apart = a * moved(x, num_div, shift_pixel) + b * moved(y, num_div, shift_pixel)
    np.testing.assert_array_equal(together, apart)


@FEW_EXAMPLES
@given(cases())
def test_shifting_back_recovers_all_that_did_not_fall_off(case):
    shape, num_div, shift_pixel = case
    x = numbers(shape)
    turned = moved(x, num_div, shift_pixel)[:, ::-1, ::-1]  # seen upside down, left is right
    back = moved(turned, num_div, shift_pixel)[:, ::-1, ::-1]
    rows, columns = np.arange(shape[1])[:, None], np.arange(shape[2])
    for channel in range(shape[-1]):
        down, right = offset_of(channel, shape[-1], num_div)
        row, column = rows + shift_pixel * down, columns + shift_pixel * right
        stays = (row >= 0) & (row < shape[1]) & (column >= 0) & (column < shape[2])
        np.testing.assert_array_equal(back[..., channel], np.where(stays, x[..., channel], 0.0))


@pytest.mark.parametrize("channels", [12, 29, 53])
def test_equals_a_fixed_depthwise_convolution(channels):
    kernel = np.zeros((3, 3, channels, 1), "float32")
    for channel in range(channels):
        down, right = offset_of(channel, channels, 12)
        kernel[1 - down, 1 - right, channel] = 1.0  # what comes from the left moves to the right
    x = numbers((2, 6, 5, channels))
    convolved = ops.depthwise_conv(x, kernel, padding="same", data_format="channels_last")
    np.testing.assert_allclose(moved(x), as_numpy(convolved), rtol=0, atol=1e-5)


def test_channels_left_over_by_the_division_are_untouched():
    x = numbers((2, 4, 4, 53))
    y = moved(x, num_div=12)  # 53 // 12 = 4 channels a group: 16 move, 37 stay
    assert [c for c in range(53) if not np.array_equal(x[..., c], y[..., c])] == list(range(16))


@pytest.mark.parametrize("name", ["official_gn_gelu", "official_bn_relu"])
def test_equals_the_authors_code(name):
    with np.load(GOLDEN / f"{name}.npz") as golden:
        x, expected = (golden[f"shift/{key}"].transpose(0, 2, 3, 1) for key in ("input", "output"))
        num_div = {"official_gn_gelu": 12, "official_bn_relu": 8}[name]
    np.testing.assert_array_equal(moved(x, num_div), expected)


def test_is_not_the_published_examples_crop_and_pad_at_one_offset():
    """That one blanks a border line and moves no pixel, so it must never be what we compare to."""
    x = 1.0 + np.arange(2 * 4 * 4 * 4, dtype="float32").reshape(2, 4, 4, 4)
    published = x.copy()
    published[:, :, -1, 0] = published[:, :, 0, 1] = 0.0
    published[:, -1, :, 2] = published[:, 0, :, 3] = 0.0
    y = moved(x, num_div=4)
    inside = (slice(None), slice(1, -1), slice(1, -1))
    np.testing.assert_array_equal(published[inside], x[inside])
    assert (y[inside] != x[inside]).all()
    assert (y == 0).sum() == (published == 0).sum(), "both lose one line of each channel"
    row = np.repeat(np.arange(1.0, 5.0, dtype="float32").reshape(1, 1, 4, 1), 4, axis=-1)
    assert moved(row, num_div=4)[0, 0, :, 0].tolist() == [2, 3, 4, 0]


def border_zeroed(x, group, shift_pixel):
    """Crop and pad at one offset, direction by direction, as the example does."""
    height, width = x.shape[1:3]
    y = x.copy()
    y[:, :, max(width - shift_pixel, 0) :, :group] = 0.0  # "left" keeps columns 0 to W - p
    y[:, :, :shift_pixel, group : 2 * group] = 0.0  # "right" keeps columns p to W
    y[:, max(height - shift_pixel, 0) :, :, 2 * group : 3 * group] = 0.0
    y[:, :shift_pixel, :, 3 * group : 4 * group] = 0.0
    return y


@FEW_EXAMPLES
@given(cases(), st.sampled_from([None, 1]))
def test_border_zeroing_moves_nothing_and_blanks_lines(case, group_channels):
    shape, num_div, shift_pixel = case
    x = numbers(shape)
    layer = Shift(num_div, shift_pixel, "border_zeroing", group_channels)
    group = group_channels or shape[-1] // num_div
    expected = border_zeroed(x, group, shift_pixel)
    np.testing.assert_array_equal(as_numpy(layer(x), "float32"), expected)
    same_offset = shift_by_crop_and_pad(x, num_div, shift_pixel, same_offset=True, group=group)
    np.testing.assert_array_equal(as_numpy(same_offset, "float32"), expected)


def test_border_zeroing_on_a_numbered_map():
    x = np.arange(1.0, 17.0, dtype="float32").reshape(1, 4, 4, 1).repeat(5, axis=-1)
    y = as_numpy(Shift(shift_variant="border_zeroing", group_channels=1)(x))[0]
    assert y[0, :, 0].tolist() == [1, 2, 3, 0]
    assert y[0, :, 1].tolist() == [0, 2, 3, 4]
    assert y[:, 0, 2].tolist() == [1, 5, 9, 0]
    assert y[:, 0, 3].tolist() == [0, 5, 9, 13]
    np.testing.assert_array_equal(y[..., 4], x[0, ..., 4])
    assert [np.count_nonzero(y[..., k]) for k in range(5)] == [12, 12, 12, 12, 16]


def test_border_zeroing_passes_on_no_number_from_a_blanked_line():
    """A product with a mask of zeros would pass on what is infinite; a crop does not."""
    x = np.full((1, 2, 2, 4), np.inf, "float32")
    y = as_numpy(Shift(shift_variant="border_zeroing", group_channels=1)(x))
    assert set(y.ravel()) == {0.0, np.inf}
    assert (y == 0).sum() == 4 * 2


@pytest.mark.parametrize(("channels", "group"), [(48, 12), (53, 12), (53, 5), (4, 1)])
def test_groups_of_a_given_size_move_as_the_paper_moves_its_own(channels, group):
    x = numbers((2, 4, 5, channels))
    y = as_numpy(Shift(num_div=7, shift_pixel=2, group_channels=group)(x), "float32")
    moving = 4 * group
    np.testing.assert_array_equal(y[..., :moving], shifted(x[..., :moving], 4, 2))
    np.testing.assert_array_equal(y[..., moving:], x[..., moving:])


@pytest.mark.parametrize("group_channels", [None, 3])
def test_without_a_shift_all_is_untouched(group_channels):
    x = numbers((2, 4, 4, 13))
    layer = Shift(shift_variant="none", group_channels=group_channels)
    np.testing.assert_array_equal(as_numpy(layer(x), "float32"), x)


@pytest.mark.parametrize("shift_variant", ["paper", "border_zeroing", "none"])
def test_variants_take_sizes_that_are_unknown_until_the_call(shift_variant):
    layer = Shift(6, 2, shift_variant, group_channels=3)
    inputs = keras.Input((None, None, 13))
    model = keras.Model(inputs, layer(inputs))
    for size in ((5, 3), (1, 2)):
        x = numbers((2, *size, 13))
        np.testing.assert_array_equal(model.predict(x, verbose=0), as_numpy(layer(x)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shift_variant": "roll"}, "shift_variant must be one of .*border_zeroing.*'roll'"),
        ({"group_channels": 0}, "group_channels must be None .* or an int >= 1, got 0"),
        ({"group_channels": 2.0}, "group_channels must be None .* got 2.0"),
        ({"group_channels": True}, "group_channels must be None .* got True"),
        ({"group_channels": 4}, "group_channels=4 need 16 channels, but there are 13"),
    ],
)
def test_bad_variants_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Shift(**arguments).build((None, 4, 4, 13))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int32"])
def test_dtype_is_that_of_the_input(dtype):
    x = numbers((1, 3, 4, 13))
    y = shift(ops.cast(x, dtype))
    assert keras.backend.standardize_dtype(y.dtype) == dtype
    np.testing.assert_array_equal(as_numpy(y), shifted(x))


def test_height_and_width_may_be_unknown_until_the_call():
    inputs = keras.Input((None, None, 13))
    outputs = Shift(num_div=6, shift_pixel=2)(inputs)
    assert outputs.shape == (None, None, None, 13)
    model = keras.Model(inputs, outputs)
    for size in ((5, 3), (1, 2)):
        x = numbers((2, *size, 13))
        np.testing.assert_array_equal(model.predict(x, verbose=0), shifted(x, 6, 2))


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_layer_announces_the_dtype_that_it_returns(dtype):
    promised = Shift(num_div=4)(keras.KerasTensor((1, 2, 2, 4), dtype)).dtype
    returned = Shift(num_div=4)(ops.ones((1, 2, 2, 4), dtype)).dtype
    assert promised == keras.backend.standardize_dtype(returned)


def test_gradient_equals_finite_differences():
    x, weighting = (
        np.random.default_rng(k).normal(size=(2, 3, 4, 9)).astype("float32") for k in (0, 1)
    )
    layer = Shift(num_div=4, shift_pixel=2)
    layer.build(x.shape)
    of_inputs, of_weights = gradients(layer, x, weighting)

    def function(x):
        return (weighting * moved(x.astype("float32"), 4, 2).astype("float64")).sum()

    # The shift is linear, so a large step costs no accuracy and float32 rounds little.
    expected = central_differences(function, x.astype("float64"), step=0.5)
    np.testing.assert_allclose(of_inputs, expected, rtol=1e-5, atol=1e-6)
    assert of_weights == []


@pytest.mark.parametrize("shift_pixel", [-1, True, False, 1.0, "1", None])
def test_shift_pixel_must_be_a_whole_number_of_pixels(shift_pixel):
    x = numbers((1, 4, 4, 12))
    with pytest.raises(ValueError, match=rf"shift_pixel must be an int >= 0.*{shift_pixel!r}"):
        shift(x, shift_pixel=shift_pixel)
    with pytest.raises(ValueError, match="shift_pixel"):
        Shift(shift_pixel=shift_pixel)


@pytest.mark.parametrize(
    ("channels", "num_div", "message"),
    [
        (11, 12, r"num_div=12 is larger than the 11 channels.*num_div <= 11"),
        (12, 3, r"12 // 3 = 4 channels need 16 channels, but there are 12\. Use num_div >= 4"),
        (12, 1, r"Use num_div >= 4"),
        (3, 4, r"need at least 4 channels, but C = 3"),
        (3, 3, r"need at least 4 channels, but C = 3"),
        (12, 0, r"num_div must be a positive int, got 0"),
        (12, -4, r"num_div must be a positive int, got -4"),
        (12, 4.0, r"num_div must be a positive int, got 4\.0"),
        (12, True, r"num_div must be a positive int, got True"),
    ],
)
def test_num_div_must_give_four_groups_that_fit(channels, num_div, message):
    x = numbers((1, 4, 4, channels))
    with pytest.raises(ValueError, match=message):
        shift(x, num_div)
    with pytest.raises(ValueError, match=message):
        Shift(num_div).build(x.shape)


def test_group_size_is_rounded_down():
    # 7 // 4 = 1: four groups of one channel, three channels over.
    assert [channels_per_group(c, 4) for c in (4, 7, 8)] == [1, 1, 2]


@pytest.mark.parametrize("shape", [(4, 4, 12), (4, 12), (1, 1, 4, 4, 12)])
def test_needs_four_axes(shape):
    with pytest.raises(ValueError, match=rf"\(N, H, W, C\), got {len(shape)} axes"):
        shift(numbers(shape))


def test_channels_must_be_known():
    with pytest.raises(ValueError, match="channel axis must have a known size"):
        Shift()(keras.KerasTensor((None, 4, 4, None)))

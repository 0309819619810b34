"""Patch embedding and merging are convolutions whose stride equals their kernel."""

import keras
import numpy as np
import pytest
from keras import ops
from numpy_oracles import as_numpy, even, normalized, patches, shifted, weights_of

from shiftvit_utils import PatchEmbedding, PatchMerging, StackedShiftBlocks
from shiftvit_utils.stage import patchify


def normal(shape, seed=5):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_patchify_keeps_the_order_of_pixels():
    image = np.arange(4 * 6 * 2, dtype="float32").reshape(1, 4, 6, 2)
    y = as_numpy(patchify(image, 2))
    assert y.shape == (1, 2, 3, 8)
    # Second row of patches, last column: rows 2 and 3, columns 4 and 5.
    assert y[0, 1, 2].tolist() == image[0, 2:4, 4:6].ravel().tolist()
    np.testing.assert_array_equal(y, patches(image, 2))


@pytest.mark.parametrize("patch_size", [1, 2, 4])
def test_patch_embedding_is_a_strided_convolution(patch_size):
    x = normal((2, 8, 12, 3))
    layer = PatchEmbedding(patch_size, 7, patch_norm=False)
    layer.build(x.shape)
    kernel, bias = normal((patch_size, patch_size, 3, 7), 1), normal(7, 2)
    layer.projection.set_weights([kernel.reshape(-1, 7), bias])
    convolved = ops.conv(x, kernel, strides=patch_size, data_format="channels_last") + bias
    np.testing.assert_allclose(as_numpy(layer(x)), as_numpy(convolved), atol=1e-4)


@pytest.mark.parametrize("normalization", ["layer", "group", "batch"])
def test_patch_norm_normalises_the_tokens(normalization):
    x = 5.0 + normal((2, 8, 12, 3))
    layer = PatchEmbedding(4, 7, epsilon=1e-3, normalization=normalization)
    bare = PatchEmbedding(4, 7, patch_norm=False)
    bare.build(x.shape)
    layer.build(x.shape)
    bare.projection.set_weights(layer.projection.get_weights())
    expected = normalized(as_numpy(bare(x)), normalization, 1.0, 0.0, 1e-3)
    np.testing.assert_allclose(as_numpy(layer(x, training=True)), expected, atol=1e-3)


@pytest.mark.parametrize("shape", [(30, 32), (32, 30)])
def test_images_must_be_divisible_into_patches(shape):
    with pytest.raises(ValueError, match=r"images, 30, is not divisible by patch_size=4"):
        PatchEmbedding(4, 8)(keras.KerasTensor((None, *shape, 3)))


@pytest.mark.parametrize("size", [(4, 6), (5, 6), (4, 3), (7, 5), (1, 4), (1, 1)])
def test_patch_merging_is_a_strided_convolution_after_zeros_below_and_right(size):
    x = normal((2, *size, 3))
    layer = PatchMerging(epsilon=1e-3)
    layer.build(x.shape)
    kernel, gamma, beta = normal((2, 2, 3, 6), 1), normal(3, 2), normal(3, 3)
    layer.reduction.set_weights([kernel.reshape(-1, 6)])
    layer.norm.set_weights([gamma, beta])
    # Zeros come after the normalisation: with beta they would not be zeros any more.
    padded = even(normalized(x, "layer", gamma, beta, 1e-3)).astype("float32")
    convolved = ops.conv(padded, kernel, strides=2, data_format="channels_last")
    assert convolved.shape == (2, -(-size[0] // 2), -(-size[1] // 2), 6)
    np.testing.assert_allclose(as_numpy(layer(x)), as_numpy(convolved), rtol=1e-4, atol=1e-4)


def test_patch_merging_pads_odd_maps_of_unknown_size():
    inputs = keras.Input((None, None, 3))
    layer = PatchMerging()
    model = keras.Model(inputs, layer(inputs))
    for size in ((5, 4), (2, 3), (1, 1)):
        x = normal((2, *size, 3))
        expected = patches(even(normalized(x, "layer", 1.0, 0.0, 1e-5)), 2)
        expected = expected @ weights_of(layer)["reduction/kernel"]
        np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-4)


def test_a_stage_runs_its_blocks_in_order_then_merges():
    x = normal((2, 4, 4, 12))
    stage = StackedShiftBlocks([0.0, 0.1, 0.2], shift_pixel=1)
    stage.build(x.shape)
    assert [block.drop_path.drop_path_rate for block in stage.blocks] == [0.0, 0.1, 0.2]
    expected = x
    for block in stage.blocks:
        expected = block(expected)
    np.testing.assert_allclose(as_numpy(stage(x)), as_numpy(stage.merging(expected)), atol=1e-6)
    names = [variable.path.split("/")[1] for variable in stage.weights]
    assert list(dict.fromkeys(names)) == ["block_0", "block_1", "block_2", "merging"]


def test_every_block_of_a_stage_shifts_once():
    x = normal((1, 6, 6, 12))
    stage = StackedShiftBlocks([0.0, 0.0], merge=False)
    stage.build(x.shape)
    for block in stage.blocks:
        block.mlp.project.kernel.assign(np.zeros(block.mlp.project.kernel.shape))
    np.testing.assert_array_equal(as_numpy(stage(x)), shifted(x, shift_pixel=2))


def test_every_block_of_a_stage_has_the_variant():
    stage = StackedShiftBlocks([0.0, 0.0], shift_variant="border_zeroing", group_channels=2)
    shifts = [block.shift for block in stage.blocks]
    assert [(s.shift_variant, s.group_channels) for s in shifts] == [("border_zeroing", 2)] * 2


def test_a_stage_without_blocks_only_merges():
    x = normal((1, 4, 4, 12))
    stage = StackedShiftBlocks([])
    assert stage(x).shape == (1, 2, 2, 24)
    np.testing.assert_array_equal(as_numpy(stage(x)), as_numpy(stage.merging(x)))

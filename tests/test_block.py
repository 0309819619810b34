"""The parts of a block against NumPy: normalisation, MLP, drop path, and how they are joined."""

import keras
import numpy as np
import pytest
from autodiff import gradients
from keras import ops
from numpy_oracles import (
    as_numpy,
    central_differences,
    gelu,
    mlp,
    normalized,
    relu,
    shifted,
    weights_of,
)

from shiftvit_utils import MLP, DropPath, ShiftViTBlock
from shiftvit_utils.block import make_dense, make_normalization

KINDS = ("kernel", "bias")


def normal(shape, seed=5):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def perturb(layer):
    rng = np.random.default_rng(1)
    for variable in layer.weights:
        low, high = (0.5, 1.5) if "gamma" in variable.path else (-0.5, 0.5)
        variable.assign(rng.uniform(low, high, variable.shape))


def block_oracle(x, weights, config):
    """`s = shift(x)`, then `s + mlp(norm(s))`."""
    s = shifted(x, config["num_div"], config["shift_pixel"])
    norm = normalized(
        s, config["normalization"], weights["norm/gamma"], weights["norm/beta"], config["epsilon"]
    )
    dense = [weights[f"mlp/{name}/{kind}"] for name in ("expand", "project") for kind in KINDS]
    return s + mlp(norm, *dense, activation={"gelu": gelu, "relu": relu}[config["activation"]])


@pytest.mark.parametrize("normalization", ["layer", "group", "batch"])
def test_normalization_averages_over_the_axes_of_its_name(normalization):
    x = 3.0 + 2.0 * normal((3, 4, 5, 6))
    layer = make_normalization(normalization, epsilon=1e-2, dtype="float32")
    layer.build(x.shape)
    gamma, beta = normal(6, 1), normal(6, 2)
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    expected = normalized(x.astype("float64"), normalization, gamma, beta, 1e-2)
    np.testing.assert_allclose(as_numpy(layer(x, training=True)), expected, rtol=1e-4, atol=1e-4)


def test_batch_normalization_evaluates_with_moving_averages():
    x = 3.0 + 2.0 * normal((3, 4, 5, 6))
    layer = make_normalization("batch", epsilon=1e-5, dtype="float32")
    layer(x, training=True)
    mean = 0.1 * x.mean((0, 1, 2), dtype="float64")  # 0 before; PyTorch's momentum of 0.1
    variance = 0.9 * 1.0 + 0.1 * x.var((0, 1, 2), dtype="float64")
    expected = normalized(x, "batch", 1.0, 0.0, 1e-5, mean, variance)
    np.testing.assert_allclose(as_numpy(layer(x, training=False)), expected, rtol=1e-4, atol=1e-4)


def test_unknown_normalization_is_named_with_the_choices():
    with pytest.raises(ValueError, match=r"normalization must be one of.*layer.*group.*batch.*'x'"):
        make_normalization("x", 1e-5, "float32")


def test_dense_layers_start_from_their_initializer_and_zero_biases():
    dense = make_dense(500, {"class_name": "RandomNormal", "config": {"stddev": 0.02}}, "float32")
    dense.build((None, 400))
    kernel = as_numpy(dense.kernel)
    assert kernel.std() == pytest.approx(0.02, rel=0.02)
    assert kernel.mean() == pytest.approx(0.0, abs=0.0002)
    assert not as_numpy(dense.bias).any()


def test_layers_that_share_an_initializer_start_apart():
    shared = keras.initializers.RandomNormal(stddev=0.1)
    layer = MLP(1, kernel_initializer=shared)
    layer.build((None, 4, 4, 8))
    expand, project = as_numpy(layer.expand.kernel), as_numpy(layer.project.kernel)
    assert expand.shape == project.shape
    assert np.abs(expand - project).max() > 0.1


@pytest.mark.parametrize(("activation", "oracle"), [("gelu", gelu), ("relu", relu)])
@pytest.mark.parametrize("ratio", [2, 2.5])
def test_mlp_equals_two_matrix_products(activation, oracle, ratio):
    x = normal((2, 3, 4, 6))
    layer = MLP(ratio, activation=activation)
    layer.build(x.shape)
    perturb(layer)
    weights = weights_of(layer)
    assert weights["expand/kernel"].shape == (6, int(6 * ratio))
    dense = [weights[f"{name}/{kind}"] for name in ("expand", "project") for kind in KINDS]
    np.testing.assert_allclose(
        as_numpy(layer(x)), mlp(x.astype("float64"), *dense, activation=oracle), atol=1e-5
    )


def test_gelu_is_the_exact_one():
    """The tanh approximation is off by up to 5e-4, which pretrained weights would feel."""
    x = np.linspace(-4.0, 4.0, 81, dtype="float32").reshape(81, 1)
    layer = MLP(1)
    layer.build(x.shape)
    for dense in (layer.expand, layer.project):
        dense.kernel.assign([[1.0]])
    np.testing.assert_allclose(as_numpy(layer(x)), gelu(x.astype("float64")), atol=2e-6)
    approximate = 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))
    assert np.abs(as_numpy(layer(x)) - approximate).max() > 1e-4


def test_mlp_dropout_acts_after_both_dense_layers():
    layer = MLP(1, mlp_dropout_rate=0.5, activation="linear")
    x = np.ones((1, 1000), "float32")
    layer.build(x.shape)
    layer.expand.kernel.assign(np.eye(1000))
    layer.project.kernel.assign(np.eye(1000))
    y = as_numpy(layer(x, training=True))
    # Each of the two keeps half and doubles it: a quarter remains, four times as large.
    assert set(np.unique(y)) == {0.0, 4.0}
    assert np.count_nonzero(y) == pytest.approx(250, abs=5 * np.sqrt(1000 * 0.25 * 0.75))


@pytest.mark.parametrize(
    ("layer", "config", "message"),
    [
        (MLP, {"mlp_expand_ratio": 0}, "mlp_expand_ratio must be > 0, got 0"),
        (MLP, {"mlp_expand_ratio": -1}, "mlp_expand_ratio must be > 0, got -1"),
        (MLP, {"mlp_expand_ratio": float("nan")}, "mlp_expand_ratio must be > 0, got nan"),
        (MLP, {"mlp_dropout_rate": 1.0}, r"mlp_dropout_rate must be a number in \[0, 1\)"),
        (MLP, {"activation": "no_such"}, "no_such"),
        (DropPath, {"drop_path_rate": 1.0}, r"drop_path_rate must be .*got 1\.0"),
        (DropPath, {"drop_path_rate": -0.1}, r"drop_path_rate must be .*got -0\.1"),
        (DropPath, {"drop_path_rate": float("nan")}, "drop_path_rate must be .*got nan"),
        (ShiftViTBlock, {"shift_pixel": -1}, "shift_pixel"),
        (ShiftViTBlock, {"drop_path_rate": 2.0}, "drop_path_rate"),
        (ShiftViTBlock, {"normalization": "x"}, "normalization"),
        (ShiftViTBlock, {"shift_variant": "x"}, "shift_variant must be one of .*'x'"),
        (ShiftViTBlock, {"group_channels": -1}, "group_channels must be .*got -1"),
    ],
)
def test_bad_arguments_are_named(layer, config, message):
    with pytest.raises(ValueError, match=message):
        layer(**config)


def test_an_mlp_without_hidden_units_is_refused():
    for channels in (8, 12, 48, 96, 128):
        with pytest.raises(ValueError, match="leaves no hidden unit") as error:
            MLP(mlp_expand_ratio=0.001).build((None, 4, 4, channels))
        advised = float(str(error.value).split(">= ")[1].rstrip("."))
        MLP(mlp_expand_ratio=advised).build((None, 4, 4, channels))


def drop_rates(y, keep):
    """Share of dropped samples; every sample must be dropped whole or scaled whole."""
    samples = y.reshape(len(y), -1)
    dropped = (samples == 0).all(axis=1)
    np.testing.assert_allclose(samples[~dropped], 1.0 / keep, rtol=1e-6)
    return dropped.mean()


def binomial_bound(rate, count):
    """Five standard deviations of an observed share: one failure in two million."""
    return 5.0 * np.sqrt(rate * (1.0 - rate) / count)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.6])
def test_drop_path_has_the_distribution_of_dropout_per_sample(rate):
    x = np.ones((4000, 2, 1, 3), "float32")
    ours = as_numpy(DropPath(rate, seed=1)(x, training=True))
    dropout = keras.layers.Dropout(rate, noise_shape=(None, 1, 1, 1), seed=2)
    theirs = as_numpy(dropout(x, training=True))
    for y in (ours, theirs):
        assert drop_rates(y, 1.0 - rate) == pytest.approx(rate, abs=binomial_bound(rate, len(x)))
        # Each kept sample adds 1 / keep, so the mean strays by the share's bound over keep.
        bound = binomial_bound(rate, len(x)) / (1.0 - rate)
        assert y.mean() == pytest.approx(1.0, abs=bound)


def test_drop_path_draws_a_new_mask_at_each_call_and_repeats_with_its_seed():
    x = np.ones((64, 1, 1, 1), "float32")

    def masks(seed):
        layer = DropPath(0.5, seed=seed)
        return [as_numpy(layer(x, training=True)).ravel() > 0 for _ in range(3)]

    first = masks(seed=8)
    assert not (first[0] == first[1]).all()
    assert not (first[1] == first[2]).all()
    np.testing.assert_array_equal(first, masks(seed=8))
    assert not np.array_equal(first, masks(seed=9))


def test_two_drop_paths_without_seeds_differ():
    x = np.ones((64, 1, 1, 1), "float32")
    first, second = (as_numpy(DropPath(0.5)(x, training=True)) for _ in range(2))
    assert not np.array_equal(first, second)


def test_drop_path_draws_anew_in_compiled_training():
    inputs = keras.Input((1, 1, 2))
    layer = DropPath(0.5)
    model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False)(layer(inputs)))
    model.set_weights([np.array([[0.5], [0.5]])])
    compiled = keras.config.backend() != "torch"  # which Keras runs eagerly
    model.compile(keras.optimizers.SGD(0.0), loss=mean_output, jit_compile=compiled)
    x, y = np.ones((32, 1, 1, 2), "float32"), np.zeros((32, 1, 1, 1), "float32")

    def loss(on_batch):
        model.reset_metrics()  # Keras 3.13 gives the mean since the last reset
        return float(on_batch(x, y))

    # Each kept sample contributes 1 / keep = 2 to the mean over 32.
    kept = [16 * loss(model.train_on_batch) for _ in range(6)]
    assert model.jit_compile is compiled
    np.testing.assert_allclose(kept, np.round(kept), atol=1e-4)
    assert len(set(np.round(kept))) > 1, "the same mask at every step"
    assert all(0 < count < 32 for count in kept)
    assert loss(model.test_on_batch) == pytest.approx(1.0)


def mean_output(_, outputs):
    return ops.mean(outputs)


@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.parametrize("normalization", ["layer", "group", "batch"])
def test_block_equals_the_papers_formula(normalization, activation):
    x = normal((2, 5, 4, 13))
    config = {
        "num_div": 6,
        "shift_pixel": 2,
        "epsilon": 1e-3,
        "normalization": normalization,
        "activation": activation,
    }
    block = ShiftViTBlock(**config, mlp_expand_ratio=2)
    block.build(x.shape)
    perturb(block)
    expected = block_oracle(x.astype("float64"), weights_of(block), config)
    np.testing.assert_allclose(as_numpy(block(x, training=True)), expected, rtol=1e-4, atol=1e-4)


def test_shortcut_leaves_after_the_shift():
    x = normal((2, 4, 4, 12))
    block = ShiftViTBlock()
    block.build(x.shape)
    for weights in (block.mlp.project.kernel, block.mlp.project.bias):
        weights.assign(np.zeros(weights.shape))
    np.testing.assert_array_equal(as_numpy(block(x)), shifted(x))


@pytest.mark.parametrize("shift_variant", ["border_zeroing", "none"])
def test_block_runs_its_branch_on_what_its_variant_leaves(shift_variant):
    x = normal((2, 3, 4, 13))
    block = ShiftViTBlock(mlp_expand_ratio=2, shift_variant=shift_variant, group_channels=3)
    block.build(x.shape)
    perturb(block)
    left = x.astype("float64")
    if shift_variant == "border_zeroing":
        left[:, :, -1, :3] = left[:, :, 0, 3:6] = left[:, -1, :, 6:9] = left[:, 0, :, 9:12] = 0.0
    # At a shift of 0 pixels the oracle's shift does nothing.
    config = {"num_div": 4, "shift_pixel": 0, "epsilon": 1e-5, "normalization": "layer"}
    expected = block_oracle(left, weights_of(block), {**config, "activation": "gelu"})
    np.testing.assert_allclose(as_numpy(block(x)), expected, rtol=1e-4, atol=1e-4)


def test_a_dropped_branch_leaves_the_shifted_map():
    x = normal((16, 4, 4, 12))
    block = ShiftViTBlock(drop_path_rate=0.5)
    block.build(x.shape)
    perturb(block)
    shortcut = shifted(x.astype("float64"))
    branch = as_numpy(block(x)) - shortcut
    in_training = as_numpy(block(x, training=True)) - shortcut
    dropped = np.array([not sample.any() for sample in in_training])
    assert 0 < dropped.sum() < 16
    np.testing.assert_allclose(in_training[~dropped], 2.0 * branch[~dropped], rtol=1e-3, atol=1e-4)


def test_gradients_equal_finite_differences():
    """Differences of the NumPy formula in float64, of every input and every weight."""
    x = normal((1, 3, 2, 6))
    weighting = normal(x.shape, seed=6)
    config = {
        "num_div": 5,
        "shift_pixel": 1,
        "epsilon": 1e-3,
        "normalization": "layer",
        "activation": "gelu",
    }
    block = ShiftViTBlock(**config, mlp_expand_ratio=2)
    block.build(x.shape)
    perturb(block)
    weights = weights_of(block)

    def loss(x, **changed):
        return (weighting * block_oracle(x, {**weights, **changed}, config)).sum()

    of_inputs, of_weights = gradients(block, x, weighting)
    x = x.astype("float64")
    np.testing.assert_allclose(of_inputs, central_differences(loss, x), rtol=1e-3, atol=1e-4)
    names = [variable.path.partition("/")[2] for variable in block.trainable_weights]
    assert len(names) == len(of_weights) == 6
    for name, gradient in zip(names, of_weights, strict=True):
        expected = central_differences(lambda w, name=name: loss(x, **{name: w}), weights[name])
        np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-4, err_msg=name)

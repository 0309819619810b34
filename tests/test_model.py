"""The network as a whole against NumPy, its drop path ramp, its sizes and its errors."""

import json
import zipfile

import keras
import numpy as np
import numpy_oracles
import pytest
from numpy_oracles import as_numpy, network

from shiftvit_utils import PRESETS, ShiftViT
from shiftvit_utils.model import drop_path_ramp, drop_path_rates

SMALL = {
    "num_classes": 5,
    "patch_size": 4,
    "projected_dim": 12,
    "num_shift_blocks_per_stages": (2, 1, 1),
    "mlp_expand_ratio": 2,
}


def normal(shape, seed=5):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def perturbed(model):
    rng = np.random.default_rng(1)
    for variable in model.weights:
        low, high = (0.5, 1.5) if "gamma" in variable.path else (-0.3, 0.3)
        variable.assign(rng.uniform(low, high, variable.shape))
    return model


@pytest.mark.parametrize("fixed", [True, False], ids=["fixed size", "unknown size"])
@pytest.mark.parametrize(
    "size",
    [
        (16, 16),
        (20, 12),  # maps of 5x3, then 3x2, then 2x1
        (4, 4),  # one pixel in every stage
    ],
    ids=str,
)
def test_equals_numpy(size, fixed):
    image_shape = (*size, 3) if fixed else (None, None, 3)
    model = perturbed(ShiftViT(image_shape, **SMALL, num_div=7, shift_pixel=2, epsilon=1e-3))
    x = normal((3, *size, 3))
    # Paths in a functional model begin with the layer's name, not with the model's.
    weights = {variable.path: as_numpy(variable) for variable in model.weights}
    expected = network(x.astype("float64"), weights, (2, 1, 1), 4, 7, 2, epsilon=1e-3)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("blocks", [(2, 4, 8, 2), (3,), (1, 1), (1,), (0, 2)])
def test_drop_path_rates_rise_linearly_over_all_blocks(blocks):
    rate, count = 0.2, sum(blocks)
    # As torch.linspace(0, rate, count) in the authors' code.
    expected = [rate * k / (count - 1) if count > 1 else 0.0 for k in range(count)]
    ramp = drop_path_ramp(rate, blocks)
    assert [len(stage) for stage in ramp] == list(blocks)
    assert [r for stage in ramp for r in stage] == pytest.approx(expected)


@pytest.mark.parametrize("blocks", [(2, 4, 8, 2), (3,), (1, 1), (0, 2)])
def test_drop_path_rates_may_rise_from_zero_in_every_stage(blocks):
    rate = 0.2
    expected = [[rate * k / (n - 1) if n > 1 else 0.0 for k in range(n)] for n in blocks]
    found = drop_path_rates(rate, blocks, ramp="stage")
    assert [len(stage) for stage in found] == list(blocks)
    for rates, by_hand in zip(found, expected, strict=True):
        assert rates == pytest.approx(by_hand)


def stages_of(model):
    return [layer for layer in model.layers if layer.name.startswith("stage_")]


def test_network_has_the_ramp_that_was_asked_for():
    blocks = {"num_shift_blocks_per_stages": (2, 3), "stochastic_depth_rate": 0.4}
    for ramp, expected in (
        ("stage", [[0.0, 0.4], [0.0, 0.2, 0.4]]),
        ("network", [[0.0, 0.1], [0.2, 0.3, 0.4]]),
    ):
        model = ShiftViT.from_preset("micro", **blocks, drop_path_ramp=ramp)
        for stage, rates in zip(stages_of(model), expected, strict=True):
            found = [block.drop_path.drop_path_rate for block in stage.blocks]
            assert found == pytest.approx(rates)


@pytest.mark.parametrize(
    ("group_channels", "shares"),
    [(12, [1 / 2, 1 / 4, 1 / 8, 1 / 16]), (None, [1 / 3] * 4)],
    ids=["the published example", "the paper"],
)
def test_share_of_channels_that_move_in_each_stage_of_cifar10(group_channels, shares):
    model = ShiftViT.from_preset(
        "cifar10",
        num_shift_blocks_per_stages=(1, 1, 1, 1),
        kernel_initializer="zeros",
        group_channels=group_channels,
    )
    for k, (stage, share) in enumerate(zip(stages_of(model), shares, strict=True)):
        x = normal((1, 4, 4, 96 * 2**k))
        moved = (as_numpy(stage.blocks[0].shift(x), "float32") != x).any(axis=(0, 1, 2))
        assert moved.mean() == share


def test_network_of_the_published_examples_shift_equals_numpy(monkeypatch):
    def border_zeroed(x, num_div, shift_pixel):
        y = x.copy()
        y[:, :, -1, :3] = y[:, :, 0, 3:6] = y[:, -1, :, 6:9] = y[:, 0, :, 9:12] = 0.0
        return y

    monkeypatch.setattr(numpy_oracles, "shifted", border_zeroed)
    variant = {"shift_variant": "border_zeroing", "group_channels": 3}
    model = perturbed(ShiftViT((16, 16, 3), **SMALL, **variant, epsilon=1e-3))
    x = normal((3, 16, 16, 3))
    weights = {variable.path: as_numpy(variable) for variable in model.weights}
    expected = network(x.astype("float64"), weights, (2, 1, 1), 4, epsilon=1e-3)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-3, atol=1e-3)


NEW_ARGUMENTS = ("shift_variant", "group_channels", "drop_path_ramp", "token_mixer")


def without_new_arguments(config):
    """The same nested configuration as it was saved before there were these arguments."""
    if isinstance(config, dict):
        return {
            name: without_new_arguments(value)
            for name, value in config.items()
            if name not in NEW_ARGUMENTS
        }
    return [without_new_arguments(item) for item in config] if isinstance(config, list) else config


def test_a_file_from_before_the_variants_still_loads(tmp_path):
    model = perturbed(ShiftViT((16, 16, 3), **SMALL, stochastic_depth_rate=0.4))
    model.save(tmp_path / "new.keras")
    with (
        zipfile.ZipFile(tmp_path / "new.keras") as new,
        zipfile.ZipFile(tmp_path / "old.keras", "w") as old,
    ):
        for name in new.namelist():
            content = new.read(name)
            if name == "config.json":
                assert all(argument in content.decode() for argument in NEW_ARGUMENTS)
                content = json.dumps(without_new_arguments(json.loads(content)))
            old.writestr(name, content)
    loaded = keras.saving.load_model(tmp_path / "old.keras")
    assert loaded.get_config() == model.get_config()
    x = normal((3, 16, 16, 3))
    expected = model.predict(x, verbose=0)
    np.testing.assert_allclose(loaded.predict(x, verbose=0), expected, atol=1e-5)


def test_blocks_of_the_network_have_the_ramps_rates():
    model = ShiftViT.from_preset("micro", stochastic_depth_rate=0.5)
    stages = [layer for layer in model.layers if layer.name.startswith("stage_")]
    rates = [[block.drop_path.drop_path_rate for block in stage.blocks] for stage in stages]
    assert rates == [[0.0, 0.1], [pytest.approx(0.2), pytest.approx(0.3)], [0.4, 0.5]]


def test_without_rates_training_equals_inference():
    model = perturbed(ShiftViT((16, 16, 3), **SMALL))
    x = normal((3, 16, 16, 3))
    np.testing.assert_array_equal(as_numpy(model(x, training=True)), as_numpy(model(x)))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_logits_are_float32_under_mixed_precision(policy):
    model = ShiftViT((16, 16, 3), **SMALL, dtype=policy)
    assert model.output.dtype == "float32"
    assert model.get_layer("stage_0").compute_dtype == policy.removeprefix("mixed_")
    assert model.get_layer("head").compute_dtype == "float32"
    assert ShiftViT.from_config(model.get_config()).dtype_policy.name == policy


def test_kernels_start_apart_and_within_glorots_bounds():
    model = ShiftViT((16, 16, 3), **SMALL)
    kernels = [as_numpy(v) for v in model.weights if v.path.endswith("kernel")]
    assert len(kernels) == 1 + 2 * 4 + 2 + 1  # embedding, two in each block, mergings, head
    for kernel in kernels:
        bound = np.sqrt(6.0 / sum(kernel.shape))
        assert 0.8 * bound < np.abs(kernel).max() <= bound + 1e-6
    corners = [kernel[0, 0] for kernel in kernels]
    assert len(set(corners)) == len(corners)


def test_global_dtype_policy_is_the_default():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = ShiftViT((16, 16, 3), **SMALL)
    finally:
        keras.config.set_dtype_policy(before)
    assert model.get_layer("stage_1").blocks[0].mlp.compute_dtype == "bfloat16"


def test_layers_bear_the_names_that_checkpoints_use():
    model = ShiftViT((16, 16, 3), **SMALL)
    assert [layer.name for layer in model.layers] == [
        "images",
        "patch_embedding",
        "stage_0",
        "stage_1",
        "stage_2",
        "norm",
        "average_pooling",
        "head",
    ]
    assert model.get_layer("stage_1").merging is not None
    assert model.get_layer("stage_2").merging is None


def test_from_preset_with_overrides():
    model = ShiftViT.from_preset("micro", num_classes=3, projected_dim=12, final_norm=False)
    config = model.get_config()
    assert config | {"num_classes": 3, "projected_dim": 12, "final_norm": False} == config
    kept = PRESETS["micro"].keys() - {"num_classes", "projected_dim"}
    assert {key: config[key] for key in kept} == {key: PRESETS["micro"][key] for key in kept}
    assert model.output_shape == (None, 3)
    assert PRESETS["micro"]["num_classes"] == 10, "the preset itself must not change"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("image_shape", (32, 32), r"image_shape must be \(height, width, channels\)"),
        ("image_shape", (32, 32, None), "image_shape must be .*known channels"),
        ("image_shape", (30, 32, 3), "height of the images, 30, .* patch_size=4"),
        ("image_shape", (0, 32, 3), "image_shape"),
        ("image_shape", (-4, 32, 3), "image_shape"),
        ("num_classes", 0, "num_classes must be a positive int, got 0"),
        ("num_classes", 2.5, "num_classes must be a positive int, got 2.5"),
        ("num_classes", True, "num_classes must be a positive int, got True"),
        ("patch_size", 0, "patch_size must be a positive int"),
        ("projected_dim", -1, "projected_dim must be a positive int"),
        ("num_shift_blocks_per_stages", (), r"num_shift_blocks_per_stages must hold .*got \(\)"),
        ("num_shift_blocks_per_stages", (2, -1), "num_shift_blocks_per_stages must hold"),
        ("num_shift_blocks_per_stages", (2, 1.5), "num_shift_blocks_per_stages must hold"),
        ("num_shift_blocks_per_stages", 3, "num_shift_blocks_per_stages must hold"),
        ("num_div", 25, "num_div=25 is larger than the 24 channels"),
        ("num_div", 3, "Use num_div >= 4"),
        ("shift_pixel", -1, "shift_pixel must be an int >= 0"),
        ("mlp_expand_ratio", 0, "mlp_expand_ratio must be > 0"),
        ("mlp_expand_ratio", 0.01, "mlp_expand_ratio"),
        ("mlp_dropout_rate", 1.0, r"mlp_dropout_rate must be a number in \[0, 1\)"),
        ("stochastic_depth_rate", -0.1, r"stochastic_depth_rate must be a number in \[0, 1\)"),
        ("stochastic_depth_rate", float("nan"), "stochastic_depth_rate must be a number"),
        ("epsilon", -1e-5, "epsilon"),
        ("normalization", "instance", "normalization must be one of .*'instance'"),
        ("activation", "no_such", "no_such"),
        ("shift_variant", "roll", "shift_variant must be one of .*'roll'"),
        ("group_channels", 7, "group_channels=7 need 28 channels, but there are 24"),
        ("group_channels", 0, "group_channels must be None .* got 0"),
        ("drop_path_ramp", "block", "drop_path_ramp must be one of .*'network', 'stage'.*'block'"),
    ],
)
def test_bad_arguments_are_named(name, value, message):
    with pytest.raises(ValueError, match=message):
        ShiftViT.from_preset("micro", **{name: value})


def test_a_misspelt_argument_is_refused():
    with pytest.raises((TypeError, ValueError), match="num_blocks"):
        ShiftViT.from_preset("micro", num_blocks=(1, 1, 1))


def test_a_frozen_network_stays_frozen_inside_another_model(tmp_path):
    frozen = ShiftViT.from_preset("micro", normalization="batch", trainable=False)
    later = ShiftViT.from_preset("micro", normalization="batch")
    later.trainable = False
    for whole in (frozen, later):
        features = keras.Model(whole.input, whole.get_layer("average_pooling").output)
        outputs = keras.layers.Dense(2, name="new")(features(whole.input))
        model = keras.Model(whole.input, outputs)
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        before = whole.get_weights()
        images = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype("float32")
        model.train_on_batch(images, np.array([0, 1, 0, 1]))
        for found, expected in zip(whole.get_weights(), before, strict=True):
            np.testing.assert_array_equal(found, expected)
        assert [variable.path for variable in model.trainable_weights] == ["new/kernel", "new/bias"]
        whole.save(tmp_path / "network.keras")
        again = keras.saving.load_model(tmp_path / "network.keras")
        assert keras.Model(again.input, again.output).trainable_weights == []

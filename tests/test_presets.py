"""Presets: published parameter counts, counted on networks that are really built."""

import pytest

from shiftvit_utils import PRESETS, RECIPES, ShiftViT, build_classifier
from shiftvit_utils.presets import preset_config

pytestmark = pytest.mark.backend_free

# Counted from the registry of the authors' code, 1000 classes.
PAPER = {
    "light_tiny": 19_608_328,
    "r4_tiny": 31_426_312,
    "r2_tiny": 28_566_664,
    "light_small": 33_796_360,
    "r4_small": 51_523_336,
    "r2_small": 50_304_136,
    "light_base": 59_708_776,
    "r4_base": 87_271_528,
    "r2_base": 89_026_408,
}

# From the same registry: depths, MLP ratio, drop path, dimension, n_div.
REGISTRY = {
    "light_tiny": ((2, 2, 6, 2), 4, 0.2, 96, 12),
    "r4_tiny": ((2, 2, 12, 3), 4, 0.2, 96, 12),
    "r2_tiny": ((6, 8, 18, 6), 2, 0.2, 96, 12),
    "light_small": ((2, 2, 18, 2), 4, 0.4, 96, 12),
    "r4_small": ((2, 6, 24, 4), 4, 0.4, 96, 12),
    "r2_small": ((10, 18, 36, 10), 2, 0.4, 96, 12),
    "light_base": ((2, 2, 18, 2), 4, 0.5, 128, 16),
    "r4_base": ((4, 6, 22, 4), 4, 0.5, 128, 16),
    "r2_base": ((10, 18, 36, 10), 2, 0.6, 128, 16),
}


@pytest.mark.parametrize("name", PAPER)
def test_variants_of_the_paper_have_their_parameters(name):
    # Counting needs no random numbers, which are most of the time that a large network takes.
    model = ShiftViT.from_preset(name, kernel_initializer="zeros")
    assert model.count_params() == PAPER[name]
    config = model.get_config()
    chosen = (
        config["num_shift_blocks_per_stages"],
        config["mlp_expand_ratio"],
        config["stochastic_depth_rate"],
        config["projected_dim"],
        config["num_div"],
    )
    assert chosen == REGISTRY[name]
    assert (config["normalization"], config["patch_norm"]) == ("group", True)
    assert (model.input_shape, model.output_shape) == ((None, 224, 224, 3), (None, 1000))


def test_cifar10_has_the_parameters_of_the_published_example():
    assert ShiftViT.from_preset("cifar10").count_params() == 11_690_602
    # Preprocessing inside the classifier adds no weight.
    model = build_classifier("cifar10", augmentation="published")
    assert model.count_params() == 11_690_602


def test_cifar10_with_the_published_examples_recipe_has_its_parameters():
    names = (
        *("augmentation", "mlp_dropout_rate", "stochastic_depth_rate"),
        *("drop_path_ramp", "shift_variant", "group_channels"),
    )
    recipe = {name: RECIPES["keras_io_2022"][name] for name in names}
    assert build_classifier("cifar10", **recipe).count_params() == 11_690_602


def test_micro_has_the_parameters_of_the_digits_run():
    assert ShiftViT.from_preset("micro").count_params() == 124_018


@pytest.mark.parametrize(("name", "most"), [("nano", 999_999), ("cifar10_strong", 12_000_000)])
def test_course_presets_stay_below_their_bound(name, most):
    count = ShiftViT.from_preset(name).count_params()
    assert most / 2 < count <= most


def test_every_preset_is_covered():
    assert set(PRESETS) == {*PAPER, "micro", "nano", "cifar10", "cifar10_strong"}


def test_unknown_preset_lists_those_there_are():
    with pytest.raises(ValueError, match=r"Unknown preset 'huge'") as error:
        ShiftViT.from_preset("huge")
    assert all(name in str(error.value) for name in PRESETS)


def test_a_presets_config_is_safe_to_change():
    preset_config("micro")["num_classes"] = 3
    assert preset_config("micro")["num_classes"] == 10
    initializer = preset_config("r4_tiny")["kernel_initializer"]
    before = repr(initializer)
    initializer["config"].clear()
    assert repr(preset_config("r4_tiny")["kernel_initializer"]) == before

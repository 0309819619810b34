"""`TrainConfig`: which values it refuses and how, and what `resolved` fills in."""

import dataclasses
import json
import math
import types
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftvit_utils.config import TrainConfig
from shiftvit_utils.presets import PRESETS

pytestmark = pytest.mark.backend_free

ROOT = Path(__file__).parents[1]

# The published example, as its text, its code and its log give it.
KERAS_IO_2022 = {
    "augmentation": "keras_io_2022",
    "batch_size": 256,
    "lr_start": 1e-5,
    "lr_max": 1e-3,
    "warmup_fraction": 0.15,
    "weight_decay": 1e-4,
    "weight_decay_mode": "constant",
    "decay_all": True,
    "label_smoothing": 0.0,
    "mlp_dropout_rate": 0.2,
    "stochastic_depth_rate": 0.2,
    "drop_path_ramp": "stage",
    "shift_variant": "border_zeroing",
    "group_channels": 12,
    "early_stopping_patience": 5,
    "keep_weights": "last",
}
# What no recipe decides: None has a meaning of its own there.
STAYS_NONE = {
    "ema_momentum",
    "global_clipnorm",
    "validation_size",
    "limit_train",
    "image_size",
    "run_dir",
    "network",
    "initial_weights",
    "optimizer",
    "mixup_alpha",
    "cutmix_alpha",
    "max_translation",
}
# What the other recipes leave as it is without them.
KERAS_IO_2022_ONLY = {
    "decay_all",
    "drop_path_ramp",
    "shift_variant",
    "group_channels",
    "early_stopping_patience",
    "keep_weights",
}
OPEN = {
    "light": (STAYS_NONE | KERAS_IO_2022_ONLY | {"stochastic_depth_rate"}) - {"optimizer"},
    "fast": (STAYS_NONE | KERAS_IO_2022_ONLY | {"stochastic_depth_rate"})
    - {"network", "max_translation", "optimizer"},
    "long": (STAYS_NONE | KERAS_IO_2022_ONLY | {"stochastic_depth_rate"})
    - {"network", "mixup_alpha", "cutmix_alpha", "optimizer"},
    "small": (STAYS_NONE | KERAS_IO_2022_ONLY) - {"optimizer"},
    "keras_io_2022": STAYS_NONE - {"optimizer"},
}

NAN, INFINITY = math.nan, math.inf


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("preset", tuple(PRESETS)),
        ("recipe", ("light", "fast", "long", "small", "keras_io_2022")),
        ("precision", ("float32", "mixed_bfloat16", "mixed_float16")),
        (
            "augmentation",
            ("light", "erasing", "randaugment", "published", "keras_io_2022", "none"),
        ),
        ("optimizer", ("adamw", "sgd", "muon")),
        ("weight_decay_mode", ("times_lr", "constant")),
        ("decay_all", (True, False)),
        ("drop_path_ramp", ("network", "stage")),
        ("shift_variant", ("paper", "border_zeroing", "none")),
        ("keep_weights", ("best", "last")),
        ("jit", ("auto", True, False)),
    ],
)
def test_unknown_choice_lists_the_valid_ones(name, choices):
    with pytest.raises(ValueError, match=f"Unknown {name} 'nonsense'") as caught:
        TrainConfig(**{name: "nonsense"})
    for choice in choices:
        assert str(choice) in str(caught.value)
        assert getattr(TrainConfig(**{name: choice}), name) == choice


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("epochs", value) for value in (0, -1, True, 2.0, "3", None, NAN)],
        *[("batch_size", value) for value in (0, -8, True, 8.0)],
        *[("steps_per_execution", value) for value in (0, False, None)],
        *[("early_stopping_patience", value) for value in (-1, 1.5, True)],
        *[("group_channels", value) for value in (-1, 12.0, True)],
        *[("max_translation", value) for value in (-1, 2.0, True)],
        *[("limit_train", value) for value in (-1, True, 0.5)],
        *[("resume", value) for value in ("false", None)],  # papermill gives "false" as a text
        *[("data_parallel", value) for value in ("no", None)],
        *[("horizontal_flip", value) for value in ("false", "yes")],
        *[("seed", value) for value in (-1, True, 1.0, None)],
        *[("save_every_steps", value) for value in (-1, True, None)],
        *[("save_every_epochs", value) for value in (0, True, None)],
        *[("lr_start", value) for value in (-1e-9, NAN, INFINITY, "0.1")],
        *[("lr_max", value) for value in (-1e-9, NAN, INFINITY, "0.1")],
        *[("weight_decay", value) for value in (-1e-9, NAN, INFINITY, "0.1")],
        *[("label_smoothing", value) for value in (-0.1, 1.0, NAN, "0.1")],
        *[("mlp_dropout_rate", value) for value in (-0.1, 1.0, NAN)],
        *[("stochastic_depth_rate", value) for value in (-0.1, 1.0, NAN)],
        *[("warmup_fraction", value) for value in (-0.1, 1.1, NAN, "0.1")],
        *[("ema_momentum", value) for value in (0.0, 1.0, -0.5, NAN)],
        *[("mixup_alpha", value) for value in (-0.1, NAN, INFINITY, "0.2")],
        *[("cutmix_alpha", value) for value in (-0.1, NAN, INFINITY, "0.2")],
        *[("network", value) for value in ("micro", 3, [("num_div", 4)])],
        *[("global_clipnorm", value) for value in (0.0, -1.0, NAN, INFINITY)],
    ],
)
def test_value_that_no_run_can_use_is_named(name, value):
    # A TypeError is as good an answer to a value of another type, if it says which.
    expected = (ValueError, TypeError)
    with pytest.raises(expected, match=name) as caught:
        TrainConfig(**{name: value})
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    "rates",
    [
        {"lr_start": 0.2, "lr_max": 0.1},
        {"lr_start": 0.1},  # above the 0.003 of the recipe
        {"lr_max": 1e-6},  # below the 0.00001 of the recipe
        {"lr_start": 2e-3, "recipe": "keras_io_2022"},  # fine for "light", above this recipe's peak
    ],
)
def test_warmup_that_goes_down_is_refused(rates):
    with pytest.raises(ValueError, match=r"lr_max=.* is below lr_start=.*must not go down"):
        TrainConfig(**rates)


def test_equal_rates_and_zeros_are_accepted():
    config = TrainConfig(lr_start=0.0, lr_max=0.0, weight_decay=0.0, warmup_fraction=0.0, seed=0)
    assert (config.lr_start, config.lr_max) == (0.0, 0.0)
    TrainConfig(lr_start=2e-3)  # below the peak of "light"


def test_config_cannot_be_changed_behind_the_check():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().epochs = 0
    with pytest.raises(TypeError):
        TrainConfig("digits")  # by name only


def test_keras_io_2022_has_the_published_numbers():
    config = TrainConfig(recipe="keras_io_2022", preset="cifar10", dataset="cifar10")
    config = config.resolved(num_train=40_000)
    assert {name: getattr(config, name) for name in KERAS_IO_2022} == KERAS_IO_2022


FIXES = {
    "augmentation": "published",
    "weight_decay_mode": "times_lr",
    "decay_all": False,
    "label_smoothing": 0.1,
    "mlp_dropout_rate": 0.0,
    "stochastic_depth_rate": 0.0,
    "drop_path_ramp": "network",
    "shift_variant": "paper",
    "group_channels": 0,
    "early_stopping_patience": 0,
    "keep_weights": "best",
}


def test_long_is_the_recipe_of_the_measured_run():
    results = ROOT / "benchmarks" / "results" / "gpu-runs-h100.json"
    measured = json.loads(results.read_text())["cifar10_strong_randaugment"]["config"]
    where_and_how = {"recipe", "run_dir", "resume", "save_every_epochs"}
    now = TrainConfig(
        dataset="cifar10",
        preset="cifar10_strong",
        recipe="long",
        epochs=130,
        precision="mixed_bfloat16",
        validation_size=5000,
    ).resolved(num_train=45_000)
    found = dataclasses.asdict(now)
    # Under another name then, with what "long" adds to it given by hand. No optimizer was AdamW.
    assert measured.pop("recipe") == "light"
    assert measured.pop("optimizer") is None
    assert found["optimizer"] == "adamw"
    assert {name: found[name] for name in measured if name not in where_and_how} == {
        name: value for name, value in measured.items() if name not in where_and_how
    }


def test_the_long_run_on_two_cores_is_of_the_call_in_the_text():
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    section = text.split("\n## Smaller patches, for hours on two cores\n")[1].split("\n## ")[0]
    call = section.split("```python\n")[1].split("```")[0]
    calls = []
    exec(call, {"sv": types.SimpleNamespace(train=calls.append, TrainConfig=TrainConfig)})
    (config,) = calls
    found = dataclasses.asdict(config.resolved(num_train=45_000))
    results = ROOT / "benchmarks" / "results" / "smaller-patches-run-cpu.json"
    measured = json.loads(results.read_text())
    assert {name: found[name] for name in measured["config"]} == measured["config"]
    val_top1 = [epoch["val_top1"] for epoch in measured["history"]]
    metrics = measured["metrics"]
    assert len(val_top1) == metrics["epochs"] == found["epochs"]
    assert metrics["val_top1"] == val_top1[-1]
    last = val_top1[42:]
    assert metrics["lowest_and_highest_val_top1_from_epoch_43_on"] == [min(last), max(last)]


@pytest.mark.parametrize(("given", "kept"), [(64, [64, 64]), ((48, 64), [48, 64]), (None, None)])
def test_image_size_is_kept_as_json_gives_it_back(given, kept):
    assert TrainConfig(image_size=given).image_size == kept


@pytest.mark.parametrize("value", ["64", 0, (1, 2, 3), 3.5])
def test_image_size_that_is_none(value):
    with pytest.raises((TypeError, ValueError), match=r"image_size=.* must be \(height, width\)"):
        TrainConfig(image_size=value)


def test_a_handful_of_images_makes_one_batch():
    assert TrainConfig(recipe="light").resolved(num_train=40).batch_size == 40
    assert TrainConfig(recipe="light").resolved(num_train=400).batch_size == 64


@pytest.mark.parametrize("name", FIXES)
def test_one_argument_mends_one_decision_of_keras_io_2022(name):
    baseline = TrainConfig(recipe="keras_io_2022", preset="cifar10").resolved(40_000)
    fix = {name: FIXES[name]}
    mended = TrainConfig(recipe="keras_io_2022", preset="cifar10", **fix).resolved(40_000)
    assert FIXES[name] != KERAS_IO_2022[name]
    assert dataclasses.asdict(mended) == dataclasses.asdict(baseline) | fix


@pytest.mark.parametrize(
    ("preset", "group_channels"), [("micro", 6), ("nano", 12), ("r2_base", 12)]
)
def test_the_recipes_groups_fit_into_every_preset(preset, group_channels):
    config = TrainConfig(recipe="keras_io_2022", preset=preset).resolved(40_000)
    assert config.group_channels == group_channels
    assert 4 * config.group_channels <= PRESETS[preset]["projected_dim"]
    given = TrainConfig(recipe="keras_io_2022", preset=preset, group_channels=100)
    assert given.resolved(40_000).group_channels == 100  # for the network to refuse


def test_the_recipe_of_that_name_is_gone_and_the_choices_are_named():
    with pytest.raises(ValueError, match=r"Unknown recipe 'published'.*'keras_io_2022'"):
        TrainConfig(recipe="published")


@pytest.mark.parametrize("recipe", OPEN)
def test_resolved_leaves_nothing_open_that_training_needs(recipe):
    config = TrainConfig(recipe=recipe).resolved(num_train=40_000)
    still_none = {name for name, value in dataclasses.asdict(config).items() if value is None}
    assert still_none == OPEN[recipe]
    assert config.resolved(num_train=40_000) == config


GIVEN = {
    "augmentation": st.sampled_from(["light", "published", "keras_io_2022", "none"]),
    "horizontal_flip": st.booleans(),
    "max_translation": st.integers(0, 4),
    "batch_size": st.integers(1, 100),
    "lr_start": st.floats(0.0, 1e-4),
    "lr_max": st.floats(1e-3, 1.0),
    "warmup_fraction": st.floats(0.0, 1.0),
    "weight_decay": st.floats(0.0, 1.0),
    "weight_decay_mode": st.sampled_from(["times_lr", "constant"]),
    "label_smoothing": st.floats(0.0, 0.9),
    "mlp_dropout_rate": st.floats(0.0, 0.9),
    "stochastic_depth_rate": st.floats(0.0, 0.9),
    "decay_all": st.booleans(),
    "drop_path_ramp": st.sampled_from(["network", "stage"]),
    "shift_variant": st.sampled_from(["paper", "border_zeroing", "none"]),
    "group_channels": st.integers(0, 12),
    "early_stopping_patience": st.integers(0, 9),
    "keep_weights": st.sampled_from(["best", "last"]),
}


@settings(deadline=None)
@given(
    given_settings=st.fixed_dictionaries({}, optional=GIVEN),
    recipe=st.sampled_from(["light", "fast", "long", "small", "keras_io_2022"]),
    num_train=st.sampled_from([100, 50_000]),
)
def test_resolved_keeps_what_was_given_even_if_it_is_zero_or_false(
    given_settings, recipe, num_train
):
    given_config = TrainConfig(recipe=recipe, **given_settings)
    config = given_config.resolved(num_train)
    before = dataclasses.asdict(given_config)
    changed = {name for name, value in dataclasses.asdict(config).items() if value != before[name]}
    assert not changed & set(given_settings)
    assert all(before[name] is None for name in changed)


@pytest.mark.parametrize(
    ("num_train", "batch_size"), [(64, 64), (9_999, 64), (10_000, 256), (40_000, 256)]
)
def test_small_data_gets_a_small_batch(num_train, batch_size):
    assert TrainConfig().resolved(num_train).batch_size == batch_size
    assert TrainConfig(batch_size=60).resolved(num_train).batch_size == 60


@pytest.mark.parametrize(
    ("settings", "num_train", "batch_size"),
    [({"batch_size": 64}, 63, 64), ({"batch_size": 101}, 100, 101)],
)
def test_batch_larger_than_the_data_is_refused(settings, num_train, batch_size):
    with pytest.raises(ValueError, match=f"batch_size={batch_size} .* {num_train} training images"):
        TrainConfig(**settings).resolved(num_train)
    assert TrainConfig(batch_size=num_train).resolved(num_train).batch_size == num_train


@pytest.mark.parametrize(
    ("dataset", "flips"), [("digits", False), ("cifar10", True), ("mine.npz", True)]
)
def test_only_digits_are_not_mirrored(dataset, flips):
    assert TrainConfig(dataset=dataset).resolved(1000).horizontal_flip is flips
    assert TrainConfig(dataset=dataset, horizontal_flip=True).resolved(1000).horizontal_flip
    assert not TrainConfig(dataset=dataset, horizontal_flip=False).resolved(1000).horizontal_flip


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"projected_dims": 24}, r"'projected_dims'.*no argument of ShiftViT.*projected_dim"),
        ({"num_classes": 3}, r"'num_classes'.*no argument of ShiftViT that a run can choose"),
        ({"mlp_dropout_rate": 0.1}, r"'mlp_dropout_rate'.*argument of TrainConfig itself"),
    ],
)
def test_network_takes_what_only_it_can_say(network, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(network=network)


def test_network_is_held_as_its_file_gives_it_back():
    config = TrainConfig(network={"num_shift_blocks_per_stages": (1, 2), "activation": "relu"})
    assert config.network == {"num_shift_blocks_per_stages": [1, 2], "activation": "relu"}
    assert json.loads(json.dumps(dataclasses.asdict(config)))["network"] == config.network


def test_the_recipes_groups_fit_into_a_network_of_another_width():
    config = TrainConfig(recipe="keras_io_2022", preset="cifar10", network={"projected_dim": 32})
    assert config.resolved(40_000).group_channels == 8


def test_a_recipe_and_a_run_both_have_a_word_on_the_network():
    config = TrainConfig(recipe="fast", network={"projected_dim": 32}).resolved(40_000)
    assert config.network == {"normalization": "batch", "projected_dim": 32}
    config = TrainConfig(recipe="fast", network={"normalization": "group"}).resolved(40_000)
    assert config.network == {"normalization": "group"}
    assert TrainConfig(recipe="fast").resolved(40_000).network == {"normalization": "batch"}
    assert TrainConfig(recipe="light").resolved(40_000).network is None


def test_paths_may_be_paths():
    config = TrainConfig(dataset=Path("a/b"), run_dir=Path("runs") / "c", initial_weights=Path("w"))
    assert json.loads(json.dumps(dataclasses.asdict(config)))["run_dir"] == str(Path("runs/c"))
    assert (config.dataset, config.initial_weights) == (str(Path("a/b")), "./w")


@pytest.mark.parametrize("name", ["digits", "cifar10"])
def test_a_path_is_not_taken_for_a_name(name):
    config = TrainConfig(dataset=Path(name), initial_weights=Path(name))
    assert config.dataset == config.initial_weights == f"./{name}"
    assert TrainConfig(dataset=name).dataset == name


@pytest.mark.parametrize(
    ("name", "value"), [("dataset", None), ("dataset", 3), ("initial_weights", 3), ("run_dir", 1.5)]
)
def test_what_is_no_path_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a text or a path, got {value!r}"):
        TrainConfig(**{name: value})


def test_a_network_that_no_file_can_hold_is_refused():
    with pytest.raises(ValueError, match="network: kernel_initializer must be what JSON can hold"):
        TrainConfig(network={"kernel_initializer": object()})


def test_the_data_decide_the_size_of_the_images():
    with pytest.raises(ValueError, match="network holds 'image_shape', which is no argument"):
        TrainConfig(network={"image_shape": (64, 64, 3)})

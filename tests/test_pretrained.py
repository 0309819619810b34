"""Weights in a file of halves come back, fit or say why not; and the shipped ones load."""

import hashlib
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy_oracles import as_numpy

import shiftvit_utils
from shiftvit_utils import (
    Classifier,
    RunFolder,
    ShiftViT,
    build_classifier,
    save_model,
    save_official_state_dict,
)
from shiftvit_utils.official_state_dict import write_state_dict
from shiftvit_utils.pretrained import (
    SHIPPED,
    load_weights,
    save_weights,
    shipped_path,
    shipped_record,
    trained_with,
    weight_variables,
)

SMALL = {"num_shift_blocks_per_stages": (1, 1), "projected_dim": 12, "normalization": "batch"}


def network(seed=0, **changes):
    keras.utils.set_random_seed(seed)
    made = ShiftViT.from_preset("micro", **{**SMALL, **changes})
    rng = np.random.default_rng(seed)
    for variable in weight_variables(made).values():
        variable.assign(rng.uniform(0.1, 1.0, variable.shape))
    return made


def values(made):
    return {name: as_numpy(v, "float32") for name, v in weight_variables(made).items()}


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def test_weights_come_back_in_half_precision(tmp_path):
    source, target = network(0), network(1)
    save_weights(source, tmp_path / "w.npz", {"said": "yes"})
    assert load_weights(target, tmp_path / "w.npz") == []
    halves = {k: v.astype("float16").astype("float32") for k, v in values(source).items()}
    assert_same(values(target), halves)
    with np.load(tmp_path / "w.npz", allow_pickle=False) as archive:
        assert json.loads(str(archive["record"])) == {"said": "yes"}
        assert {archive[name].dtype for name in halves} == {np.dtype("float16")}


def test_moving_averages_are_among_them():
    assert any("moving_variance" in name for name in weight_variables(network()))
    with_dropout = network(mlp_dropout_rate=0.5)
    assert weight_variables(with_dropout).keys() == weight_variables(network()).keys()


def test_a_head_for_other_classes_stays_as_it_was(tmp_path):
    save_weights(network(0), tmp_path / "w.npz", {})
    target = network(1, num_classes=3)
    before = values(target)
    assert load_weights(target, str(tmp_path / "w.npz")) == ["head/bias", "head/kernel"]
    after = values(target)
    same = {name for name in before if np.array_equal(before[name], after[name])}
    assert same == {"head/bias", "head/kernel"}


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"projected_dim": 16}, r"patch_embedding/projection/kernel has shape \(48, 12\)"),
        ({"num_shift_blocks_per_stages": (1, 2)}, r"stage_1/block_1/.* is missing"),
        ({"num_shift_blocks_per_stages": (1,)}, r"stage_0/merging/.* is not in this network"),
    ],
)
def test_another_network_stays_as_it_was_and_hears_why(tmp_path, changes, message):
    save_weights(network(0), tmp_path / "w.npz", {})
    target = network(1, **changes)
    before = values(target)
    with pytest.raises(ValueError, match=message) as caught:
        load_weights(target, tmp_path / "w.npz")
    assert "w.npz" in str(caught.value)
    assert_same(values(target), before)


def test_from_a_saved_model_and_a_run_folder(tmp_path):
    model = build_classifier("micro", **SMALL, seed=0)
    save_model(model, tmp_path / "model.keras", [str(k) for k in range(10)])
    expected = values(model.get_layer("shiftvit"))
    for path in (tmp_path / "model.keras", tmp_path):
        target = network(1)
        load_weights(target, path)
        assert_same(values(target), expected)
    assert RunFolder(tmp_path).model_path == tmp_path / "model.keras"


def write_theirs(source, path):
    """A checkpoint as the authors' training leaves it: its batch norms have seen batches."""
    state = save_official_state_dict(source)
    for name in state:
        if name.endswith("num_batches_tracked"):
            state[name] = np.array(375_000)
    write_state_dict(state, path)


@pytest.mark.backend_free
def test_what_was_exported_from_here_is_not_taken_for_the_authors(tmp_path):
    path = tmp_path / "ours.safetensors"
    save_official_state_dict(network(), path)
    with pytest.raises(ValueError, match=r"written by save_official_state_dict.*load_official"):
        load_weights(network(1), path)


@pytest.mark.backend_free
def test_weights_for_minus_one_to_one_refuse_the_scale_of_the_example(tmp_path):
    write_theirs(network(), tmp_path / "theirs.safetensors")
    for preset, weights in (("nano", "cifar10"), ("micro", tmp_path / "theirs.safetensors")):
        with pytest.raises(ValueError, match=r"take images scaled to -1\.\.1"):
            build_classifier(preset, weights=weights, augmentation="keras_io_2022")


def saved_classifier(path, **settings):
    settings = {"num_classes": 10, "seed": 0, **SMALL, **settings}
    model = build_classifier("micro", **settings)
    save_model(model, path, list("abcdefghij"))
    return model


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("trained", "built", "said"),
    [
        ({"num_div": 4}, {}, "num_div=4. This one has num_div=12"),
        ({}, {"shift_pixel": 2}, "shift_pixel=1. This one has shift_pixel=2"),
        ({"shift_variant": "none"}, {}, "shift_variant='none'"),
        ({"activation": "relu"}, {}, "activation='relu'"),
        ({"epsilon": 1e-3}, {}, r"epsilon=0.001"),
        ({"normalization": "group"}, {"normalization": "layer"}, "normalization='group'"),
        ({"group_channels": 2}, {}, "num_div=12, group_channels=2|group_channels=2"),
        ({"augmentation": "keras_io_2022"}, {}, r"images scaled to 0\.\.1.*scales them to -1\.\.1"),
        ({}, {"augmentation": "keras_io_2022"}, r"images scaled to -1\.\.1.*scales them to 0\.\.1"),
    ],
)
def test_weights_that_fit_in_shape_alone_are_refused(tmp_path, trained, built, said):
    source = saved_classifier(tmp_path / "m.keras", **trained)
    with pytest.raises(ValueError, match=said):
        build_classifier("micro", **{**SMALL, **built}, weights=tmp_path / "m.keras")
    # And with the arguments that they were trained with, they load.
    again = build_classifier("micro", **{**SMALL, **trained}, weights=tmp_path / "m.keras")
    assert_same(*(values(model.get_layer("shiftvit")) for model in (again, source)))


@pytest.mark.parametrize(
    "network", [{"shift_variant": "none"}, {"token_mixer": "attention"}], ids=str
)
def test_where_nothing_shifts_the_number_of_groups_may_differ(tmp_path, network):
    source = saved_classifier(tmp_path / "m.keras", **network, num_div=4)
    target = build_classifier("micro", **SMALL, **network, weights=tmp_path / "m.keras")
    assert_same(*(values(model.get_layer("shiftvit")) for model in (target, source)))


def test_what_may_differ_does(tmp_path):
    """Dropout, augmentation, and another spelling of how many channels move."""
    source = saved_classifier(tmp_path / "m.keras", num_div=12)  # one channel of 12, two of 24
    target = build_classifier("micro", **SMALL, num_classes=10, seed=1, mlp_dropout_rate=0.1,
                              stochastic_depth_rate=0.2, augmentation="published",
                              weights=tmp_path / "m.keras")  # fmt: skip
    assert_same(*(values(model.get_layer("shiftvit")) for model in (target, source)))


@pytest.mark.backend_free
def test_a_run_folder_without_a_model_says_that_its_first_epoch_has_not_ended(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no model\.keras in .*end of its first epoch"):
        load_weights(network(), tmp_path)


def test_weights_of_a_network_that_was_wrapped_by_hand(tmp_path):
    source, images = network(), keras.Input((32, 32, 3))
    scaled = keras.layers.Rescaling(1 / 127.5, -1.0)(images)
    save_model(keras.Model(images, source(scaled)), tmp_path / "m.keras", list("abcdefghij"))
    target = network(1)
    load_weights(target, tmp_path / "m.keras")
    assert_same(values(target), values(source))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_the_authors_weights_make_a_classifier_of_raw_images(tmp_path, suffix):
    """Pixels in, and out comes what the authors' network says of the images they normalise."""
    if suffix == ".pth":
        pytest.importorskip("torch")
    source = network(patch_norm=True, final_norm=True)
    write_theirs(source, tmp_path / f"theirs{suffix}")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3))
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]  # timm's, which datasets.py takes
    expected = source.predict((pixels / 255 - mean) / std, verbose=0)
    assert np.ptp(expected, axis=0).min() > 1e-3
    made = build_classifier(
        "micro", weights=tmp_path / f"theirs{suffix}", **SMALL, patch_norm=True, final_norm=True
    )
    np.testing.assert_allclose(made.predict(pixels, verbose=0), expected, rtol=1e-4, atol=1e-4)
    of_three = network(1, patch_norm=True, final_norm=True, num_classes=3)
    assert load_weights(of_three, tmp_path / f"theirs{suffix}") == ["head/bias", "head/kernel"]


@pytest.mark.backend_free
def test_the_authors_weights_do_not_fit_any_network(tmp_path):
    path = tmp_path / "theirs.safetensors"
    write_theirs(network(), path)
    with pytest.raises(ValueError, match=r"layers\.0\.downsample.* is not in this network"):
        load_weights(network(num_shift_blocks_per_stages=(1,)), path)
    with pytest.raises(ValueError, match=r"normalization='layer'.*'group'"):
        load_weights(network(normalization="layer"), path)


@pytest.mark.backend_free
def test_who_takes_another_network_hears_which_one_the_weights_are_of():
    with pytest.raises(ValueError, match=r"preset='nano', network=\{'normalization': 'batch'\}"):
        build_classifier("micro", weights="cifar10")


@pytest.mark.backend_free
@pytest.mark.parametrize("value", [1e6, np.nan, -np.inf])
def test_what_a_half_cannot_hold_is_refused(tmp_path, value):
    made = network()
    made.get_layer("head").bias.assign(np.full(10, value))
    with pytest.raises(ValueError, match="head/bias holds numbers that float16 cannot hold"):
        save_weights(made, tmp_path / "w.npz", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.backend_free
def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"'imagenet'.*no such file.*'cifar10'"):
        load_weights(network(), "imagenet")
    save_weights(network(), tmp_path / "w.npz", {})
    whole = (tmp_path / "w.npz").read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"text"):
        (tmp_path / "w.npz").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"w\.npz is no archive of weights, or damaged"):
            load_weights(network(), tmp_path / "w.npz")


@pytest.mark.backend_free
def test_arrays_of_objects_are_not_unpickled(tmp_path):
    np.savez(tmp_path / "w.npz", kernel=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="no archive of weights"):
        load_weights(network(), tmp_path / "w.npz")


# ---------------------------------------------------------------- those that are shipped


@pytest.mark.backend_free
def test_shipped_weights_are_small_and_say_what_they_are():
    assert "cifar10" in SHIPPED
    assert shipped_path("cifar10").stat().st_size <= 3 * 2**20
    record = shipped_record("cifar10")
    assert len(record["class_names"]) == 10
    made = ShiftViT.from_preset(record["preset"], weights="cifar10")
    assert made.count_params() < 1_000_000
    with pytest.raises(ValueError, match=r"'imagenet'.*It has: 'cifar10'"):
        shipped_path("imagenet")


@pytest.mark.backend_free
def test_a_head_for_other_features_is_no_head_for_other_classes(tmp_path):
    given = network()
    save_weights(given, tmp_path / "w.npz", {})
    with np.load(tmp_path / "w.npz") as archive:
        arrays = dict(archive)
    arrays["head/kernel"] = arrays["head/kernel"][:4]
    np.savez(tmp_path / "w.npz", **arrays)
    with pytest.raises(ValueError, match=r"head/kernel has shape \(4, "):
        load_weights(network(), tmp_path / "w.npz")


def test_keras_setting_of_the_axes_changes_nothing():
    """`channels_first` may stand in a user's keras.json; this library's images are as they are."""
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    expected = Classifier(weights="cifar10").predict(images).logits
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        found = Classifier(weights="cifar10").predict(images).logits
    finally:
        keras.config.set_image_data_format(before)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.backend_free
def test_a_damaged_configuration_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is damaged"):
        trained_with(tmp_path)


@pytest.mark.backend_free
def test_shipped_weights_are_those_that_were_measured():
    """The accuracies of the model card are of these arrays; `shipped_weights.py` measures them."""
    results = Path(__file__).parents[1] / "benchmarks" / "results" / "shipped-weights.json"
    found = hashlib.sha256()
    with np.load(shipped_path("cifar10"), allow_pickle=False) as archive:
        for name in sorted(set(archive.files) - {"record"}):
            found.update(name.encode() + archive[name].tobytes())
    measured = json.loads(results.read_text())
    assert found.hexdigest() == measured["sha256_of_arrays"]
    accuracy = shipped_record("cifar10")["metrics"]["test_top1"]
    assert accuracy == pytest.approx(measured["test"]["top1"], abs=5e-4)


def test_shipped_weights_know_the_pictures_beside_them():
    folder = Path(shiftvit_utils.__file__).parent / "demo" / "examples"
    files = [folder / f"{name}.jpg" for name in ("airplane", "boats", "cat")]
    said = Classifier(weights="cifar10").predict(files)
    assert list(said.labels) == ["airplane", "ship", "cat"]


def test_every_way_to_the_shipped_weights_gives_one_network():
    classifier = Classifier(weights="cifar10")
    assert classifier.class_names[0] == "airplane"
    assert classifier.image_size == (32, 32)
    built = build_classifier("nano", weights="cifar10")
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("uint8")
    expected = as_numpy(built(images))
    np.testing.assert_allclose(classifier.predict(images).logits, expected, rtol=1e-4, atol=1e-4)
    assert np.ptp(expected, axis=0).max() > 0.1
    three = build_classifier("nano", num_classes=3, weights="cifar10")
    assert three(images).shape == (4, 3)


@pytest.mark.backend_free
def test_a_classifier_takes_a_path_or_weights():
    for arguments in ({}, {"path": "runs", "weights": "cifar10"}):
        with pytest.raises(TypeError, match=r"either a path, .* or weights"):
            Classifier(**arguments)
    with pytest.raises(ValueError, match=r"weights='imagenet'.*'cifar10'"):
        Classifier(weights="imagenet")

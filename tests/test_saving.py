"""Model files are written whole or not at all, and what cannot be read says why."""

import errno
import json
import os
import random
import zipfile

import keras
import numpy as np
import pytest

from shiftvit_utils import Classifier, ShiftViT, build_classifier, load_model, save_model
from shiftvit_utils.saving import FORMAT_VERSION, METADATA_MEMBER, written_beside

NAMES = ("cat", "dog", "großer Vogel")


@pytest.fixture(scope="module")
def model():
    return build_classifier(
        "micro", num_classes=3, projected_dim=12, num_shift_blocks_per_stages=(1,), seed=0
    )


@pytest.fixture
def saved(model, tmp_path):
    path = tmp_path / "model.keras"
    save_model(model, path, NAMES)
    return path


def rewrite_metadata(path, metadata):
    """The same file with another metadata member; None leaves it out."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members.pop(METADATA_MEMBER)
    if metadata is not None:
        members[METADATA_MEMBER] = metadata
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_round_trip(model, saved):
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), "uint8")
    loaded, names = load_model(str(saved))
    assert names == NAMES
    expected = model.predict(images, verbose=0)
    assert np.ptp(expected) > 1e-4
    np.testing.assert_allclose(loaded.predict(images, verbose=0), expected, atol=1e-6)


def test_file_is_a_keras_file_with_one_more_member(model, saved):
    with zipfile.ZipFile(saved) as archive:
        assert archive.testzip() is None
        metadata = json.loads(archive.read(METADATA_MEMBER))
    assert metadata == {
        "format_version": FORMAT_VERSION,
        "class_names": list(NAMES),
        "keras": keras.__version__,
    }
    plain = keras.saving.load_model(saved)
    for ours, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_file_holds_no_optimizer(model, tmp_path):
    compiled = keras.Model(model.inputs, model.outputs)
    compiled.compile("adamw", "categorical_crossentropy")
    compiled.optimizer.build(compiled.trainable_variables)
    save_model(compiled, tmp_path / "model.keras", NAMES)
    assert not keras.saving.load_model(tmp_path / "model.keras").compiled
    assert compiled.compiled


@pytest.mark.backend_free
def test_saving_replaces_an_older_file(model, saved):
    save_model(model, saved, ("a", "b", "c"))
    assert load_model(saved)[1] == ("a", "b", "c")
    assert [path.name for path in saved.parent.iterdir()] == ["model.keras"]


@pytest.mark.backend_free
@pytest.mark.parametrize("name", ["model.h5", "model", "model.keras.zip"])
def test_path_must_end_in_keras(model, tmp_path, name):
    with pytest.raises(ValueError, match=rf"ends in \.keras, got .*{name}"):
        save_model(model, tmp_path / name, NAMES)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.backend_free
@pytest.mark.parametrize("names", [(), NAMES[:2], (*NAMES, "fish")])
def test_as_many_names_as_logits(model, tmp_path, names):
    with pytest.raises(ValueError, match=f"{len(names)} class names for 3 logits"):
        save_model(model, tmp_path / "model.keras", names)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.backend_free
class TestCrash:
    """Whatever fails, the old file stays as it was, byte for byte, and nothing else remains."""

    @pytest.fixture(autouse=True)
    def nothing_changes(self, saved):
        before = saved.read_bytes()
        yield
        assert saved.read_bytes() == before
        assert [path.name for path in saved.parent.iterdir()] == ["model.keras"]

    def test_full_disk_while_writing(self, model, saved, monkeypatch):
        def save(_, path):
            path.write_bytes(b"half of a mod")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(keras.Model, "save", save)
        with pytest.raises(OSError, match=r"Could not write model\.keras .*untouched") as error:
            save_model(model, saved, NAMES)
        assert error.value.errno == errno.ENOSPC
        assert error.value.filename == str(saved)
        assert isinstance(error.value.__cause__, OSError)

    def test_full_disk_while_adding_the_class_names(self, model, saved, monkeypatch):
        def writestr(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        written = keras.Model.save

        def save(model, path):
            written(model, path)
            monkeypatch.setattr(zipfile.ZipFile, "writestr", writestr)

        monkeypatch.setattr(keras.Model, "save", save)
        with pytest.raises(OSError, match=r"Could not write model\.keras .*No space left"):
            save_model(model, saved, NAMES)

    def test_failing_rename(self, model, saved, monkeypatch):
        def replace(*_):
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(os, "replace", replace)
        with pytest.raises(PermissionError, match=r"Permission denied.*untouched"):
            save_model(model, saved, NAMES)

    @pytest.mark.parametrize("failure", [RuntimeError("backend"), KeyboardInterrupt()])
    def test_any_other_failure_passes_through(self, model, saved, monkeypatch, failure):
        def save(_, path):
            path.write_bytes(b"half of a mod")
            raise failure

        monkeypatch.setattr(keras.Model, "save", save)
        with pytest.raises(type(failure)):
            save_model(model, saved, NAMES)


@pytest.mark.backend_free
def test_names_of_classes_are_texts(model, tmp_path):
    with pytest.raises(ValueError, match=r"class_names must be texts, got \[0, 1, 2\]"):
        save_model(model, tmp_path / "model.keras", range(3))
    assert not list(tmp_path.iterdir())
    save_model(model, tmp_path / "model.keras", np.array(NAMES))
    assert load_model(tmp_path / "model.keras")[1] == NAMES


def test_a_bare_network_is_no_classifier(tmp_path):
    """It takes scaled images, and who loads it has pixels: every answer would be wrong."""
    network = ShiftViT.from_preset("micro", num_classes=2, num_shift_blocks_per_stages=(1,))
    path = tmp_path / "model.keras"
    with pytest.raises(ValueError, match=r"bare ShiftViT .*build_classifier.*Rescaling"):
        save_model(network, path, NAMES[:2])
    assert not list(tmp_path.iterdir())
    # The way out that the message names.
    images = keras.Input((32, 32, 3))
    scaled = keras.layers.Rescaling(1 / 127.5, -1.0)(images)
    save_model(keras.Model(images, network(scaled)), path, NAMES[:2])
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), "uint8")
    expected = network.predict(images.astype("float32") / 127.5 - 1.0, verbose=0)
    np.testing.assert_allclose(Classifier(path).predict(images).logits, expected, atol=1e-5)


def test_nothing_appears_under_the_final_name_before_the_end(tmp_path):
    path = tmp_path / "numbers.txt"
    with written_beside(path) as partial:
        partial.write_text("1 2 3")
        assert not path.exists()
        assert (partial.parent, partial.suffix) == (tmp_path, ".txt")
    assert path.read_text() == "1 2 3"
    assert not partial.exists()


@pytest.mark.backend_free
def test_missing_folder(model, tmp_path):
    with pytest.raises(OSError, match=r"Could not write model\.keras"):
        save_model(model, tmp_path / "no" / "model.keras", NAMES)


@pytest.mark.backend_free
def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No model file at .*nowhere\.keras.*make train"):
        load_model(tmp_path / "nowhere.keras")


@pytest.mark.backend_free
@pytest.mark.parametrize("content", [b"", b"\x89PNG", b"PK\x03\x04 and no more"])
def test_not_a_zip(tmp_path, content):
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.keras is not a \.keras file, or it is truncated"):
        load_model(path)


@pytest.mark.backend_free
@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.999])
def test_truncated(saved, share):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="truncated"):
        load_model(saved)


@pytest.mark.backend_free
def test_bytes_changed_anywhere_are_noticed(saved):
    """A file can be damaged without being shorter, as by a failing disk or download."""
    content = saved.read_bytes()
    generator = random.Random(0)
    for _ in range(12):
        damaged = bytearray(content)
        start = generator.randrange(len(content) - 200)
        damaged[start : start + 200] = generator.randbytes(200)
        saved.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"model\.keras"):
            load_model(saved)


@pytest.mark.backend_free
def test_damaged_metadata(saved):
    content = saved.read_bytes()
    start = content.index(b'{"format_version"')
    saved.write_bytes(content[: start + 20] + b"XXXXXXXX" + content[start + 28 :])
    with pytest.raises(ValueError, match=r"model\.keras"):
        load_model(saved)


@pytest.mark.backend_free
def test_without_class_names(saved):
    rewrite_metadata(saved, None)
    with pytest.raises(ValueError, match=rf"lacks {METADATA_MEMBER}.*keras\.saving\.load_model"):
        load_model(saved)


@pytest.mark.backend_free
@pytest.mark.parametrize("metadata", ["{", "[]", "{}", '{"format_version": 1}'])
def test_metadata_of_another_kind(saved, metadata):
    rewrite_metadata(saved, metadata)
    with pytest.raises(ValueError, match=METADATA_MEMBER):
        load_model(saved)


@pytest.mark.backend_free
def test_newer_format_version(saved):
    metadata = {"format_version": FORMAT_VERSION + 1, "class_names": NAMES, "keras": "99.0"}
    rewrite_metadata(saved, json.dumps(metadata))
    with pytest.raises(
        ValueError, match=rf"version {FORMAT_VERSION + 1}.*up to {FORMAT_VERSION}\. Update"
    ):
        load_model(saved)


def test_what_keras_cannot_load_names_both_versions(saved):
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = members["config.json"].replace(b'ShiftViT"', b'NoSuchNetwork"')
    assert config != members["config.json"]
    members["config.json"] = config
    members[METADATA_MEMBER] = members[METADATA_MEMBER].replace(keras.__version__.encode(), b"99.0")
    with zipfile.ZipFile(saved, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(
        ValueError, match=rf"Keras 99\.0, cannot be loaded by Keras {keras.__version__}"
    ):
        load_model(saved)


def test_nothing_in_a_file_is_executed(tmp_path):
    inputs = keras.Input((32, 32, 3))
    outputs = keras.layers.Lambda(lambda x: x[:, 0, 0])(inputs)
    save_model(keras.Model(inputs, outputs), tmp_path / "model.keras", NAMES)
    with pytest.raises(ValueError, match=r"[Ll]ambda"):
        load_model(tmp_path / "model.keras")


def test_a_sequence_of_layers_is_a_classifier_too(tmp_path):
    network = ShiftViT.from_preset("micro", num_classes=2)
    scaled = keras.layers.Rescaling(1 / 127.5, -1.0)
    model = keras.Sequential([keras.Input((32, 32, 3)), scaled, network])
    save_model(model, tmp_path / "model.keras", ["cat", "dog"])
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype("uint8")
    loaded, names = load_model(tmp_path / "model.keras")
    assert names == ("cat", "dog")
    expected = network.predict(images.astype("float32") / 127.5 - 1.0, verbose=0)
    np.testing.assert_allclose(loaded.predict(images, verbose=0), expected, atol=1e-5)

"""The classifier in use: the same answer in every form, damaged files named, memory bounded."""

import concurrent.futures
import copy
import io
import os
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from PIL import Image

from shiftvit_utils import Classifier, RunFolder, build_classifier, save_model
from shiftvit_utils.image_decoding import UnreadableImageError
from shiftvit_utils.predictions import softmax

NAMES = ("red", "green", "blue", "grey", "white", "<b>black</b>")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model = build_classifier(
        "micro", num_classes=6, projected_dim=12, num_shift_blocks_per_stages=(1,), seed=0
    )
    folder = tmp_path_factory.mktemp("runs") / "digits-micro"
    folder.mkdir()
    save_model(model, folder / "model.keras", NAMES)
    return folder


@pytest.fixture(scope="module")
def classifier(saved):
    return Classifier(saved)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype("uint8")


def logits_one_by_one(classifier, images):
    """Without batches, padding or library code around the network."""
    calls = [classifier.model(keras.ops.convert_to_tensor(image[None])) for image in images]
    return np.concatenate([keras.ops.convert_to_numpy(call) for call in calls])


# ---------------------------------------------------------------- loading


def test_every_way_to_name_a_model(saved):
    images = noise(2, 32, 32, 3)
    said = [
        Classifier(path).predict(images).logits
        for path in (saved / "model.keras", str(saved), RunFolder(saved))
    ]
    np.testing.assert_array_equal(said[0], said[1])
    np.testing.assert_array_equal(said[0], said[2])


def test_it_knows_classes_and_size(classifier):
    assert classifier.class_names == NAMES
    assert classifier.image_size == (32, 32)
    assert repr(classifier).startswith("Classifier of 32x32 images: red, green")
    assert not classifier.model.compiled


def test_what_is_no_model(tmp_path, saved):
    with pytest.raises(FileNotFoundError, match="make train"):
        Classifier(tmp_path)
    with pytest.raises(FileNotFoundError, match="make train"):
        Classifier(tmp_path / "none.keras")
    (tmp_path / "model.keras").write_bytes((saved / "model.keras").read_bytes()[:-2000])
    with pytest.raises(ValueError, match=r"model\.keras"):
        Classifier(tmp_path)
    for wrong in (None, 3, [saved]):
        with pytest.raises(TypeError, match="run folder"):
            Classifier(wrong)


def test_a_model_of_other_images_is_refused(tmp_path):
    images = keras.Input((8, 8, 1))
    model = keras.Model(images, keras.layers.Flatten()(images))
    save_model(model, tmp_path / "model.keras", [str(k) for k in range(64)])
    with pytest.raises(ValueError, match="1 channels"):
        Classifier(tmp_path)


@pytest.mark.backend_free
def test_a_fresh_process_says_the_same(saved, classifier, tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(noise(32, 32, 3)).save(path)
    code = (
        "import sys, shiftvit_utils as sv\n"
        "said = sv.Classifier(sys.argv[1]).predict(sys.argv[2])[0]\n"
        "print(said.label, said.confidence)"
    )
    command = [sys.executable, "-c", code, str(saved), str(path)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    label, confidence = run.stdout.split()
    expected = classifier.predict(noise(32, 32, 3))[0]
    assert label == expected.label
    assert float(confidence) == pytest.approx(expected.confidence, abs=1e-5)


# ---------------------------------------------------------------- predicting


@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_logits_are_those_of_each_image_alone(classifier, count):
    images = noise(count, 32, 32, 3)
    said = classifier.predict(images, batch_size=4)
    assert (said.logits.shape, said.logits.dtype) == ((count, 6), np.float32)
    np.testing.assert_allclose(said.logits, logits_one_by_one(classifier, images), atol=1e-5)
    np.testing.assert_allclose(said.probabilities, softmax(said.logits))
    assert said.indices.tolist() == said.logits.argmax(axis=1).tolist()
    assert said.labels == tuple(NAMES[k] for k in said.indices)


def test_array_tensor_pillow_and_file_give_one_answer(classifier, tmp_path):
    image = noise(32, 32, 3)
    Image.fromarray(image).save(tmp_path / "image.png")
    forms = [
        image,
        image.astype("float32"),
        image[None],
        keras.ops.convert_to_tensor(image),
        keras.ops.convert_to_tensor(image[None], dtype="float32"),
        Image.fromarray(image),
        tmp_path / "image.png",
        tmp_path,
        [image],
    ]
    expected = logits_one_by_one(classifier, image[None])
    for form in forms:
        np.testing.assert_allclose(classifier.predict(form).logits, expected, atol=1e-5)


def test_top_k(classifier):
    image = noise(32, 32, 3)
    assert len(classifier.predict(image)[0].top) == 5
    assert len(classifier.predict(image, top_k=1)[0].top) == 1
    assert len(classifier.predict(image, top_k=100)[0].top) == 6
    confidences = [value for _, value in classifier.predict(image, top_k=6)[0].top]
    assert confidences == sorted(confidences, reverse=True)
    assert sum(confidences) == pytest.approx(1)


@pytest.mark.parametrize("name", ["top_k", "batch_size"])
@pytest.mark.parametrize("value", [0, -1, 2.0, True, None, "5"])
def test_numbers_that_are_no_counts(classifier, name, value):
    with pytest.raises(ValueError, match=f"{name}={value!r}"):
        classifier.predict(noise(32, 32, 3), **{name: value})


def test_prepare_gives_what_the_network_sees(classifier, tmp_path):
    wide = np.zeros((32, 96, 3), np.uint8)
    wide[:, 32:64] = noise(32, 32, 3)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    for form in (wide, Image.fromarray(wide), tmp_path / "wide.png"):
        np.testing.assert_array_equal(classifier.prepare(form), noise(32, 32, 3))
    with pytest.raises(ValueError, match="2 images"):
        classifier.prepare(noise(2, 32, 32, 3))


class Recorder:
    """Stands for a network: the red of the first pixel is the logit of class 0."""

    def __init__(self):
        self.batches = []

    def predict_on_batch(self, images):
        self.batches.append(len(images))
        return np.stack([images[:, 0, 0, 0], 0 * images[:, 0, 0, 0]], axis=1).astype("float32")


@pytest.fixture
def recorded(classifier):
    recorded = copy.copy(classifier)
    recorded.model, recorded.class_names = Recorder(), ("a", "b")
    return recorded


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("count", "batch_size", "batches"),
    [
        (1, 64, [1]),
        (3, 64, [4]),
        (9, 64, [16]),
        (64, 64, [64]),
        (65, 64, [64, 64]),
        (9, 10, [10]),
        (21, 10, [10, 10, 10]),
    ],
)
def test_few_shapes_are_compiled(recorded, count, batch_size, batches):
    images = noise(count, 32, 32, 3)
    said = recorded.predict(images, batch_size=batch_size)
    assert recorded.model.batches == batches
    assert said.logits[:, 0].tolist() == images[:, 0, 0, 0].tolist()


@pytest.mark.backend_free
def test_a_large_folder_is_decoded_batch_by_batch(recorded, monkeypatch, tmp_path):
    """A file is opened only after the batch before it has been predicted."""
    for k in range(10):
        Image.new("RGB", (32, 32), (k, 0, 0)).save(tmp_path / f"{k}.png")
    predict_on_batch = recorded.model.predict_on_batch

    def then_delete(images):
        for k in images[:, 0, 0, 0]:
            (tmp_path / f"{k}.png").unlink(missing_ok=True)
        if len(recorded.model.batches) == 0:
            (tmp_path / "9.png").write_bytes(b"")
        return predict_on_batch(images)

    monkeypatch.setattr(recorded.model, "predict_on_batch", then_delete)
    said = recorded.predict(tmp_path, batch_size=4)
    assert said.names == tuple(f"{k}.png" for k in range(9))
    assert said.logits[:, 0].tolist() == list(range(9))
    assert [skipped.name for skipped in said.skipped] == ["9.png"]


@pytest.mark.backend_free
def test_two_threads_take_turns(recorded, monkeypatch):
    """On JAX, Keras gives the arrays of the weights away while it computes."""
    inside, most = [], []
    predict_on_batch = recorded.model.predict_on_batch

    def slowly(images):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.05)
        inside.pop()
        return predict_on_batch(images)

    monkeypatch.setattr(recorded.model, "predict_on_batch", slowly)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        said = list(pool.map(recorded.predict, [noise(32, 32, 3)] * 8))
    assert (len(said), len(most), max(most)) == (8, 8, 1)


@pytest.mark.backend_free
def test_a_network_that_has_diverged(recorded, monkeypatch):
    monkeypatch.setattr(
        recorded.model, "predict_on_batch", lambda images: np.full((len(images), 2), np.nan)
    )
    with pytest.raises(ValueError, match="training must have failed"):
        recorded.predict(noise(32, 32, 3))


# ---------------------------------------------------------------- damaged files


def jpeg(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def mixed_folder(tmp_path):
    """Three readable images, three that are not, and a text."""
    Image.fromarray(noise(32, 32, 3)).save(tmp_path / "good.png")
    Image.fromarray(noise(32, 32)).save(tmp_path / "grey.png")
    (tmp_path / "photo.jpg").write_bytes(jpeg(noise(300, 200, 3)))
    (tmp_path / "cut.jpg").write_bytes(jpeg(noise(64, 64, 3))[:-900])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    (tmp_path / "README.txt").write_text("about these images")
    return tmp_path


def test_damaged_files_are_named_and_the_rest_predicted(classifier, mixed_folder, capsys, recwarn):
    said = classifier.predict(mixed_folder)
    assert said.names == ("good.png", "grey.png", "photo.jpg")
    assert [name for name, _ in said.skipped] == ["cut.jpg", "empty.png", "page.jpg"]
    assert "truncated" in said.skipped[0].reason
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "Ignored 1 file(s)" in printed.out
    assert "Skipped 3 of 6 images" in printed.out
    for name, reason in said.skipped:
        assert f"  {name}: {reason}" in printed.out
    assert [w.message for w in recwarn if "keras" not in w.filename] == []
    expected = logits_one_by_one(classifier, noise(1, 32, 32, 3))
    np.testing.assert_allclose(said.logits[:1], expected, atol=1e-5)


def test_a_list_keeps_the_names_of_what_is_left(classifier, mixed_folder):
    paths = [mixed_folder / name for name in ("cut.jpg", "good.png", "no-such.png")]
    said = classifier.predict(paths)
    assert said.names == (str(paths[1]),)
    assert [skipped.name for skipped in said.skipped] == [str(paths[0]), str(paths[2])]
    assert said.skipped[1].reason == "No such file or directory"


def test_stopping_at_the_first_damaged_file(classifier, mixed_folder, capsys):
    with pytest.raises(UnreadableImageError, match=r"^cut\.jpg: .*truncated"):
        classifier.predict(mixed_folder, on_error="raise")
    with pytest.raises(ValueError, match="on_error='ignore'"):
        classifier.predict(mixed_folder, on_error="ignore")


def test_nothing_readable_is_an_error_that_lists_the_files(classifier, mixed_folder):
    paths = [mixed_folder / "page.jpg", mixed_folder / "empty.png"]
    with pytest.raises(UnreadableImageError, match=r"(?s)2 of 2.*page\.jpg: .*empty\.png: "):
        classifier.predict(paths)
    with pytest.raises(UnreadableImageError, match=r"page\.jpg: not a JPEG"):
        classifier.predict(paths[0])


def test_long_lists_of_damaged_files_are_cut(classifier, tmp_path, capsys):
    for k in range(30):
        (tmp_path / f"{k}.png").touch()
    Image.fromarray(noise(8, 8, 3)).save(tmp_path / "good.png")
    assert len(classifier.predict(tmp_path).skipped) == 30
    assert "... and 10 more" in capsys.readouterr().out


def test_nothing_at_all(classifier):
    for nothing in ([], (), iter([])):
        with pytest.raises(ValueError, match="no image at all"):
            classifier.predict(nothing)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux allows such file names")
def test_a_name_that_is_no_unicode(classifier, tmp_path, capsys):
    for name, content in ((b"bad\xff.png", b""), (b"good\xff.png", None)):
        path = os.fsdecode(os.path.join(os.fsencode(tmp_path), name))
        if content is None:
            Image.fromarray(noise(8, 8, 3)).save(path)
        else:
            open(path, "wb").close()
    text = f"{classifier.predict(tmp_path)}\n{capsys.readouterr().out}"
    assert "good\\udcff.png" in text
    assert "bad\\udcff.png" in text


def test_a_network_for_any_size_is_refused(tmp_path):
    model = build_classifier("micro", 2, (None, None, 3))
    save_model(model, tmp_path / "any.keras", ["cat", "dog"])
    with pytest.raises(ValueError, match=r"any\.keras takes images of any size"):
        Classifier(tmp_path / "any.keras")


def test_a_path_in_the_home_folder(saved, monkeypatch):
    monkeypatch.setenv("HOME", str(saved.parent))
    monkeypatch.setenv("USERPROFILE", str(saved.parent))  # Windows
    for path in (f"~/{saved.name}", f"~/{saved.name}/model.keras"):
        assert Classifier(path).class_names == NAMES

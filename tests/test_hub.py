"""A folder for the Hub: Keras loads it by its address, and its card invents nothing."""

import errno
import json
import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import yaml

from shiftvit_utils import Classifier, RunFolder, build_classifier, save_for_hub, save_model
from shiftvit_utils.pretrained import shipped_record

# Its answers under each backend are compared in test_saving; here it is about files.
pytestmark = pytest.mark.backend_free

FILES = ["README.md", "config.json", "metadata.json", "model.weights.h5", "shiftvit_utils.json"]
NAMES = ("cat", "dog", "großer Vogel", 'a "fish"')
CONFIG = {
    "dataset": "/home/ada/photos/pets",
    "preset": "micro",
    "recipe": "small",
    "augmentation": "light",
    "batch_size": 64,
    "lr_max": 0.001,
    "initial_weights": None,
}
METRICS = {
    "test_top1": 0.9375,
    "test_top5": 1.0,
    "test_loss": 0.25,
    "val_top1": 0.9125,
    "val_top5": 0.9875,
    "val_loss": 0.5,
    "epochs": 7,
    "train_seconds": 90.0,
    "device": "CPU (four beads)",
    "versions": {"keras": "3.15.1"},
    "data_source": "image folder pets",
    "seed": 3,
}


@pytest.fixture(scope="module")
def model():
    return build_classifier(
        "micro", num_classes=4, projected_dim=12, num_shift_blocks_per_stages=(1,), seed=0
    )


@pytest.fixture
def run(model, tmp_path):
    run = RunFolder(tmp_path / "pets-micro")
    run.path.mkdir()
    save_model(model, run.model_path, NAMES)
    run.config_path.write_text(json.dumps(CONFIG))
    run.metrics_path.write_text(json.dumps(METRICS))
    return run


def card(folder):
    """The front matter, and the text after it."""
    empty, front, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert empty == ""
    return yaml.safe_load(front), text


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def downloaded(folder, repo_id, cache):
    """Puts a folder where the Hub's client puts what it has downloaded."""
    commit = "0" * 40
    repository = cache / f"models--{repo_id.replace('/', '--')}"
    shutil.copytree(folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)


def test_a_fresh_process_loads_it_by_its_address(run, model, tmp_path):
    pytest.importorskip("huggingface_hub", reason="huggingface_hub comes with the `demo` extra")
    folder = save_for_hub(run, tmp_path / "upload", "ada/pets")
    downloaded(folder, "ada/pets", tmp_path / "cache")
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), "uint8")
    np.save(tmp_path / "images.npy", images)

    _, text = card(folder)
    snippet = text.split("```python\n")[1].split("```")[0]
    program = (
        f"import numpy as np\nimages = np.load({str(tmp_path / 'images.npy')!r})\n{snippet}\n"
        f"np.save({str(tmp_path / 'logits.npy')!r}, logits)\nassert not model.compiled\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_CACHE": str(tmp_path / "cache"),
            "PYTHONIOENCODING": "utf-8",
        },
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = keras.ops.convert_to_numpy(model(images))
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), expected, atol=1e-4)
    assert str([NAMES[k] for k in expected.argmax(axis=-1)]) in done.stdout


def test_files_are_keras_s_with_names_and_a_card(run, tmp_path):
    folder = save_for_hub(run.path, str(tmp_path / "upload"))
    assert folder == tmp_path / "upload"
    assert files(folder) == FILES  # and no empty folder, which git would drop
    names = json.loads((folder / "shiftvit_utils.json").read_text(encoding="utf-8"))
    assert names["class_names"] == list(NAMES)
    assert files(tmp_path) == ["pets-micro", "upload"]


def test_an_empty_folder_is_filled(run, tmp_path):
    (tmp_path / "upload").mkdir()
    assert files(save_for_hub(run, tmp_path / "upload")) == FILES


def test_the_shipped_weights(tmp_path):
    folder = save_for_hub("cifar10", tmp_path / "upload")
    loaded = keras.saving.load_model(folder)
    shipped = Classifier(weights="cifar10").model
    for ours, theirs in zip(loaded.get_weights(), shipped.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    front, text = card(folder)
    assert "datasets" not in front, "its images were compressed, so its scores are not the Hub's"
    assert (
        front["model-index"][0]["results"][0]["dataset"]["type"]
        == "a copy of CIFAR-10 in image files"
    )
    assert "once through JPEG compression" in text
    assert 'load_model("hf://your-name/upload")' in text
    scores = shipped_record("cifar10")["metrics"]
    assert ("model-index" in front) == ("test_top1" in scores)
    assert f"| validation | {scores['val_top1']:.2%} |" in text


# ---------------------------------------------------------------- the card


def test_front_matter_says_what_the_run_measured(run, tmp_path):
    front, text = card(save_for_hub(run, tmp_path / "upload", title="Pets: 4", license="mit"))
    assert front.pop("model-index") == [
        {
            "name": "Pets: 4",
            "results": [
                {
                    "task": {"type": "image-classification", "name": "Image classification"},
                    "dataset": {"type": "pets", "name": "pets", "split": "test"},
                    "metrics": [
                        {"type": "accuracy", "name": "top-1 accuracy", "value": 0.9375},
                        {"type": "top_5_accuracy", "name": "top-5 accuracy", "value": 1.0},
                    ],
                }
            ],
        }
    ]
    assert front == {
        "license": "mit",
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": ["keras", "shiftvit", "vision", "image-classification", "arxiv:2201.10801"],
        "metrics": ["accuracy"],
    }
    assert text.startswith("\n# Pets: 4\n")
    assert "| test | 93.75% | 100.00% | 0.250 |" in text
    assert "| validation | 91.25% | 98.75% | 0.500 |" in text
    assert "7 epochs from random weights, seed 3; recipe small, optimizer adamw" in text
    assert "/home/ada" not in text, "a card is public: no path of a machine"


def test_the_hub_s_own_reader_understands_the_card(run, tmp_path):
    hub = pytest.importorskip("huggingface_hub", reason="it comes with the `demo` extra")
    data = hub.ModelCard.load(save_for_hub(run, tmp_path / "upload") / "README.md").data
    found = {result.metric_name: result.metric_value for result in data.eval_results}
    assert found == {"top-1 accuracy": 0.9375, "top-5 accuracy": 1.0}
    assert {result.dataset_split for result in data.eval_results} == {"test"}
    assert (data.library_name, data.pipeline_tag) == ("keras", "image-classification")


def test_a_run_that_left_the_test_images_alone_claims_nothing_about_them(run, tmp_path):
    scores = {name: value for name, value in METRICS.items() if not name.startswith("test_")}
    run.metrics_path.write_text(json.dumps(scores))
    front, text = card(save_for_hub(run, tmp_path / "upload"))
    assert "model-index" not in front
    assert "| test |" not in text
    assert "did not look at the test images" in text


# ---------------------------------------------------------------- what cannot be saved


def test_a_run_that_has_not_ended(run, tmp_path):
    run.metrics_path.unlink()
    with pytest.raises(FileNotFoundError, match=r"has not ended\. Resume it first"):
        save_for_hub(run, tmp_path / "upload")
    assert not (tmp_path / "upload").exists()


def test_a_run_without_its_model(run, tmp_path):
    run.model_path.unlink()
    with pytest.raises(FileNotFoundError, match="No model file"):
        save_for_hub(run, tmp_path / "upload")
    assert not (tmp_path / "upload").exists()


@pytest.mark.parametrize(
    ("run", "error", "message"),
    [
        ("no/such/run", FileNotFoundError, r"'no.such.run' is no run folder.*'cifar10' means"),
        (None, TypeError, r"run=None must be the path of a run folder"),
    ],
)
def test_no_run_at_all(run, error, message, tmp_path):
    with pytest.raises(error, match=message):
        save_for_hub(run, tmp_path / "upload")


@pytest.mark.parametrize("repo_id", ["", "pets", "/pets", "ada/", "ada/pets/1", "ada/my pets", 1])
def test_an_address_that_is_none(run, tmp_path, repo_id):
    with pytest.raises(ValueError, match=r"must be 'user/name'"):
        save_for_hub(run, tmp_path / "upload", repo_id)


def test_nothing_old_is_mixed_in_or_overwritten(run, tmp_path):
    folder = tmp_path / "upload"
    folder.mkdir()
    (folder / "diary.txt").write_text("dear diary")
    for taken in (folder, folder / "diary.txt"):
        with pytest.raises(FileExistsError, match="is not an empty folder"):
            save_for_hub(run, taken)
    assert files(folder) == ["diary.txt"]
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*nowhere"):
        save_for_hub(run, tmp_path / "nowhere" / "upload")


def test_a_full_disk_leaves_nothing_behind(run, tmp_path, monkeypatch):
    saved = keras.saving.save_model

    def save_and_fail(model, path, **options):
        saved(model, path, **options)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(keras.saving, "save_model", save_and_fail)
    with pytest.raises(OSError, match="No space left"):
        save_for_hub(run, tmp_path / "upload")
    assert files(tmp_path) == ["pets-micro"]


@pytest.mark.parametrize(
    ("weights", "start"),
    [
        ("cifar10", "the weights `cifar10` of shiftvit_utils"),
        ("/home/ada/runs/birds-nano", "the weights in `birds-nano`"),
        ("C:\\weights\\shiftvit_r2_tiny.pth", "the weights in `shiftvit_r2_tiny.pth`"),
    ],
)
def test_the_card_says_what_a_network_began_with(run, tmp_path, weights, start):
    config = {**CONFIG, "initial_weights": weights, "keep_weights": "last"}
    run.config_path.write_text(json.dumps(config))
    _, text = card(save_for_hub(run, tmp_path / "upload"))
    assert f"7 epochs from {start}, seed 3" in text
    assert f"training images of pets, and before them what {start} were trained on" in text
    assert "nothing but" not in text
    assert "The weights kept are those of the last epoch." in text
    assert "chosen on the validation images" not in text
    assert "/home/ada" not in text

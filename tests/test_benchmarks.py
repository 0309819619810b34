"""The scripts that measure: what they compare is what they say, and no result is lost."""

import csv
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import shiftvit_utils
from shiftvit_utils import RECIPES, TrainConfig

pytestmark = pytest.mark.backend_free

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def test_the_yardstick_is_the_example_s_own_recipe():
    script = importlib.import_module("time_to_accuracy")
    config = TrainConfig(**script.REFERENCE, limit_train=5120).resolved(5120)
    expected = {**RECIPES["keras_io_2022"], "early_stopping_patience": 0}  # all its epochs
    assert expected["batch_size"] == 256
    assert {name: getattr(config, name) for name in expected} == expected


def test_each_backend_says_what_it_ran_on(monkeypatch, tmp_path):
    each_backend = importlib.import_module("each_backend")
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\n"
        f"sys.path.insert(0, {str(ROOT / 'benchmarks')!r})\n"
        "from each_backend import send\n"
        "print('other words')\n"
        "backend = os.environ['KERAS_BACKEND']\n"
        "assert sys.argv[1:] == ['--repeats', '3', '--worker']\n"
        "send({'device': 'GPU' if backend == 'json' else 'CPU', 'result': backend})\n"
    )
    monkeypatch.setattr(sys, "argv", [str(script), "--repeats", "3"])
    # Modules that are installed everywhere stand for the backends.
    device, results = each_backend.on_each_backend(("json", "csv", "not_installed", "re"))
    assert device == "GPU, CPU"
    assert results == {"json": "json", "csv": "csv", "re": "re"}
    with pytest.raises(SystemExit, match="None of not_installed is installed here"):
        each_backend.on_each_backend(("not_installed",))
    script.write_text("import sys\nsys.exit('out of memory')")
    with pytest.raises(SystemExit, match="csv failed:\nout of memory"):
        each_backend.on_each_backend(("csv",))


def search(monkeypatch, folder, *arguments):
    script = importlib.import_module("recipe_search")
    table = folder / "tries.csv"
    base = ["recipe_search.py", "a try", "--csv", str(table), "--runs", str(folder)]
    monkeypatch.setattr(sys, "argv", [*base, *arguments])
    try:
        script.main()
    finally:
        rows = list(csv.DictReader(table.open(newline=""))) if table.exists() else []
    return rows


def test_a_try_that_failed_can_be_made_again(monkeypatch, tmp_path):
    def fails(config):
        raise MemoryError("no room")

    def ends(config):
        columns = ("parameters", "train_seconds", "images_per_second")
        metrics = dict.fromkeys((*columns, "backend", "device", "data_source"), 1)
        history = [{"val_top1": 0.25}, {"val_top1": 0.5}]
        return SimpleNamespace(metrics={**metrics, "val_top1": 0.5}, history=history)

    monkeypatch.setattr(shiftvit_utils, "train", fails)
    with pytest.raises(SystemExit):
        search(monkeypatch, tmp_path, "--set", "recipe=fast")
    monkeypatch.setattr(shiftvit_utils, "train", ends)
    failed, made = search(monkeypatch, tmp_path, "--set", "recipe=fast", "lr_max=0.5")
    assert failed["error"] == "MemoryError: no room"
    assert failed["val_top1"] == made["error"] == ""
    assert made["val_top1_per_epoch"] == "0.25 0.5"
    # What a recipe sets may change: the row says what it was.
    assert json.loads(made["changes"]) == {**RECIPES["fast"], "recipe": "fast", "lr_max": 0.5}
    with pytest.raises(SystemExit, match=r"tries\.csv has a row .* already"):
        search(monkeypatch, tmp_path)


def test_a_setting_that_does_not_exist_is_no_try(monkeypatch, tmp_path):
    with pytest.raises(TypeError, match="learning_rate"):
        search(monkeypatch, tmp_path, "--set", "learning_rate=0.1")
    assert list(tmp_path.iterdir()) == []


def test_only_a_run_on_the_same_images_is_packed(tmp_path):
    script = importlib.import_module("shipped_weights")
    (tmp_path / "config.json").write_text(json.dumps({"dataset": "digits", "optimizer": None}))
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(SystemExit, match="was trained on 'digits', not on 'cifar10'"):
        script.pack(tmp_path)


def gpu_script(*arguments, **environment):
    return subprocess.run(
        ["bash", ROOT / "benchmarks" / "gpu.sh", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_gpu_script_says_before_it_measures_what_would_stop_it_after(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.json").write_text("{}")
    done = gpu_script(tmp_path, PYTHON=sys.executable)
    assert done.returncode == 2
    assert f"{tmp_path}/run holds a run that is complete." in done.stderr
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    done = gpu_script(tmp_path / "new", PYTHON=str(python))
    assert done.returncode == 2
    assert "The full run needs papermill and ipykernel" in done.stderr
    # Nothing is imported by this one, so no backend sees a GPU.
    done = gpu_script(tmp_path / "new", PYTHON=str(python), EPOCHS="0")
    assert done.returncode == 2
    assert "No GPU is seen here by: jax torch." in done.stderr

"""The summary that `make train` ends with, and what it says without a run."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shiftvit_utils.run_folder import RunFolder
from shiftvit_utils.show_run import newest_run, run_of, summary

pytestmark = pytest.mark.backend_free
METRICS = {
    "test_top1": 0.9833,
    "test_top5": 1.0,
    "data_source": "digits",
    "parameters": 124018,
    "epochs": 80,
    "train_seconds": 125.4,
    "device": "CPU",
    "backend": "jax",
}


def finished(folder, age):
    folder.mkdir(parents=True)
    path = folder / "metrics.json"
    path.write_text(json.dumps(METRICS))
    os.utime(path, (1e9 - age, 1e9 - age))


def test_newest_finished_run(tmp_path, monkeypatch):
    monkeypatch.setenv("SHIFTVIT_RUNS", str(tmp_path))
    finished(tmp_path / "a", age=10)
    finished(tmp_path / "b", age=5)
    (tmp_path / "c").mkdir()
    assert newest_run().path == tmp_path / "b"


def test_no_run_yet(tmp_path, monkeypatch):
    monkeypatch.setenv("SHIFTVIT_RUNS", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="make train"):
        newest_run()


def test_summary(tmp_path):
    finished(tmp_path / "run", age=0)
    text = summary(RunFolder(tmp_path / "run"))
    for part in ("98.33% top-1", "100.00% top-5", "124,018", "80 epochs", "2:05 min", "jax"):
        assert part in text


def test_run_of_an_executed_notebook(tmp_path):
    """What the notebook says, not what ended last: a resumed run may be an older one."""
    said = ["tiny: 3 parameters\n", "run folder: runs/digits-micro\n", "data and model ready\n"]
    notebook = tmp_path / "out.ipynb"
    cells = [{"source": []}, {"outputs": [{"name": "stdout", "text": said}]}]
    notebook.write_text(json.dumps({"cells": cells}))
    assert run_of(notebook).path == Path("runs/digits-micro")
    notebook.write_text(json.dumps({"cells": cells[:1]}))
    with pytest.raises(ValueError, match=r"out.ipynb holds no run"):
        run_of(notebook)
    assert run_of(tmp_path / "newest").path == tmp_path / "newest"


def test_a_notebook_is_read_as_papermill_writes_it(tmp_path):
    """As UTF-8, whatever the system's own encoding: here it is ASCII, on Windows another one."""
    finished(tmp_path / "Vögel-nano", age=0)
    said = f"run folder: {tmp_path / 'Vögel-nano'}\n"
    content = {"cells": [{"outputs": [{"name": "stdout", "text": [said]}]}]}
    notebook = tmp_path / "out.ipynb"
    notebook.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    code = (
        "import sys; from shiftvit_utils.show_run import run_of; "
        "sys.stdout.buffer.write(run_of(sys.argv[1]).path.name.encode())"
    )
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    if importlib.util.find_spec("jax"):  # of the backends, it starts fastest
        ascii_only["KERAS_BACKEND"] = "jax"
    done = subprocess.run(
        [sys.executable, "-c", code, notebook],
        env={**os.environ, **ascii_only},
        capture_output=True,
    )
    assert done.stdout.decode() == "Vögel-nano", done.stderr.decode()

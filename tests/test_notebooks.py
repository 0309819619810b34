"""Runs notebooks as a reader would, and checks what they leave behind.

The lane `notebooks` of `run_lanes.py` runs all cells of all notebooks with nbval, from `notebooks/`
on TensorFlow; what that lane notices is tested here. So are papermill, the repository root as the
place to start from, the other backends, and the solutions, these without a kernel.
`test_notebook_links.py` tests the cell that finds the library.
"""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from unittest import mock

import nbformat
import pytest
import run_lanes
from nbformat.v4 import new_code_cell, new_notebook, new_output
from notebook_lint import ROOT, solution_notebooks

import shiftvit_utils as sv

BACKEND = os.environ["KERAS_BACKEND"]
# What runs from the repository root on the other backends: the layers where they are compiled, the
# rest where there is time. 05 has a test of its own; 06 needs the model that 05 trains for it.
FROM_THE_ROOT = {
    "jax": ["03_shift", "04_layers"],
    "torch": ["01_data", "02_augmentation"],
}.get(BACKEND, [])


def papermill(notebook, output, cwd, environment=None, **parameters):
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", str(notebook), str(output)]
    for name, value in parameters.items():
        command += ["-p", name, str(value)]
    run = subprocess.run(
        command, cwd=cwd, env={**os.environ, **(environment or {})}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-3000:]
    executed = nbformat.read(output, as_version=4)
    assert streams(executed.cells, "stderr") == ""
    return executed


def streams(cells, name="stdout"):
    return "".join(
        output.text
        for cell in cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "stream" and output.name == name
    )


def tagged(notebook, *tags):
    return [cell for cell in notebook.cells if set(tags) & set(cell.metadata.get("tags", []))]


def pictures(notebook):
    return [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]


def assert_prints_what_is_stored(executed, path):
    """Cells whose output depends on nothing print the same on this backend; the stubs fail."""
    stored = nbformat.read(path, as_version=4)
    tags = ("nbval-check-output", "exercise")
    assert tagged(executed, *tags)
    for cell, reference in zip(tagged(executed, *tags), tagged(stored, *tags), strict=True):
        assert streams([cell]) == streams([reference])


# papermill, the root, the backends


@pytest.mark.training
def test_papermill_trains_with_parameters(tmp_path):
    """The command of the README: from `notebooks/`, and on TensorFlow from the root."""
    where = "." if BACKEND == "tensorflow" else "notebooks"
    path = ROOT / "notebooks" / "05_train.ipynb"
    run_dir = tmp_path / "runs" / "digits-micro"
    settings = {"dataset": "digits", "epochs": 2, "limit_train": 128, "seed": 3}
    executed = papermill(
        path.relative_to(ROOT / where),
        tmp_path / "out.ipynb",
        ROOT / where,
        run_dir=run_dir,
        **settings,
    )
    metrics = json.loads((run_dir / "metrics.json").read_text())
    assert metrics["epochs"] == 2
    assert metrics["seed"] == 3
    assert 0 <= metrics["test_top1"] <= metrics["test_top5"] <= 1
    config = json.loads((run_dir / "config.json").read_text())
    assert {name: config[name] for name in settings} == settings
    log = streams(executed.cells)
    assert "128 training" in log
    assert "2/2" in log
    assert f"'test_top1': {round(metrics['test_top1'], 4)}" in log
    assert len(pictures(executed)) == 3, "schedule, curves and confusion matrix"
    assert_prints_what_is_stored(executed, path)


if FROM_THE_ROOT:  # an empty list of parameters would count as a skipped test

    @pytest.mark.parametrize("name", FROM_THE_ROOT)
    def test_runs_from_the_root_on_another_backend(name, tmp_path):
        path = ROOT / "notebooks" / f"{name}.ipynb"
        executed = papermill(path.relative_to(ROOT), tmp_path / "out.ipynb", ROOT, dataset="digits")
        assert len(pictures(executed)) == len(pictures(nbformat.read(path, as_version=4)))
        assert_prints_what_is_stored(executed, path)


@pytest.mark.backend_free
@pytest.mark.parametrize("path", solution_notebooks(), ids=lambda path: path.stem)
def test_solutions_pass_the_checkers(path, monkeypatch, capfd):
    """Without a kernel, which would start for longer than they run: they are plain Python."""
    monkeypatch.chdir(path.parent)
    monkeypatch.setattr(sys, "path", [*sys.path])  # the bootstrap cell puts the clone in front
    names = {"__name__": "__main__"}
    with mock.patch.dict(os.environ), warnings.catch_warnings():
        warnings.simplefilter("error")  # a kernel writes them to stderr, pytest does not
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, f"{path.stem}, {cell.id}", "exec"), names)
    said = capfd.readouterr()
    stubs = nbformat.read(path.parent.parent / path.name, as_version=4)
    assert said.err == ""
    assert said.out.count("✓") == len(tagged(stubs, "exercise")) >= 4


# What the lane with nbval notices


def cell(source, stdout="", tag=None, count=1):
    outputs = [new_output("stream", name="stdout", text=stdout)] if stdout else []
    metadata = {"tags": [tag]} if tag else {}
    return new_code_cell(source, outputs=outputs, metadata=metadata, execution_count=count)


def checked(source, stdout, count=1):
    return cell(source, stdout, "nbval-check-output", count)


@pytest.fixture
def nbval(tmp_path, capfd):
    """Runs the lane on notebooks made of these cells; returns its verdict and what it wrote."""

    def run(**notebooks):
        paths = []
        for name, cells in notebooks.items():
            paths.append(tmp_path / f"{name}.ipynb")
            nbformat.write(new_notebook(cells=cells), paths[-1])
        verdict = run_lanes.run_notebooks(paths)
        return verdict, capfd.readouterr().out

    return run


@pytest.mark.backend_free
class TestNbvalLane:
    def test_runs_offline_and_06_after_05(self, nbval):
        """Two notebooks for two workers: by itself, 06 would begin at once, and 05 is slow."""
        path = "import os, pathlib, time\nmodel = pathlib.Path(os.environ['SHIFTVIT_RUNS']) / 'x'"
        train = f"{path}\ntime.sleep(3)\nmodel.touch()\nprint(os.environ['SHIFTVIT_DATASET'])"
        verdict, _ = nbval(
            **{
                "05_train": [checked(train, "digits\n")],
                "06_inference": [checked(f"{path}\nprint(model.is_file())", "True\n")],
            },
        )
        assert verdict == "passed"

    def test_what_differs_or_fails_is_a_failure(self, nbval):
        solved = cell("print('✓ right')", "○ not written yet\n", "exercise", 2)
        verdict, log = nbval(
            same=[cell("x = 1"), checked("print(x + 1)", "2\n", count=2)],
            differs=[cell("x = 1"), checked("print(x + 1)", "3\n", count=2)],
            asserts=[checked("print(1)", "1\n"), cell("assert 1 == 2", count=2)],
            solved=[checked("print(1)", "1\n"), solved],
        )
        assert verdict == "failed"
        assert "3 failed, 5 passed" in log
        failures = sorted(line.split()[1] for line in log.splitlines() if line.startswith("FAILED"))
        names = [Path(failure.split("::")[0]).stem for failure in failures]
        assert names == ["asserts", "differs", "solved"]
        assert all("::Cell" in failure for failure in failures)

    def test_a_notebook_without_anything_to_compare_is_an_error(self, nbval):
        verdict, log = nbval(
            without_tag=[cell("print(1)", "1\n")],
            only_exercises=[cell("print(1)", "○\n", "exercise")],
            stripped=[checked("print(1)", "", count=None)],
            without_counts=[checked("print(1)", "1\n", count=None)],
        )
        assert verdict == "failed"
        assert "4 errors" in log
        for name in ("without_tag", "only_exercises", "stripped", "without_counts"):
            assert f"{name}.ipynb: nbval has nothing to compare" in log


def test_inference_without_a_run_takes_the_shipped_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("SHIFTVIT_RUNS", str(tmp_path / "none"))
    monkeypatch.chdir(ROOT / "notebooks")
    cells = [
        cell.source.replace("%matplotlib inline", "")
        for cell in nbformat.read("06_inference.ipynb", as_version=4).cells
        if cell.cell_type == "code"
    ]
    last = next(k for k, source in enumerate(cells) if "classifier = " in source)

    def run(dataset):
        monkeypatch.setenv("SHIFTVIT_DATASET", dataset)
        names: dict = {}
        exec("\n".join(cells[: last + 1]), names)
        return names

    names = run("cifar10")
    # What the next cells use: a file of its own with the shipped network, and its split.
    loaded = sv.Classifier(names["model_path"])
    assert loaded.class_names == names["classifier"].class_names
    assert names["config"]["validation_size"] == 5000
    with pytest.raises(FileNotFoundError, match="none"):
        run("digits")

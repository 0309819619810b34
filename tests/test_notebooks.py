"""Runs notebooks as a reader would, and checks what they leave behind."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))


def papermill(notebook, output, cwd, **parameters):
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", str(notebook), str(output)]
    for name, value in parameters.items():
        command += ["-p", name, str(value)]
    run = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    return nbformat.read(output, as_version=4)


def streams(notebook, name="stdout"):
    return "".join(
        output.text
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "stream" and output.name == name
    )


@pytest.mark.training
@pytest.mark.parametrize("where", ["notebooks", pytest.param(".", marks=pytest.mark.backend_free)])
def test_papermill_trains_with_parameters(tmp_path, where):
    """The command of the README, from `notebooks/` and from the root."""
    name = "05_train.ipynb" if where == "notebooks" else "notebooks/05_train.ipynb"
    run_dir = tmp_path / "run"
    settings = {"dataset": "digits", "epochs": 2, "limit_train": 128, "seed": 3}
    executed = papermill(name, tmp_path / "out.ipynb", ROOT / where, run_dir=run_dir, **settings)
    metrics = json.loads((run_dir / "metrics.json").read_text())
    assert metrics["epochs"] == 2
    assert metrics["seed"] == 3
    assert 0 <= metrics["test_top1"] <= metrics["test_top5"] <= 1
    config = json.loads((run_dir / "config.json").read_text())
    assert {name: config[name] for name in settings} == settings
    log = streams(executed)
    assert "128 training" in log
    assert "2/2" in log
    assert f"'test_top1': {round(metrics['test_top1'], 4)}" in log
    assert streams(executed, "stderr") == ""
    pictures = [
        output
        for cell in executed.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 3, "schedule, curves and confusion matrix"
    assert log.count("not written yet") == 4, "the stubs of the exercises must not pass"


@pytest.mark.backend_free
@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_solutions_pass_the_checkers(path, tmp_path):
    executed = papermill(path, tmp_path / "out.ipynb", path.parent)
    passed, stubs = (
        streams(executed).count("✓"),
        nbformat.read(path.parent.parent / path.name, as_version=4),
    )
    exercises = [c for c in stubs.cells if "exercise" in c.metadata.get("tags", [])]
    assert passed == len(exercises) >= 4


@pytest.mark.backend_free
@pytest.mark.parametrize("path", NOTEBOOKS + SOLUTIONS, ids=lambda path: path.parent.name)
class TestContract:
    def test_opens_everywhere(self, path):
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
        assert "widgets" not in notebook.metadata
        assert notebook.metadata.kernelspec.name == "python3"

    def test_one_cell_of_parameters(self, path):
        cells = nbformat.read(path, as_version=4).cells
        tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
        assert len(tagged) == 1
        for line in tagged[0].source.splitlines():
            assert "#" in line, f"no comment on {line!r}"

    def test_was_executed_in_order_without_errors_or_paths(self, path):
        code = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
        assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
        for cell in code:
            assert len(cell.source.splitlines()) <= 25
            for output in cell.outputs:
                assert output.output_type != "error"
                assert output.get("name") != "stderr"
                text = json.dumps(output)
                assert str(ROOT) not in text
                assert str(Path.home()) + "/" not in text

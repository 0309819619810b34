"""`make matrix` asks for the versions that pyproject.toml names, and counts what pytest reports."""

import json
import os
import subprocess
import sys

import pytest
import run_matrix
from find_python import find_python
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from run_matrix import LEFT_OUT, RESULT, ROOT, ROWS
from test_packaging import CI_EXTRAS, NO_PLUGINS, PROJECT, executable, pins, project_bounds

pytestmark = pytest.mark.backend_free


def constrained(row):
    """`{name: SpecifierSet}` of the constraints of a row."""
    found = [Requirement(line) for line in run_matrix.constraints(row)]
    names = [canonicalize_name(requirement.name) for requirement in found]
    assert len(set(names)) == len(names), "a package is constrained twice"
    return dict(zip(names, (requirement.specifier for requirement in found), strict=True))


def test_every_python_of_pyproject_has_a_row_with_the_pins():
    head = "Programming Language :: Python :: 3."
    supported = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if c.startswith(head)]
    assert [python for python, old in ROWS.values() if old == ()] == supported
    for row in ("py311", "py312", "py313"):
        assert constrained(row).keys() == pins().keys()
        assert all(pins()[name] in bound for name, bound in constrained(row).items())


@pytest.mark.parametrize(
    ("requirement", "oldest"),
    [
        ("keras>=3.13", "keras==3.13.*"),
        ("pillow>=11.0,<13", "pillow==11.0.*"),
        ("manim==0.22.*", "manim==0.22.*"),
    ],
)
def test_the_oldest_version_is_the_newest_of_the_lowest_minor(requirement, oldest):
    assert run_matrix.lowest(Requirement(requirement)) == oldest


def test_the_floor_is_the_lowest_bound_of_every_dependency_and_of_tensorflow():
    floor, bounds = constrained("floor"), project_bounds(["tensorflow"])
    changed = {name for name in floor if floor[name] != constrained("py311")[name]}
    assert changed == bounds.keys() == {canonicalize_name(n) for n in bounds}
    for name, bound in bounds.items():
        (lowest,) = [s.version for s in bound if s.operator == ">="]
        assert Version(f"{lowest}.0") in floor[name]
        assert pins()[name] not in floor[name], f"{name}: pinned and oldest are the same"


def test_keras_and_tensorflow_alone_are_old_in_the_row_for_the_newest_python():
    row = constrained("keras-floor")
    assert {name for name in row if row[name] != constrained("py313")[name]} == {
        "keras",
        "tensorflow",
    }


def test_what_is_left_out_exists_and_all_else_is_run():
    modules = {path.stem for path in (ROOT / "tests").glob("test_*.py")}
    assert LEFT_OUT.keys() <= modules
    run = [path.removeprefix("tests/").removesuffix(".py") for path in run_matrix.library_tests()]
    assert set(run) == modules - LEFT_OUT.keys()
    assert {"test_shift", "test_layers", "test_training", "test_doctests"} <= set(run)
    assert set(run_matrix.EXTRAS) < {*CI_EXTRAS}


def test_counts_what_pytest_reports(tmp_path):
    (tmp_path / "test_it.py").write_text("""
import pytest

@pytest.fixture
def broken(): raise OSError

@pytest.fixture
def breaks_afterwards():
    yield
    raise OSError

def test_1(): pass
def test_2(): pass
def test_3(): assert False
def test_4(broken): pass
def test_5(): pytest.skip("no such device")
@pytest.mark.xfail(reason="known")
def test_6(): assert False
def test_7(breaks_afterwards): assert False
""")
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", tmp_path]
    environment = {**os.environ, **NO_PLUGINS}
    subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    counts = run_matrix.counts(report)
    assert [failure.rpartition("::")[2] for failure in counts["failures"]] == [
        "test_3",
        "test_4",
        "test_7",
    ]
    assert (counts["passed"], counts["failed"], counts["skipped"]) == (3, 3, 1)
    assert counts["reasons"] == ["no such device"]


def test_finds_the_running_python_and_none_that_does_not_exist():
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert find_python(running) == sys.executable
    assert find_python("9.9") is None


def test_finds_a_python_of_pyenv_behind_its_placeholder(tmp_path, monkeypatch):
    installed = tmp_path / ".pyenv" / "versions" / "9.9.1" / "bin" / "python9.9"
    for path, code in {installed: 0, tmp_path / "python9.9": 127}.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        executable(path, f"exit {code}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert find_python("9.9") == str(installed)


def test_an_unknown_row_is_an_error_that_lists_the_rows():
    command = [sys.executable, "tests/run_matrix.py", "py27"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "no row py27; choose from py311, py312" in result.stderr


def test_the_recorded_rows_have_no_failure_and_the_versions_of_their_rows():
    rows = json.loads(RESULT.read_text())["rows"]
    assert rows
    assert rows.keys() <= ROWS.keys()
    for name, row in rows.items():
        assert row["failed"] == 0, name
        assert row["passed"] > 1000, name
        assert row["python"].startswith(f"{ROWS[name][0]}."), name
        if ROWS[name][1] != ():  # the pins of the others go on when constraints.txt is refreshed
            names = project_bounds(["tensorflow"]) if ROWS[name][1] is None else ROWS[name][1]
            for package in names:
                assert Version(row[package]) in constrained(name)[package], (name, package)

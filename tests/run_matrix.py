"""Tests the library on every Python that it supports, with the newest and the oldest versions.

    python tests/run_matrix.py                           # all rows: `make matrix`
    python tests/run_matrix.py py312 floor               # some: `make matrix ROWS="py312 floor"`
    python tests/run_matrix.py py313 --tests test_shift  # a first look, which is not recorded

Each row gets a virtual environment of its own, `.venv-matrix-<row>`, with TensorFlow and what the
tests need. JAX and PyTorch are left to `make test`: their environments are large, and the lanes
run the same code with the newest versions. A module of tests that looks at the repository or needs
more than the library is left out, with the reason. Prints a table and writes JSON. `PYTEST_ARGS`
holds further arguments for pytest.
"""

import argparse
import hashlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from find_python import find_python
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "matrix.json"
EXTRAS = ("tensorflow", "test")

NOTEBOOKS = "runs notebooks: lane notebooks of make test"
REPOSITORY = "looks at the repository, not at the library"
LEFT_OUT = {
    "test_animation_view": "needs the extra animations",
    "test_animations": "needs the extra animations",
    "test_claims": REPOSITORY,
    "test_demo": "needs the extra demo and Chromium",
    "test_explorer": "needs Chromium and Node.js; what it runs is JavaScript",
    "test_jupyterlab": NOTEBOOKS,
    "test_matrix": REPOSITORY,
    "test_notebook_links": REPOSITORY,
    "test_notebook_lint": REPOSITORY,
    "test_notebooks": NOTEBOOKS,
    "test_packaging": REPOSITORY,
    "test_reference": "compares with a recording: make reference",
    "test_web_page": "needs the extra export and Chromium",
}

# row -> (Python, packages at their lowest bound, or None for those of all direct dependencies)
ROWS = {
    "py311": ("3.11", ()),
    "py312": ("3.12", ()),
    "py313": ("3.13", ()),
    # NumPy 2.0 and others of its age have no wheels for Python 3.13.
    "floor": ("3.11", None),
    "keras-floor": ("3.13", ("keras", "tensorflow")),
}

# Run in the environment of a row. Prints JSON.
PROBE = """
import importlib.metadata, json, platform
from shiftvit_utils.machine import describe_device
names = ("keras", "tensorflow", "numpy", "scipy", "scikit-learn", "pillow", "matplotlib", "h5py")
found = {name: importlib.metadata.version(name) for name in names}
print(json.dumps({"device": describe_device(), "python": platform.python_version(), **found}))
"""


def requirements(extras=EXTRAS):
    """The direct dependencies of pyproject.toml, of the library and of these extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    lines = project["dependencies"] + [line for extra in extras for line in optional[extra]]
    return [Requirement(line) for line in lines]


def lowest(requirement):
    """`keras==3.13.*` for `keras>=3.13`: the oldest minor version that is allowed."""
    (bound,) = [s.version for s in requirement.specifier if s.operator in (">=", "==")]
    return f"{requirement.name}=={bound.removesuffix('.*')}.*"


def constraints(row):
    """The lines of the constraints file of a row: the pins of CI, or the lowest bounds."""
    names = ROWS[row][1]
    library = requirements(("tensorflow",))
    old = {
        canonicalize_name(requirement.name): lowest(requirement)
        for requirement in library
        if names is None or requirement.name in names
    }
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if "==" in line]
    kept = [pin for pin in pins if canonicalize_name(pin.split("==")[0]) not in old]
    return sorted([*kept, *old.values()], key=str.lower)


def environment(row):
    """Makes or refreshes the environment of a row; returns its Python.

    Raises:
        FileNotFoundError: there is no Python of this version.
        subprocess.CalledProcessError: pip failed; it has said why.
    """
    version = ROWS[row][0]
    folder = ROOT / f".venv-matrix-{row}"
    python, stamp = folder / "bin" / "python", folder / ".installed"
    lines = "\n".join(constraints(row)) + "\n"
    wanted = hashlib.sha256("\n".join([lines, *map(str, requirements())]).encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    print(f"Installing {folder.name} (several minutes the first time) ...", flush=True)
    if not python.is_file():
        base = find_python(version)
        if base is None:
            raise FileNotFoundError(f"there is no Python {version} that can make environments")
        subprocess.run([base, "-m", "venv", folder], check=True)
    constraint_file = folder / "constraints.txt"
    constraint_file.write_text(lines)
    install = [python, "-m", "pip", "install", "--quiet", "-c", constraint_file]
    subprocess.run([*install, "-e", f"{ROOT}[{','.join(EXTRAS)}]"], check=True)
    subprocess.run([python, "-m", "pip", "check"], check=True)
    stamp.write_text(wanted)
    return python


def run_row(row, modules):
    """Runs these modules of tests in the environment of a row; returns what came out, as JSON."""
    python = environment(row)
    settings = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    probe = subprocess.run(
        [python, "-c", PROBE], env=settings, cwd=ROOT, check=True, capture_output=True, text=True
    )
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        command += [*shlex.split(os.environ.get("PYTEST_ARGS", "")), *modules]
        print(f"==== {row} ====", flush=True)
        start = time.monotonic()
        subprocess.run(command, cwd=ROOT, env=settings, check=False)
        seconds = time.monotonic() - start
        if not report.is_file():
            raise RuntimeError(f"pytest of {row} wrote no report")
        arguments = os.environ.get("PYTEST_ARGS", "")
        ran = {"pytest_args": arguments, "seconds": round(seconds)}
        return {**json.loads(probe.stdout), **counts(report), **ran}


def counts(report):
    """How many tests passed, failed and were skipped, and why, by a JUnit report of pytest."""
    failed, skipped, names = set(), {}, set()
    for case in ElementTree.parse(report).iter("testcase"):  # two if its teardown fails as well
        name = f"{case.get('classname')}::{case.get('name')}"
        names.add(name)
        if case.find("failure") is not None or case.find("error") is not None:
            failed.add(name)
        skip = case.find("skipped")
        if skip is not None and skip.get("type") != "pytest.xfail":  # that one ran, and is meant
            skipped[name] = skip.get("message") or ""
    return {
        "passed": len(names - failed - skipped.keys()),
        "failed": len(failed),
        "skipped": len(skipped),
        "reasons": sorted(set(skipped.values())),
        "failures": sorted(failed),
    }


def table(rows):
    """The results in markdown."""
    titles = ("row", "Python", "Keras", "TensorFlow", "NumPy", "scikit-learn", "Pillow")
    titles += ("passed", "failed", "skipped", "seconds")
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for name, row in rows.items():
        values = [row[title.lower()] for title in titles[1:]]
        lines.append("| " + " | ".join(map(str, [name, *values])) + " |")
    return "\n".join(lines)


def library_tests():
    """The modules of tests that are not left out, as paths from the root."""
    names = sorted(path.stem for path in (ROOT / "tests").glob("test_*.py"))
    return [f"tests/{name}.py" for name in names if name not in LEFT_OUT]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--tests", nargs="+", metavar="MODULE", help="only these; records nothing")
    arguments = parser.parse_args()
    if unknown := [row for row in arguments.rows if row not in ROWS]:
        parser.error(f"no row {', '.join(unknown)}; choose from {', '.join(ROWS)}")
    modules = [f"tests/{name}.py" for name in arguments.tests or ()] or library_tests()

    results, missing = {}, {}
    for row in arguments.rows or ROWS:
        try:
            results[row] = run_row(row, modules)
            if not arguments.tests:
                record(results)  # after each row: it takes long until all have run
        except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
            missing[row] = str(error)

    print("\n==== left out ====")
    for name, reason in LEFT_OUT.items():
        print(f"{name}: {reason}")
    print("JAX and PyTorch: make test\n")
    print(table(results))
    for row, result in results.items():
        for failure in result["failures"]:
            print(f"{row} failed: {failure}")
        for reason in result["reasons"]:
            print(f"{row} skipped: {reason}")
    for row, error in missing.items():
        print(f"{row} did not run: {error}")
    return int(bool(missing) or any(result["failed"] for result in results.values()))


def record(results):
    """Puts these rows in the place of the same ones of the JSON file."""
    before = json.loads(RESULT.read_text())["rows"] if RESULT.is_file() else {}
    rows = {row: {**before, **results}[row] for row in ROWS if row in {**before, **results}}
    content = {"backend": "tensorflow", "left_out": LEFT_OUT, "rows": rows}
    RESULT.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())

"""Runs lint, the reference comparison, the tests per backend and the notebooks, and sums up.

`python tests/run_lanes.py` runs every lane, `python tests/run_lanes.py lint jax` only those.
All lanes run even if one fails. `PYTEST_ARGS` holds further arguments for pytest in the lanes of
the backends. A backend that is not installed is reported as skipped, or as failed where
`SHIFTVIT_NO_SKIPS` is 1.
"""

import argparse
import importlib.util
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from find_python import find_python
from notebook_lint import course_notebooks

ROOT = Path(__file__).resolve().parent.parent

LINT = (
    ("ruff", "check"),
    ("ruff", "format", "--check"),
    ("mypy",),
    ("notebook_lint",),
)

# The first lane runs everything. What no backend can change is not run again, and PyTorch, which
# Keras runs eagerly and so slowly, is spared the training runs.
MARKERS = {
    "tensorflow": "",
    "jax": "not backend_free",
    "torch": "not backend_free and not training",
}


# Every cell of every notebook, two notebooks at a time. A cell's limit is for a kernel that died.
NBVAL = (
    *("pytest", "-p", "nbval_plugin", "--nbval-lax", "--nbval-current-env"),
    *("--nbval-cell-timeout", "300", "-n", "2", "-p", "no:cacheprovider"),
)


def run(command, **environment):
    """Echoes and runs `python -m command`, with `tests/` to import from; returns its exit code."""
    print(f"$ {shlex.join(command)}", flush=True)
    folders = filter(None, (str(ROOT / "tests"), os.environ.get("PYTHONPATH")))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders), **environment}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env=environment, check=False
    ).returncode


def run_lint():
    codes = [run(command) for command in LINT]  # all of them, even after a failure
    return "failed" if any(codes) else "passed"


def run_backend(backend):
    if importlib.util.find_spec(backend) is None:
        verdict = "failed" if os.environ.get("SHIFTVIT_NO_SKIPS") == "1" else "skipped"
        return f"{verdict}: {backend} is not installed (make test EXTRAS={backend})"
    arguments = shlex.split(os.environ.get("PYTEST_ARGS", ""))
    if MARKERS[backend]:
        arguments += ["-m", MARKERS[backend]]
    # XLA optimizes each of thousands of small JAX functions for longer than the tests run them.
    code = run(["pytest", *arguments], KERAS_BACKEND=backend, JAX_DISABLE_MOST_OPTIMIZATIONS="1")
    if code == 5:  # pytest's code for "collected no test"
        return "failed: no test ran"
    return "failed" if code else "passed"


def run_notebooks(notebooks=None):
    """Runs notebooks with nbval, offline and with a folder for runs of their own."""
    notebooks = course_notebooks() if notebooks is None else notebooks
    with tempfile.TemporaryDirectory() as runs:
        code = run(
            [*NBVAL, *map(str, notebooks)],
            KERAS_BACKEND="tensorflow",
            SHIFTVIT_DATASET="digits",
            SHIFTVIT_RUNS=runs,
        )
    return "failed" if code else "passed"


def run_reference():
    """Compares with the published example's own stack, which exists for Python 3.11 only."""
    if sys.platform != "darwin" and (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return "skipped: did not run, TensorFlow Addons has no build for this machine"
    python = find_python("3.11")
    if python is None:
        return "skipped: did not run, there is no Python 3.11, which TensorFlow Addons needs"
    command = ["make", "reference", f"REFERENCE_PYTHON={python}"]
    print(f"$ {shlex.join(command)}", flush=True)
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    return "failed" if code else "passed"


def main():
    lanes = {
        "lint": run_lint,
        "reference": run_reference,
        **{name: lambda name=name: run_backend(name) for name in MARKERS},
        "notebooks": run_notebooks,
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lanes", nargs="*", metavar="LANE", help=f"of {', '.join(lanes)}")
    chosen = parser.parse_args().lanes or list(lanes)
    if unknown := [name for name in chosen if name not in lanes]:
        parser.error(f"no lane {', '.join(unknown)}; choose from {', '.join(lanes)}")

    verdicts = {}
    for name in chosen:
        print(f"\n==== lane {name} ====", flush=True)
        start = time.monotonic()
        verdicts[name] = f"{lanes[name]()} [{time.monotonic() - start:.0f} s]"

    print("\n==== summary ====")
    for name, verdict in verdicts.items():
        print(f"{name:12}{verdict}")
    return int(any(verdict.startswith("failed") for verdict in verdicts.values()))


if __name__ == "__main__":
    sys.exit(main())

"""Runs lint and then the tests once per Keras backend, each in its own process, and sums up.

`python tests/run_lanes.py` runs every lane, `python tests/run_lanes.py lint jax` only those.
All lanes run even if one fails. `PYTEST_ARGS` holds further arguments for pytest. A backend that
is not installed is reported as skipped, or as failed where `SHIFTVIT_NO_SKIPS` is 1.
"""

import argparse
import importlib.util
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

LINT = (
    ("ruff", "check"),
    ("ruff", "format", "--check"),
    ("mypy",),
)

# The first lane runs everything. What no backend can change is not run again, and PyTorch, which
# Keras runs eagerly and so slowly, is spared the training runs.
MARKERS = {
    "tensorflow": "",
    "jax": "not backend_free",
    "torch": "not backend_free and not training",
}


def run(command, **environment):
    """Echoes and runs `python -m command`; returns its exit code."""
    print(f"$ {shlex.join(command)}", flush=True)
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env={**os.environ, **environment}, check=False
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


def main():
    lanes = {"lint": run_lint, **{name: lambda name=name: run_backend(name) for name in MARKERS}}
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

"""Runs notebooks as Colab would: its versions, nothing of ours, in a folder with nothing else.

    python tests/try_colab.py     # what `make colab` runs

A virtual environment gets TensorFlow and Keras as Colab has them, what else Colab has and the
library needs, and a Jupyter kernel. Then the last commit is tried in three ways:

- `wheel`: the wheel is installed with `--no-deps`, notebooks stand alone in a folder;
- `clone`: `make links` has stamped a repository into the notebooks, nothing is installed. What the
  bootstrap cell fetches from GitHub is a local copy of the last commit, by a setting of git's;
- `neither`: the first cell must stop, and say in one line how to get the library.

After each, pip must list the packages that it listed before, at the same versions, and at most this
library besides. All runs are on the digits, offline but for the installation.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import notebook_links
from find_python import find_python

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv-colab"
RESULT = ROOT / "benchmarks" / "results" / "colab.json"
REPOSITORY = "octocat/shiftvit-course"

# Colab in August 2026. Of the others, pip takes what fits to these.
PYTHON = "3.13"
COLAB = ("tensorflow==2.20.0", "keras==3.13.2")
BESIDE = ("matplotlib", "numpy", "pillow", "scikit-learn", "pyyaml", "ipykernel")

# 06 needs a model of the digits, which 05 trains; 07 needs the recordings beside the library.
NOTEBOOKS = {
    "wheel": ("03_shift", "04_layers", "05_train", "06_inference"),
    "clone": ("03_shift", "04_layers", "05_train", "06_inference", "07_paper_and_code"),
}
# TensorFlow 2.20 tells the first XLA compilation of a process to standard error, whatever the level
# asked for; so it does on Colab.
INFORMATION = re.compile(r"I\d{4} |WARNING: All log messages before absl::InitializeLog")
PARAMETERS = {
    "05_train": {"dataset": "digits", "epochs": "20"},
    "06_inference": {"dataset": "digits"},
}


def run(*command, **options):
    return subprocess.run(
        [str(part) for part in command], check=True, text=True, **{"cwd": ROOT, **options}
    )


def make_environment():
    """An environment as on Colab; returns its Python.

    Raises:
        FileNotFoundError: there is no Python of Colab's version.
    """
    inside, stamp = ENVIRONMENT / "bin" / "python", ENVIRONMENT / ".installed"
    wanted = " ".join((PYTHON, *COLAB, *BESIDE))
    if not (stamp.is_file() and stamp.read_text() == wanted):
        python = find_python(PYTHON)
        if python is None:
            raise FileNotFoundError(f"Colab has Python {PYTHON}, and there is none here.")
        print("Installing .venv-colab (several minutes the first time) ...", flush=True)
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        run(python, "-m", "venv", ENVIRONMENT)
        run(inside, "-m", "pip", "install", "--quiet", *COLAB, *BESIDE)
        stamp.write_text(wanted)
    run(inside, "-m", "pip", "uninstall", "--quiet", "--yes", "shiftvit-utils")
    return inside


def packages(python):
    """What `pip freeze` lists: `{name: the whole line}`."""
    frozen = run(python, "-m", "pip", "freeze", "--all", capture_output=True).stdout
    return {line.replace(" @", "==").split("==")[0]: line for line in frozen.splitlines()}


class Colab:
    """One machine of Colab's: a kernel, an empty folder, and GitHub as far as git can see."""

    def __init__(self, python, folder):
        self.folder = folder / "content"
        self.results = folder / "executed"
        for path in (self.folder, self.results):
            path.mkdir(parents=True)
        kernel = folder / "jupyter" / "kernels" / "colab" / "kernel.json"
        kernel.parent.mkdir(parents=True)
        argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        kernel.write_text(json.dumps({"argv": argv, "display_name": "Colab", "language": "python"}))
        inherited = {
            name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ
        }
        self.environment = {
            **inherited,
            "JUPYTER_PATH": str(folder / "jupyter"),
            "KERAS_BACKEND": "tensorflow",
            "SHIFTVIT_DATASET": "digits",
            "SHIFTVIT_RUNS": str(folder / "runs"),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{(folder.parent / 'github').as_uri()}/.insteadOf",
            "GIT_CONFIG_VALUE_0": "https://github.com/",
        }

    def execute(self, notebook):
        """Runs a notebook that is in the folder; returns the seconds and what papermill said."""
        command = [sys.executable, "-m", "papermill", "--no-progress-bar", "--kernel", "colab"]
        for name, value in PARAMETERS.get(notebook.stem, {}).items():
            command += ["-p", name, value]
        start = time.monotonic()
        outcome = subprocess.run(
            [*command, str(notebook), str(self.results / notebook.name)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = round(time.monotonic() - start)
        return seconds, outcome.stderr if outcome.returncode else ""

    def faults(self, notebook):
        """The errors in the executed notebook and what it wrote to standard error, line by line."""
        cells = nbformat.read(self.results / notebook.name, as_version=4).cells
        outputs = [output for cell in cells for output in cell.get("outputs", ())]
        stops = [f"{o.ename}: {o.evalue}" for o in outputs if o.output_type == "error"]
        written = "".join(o.text for o in outputs if o.get("name") == "stderr").splitlines()
        return stops + [line for line in written if not INFORMATION.match(line)]


def publish(folder):
    """Puts the last commit, with stamped notebooks, where git looks for GitHub.

    Returns:
        Path of that clone. The wheel is built there too: a build leaves traces in its folder.
    """
    clone = folder / "github" / REPOSITORY
    run("git", "clone", "--quiet", "--no-hardlinks", ROOT, clone)
    notebook_links.stamp(clone, REPOSITORY)
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    run("git", *identity, "commit", "--quiet", "--all", "-m", "Links", cwd=clone)
    return clone


def try_mode(mode, python, clone, folder):
    """Runs the notebooks of one mode; returns `{notebook: seconds}`.

    Raises:
        RuntimeError: a notebook failed, or the installed packages differ afterwards.
    """
    colab, before, times = Colab(python, folder / mode), packages(python), {}
    if mode == "wheel":
        notebook_links.stamp(clone, "")
        run(python, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, clone)
        (wheel,) = folder.glob("*.whl")
        run(python, "-m", "pip", "install", "--quiet", "--no-deps", wheel)
    for name in NOTEBOOKS.get(mode, ("03_shift",)):
        notebook = colab.folder / f"{name}.ipynb"
        shutil.copy(clone / "notebooks" / notebook.name, notebook)
        seconds, fault = colab.execute(notebook)
        if mode == "neither":
            (line,) = [line for line in colab.faults(notebook) if line.startswith("Module")]
            print(f"neither: {line}", flush=True)
            continue
        if fault or colab.faults(notebook):
            raise RuntimeError(f"{mode} {name}: {fault[-3000:] or colab.faults(notebook)}")
        print(f"{mode}: {name} {seconds} s", flush=True)
        times[name] = seconds
    after = packages(python)
    ours = after.pop("shiftvit-utils", "none")
    if after != before or (ours == "none") != (mode != "wheel"):
        changed = sorted(set(before.items()) ^ set(after.items()))
        raise RuntimeError(f"{mode}: changed {changed}, and of ours is installed: {ours}")
    print(f"{mode}: {len(before)} packages as before, and of ours: {ours}", flush=True)
    return times


def main():
    python = make_environment()
    versions = packages(python)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        clone = publish(folder)
        times = {mode: try_mode(mode, python, clone, folder) for mode in ("clone", "wheel")}
        run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "shiftvit-utils")
        try_mode("neither", python, clone, folder)
    names = ("tensorflow", "keras", "numpy", "pillow", "matplotlib", "scikit-learn", "ipykernel")
    content = {
        "python": run(python, "--version", capture_output=True).stdout.split()[1],
        "versions": {name: versions[name].split("==")[1] for name in names},
        "packages": len(versions),
        "note": "seconds of one run each, on a machine that may have had other work",
        "seconds": times,
    }
    RESULT.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())

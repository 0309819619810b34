"""How long each notebook takes: `python benchmarks/notebook_times.py`.

Runs them through papermill, from a fresh kernel each, one after the other, and takes the seconds
from the start of papermill to the end of the last cell. Prints a table and writes JSON. Notebooks
that train are left out: their log says how long that took.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
NAMES = ("01_data", "02_augmentation", "03_shift", "04_layers", "07_paper_and_code")


def seconds(name, dataset):
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "papermill", "--no-progress-bar"]
        command += [str(NOTEBOOKS / f"{name}.ipynb"), f"{folder}/out.ipynb"]
        environment = {**os.environ, "SHIFTVIT_DATASET": dataset}
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=environment, cwd=NOTEBOOKS)
        return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--datasets", nargs="*", default=["digits", "cifar10"])
    parser.add_argument("--names", nargs="*", default=NAMES)
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    options = parser.parse_args()
    results = {
        name: {dataset: seconds(name, dataset) for dataset in options.datasets}
        for name in options.names
    }

    import keras

    from shiftvit_utils.machine import describe_device

    backend, device = keras.backend.backend(), describe_device()
    print(f"seconds, {backend}, {device}")
    print("| notebook | " + " | ".join(options.datasets) + " |")
    print("|---|" + "---|" * len(options.datasets))
    for name, times in results.items():
        print(f"| {name} | " + " | ".join(f"{value:.0f}" for value in times.values()) + " |")
    if options.json:
        content = {"device": device, "backend": backend, "results": results}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()

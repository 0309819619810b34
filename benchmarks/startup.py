"""Where the time goes until the first training step: `python benchmarks/startup.py`.

Runs notebook 05 through papermill on the digits, `micro`, and takes the times that papermill and
the training log leave behind. Prints a table of medians over several runs.
"""

import argparse
import datetime
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "05_train.ipynb"


def timed_run(folder):
    """Seconds of each part of one run, in order."""
    executed = folder / "out.ipynb"
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", str(NOTEBOOK), str(executed)]
    parameters = {"dataset": "digits", "preset": "micro", "epochs": 1, "run_dir": folder / "run"}
    for name, value in parameters.items():
        command += ["-p", name, str(value)]
    start = time.time()
    subprocess.run(command, check=True, capture_output=True)

    code = [c for c in nbformat.read(executed, as_version=4).cells if c.cell_type == "code"]
    begin, end = (
        [datetime.datetime.fromisoformat(c.metadata.papermill[key]).timestamp() for c in code]
        for key in ("start_time", "end_time")
    )
    imports = next(k for k, c in enumerate(code) if "import keras" in c.source)
    training = next(k for k, c in enumerate(code) if "sv.train(config)" in c.source)
    log = "".join(o.text for o in code[training].outputs if o.output_type == "stream")
    first_step = float(re.search(r"first step after ([\d.]+) s", log)[1])
    setup = float(re.search(r"data and model ready after ([\d.]+) s", log)[1])
    return {
        "papermill and Jupyter kernel start": begin[0] - start,
        "import Keras, its backend and the library": end[imports] - begin[0],
        "cells before training": begin[training] - end[imports],
        "load data, build model": setup,
        "trace and compile the first step": first_step,
        "sum": begin[training] - start + setup + first_step,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    options = parser.parse_args()
    runs = []
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(timed_run(Path(folder)))
    print("| part | seconds, median | range |\n|---|---|---|")
    for name in runs[0]:
        seconds = [run[name] for run in runs]
        median = statistics.median(seconds)
        print(f"| {name} | {median:.1f} | {min(seconds):.1f}–{max(seconds):.1f} |")
    if options.json:
        from shiftvit_utils.machine import describe_device

        results = {name: [run[name] for run in runs] for name in runs[0]}
        content = {"device": describe_device(), "runs": options.runs, "results": results}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()

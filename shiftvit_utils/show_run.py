"""Prints the result of a finished run: `python -m shiftvit_utils.show_run [RUN]`.

RUN is a run folder, or a notebook 05 that papermill executed. Without it, the run that ended last.
"""

import json
import re
import sys
from pathlib import Path

from shiftvit_utils.run_folder import RunFolder, runs_root


def newest_run():
    """The run folder under `runs_root()` that ended last.

    Raises:
        FileNotFoundError: if no run has ended there yet.
    """
    runs = [RunFolder(path.parent) for path in runs_root().glob("*/metrics.json")]
    if not runs:
        raise FileNotFoundError(f"No finished run in {runs_root()}. `make train` makes one.")
    return max(runs, key=lambda run: run.metrics_path.stat().st_mtime)


def run_of(path):
    """The run folder that is meant.

    Args:
        path: str or Path of a run folder, or of an executed notebook 05: the run that it says it
            trained, from the folder in which it was executed.

    Returns:
        `RunFolder`.

    Raises:
        ValueError: if the notebook has trained nothing.
    """
    path = Path(path)
    if path.suffix != ".ipynb":
        return RunFolder(path)
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        said = "".join("".join(output.get("text", ())) for output in cell.get("outputs", ()))
        if found := re.search(r"^run folder: (.+)$", said, re.MULTILINE):
            return RunFolder(found[1])
    raise ValueError(f"{path} holds no run: was it executed to its end?")


def summary(run):
    """A few lines on a finished run: accuracy, data, size, time, model file.

    Args:
        run: `RunFolder`.

    Returns:
        str.
    """
    metrics = run.read_metrics()
    minutes, seconds = divmod(round(metrics["train_seconds"]), 60)
    split, accuracy = (
        ("test", "test accuracy:     ")
        if "test_top1" in metrics  # a run may leave the test set alone
        else ("val", "validation acc.:   ")
    )
    return (
        f"{accuracy}{metrics[f'{split}_top1']:.2%} top-1, {metrics[f'{split}_top5']:.2%} top-5\n"
        f"data:              {metrics['data_source']}\n"
        f"network:           {metrics['parameters']:,} parameters, {metrics['epochs']} epochs\n"
        f"trained in:        {minutes}:{seconds:02d} min on {metrics['device']}, "
        f"{metrics['backend']}\n"
        f"model:             {run}/{run.model_path.name}"
    )


if __name__ == "__main__":
    print(summary(run_of(sys.argv[1]) if len(sys.argv) > 1 else newest_run()))

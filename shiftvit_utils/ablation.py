"""One thing changed at a time: a sweep of training runs, through papermill over notebook 05.

A `Point` is one change of one recipe. `run_sweep` trains every point under every seed, each in a
process of its own, and goes on where it was interrupted. `collect` makes a tidy table of what came
out. Points are compared by their validation accuracy: they are choices, and a test set that chose
would tell nothing any more. So the table leaves out what the notebook measures on the test set.
"""

import concurrent.futures
import contextlib
import csv
import dataclasses
import functools
import json
import math
import os
import queue
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from shiftvit_utils.config import RECIPES
from shiftvit_utils.image_decoding import check_image_size
from shiftvit_utils.layer_costs import layer_costs
from shiftvit_utils.model import ShiftViT
from shiftvit_utils.presets import preset_config
from shiftvit_utils.pretrained import network_changes
from shiftvit_utils.run_folder import RunFolder

_LAST_LINES = 15

# Jupyter picks the ports of a kernel before the kernel binds them. Where many kernels start at
# once, another process takes one of them now and then, and the kernel dies before its first cell.
_KERNEL_NEVER_RAN = "Kernel died before replying to kernel_info"
_KERNEL_STARTS = 3


@dataclasses.dataclass(frozen=True)
class Point:
    """One change to the baseline.

    Args:
        group: str, the question that it belongs to.
        name: str, unlike any other in the group.
        changes: parameters of notebook 05 that differ from the baseline's; `network` holds
            arguments of `ShiftViT`.
    """

    group: str
    name: str
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def folder_name(self):
        """The same for all points that change nothing, so that the baseline is run once."""
        return f"{self.group} {self.name}".replace(" ", "-") if self.changes else "baseline"


def _network(**arguments):
    return {"network": arguments}


# What the paper asks (arXiv 2201.10801), and the published example's slip.
ABLATIONS = (
    Point("token mixer", "shift"),
    Point("token mixer", "none", {"shift_variant": "none"}),
    Point("token mixer", "border zeroing", {"shift_variant": "border_zeroing"}),
    Point("token mixer", "depthwise convolution", _network(token_mixer="depthwise_conv")),
    Point("token mixer", "attention", _network(token_mixer="attention")),
    Point("share of channels", "1/6", _network(num_div=24)),
    Point("share of channels", "1/3"),
    Point("share of channels", "1/2", _network(num_div=8)),
    Point("share of channels", "2/3", _network(num_div=6)),
    Point("share of channels", "all", _network(num_div=4)),
    Point("pixels", "1"),
    Point("pixels", "2", _network(shift_pixel=2)),
    Point("pixels", "3", _network(shift_pixel=3)),
    # About as many weights in each: fewer blocks with wide MLPs, or more with narrow ones.
    Point(
        "blocks and MLP",
        "1 block, ratio 4",
        _network(num_shift_blocks_per_stages=[1, 1, 1], mlp_expand_ratio=4),
    ),
    Point("blocks and MLP", "2 blocks, ratio 2"),
    Point(
        "blocks and MLP",
        "4 blocks, ratio 1",
        _network(num_shift_blocks_per_stages=[4, 4, 4], mlp_expand_ratio=1),
    ),
    # The baseline is the recipe "light". Each optimizer has a learning rate of its own.
    Point("recipe", "Muon, GELU, layer norm"),
    Point("recipe", "AdamW", {"optimizer": "adamw", "lr_max": 3e-3}),
    Point("recipe", "SGD", {"optimizer": "sgd", "lr_max": 0.1, "weight_decay": 5e-4}),
    Point("recipe", "ReLU", _network(activation="relu")),
    Point("recipe", "batch norm", _network(normalization="batch")),
    Point("recipe", "ReLU and batch norm", _network(activation="relu", normalization="batch")),
)


def points_of(groups, names=None):
    """The points of `ABLATIONS` in these groups, in their order.

    Args:
        groups: list of str.
        names: None for all points of them, or a list of names; numbers count as their text.

    Raises:
        ValueError: if there is no such group or point, or a group would be without its baseline;
            the message lists those there are.

    >>> [point.name for point in points_of(["pixels"])]
    ['1', '2', '3']
    """
    known = dict.fromkeys(point.group for point in ABLATIONS)
    for group in groups:
        if group not in known:
            raise ValueError(f"Unknown group {group!r}. Choose from: {', '.join(known)}.")
    points = [point for point in ABLATIONS if point.group in groups]
    if names is None:
        return points
    names = [str(name) for name in names]
    for name in names:
        if name not in [point.name for point in points]:
            there = ", ".join(repr(point.name) for point in points)
            raise ValueError(f"No point {name!r} in {', '.join(groups)}. Choose from: {there}.")
    for point in points:
        if not point.changes and point.name not in names:
            raise ValueError(
                f"Points of {point.group} are compared with {point.name!r}: add it to `points`."
            )
    return [point for point in points if point.name in names]


def run_sweep(points, seeds, folder, notebook, parameters, workers=1, run=subprocess.run):
    """Trains every point under every seed; what is in the folder already is not run again.

    A run whose kernel died before its first cell is started again, at most three times in all.

    Args:
        points: list of `Point`.
        seeds: list of int.
        folder: Path, one run folder a point and seed goes into it, and its executed notebook.
        notebook: Path of notebook 05.
        parameters: dict, what all points have in common: parameters of the notebook.
        workers: int >= 1, runs at a time, which share the cores evenly. Small networks do not fill
            several cores, so one run a core ends sooner than one run after the other on all.
        run: `subprocess.run`, or what stands in for it.

    Raises:
        ValueError: for no points, no seeds, no workers, or names that would share a folder.
        RuntimeError: if runs failed: all of them, each with the end of what it said. The others
            are finished first, and kept.
    """
    if not points or not seeds:
        raise ValueError(f"Nothing to run: {len(points)} points, {len(seeds)} seeds.")
    if workers < 1:
        raise ValueError(f"workers={workers}: at least 1.")
    jobs = {run_path(folder, point, seed): (point, seed) for point in points for seed in seeds}
    for path, (point, seed) in jobs.items():
        for other in points:
            if run_path(folder, other, seed) == path and other.changes != point.changes:
                raise ValueError(f"{point} and {other} would share the folder {path.name}.")
    Path(folder).mkdir(parents=True, exist_ok=True)
    run = functools.partial(run, env={**os.environ, **_share_of_threads(workers)})
    failures = []
    ended: queue.SimpleQueue = queue.SimpleQueue()
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        try:
            futures = {}
            for path, (point, seed) in jobs.items():
                future = pool.submit(_run_one, path, point, seed, notebook, parameters, run)
                futures[future] = point, seed
                future.add_done_callback(ended.put)
            for count in range(1, len(jobs) + 1):
                future = _next(ended)
                point, seed = futures[future]
                error = future.result()
                word = "FAILED" if error else "done"
                print(
                    f"{count}/{len(jobs)} {point.group}: {point.name}, seed {seed}: {word}",
                    flush=True,
                )
                if error:
                    failures.append(f"{point.group}: {point.name}, seed {seed}\n{error}")
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            print("Interrupted: nothing more begins. The next call goes on where each run stopped.")
            raise
    if failures:
        raise RuntimeError(f"{len(failures)} of {len(jobs)} runs failed:\n\n" + "\n".join(failures))


def _next(ended):
    """Waits for the next of `ended`, a queue, and for Ctrl-C.

    A thread that waits without a limit does not wake for a signal that came just before it began to
    wait, and on Windows for none.
    """
    while True:
        with contextlib.suppress(queue.Empty):
            return ended.get(timeout=1)


def run_path(folder, point, seed):
    """The run folder of a point: a Path."""
    return Path(folder) / f"{point.folder_name.replace('/', 'of')}-{seed}"


def settings_of(point, seed, path, parameters):
    """The papermill parameters of one run. `network` of the point adds to that of all."""
    network = {**(parameters.get("network") or {}), **point.changes.get("network", {})}
    return {
        **parameters,
        **point.changes,
        "network": network or None,
        "seed": seed,
        "run_dir": str(path),
        "resume": path.exists(),
    }


def _share_of_threads(workers):
    """Environment variables by which PyTorch and TensorFlow take their share of the cores."""
    if workers == 1:
        return {}
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    return dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), threads)


def _run_one(path, point, seed, notebook, parameters, run):
    """None, or the end of what a failed run said."""
    settings = settings_of(point, seed, path, parameters)
    if RunFolder(path).is_complete:
        return _differences(path, settings)
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", "--kernel", "python3"]
    command += ["-y", yaml.safe_dump(settings), str(notebook), f"{path}.ipynb"]
    for _ in range(_KERNEL_STARTS):
        outcome = run(command, capture_output=True, text=True, check=False)
        if outcome.returncode == 0:
            return None
        if _KERNEL_NEVER_RAN not in outcome.stderr:
            break
    return "\n".join(outcome.stderr.splitlines()[-_LAST_LINES:])


_NONE_IS_A_VALUE = (
    *("network", "limit_train", "validation_size", "image_size"),
    *("initial_weights", "ema_momentum", "global_clipnorm"),
)


def _differences(path, settings):
    """None, or how a finished run is not the one that is asked for."""
    before = RunFolder(path).read_config()
    asked = dict.fromkeys(_NONE_IS_A_VALUE) | json.loads(json.dumps(settings))
    asked |= asked.pop("other_settings", None) or {}
    # The folder holds the network as the recipe completed it.
    recipe = RECIPES[before["recipe"]]
    network = {
        **network_changes(asked["initial_weights"]),
        **recipe.get("network", {}),
        **(asked.get("network") or {}),
    }
    asked["network"] = network or None
    size = check_image_size(asked["image_size"])
    asked["image_size"] = None if size is None else list(size)
    of_the_preset = list(preset_config(before["preset"])["image_shape"][:2])
    if size is None and before.get("image_size") == of_the_preset:
        asked["image_size"] = of_the_preset  # `train` said so: the images were larger
    differing = [
        f"{name} is {before[name]!r} in the folder, {value!r} now"
        for name, value in asked.items()
        if name in before and name not in ("resume", "run_dir") and before[name] != value
        # None of these is a value: the notebook, the recipe or the data set fills it in.
        if value is not None or name in _NONE_IS_A_VALUE
    ]
    if not differing:
        return None
    return f"{path} holds another run: {'; '.join(differing)}. Give another folder."


COLUMNS = (
    *("group", "point", "seed", "val_top1", "epochs", "parameters", "multiply_adds"),
    *("images_per_second", "train_seconds", "backend", "device", "data_source"),
)


def collect(points, seeds, folder):
    """One row for each point and seed.

    Args:
        points: list of `Point`.
        seeds: list of int.
        folder: Path, that of `run_sweep`.

    Returns:
        list of dict with the keys `COLUMNS`. `val_top1` is a share in [0, 1], `multiply_adds` are
        those of one image.

    Raises:
        FileNotFoundError: if a run is missing.
    """
    rows = []
    for point in points:
        for seed in seeds:
            run = RunFolder(run_path(folder, point, seed))
            if not run.is_complete:
                raise FileNotFoundError(f"{run.path} holds no finished run; run_sweep makes it.")
            config, metrics = run.read_config(), run.read_metrics()
            arguments = dict(config["network"] or {})
            if config.get("image_size"):
                arguments["image_shape"] = (*config["image_size"], 3)
            network = ShiftViT.from_preset(config["preset"], **arguments)
            measured = {name: metrics[name] for name in COLUMNS if name in metrics}
            cost = sum(layer.multiply_adds for layer in layer_costs(network))
            row = {"group": point.group, "point": point.name, "seed": seed, "multiply_adds": cost}
            rows.append({name: {**measured, **row}[name] for name in COLUMNS})
    return rows


def summary(rows, group):
    """The points of a group against its baseline, with what chance alone would do.

    Args:
        rows: as from `collect`.
        group: str.

    Returns:
        list of dict, in the order of the rows: `point`, `is_baseline`, `seeds` (how many), `mean`
        of the validation accuracy, `difference` from the baseline's mean, and `standard_error` of
        that difference, with the spread of the seeds of both: NaN for a single seed, 0 for the
        baseline itself. A difference below two standard errors may well be chance.

    Raises:
        ValueError: if the group has no rows, or no baseline among them.
    """
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["group"] == group:
            found.setdefault(row["point"], []).append(row["val_top1"])
    baselines = [p.name for p in ABLATIONS if p.group == group and not p.changes]
    if not baselines or baselines[0] not in found:
        raise ValueError(f"No baseline for {group!r} among the rows.")
    baseline = found[baselines[0]]
    return [
        {
            "point": point,
            "is_baseline": point == baselines[0],
            "seeds": len(values),
            "mean": float(np.mean(values)),
            "difference": float(np.mean(values) - np.mean(baseline)),
            "standard_error": 0.0
            if point == baselines[0]
            else math.sqrt(_variance_of_mean(values) + _variance_of_mean(baseline)),
        }
        for point, values in found.items()
    ]


def _variance_of_mean(values):
    return float(np.var(values, ddof=1)) / len(values) if len(values) > 1 else math.nan


def verdict(point):
    """A point of `summary` in one line: its mean, and whether chance alone explains the difference.

    Args:
        point: dict, as `summary` gives it.

    Returns:
        str.

    >>> numbers = dict(seeds=3, mean=0.5, difference=-0.1, standard_error=0.01)
    >>> verdict(dict(point="none", is_baseline=False, **numbers))
    'none: 50.0 %, 10.0 points below the baseline (± 1.0)'
    """
    difference, error = 100 * point["difference"], 100 * point["standard_error"]
    line = f"{point['point']}: {100 * point['mean']:.1f} %"
    if point["is_baseline"]:
        return f"{line}, the baseline"
    side = "above" if difference > 0 else "below"
    line += f", {abs(difference):.1f} points {side} the baseline"
    if math.isnan(error):
        return f"{line}, one seed: nobody knows how much of it is chance"
    line += f" (± {error:.1f})"
    return line if abs(difference) > 2 * error else f"{line}: may be chance"


def write_csv(rows, path):
    """Writes rows as `collect` gives them."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path):
    """The rows of such a file; numbers are numbers again."""
    numbers: dict[str, type] = dict.fromkeys(("seed", "epochs", "parameters", "multiply_adds"), int)
    numbers |= dict.fromkeys(("val_top1", "images_per_second", "train_seconds"), float)
    with open(path, newline="", encoding="utf-8") as file:
        return [
            {name: numbers.get(name, str)(value) for name, value in row.items()}
            for row in csv.DictReader(file)
        ]

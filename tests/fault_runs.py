"""Runs that are killed, or whose disk fills up or becomes read-only, and are resumed; no tests.

The processes are real, and so are the SIGKILLs and the errors of the kernel. `tiny_run` has the run
and the processes.
"""

import csv
import json
import os
import random
import resource
import shutil
import signal
import time
import zipfile

import h5py
import keras
import numpy as np
from bad_disks import empty, file_size_limit, fill, obey_permissions, remount, small_disk
from fault_tries import Try
from tiny_run import (
    NO_RANDOMNESS,
    NUM_CLASSES,
    STEPS_PER_EPOCH,
    Kill,
    process_maker,
    settle,
    start,
    tiny_config,
)

from shiftvit_utils.callbacks import EpochEnd
from shiftvit_utils.run_folder import RunFolder
from shiftvit_utils.saving import load_model
from shiftvit_utils.training import train

EPOCHS = 3
PATIENCE = 900  # seconds for a process of a few seconds, on a machine with other work
MIB = 2**20
# Nothing random, so that a run that was resumed anywhere has to end as one that never stopped.
SETTINGS = {"epochs": EPOCHS, "save_every_steps": 1, **NO_RANDOMNESS}
# The files of a run, and how often each is written, but for the state, which is at every step.
WRITTEN = {"config.json": 1, "model.keras": 1, "history.csv": EPOCHS, "metrics.json": 1}
VALIDATED = ("val_loss", "val_top1", "val_top5", "learning_rate")


# ---------------------------------------------------------------- what a run folder is worth


def rows(run):
    """The history, read without the library."""
    if not run.history_path.exists():
        return []
    with open(run.history_path, newline="") as file:
        return list(csv.DictReader(file))


def whole_files(run):
    """What is wrong with the files of a run that has just died: every one there has to be whole."""
    wrong = []
    for path in (run.config_path, run.metrics_path):
        if path.exists():
            try:
                json.loads(path.read_text())
            except ValueError as error:
                wrong.append(f"{path.name} is broken: {error}")
    epochs = [int(row["epoch"]) for row in rows(run)]
    if epochs != list(range(1, len(epochs) + 1)):
        wrong.append(f"history.csv has the epochs {epochs}")
    if run.state_path.exists():
        with h5py.File(run.state_path) as file:
            done = int(file.attrs["epoch"]) * STEPS_PER_EPOCH + int(file.attrs["step"])
            if int(file["optimizer/vars/0"][()]) != done:
                wrong.append("the state's weights and its position are of different steps")
    if run.model_path.exists():
        with zipfile.ZipFile(run.model_path) as archive:
            if archive.testzip():
                wrong.append("model.keras is broken")
    return wrong


def ended_well(run, expected):
    """What is wrong with a run that has ended, compared with one that nothing happened to."""
    wrong = whole_files(run)
    found = rows(run)
    if len(found) != EPOCHS:
        wrong.append(f"{len(found)} epochs of {EPOCHS}")
    elif expected is not None:
        for name in VALIDATED:
            values = [[float(row[name]) for row in history] for history in (found, expected)]
            if not np.allclose(*values, rtol=1e-3, atol=1e-4):
                wrong.append(f"{name} is {values[0]}, not {values[1]}")
    if not run.is_complete or run.read_metrics()["epochs"] != EPOCHS:
        return [*wrong, "metrics.json is missing or of another number of epochs"]
    model, class_names = load_model(run.model_path)
    if (
        len(class_names) != NUM_CLASSES
        or not np.isfinite(model.predict_on_batch(np.zeros((1, 8, 8, 3), "uint8"))).all()
    ):
        wrong.append("the model is none")
    left = [path.name for path in run.path.iterdir() if path.name.startswith(".partial")]
    return wrong + [f"{name} was left behind" for name in left]


def resumed(data, folder, log, expected):
    """Runs the same command with resume=True to its end, and says what is wrong with that."""
    process = start(tiny_config(data, folder, resume=True, **SETTINGS), log)
    process.join(PATIENCE)
    if process.exitcode != 0:
        return [f"resuming ended with {process.exitcode}: {log.read_text()[-500:]}"]
    return ended_well(RunFolder(folder), expected)


def uninterrupted(data, folder):
    """A run that nothing happens to: `(rows of its history, its seconds)`."""
    # The first process waits for the fork server's imports, the runs to be killed will not.
    first = process_maker().Process(target=int)
    first.start()
    first.join(PATIENCE)
    begin = time.monotonic()
    wrong = resumed(data, folder / "whole", folder / "whole.log", None)
    if wrong:
        raise RuntimeError(wrong)
    return rows(RunFolder(folder / "whole")), time.monotonic() - begin


# ---------------------------------------------------------------- killed


def kills_at_random_moments(data, folder, count, baseline, seed=0):
    """Yields a `Try` a run: killed once, from outside, anywhere in its life, and resumed."""
    moments = random.Random(seed)
    expected, seconds = baseline
    number = 0
    while number < count:
        home = folder / f"kill-{number}"
        process = start(tiny_config(data, home, resume=True, **SETTINGS), folder / "kill.log")
        process.join(moments.uniform(0.0, seconds))
        if not process.is_alive():  # too late: the machine has less to do than before
            seconds *= 0.8
            shutil.rmtree(home)
            continue
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        run = RunFolder(home)
        where = f"{len(rows(run))} epochs"
        if left := [path.name for path in home.glob(".partial-*")]:
            where += f", writing {left[0].split('-', 2)[2]}"
        wrong = whole_files(run) + resumed(data, home, folder / f"resume-{number}.log", expected)
        yield Try("killed at a random moment", where, "; ".join(wrong))
        number += 1


def kills_within_writes(data, folder, count, baseline, seed=0):
    """Yields a `Try` a run: killed with half of a file written, and resumed."""
    dice = random.Random(seed)
    expected, _ = baseline
    for number in range(count):
        name = ["last.weights.h5", *WRITTEN][number % 5]
        often = EPOCHS * STEPS_PER_EPOCH if name not in WRITTEN else WRITTEN[name]
        home = folder / f"half-{number}"
        kill = Kill(file=name, count=dice.randint(1, often), half=True)
        process = start(tiny_config(data, home, **SETTINGS), folder / f"half-{number}.log", kill)
        process.join(PATIENCE)
        wrong = [] if process.exitcode == -signal.SIGKILL else ["it was not killed"]
        run = RunFolder(home)
        if not list(home.glob(f".partial-*-{name}")):
            wrong.append(f"{name} was not being written")
        wrong += whole_files(run) + resumed(data, home, folder / f"resumed-{number}.log", expected)
        yield Try("killed with half a file written", f"{name}, time {kill.count}", "; ".join(wrong))


# ---------------------------------------------------------------- disks


def train_until(config, log, epoch, what):
    """Trains, in a process of its own, in which something happens after an epoch."""
    with open(log, "ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    settle(config.dataset)
    on_epoch_begin = EpochEnd.on_epoch_begin

    def begin_epoch(self, number, logs=None):
        on_epoch_begin(self, number, logs)
        if number == epoch:
            happen(what, config.run_dir)

    EpochEnd.on_epoch_begin = begin_epoch
    if what == "read-only folder":
        obey_permissions()
    train(config)


def happen(what, folder):
    if what == "limit of the size of a file":
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
    elif what == "full disk":
        fill(RunFolder(folder).path.parent, leave=5000)
    elif what == "read-only disk":
        remount(RunFolder(folder).path.parent, "ro")
    elif what == "read-only folder":
        os.chmod(folder, 0o555)


def undo(what, folder):
    if what == "full disk":
        empty(folder.parent)
    elif what == "read-only disk":
        remount(folder.parent, "rw")
    elif what == "read-only folder":
        os.chmod(folder, 0o755)


REASONS = {
    "limit of the size of a file": "File too large",
    "full disk": "No space left on device",
    "read-only disk": "Read-only file system",
    "read-only folder": "Permission denied",
}


def disk_fails(data, folder, what, epoch, expected):
    """One run whose disk fails within the epoch after `epoch`: an error that says so, then resumed.

    Args:
        what: a key of `REASONS`; "full disk" and "read-only disk" need a small disk as `folder`.
    """
    home, log = folder / "run", folder.parent / f"{what}-{epoch}.log"
    config = tiny_config(data, home, **SETTINGS)
    process = process_maker().Process(target=train_until, args=(config, log, epoch, what))
    process.start()
    process.join(PATIENCE)
    run = RunFolder(home)
    told = log.read_text().rstrip().splitlines()[-1]
    wrong = []
    if process.exitcode != 1:
        wrong.append(f"ended with {process.exitcode}: {told}")
    if "Could not write" not in told or REASONS[what] not in told or str(home) not in told:
        wrong.append(f"said {told}")
    if "untouched" not in told:
        wrong.append("did not say what became of the file before")
    if epoch and not (run.state_path.exists() and run.model_path.exists()):
        wrong.append("the checkpoint before is gone")
    if len(rows(run)) != epoch:
        wrong.append(f"{len(rows(run))} epochs were kept of {epoch}")
    wrong += whole_files(run)
    undo(what, home)
    wrong += resumed(data, home, folder.parent / "resumed.log", expected)
    return Try(what, f"in epoch {epoch + 1}", "; ".join(wrong))


def disks(data, folder, ways, epochs, baseline):
    """Yields a `Try` for each way and each epoch in which the disk fails."""
    expected, _ = baseline
    for what in ways:
        for number, epoch in enumerate(epochs):
            home = folder / f"{what}-{number}"
            home.mkdir()
            if what in ("full disk", "read-only disk"):
                with small_disk(home / "disk", MIB) as disk:
                    yield disk_fails(data, disk, what, epoch, expected)
            else:
                yield disk_fails(data, home, what, epoch, expected)


def saves_that_do_not_fit(folder, limit, seed=0):
    """Yields a `Try` for each file of a run and each size of the room that is left for it.

    Args:
        folder: Path of a folder, or of a small disk if `limit` is False.
        limit: bool, limit the size of files; else fill the disk.
    """
    from shiftvit_utils import build_classifier, save_model

    names = ("ant", "bee")
    model = build_classifier("micro", 2, projected_dim=12, num_shift_blocks_per_stages=(1,))
    model.compile("adamw", "categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    run = RunFolder(folder)
    lines = [{"epoch": epoch, "loss": 1.0 / epoch} for epoch in range(1, 400)]
    writers = {
        run.state_path: lambda: run.save_state(model, 1, 0, 5),
        run.model_path: lambda: save_model(model, run.model_path, names),
        run.history_path: lambda: run.write_history(lines),
        run.config_path: lambda: run.write_json(run.config_path, {"a": list(range(2000))}),
    }
    for path, write in writers.items():
        write()
        before = path.read_bytes()
        for left in range(0, len(before) - 4096, 8192):
            wrong = []
            try:
                if limit:
                    with file_size_limit(left):
                        write()
                else:
                    fill(folder, left)
                    write()
                wrong.append("it fitted")
            except OSError as error:
                if not str(error).count("untouched") or error.filename != str(path):
                    wrong.append(f"said {error}")
            except Exception as error:
                wrong.append(f"{type(error).__name__}: {error}")
            empty(folder)
            if path.read_bytes() != before:
                wrong.append("the file before is changed")
            if list(folder.glob(".partial-*")):
                wrong.append("half a file was left behind")
            how = "file size limit" if limit else "full disk"
            yield Try(f"{how} while saving", f"{path.name}, {left} bytes left", "; ".join(wrong))
        write()
    keras.utils.clear_session(free_memory=False)

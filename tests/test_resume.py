"""A run that is killed, anywhere, and started again ends as one that never stopped.

The processes really die (SIGKILL: no `finally`, no `atexit`); the test's own process takes over.
"""

import csv
import os
import random
import signal
import time

import h5py
import numpy as np
import pytest
from tiny_run import (
    NO_RANDOMNESS,
    NUM_CLASSES,
    STEPS_PER_EPOCH,
    Kill,
    prepared,
    start,
    tiny_config,
)

from shiftvit_utils.callbacks import EpochEnd
from shiftvit_utils.run_folder import RunFolder
from shiftvit_utils.saving import load_model
from shiftvit_utils.training import train

EPOCHS = 3
MEASURED = ("loss", "top1", "top5", "val_loss", "val_top1", "val_top5", "learning_rate")
VALIDATED = ("val_loss", "val_top1", "val_top5", "learning_rate")
# The same network and batches in another process; sums may be taken in another order there.
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
TEST_METRICS = ("test_top1", "test_top5", "test_loss", "val_top1", "val_top5", "val_loss")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    with prepared(tmp_path_factory.mktemp("data")) as path:
        yield path


def run_to_the_end(data, folder, **settings):
    return train(tiny_config(data, folder / "run", **settings))


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    """With augmentation, dropout and drop path: a resumed run must draw the same numbers."""
    return run_to_the_end(data, tmp_path_factory.mktemp("whole"))


def killed(config, log, kill):
    """Trains in a process that kills itself as told; returns the run folder."""
    process = start(config, log, kill)
    process.join(timeout=200)
    assert process.exitcode == -signal.SIGKILL, log.read_text()[-3000:]
    return RunFolder(config.run_dir)


def position(run):
    """`(epoch, step)` of the saved state, read without the library."""
    with h5py.File(run.state_path) as file:
        return int(file.attrs["epoch"]), int(file.attrs["step"])


def epochs_in_history(run):
    if not run.history_path.exists():
        return []
    with open(run.history_path, newline="") as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]


def iterations(run):
    """How many steps the optimizer of the saved state has done, in all."""
    with h5py.File(run.state_path) as file:
        return int(file["optimizer/vars/0"][()])


def table(history, names=MEASURED):
    return np.array([[row[name] for name in names] for row in history])


def check_same_run(result, expected):
    assert [row["epoch"] for row in result.history] == list(range(1, EPOCHS + 1))
    np.testing.assert_allclose(table(result.history), table(expected.history), **TOLERANCE)
    check_same_end(result, expected)


def check_same_end(result, expected):
    for name in TEST_METRICS:
        assert result.metrics[name] == pytest.approx(expected.metrics[name], abs=1e-4)
    assert result.metrics["epochs"] == EPOCHS
    assert result.metrics["best_epoch"] == expected.metrics["best_epoch"]
    assert iterations(result.run) == EPOCHS * STEPS_PER_EPOCH
    loaded, class_names = load_model(result.run.model_path)
    assert len(class_names) == NUM_CLASSES
    for found, wanted in zip(loaded.get_weights(), expected.model.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


# The order in which files are written and take their places is no backend's. That each resumes with
# its random numbers is shown by the test between epochs.
@pytest.mark.backend_free
@pytest.mark.training
def test_killed_at_random_moments(data, uninterrupted, tmp_path):
    """Twice, each time somewhere in the epoch after one that has ended."""
    moments = random.Random(0)
    run = RunFolder(tmp_path / "run")
    for attempt in range(2):
        config = tiny_config(data, run.path, resume=attempt > 0)
        log = tmp_path / f"log-{attempt}"
        process = start(config, log, seconds_per_batch=0.2)  # so an epoch takes 1.4 s
        deadline = time.monotonic() + 200
        while len(epochs_in_history(run)) <= attempt:
            assert process.is_alive(), log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.02)
        time.sleep(moments.uniform(0.0, 1.0))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        rows = len(epochs_in_history(run))
        assert attempt < rows < EPOCHS, "not killed in time"
        saved = position(run)[0] if run.state_path.exists() else 0
        assert rows - 1 <= saved <= rows  # one epoch is lost at most
    check_same_run(train(tiny_config(data, run.path, resume=True)), uninterrupted)


@pytest.mark.backend_free  # as above
@pytest.mark.training
def test_killed_while_each_of_its_files_is_written(data, uninterrupted, tmp_path):
    """One run that dies five times; every file it writes is once left half-written."""
    run = RunFolder(tmp_path / "run")
    for number, (kill, saved, rows) in enumerate(
        [
            # Before the first state there is nothing to go on from.
            (Kill(file="model.keras", half=True), None, []),
            # Between history and state: the row is there, the state is that of the epoch before.
            (Kill(file="last.weights.h5", half=True), None, [1]),
            (Kill(file="history.csv", count=2, half=True), (1, 0), [1]),
            (Kill(file="last.weights.h5"), (1, 0), [1, 2]),  # whole, but not in its place yet
            # After all the training, before the last file.
            (Kill(file="metrics.json", half=True), (3, 0), [1, 2, 3]),
        ]
    ):
        config = tiny_config(data, run.path, resume=number > 0)
        killed(config, tmp_path / f"log-{number}", kill)
        assert not run.is_complete
        assert (position(run) if run.state_path.exists() else None) == saved
        assert epochs_in_history(run) == rows
        assert run.model_path.exists() == (number > 0)
        # The kill came where it should. What the processes before had left is gone: it is of no
        # use to anyone, and as large as a model.
        (left,) = [path.name for path in run.path.iterdir() if path.name.startswith(".partial")]
        assert left.endswith(kill.file)
    check_same_run(train(tiny_config(data, run.path, resume=True)), uninterrupted)
    assert not [path.name for path in run.path.iterdir() if path.name.startswith(".partial")]


def test_killed_between_epochs_that_are_saved(data, uninterrupted, tmp_path):
    """Every second epoch, the last and the best: what came after the last save is done again.

    No training test by its marker, so that PyTorch, which is spared those, has one of resuming.
    """
    run = RunFolder(tmp_path / "run")
    config = tiny_config(data, run.path, save_every_epochs=2)
    killed(config, tmp_path / "log-1", Kill(epoch=1, step=3))
    assert position(run) == (1, 0)  # the first is the best so far, and its model is kept
    assert epochs_in_history(run) == [1]
    again = tiny_config(data, run.path, save_every_epochs=2, resume=True)
    killed(again, tmp_path / "log-2", Kill(epoch=2, step=3))
    assert position(run) == (2, 0)
    killed(again, tmp_path / "log-3", Kill(file="metrics.json"))
    assert "Resuming after 2 epochs and 0 steps." in (tmp_path / "log-3").read_text()
    assert position(run) == (3, 0)
    check_same_run(train(again), uninterrupted)


@pytest.fixture(
    scope="module",
    params=[{}, {"ema_momentum": 0.75}, {"optimizer": "muon"}],
    ids=["raw", "averaged", "muon"],
)
def step_by_step(request, data, tmp_path_factory):
    """The settings of runs that save every two steps, and such a run that never stopped."""
    settings = {**NO_RANDOMNESS, **request.param, "save_every_steps": 2}
    return settings, run_to_the_end(data, tmp_path_factory.mktemp("steps"), **settings)


@pytest.mark.training
def test_killed_twice_within_an_epoch(data, step_by_step, tmp_path, monkeypatch, capsys):
    settings, expected = step_by_step
    folder = tmp_path / "run"
    run = killed(tiny_config(data, folder, **settings), tmp_path / "log-1", Kill(epoch=1, step=3))
    assert position(run) == (1, 2)
    assert iterations(run) == STEPS_PER_EPOCH + 2
    # The next one starts after step 2 and does 3, 4, 5.
    again = tiny_config(data, folder, resume=True, **settings)
    killed(again, tmp_path / "log-2", Kill(epoch=1, step=5))
    assert "Resuming after 1 epochs and 2 steps." in (tmp_path / "log-2").read_text()
    assert position(run) == (1, 4)
    assert iterations(run) == STEPS_PER_EPOCH + 4

    steps = []
    on_train_batch_end = EpochEnd.on_train_batch_end

    def count(self, batch, logs=None):
        on_train_batch_end(self, batch, logs)
        steps.append((self.epoch, self.first_step + batch + 1))

    monkeypatch.setattr(EpochEnd, "on_train_batch_end", count)
    result = train(again)
    assert "Resuming after 1 epochs and 4 steps." in capsys.readouterr().out
    # One step is done again, the fifth: the last state was saved after the fourth.
    assert steps == [(1, step) for step in (5, 6, 7)] + [(2, step) for step in range(1, 8)]
    # Nothing is random here, so that the weights are those of the run that never stopped. Only
    # the training loss of the epoch in parts is another: that of its last part.
    found, wanted = table(result.history, VALIDATED), table(expected.history, VALIDATED)
    np.testing.assert_allclose(found, wanted, **TOLERANCE)
    others = [0, 2]
    np.testing.assert_allclose(
        table(result.history)[others], table(expected.history)[others], **TOLERANCE
    )
    check_same_end(result, expected)


@pytest.mark.training
def test_killed_after_the_last_step_of_an_epoch(data, tmp_path):
    """All steps are done, the epoch has not ended: whatever is saved there can be gone on from."""
    settings = {"save_every_steps": STEPS_PER_EPOCH, **NO_RANDOMNESS}
    folder = tmp_path / "run"
    kill = Kill(epoch=1, step=STEPS_PER_EPOCH)
    killed(tiny_config(data, folder, **settings), tmp_path / "log", kill)
    result = train(tiny_config(data, folder, resume=True, **settings))
    assert [row["epoch"] for row in result.history] == [1, 2, 3]
    assert np.isfinite(table(result.history)).all()
    assert result.metrics["epochs"] == EPOCHS
    assert iterations(result.run) == EPOCHS * STEPS_PER_EPOCH


@pytest.mark.training
def test_killed_within_an_epoch_after_which_nothing_is_saved(data, tmp_path):
    """Every third epoch is saved, and within the epochs: the one in parts is not done twice."""
    settings = {"save_every_steps": 2, "save_every_epochs": 3, "epochs": 4, **NO_RANDOMNESS}
    folder = tmp_path / "run"
    killed(tiny_config(data, folder, **settings), tmp_path / "log", Kill(epoch=1, step=5))
    result = train(tiny_config(data, folder, resume=True, **settings))
    assert [row["epoch"] for row in result.history] == [1, 2, 3, 4]
    assert result.metrics["epochs"] == 4
    assert iterations(result.run) == 4 * STEPS_PER_EPOCH

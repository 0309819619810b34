"""`RunFolder`: which folder a run gets, what it refuses, and that its files are whole."""

import contextlib
import dataclasses
import errno
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import types

import h5py
import keras
import numpy as np
import pytest
from bad_disks import file_size_limit
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftvit_utils import run_folder, saving
from shiftvit_utils.config import TrainConfig
from shiftvit_utils.run_folder import RunFolder, newest_run, runs_root, same_data

MIB = 2**20
# A resumed run may set these anew: they do not change what is computed.
MAY_DIFFER = {
    "run_dir": "elsewhere",
    "resume": True,
    "save_every_steps": 5,
    "save_every_epochs": 5,
    "jit": False,
    "steps_per_execution": 2,
    "data_parallel": True,
}
MUST_NOT_DIFFER = {
    "dataset": "cifar10",
    "image_size": [64, 64],
    "preset": "nano",
    "recipe": "keras_io_2022",
    "epochs": 21,
    "batch_size": 32,
    "augmentation": "none",
    "max_translation": 3,
    "horizontal_flip": True,
    "lr_start": 2e-5,
    "lr_max": 0.5,
    "warmup_fraction": 0.5,
    "weight_decay": 0.01,
    "weight_decay_mode": "constant",
    "label_smoothing": 0.2,
    "mlp_dropout_rate": 0.3,
    "stochastic_depth_rate": 0.3,
    "ema_momentum": 0.9,
    "global_clipnorm": 1.0,
    "decay_all": True,
    "drop_path_ramp": "stage",
    "shift_variant": "none",
    "group_channels": 2,
    "keep_weights": "last",
    "early_stopping_patience": 2,
    "seed": 1,
    "precision": "mixed_bfloat16",
    "validation_size": 100,
    "limit_train": 100,
    "mixup_alpha": 0.2,
    "cutmix_alpha": 1.0,
    "network": {"num_div": 6},
    "initial_weights": "elsewhere.npz",
    "optimizer": "sgd",
    "use_test_set": False,
}


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SHIFTVIT_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "run")


def make(folder, complete):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    if complete:
        (folder / "metrics.json").write_text("{}")


def prepared(run, bytes_needed=0, **settings):
    config = TrainConfig(**settings).resolved(num_train=1000)
    with run.prepared(config, bytes_needed):
        pass
    return config


# ---------------------------------------------------------------- the name of the folder


@pytest.mark.backend_free
def test_new_runs_take_the_first_free_name(root):
    config = TrainConfig(dataset="digits", preset="micro")
    assert RunFolder.for_config(config).path == root / "digits-micro"
    assert not root.exists()  # to ask makes nothing
    make(root / "digits-micro", complete=True)
    assert RunFolder.for_config(config).path == root / "digits-micro-2"
    make(root / "digits-micro-2", complete=False)
    assert RunFolder.for_config(config).path == root / "digits-micro-3"
    other = TrainConfig(dataset="somewhere/flowers.npz", preset="nano")
    assert RunFolder.for_config(other).path == root / "flowers-nano"


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("complete", "expected"),
    [
        ([], "digits-micro"),
        ([False], "digits-micro"),
        ([True, False], "digits-micro-2"),
        ([False, False, True], "digits-micro-2"),
        ([True, True], "digits-micro-2"),  # nothing to continue: it will say that it is complete
    ],
)
def test_resume_takes_the_newest_that_is_not_complete(root, complete, expected):
    for k, is_complete in enumerate(complete):
        make(root / ("digits-micro" if k == 0 else f"digits-micro-{k + 1}"), is_complete)
    assert RunFolder.for_config(TrainConfig(resume=True)).path == root / expected


@pytest.mark.backend_free
def test_resume_finds_the_run_after_an_older_one_was_deleted(root):
    make(root / "digits-micro", complete=True)
    make(root / "digits-micro-2", complete=False)
    shutil.rmtree(root / "digits-micro")
    assert RunFolder.for_config(TrainConfig(resume=True)).path == root / "digits-micro-2"


@pytest.mark.backend_free
def test_run_dir_is_taken_as_it_is(root, tmp_path):
    config = TrainConfig(run_dir=str(tmp_path / "mine"))
    assert RunFolder.for_config(config).path == tmp_path / "mine"


@pytest.mark.backend_free
def test_runs_stand_in_the_clone_unless_the_environment_says_otherwise(monkeypatch, tmp_path):
    clone = tmp_path / "clone"
    monkeypatch.delenv("SHIFTVIT_RUNS", raising=False)
    monkeypatch.setattr(run_folder, "__file__", str(clone / "shiftvit_utils" / "run_folder.py"))
    assert runs_root().as_posix() == "runs"  # installed from a wheel: there is no clone
    clone.mkdir()
    (clone / "pyproject.toml").touch()
    assert runs_root() == clone / "runs"
    monkeypatch.setenv("SHIFTVIT_RUNS", str(tmp_path / "elsewhere"))
    assert runs_root() == tmp_path / "elsewhere"


# ---------------------------------------------------------------- what is refused


@pytest.mark.backend_free
def test_a_run_is_not_overwritten(run):
    prepared(run)
    before = run.config_path.read_bytes()
    with pytest.raises(FileExistsError, match=r"already holds a run.*resume=True.*run_dir"):
        prepared(run, seed=5)
    assert run.config_path.read_bytes() == before


@pytest.mark.backend_free
def test_config_file_says_all_settings(run):
    config = prepared(run, preset="nano", epochs=7, lr_max=0.01)
    assert json.loads(run.config_path.read_text()) == dataclasses.asdict(config)


HOLD = """
import sys, fcntl, os
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.backend_free
@pytest.mark.skipif(os.name != "posix", reason="Windows cannot lock a folder")
def test_a_folder_in_which_another_process_trains_is_left_alone(run):
    prepared(run)
    half_written = run.path / ".partial-1-model.keras"
    half_written.touch()
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLD, run.path], stdin=pipe, stdout=pipe) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(BlockingIOError, match=r"Another process is training.*another run_dir"):
            prepared(run, resume=True)
        assert half_written.exists()
        other.kill()  # however it ends, the folder is free then
        other.wait()
    prepared(run, resume=True)
    assert not half_written.exists()


@pytest.mark.backend_free
def test_only_a_runs_own_half_written_files_are_removed(run):
    prepared(run)
    own = run.path / ".partial-123-last.weights.h5"
    others = [run.path / ".partial-123-model.onnx", run.path / ".partial-abc"]
    own.touch()
    others[0].touch()
    others[1].mkdir()  # as an export that was killed leaves it
    prepared(run, resume=True)
    assert not own.exists()
    assert all(other.exists() for other in others)


@pytest.mark.backend_free
def test_resuming_writes_nothing_into_a_run_that_is_complete(run):
    prepared(run)
    run.write_json(run.metrics_path, {})
    before = run.config_path.read_bytes()
    prepared(run, resume=True, save_every_steps=3)
    assert run.config_path.read_bytes() == before


@pytest.mark.backend_free
@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("left", ["metrics.json", "last.weights.h5", "history.csv", "model.keras"])
def test_what_a_run_left_without_its_settings_is_not_taken_over(run, left, resume):
    run.path.mkdir(parents=True)
    (run.path / left).write_text("{}")
    error, message = (
        (ValueError, f"it holds {left}, but no config.json")
        if resume
        else (FileExistsError, f"already holds a run .{left}.")
    )
    with pytest.raises(error, match=message):
        prepared(run, resume=resume)
    assert [path.name for path in run.path.iterdir()] == [left]


@pytest.mark.backend_free
@pytest.mark.parametrize("name", ["data_id", "validation_id", "test_id"])
def test_a_run_resumes_on_its_own_data_only(run, name):
    ids = dict.fromkeys(("data_id", "validation_id", "test_id"), "0" * 16)
    config = prepared(run)
    run.write_json(run.config_path, run.read_config() | ids)
    again = dataclasses.replace(config, resume=True)
    with run.prepared(again, 0, ids | {"ancestors": []}):
        pass
    with (
        pytest.raises(ValueError, match=r"Cannot resume .*other images now"),
        run.prepared(again, 0, ids | {name: "1" * 16, "ancestors": []}),
    ):
        pass


@pytest.mark.backend_free
def test_a_run_of_before_recipes_had_an_optimizer_resumes(run):
    config = prepared(run)
    run.write_json(run.config_path, run.read_config() | {"optimizer": None})
    again = dataclasses.replace(config, optimizer="adamw", resume=True)
    with run.prepared(again, 0):
        pass
    assert run.read_config()["optimizer"] == "adamw"
    assert TrainConfig(recipe="small").resolved(1000).optimizer == "adamw"


@pytest.mark.backend_free
def test_a_complete_run_needs_no_space(run):
    prepared(run)
    run.write_json(run.metrics_path, {})
    prepared(run, 2**62, resume=True)


@pytest.mark.backend_free
def test_what_an_older_version_did_not_note_stays_unknown(run):
    config = prepared(run)  # without the images that it held back
    again = dataclasses.replace(config, resume=True)
    with run.prepared(again, 0, {"validation_id": "0" * 16, "ancestors": []}):
        pass
    assert "validation_id" not in run.read_config()


@pytest.mark.backend_free
def test_runs_may_lie_under_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("SHIFTVIT_RUNS", "~/runs")
    assert runs_root() == tmp_path / "runs"
    assert RunFolder("~/runs/a").path == tmp_path / "runs" / "a"


@pytest.mark.backend_free
@pytest.mark.skipif(os.name != "posix", reason="Windows cannot lock a folder")
def test_a_file_system_without_locks_is_no_hindrance(run, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    prepared(run)
    assert run.config_path.is_file()


@pytest.mark.backend_free
def test_every_setting_is_in_one_of_the_tables():
    names = {field.name for field in dataclasses.fields(TrainConfig)}
    assert names == {*MAY_DIFFER, *MUST_NOT_DIFFER}


@pytest.mark.backend_free
@pytest.mark.parametrize("name", MUST_NOT_DIFFER)
def test_resume_with_another_setting_names_it_and_both_values(run, name):
    before = prepared(run)
    value = MUST_NOT_DIFFER[name]
    saved = run.config_path.read_bytes()
    with pytest.raises(ValueError, match="Cannot resume") as caught:
        prepared(run, resume=True, **{name: value})
    assert f"{name}: {getattr(before, name)!r} in the folder, {value!r} now" in str(caught.value)
    assert run.config_path.read_bytes() == saved


@pytest.mark.backend_free
@pytest.mark.parametrize("name", MAY_DIFFER)
def test_resume_with_another_way_to_run_is_fine(run, name):
    prepared(run)
    prepared(run, **{"resume": True, name: MAY_DIFFER[name]})
    assert json.loads(run.config_path.read_text())[name] == MAY_DIFFER[name]


@pytest.mark.backend_free
def test_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match=r"cannot be written.*run_dir") as caught:
        prepared(RunFolder(tmp_path / "file" / "run"))
    assert caught.value.filename == str(tmp_path / "file" / "run")
    assert caught.value.errno == errno.ENOTDIR


@pytest.mark.backend_free
def test_folder_that_cannot_be_written_is_named(run, monkeypatch):
    def refuse(*args):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(saving.os, "replace", refuse)
    with pytest.raises(OSError, match=r"cannot be written.*Read-only.*run_dir") as caught:
        prepared(run)
    assert caught.value.errno == errno.EROFS
    assert caught.value.filename == str(run.path)
    assert list(run.path.iterdir()) == []  # nothing half-written either


@pytest.mark.backend_free
def test_full_disk_is_told_before_training(run, monkeypatch):
    disk = types.SimpleNamespace(free=3 * MIB)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: disk)
    with pytest.raises(OSError, match=r"has 3 MiB free.* needs about 5 MiB.*run_dir"):
        prepared(run, bytes_needed=5 * MIB)
    # Nothing has been trained, so with space the same command works.
    disk.free = 5 * MIB
    prepared(run, bytes_needed=5 * MIB)


# ---------------------------------------------------------------- history and metrics

ROWS = st.lists(
    st.fixed_dictionaries(
        {"loss": st.floats(allow_nan=False), "val_top1": st.floats(0.0, 1.0)},
    ),
    max_size=5,
)


@pytest.mark.backend_free
@settings(deadline=None)
@given(rows=ROWS)
def test_history_is_read_as_it_was_written(tmp_path_factory, rows):
    run = RunFolder(tmp_path_factory.mktemp("history"))
    rows = [{"epoch": k + 1, **row} for k, row in enumerate(rows)]
    run.write_history(rows)
    found = run.read_history()
    assert found == rows  # every digit
    assert all(isinstance(row["epoch"], int) for row in found)
    assert len(run.history_path.read_text().splitlines()) == 1 + len(rows)


@pytest.mark.backend_free
def test_new_folder_has_no_history_and_no_metrics(run):
    assert run.read_history() == []
    assert not run.is_complete
    with pytest.raises(FileNotFoundError, match=r"There is no run folder .*check the path"):
        run.read_metrics()
    run.path.mkdir()
    with pytest.raises(FileNotFoundError, match=r"metrics.json does not exist.*Resume"):
        run.read_metrics()
    run.write_json(run.metrics_path, {"test_top1": 0.5})
    assert run.is_complete
    assert run.read_metrics() == {"test_top1": 0.5}


# ---------------------------------------------------------------- the state to resume from

DATA = np.random.default_rng(0).normal(size=(16, 5)).astype("float32")
LABELS = np.eye(3, dtype="float32")[np.arange(16) % 3]


def network(seed):
    """Everything that a state holds: weights, moving averages, AdamW with EMA.

    No random numbers: they are drawn from seed and epoch, and no part of the state.
    """
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(4, name="first"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dense(3, name="second"),
        ]
    )
    optimizer = keras.optimizers.AdamW(0.1, weight_decay=0.01, use_ema=True, ema_momentum=0.5)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def values(variables):
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def everything(model):
    return values([*model.weights, *model.optimizer.variables])


def trained(steps, seed=0):
    model = network(seed)
    for _ in range(steps):
        model.train_on_batch(DATA, LABELS)
    return model


@pytest.fixture
def saved(run):
    """A run folder with the state after three steps, and the model that is in it."""
    run.path.mkdir()
    model = trained(3)
    run.save_state(model, epoch=1, step=2, steps_per_epoch=9)
    return run, model


def test_state_round_trip_is_exact_and_goes_on_the_same(saved):
    run, model = saved
    restored = network(seed=1)
    assert not np.array_equal(restored.get_weights()[0], model.get_weights()[0])
    assert run.load_state(restored, steps_per_epoch=9) == (1, 2)
    assert int(restored.optimizer.iterations) == 3
    # Weights, their averages and both moments, statistics of the batches, counters.
    assert len(everything(model)) >= 4 * len(model.trainable_variables)
    for found, expected in zip(everything(restored), everything(model), strict=True):
        np.testing.assert_array_equal(found, expected)
    model.train_on_batch(DATA, LABELS)
    restored.train_on_batch(DATA, LABELS)
    for found, expected in zip(everything(restored), everything(model), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_no_state_yet_means_the_start(run):
    model = network(0)
    before = model.get_weights()
    assert run.load_state(model, steps_per_epoch=9) == (0, 0)
    for found, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, expected)


def damage_cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def damage_text(path):
    path.write_text("this is no HDF5 file")


def damage_empty(path):
    path.write_bytes(b"")


def damage_no_position(path):
    with h5py.File(path, "a") as file:
        del file.attrs["step"]


@pytest.mark.backend_free
@pytest.mark.parametrize("damage", [damage_cut, damage_text, damage_empty, damage_no_position])
def test_damaged_state_is_named_with_the_way_out(saved, damage):
    run, _ = saved
    damage(run.state_path)
    model = network(1)
    before = everything(model)
    with pytest.raises(ValueError, match=r"last.weights.h5 .*damaged.*Remove it") as caught:
        run.load_state(model, steps_per_epoch=9)
    assert str(run.path) in str(caught.value)
    for found, expected in zip(everything(model), before, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.backend_free
def test_other_amount_of_data_is_refused(saved):
    run, _ = saved
    with pytest.raises(ValueError, match=r"9 steps an epoch, now there are 8.*data has changed"):
        run.load_state(network(1), steps_per_epoch=8)


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "{"),
        ("config.json", "[1]"),
        ("config.json", "\0"),
        ("history.csv", "epoch,loss\n1,zero\n"),
        ("history.csv", "epoch,loss\n1\n"),
        ("history.csv", "loss\n1\n"),
        ("history.csv", "epoch,loss\n1,2,3\n"),
        ("metrics.json", '{"test_top1": 0.9'),
    ],
)
def test_damaged_files_are_named_with_the_way_out(run, name, content):
    run.path.mkdir(parents=True, exist_ok=True)
    (run.path / name).write_text(content)
    read = {
        "config.json": lambda: prepared(run, resume=True),
        "history.csv": run.read_history,
        "metrics.json": run.read_metrics,
    }[name]
    with pytest.raises(ValueError, match=rf"{name} is damaged .*Put back a good copy"):
        read()


def test_weights_that_are_damaged_within_the_state_are_named(saved):
    """The position can be read, a weight is gone."""
    run, _ = saved
    with h5py.File(run.state_path, "a") as file:
        names = []
        file.visit(names.append)
        del file[next(name for name in names if name.endswith("vars/0"))]
    with pytest.raises(ValueError, match=r"(?s)last\.weights\.h5 is no state.*Remove"):
        run.load_state(network(1), steps_per_epoch=9)


@contextlib.contextmanager
def disk_that_ends_at(size):
    """A real limit: the kernel refuses the write that crosses it."""
    with file_size_limit(size):
        yield errno.EFBIG, "File too large"


@contextlib.contextmanager
def disk_that_ends_when_written_through():
    def no_space(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saving.os, "fsync", no_space)
        yield errno.ENOSPC, "No space left"


@pytest.mark.backend_free
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99, None])
def test_disk_that_fills_up_leaves_the_old_state(saved, share, capfd):
    run, model = saved
    expected = everything(model)
    content = run.state_path.read_bytes()
    model.train_on_batch(DATA, LABELS)
    capfd.readouterr()
    small = (
        disk_that_ends_when_written_through()
        if share is None
        else disk_that_ends_at(int(share * len(content)))
    )
    with small as (code, reason):
        # Twice: HDF5 that fails to write a file leaves Python with a segmentation fault later.
        for _ in range(2):
            with pytest.raises(OSError, match=rf"{reason}.*before is untouched") as caught:
                run.save_state(model, epoch=2, step=0, steps_per_epoch=9)
    assert capfd.readouterr().err == ""  # nor hundreds of lines from HDF5
    assert caught.value.errno == code
    assert caught.value.filename == str(run.state_path)
    assert [path.name for path in run.path.iterdir()] == ["last.weights.h5"]  # no half one
    assert run.state_path.read_bytes() == content
    restored = network(1)
    assert run.load_state(restored, steps_per_epoch=9) == (1, 2)
    for found, value in zip(everything(restored), expected, strict=True):
        np.testing.assert_array_equal(found, value)


def test_newer_state_replaces_the_older(saved):
    run, model = saved
    model.train_on_batch(DATA, LABELS)
    run.save_state(model, epoch=2, step=0, steps_per_epoch=9)
    restored = network(1)
    assert run.load_state(restored, steps_per_epoch=9) == (2, 0)
    assert int(restored.optimizer.iterations) == 4


def make_run(root, name, dataset, age):
    """A folder that looks like a run whose model was written `age` seconds ago."""
    run = RunFolder(root / name)
    run.path.mkdir()
    run.model_path.write_bytes(b"a model")
    run.config_path.write_text(json.dumps({"dataset": dataset}))
    written = time.time() - age
    os.utime(run.model_path, (written, written))


@pytest.mark.backend_free
def test_newest_run_is_that_of_the_newest_model(tmp_path, monkeypatch):
    monkeypatch.setenv("SHIFTVIT_RUNS", str(tmp_path))
    make_run(tmp_path, "digits-micro", "digits", age=30)
    make_run(tmp_path, "cifar10-nano", "cifar10", age=20)
    make_run(tmp_path, "digits-micro-2", "digits", age=10)
    (tmp_path / "without-a-model").mkdir()
    assert newest_run().path.name == "digits-micro-2"
    assert newest_run("cifar10").path.name == "cifar10-nano"
    with pytest.raises(FileNotFoundError, match=r"No trained model on mine\.npz in .*make train"):
        newest_run("mine.npz")


@pytest.mark.backend_free
def test_newest_run_knows_its_data_by_another_spelling(tmp_path, monkeypatch):
    monkeypatch.setenv("SHIFTVIT_RUNS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path, "mine-nano", str(tmp_path / "mine.npz"), age=10)
    assert newest_run("mine.npz").path.name == "mine-nano"
    with pytest.raises(FileNotFoundError):
        newest_run("other.npz")


@pytest.mark.backend_free
def test_newest_run_knows_its_data_wherever_a_process_starts(tmp_path, monkeypatch):
    """`make train` starts in the clone, a notebook in its own folder."""
    monkeypatch.setenv("SHIFTVIT_RUNS", str(tmp_path / "runs"))
    for folder in ("runs", "notebooks", "elsewhere"):
        (tmp_path / folder).mkdir()
    make_run(tmp_path / "runs", "mine-nano", "mine.npz", age=10)
    run = RunFolder(tmp_path / "runs" / "mine-nano")
    monkeypatch.chdir(tmp_path)
    config = {"dataset": "mine.npz", "dataset_path": run.path_to("mine.npz")}
    assert config["dataset_path"] == os.path.join("..", "..", "mine.npz")
    run.write_json(run.config_path, config)
    monkeypatch.chdir(tmp_path / "notebooks")
    assert newest_run("../mine.npz").path.name == "mine-nano"
    with pytest.raises(FileNotFoundError):  # another file of that name
        newest_run("mine.npz")


@pytest.mark.backend_free
def test_a_run_on_another_drive_has_a_name(tmp_path, monkeypatch):
    def no_relative_path(*_):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr(run_folder.os.path, "relpath", no_relative_path)
    run = RunFolder(tmp_path / "run")
    assert str(run) == str(tmp_path / "run")
    assert run.path_to(tmp_path / "data") == str((tmp_path / "data").resolve())


@pytest.mark.backend_free
def test_no_run_says_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.setenv("SHIFTVIT_RUNS", str(tmp_path / "none-yet"))
    with pytest.raises(FileNotFoundError, match="`make train`, or run notebook 05_train"):
        newest_run()


@pytest.mark.backend_free
def test_a_named_data_set_is_no_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.setenv("SHIFTVIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    for folder in ("digits", "runs"):
        (tmp_path / folder).mkdir()
    make_run(tmp_path / "runs", "bundled", "digits", age=20)
    make_run(tmp_path / "runs", "mine", "./digits", age=10)
    assert newest_run("digits").path.name == "bundled"
    for spelling in ("./digits", pathlib.Path("digits"), tmp_path / "digits"):
        assert newest_run(spelling).path.name == "mine"
    assert not same_data("digits", str(tmp_path / "digits"))

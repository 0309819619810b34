"""`train` on a run of seconds: what it writes, what each setting does, and what it refuses.

The oracles are NumPy, or another run that has to give the same numbers.
"""

import contextlib
import dataclasses
import importlib.util
import io
import json
import math
import random
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_run import (
    BATCH_SIZE,
    NO_RANDOMNESS,
    NUM_CLASSES,
    STEPS_PER_EPOCH,
    prepared,
    tiny_config,
)

from shiftvit_utils import callbacks
from shiftvit_utils.callbacks import LOG_HEADER, EpochEnd, TrainingBatches, epoch_line
from shiftvit_utils.classifier import build_classifier
from shiftvit_utils.config import TrainConfig
from shiftvit_utils.data import load_dataset
from shiftvit_utils.image_decoding import fit_image
from shiftvit_utils.presets import PRESETS
from shiftvit_utils.run_folder import DATA_IDS, RunFolder
from shiftvit_utils.saving import load_model
from shiftvit_utils.training import resolve_jit, train

ROOT = Path(__file__).resolve().parents[1]
BACKEND = keras.backend.backend()
METRICS = {
    *("test_top1", "test_top5", "test_loss", "val_top1", "val_top5", "val_loss", "epochs"),
    *("train_seconds", "images_per_second", "parameters", "backend", "device", "versions"),
    *("data_source", "seed"),
}
EXTRA_METRICS = {"best_epoch", "kept_epoch", "evaluation_seconds"}
FRACTIONS = ("top1", "top5", "val_top1", "val_top5")
MEASURED = ("loss", *FRACTIONS, "val_loss", "learning_rate")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    with prepared(tmp_path_factory.mktemp("data")) as path:
        yield path


def measured(history):
    """The columns that do not depend on how fast the machine is."""
    return np.array([[row[name] for name in MEASURED] for row in history])


def softmax_losses(logits, targets):
    """Cross-entropy of each row, in float64; `targets` are probabilities."""
    logits = np.asarray(logits, "float64")
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -(targets * log_probabilities).sum(axis=1)


def numpy_metrics(logits, labels):
    ranks = np.argsort(-logits, axis=1)
    return {
        "loss": softmax_losses(logits, np.eye(NUM_CLASSES)[labels]).mean(),
        "top1": (ranks[:, 0] == labels).mean(),
        "top5": (ranks[:, :5] == labels[:, None]).any(axis=1).mean(),
    }


def initial_weights():
    """What a tiny run with seed 0 starts from."""
    rates = {"mlp_dropout_rate": 0.1, "stochastic_depth_rate": 0.1}  # they draw seeds, too
    return build_classifier("tiny", NUM_CLASSES, (8, 8, 3), seed=0, **rates).get_weights()


def state_after(run):
    """The weights in the last state of a run: what training would go on from."""
    model = build_classifier("tiny", NUM_CLASSES, (8, 8, 3), seed=12345)
    before = model.get_weights()
    model.load_weights(run.state_path)
    weights = model.get_weights()
    assert not any(np.array_equal(old, new) for old, new in zip(before, weights, strict=True))
    return weights


@contextlib.contextmanager
def models_seen():
    """Collects the models that are fitted, with what `train` keeps to itself."""
    seen = []
    fit = keras.Model.fit

    def record_and_fit(self, *args, **kwargs):
        seen.append(self)
        return fit(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.Model, "fit", record_and_fit)
        yield seen


@pytest.fixture
def no_fit(monkeypatch):
    """Fails the test if training starts."""
    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("training started"))


# ---------------------------------------------------------------- the batches


def numbered_batches(count, batch_size, seed):
    """Image k is k everywhere and has label k % 3, so that a batch tells what is in it."""
    numbers = np.arange(count)
    images = np.broadcast_to(numbers[:, None, None, None], (count, 2, 2, 3)).astype(np.uint8)
    return TrainingBatches(images, numbers % 3, 3, batch_size, seed)


def numbers_in(batches):
    """The image numbers of an epoch, one row a batch; checks images and labels on the way."""
    rows = []
    for index in range(len(batches)):
        images, labels = batches[index]
        numbers = images[:, 0, 0, 0]
        assert images.dtype == np.uint8
        assert (images == numbers[:, None, None, None]).all()
        assert labels.dtype == np.float32
        np.testing.assert_array_equal(labels, np.eye(3)[numbers % 3])
        rows.append(numbers)
    return np.array(rows).reshape(-1, batches.batch_size)


SIZES = st.integers(1, 12).flatmap(
    lambda batch_size: st.tuples(st.integers(batch_size, 200), st.just(batch_size))
)


@pytest.mark.backend_free
@settings(deadline=None)
@given(sizes=SIZES, seed=st.integers(0, 2**31), epoch=st.integers(0, 10_000))
def test_epoch_shows_every_image_at_most_once(sizes, seed, epoch):
    count, batch_size = sizes
    batches = numbered_batches(count, batch_size, seed)
    batches.start_epoch(epoch)
    numbers = numbers_in(batches)
    assert numbers.shape == (count // batch_size, batch_size)
    assert len(set(numbers.flat)) == numbers.size
    assert set(numbers.flat) <= set(range(count))


@pytest.mark.backend_free
@settings(deadline=None)
@given(
    sizes=SIZES,
    seed=st.integers(0, 2**31),
    epochs=st.lists(st.integers(0, 100), max_size=4),
    part=st.floats(0.0, 1.0),
)
def test_order_depends_on_seed_and_epoch_alone(sizes, seed, epochs, part):
    """Whatever came before; and `start_epoch(step=k)` goes on with batch k."""
    wandered = numbered_batches(*sizes, seed)
    for epoch in epochs:
        wandered.start_epoch(epoch)
    wandered.start_epoch(5)
    whole = numbers_in(wandered)
    step = round(part * len(whole))
    resumed = numbered_batches(*sizes, seed)
    resumed.start_epoch(5, step)
    assert len(resumed) == len(whole) - step
    np.testing.assert_array_equal(numbers_in(resumed), whole[step:])


@pytest.mark.backend_free
def test_epochs_and_seeds_differ_and_leave_out_other_images():
    batches = numbered_batches(50, 8, seed=3)
    orders = []
    for epoch in range(20):
        batches.start_epoch(epoch)
        orders.append(numbers_in(batches).ravel())
    assert len({order.tobytes() for order in orders}) == 20
    left_out = [frozenset(range(50)) - set(order) for order in orders]
    assert all(len(images) == 2 for images in left_out)
    assert len(set(left_out)) > 10
    other = numbered_batches(50, 8, seed=4)
    other.start_epoch(0)
    assert not np.array_equal(numbers_in(other).ravel(), orders[0])


# ---------------------------------------------------------------- a whole run


@pytest.fixture(scope="module")
def plain(data, tmp_path_factory):
    """A run with everything that is random switched on, and what was seen while it ran."""
    config = tiny_config(data, tmp_path_factory.mktemp("plain") / "run")
    asked, orders = [], []
    get_item, on_epoch_end = TrainingBatches.__getitem__, EpochEnd.on_epoch_end
    find_spec = importlib.util.find_spec

    def record_item(self, index):
        asked.append(index)
        return get_item(self, index)

    def record_epoch(self, epoch, logs=None):
        orders.append(asked[-STEPS_PER_EPOCH:])  # before them, Keras looks at one or two
        on_epoch_end(self, epoch, logs)

    def find_no_tensorboard(name, *args):
        return None if name == "tensorboard" else find_spec(name, *args)

    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output):
        patch.setattr(TrainingBatches, "__getitem__", record_item)
        patch.setattr(EpochEnd, "on_epoch_end", record_epoch)
        patch.setattr(importlib.util, "find_spec", find_no_tensorboard)
        result = train(config)
    return types.SimpleNamespace(
        config=config, result=result, lines=output.getvalue().splitlines(), orders=orders
    )


def test_keras_takes_the_batches_in_their_order(plain):
    """Else the order is not a function of seed and epoch, and a resumed epoch repeats images."""
    assert plain.orders == [list(range(STEPS_PER_EPOCH))] * 3


def test_run_folder_holds_the_files_that_are_promised(plain):
    files = sorted(path.name for path in plain.result.run.path.iterdir())
    assert files == [
        *("config.json", "history.csv", "last.weights.h5", "metrics.json", "model.keras")
    ]  # and no folder for TensorBoard, which could not be imported


def test_metrics_are_those_of_the_contract(plain):
    metrics = json.loads(plain.result.run.metrics_path.read_text())
    assert metrics == plain.result.metrics
    assert set(metrics) == METRICS | EXTRA_METRICS
    for name in ("test_top1", "test_top5", "val_top1", "val_top5"):
        assert 0.0 <= metrics[name] <= 1.0
    assert metrics["test_top1"] <= metrics["test_top5"]
    assert metrics["epochs"] == 3
    assert metrics["seed"] == 0
    assert metrics["backend"] == BACKEND
    assert metrics["versions"]["keras"] == keras.__version__
    assert metrics["data_source"] == "npz file tiny.npz"
    # 588 in the patches' convolution, 24 in its normalisation; 24 + 2 * 156 in each of two blocks;
    # 24 in the last normalisation; 78 in the head.
    assert metrics["parameters"] == 588 + 24 + 2 * (24 + 2 * 156) + 24 + 78
    history = plain.result.history
    assert metrics["train_seconds"] == pytest.approx(sum(row["seconds"] for row in history))
    assert metrics["images_per_second"] in [row["images_per_second"] for row in history[1:]]


def test_history_has_a_row_for_each_epoch(plain):
    history = plain.result.history
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert np.isfinite(measured(history)).all()
    for row in history:
        assert all(0.0 <= row[name] <= 1.0 for name in FRACTIONS)
        assert row["seconds"] > 0
        assert row["images_per_second"] >= STEPS_PER_EPOCH * BATCH_SIZE / row["seconds"]
    # 21 steps, of which a tenth warms up: 2. Then half a cosine over the other 19.
    expected = [0.01 * (1 + math.cos(math.pi * (step - 2) / 19)) / 2 for step in (7, 14, 21)]
    np.testing.assert_allclose([row["learning_rate"] for row in history], expected, atol=1e-7)


def test_log_has_one_line_for_each_epoch(plain):
    assert plain.lines[1] == (
        "npz file tiny.npz: 60 training, 24 validation, 30 test images of 8x8x3, 6 classes"
    )
    header = plain.lines.index(LOG_HEADER)
    assert re.split(r"[ |]+", LOG_HEADER.strip()) == [
        *("epoch", "train:", "loss", "top-1", "top-5", "val:", "loss", "top-1", "top-5"),
        *("lr", "images/s", "time", "left"),
    ]
    rows = plain.lines[header + 1 : header + 4]
    for line, row in zip(rows, plain.result.history, strict=True):
        assert bars(line) == bars(LOG_HEADER)  # in columns
        numbers = re.fullmatch(
            r" *(\d)/3 +\| +(\S+) +(\S+)% +(\S+)% \| +(\S+) +(\S+)% +(\S+)% \| +(\S+) \| "
            r"*([\d,]+) \| *(\d+):(\d\d) min",
            line,
        ).groups()
        *shown, rate, speed, minutes, seconds = [float(n.replace(",", "")) for n in numbers]
        expected = [row["epoch"]] + [
            row[name] * (100 if "top" in name else 1)
            for name in ("loss", "top1", "top5", "val_loss", "val_top1", "val_top5")
        ]
        np.testing.assert_allclose(shown, expected, atol=0.06)
        assert rate == pytest.approx(row["learning_rate"], rel=0.06, abs=1e-9)
        assert speed == pytest.approx(row["images_per_second"], abs=0.6)
    assert (minutes, seconds) == (0, 0)  # nothing left after the last
    assert [line for line in plain.lines[header + 4 :] if "/3" in line] == []


def bars(line):
    return [k for k, letter in enumerate(line) if letter == "|"]


@pytest.mark.backend_free
def test_time_left_ignores_the_first_epoch_which_compiles():
    history = [dict.fromkeys(MEASURED, 0.5) | {"images_per_second": 1234.4} for _ in range(4)]
    for k, (row, seconds) in enumerate(zip(history, [500.0, 30.0, 50.0, 40.0], strict=True)):
        row |= {"epoch": k + 1, "seconds": seconds}
    assert epoch_line(history, epochs=100).endswith("|  64:00 min")  # 96 epochs of 40 s
    assert epoch_line(history[:1], epochs=3).endswith("|  16:40 min")  # nothing else is known
    assert epoch_line(history, epochs=100).startswith("  4/100 | ")
    assert " 1,234 |" in epoch_line(history, epochs=100)


@pytest.mark.training
def test_saved_model_gives_the_metrics_again_in_a_fresh_process(plain, data, tmp_path):
    """Loaded with Keras alone; only the layers come from the library."""
    script = (
        "import sys, keras, numpy as np, shiftvit_utils\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "arrays = np.load(sys.argv[2])\n"
        "logits = {s: model.predict(arrays[f'x_{s}'], verbose=0) for s in ('val', 'test')}\n"
        "np.savez(sys.argv[3], **logits)\n"
    )
    output = tmp_path / "logits.npz"
    subprocess.run(
        [sys.executable, "-c", script, plain.result.run.model_path, data, output],
        cwd=ROOT,
        check=True,
    )
    logits, arrays = np.load(output), np.load(data)
    for split in ("val", "test"):
        for name, value in numpy_metrics(logits[split], arrays[f"y_{split}"]).items():
            found = plain.result.metrics[f"{split}_{name}"]
            assert found == pytest.approx(value, abs=1e-5), (split, name)


def test_returned_model_and_dataset_are_those_of_the_metrics(plain):
    result = plain.result
    for split in ("val", "test"):
        images, labels = (
            getattr(result.dataset, f"x_{split}"),
            getattr(result.dataset, f"y_{split}"),
        )
        logits = result.model.predict(images, verbose=0)
        for name, value in numpy_metrics(logits, labels).items():
            assert result.metrics[f"{split}_{name}"] == pytest.approx(value, abs=1e-5)
    best = max(result.history, key=lambda row: row["val_top1"])
    assert result.metrics["best_epoch"] == result.metrics["kept_epoch"] == best["epoch"]
    for name in ("val_loss", "val_top1", "val_top5"):
        assert result.metrics[name] == pytest.approx(best[name], abs=1e-5)


@pytest.mark.training
def test_same_seed_same_run(plain, data, tmp_path):
    """Also after other random numbers were drawn, by whoever."""
    keras.utils.set_random_seed(99)
    random.random()
    np.random.rand(3)
    again = train(tiny_config(data, tmp_path / "again"))
    np.testing.assert_allclose(
        measured(again.history), measured(plain.result.history), rtol=1e-5, atol=1e-6
    )


@pytest.mark.training
def test_other_seed_other_run(plain, data, tmp_path):
    other = train(tiny_config(data, tmp_path / "other", seed=1))
    assert other.metrics["seed"] == 1
    for row, plain_row in zip(other.history, plain.result.history, strict=True):
        assert abs(row["loss"] - plain_row["loss"]) > 1e-3


def test_complete_run_resumed_says_so_and_trains_no_more(plain, no_fit, capsys):
    before = {path.name: path.read_bytes() for path in plain.result.run.path.iterdir()}
    config = tiny_config(plain.config.dataset, plain.config.run_dir, resume=True)
    again = train(config)
    assert "complete already" in capsys.readouterr().out
    assert again.metrics == plain.result.metrics
    assert again.history == plain.result.history
    for found, expected in zip(
        again.model.get_weights(), plain.result.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    after = {path.name: path.read_bytes() for path in plain.result.run.path.iterdir()}
    assert {name for name in after if after[name] != before[name]} <= {"config.json"}


# ---------------------------------------------------------------- which model is kept


@pytest.mark.training
def test_best_epoch_is_kept_and_early_stopping_stops(data, tmp_path, monkeypatch, capsys):
    """The validation accuracies are made up: best in epoch 2, and only as good in epoch 4."""
    accuracies = iter([0.3, 0.9, 0.5, 0.9, 0.95, 0.99])
    weights = []

    def made_up_metrics(logits, labels):
        return {"loss": 1.0, "top1": next(accuracies), "top5": 1.0}

    def record_predict(model, images, batch_size):
        weights.append(model.get_weights())
        return np.zeros((len(images), NUM_CLASSES), "float32")

    monkeypatch.setattr(callbacks, "classification_metrics", made_up_metrics)
    monkeypatch.setattr(callbacks, "predict_logits", record_predict)
    result = train(tiny_config(data, tmp_path / "run", epochs=6, early_stopping_patience=2))
    assert [row["val_top1"] for row in result.history] == [0.3, 0.9, 0.5, 0.9]
    assert result.metrics["epochs"] == 4
    assert result.metrics["best_epoch"] == 2
    assert "No better validation accuracy for 2 epochs" in capsys.readouterr().out
    for found, expected in zip(result.model.get_weights(), weights[1], strict=True):
        np.testing.assert_array_equal(found, expected)
    assert any((a != b).any() for a, b in zip(weights[1], weights[3], strict=True))


@contextlib.contextmanager
def made_up_accuracies(*accuracies):
    """Validation accuracies for one epoch after the other; yields the weights that had them."""
    weights, values = [], iter(accuracies)

    def metrics(logits, labels):
        return {"loss": 1.0, "top1": next(values), "top5": 1.0}

    def record_predict(model, images, batch_size):
        weights.append(model.get_weights())
        return np.zeros((len(images), NUM_CLASSES), "float32")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks, "classification_metrics", metrics)
        patch.setattr(callbacks, "predict_logits", record_predict)
        yield weights


def check_last_is_kept(result, weights):
    """The model is the one of the last epoch, and the numbers of the run are that model's."""
    for found, last, best in zip(result.model.get_weights(), weights[-1], weights[0], strict=True):
        np.testing.assert_array_equal(found, last)
        assert (found != best).any()
    for split in ("val", "test"):
        images, labels = (getattr(result.dataset, f"{part}_{split}") for part in "xy")
        measured = numpy_metrics(result.model.predict(images, verbose=0), labels)
        assert result.metrics[f"{split}_loss"] == pytest.approx(measured["loss"], abs=1e-5)
        assert result.metrics[f"{split}_top1"] == pytest.approx(measured["top1"], abs=1e-6)
    assert (result.metrics["best_epoch"], result.metrics["kept_epoch"]) == (1, 3)


@pytest.mark.training
def test_last_weights_are_kept_also_after_an_early_stop_and_a_resume(data, tmp_path, monkeypatch):
    """Best in epoch 1; the process ends in epoch 3, between its model and its state."""
    settings = {"epochs": 6, "keep_weights": "last", "early_stopping_patience": 2}
    config = tiny_config(data, tmp_path / "run", **settings)
    save_state = RunFolder.save_state

    def die_in_epoch_3(self, model, epoch, step, steps_per_epoch):
        if epoch == 3:
            raise KeyboardInterrupt
        save_state(self, model, epoch, step, steps_per_epoch)

    with monkeypatch.context() as patch, made_up_accuracies(0.9, 0.5, 0.6):
        patch.setattr(RunFolder, "save_state", die_in_epoch_3)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    again = dataclasses.replace(config, resume=True)
    with made_up_accuracies(0.6) as resumed:
        train(again)
    run = RunFolder(config.run_dir)
    assert [row["val_top1"] for row in run.read_history()] == [0.9, 0.5, 0.6]  # and it stopped
    kept, _ = load_model(run.model_path)
    for found, last, state in zip(kept.get_weights(), resumed[0], state_after(run), strict=True):
        np.testing.assert_array_equal(found, last)
        np.testing.assert_array_equal(found, state)

    # Killed once more, after all the training: nothing is trained, the last is evaluated again.
    metrics = run.read_metrics()
    run.metrics_path.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("training started"))
        evaluated = train(again)
    for name in ("test_loss", "test_top1", "val_loss", "best_epoch", "kept_epoch", "epochs"):
        assert evaluated.metrics[name] == pytest.approx(metrics[name], abs=1e-6)
    with made_up_accuracies(0.9, 0.5, 0.6) as weights:
        whole = train(tiny_config(data, tmp_path / "whole", **settings))
    check_last_is_kept(whole, weights)
    for found, expected in zip(kept.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.training
def test_last_weights_are_the_averaged_ones_if_there_are_any(data, tmp_path):
    settings = {"ema_momentum": 0.75, "keep_weights": "last"}
    with made_up_accuracies(0.9, 0.5, 0.6) as weights:
        result = train(tiny_config(data, tmp_path / "run", **settings))
    check_last_is_kept(result, weights)
    raw = state_after(result.run)
    kept = result.model.get_weights()
    assert all((average != last).any() for average, last in zip(kept, raw, strict=True))


@pytest.mark.backend_free
def test_kept_weights_cannot_change_when_a_run_is_resumed(data, tmp_path, no_fit):
    run = RunFolder(tmp_path / "run")
    with run.prepared(tiny_config(data, run.path).resolved(60), bytes_needed=0):
        pass
    with pytest.raises(ValueError, match="keep_weights: None in the folder, 'last' now"):
        train(tiny_config(data, run.path, resume=True, keep_weights="last"))


def test_a_run_from_before_the_settings_of_keras_io_2022_resumes(data, tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "run")
    with run.prepared(tiny_config(data, run.path).resolved(60), bytes_needed=0):
        pass
    settings = json.loads(run.config_path.read_text())
    new = ("decay_all", "drop_path_ramp", "shift_variant", "group_channels", "keep_weights")
    run.config_path.write_text(
        json.dumps({name: value for name, value in settings.items() if name not in new})
    )
    monkeypatch.setattr(
        keras.Model, "fit", lambda *_, **__: (_ for _ in ()).throw(TrainingWouldStartError)
    )
    with pytest.raises(TrainingWouldStartError):  # so far it comes
        train(tiny_config(data, run.path, resume=True))


@pytest.mark.training
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_losses_are_those_computed_by_hand(data, tmp_path, label_smoothing):
    """At learning rate 0 the network stays the same, so every epoch's loss can be computed.

    The validation accuracy stays the same, too: without a patience, no epoch is left out.
    """
    config = tiny_config(
        data,
        tmp_path / "run",
        lr_start=0.0,
        lr_max=0.0,
        label_smoothing=label_smoothing,
        **NO_RANDOMNESS,
    )
    result = train(config)
    assert len(result.history) == 3
    dataset = load_dataset(data)
    batches = TrainingBatches(dataset.x_train, dataset.y_train, NUM_CLASSES, BATCH_SIZE, seed=0)
    validation = numpy_metrics(result.model.predict(dataset.x_val, verbose=0), dataset.y_val)
    for epoch, row in enumerate(result.history):
        batches.start_epoch(epoch)
        images, one_hot = map(np.concatenate, zip(*[batches[k] for k in range(7)], strict=True))
        logits = result.model.predict(images, verbose=0)
        targets = (1 - label_smoothing) * one_hot + label_smoothing / NUM_CLASSES
        assert row["loss"] == pytest.approx(softmax_losses(logits, targets).mean(), abs=1e-5)
        by_hand = numpy_metrics(logits, one_hot.argmax(axis=1))
        assert row["top1"] == pytest.approx(by_hand["top1"], abs=1e-6)
        assert row["top5"] == pytest.approx(by_hand["top5"], abs=1e-6)
        for name, value in validation.items():  # never smoothed
            assert row[f"val_{name}"] == pytest.approx(value, abs=1e-5)


# ---------------------------------------------------------------- the optimizer's settings


@pytest.mark.training
def test_averaged_weights_are_validated_and_kept_while_the_raw_ones_train(
    plain, data, tmp_path, monkeypatch
):
    steps = []
    on_train_batch_end = EpochEnd.on_train_batch_end

    def record_weights(self, batch, logs=None):
        if BACKEND == "jax":
            self.model.jax_state_sync()
        variables = self.model.trainable_variables
        steps.append([keras.ops.convert_to_numpy(variable).copy() for variable in variables])
        on_train_batch_end(self, batch, logs)

    monkeypatch.setattr(EpochEnd, "on_train_batch_end", record_weights)
    result = train(tiny_config(data, tmp_path / "run", ema_momentum=0.75))
    history = result.history
    for name in ("loss", "top1", "top5"):  # training itself is that of the run without averages
        np.testing.assert_allclose(
            [row[name] for row in history],
            [row[name] for row in plain.result.history],
            rtol=1e-5,
            atol=1e-6,
        )
    model, dataset = result.model, result.dataset
    averages = []
    average = steps[0]
    for weights in steps[1:]:
        average = [0.75 * a + 0.25 * w for a, w in zip(average, weights, strict=True)]
        averages.append(average)
    best = averages[STEPS_PER_EPOCH * result.metrics["best_epoch"] - 2]
    for variable, expected in zip(model.trainable_variables, best, strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), expected, atol=1e-6)
    for row in history:
        for variable, value in zip(
            model.trainable_variables, averages[STEPS_PER_EPOCH * row["epoch"] - 2], strict=True
        ):
            variable.assign(value)
        by_hand = numpy_metrics(model.predict(dataset.x_val, verbose=0), dataset.y_val)
        assert row["val_loss"] == pytest.approx(by_hand["loss"], abs=1e-4)
        assert row["val_top1"] == pytest.approx(by_hand["top1"], abs=1e-6)
    # The averages lag behind, so this is another number than without them.
    assert abs(history[-1]["val_loss"] - plain.result.history[-1]["val_loss"]) > 1e-3
    # The state holds the raw weights.
    raw = state_after(result.run)
    for found, expected in zip(raw, steps[-1], strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.training
def test_gradients_clipped_to_nothing_leave_the_network_as_it_was(plain, data, tmp_path):
    """A gradient of norm 1e-12 vanishes beside Adam's epsilon of 1e-7."""
    clipped = train(
        tiny_config(
            data,
            tmp_path / "run",
            epochs=1,
            limit_train=24,
            optimizer="adamw",
            global_clipnorm=1e-12,
            weight_decay=0,
        )
    )
    initial = initial_weights()
    for found, start in zip(clipped.model.get_weights(), initial, strict=True):
        np.testing.assert_allclose(found, start, atol=1e-6)
    moved = [
        np.abs(found - start).max()
        for found, start in zip(plain.result.model.get_weights(), initial, strict=True)
    ]
    assert min(moved) > 1e-4
    # 24 images are 3 steps.
    assert len(clipped.dataset.x_train) == 24
    np.testing.assert_array_equal(np.bincount(clipped.dataset.y_train), [4] * NUM_CLASSES)
    speed = clipped.history[0]["images_per_second"] * clipped.history[0]["seconds"]
    assert speed >= 24


@pytest.mark.training
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_trains(data, tmp_path, precision):
    with models_seen() as seen:
        result = train(
            tiny_config(data, tmp_path / "run", precision=precision, epochs=1, ema_momentum=0.75)
        )
    (row,) = result.history
    assert math.isfinite(row["loss"])
    assert row["loss"] == pytest.approx(math.log(NUM_CLASSES), abs=0.5)
    # Computed in half precision, stored in float32.
    dense = result.model.get_layer("shiftvit").get_layer("stage_0")
    assert dense.compute_dtype == precision.removeprefix("mixed_")
    assert {weights.dtype.name for weights in result.model.get_weights()} == {"float32"}
    assert result.model.predict(result.dataset.x_val, verbose=0).dtype == np.float32
    # float16 gradients below 6e-8 are 0, so Keras scales the loss up; bfloat16 has the range.
    scale = float(seen[0].optimizer.scale_loss(1.0))
    assert scale > 1000 if precision == "mixed_float16" else scale == 1
    # The averages are kept here, too, and the raw weights train on.
    initial = initial_weights()
    raw = state_after(result.run)
    kept = result.model.get_weights()
    for start, average, last in zip(initial, kept, raw, strict=True):
        assert np.abs(average - last).max() > 1e-5
        assert np.abs(last - start).max() > 1e-5


@pytest.mark.training
def test_several_steps_in_one_call_give_the_same_run(plain, data, tmp_path):
    """Seven steps in calls of three: the last call is a short one."""
    with models_seen() as seen:
        result = train(tiny_config(data, tmp_path / "run", steps_per_execution=3))
    assert [model.steps_per_execution for model in seen] == [3]
    np.testing.assert_allclose(
        measured(result.history), measured(plain.result.history), rtol=1e-4, atol=1e-5
    )


class TrainingWouldStartError(Exception):
    """Raised in place of training."""


def decisions(data, run_dir, monkeypatch, **settings):
    """What a run has decided when training would start, read from the layers that compute.

    Their network notes its arguments, too, but a note is right whatever became of them.
    """
    network = {"image_shape": (24, 24, 3), "num_shift_blocks_per_stages": (2, 2)}
    monkeypatch.setitem(PRESETS, "tiny_24", {**PRESETS["tiny"], **network})
    found = {}

    def look(model, batches, callbacks, **_):
        stages = [model.get_layer("shiftvit").get_layer(f"stage_{k}") for k in range(2)]
        blocks = [block for stage in stages for block in stage.blocks]
        dropouts = [d for b in blocks for d in (b.mlp.expand_dropout, b.mlp.project_dropout)]
        (mlp_dropout_rate,) = {dropout.rate for dropout in dropouts}
        ((shift, group),) = {(b.shift.shift_variant, b.shift.group_channels) for b in blocks}
        augmentation = model.get_layer("augmentation")
        optimizer = model.optimizer
        loss = model.loss.get_config()
        rescaling = model.get_layer("rescaling")
        (epoch_end,) = [c for c in callbacks if isinstance(c, EpochEnd)]
        found.update(
            shift=shift,
            group=group,
            mlp_dropout_rate=mlp_dropout_rate,
            drop_path=tuple(round(b.drop_path.drop_path_rate, 3) for b in blocks),
            augmentation=augmentation.augmentation,
            max_translation=augmentation.max_translation,
            flip=augmentation.horizontal_flip,
            mixed=(batches.mixup_alpha, batches.cutmix_alpha),
            scale=(rescaling.scale, rescaling.offset),
            label_smoothing=loss["label_smoothing"],
            optimizer=type(optimizer).__name__,
            weight_decay=getattr(optimizer, "constant_decay", optimizer.weight_decay),
            decay_all=getattr(optimizer, "decay_all", None),
            batch_size=batches.batch_size,
            patience=epoch_end.patience,
            keep_last=epoch_end.keep_last,
        )
        raise TrainingWouldStartError

    monkeypatch.setattr(keras.Model, "fit", look)
    settings = {"recipe": "keras_io_2022", "batch_size": BATCH_SIZE, **settings}
    with pytest.raises(TrainingWouldStartError):
        train(TrainConfig(dataset=data, preset="tiny_24", run_dir=str(run_dir), **settings))
    return found


EXAMPLE_DECISIONS = {
    "shift": "border_zeroing",
    "group": 3,  # a quarter of the 12 channels
    "mlp_dropout_rate": 0.2,
    "drop_path": (0.0, 0.2, 0.0, 0.2),  # from 0 again in the second stage
    "augmentation": "keras_io_2022",
    "max_translation": 4,
    "flip": True,
    "mixed": (0.0, 0.0),
    "scale": (1 / 255, 0.0),
    "label_smoothing": 0.0,
    "optimizer": "AdamConstantDecay",
    "weight_decay": 1e-4,
    "decay_all": True,
    "batch_size": BATCH_SIZE,
    "patience": 5,
    "keep_last": True,
}


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("fix", "changed"),
    [
        ({}, {}),
        ({"shift_variant": "paper"}, {"shift": "paper"}),
        ({"shift_variant": "none"}, {"shift": "none"}),
        ({"group_channels": 0}, {"group": None}),
        ({"group_channels": 2}, {"group": 2}),
        ({"drop_path_ramp": "network"}, {"drop_path": (0.0, 0.067, 0.133, 0.2)}),
        ({"mlp_dropout_rate": 0.0}, {"mlp_dropout_rate": 0.0}),
        ({"stochastic_depth_rate": 0.0}, {"drop_path": (0.0, 0.0, 0.0, 0.0)}),
        (
            {"augmentation": "published"},
            {"augmentation": "published", "scale": (1 / 127.5, -1.0)},
        ),
        ({"max_translation": 2}, {"max_translation": 2}),
        ({"max_translation": 0}, {"max_translation": 0}),
        ({"horizontal_flip": False}, {"flip": False}),
        ({"mixup_alpha": 0.2}, {"mixed": (0.2, 0.0)}),
        ({"cutmix_alpha": 1.0}, {"mixed": (0.0, 1.0)}),
        ({"label_smoothing": 0.1}, {"label_smoothing": 0.1}),
        (
            {"weight_decay_mode": "times_lr", "weight_decay": 0.1},
            {"optimizer": "AdamW", "weight_decay": 0.1, "decay_all": None},
        ),
        ({"decay_all": False}, {"decay_all": False}),
        ({"early_stopping_patience": 0}, {"patience": None}),
        ({"early_stopping_patience": 7}, {"patience": 7}),
        ({"keep_weights": "best"}, {"keep_last": False}),
    ],
    ids=str,
)
def test_each_fix_of_keras_io_2022_changes_what_it_names(data, tmp_path, monkeypatch, fix, changed):
    found = decisions(data, tmp_path / "run", monkeypatch, **fix)
    assert found == EXAMPLE_DECISIONS | changed


@pytest.mark.backend_free
@pytest.mark.parametrize(("recipe", "optimizer"), [("small", "AdamW"), ("light", "Muon")])
def test_without_a_recipes_word_all_is_as_before(data, tmp_path, monkeypatch, recipe, optimizer):
    settings = {"recipe": recipe, "stochastic_depth_rate": 0.3}  # some, so that its ramp shows
    found = decisions(data, tmp_path / "run", monkeypatch, **settings)
    names = ("shift", "group", "drop_path", "scale", "optimizer", "patience", "keep_last")
    ramp = (0.0, 0.1, 0.2, 0.3)  # over all blocks
    expected = ("paper", None, ramp, (1 / 127.5, -1.0), optimizer, None, False)
    assert tuple(found[name] for name in names) == expected


@pytest.mark.training
def test_keras_io_2022_runs_compiled(data, tmp_path, monkeypatch):
    """Crop, flip, dropout and the constant decay, all inside what XLA compiles."""
    shape = (24, 24, 3)  # the smallest with room for the recipe's crop
    monkeypatch.setitem(PRESETS, "tiny_24", {**PRESETS["tiny"], "image_shape": shape})
    config = TrainConfig(
        dataset=data,
        preset="tiny_24",
        recipe="keras_io_2022",
        epochs=2,
        batch_size=BATCH_SIZE,
        limit_train=24,
        run_dir=str(tmp_path / "run"),
        jit=True,
    )
    with models_seen() as seen:
        result = train(config)
    assert seen[0].jit_compile is True  # Keras sets it back if a layer cannot be compiled
    assert seen[0].optimizer.constant_decay == 1e-4
    assert np.isfinite(measured(result.history)).all()
    # 6 steps, none of which warms up (15 % of them is less than one), then half a cosine.
    rates = [1e-3 * (1 + math.cos(math.pi * step / 6)) / 2 for step in (3, 6)]
    found = [row["learning_rate"] for row in result.history]
    np.testing.assert_allclose(found, rates, atol=1e-8)
    assert result.metrics["kept_epoch"] == 2
    assert json.loads(result.run.config_path.read_text())["group_channels"] == 3
    loaded, _ = load_model(result.run.model_path)
    network = loaded.get_layer("shiftvit").get_config()
    assert (network["shift_variant"], network["drop_path_ramp"]) == ("border_zeroing", "stage")
    kept = loaded.get_weights()
    loaded.load_weights(result.run.state_path)  # the last state
    for found, last in zip(kept, loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(found, last)


@pytest.mark.parametrize("jit", [True, False])
def test_jit_is_as_asked(jit):
    assert resolve_jit(jit) is jit
    assert resolve_jit("auto") is (BACKEND != "torch")


# ---------------------------------------------------------------- when the loss is lost


def test_weights_lost_in_the_last_step_of_an_epoch_are_not_kept(data, tmp_path):
    """The loss of that step was measured before its update."""
    config = tiny_config(
        data, tmp_path / "run", epochs=1, batch_size=60, lr_start=1e30, lr_max=1e30
    )
    run = RunFolder(config.run_dir)
    with pytest.raises(FloatingPointError, match=r"answers became NaN or infinite in epoch 1.*lr_"):
        train(config)
    assert not any(path.exists() for path in (run.model_path, run.state_path, run.metrics_path))


@pytest.mark.training
def test_a_state_whose_answers_are_lost_is_not_saved(data, tmp_path):
    """The loss of the step that lost the weights is still finite: it is from before its update."""
    config = tiny_config(
        data, tmp_path / "run", save_every_steps=1, lr_start=1e30, lr_max=1e30, **NO_RANDOMNESS
    )
    run = RunFolder(config.run_dir)
    with pytest.raises(FloatingPointError, match=r"answers became NaN or infinite in epoch 1.*lr_"):
        train(config)
    assert not run.state_path.exists()


@pytest.mark.training
def test_learning_rate_beyond_all_bounds_is_named(data, tmp_path):
    config = tiny_config(data, tmp_path / "run", epochs=1, lr_max=1e30)
    with pytest.raises(FloatingPointError, match=r"loss became (nan|inf).* epoch 1.*lr_max"):
        train(config)
    run = RunFolder(config.run_dir)
    assert not run.is_complete
    assert not run.model_path.exists()


@pytest.mark.training
@pytest.mark.parametrize("save_every_steps", [0, 1])
def test_state_before_the_loss_was_lost_is_kept(
    plain, data, tmp_path, monkeypatch, save_every_steps
):
    """A label that is no number, in the fifth step of the second epoch, makes the loss NaN."""
    get_item = TrainingBatches.__getitem__

    def spoil(self, index):
        images, labels = get_item(self, index)
        spoilt = self.epoch == 1 and self.first_step + index == 4
        return images, labels * np.float32("nan") if spoilt else labels

    config = tiny_config(data, tmp_path / "run", save_every_steps=save_every_steps)
    run = RunFolder(config.run_dir)
    with monkeypatch.context() as patch:
        patch.setattr(TrainingBatches, "__getitem__", spoil)
        with pytest.raises(FloatingPointError, match=r"loss became nan in epoch 2.*is kept"):
            train(config)
    assert [row["epoch"] for row in run.read_history()] == [1]
    assert all(np.isfinite(weights).all() for weights in state_after(run))
    kept, _ = load_model(run.model_path)
    assert all(np.isfinite(weights).all() for weights in kept.get_weights())
    if save_every_steps == 0:  # else the second epoch draws other random numbers
        result = train(tiny_config(data, config.run_dir, resume=True))
        np.testing.assert_allclose(
            measured(result.history), measured(plain.result.history), rtol=1e-4, atol=1e-5
        )


# ---------------------------------------------------------------- random numbers


def test_an_epoch_draws_the_same_random_numbers_however_it_was_come_to():
    """All of them: crops, flips, dropout and drop path."""
    network = {"mlp_dropout_rate": 0.5, "stochastic_depth_rate": 0.5}
    model = build_classifier("micro", augmentation="light", seed=0, **network)
    images = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3)).astype("float32")
    batches = TrainingBatches(images, np.arange(16) % 10, 10, batch_size=8, seed=0)
    start = callbacks.EpochStart(batches)
    start.set_model(model)

    def logits(epoch):
        start.on_epoch_begin(epoch)
        return np.stack(
            [keras.ops.convert_to_numpy(model(images, training=True)) for _ in range(2)]
        )

    first = logits(3)
    assert np.abs(first[0] - first[1]).max() > 0.01  # there is something random in it
    assert np.abs(first - logits(4)).max() > 0.01
    np.testing.assert_allclose(logits(3), first, atol=1e-5)


# ---------------------------------------------------------------- waiting for the device


@pytest.mark.backend_free
@pytest.mark.parametrize("callback", ["EpochStart", "EpochEnd", "TensorBoardScalars"])
@pytest.mark.parametrize("hook", ["on_batch_end", "on_train_batch_end"])
def test_no_callback_makes_keras_wait_for_the_device_after_each_step(callback, hook):
    """Keras runs ahead of a GPU only if no callback has code at the end of a step."""
    assert getattr(getattr(callbacks, callback), hook) is getattr(keras.callbacks.Callback, hook)


# ---------------------------------------------------------------- TensorBoard

STAND_IN = '''
"""Stands in for TensorBoard, which need not be installed: writes down what it is told."""

import json
import os


class Writer:
    def __init__(self, logdir):
        os.makedirs(logdir, exist_ok=True)
        self.path = os.path.join(logdir, "events.jsonl")
        self.waiting = []

    def add_scalar(self, tag, data, step):
        self.waiting.append([tag, float(data), step])

    def flush(self):
        with open(self.path, "a") as file:
            file.writelines(json.dumps(event) + "\\n" for event in self.waiting)
        self.waiting.clear()
'''


@pytest.mark.backend_free
@pytest.mark.training
def test_tensorboard_gets_every_number_if_it_is_installed(data, tmp_path, monkeypatch):
    package = tmp_path / "site" / "tensorboard"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "summary.py").write_text(STAND_IN)
    for name in [name for name in sys.modules if name.split(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(package.parent)
    result = train(tiny_config(data, tmp_path / "run", epochs=2, limit_train=24))
    lines = (result.run.path / "tensorboard" / "events.jsonl").read_text().splitlines()
    expected = [
        [name, value, row["epoch"]] for row in result.history for name, value in row.items()
    ]
    assert [json.loads(line) for line in lines] == expected
    for name in ("tensorboard", "tensorboard.summary"):
        sys.modules.pop(name)


# ---------------------------------------------------------------- errors before any training


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ({"dataset": "digit"}, ValueError, "'digit' is unknown.*Did you mean 'digits'"),
        ({"dataset": "no/such.npz"}, FileNotFoundError, "such.npz.*does not exist"),
        ({"validation_size": 10}, ValueError, "validation_size=10 .*brings its own"),
        ({"limit_train": 5}, ValueError, "limit_train=5 must be from 6"),
        ({"limit_train": 61}, ValueError, "limit_train=61 must be .* to 60"),
        ({"batch_size": 61}, ValueError, "batch_size=61 .* 60 training images"),
    ],
)
def test_bad_settings_fail_before_training(data, tmp_path, no_fit, bad, error, message):
    arguments = {"dataset": data, "preset": "tiny", "batch_size": BATCH_SIZE}
    with pytest.raises(error, match=message):
        train(TrainConfig(run_dir=str(tmp_path / "run"), **{**arguments, **bad}))
    assert not (tmp_path / "run").exists()


def test_bad_run_folders_fail_before_training(data, tmp_path, no_fit, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="run folder cannot be written"):
        train(tiny_config(data, tmp_path / "file" / "run"))
    run = RunFolder(tmp_path / "taken")
    with run.prepared(tiny_config(data, run.path).resolved(60), bytes_needed=0):
        pass
    with pytest.raises(FileExistsError, match="already holds a run"):
        train(tiny_config(data, run.path))
    with pytest.raises(ValueError, match="epochs: 3 in the folder, 4 now"):
        train(tiny_config(data, run.path, epochs=4, resume=True))
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=100))
        with pytest.raises(OSError, match="the disk has 0 MiB free"):
            train(tiny_config(data, tmp_path / "full"))


# ---------------------------------------------------------------- other networks, other starts


def test_a_run_may_change_its_network_and_leave_the_test_set_alone(data, tmp_path):
    config = tiny_config(
        data,
        tmp_path / "run",
        epochs=1,
        network={"projected_dim": 24, "normalization": "batch", "num_div": 6},
        mixup_alpha=0.2,
        cutmix_alpha=1.0,
        optimizer="sgd",
        use_test_set=False,
    )
    result = train(config)
    assert result.model.get_layer("shiftvit").get_config()["num_div"] == 6
    assert result.metrics["parameters"] > 2 * 1386  # twice as wide as the preset
    assert not any(name.startswith("test") for name in result.metrics)
    assert result.metrics["val_top1"] == result.history[0]["val_top1"]


@pytest.mark.parametrize("form", ["folder", "model"])
def test_a_run_starts_from_the_weights_of_another(plain, data, tmp_path, form):
    source = plain.result.run
    start = source.path if form == "folder" else source.model_path
    config = tiny_config(data, tmp_path / "run", lr_start=0.0, lr_max=0.0, weight_decay=0.0,
                         epochs=1, initial_weights=str(start), **NO_RANDOMNESS)  # fmt: skip
    result = train(config)  # with a learning rate of 0, so nothing moves
    kept, given = (model.get_layer("shiftvit").get_weights() for model in
                   (result.model, plain.result.model))  # fmt: skip
    given = [w for w in given if w.dtype == np.float32]
    kept = [w for w in kept if w.dtype == np.float32]
    for ours, theirs in zip(kept, given, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert result.metrics["val_top1"] == plain.result.metrics["val_top1"]


@pytest.mark.backend_free
@pytest.mark.parametrize("form", ["folder", "model"])
@pytest.mark.parametrize("change", [{"seed": 1}, {"validation_size": 15}])
def test_weights_are_not_validated_on_what_they_were_trained_on(
    drawn_split, tmp_path, no_fit, change, form
):
    source, data = drawn_split
    start = str(source.path if form == "folder" else source.model_path)
    config = tiny_config(data, tmp_path / "second", initial_weights=start, **change)
    with pytest.raises(ValueError, match=r"trained on .*seed=0 and validation_size=None.*two here"):
        train(config)
    assert not (tmp_path / "second").exists()


@pytest.mark.backend_free
def test_a_seed_that_splits_nothing_may_be_another(plain, data, tmp_path):
    """The file brings its three splits, so no other image is held back."""
    start = plain.result.run.path
    result = train(tiny_config(data, tmp_path / "run", epochs=1, seed=1, initial_weights=start))
    assert result.run.is_complete


def test_a_run_in_another_image_size(plain, data, tmp_path):
    """Its images, its network, what it saves; and from weights of the same images in their size."""
    start = plain.result.run.path
    settings = {"image_size": 16, "augmentation": "none", "initial_weights": start}
    result = train(tiny_config(data, tmp_path / "run", epochs=1, **settings))
    assert result.dataset.image_shape == (16, 16, 3)
    assert result.model.input_shape[1:] == (16, 16, 3)
    assert result.model.get_layer("shiftvit").input_shape[1:] == (16, 16, 3)
    assert result.run.read_config()["image_size"] == [16, 16]
    with pytest.raises(ValueError, match=r"Cannot resume .*image_size"):
        train(tiny_config(data, tmp_path / "run", epochs=1, resume=True))


@pytest.mark.backend_free
@pytest.mark.training
def test_images_that_are_larger_than_the_network_are_fitted_as_they_are_loaded(data, tmp_path):
    """Cropped and resized by `fit_image`, as `Classifier` does, not by the network."""
    rng = np.random.default_rng(0)
    for rows, columns in ((20, 20), (8, 6)):
        images = rng.integers(0, 256, (60, rows, columns, 3)).astype(np.uint8)
        path = tmp_path / f"{columns}.npz"
        np.savez(path, x_train=images, y_train=np.arange(60) % 6)
        config = tiny_config(str(path), tmp_path / f"run-{columns}", epochs=1)
        result = train(config)
        assert result.dataset.image_shape == (8, 8, 3)
        assert result.run.read_config()["image_size"] == [8, 8]
        fitted = {fit_image(image, (8, 8)).tobytes() for image in images}
        assert {image.tobytes() for image in result.dataset.x_train} <= fitted
        again = train(dataclasses.replace(config, resume=True))
        assert again.metrics == result.metrics


@pytest.mark.backend_free
def test_weights_in_another_image_size_are_not_validated_on_what_they_were_trained_on(
    drawn_split, tmp_path, no_fit
):
    run, data = drawn_split
    config = tiny_config(data, tmp_path / "new", initial_weights=run.path, seed=1, image_size=16)
    with pytest.raises(ValueError, match=r"trained on .*seed=0"):
        train(config)


@pytest.mark.backend_free
@pytest.mark.parametrize("image_size", [None, 8, 16])
def test_no_image_size_hides_another_copys_split(reordered_copy, tmp_path, no_fit, image_size):
    run, copy = reordered_copy
    with pytest.raises(ValueError, match=r"on another copy .*would be among those trained on"):
        train(tiny_config(copy, tmp_path / "new", initial_weights=run.path, image_size=image_size))


@pytest.mark.backend_free
def test_images_that_cannot_be_had_in_the_size_of_the_weights_are_others(plain, tmp_path):
    """Of two sizes, so that they need an `image_size`, which the weights' run had not."""
    rng = np.random.default_rng(0)
    labels = np.arange(48) % NUM_CLASSES
    arrays = {"x_train": rng.integers(0, 256, (48, 8, 8, 3), "uint8"), "y_train": labels}
    arrays |= {"x_test": rng.integers(0, 256, (48, 9, 9, 3), "uint8"), "y_test": labels}
    np.savez(tmp_path / "photos.npz", **arrays)
    settings = {"image_size": 8, "epochs": 1, "initial_weights": plain.result.run.path}
    result = train(tiny_config(str(tmp_path / "photos.npz"), tmp_path / "run", **settings))
    assert result.run.is_complete


@pytest.mark.backend_free
def test_a_run_goes_on_without_the_weights_it_began_with(plain, data, tmp_path, monkeypatch):
    first = tmp_path / "first"
    shutil.copytree(plain.result.run.path, first)
    settings = {"epochs": 2, "initial_weights": str(first)}

    begin = EpochEnd.on_epoch_begin

    def begin_or_stop(self, epoch, logs=None):
        begin(self, epoch, logs)
        if epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(EpochEnd, "on_epoch_begin", begin_or_stop)
        with pytest.raises(KeyboardInterrupt):
            train(tiny_config(data, tmp_path / "run", **settings))
    shutil.rmtree(first)
    result = train(tiny_config(data, tmp_path / "run", resume=True, **settings))
    assert len(result.history) == 2
    assert [before["dataset"] for before in result.run.read_config()["ancestors"]] == [data]
    with pytest.raises(FileNotFoundError, match="no such file"):
        train(tiny_config(data, tmp_path / "another", **settings))


@pytest.mark.backend_free
@pytest.mark.parametrize("settings", [{"limit_train": 40}, {"image_size": 16}])
def test_no_subset_or_size_hides_a_copy_under_another_path(
    drawn_split, tmp_path, monkeypatch, settings
):
    _, data = drawn_split
    first = train(tiny_config(data, tmp_path / "first", epochs=1, **settings)).run
    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("training started"))
    other = shutil.copy(data, tmp_path / "other.npz")
    with pytest.raises(ValueError, match=r"trained on .*seed=0"):
        train(tiny_config(other, tmp_path / "new", initial_weights=first.path, seed=1))


@pytest.mark.backend_free
def test_a_record_without_its_test_images_asks_for_the_seed(plain, data, tmp_path, no_fit):
    """Of an older version: the same validation images do not say which were tested on."""
    run = RunFolder(tmp_path / "old")
    shutil.copytree(plain.result.run.path, run.path)
    config = run.read_config()
    run.write_json(
        run.config_path, {k: config[k] for k in config if k not in ("test_id", "data_id")}
    )
    with pytest.raises(ValueError, match=r"trained on .*seed=0"):
        train(tiny_config(data, tmp_path / "new", initial_weights=run.path, seed=1))


@pytest.mark.backend_free
def test_who_starts_from_a_run_that_started_from_shipped_weights_hears_of_their_network(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"x": rng.integers(0, 256, (40, 8, 8, 3), "uint8"), "y": np.arange(40) % 4}
    data = tmp_path / "small.npz"
    np.savez(data, **{f"{k}_{split}": v for split in ("train", "test") for k, v in arrays.items()})
    settings = {"dataset": str(data), "preset": "nano", "epochs": 1, "jit": False}
    first = train(TrainConfig(**settings, run_dir=tmp_path / "a", initial_weights="cifar10")).run
    network = first.read_config()["network"]
    assert network == {"normalization": "batch"}
    assert build_classifier("nano", 4, weights=first.path, **network).count_params() > 900_000
    with pytest.raises(ValueError, match=r"network=\{'normalization': 'batch'\}"):
        build_classifier("nano", 4, weights=first.path)


def test_train_takes_a_configuration():
    with pytest.raises(TypeError, match=r"train takes a TrainConfig, got \{'epochs': 3\}"):
        train({"epochs": 3})


@pytest.fixture(scope="module")
def drawn(data, tmp_path_factory):
    """A folder with the data and the run of `drawn_split`, trained once for all its copies."""
    folder = tmp_path_factory.mktemp("drawn")
    with np.load(data) as file:
        arrays = {name: file[name] for name in file if "val" not in name}
    np.savez(folder / "copy.npz", **arrays)
    train(tiny_config(folder / "copy.npz", folder / "run", epochs=1))
    return folder


@pytest.fixture
def drawn_split(drawn, tmp_path):
    """A run, and its data, which leave the validation images to the seed."""
    copy = Path(shutil.copy(drawn / "copy.npz", tmp_path))
    run = RunFolder(shutil.copytree(drawn / "run", tmp_path / "run"))
    # As if it had been trained here: `dataset_path` is seen from the run, and so is right already.
    here = {"dataset": str(copy), "run_dir": str(run.path)}
    run.write_json(run.config_path, run.read_config() | here)
    return run, copy


@pytest.mark.backend_free
def test_weights_are_not_tested_on_what_they_were_trained_on(data, tmp_path, monkeypatch):
    """The same validation images, but the test is drawn: in another order, others are."""
    copy = tmp_path / "copy.npz"
    with np.load(data) as file:
        arrays = {name: file[name] for name in file if "test" not in name}
    np.savez(copy, **arrays)
    run = train(tiny_config(copy, tmp_path / "run", epochs=1)).run
    order = np.random.default_rng(0).permutation(len(arrays["y_train"]))
    reordered = {name: arrays[name][order] for name in ("x_train", "y_train")}
    np.savez(copy, **arrays | reordered)
    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("training started"))
    with pytest.raises(ValueError, match=r"to test on in this copy .*among those trained on"):
        train(tiny_config(copy, tmp_path / "second", initial_weights=run.path))
    run.metrics_path.unlink()
    with pytest.raises(ValueError, match=r"Cannot resume .*holds back others"):
        train(tiny_config(copy, run.path, epochs=1, resume=True))


@pytest.fixture
def reordered_copy(drawn_split):
    """A run and its data, which have since come in another order."""
    run, copy = drawn_split
    with np.load(copy) as file:
        arrays = dict(file)
    order = np.random.default_rng(0).permutation(len(arrays["y_train"]))
    reordered = {name: arrays[name][order] for name in ("x_train", "y_train")}
    np.savez(copy, **arrays | reordered)  # the same images; the same seed holds back others
    return run, copy


@pytest.mark.backend_free
def test_weights_are_not_validated_on_another_copys_split(reordered_copy, tmp_path, no_fit):
    run, copy = reordered_copy
    for start in (run.path, run.model_path):
        with pytest.raises(ValueError, match=r"on another copy .*would be among those trained on"):
            train(tiny_config(copy, tmp_path / "second", initial_weights=start))
    assert not (tmp_path / "second").exists()


@pytest.mark.backend_free
def test_no_spelling_and_no_detour_hides_what_weights_were_trained_on(
    drawn_split, tmp_path, no_fit, monkeypatch
):
    """The same file by another path, or a copy; and a run on other data between the two."""
    run, data = drawn_split
    start, others = run.path, tmp_path / "others.npz"
    with np.load(data) as file:
        np.savez(others, **dict(file) | {"x_train": 255 - file["x_train"]})
    shutil.copy(data, tmp_path / "the_same.npz")
    monkeypatch.chdir(Path(data).parent)
    name = Path(data).name
    for spelling in (name, f"./{name}", str(Path(data).resolve()), "the_same.npz"):
        with pytest.raises(ValueError, match=r"trained on .*seed=0"):
            train(tiny_config(spelling, tmp_path / "new", initial_weights=start, seed=1))
    # A path that meant the data in the folder where the run began, and not in this one.
    run.write_json(run.config_path, run.read_config() | {"dataset": "elsewhere.npz"})
    with pytest.raises(ValueError, match=r"trained on .*seed=0"):
        train(tiny_config(data, tmp_path / "new", initial_weights=start, seed=1))
    between = RunFolder(tmp_path / "between")
    settings = dataclasses.asdict(tiny_config(str(others), between.path))
    first = {"dataset": str(data), "seed": 0, "validation_size": None, "validation_id": None}
    between.path.mkdir()
    between.write_json(between.config_path, settings | {"ancestors": [first]})
    with pytest.raises(ValueError, match=r"trained on .*seed=0"):
        train(tiny_config(data, tmp_path / "new", initial_weights=between.path, seed=1))
    assert not (tmp_path / "new").exists()


@pytest.mark.backend_free
def test_a_relative_path_means_what_it_meant_to_the_run(drawn_split, tmp_path, monkeypatch):
    """Wherever the run that starts from it is started."""
    run, data = drawn_split
    run.write_json(run.config_path, run.read_config() | {"dataset": data.name})
    with np.load(data) as file:
        arrays = dict(file)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    others = {name: 255 - values if name[0] == "x" else values for name, values in arrays.items()}
    np.savez(elsewhere / data.name, **others)
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(
        keras.Model, "fit", lambda *_, **__: (_ for _ in ()).throw(TrainingWouldStartError)
    )
    with pytest.raises(TrainingWouldStartError):
        train(tiny_config(data.name, tmp_path / "new", initial_weights=run.path, seed=1))
    grown = {name: np.concatenate([values, values[:1]]) for name, values in arrays.items()}
    np.savez(data, **grown)
    with pytest.raises(ValueError, match=r"trained on .*seed=0"):
        train(tiny_config(str(data), tmp_path / "other", initial_weights=run.path, seed=1))


@pytest.mark.backend_free
def test_a_run_notes_its_ancestors(plain, data, tmp_path):
    others = tmp_path / "others.npz"
    shutil.copy(data, others)
    quick = {"epochs": 1, **NO_RANDOMNESS}
    second = train(
        tiny_config(str(others), tmp_path / "2", initial_weights=plain.result.run.path, **quick)
    ).run
    third = train(
        tiny_config(str(others), tmp_path / "3", initial_weights=second.model_path, **quick)
    ).run
    names = [Path(one["dataset"]).name for one in third.read_config()["ancestors"]]
    assert names == ["others.npz", Path(data).name]
    assert third.read_config()["ancestors"][0]["validation_id"] is not None
    assert plain.result.run.read_config()["ancestors"] == []


@pytest.mark.backend_free
def test_a_run_does_not_resume_on_another_copys_split(reordered_copy, no_fit):
    run, copy = reordered_copy
    run.metrics_path.unlink()
    with pytest.raises(ValueError, match=r"Cannot resume .*holds back others"):
        train(tiny_config(copy, run.path, epochs=1, resume=True))


def test_a_run_of_before_splits_were_recorded_resumes(plain, data, tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "run")
    shutil.copytree(plain.result.run.path, run.path)
    run.metrics_path.unlink()
    settings = json.loads(run.config_path.read_text())
    assert [len(settings.pop(name)) for name in DATA_IDS] == [16, 16, 16]
    assert settings.pop("ancestors") == []
    assert (run.path / settings.pop("dataset_path")).resolve() == Path(data).resolve()
    run.config_path.write_text(json.dumps(settings))
    monkeypatch.setattr(
        keras.Model, "fit", lambda *_, **__: (_ for _ in ()).throw(TrainingWouldStartError)
    )
    train(TrainConfig(**settings | {"run_dir": str(run.path), "resume": True}))  # nothing to do
    assert run.is_complete

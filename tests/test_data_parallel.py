"""Training on two devices, which here are two halves of one CPU, against training on one.

How many devices there are is settled when a backend starts, so these runs have their own processes.
PyTorch has no such training in Keras, and says so.
"""

import json
import os

import keras
import numpy as np
import pytest
from tiny_run import (
    NO_RANDOMNESS,
    make_devices,
    prepared,
    process_maker,
    settle,
    start,
    tiny_config,
)

from shiftvit_utils.callbacks import EpochStart, set_random_state
from shiftvit_utils.run_folder import RunFolder
from shiftvit_utils.saving import load_model
from shiftvit_utils.training import train

BACKEND = keras.backend.backend()
MEASURED = ("loss", "top1", "top5", "val_loss", "val_top1", "val_top5", "learning_rate")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    with prepared(tmp_path_factory.mktemp("data")) as path:
        yield path


def run_on_two(config, log):
    """Runs `config` in a process with two devices; returns its exit code and its output."""
    process = start(config, log, devices=2)
    process.join(timeout=300)
    return process.exitcode, log.read_text()


def train_and_look(config, log, seen):
    """Trains on two devices; writes down on how many the weights lie, as JAX tells.

    Or, as only TensorFlow has its own for each, the random states and draws of each device.
    """
    with open(log, "ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    make_devices(2)
    settle(config.dataset)
    places, states = [], []
    on_epoch_begin = EpochStart.on_epoch_begin

    def look(self, epoch, logs=None):
        on_epoch_begin(self, epoch, logs)
        if BACKEND == "jax":
            places.append(len(self.model.trainable_variables[0].value.sharding.device_set))
            return
        for variable in self.model.non_trainable_variables:
            if variable.name == "seed_generator_state":
                states.append([copy.numpy().tolist() for copy in variable.value.values])

    EpochStart.on_epoch_begin = look
    train(config)
    if BACKEND == "jax":  # which draws for the whole batch at once
        seen.write_text(json.dumps({"places": places}))
        return
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        generator = keras.random.SeedGenerator(0)
    set_random_state(generator.state, np.random.default_rng(0))
    drawn = strategy.run(lambda: keras.random.uniform((4,), seed=generator))
    draws = [x.numpy().tolist() for x in strategy.experimental_local_results(drawn)]
    seen.write_text(json.dumps({"states": states, "draws": draws}))


SETTINGS = {"epochs": 2, "ema_momentum": 0.75, **NO_RANDOMNESS}


if BACKEND == "torch":

    def test_pytorch_is_told_which_backends_can(data, tmp_path, monkeypatch):
        monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("training started"))
        with pytest.raises(ValueError, match=r"data_parallel needs the TensorFlow or JAX.*KERAS_"):
            train(tiny_config(data, tmp_path / "run", data_parallel=True))
        assert not (tmp_path / "run").exists()

else:

    @pytest.mark.training
    def test_two_devices_train_the_same_network(data, tmp_path):
        """With what makes them compile by default, and averaged weights."""
        one = train(tiny_config(data, tmp_path / "one", **SETTINGS))
        config = tiny_config(data, tmp_path / "two", data_parallel=True, jit="auto", **SETTINGS)
        code, output = run_on_two(config, tmp_path / "log")
        assert code == 0, output[-3000:]
        assert ", 2 device(s), " in output
        run = RunFolder(config.run_dir)
        np.testing.assert_allclose(
            [[row[name] for name in MEASURED] for row in run.read_history()],
            [[row[name] for name in MEASURED] for row in one.history],
            rtol=1e-4,
            atol=1e-5,
        )
        metrics = run.read_metrics()
        for name in ("test_loss", "test_top1", "test_top5", "val_loss", "val_top1", "val_top5"):
            assert metrics[name] == pytest.approx(one.metrics[name], abs=1e-4)
        # The model can be used where there is one device.
        model, _ = load_model(run.model_path)
        for found, expected in zip(model.get_weights(), one.model.get_weights(), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)

    @pytest.mark.training
    def test_batch_that_cannot_be_shared_out_is_named(data, tmp_path):
        config = tiny_config(data, tmp_path / "run", data_parallel=True, **SETTINGS, batch_size=7)
        code, output = run_on_two(config, tmp_path / "log")
        assert code == 1
        assert "ValueError: batch_size=7 is not divisible by the 2 devices" in output
        assert not (tmp_path / "run").exists()

    @pytest.mark.training
    def test_two_devices_train_with_random_numbers_of_their_own(data, tmp_path):
        """With all that is random by default, and a state saved within an epoch."""
        random = {"epochs": 1, "augmentation": "light", "save_every_steps": 3}
        config = tiny_config(data, tmp_path / "run", data_parallel=True, jit="auto", **random)
        arguments = (config, tmp_path / "log", tmp_path / "seen")
        process = process_maker().Process(target=train_and_look, args=arguments)
        process.start()
        process.join(timeout=300)
        assert process.exitcode == 0, (tmp_path / "log").read_text()[-3000:]
        assert RunFolder(config.run_dir).is_complete
        seen = json.loads((tmp_path / "seen").read_text())
        if BACKEND == "jax":
            assert set(seen["places"]) == {2}
        else:
            assert seen["states"]
            for one, other in [*seen["states"], seen["draws"]]:
                assert one != other

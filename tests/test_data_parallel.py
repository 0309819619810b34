"""Training on two devices, which here are two halves of one CPU, against training on one.

How many devices there are is settled when a backend starts, so these runs have their own processes.
PyTorch has no such training in Keras, and says so.
"""

import keras
import numpy as np
import pytest
from tiny_run import NO_RANDOMNESS, prepared, start, tiny_config

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


def settings(**more):
    return {"epochs": 2, **NO_RANDOMNESS, **more}


if BACKEND == "torch":

    def test_pytorch_is_told_which_backends_can(data, tmp_path, monkeypatch):
        monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("training started"))
        with pytest.raises(ValueError, match=r"data_parallel needs the TensorFlow or JAX.*KERAS_"):
            train(tiny_config(data, tmp_path / "run", data_parallel=True))
        assert not (tmp_path / "run").exists()

else:

    @pytest.fixture(scope="module")
    def one_device(data, tmp_path_factory):
        return train(tiny_config(data, tmp_path_factory.mktemp("one") / "run", **settings()))

    @pytest.mark.training
    @pytest.mark.parametrize(
        "more",
        [{}, {"jit": "auto", "ema_momentum": 0.75}],
        ids=["plain", "compiled-and-averaged"],
    )
    def test_two_devices_train_the_same_network(data, one_device, tmp_path, more):
        config = tiny_config(data, tmp_path / "run", data_parallel=True, **settings(**more))
        code, output = run_on_two(config, tmp_path / "log")
        assert code == 0, output[-3000:]
        assert ", 2 device(s), " in output
        run = RunFolder(config.run_dir)
        names = [name for name in MEASURED if "val" not in name or "ema_momentum" not in more]
        np.testing.assert_allclose(
            [[row[name] for name in names] for row in run.read_history()],
            [[row[name] for name in names] for row in one_device.history],
            rtol=1e-4,
            atol=1e-5,
        )
        # The model can be used where there is one device.
        model, _ = load_model(run.model_path)
        dataset = one_device.dataset
        ranks = np.argsort(-model.predict(dataset.x_test, verbose=0), axis=1)
        found = (ranks[:, 0] == dataset.y_test).mean()
        assert run.read_metrics()["test_top1"] == pytest.approx(found, abs=1e-6)

    @pytest.mark.training
    def test_batch_that_cannot_be_shared_out_is_named(data, tmp_path):
        config = tiny_config(data, tmp_path / "run", data_parallel=True, **settings(batch_size=7))
        code, output = run_on_two(config, tmp_path / "log")
        assert code == 1
        assert "ValueError: batch_size=7 is not divisible by the 2 devices" in output
        assert not (tmp_path / "run").exists()

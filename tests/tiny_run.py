"""The smallest run that has everything, and processes to train it in that die when told to.

It holds no tests. `tiny_config` describes a run of seconds: six classes of 8x8 images and a network
of two blocks. `start` runs one in a process of its own; a `Kill` says where that process ends, by
the same SIGKILL that a machine out of memory would send.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import time
from pathlib import Path

import keras
import numpy as np

from shiftvit_utils import saving
from shiftvit_utils.callbacks import EpochEnd, TrainingBatches
from shiftvit_utils.config import TrainConfig
from shiftvit_utils.presets import PRESETS
from shiftvit_utils.training import train

NUM_CLASSES = 6
NUM_TRAIN = 60
BATCH_SIZE = 8
STEPS_PER_EPOCH = 7  # and 4 of the 60 images left over
TINY_PRESET = {
    "image_shape": (8, 8, 3),
    "num_classes": NUM_CLASSES,
    "patch_size": 4,
    "projected_dim": 12,
    "num_shift_blocks_per_stages": (2,),
    "mlp_expand_ratio": 1,
}
# What costs least here: XLA's compilation takes longer than all these steps on TensorFlow, and
# JAX is far slower without it.
FAST_JIT = keras.backend.backend() == "jax"
NO_RANDOMNESS = {"augmentation": "none", "mlp_dropout_rate": 0.0, "stochastic_depth_rate": 0.0}


def write_data(path):
    """Six classes that differ in brightness, under noise that makes them hard to tell apart."""
    rng = np.random.default_rng(7)
    arrays = {}
    for split, count in (("train", NUM_TRAIN), ("val", 24), ("test", 30)):
        labels = np.arange(count) % NUM_CLASSES
        noise = rng.integers(0, 120, (count, 8, 8, 3))
        arrays[f"x_{split}"] = (noise + 25 * labels[:, None, None, None]).astype(np.uint8)
        arrays[f"y_{split}"] = labels
    np.savez(path, **arrays)
    return str(path)


def tiny_config(data, run_dir, **settings):
    """A run of three epochs, 21 steps, with augmentation, dropout and drop path."""
    defaults = {
        "preset": "tiny",
        "epochs": 3,
        "batch_size": BATCH_SIZE,
        "lr_max": 0.01,
        "mlp_dropout_rate": 0.1,
        "stochastic_depth_rate": 0.1,
        "jit": FAST_JIT,
    }
    return TrainConfig(dataset=data, run_dir=str(run_dir), **{**defaults, **settings})


@contextlib.contextmanager
def prepared(folder):
    """Writes the data and adds the preset `tiny`; yields the path of the data."""
    data = write_data(folder / "tiny.npz")
    settle(data)
    yield data
    del PRESETS["tiny"]


def settle(data):
    """Adds the preset `tiny` and lets JAX keep, beside the data, what it compiles.

    Most of these runs compile the same programs, and several in a process of their own.
    """
    PRESETS["tiny"] = TINY_PRESET
    if keras.backend.backend() == "jax":
        import jax
        from jax.experimental.compilation_cache import compilation_cache

        jax.config.update("jax_compilation_cache_dir", str(Path(data).parents[1] / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
        compilation_cache.reset_cache()  # it looks at the settings only once


@dataclasses.dataclass(frozen=True)
class Kill:
    """Where a process kills itself.

    Args:
        file: kill when a file of this name has been written in part (`half`) or wholly, and is
            about to take the place of the one before.
        count: at the how-manieth time.
        half: whether half of the file is missing.
        epoch, step: kill after this step (from 1) of this epoch (from 0).
    """

    file: str | None = None
    count: int = 1
    half: bool = False
    epoch: int | None = None
    step: int | None = None


def kill_me():
    os.kill(os.getpid(), signal.SIGKILL)


def arm(kill):
    """Patches the process so that it dies where `kill` says."""
    replace, on_train_batch_end = os.replace, EpochEnd.on_train_batch_end
    seen = []

    def replace_or_die(source, target):
        if os.path.basename(target) == kill.file:
            seen.append(target)
            if len(seen) == kill.count:
                if kill.half:
                    os.truncate(source, os.path.getsize(source) // 2)
                kill_me()
        replace(source, target)

    def end_step_or_die(self, batch, logs=None):
        on_train_batch_end(self, batch, logs)
        if (self.epoch, self.first_step + batch + 1) == (kill.epoch, kill.step):
            kill_me()

    saving.os.replace = replace_or_die
    EpochEnd.on_train_batch_end = end_step_or_die


def slow_down(seconds):
    """Makes each batch take longer, so that another process can aim at it."""
    get_item = TrainingBatches.__getitem__

    def slow_get_item(self, index):
        time.sleep(seconds)
        return get_item(self, index)

    TrainingBatches.__getitem__ = slow_get_item


def train_in_child(config, log, kill, seconds_per_batch, devices):
    with open(log, "ab", buffering=0) as file:  # the parent reads it if something goes wrong
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if devices > 1:
        make_devices(devices)
    if kill is not None:
        arm(kill)
    if seconds_per_batch:
        slow_down(seconds_per_batch)
    settle(config.dataset)
    train(config)


def make_devices(count):
    """Splits the CPU into several devices; possible only before the backend has started."""
    if keras.backend.backend() == "jax":
        os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={count}"
    else:
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        configuration = tf.config.LogicalDeviceConfiguration()
        tf.config.set_logical_device_configuration(cpu, [configuration] * count)


def start(config, log, kill=None, seconds_per_batch=0.0, devices=1):
    """Starts a process that trains; its output goes to the file `log`."""
    process = process_maker().Process(
        target=train_in_child, args=(config, log, kill, seconds_per_batch, devices)
    )
    process.start()
    return process


def process_maker():
    """The context of `multiprocessing` that such processes come from.

    A fork server imports the libraries once, before any of them starts a thread or a device, and
    each process starts from there in milliseconds.
    """
    context = multiprocessing.get_context("forkserver")
    # Keras imports TensorFlow on every backend, where it is installed, to seed it.
    context.set_forkserver_preload(["shiftvit_utils.training", "tensorflow"])
    return context

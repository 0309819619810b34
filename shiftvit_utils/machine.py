"""What a run ran on: backend, device and versions, for the log and for `metrics.json`."""

import importlib
import os
import platform

import keras


def describe_device(num_devices=1):
    """The device that the backend computes on, as in "NVIDIA H200" or "CPU (AMD EPYC, 2 cores)".

    Args:
        num_devices: int, on how many of its kind; more than one only with `data_parallel`.

    Returns:
        str; with several GPUs as in "2 x NVIDIA H200".
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        names = [
            tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus
        ]
    elif backend == "jax":
        import jax

        names = [device.device_kind for device in jax.devices() if device.platform != "cpu"]
    else:
        import torch

        # Which one Keras took: on a Mac it is none of CUDA's, and its user may have chosen another.
        device = keras.ops.zeros(()).device
        names = []
        if device.type == "cuda":
            names = [torch.cuda.get_device_name(device)]
        elif device.type != "cpu":
            names = [f"{device.type} ({_cpu_name()})"]
    if names:
        return names[0] if num_devices == 1 else f"{num_devices} x {names[0]}"
    return f"CPU ({_cpu_name()}, {os.cpu_count()} cores)"


def versions():
    """Versions of Python, Keras, NumPy, this package and the backend, by name."""
    # Of the modules, not of what they were installed as: tensorflow-cpu is a tensorflow, too.
    names = ("keras", "numpy", keras.backend.backend())
    found = {name: importlib.import_module(name).__version__ for name in names}
    from shiftvit_utils import __version__

    return {"python": platform.python_version(), "shiftvit_utils": __version__, **found}


def _cpu_name():
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux: the platform module knows it there
    return platform.processor() or platform.machine()

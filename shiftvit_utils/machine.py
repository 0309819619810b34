"""What a run ran on: backend, device and versions, for the log and for `metrics.json`."""

import importlib
import os
import platform

import keras


def describe_device():
    """The device that the backend computes on, as in "NVIDIA H200" or "CPU (AMD EPYC, 2 cores)"."""
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

        names = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    if names:
        return names[0] if len(names) == 1 else f"{len(names)} x {names[0]}"
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

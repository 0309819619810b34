"""What a run says it ran on, against what the system and the installed packages say themselves."""

import importlib.metadata
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import keras

from shiftvit_utils import machine


def test_versions_are_the_installed_ones():
    backend = keras.backend.backend()
    found = machine.versions()
    assert list(found) == ["python", "shiftvit_utils", "keras", "numpy", backend]
    for package in ("keras", "numpy", backend):
        assert found[package] == importlib.metadata.version(package)
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))


def test_version_of_this_package_is_that_of_pyproject():
    pyproject = (Path(__file__).resolve().parents[1] / "pyproject.toml").read_text()
    assert f'\nversion = "{machine.versions()["shiftvit_utils"]}"\n' in pyproject


def accelerators():
    """The names that the backend itself gives to what is not a CPU."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        details = tf.config.experimental.get_device_details
        return [details(gpu)["device_name"] for gpu in tf.config.list_physical_devices("GPU")]
    if keras.backend.backend() == "jax":
        import jax

        return [device.device_kind for device in jax.devices() if device.platform != "cpu"]
    import torch

    device = keras.ops.zeros(()).device.type
    return [] if device == "cpu" else [torch.cuda.get_device_name() if device == "cuda" else device]


def test_device_is_the_accelerator_or_else_the_cpu():
    described = machine.describe_device()
    if found := accelerators():
        assert described == found[0] or described.startswith(f"{found[0]} (")
    else:
        assert described.startswith("CPU (")
        assert described.endswith(f", {os.cpu_count()} cores)")


def test_accelerators_are_counted_that_are_used(monkeypatch):
    """Three pretended GPUs; the backend's own listing is replaced, not ours."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [object()] * 3)
        monkeypatch.setattr(
            tf.config.experimental, "get_device_details", lambda gpu: {"device_name": "Big GPU"}
        )
    elif keras.backend.backend() == "jax":
        import jax

        class Device:
            platform, device_kind = "gpu", "Big GPU"

        monkeypatch.setattr(jax, "devices", lambda: [Device()] * 3)
    else:
        import torch

        # Four pretended ones, of which Keras took the last but one.
        chosen = SimpleNamespace(device=torch.device("cuda", 2))
        monkeypatch.setattr(keras.ops, "zeros", lambda shape: chosen)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
        names = {torch.device("cuda", k): f"GPU {k}" for k in range(4)}
        names[chosen.device] = "Big GPU"
        monkeypatch.setattr(torch.cuda, "get_device_name", names.get)
    assert machine.describe_device() == "Big GPU"
    assert machine.describe_device(3) == "3 x Big GPU"


if keras.backend.backend() == "torch":

    def test_an_accelerator_that_keras_did_not_take_is_not_named(monkeypatch):
        import torch

        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "Big GPU")
        # As with KERAS_TORCH_DEVICE=cpu.
        monkeypatch.setattr(keras.ops, "zeros", lambda shape: torch.zeros(shape, device="cpu"))
        assert machine.describe_device().startswith("CPU (")
        # As on a Mac. "meta" is a device that every machine has.
        monkeypatch.setattr(keras.ops, "zeros", lambda shape: torch.zeros(shape, device="meta"))
        assert machine.describe_device().startswith("meta (")

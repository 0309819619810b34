"""What the benchmarks share that compare backends. Keras has one a process: each gets its own."""

import importlib.util
import json
import os
import subprocess
import sys

BACKENDS = ("tensorflow", "jax", "torch")
_MARK = "RESULT"


def installed(backends=BACKENDS):
    """Those of some backends that are installed."""
    return [name for name in backends if importlib.util.find_spec(name)]


def environment(backend):
    """The environment of a process that computes on a backend."""
    return {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}


def send(result):
    """Called in such a process: hands a result to the process that started it."""
    print(_MARK, json.dumps(result), flush=True)


def received(lines):
    """The next result among the lines of such a process; `None` if it ended without one."""
    for line in lines:
        if line.startswith(_MARK):
            return json.loads(line.removeprefix(_MARK))
    return None


def send_with_device(result):
    """Called in such a process: `send`, and what the backend computed it on."""
    from shiftvit_utils.machine import describe_device

    send({"device": describe_device(), "result": result})


def on_each_backend(backends=BACKENDS):
    """Runs the script that was started again, with `--worker`, on each installed backend.

    Returns:
        `(device, results)`: what it ran on, str; what each run sent, by backend.
    """
    devices, results = [], {}
    for backend in installed(backends):
        worker = subprocess.run(
            [sys.executable, *sys.argv, "--worker"],
            env=environment(backend),
            capture_output=True,
            text=True,
        )
        sent = received(worker.stdout.splitlines())
        if worker.returncode or sent is None:
            sys.exit(f"{backend} failed:\n{worker.stderr}")
        devices.append(sent["device"])
        results[backend] = sent["result"]
    if not results:
        sys.exit(f"None of {', '.join(backends)} is installed here.")
    return all_of(devices), results


def all_of(devices):
    """The names of some devices, each once."""
    return ", ".join(dict.fromkeys(devices))

"""What the start of a backend writes: information goes, everything else stays."""

import importlib.util
import os
import subprocess
import sys

import pytest

from shiftvit_utils.quiet_start import without_information_lines

pytestmark = pytest.mark.backend_free


def test_only_information_is_dropped(capfd):
    with without_information_lines():
        os.write(2, b"I0000 00:00:1 port.cc:153] oneDNN is on.\nE0000 real error\nplain line\n")
    assert capfd.readouterr().err == "E0000 real error\nplain line\n"


def test_nothing_is_lost_when_the_import_fails(capfd):
    with pytest.raises(ImportError), without_information_lines():  # noqa: PT012
        os.write(2, b"why it failed\n")
        raise ImportError
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "why it failed\nafter\n"


@pytest.mark.parametrize(
    ("backend", "code"),
    [
        ("tensorflow", "import shiftvit_utils"),
        # Keras loads TensorFlow to seed it, whatever the backend.
        ("jax", "import shiftvit_utils as sv; sv.set_random_seed(0)"),
    ],
)
def test_starting_writes_nothing(backend, code):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"not installed: {backend}")
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_a_backend_that_is_missing_is_named_with_the_ways_out(backend):
    code = f"import sys; sys.modules['{backend}'] = None; import shiftvit_utils"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ModuleNotFoundError: Keras computes with {backend} here, which is not")
    assert f"pip install {backend}" in last
    assert "KERAS_BACKEND=" in last

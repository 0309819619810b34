"""The published example's own stack, as recorded, against this library on the present backend.

`make reference` records again, with the real TensorFlow Addons, and compares that too.
"""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from reference import compare

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def recording():
    return compare.read(compare.GOLDEN)


def test_the_recording_is_of_the_real_packages(recording):
    versions, settings, arrays = recording
    assert versions["tensorflow_addons"] == "0.23.0"
    assert versions["tensorflow"] == "2.15.1"
    assert versions["keras"] == "2.15.0"
    assert (settings["steps"], settings["weight_decay"]) == (200, 1e-4)
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_schedule_and_adamw_to_a_millionth(recording):
    _, settings, arrays = recording
    rows = list(compare.compare_training(arrays, settings))
    assert [row.item for row in rows] == ["learning rate", *(f"AdamW, {w}" for w in WEIGHTS)]
    assert all(row.bound <= 1e-6 for row in rows)
    assert not [row for row in rows if not row.is_within]


WEIGHTS = ("kernel", "bias", "scale")


@pytest.mark.backend_free  # the comparison with the right settings, above, runs on each
@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "times_lr"},
        {"mode": "times_lr", "weight_decay": 0.1},  # equal at the peak of the learning rate only
        {"weight_decay": 2e-4},
    ],
    ids=str,
)
def test_the_comparison_feels_the_meaning_of_weight_decay(recording, wrong):
    _, settings, arrays = recording
    weights = compare.adamw_path(arrays, settings, **wrong)
    for name in WEIGHTS:
        theirs = arrays[f"adamw/weight/{name}"]
        assert np.abs(weights[name] - theirs).max() / np.abs(theirs).max() > 1e-4


@pytest.mark.backend_free
def test_tfa_decays_biases_too(recording):
    _, settings, arrays = recording
    weights = compare.adamw_path(arrays, settings, decay_all=False)
    np.testing.assert_allclose(weights["kernel"], arrays["adamw/weight/kernel"], rtol=1e-5)
    undecayed = np.abs(weights["bias"] - arrays["adamw/weight/bias"]).max()
    # 200 steps of 1e-4 take about 2 % of a weight.
    assert undecayed == pytest.approx(0.02 * np.abs(weights["bias"]).max(), rel=0.2)


def test_layers_equal_those_of_keras_2(recording):
    rows = list(compare.compare_layers(recording[2]))
    assert {"layer norm", "mlp", "patch merging 3", "shift", "block"} <= {row.item for row in rows}
    assert not [row for row in rows if not row.is_within]


@pytest.mark.backend_free  # the comparison with the right layers, above, runs on each
@pytest.mark.parametrize("name", ["layer_norm", "mlp", "patch_merging_3", "shift", "block"])
def test_the_comparison_feels_a_wrong_layer(recording, name):
    arrays = dict(recording[2])
    arrays[f"layer/{name}/output"] = arrays[f"layer/{name}/output"] * (1 + 1e-4)
    beyond = [row.item for row in compare.compare_layers(arrays) if not row.is_within]
    assert beyond == [name.replace("_", " ")]


@pytest.mark.backend_free
def test_a_difference_fails_the_command(recording, tmp_path):
    versions, settings, arrays = recording
    arrays = {**arrays, "learning_rate": arrays["learning_rate"] + 1e-6}
    path = tmp_path / "other.npz"
    texts = {"versions": compare.json.dumps(versions), "settings": compare.json.dumps(settings)}
    np.savez(path, **texts, **arrays)
    run = subprocess.run(
        [sys.executable, compare.__file__, str(path)], capture_output=True, text=True, cwd=ROOT
    )
    assert run.returncode == 1
    assert "beyond its bound: learning rate, recording, learning_rate" in run.stderr


@pytest.mark.backend_free
def test_one_list_of_packages():
    requirements = (ROOT / "tests/reference/requirements.txt").read_text()
    for package in ("tensorflow-cpu==2.15.1", "keras==2.15.0", "tensorflow-addons==0.23.0"):
        assert re.search(rf"^{re.escape(package)}\b", requirements, re.M), package
    environment = yaml.safe_load((ROOT / "environment-reference.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert conda == ["python =3.11", "pip"]
    assert pip == {"pip": ["-r tests/reference/requirements.txt"]}
    assert (ROOT / pip["pip"][0].removeprefix("-r ")).is_file()


@pytest.mark.backend_free
def test_without_python_3_11_make_says_what_to_do(tmp_path):
    command = ["make", "-s", "-B", ".venv-reference/.installed", "REFERENCE_PYTHON=no-such-python"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert run.returncode
    assert "make reference REFERENCE_PYTHON=/path/to/python3.11" in run.stderr

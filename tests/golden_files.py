"""The golden files: weights, inputs, features and outputs of the authors' code.

`golden/official_*.npz` come from models/shiftvit.py of microsoft/SPACH, with PyTorch's names and
layouts (NCHW, OIHW).
"""

import json
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden"
NAMES = ["official_gn_gelu", "official_bn_relu"]


def load_golden(name):
    """Arguments for `load_official_checkpoint`, state dict, and the other arrays of a file."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    config = json.loads(str(arrays.pop("config")))
    prefix = "state_dict/"
    state = {
        key.removeprefix(prefix): arrays.pop(key) for key in list(arrays) if key.startswith(prefix)
    }
    arguments = {
        "num_div": config["n_div"],
        "image_shape": (config["img_size"], config["img_size"], 3),
        "activation": config["act_layer"].lower(),
    }
    return arguments, state, arrays


def channels_last(array):
    """NCHW -> NHWC."""
    return array.transpose(0, 2, 3, 1)

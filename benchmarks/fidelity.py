"""How far this library is from the authors' PyTorch code, per backend: `benchmarks/fidelity.py`.

Loads the authors' weights (`tests/golden/official_*.npz`) and compares the features of every stage
and the logits with what their code gave, in float32. A difference is the largest absolute one, as a
share of the largest value there. Each backend runs in a process of its own. Prints a table and
writes JSON.
"""

import argparse
import json
from pathlib import Path

from each_backend import on_each_backend, send_with_device

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
NETWORKS = {
    "official_gn_gelu": "group norm, GELU",
    "official_bn_relu": "batch norm, ReLU",
}
# Our layers, the authors' names for what they give, and the head of the table.
LAYERS = {
    "patch_embedding": ("feature/patch_embed", "patch embedding"),
    **{f"stage_{k}": (f"feature/layers.{k}", f"stage {k + 1}") for k in range(4)},
    "head": ("logits", "logits"),
}


def compare(name):
    """The difference after each of `LAYERS`, on the current backend."""
    import keras
    import numpy as np

    from shiftvit_utils import load_official_checkpoint

    path = GOLDEN / f"{name}.npz"
    with np.load(path) as file:
        config = json.loads(str(file["config"]))
        images = file["input"].transpose(0, 2, 3, 1)  # NCHW -> NHWC
        theirs = [file[key] for key, _ in LAYERS.values()]
    network = load_official_checkpoint(
        path,
        num_div=config["n_div"],
        image_shape=images.shape[1:],
        activation=config["act_layer"].lower(),
    )
    features = keras.Model(network.input, [network.get_layer(layer).output for layer in LAYERS])
    differences = {}
    for layer, a, b in zip(LAYERS, features.predict_on_batch(images), theirs, strict=True):
        b = b.transpose(0, 2, 3, 1) if b.ndim == 4 else b
        assert a.shape == b.shape, (layer, a.shape, b.shape)
        differences[layer] = float(np.abs(a - b).max() / np.abs(b).max())
    return differences


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        send_with_device({name: compare(name) for name in NETWORKS})
        return

    device, results = on_each_backend()
    print(f"largest difference from the authors' code, float32, {device}")
    print("| network | backend | " + " | ".join(head for _, head in LAYERS.values()) + " |")
    print("|---|---|" + "---|" * len(LAYERS))
    for name, title in NETWORKS.items():
        for backend, networks in results.items():
            numbers = " | ".join(f"{networks[name][layer]:.1e}" for layer in LAYERS)
            print(f"| {title} | {backend} | {numbers} |")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        content = {"device": device, "results": results}
        options.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()

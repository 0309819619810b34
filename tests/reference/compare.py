"""This library against what the published example's own stack computed: `compare.py results.npz`.

`record.py` wrote the file with the real TensorFlow Addons and Keras 2. Prints a table of the
largest differences and fails if one is above its bound. `golden/keras_2022.npz` is such a file, so
that the tests on every backend need no second environment.
"""

import json
import sys
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from shiftvit_utils import (
    MLP,
    PatchEmbedding,
    PatchMerging,
    Shift,
    ShiftViTBlock,
    build_optimizer,
    shift,
    warmup_cosine,
)
from shiftvit_utils.shift_variants import shift_by_crop_and_pad

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "keras_2022.npz"

# Of the largest value there. Float32 holds seven digits; AdamW adds up 200 steps.
TRAINING_BOUND = 1e-6
LAYER_BOUND = 1e-5


class Difference(NamedTuple):
    """Largest absolute difference, the same as a share of the largest value, and its bound."""

    item: str
    absolute: float
    relative: float
    bound: float

    @property
    def is_within(self):
        return self.relative <= self.bound


def difference(item, ours, theirs, bound):
    ours = ops.convert_to_numpy(ours)
    assert ours.shape == theirs.shape, f"{item}: {ours.shape} is not {theirs.shape}"
    absolute = float(np.abs(ours - theirs).max())
    return Difference(item, absolute, absolute / float(np.abs(theirs).max()), bound)


def read(path):
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files}
    return json.loads(str(arrays.pop("versions"))), json.loads(str(arrays.pop("settings"))), arrays


def adamw_path(arrays, settings, mode="constant", weight_decay=None, decay_all=True):
    """Our weights after each of the recorded steps: {name: (steps + 1, ...)}."""
    names = [key.removeprefix("adamw/weight/") for key in arrays if key.startswith("adamw/weight/")]
    variables = [
        keras.Variable(arrays[f"adamw/weight/{name}"][0], dtype="float32", name=name)
        for name in names
    ]
    schedule = _schedule(settings)
    weight_decay = settings["weight_decay"] if weight_decay is None else weight_decay
    optimizer = build_optimizer(schedule, weight_decay, mode, decay_all=decay_all)
    optimizer.build(variables)
    path = {name: [arrays[f"adamw/weight/{name}"][0]] for name in names}
    for step in range(settings["steps"]):
        gradients = [ops.convert_to_tensor(arrays[f"adamw/gradient/{n}"][step]) for n in names]
        optimizer.apply(gradients, variables)
        for name, variable in zip(names, variables, strict=True):
            path[name].append(np.array(ops.convert_to_numpy(variable)))
    return {name: np.stack(weights) for name, weights in path.items()}


def _schedule(settings):
    schedule = warmup_cosine(
        settings["lr_start"], settings["lr_max"], settings["warmup_steps"], settings["steps"]
    )
    return _Compiled(schedule) if keras.backend.backend() == "jax" else schedule


class _Compiled(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule as training has it. On its own, JAX compiles its `cond` anew at each step."""

    def __init__(self, schedule):
        import jax

        self.compiled = jax.jit(schedule)

    def __call__(self, step):
        return self.compiled(ops.convert_to_tensor(step))


def compare_training(arrays, settings):
    """The schedule, and 200 steps of AdamW on each weight."""
    schedule = _schedule(settings)
    rates = np.array([float(schedule(step)) for step in range(settings["steps"])])
    yield difference("learning rate", rates, arrays["learning_rate"], bound=TRAINING_BOUND)
    for name, weights in adamw_path(arrays, settings).items():
        yield difference(f"AdamW, {name}", weights, arrays[f"adamw/weight/{name}"], TRAINING_BOUND)


def compare_layers(arrays):
    """Each layer on the recorded input, with the recorded weights."""
    norm = keras.layers.LayerNormalization(epsilon=1e-5)
    layers = {
        "layer_norm": norm,
        "mlp": MLP(mlp_expand_ratio=2),
        "patch_embedding": PatchEmbedding(4, 24, patch_norm=False),
        "patch_merging_6": PatchMerging(),
        "patch_merging_3": PatchMerging(),
        "block": ShiftViTBlock(num_div=12, mlp_expand_ratio=2),
    }
    for name, layer in layers.items():
        inputs, output = arrays[f"layer/{name}/input"], arrays[f"layer/{name}/output"]
        layer.build(inputs.shape)
        recorded = [arrays[f"layer/{name}/weight_{k}"] for k in range(len(layer.weights))]
        # A kernel (h, w, in, out) of a convolution is the dense kernel (h * w * in, out) of ours.
        layer.set_weights(
            [w.reshape(v.shape) for w, v in zip(recorded, layer.weights, strict=True)]
        )
        yield difference(name.replace("_", " "), layer(inputs), output, LAYER_BOUND)
    inputs, output = arrays["layer/shift/input"], arrays["layer/shift/output"]
    yield difference("shift", shift(inputs), output, bound=0.0)
    inputs, output = arrays["layer/border_zeroing/input"], arrays["layer/border_zeroing/output"]
    zeroed = shift_by_crop_and_pad(inputs, same_offset=True, group=12)
    yield difference("border zeroing, function", zeroed, output, bound=0.0)
    layer = Shift(shift_variant="border_zeroing", group_channels=12)
    yield difference("border zeroing, layer", layer(inputs), output, bound=0.0)


def compare_recordings(arrays, golden):
    """A fresh recording against the committed one: the golden file is what the stack computes."""
    assert arrays.keys() == golden.keys(), sorted(arrays.keys() ^ golden.keys())
    largest = max(
        (difference(key, arrays[key], golden[key], TRAINING_BOUND) for key in arrays),
        key=lambda row: row.relative,
    )
    yield largest._replace(item=f"recording, {largest.item}")


def main(path):
    versions, settings, arrays = read(path)
    rows = [*compare_training(arrays, settings), *compare_layers(arrays)]
    rows += compare_recordings(arrays, read(GOLDEN)[2])
    recorded = ", ".join(f"{name} {version}" for name, version in versions.items())
    print(f"{recorded}; against Keras {keras.__version__} on {keras.backend.backend()}, float32")
    print("| item | largest difference | as a share | bound |")
    print("|---|---|---|---|")
    for row in rows:
        print(f"| {row.item} | {row.absolute:.1e} | {row.relative:.1e} | {row.bound:.0e} |")
    beyond = [row.item for row in rows if not row.is_within]
    if beyond:
        print(f"beyond its bound: {', '.join(beyond)}", file=sys.stderr)
    return int(bool(beyond))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

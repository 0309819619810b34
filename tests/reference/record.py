"""Runs the published example's own stack and writes down what it computes.

For Python 3.11 with TensorFlow 2.15, Keras 2.15 and TensorFlow Addons 0.23, and nothing of this
repository: `compare.py` reads the file in the main environment. Inputs, weights and gradients are
drawn here and stored with the results, so the two processes share nothing but arrays.

    python record.py results.npz
"""

import json
import math
import sys

import keras
import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa

STEPS = 200
WARMUP_STEPS = 30  # 15 %, the share of the published example
LR_START, LR_MAX = 1e-5, 1e-3
WEIGHT_DECAY = 1e-4
WEIGHTS = {"kernel": (6, 4), "bias": (4,), "scale": (1,)}
NUM_DIV = 12


class WarmUpCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear from `LR_START` to `LR_MAX`, then half a cosine to zero, as the example has it."""

    def __call__(self, step):
        step = tf.cast(step, tf.float32)
        turn = math.pi * (step - WARMUP_STEPS) / (STEPS - WARMUP_STEPS)
        cosine = 0.5 * LR_MAX * (1.0 + tf.cos(turn))
        line = LR_START + (LR_MAX - LR_START) / WARMUP_STEPS * step
        rate = tf.where(step < WARMUP_STEPS, line, cosine)
        return tf.where(step > STEPS, 0.0, rate)


def record_schedule():
    schedule = WarmUpCosine()
    return {"learning_rate": np.array([schedule(step).numpy() for step in range(STEPS)])}


def record_adamw(rng):
    """200 steps of the real `tfa.optimizers.AdamW`, on gradients that do not depend on weights."""
    start = {name: rng.normal(size=shape).astype("float32") for name, shape in WEIGHTS.items()}
    gradients = {
        name: rng.normal(rng.normal(), 1.0, size=(STEPS, *shape)).astype("float32")
        for name, shape in WEIGHTS.items()
    }
    variables = {name: tf.Variable(value, name=name) for name, value in start.items()}
    optimizer = tfa.optimizers.AdamW(learning_rate=WarmUpCosine(), weight_decay=WEIGHT_DECAY)
    paths = {name: [value] for name, value in start.items()}
    for step in range(STEPS):
        pairs = [(tf.constant(gradients[name][step]), variables[name]) for name in WEIGHTS]
        optimizer.apply_gradients(pairs)
        for name, variable in variables.items():
            paths[name].append(variable.numpy())
    return {
        **{f"gradient/{name}": value for name, value in gradients.items()},
        **{f"weight/{name}": np.stack(value) for name, value in paths.items()},
    }


def with_random_weights(layer, inputs, rng):
    """Builds a layer, and gives each of its weights numbers of its own."""
    layer(inputs)
    layer.set_weights([rng.normal(size=w.shape).astype("float32") for w in layer.get_weights()])
    return layer


def crop_and_pad(x, from_row, from_column, to_row, to_column, height, width):
    piece = tf.image.crop_to_bounding_box(x, from_row, from_column, height, width)
    return tf.image.pad_to_bounding_box(piece, to_row, to_column, *x.shape[1:3])


def shift(x, group, same_offset):
    """Left, right, up, down by one pixel; with the example's slip, padded back where it was cut."""
    height, width = x.shape[1:3]
    moves = [
        # from row, from column, to row, to column, height, width
        (0, 1, 0, 0, height, width - 1),
        (0, 0, 0, 1, height, width - 1),
        (1, 0, 0, 0, height - 1, width),
        (0, 0, 1, 0, height - 1, width),
    ]
    parts = []
    for k, (top, left, to_top, to_left, rows, columns) in enumerate(moves):
        if same_offset:
            top, left = to_top, to_left
        part = x[..., k * group : (k + 1) * group]
        parts.append(crop_and_pad(part, top, left, to_top, to_left, rows, columns))
    return tf.concat([*parts, x[..., 4 * group :]], axis=-1)


def record_layers(rng):
    """Each layer of the example on one input: {name/input, name/output, name/weight_k}."""
    layers = keras.layers
    arrays = {}

    def record(name, shape, *steps, weighted=()):
        x = y = rng.normal(size=shape).astype("float32")
        for step in steps:
            y = step(y)
        arrays[f"{name}/input"] = x
        arrays[f"{name}/output"] = np.array(y)
        weights = [weight for layer in weighted for weight in layer.get_weights()]
        arrays.update({f"{name}/weight_{k}": weight for k, weight in enumerate(weights)})

    def make(layer, shape):
        return with_random_weights(layer, tf.zeros(shape), rng)

    maps = (2, 6, 6, 24)
    norm = make(layers.LayerNormalization(epsilon=1e-5), maps)
    record("layer_norm", maps, norm, weighted=[norm])
    expand = make(layers.Dense(48, activation=tf.nn.gelu), maps)
    project = make(layers.Dense(24), (2, 6, 6, 48))
    record("mlp", maps, expand, project, weighted=[expand, project])
    embed = make(layers.Conv2D(24, 4, strides=4, padding="VALID"), (2, 16, 16, 3))
    record("patch_embedding", (2, 16, 16, 3), embed, weighted=[embed])
    for size in (6, 3):  # the example's maps are 12, 6, 3 and 2: "same" pads the 3
        shape = (2, size, size, 24)
        norm = make(layers.LayerNormalization(epsilon=1e-5), shape)
        merge = make(layers.Conv2D(48, 2, strides=2, padding="same", use_bias=False), shape)
        record(f"patch_merging_{size}", shape, norm, merge, weighted=[norm, merge])
    record("shift", (2, 5, 7, 53), lambda x: shift(x, 53 // NUM_DIV, same_offset=False))
    record("border_zeroing", (2, 5, 7, 96), lambda x: shift(x, 12, same_offset=True))
    norm = make(layers.LayerNormalization(epsilon=1e-5), maps)
    expand = make(layers.Dense(48, activation=tf.nn.gelu), maps)
    project = make(layers.Dense(24), (2, 6, 6, 48))

    def block(x):
        moved = shift(x, 24 // NUM_DIV, same_offset=False)
        return moved + project(expand(norm(moved)))

    record("block", maps, block, weighted=[norm, expand, project])
    return arrays


def main():
    rng = np.random.default_rng(0)
    versions = {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "tensorflow_addons": tfa.__version__,
        "python": sys.version.split()[0],
    }
    settings = {
        "steps": STEPS,
        "warmup_steps": WARMUP_STEPS,
        "lr_start": LR_START,
        "lr_max": LR_MAX,
        "weight_decay": WEIGHT_DECAY,
    }
    np.savez_compressed(
        sys.argv[1],
        versions=json.dumps(versions),
        settings=json.dumps(settings),
        **record_schedule(),
        **{f"adamw/{name}": value for name, value in record_adamw(rng).items()},
        **{f"layer/{name}": value for name, value in record_layers(rng).items()},
    )
    print(f"recorded with {', '.join(f'{name} {version}' for name, version in versions.items())}")


if __name__ == "__main__":
    main()

"""Five ways to compute the shift, timed: `benchmarks/shift_implementations.py`.

Forward alone, and forward with the gradient of the input, compiled by XLA on TensorFlow and JAX and
eager on PyTorch, as the library trains. A plain copy of the same bytes is the least that any of
them could take. All are checked against `shift` before they are timed, and take turns, so that what
else the machine does hits all alike. Prints a table of medians with their range, and writes JSON.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

from each_backend import BACKENDS, on_each_backend, send_with_device

# Feature maps of a batch of 256: the three stages of `nano`, the first of `cifar10`.
SHAPES = ((256, 16, 16, 48), (256, 8, 8, 96), (256, 4, 4, 192), (256, 12, 12, 96))


def implementations():
    """Functions from `(N, H, W, C)` to its shift with `num_div=12`, and the copy, by name."""
    import numpy as np
    from keras import ops

    from shiftvit_utils.shift import DIRECTIONS, shift
    from shiftvit_utils.shift_variants import shift_by_depthwise_kernel

    def pad_once(x):
        height, width, channels = x.shape[1:]
        group = channels // 12
        padded = ops.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
        parts = []
        for k, (axis, sign) in enumerate(DIRECTIONS.values()):
            top = 1 - sign if axis == 1 else 1
            left = 1 - sign if axis == 2 else 1
            channel = slice(k * group, (k + 1) * group)
            parts.append(padded[:, top : top + height, left : left + width, channel])
        return ops.concatenate([*parts, x[..., 4 * group :]], axis=-1)

    def select(x):
        height, width, channels = x.shape[1:]
        group_of = np.arange(channels) // (channels // 12)
        padded = ops.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
        result = x
        for k, (axis, sign) in enumerate(DIRECTIONS.values()):
            top = 1 - sign if axis == 1 else 1
            left = 1 - sign if axis == 2 else 1
            moved = padded[:, top : top + height, left : left + width]
            result = ops.where(ops.convert_to_tensor(group_of == k), moved, result)
        return result

    def gather(x):
        height, width, channels = x.shape[1:]
        size = height * width * channels
        # Where each number comes from; `size` is a zero behind the last one.
        source = np.arange(size).reshape(1, height, width, channels)
        empty = np.full_like(source, size)
        padded = np.pad(source, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=size)
        group = channels // 12
        index = np.where(empty == size, source, empty)
        for k, (axis, sign) in enumerate(DIRECTIONS.values()):
            top = 1 - sign if axis == 1 else 1
            left = 1 - sign if axis == 2 else 1
            channel = slice(k * group, (k + 1) * group)
            index[..., channel] = padded[:, top : top + height, left : left + width, channel]
        flat = ops.pad(ops.reshape(x, (-1, size)), [(0, 0), (0, 1)])
        taken = ops.take(flat, ops.convert_to_tensor(index.reshape(-1).astype("int32")), axis=1)
        return ops.reshape(taken, (-1, height, width, channels))

    return {
        "slice, pad, concatenate": shift,
        "pad once, slice": pad_once,
        "select by channel": select,
        "gather": gather,
        "depthwise kernel": shift_by_depthwise_kernel,
        # XLA would leave out a copy that it can see through; adding a number it has to do.
        "copy": lambda x: x + 1.0,
    }


def compiled(function, backward):
    """`function` as a training step would run it: a callable that returns when it is done."""
    import keras

    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        def step(x, seed):
            if not backward:
                return function(x)
            y, pull_back = jax.vjp(function, x)
            return y, pull_back(seed)[0]

        jitted = jax.jit(step)
        return lambda x, seed: jax.block_until_ready(jitted(x, seed))
    if backend == "tensorflow":
        import tensorflow as tf

        @tf.function(jit_compile=True)
        def step(x, seed):
            if not backward:
                return function(x)
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = function(x)
            return y, tape.gradient(y, x, output_gradients=seed)

        # On a GPU, the function returns before the result is there.
        wait = tf.test.experimental.sync_devices
        return lambda x, seed: (step(x, seed), wait())
    import torch

    def step(x, seed):
        if not backward:
            with torch.no_grad():
                return function(x)
        x = x.detach().requires_grad_()
        function(x).backward(seed)
        return x.grad

    if torch.cuda.is_available():
        return lambda x, seed: (step(x, seed), torch.cuda.synchronize())
    return step


def measure(repeats):
    """Milliseconds of each repeat: {shape: {direction: {implementation: [...]}}}."""
    import numpy as np
    from keras import ops

    functions = implementations()
    rng = np.random.default_rng(0)
    results = {}
    for shape in SHAPES:
        x, seed = (ops.convert_to_tensor(rng.normal(size=shape).astype("float32")) for _ in "xs")
        expected = ops.convert_to_numpy(functions["slice, pad, concatenate"](x))
        for name, function in functions.items():
            if name != "copy":
                np.testing.assert_array_equal(ops.convert_to_numpy(function(x)), expected, name)
        results[str(shape)] = {}
        for backward in (False, True):
            steps = {name: compiled(function, backward) for name, function in functions.items()}
            seconds = {name: [] for name in steps}
            for repeat in range(repeats + 2):
                for name, step in steps.items():
                    start = time.perf_counter()
                    step(x, seed)
                    if repeat >= 2:  # the first compiles, the second warms the caches
                        seconds[name].append(1e3 * (time.perf_counter() - start))
            results[str(shape)]["forward and backward" if backward else "forward"] = seconds
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--backends", nargs="*", default=BACKENDS, choices=BACKENDS)
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        send_with_device(measure(options.repeats))
        return

    device, results = on_each_backend(options.backends)
    print(f"milliseconds, median (range) of {options.repeats}, float32, {device}")
    for backend, shapes in results.items():
        for shape, directions in shapes.items():
            print(f"\n{backend}, {shape}\n\n| implementation | " + " | ".join(directions) + " |")
            print("|---|" + "---|" * len(directions))
            for name in next(iter(directions.values())):
                cells = [
                    f"{statistics.median(times):.2f} ({min(times):.2f}–{max(times):.2f})"
                    for times in (seconds[name] for seconds in directions.values())
                ]
                print(f"| {name} | " + " | ".join(cells) + " |")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        content = {"device": device, "repeats": options.repeats, "results": results}
        options.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()

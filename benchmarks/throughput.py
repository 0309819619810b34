"""Images per second of a training step on each installed backend: `benchmarks/throughput.py`.

The network alone, without data loading and augmentation, in float32, with AdamW, dropout and drop
path off. Each backend runs in a process of its own; the processes take turns, so that what else the
machine does hits all alike. Prints a table of medians with their range, and writes JSON.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

BACKENDS = ("tensorflow", "jax", "torch")


def measure(preset, batch_size, steps):
    """Seconds of each of `steps` training steps after the first, on the current backend."""
    import keras
    import numpy as np

    from shiftvit_utils import ShiftViT, build_optimizer
    from shiftvit_utils.training import resolve_jit

    model = ShiftViT.from_preset(preset, stochastic_depth_rate=0.0, mlp_dropout_rate=0.0)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(batch_size, *model.input_shape[1:])).astype("float32")
    labels = rng.integers(0, model.output_shape[-1], batch_size)
    model.compile(
        build_optimizer(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=resolve_jit("auto"),
    )
    seconds = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        float(model.train_on_batch(images, labels))  # float() waits for the device
        seconds.append(time.perf_counter() - start)
    return {"first_step": seconds[0], "steps": seconds[1:]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="cifar10")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=5, help="measured steps a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print("RESULT", json.dumps(measure(options.preset, options.batch_size, options.steps)))
        return

    backends = [name for name in BACKENDS if importlib.util.find_spec(name)]
    results = {name: {"first_step": [], "steps": []} for name in backends}
    for _ in range(options.rounds):
        for name in backends:
            worker = subprocess.run(
                [sys.executable, *sys.argv, "--worker"],
                env={**os.environ, "KERAS_BACKEND": name, "TF_CPP_MIN_LOG_LEVEL": "3"},
                capture_output=True,
                text=True,
            )
            if worker.returncode:
                sys.exit(f"{name} failed:\n{worker.stderr}")
            line = next(x for x in worker.stdout.splitlines() if x.startswith("RESULT"))
            measured = json.loads(line.removeprefix("RESULT"))
            results[name]["first_step"].append(measured["first_step"])
            results[name]["steps"] += measured["steps"]

    from shiftvit_utils.machine import describe_device

    print(f"{options.preset}, batch {options.batch_size}, float32, {describe_device()}")
    print("| backend | images/s, median | slowest–fastest step | first step |")
    print("|---|---|---|---|")
    for name, result in results.items():
        speed = [options.batch_size / seconds for seconds in result["steps"]]
        print(
            f"| {name} | {statistics.median(speed):.0f} | {min(speed):.0f}–{max(speed):.0f} "
            f"| {statistics.median(result['first_step']):.1f} s |"
        )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        settings = {"preset": options.preset, "batch_size": options.batch_size}
        content = {**settings, "device": describe_device(), "results": results}
        options.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()

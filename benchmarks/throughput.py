"""Images per second in training and in inference, on each installed backend: `throughput.py`.

The network alone, without data loading and augmentation, with AdamW, dropout and drop path off.
Each row of the table is a process of its own, which compiles its network once. Then they measure in
turns, a round each, so that what else the machine does hits all alike. Prints a table of medians
with their range, and writes JSON.
"""

import argparse
import itertools
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from each_backend import (
    BACKENDS,
    all_of,
    environment,
    installed,
    received,
    send,
    send_with_device,
)


def measure(preset, batch_size, precision, steps_per_execution, network, steps):
    """Compiles a network on the current backend, then measures a round for each `next()`.

    With `steps_per_execution` above 1, each measured call makes so many steps. `network` holds
    arguments of `ShiftViT` that differ from the preset's.

    Yields:
        dict of lists. First the seconds of the first step; then, for each round, the seconds a step
        of `steps` calls of training, of inference, and the most memory held.
    """
    import keras
    import numpy as np

    from shiftvit_utils import ShiftViT, build_optimizer
    from shiftvit_utils.training import resolve_jit

    quiet = {"stochastic_depth_rate": 0.0, "mlp_dropout_rate": 0.0}
    model = ShiftViT.from_preset(preset, **{**quiet, **network}, dtype=precision)
    rng = np.random.default_rng(0)
    size = batch_size * steps_per_execution
    images = rng.normal(size=(size, *model.input_shape[1:])).astype("float32")
    labels = rng.integers(0, model.output_shape[-1], size)
    model.compile(
        build_optimizer(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=resolve_jit("auto"),
        steps_per_execution=steps_per_execution,
    )

    def train_step():
        if steps_per_execution == 1:
            float(model.train_on_batch(images, labels))  # float() waits for the device
        else:
            model.fit(images, labels, batch_size=batch_size, epochs=1, verbose=0, shuffle=False)

    def inference_step():
        model.predict_on_batch(images[:batch_size])  # gives NumPy arrays, so it has waited

    def seconds(step, repeats, divisor=1):
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            step()
            times.append((time.perf_counter() - start) / divisor)
        return times

    first_step = seconds(train_step, 1)
    inference_step()
    yield {"first_step": first_step}
    while True:
        yield {
            "steps": seconds(train_step, steps, steps_per_execution),
            "inference": seconds(inference_step, steps),
            "peak_bytes": peak_bytes(keras.backend.backend()),
        }


def peak_bytes(backend):
    """The most memory that the network held on a GPU; an empty list where nobody counts."""
    if backend == "jax":
        import jax

        statistics_of_device = jax.local_devices()[0].memory_stats() or {}
        return [statistics_of_device[key] for key in ("peak_bytes_in_use",) if statistics_of_device]
    if backend == "torch":
        import torch

        return [torch.cuda.max_memory_allocated()] if torch.cuda.is_available() else []
    return []


class Worker:
    """A process on one backend that holds one network; it starts to compile at once."""

    def __init__(self, arguments, backend):
        self.name = f"{backend}, {shlex.join(arguments)}"
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115, open as long as the process lives
        self.process = subprocess.Popen(
            [sys.executable, __file__, *arguments, "--worker"],
            # Else the first one on a GPU takes most of its memory.
            env={**environment(backend), "XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    def compiled(self):
        """Waits for the first dictionary that `measure` yields there; keeps the device's name."""
        first = self._result()
        self.device = first["device"]
        return first["result"]

    def round(self):
        """Has a round measured."""
        print("round", file=self.process.stdin, flush=True)
        return self._result()

    def _result(self):
        result = received(self.process.stdout)
        if result is None:
            self.log.seek(0)
            sys.exit(f"{self.name} failed:\n{self.log.read()}")
        return result

    def stop(self):
        self.process.communicate()
        self.log.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="cifar10")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--precisions", nargs="+", default=["float32"])
    parser.add_argument("--steps-per-execution", nargs="+", type=int, default=[1])
    parser.add_argument(
        "--networks",
        nargs="+",
        type=json.loads,
        default=[{}],
        help='other arguments of ShiftViT, to compare: {} \'{"shift_variant": "none"}\'',
    )
    parser.add_argument("--backends", nargs="+", default=BACKENDS, choices=BACKENDS)
    parser.add_argument("--steps", type=int, default=5, help="measured steps a round")
    parser.add_argument("--rounds", type=int, default=3, help="0 only compiles")
    parser.add_argument(
        "--start-together",
        action="store_true",
        help="compile all networks at the same time: sooner, but the first steps share the CPU",
    )
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        first = (options.precisions[0], options.steps_per_execution[0], options.networks[0])
        rounds = measure(options.preset, options.batch_size, *first, options.steps)
        send_with_device(next(rounds))
        for _ in sys.stdin:  # a line for each round
            send(next(rounds))
        return

    kinds = (options.precisions, options.steps_per_execution, options.networks)
    variants = [
        variant
        for variant in itertools.product(installed(options.backends), *kinds)
        if not (variant[0] == "torch" and variant[2] > 1)  # which Keras refuses
    ]
    workers: dict[str, Worker] = {}
    results: dict[str, dict[str, list]] = {}
    for backend, precision, per_execution, network in variants:
        name = backend if precision == "float32" else f"{backend}, {precision}"
        name += f", {per_execution} steps a call" if per_execution > 1 else ""
        name += "".join(f", {key} {value}" for key, value in network.items())
        arguments = ["--preset", options.preset, "--batch-size", str(options.batch_size)]
        arguments += ["--networks", json.dumps(network)]
        arguments += ["--precisions", precision, "--steps", str(options.steps)]
        arguments += ["--steps-per-execution", str(per_execution)]
        workers[name] = Worker(arguments, backend)
        if not options.start_together:
            results[name] = workers[name].compiled()
    if options.start_together:
        results = {name: worker.compiled() for name, worker in workers.items()}
    for _ in range(options.rounds):
        for name, worker in workers.items():
            for key, measured in worker.round().items():
                results[name].setdefault(key, []).extend(measured)
    for worker in workers.values():
        worker.stop()
    if not options.rounds:
        return

    device = all_of(worker.device for worker in workers.values())
    print(f"{options.preset}, batch {options.batch_size}, {device}")
    print("| backend | training, images/s (range) | inference, images/s (range) | first step |")
    print("|---|---|---|---|")
    for name, result in results.items():
        cells = []
        for key in ("steps", "inference"):
            speed = [options.batch_size / seconds for seconds in result[key]]
            cells.append(f"{statistics.median(speed):.0f} ({min(speed):.0f}–{max(speed):.0f})")
        cells.append(f"{statistics.median(result['first_step']):.1f} s")
        if result["peak_bytes"]:
            cells[-1] += f", at most {max(result['peak_bytes']) / 2**30:.2f} GiB"
        print(f"| {name} | {' | '.join(cells)} |")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        settings = {"command": "python benchmarks/throughput.py " + shlex.join(sys.argv[1:])}
        settings |= {"preset": options.preset, "batch_size": options.batch_size}
        content = {**settings, "device": device, "results": results}
        options.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Where the time of a training step goes: `python benchmarks/step_profile.py --json FILE`.

Asks PyTorch's own profiler, which sees each operation; the other backends fuse theirs. Prints the
share of each kind of operation in the time of a step of the network and its optimizer, without
reading and augmenting images. The middle of several rounds, with their range.
"""

import argparse
import json
import os
import shlex
import statistics
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

# What an operation of PyTorch is for, by the beginning of its name; the first that fits.
KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "mkldnn", "aten::convolution"),
    "GELU, ReLU": ("aten::gelu", "aten::relu", "aten::threshold", "aten::clamp"),
    "layer norm": ("aten::native_layer_norm", "aten::rsqrt", "aten::var"),
    "concatenation and padding (the shift)": ("aten::cat", "aten::constant_pad", "aten::slice"),
    "sums and means": ("aten::sum", "aten::mean"),
    "copies and conversions": ("aten::copy", "aten::_to_copy", "aten::contiguous", "aten::clone"),
    "additions, products, powers": tuple(
        f"{library}::{name}"
        for library in ("aten", "prims")
        for name in ("add", "sub", "mul", "div", "pow", "sqrt", "neg", "lerp", "square")
    ),
}
OTHER = "everything else"


def kind_of(name):
    """The key of `KINDS` that an operation belongs to."""
    return next((kind for kind, starts in KINDS.items() if name.startswith(starts)), OTHER)


def shares(events):
    """What part of the time each kind takes.

    Args:
        events: pairs of an operation's name and its own time, without that of what it calls.

    Returns:
        dict from each kind to a share; they add up to 1.
    """
    events = list(events)
    whole = sum(seconds for _, seconds in events)
    totals = dict.fromkeys([*KINDS, OTHER], 0.0)
    for name, seconds in events:
        totals[kind_of(name)] += seconds / whole
    return totals


def profiled_round(model, images, labels, steps):
    """The shares of the kinds in so many training steps."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(steps):
            model.train_on_batch(images, labels)
    return shares((event.key, event.self_cpu_time_total) for event in profiler.key_averages())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="nano")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--steps", type=int, default=4, help="a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    options = parser.parse_args()

    import keras
    import numpy as np

    from shiftvit_utils import ShiftViT, build_optimizer
    from shiftvit_utils.machine import describe_device, versions

    quiet = {"stochastic_depth_rate": 0.0, "mlp_dropout_rate": 0.0}
    model = ShiftViT.from_preset(options.preset, **quiet, dtype=options.precision)
    model.compile(
        build_optimizer(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    rng = np.random.default_rng(0)
    images = rng.normal(size=(options.batch_size, *model.input_shape[1:])).astype("float32")
    labels = rng.integers(0, model.output_shape[-1], options.batch_size)
    profiled_round(model, images, labels, options.steps)  # warm-up
    rounds = [profiled_round(model, images, labels, options.steps) for _ in range(options.rounds)]
    results = {kind: [one[kind] for one in rounds] for kind in rounds[0]}

    print(f"{options.preset}, batch {options.batch_size}, {options.precision}, {describe_device()}")
    print("| part of a training step | share of its time (range) |\n|---|---|")
    for kind, values in sorted(results.items(), key=lambda item: -statistics.median(item[1])):
        middle = statistics.median(values)
        print(f"| {kind} | {middle:.1%} ({min(values):.1%}–{max(values):.1%}) |")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "command": "python benchmarks/step_profile.py " + shlex.join(sys.argv[1:]),
            "preset": options.preset,
            "precision": options.precision,
            "device": describe_device(),
            "versions": versions(),
            "shares": results,
        }
        options.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""What the published example's slip costs: the same run with and without it.

`benchmarks/border_zeroing.py` trains `nano` twice, from the same seed and by the same recipe: once
with the paper's shift and once with the example's crop and pad at one offset, which moves no pixel.
Prints a table of accuracies and writes JSON. About 8 minutes a run on two quiet CPU cores.
"""

import argparse
import json
import tempfile
from pathlib import Path

from shiftvit_utils import TrainConfig, train
from shiftvit_utils.machine import describe_device

VARIANTS = {"paper": "true shift", "border_zeroing": "border zeroing"}


def run(variant, options):
    """The rows of the history and the metrics of one run."""
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            dataset=options.dataset,
            preset=options.preset,
            # What the recipe had when notebook 03's numbers were measured.
            optimizer="adamw",
            lr_max=3e-3,
            epochs=options.epochs,
            seed=options.seed,
            shift_variant=variant,
            limit_train=options.limit_train,
            run_dir=f"{folder}/run",
        )
        result = train(config)
    history = [
        {key: row[key] for key in ("epoch", "val_top1", "seconds")} for row in result.history
    ]
    kept = ("test_top1", "test_top5", "val_top1", "parameters", "backend", "data_source", "seed")
    return {"history": history, **{key: result.metrics[key] for key in kept}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--preset", default="nano")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit-train", type=int)
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    options = parser.parse_args()
    results = {variant: run(variant, options) for variant in VARIANTS}

    print(f"{options.preset} on {options.dataset}, seed {options.seed}, {describe_device()}")
    epochs = " | ".join(f"epoch {k + 1}" for k in range(options.epochs))
    print(f"| in place of attention | {epochs} | test top-1 |")
    print("|---|" + "---|" * (options.epochs + 1))
    for variant, title in VARIANTS.items():
        result = results[variant]
        numbers = [f"{100 * row['val_top1']:.1f} %" for row in result["history"]]
        print(f"| {title} | {' | '.join(numbers)} | {100 * result['test_top1']:.1f} % |")
    if options.json:
        settings = {key: value for key, value in vars(options).items() if key != "json"}
        content = {"device": describe_device(), **settings, "results": results}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Tries a recipe, writes down what came out: `recipe_search.py NAME --set lr_max=0.006`.

Trains on CIFAR-10 with the given changes to `TrainConfig` and adds one row to a CSV file, also if
the run fails. Networks are compared by validation accuracy; the test set is not looked at. A try
that was interrupted goes on where it stopped, one that failed can be made again, and one that is in
the file already is not run again. The row's changes are those and what the recipe set on that day.
"""

import argparse
import csv
import json
import os
import re
from pathlib import Path

import yaml

COLUMNS = (
    "name",
    "changes",
    "epochs",
    "seed",
    "val_top1",
    "val_top1_per_epoch",
    "parameters",
    "train_seconds",
    "images_per_second",
    "backend",
    "device",
    "data_source",
    "error",
)
DEFAULT_CSV = Path(__file__).parent / "results" / "recipe-search-cifar10.csv"


def fields(settings):
    """`["lr_max=0.006", ...]` as a dictionary; the values are YAML."""
    pairs = (setting.split("=", 1) for setting in settings)
    return {name: yaml.safe_load(value) for name, value in pairs}


def attempt(config):
    """Trains once; returns the columns of its row that are not known before."""
    from shiftvit_utils import train

    result = train(config)
    wanted = COLUMNS[COLUMNS.index("parameters") : -1]
    history = [round(row["val_top1"], 4) for row in result.history]
    return {
        "val_top1": round(result.metrics["val_top1"], 4),
        "val_top1_per_epoch": " ".join(map(str, history)),
        **{name: result.metrics[name] for name in wanted},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", help="what this try is called in the table")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="FIELD=VALUE", help="fields of TrainConfig, as YAML"
    )
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--csv", type=Path, default=DEFAULT_CSV)
    parser.add_argument("--runs", type=Path, help="where run folders go; default: runs/search")
    options = parser.parse_args()
    changes = fields(options.set)
    known = {"name": options.name, "epochs": str(options.epochs), "seed": str(options.seed)}
    rows = []
    if options.csv.is_file():
        with options.csv.open(newline="") as file:
            rows = list(csv.DictReader(file))
    if any(known.items() <= row.items() and not row["error"] for row in rows):
        raise SystemExit(f"{options.csv.name} has a row {known} already.")

    from shiftvit_utils import RECIPES, TrainConfig, runs_root

    stem = re.sub(r"\W+", "-", f"{options.name}-{options.epochs}-{options.seed}")
    folder = (options.runs or runs_root() / "search") / stem
    config = TrainConfig(
        **{
            "dataset": "cifar10",
            "preset": "nano",
            "epochs": options.epochs,
            "seed": options.seed,
            "use_test_set": False,
            "run_dir": str(folder),
            "resume": folder.exists(),
            **changes,
        }
    )
    changes = {**RECIPES[config.recipe], **changes}
    row = {**known, "changes": json.dumps(changes), "backend": os.environ.get("KERAS_BACKEND", "")}
    try:
        row |= attempt(config)
    except Exception as error:  # a recipe that fails is a result too
        row["error"] = f"{type(error).__name__}: {str(error)[:200]}"
    with options.csv.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not rows:
            writer.writeheader()
        writer.writerow(row)
    print(row)
    if row.get("error"):
        raise SystemExit(1)


if __name__ == "__main__":
    main()

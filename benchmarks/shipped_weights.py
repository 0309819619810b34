"""The weights that the library ships: packed from a run, and measured from the file itself.

`python benchmarks/shipped_weights.py pack runs/cifar10-nano` writes `shiftvit_utils/weights/` from
the model that a run kept, and adds the run to the record of those that led there. `python
benchmarks/shipped_weights.py evaluate --json FILE` loads what is shipped into a fresh network and
measures it on the test set: accuracy, each class, confusion, calibration. The numbers of the model
card are those.
"""

import argparse
import hashlib
import json
from pathlib import Path

DATASET = "cifar10"
TRAINING = Path(__file__).parent / "results" / "shipped-weights-training.json"


def pack(run_dir):
    """Writes the shipped weights from a run folder."""
    from shiftvit_utils import RunFolder, load_model
    from shiftvit_utils.pretrained import WEIGHTS_FOLDER, save_weights

    run = RunFolder(run_dir)
    config, metrics = json.loads(run.config_path.read_text()), run.read_metrics()
    if config["dataset"] != DATASET:
        raise SystemExit(f"{run_dir} was trained on {config['dataset']!r}, not on {DATASET!r}.")
    # Said in full: what a recipe leaves open, a later version may fill in differently.
    config["optimizer"] = config["optimizer"] or "adamw"
    model, class_names = load_model(run.model_path)
    record = {
        "preset": config["preset"],
        "changes": config["network"] or {},  # arguments of ShiftViT beside those of the preset
        "class_names": class_names,
        "config": config,
        "metrics": {name: metrics[name] for name in metrics if not name.startswith("test")},
    }
    WEIGHTS_FOLDER.mkdir(exist_ok=True)
    path = WEIGHTS_FOLDER / f"{DATASET}.npz"
    save_weights(model.get_layer("shiftvit"), path, record)
    runs = json.loads(TRAINING.read_text()) if config["initial_weights"] else {}
    runs[str(len(runs) + 1)] = {**record, "history": run.read_history()}
    TRAINING.write_text(json.dumps(runs, indent=1) + "\n")
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB, {model.count_params():,} parameters")


def digest(path):
    """SHA-256 of the names and bytes of all arrays, without the record beside them."""
    import numpy as np

    found = hashlib.sha256()
    with np.load(path, allow_pickle=False) as archive:
        for name in sorted(set(archive.files) - {"record"}):
            found.update(name.encode() + archive[name].tobytes())
    return found.hexdigest()


def evaluate(json_path, folder=None, into_record=False):
    """Measures the shipped weights on the test set, and the same network in float32 beside it."""
    import keras
    import numpy as np
    from sklearn.metrics import confusion_matrix

    from shiftvit_utils import Classifier, classification_metrics, load_dataset, predict_logits
    from shiftvit_utils.calibration import fit_temperature, reliability
    from shiftvit_utils.machine import describe_device, versions
    from shiftvit_utils.predictions import softmax
    from shiftvit_utils.pretrained import save_weights, shipped_path, shipped_record

    # The split of the run: other validation images would be among those that it was trained on.
    config = shipped_record(DATASET)["config"]
    dataset = load_dataset(
        folder or DATASET, validation_size=config["validation_size"], seed=config["seed"]
    )
    held_back = dataset.validation_id == config["validation_id"]
    if not held_back:
        if into_record:
            raise SystemExit(
                f"{dataset.source} is not the copy that the weights were trained on: their record "
                "keeps the accuracy on that one. Leave out --record or --dataset."
            )
        print(
            f"{dataset.source} holds back other images than the training did, so these may have "
            "been trained on: the test images are measured, and no temperature is fitted."
        )
    classifier = Classifier(weights=DATASET)
    if classifier.class_names != tuple(dataset.class_names):
        raise SystemExit(f"classes {dataset.class_names} are not {classifier.class_names}")
    logits = predict_logits(classifier.model, dataset.x_test)
    labels = dataset.y_test
    temperatures = {"": 1.0}
    validation = None
    if held_back:
        of_validation = predict_logits(classifier.model, dataset.x_val)
        validation = classification_metrics(of_validation, dataset.y_val)
        temperatures["_at_temperature"] = fit_temperature(of_validation, dataset.y_val)
    correct = logits.argmax(-1) == labels
    confusion = confusion_matrix(labels, logits.argmax(-1))
    classes = {}
    for k, name in enumerate(dataset.class_names):
        others = np.where(np.arange(len(confusion)) == k, -1, confusion[k])
        classes[name] = {
            "recall": float(confusion[k, k] / confusion[k].sum()),
            "precision": float(confusion[k, k] / confusion[:, k].sum()),
            "taken_for": {dataset.class_names[int(others.argmax())]: int(others.max())},
        }
    calibration = {
        f"expected_calibration_error{suffix}": reliability(
            softmax(logits, t).max(-1), correct
        ).expected_calibration_error
        for suffix, t in temperatures.items()
    }
    result = {
        "device": describe_device(),
        "backend": keras.backend.backend(),
        "versions": versions(),
        "data_source": dataset.source,
        "sha256_of_arrays": digest(shipped_path(DATASET)),
        "parameters": classifier.model.count_params(),
        "test": classification_metrics(logits, labels),
        "validation": validation,
        "temperature": temperatures.get("_at_temperature"),
        **calibration,
        "classes": classes,
        "confusion": {
            name: dict(zip(dataset.class_names, row, strict=True))
            for name, row in zip(dataset.class_names, confusion.tolist(), strict=True)
        },
    }
    print(f"shipped weights, {result['backend']}, {result['device']}, {dataset.source}")
    print(f"test top-1 {result['test']['top1']:.2%}, top-5 {result['test']['top5']:.2%}")
    if held_back:
        print(f"validation top-1 {validation['top1']:.2%}")
    for suffix, t in temperatures.items():
        error = result[f"expected_calibration_error{suffix}"]
        print(f"calibration error at temperature {t:.2f}: {error:.3f}")
    print("| class | found (recall) | right when said (precision) | most often taken for |")
    print("|---|---|---|---|")
    for name, of in classes.items():
        ((other, times),) = of["taken_for"].items()
        print(f"| {name} | {of['recall']:.1%} | {of['precision']:.1%} | {other}, {times} times |")
    print("\n| true class | " + " | ".join(dataset.class_names) + " |")
    print("|---" * (1 + len(confusion)) + "|")
    for name, row in zip(dataset.class_names, confusion.tolist(), strict=True):
        print(f"| {name} | {' | '.join(map(str, row))} |")
    if into_record:
        record = shipped_record(DATASET)
        record["metrics"] |= {f"test_{name}": value for name, value in result["test"].items()}
        save_weights(classifier.model.get_layer("shiftvit"), shipped_path(DATASET), record)
    if json_path:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        result["bytes"] = shipped_path(DATASET).stat().st_size  # with what was recorded just now
        json_path.write_text(json.dumps(result, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="write the weights from a run folder")
    packing.add_argument("run_dir", type=Path)
    evaluating = commands.add_parser("evaluate", help="measure the shipped weights")
    evaluating.add_argument("--dataset", help="another copy of CIFAR-10")
    evaluating.add_argument("--json", type=Path, help="where to write the numbers")
    evaluating.add_argument(
        "--record", action="store_true", help="write the test metrics into the shipped file too"
    )
    options = parser.parse_args()
    if options.command == "pack":
        pack(options.run_dir)
    else:
        evaluate(options.json, options.dataset, options.record)


if __name__ == "__main__":
    main()

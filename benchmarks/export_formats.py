"""What each export format costs and keeps: size, latency, speed, difference: `export_formats.py`.

Exports the shipped network, loads every file by its own runtime, and compares it with the Keras
model on 1,000 test images of CIFAR-10, whose labels are not looked at. The timings take turns, so
that what else the machine does hits all alike. Prints a table of medians with their range.
"""

import argparse
import json
import os
import shlex
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import shiftvit_utils as sv
from shiftvit_utils.export import FORMATS, export
from shiftvit_utils.machine import describe_device, versions

THREADS = os.cpu_count()


def saved_model(path):
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    return lambda images: loaded.serve(images).numpy()


def onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


def litert(path):
    from ai_edge_litert.interpreter import Interpreter

    interpreters = {}  # its shapes are fixed before it runs, so one for each

    def run(images):
        if images.shape not in interpreters:
            interpreter = Interpreter(str(path), num_threads=THREADS)
            interpreter.resize_tensor_input(
                interpreter.get_input_details()[0]["index"], images.shape
            )
            interpreter.allocate_tensors()
            interpreters[images.shape] = interpreter
        interpreter = interpreters[images.shape]
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    return run


RUNTIMES = {"tf_saved_model": saved_model, "onnx": onnx, "litert": litert}


def bytes_of(path):
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def in_batches(run, images, size=100):
    return np.concatenate([run(images[k : k + size]) for k in range(0, len(images), size)])


def seconds(run, images):
    start = time.perf_counter()
    run(images)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=10, help="single images a round")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    options = parser.parse_args()

    model = sv.Classifier(weights="cifar10").model
    images = sv.load_dataset("cifar10").x_test[: options.images].astype("float32")
    runs = {"Keras": lambda images: np.asarray(model.predict_on_batch(images))}
    results = {"Keras": {}}
    with tempfile.TemporaryDirectory() as folder:
        keras_file = Path(folder, "model.keras")
        model.save(keras_file)
        results["Keras"]["bytes"] = bytes_of(keras_file)
        for format, each in FORMATS.items():
            path = export(model, Path(folder, f"{format}{each.ending}"), format)
            results[format] = {"bytes": bytes_of(path)}
            runs[format] = RUNTIMES[each.keras_name](path)

        logits = {name: in_batches(run, images) for name, run in runs.items()}
        batch = images[: options.batch_size]
        for run in runs.values():  # every shape once, so that no timing holds a compilation
            run(images[:1]), run(batch)
        for result in results.values():
            result |= {"milliseconds": [], "images_per_second": []}
        for _ in range(options.rounds):
            for name, run in runs.items():
                for k in range(options.repeats):
                    results[name]["milliseconds"].append(1000 * seconds(run, images[k : k + 1]))
                results[name]["images_per_second"].append(len(batch) / seconds(run, batch))

    expected = logits["Keras"]
    for name, result in results.items():
        result["largest_difference"] = float(np.abs(logits[name] - expected).max())
        result["agreement"] = float((logits[name].argmax(-1) == expected.argmax(-1)).mean())

    print(f"{options.images:,} images, {describe_device()}")
    print(
        "| format | size | one image, ms (range) | batch "
        f"{options.batch_size}, images/s (range) | largest difference of a logit | same top-1 |"
    )
    print("|---|---|---|---|---|---|")
    for name, result in results.items():
        single, speed = result["milliseconds"], result["images_per_second"]
        print(
            f"| {name} | {result['bytes'] / 1e6:.2f} MB "
            f"| {statistics.median(single):.1f} ({min(single):.1f}–{max(single):.1f}) "
            f"| {statistics.median(speed):,.0f} ({min(speed):,.0f}–{max(speed):,.0f}) "
            f"| {result['largest_difference']:.1e} | {100 * result['agreement']:.1f} % |"
        )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "command": "python benchmarks/export_formats.py " + shlex.join(sys.argv[1:]),
            "device": describe_device(),
            "versions": versions(),
            "images": options.images,
            "results": results,
        }
        options.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Puts the browser page together: the page, a network as ONNX, and the runtime that computes it.

`make web` installs the runtime (onnxruntime-web, by npm) and calls this. The result is a folder of
plain files: any static server will do, as in `python -m http.server -d build/web`.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from shiftvit_utils import Classifier
from shiftvit_utils.export import export

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "web"
EXAMPLES = ROOT / "shiftvit_utils" / "demo" / "examples"
PAGE = ("index.html", "style.css", "page.js", "network.js", "picture.js", "fit.js")
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")


def build(output, runtime, model=None):
    """Writes the page.

    Args:
        output: folder to write; what an earlier build left there is replaced.
        runtime: the folder of the installed npm package onnxruntime-web.
        model: path of a `model.keras` or of a run folder; None for the network that ships.

    Returns:
        Number of bytes written.

    Raises:
        FileNotFoundError: the runtime or the model is not there.
        FileExistsError: `output` holds something else than an earlier build.
    """
    output, runtime = Path(output), Path(runtime)
    parts = [runtime / "dist" / name for name in RUNTIME]
    for part in parts:
        if not part.is_file():
            raise FileNotFoundError(f"{part} is missing. `make web` installs onnxruntime-web.")
    is_build = (output / "model.json").is_file() and (output / "runtime").is_dir()
    if output.exists() and not is_build and (output.is_file() or any(output.iterdir())):
        raise FileExistsError(
            f"{output} holds something else than an earlier build, which would be lost. Name a "
            "folder that is empty or not there yet."
        )
    classifier = Classifier(model) if model else Classifier(weights="cifar10")
    output.parent.mkdir(parents=True, exist_ok=True)
    # Beside it, so that an earlier build is there until the new one is complete.
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".partial-") as folder:
        new = Path(folder) / "page"
        (new / "runtime").mkdir(parents=True)
        for name in PAGE:
            shutil.copy(SOURCE / name, new)
        shutil.copytree(EXAMPLES, new / "examples", ignore=shutil.ignore_patterns("README.md"))
        for part in parts:
            shutil.copy(part, new / "runtime")
        export(classifier.model, new / "model.onnx", "onnx")
        about = {
            "file": "model.onnx",
            "class_names": classifier.class_names,
            "image_size": classifier.image_size,
        }
        (new / "model.json").write_text(json.dumps(about, indent=1) + "\n")
        if output.exists():
            shutil.rmtree(output)
        new.rename(output)
    return sum(path.stat().st_size for path in output.rglob("*") if path.is_file())


def main():
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", help="model.keras or run folder; else the shipped network")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "web")
    parser.add_argument(
        "--runtime", type=Path, default=ROOT / "build" / "npm" / "node_modules" / "onnxruntime-web"
    )
    options = parser.parse_args()
    try:
        size = build(options.output, options.runtime, options.model)
    except (FileNotFoundError, FileExistsError) as error:
        raise SystemExit(str(error)) from error
    print(f"{options.output}: {size / 1e6:.1f} MB")
    print(f"To open it: python -m http.server -d {options.output}, then http://localhost:8000")


if __name__ == "__main__":
    main()

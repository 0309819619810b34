"""A trained network for other programs: SavedModel, ONNX, LiteRT, LiteRT with weights in 8 bits.

Keras writes all of these. Here stands what it leaves to its user: which backend can write which
format, what has to be installed, a GELU that every runtime knows, whole files or none, and a look
at what was written.
"""

import importlib.util
import os
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import NamedTuple

import keras
from keras import ops

from shiftvit_utils.model import ShiftViT
from shiftvit_utils.saving import written_beside


class ExportFormat(NamedTuple):
    """How a format is written: the ending of its file, and what each backend needs for it.

    `packages` maps the backends that can write it to the modules that they import for it.
    """

    ending: str
    packages: dict[str, tuple[str, ...]]


FORMATS = {
    # A folder, for TensorFlow Serving and everything else of TensorFlow's.
    "tf_saved_model": ExportFormat("", {"tensorflow": (), "jax": ("tensorflow",)}),
    # For nearly everything else: servers, C++, browsers.
    "onnx": ExportFormat(
        ".onnx", {"tensorflow": ("tf2onnx", "onnx"), "torch": ("onnxscript", "onnx")}
    ),
    # For phones and microcontrollers; once TensorFlow Lite.
    "litert": ExportFormat(".tflite", {"tensorflow": ()}),
    # The same with the weights of the matrix products in 8 bits.
    "litert_int8": ExportFormat(".tflite", {"tensorflow": ()}),
}


@keras.saving.register_keras_serializable("shiftvit_utils")
def gelu_by_erf(x):
    """GELU, written with the error function: the same map as Keras's, in other operations.

    TensorFlow computes its own by `Erfc`, which the converter to ONNX does not know.

    Args:
        x: float tensor of any shape.

    Returns:
        tensor of the same shape.

    Source: Hendrycks and Gimpel, arXiv 1606.08415.

    >>> abs(float(gelu_by_erf(ops.ones(1))[0]) - 0.8413447) < 1e-6
    True
    """
    return 0.5 * x * (1.0 + ops.erf(x / 2.0**0.5))


def export(model, path, format="onnx"):
    """Writes a model for another program.

    Args:
        model: what `build_classifier` makes, `load_model` gives or `Classifier` holds as `.model`:
            images 0..255 to logits. Or a `ShiftViT` alone, normalised images to logits. It stays as
            it is.
        path: where to write: a file with the ending of the format, or for "tf_saved_model" a folder
            that does not exist yet. The folder that holds it must exist.
        format: "tf_saved_model", "onnx", "litert" or "litert_int8"; see `FORMATS`.

    Returns:
        Path of what was written. An export to a file that exists replaces it, once it is complete.

    Raises:
        TypeError: `model` is none of these.
        ValueError: the format is unknown, the path has another ending, or this backend cannot
            write the format; the message says which can.
        ImportError: a package is missing; the message says how to install it.
        FileExistsError: the folder of a SavedModel exists.
        OSError: it cannot be written.
    """
    path = Path(path)
    _check(path, format)
    _check_model(model)
    gelu = gelu_by_erf if format == "onnx" else "gelu"
    model = with_network(model, lambda network: _copy(network, gelu))
    if format == "tf_saved_model":
        return _export_saved_model(model, path)
    with written_beside(path) as partial, warnings.catch_warnings():
        # The tracers warn of what they see in Keras's code, which its user can do nothing about.
        warnings.simplefilter("ignore")
        if format == "onnx":
            _write_onnx(model, partial)
        else:
            options = {}
            if format == "litert_int8":
                import tensorflow as tf

                options["optimizations"] = [tf.lite.Optimize.DEFAULT]
            model.export(partial, format="litert", verbose=False, **options)
    return path


def with_network(model, change):
    """A model of the same preprocessing around a changed network.

    Args:
        model: as in `export`.
        change: function that takes the `ShiftViT` and returns another network.

    Returns:
        `keras.Model`, not compiled, called once: Keras exports only what was called.
    """
    if isinstance(model, ShiftViT):
        changed, image_shape = change(model), model.get_config()["image_shape"]
    else:
        x = model.input
        for layer in model.layers[1:]:
            x = change(layer)(x) if isinstance(layer, ShiftViT) else layer(x)
        changed, image_shape = keras.Model(model.input, x, name=model.name), model.input_shape[1:]
    changed(ops.zeros((1, *image_shape)))
    return changed


def _copy(network, gelu):
    config = network.get_config()
    if config["activation"] == "gelu":
        config["activation"] = gelu
    copy = ShiftViT.from_config(config)
    copy.set_weights(network.get_weights())
    return copy


def _check(path, format):
    if format not in FORMATS:
        raise ValueError(f"Unknown format {format!r}. Choose one of: {', '.join(FORMATS)}.")
    ending, packages = FORMATS[format]
    backend = keras.backend.backend()
    if backend not in packages:
        raise ValueError(
            f"Keras cannot write {format!r} with the backend {backend!r}. Set KERAS_BACKEND to "
            f"{' or '.join(packages)}: a saved model loads under each of them."
        )
    # A SavedModel is a folder, whose name is free; but "model.onnx" for one is a slip.
    others = {each.ending for each in FORMATS.values()} - {""}
    if path.suffix != ending and (ending or path.suffix in others):
        raise ValueError(
            f"{format!r} goes to a {f'file that ends in {ending}' if ending else 'folder'}, got "
            f"{str(path)!r}."
        )
    missing = [name for name in packages[backend] if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"{format!r} needs {', '.join(missing)} with the backend {backend!r}. "
            'pip install "shiftvit-utils[export]" brings what is missing'
            + (", [tensorflow] TensorFlow." if "tensorflow" in missing else ".")
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(path.parent)!r} to write {path.name} to.")


def _check_model(model):
    layers = [model, *getattr(model, "layers", ())]
    if not any(isinstance(layer, ShiftViT) for layer in layers):
        raise TypeError(
            f"model is {type(model).__name__}, without a ShiftViT in it. Give a model as "
            "build_classifier or load_model returns it, or Classifier(path).model."
        )


def _export_saved_model(model, path):
    if path.exists():
        raise FileExistsError(f"{str(path)!r} exists. Name a folder that does not.")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".partial-") as folder:
        partial = Path(folder, "model")
        model.export(partial, format="tf_saved_model", verbose=False)
        shutil.move(partial, path)
    return path


def _write_onnx(model, path):
    import onnx

    try:
        model.export(path, format="onnx", verbose=False)
    except RuntimeError as error:
        # PyTorch's exporter wants sizes that it can see, and Keras's layer and group norms hide
        # theirs. Its error (a RuntimeError) is a page of graph nodes.
        if keras.backend.backend() != "torch":
            raise
        raise ValueError(
            "PyTorch cannot write this network as ONNX: it can with normalization='batch'. Set "
            "KERAS_BACKEND to tensorflow, under which a saved model loads as well."
        ) from error
    try:
        # Keras writes a file even if its converter met operations that it does not know.
        onnx.checker.check_model(os.fspath(path), full_check=True)
    except onnx.checker.ValidationError as error:
        raise ValueError(f"The converter wrote a file that is no valid ONNX: {error}") from error

"""A trained network for other programs: SavedModel, ONNX and LiteRT, each in 32 or 8 bits.

Keras writes all of these. Here stands what it leaves to its user: which backend can write which
format, what has to be installed, a GELU that every runtime knows, whole files or none, and a look
at what was written.

In 8 bits are the weights of most matrix products, which are nearly all; the rest stays float32. In
a SavedModel and an ONNX file they come from Keras's `quantize("int8")`, in a LiteRT file from its
converter. Quantized networks are for export only: Keras cannot load one from a `.keras` file, since
the configuration of a `ShiftViT` does not list the dense layers that were quantized.
"""

import contextlib
import gc
import importlib.util
import os
import tempfile
import warnings
from pathlib import Path
from typing import NamedTuple

import keras
from keras import ops

from shiftvit_utils.model import ShiftViT
from shiftvit_utils.saving import written_beside


class ExportFormat(NamedTuple):
    """What Keras calls a format, the ending of its file, whether it has 8 bits, and who writes it.

    `packages` maps the backends that can write it to the modules that they import for it.
    """

    keras_name: str
    ending: str
    int8: bool
    packages: dict[str, tuple[str, ...]]


_SAVED_MODEL = {"tensorflow": (), "jax": ("tensorflow",)}
_TF2ONNX = ("tf2onnx", "onnx")

FORMATS = {
    # A folder, for TensorFlow Serving and everything else of TensorFlow's.
    "tf_saved_model": ExportFormat("tf_saved_model", "", False, _SAVED_MODEL),
    "tf_saved_model_int8": ExportFormat("tf_saved_model", "", True, _SAVED_MODEL),
    # For nearly everything else: servers, C++, browsers.
    "onnx": ExportFormat(
        "onnx", ".onnx", False, {"tensorflow": _TF2ONNX, "torch": ("onnxscript", "onnx")}
    ),
    "onnx_int8": ExportFormat("onnx", ".onnx", True, {"tensorflow": _TF2ONNX}),
    # For phones and microcontrollers; once TensorFlow Lite.
    "litert": ExportFormat("litert", ".tflite", False, {"tensorflow": ()}),
    "litert_int8": ExportFormat("litert", ".tflite", True, {"tensorflow": ()}),
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
        path: where to write: a file with the ending of the format, or for a SavedModel a folder
            that does not exist yet. The folder that holds it must exist.
        format: "tf_saved_model", "onnx" or "litert", or one of them followed by "_int8"; see
            `FORMATS`.

    Returns:
        Path of what was written. It takes any number of float32 images and gives float32 logits. A
        file that was there before is replaced once the new one is complete.

    Raises:
        TypeError: `model` is none of these.
        ValueError: the format is unknown, the path has another ending, the model takes images of
            any size, or this backend cannot write the format; the message says which can.
        ImportError: a package is missing; the message says how to install it.
        FileExistsError: the folder of a SavedModel exists.
        OSError: it cannot be written.
    """
    path = Path(path)
    _check(path, format)
    _check_model(model)
    keras_name, ending, int8, _ = FORMATS[format]
    options = {}
    if int8 and keras_name == "litert":  # whose runtime does not know the products of `quantize`
        import tensorflow as tf

        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
    quantization = None
    if int8 and not options:
        quantization = keras.quantizers.Int8QuantizationConfig()
        if keras_name == "tf_saved_model":
            # Keras rounds what goes into a matrix product as well, if not told otherwise. That
            # loses more than rounding the weights, and TensorFlow multiplies integers slowly. ONNX
            # needs it: its converter turns weights that are multiplied as floats back into floats.
            quantization = keras.quantizers.Int8QuantizationConfig(activation_quantizer=None)
    # The tracers warn of what they see in Keras's code, which its user can do nothing about.
    complete = written_beside if ending else _folder_beside
    with warnings.catch_warnings(), complete(path) as partial:
        warnings.simplefilter("ignore")
        copy = _copy(model, gelu_by_erf if keras_name == "onnx" else "gelu", quantization)
        try:
            # As text: for LiteRT, Keras 3.13 takes no Path.
            copy.export(os.fspath(partial), format=keras_name, verbose=False, **options)
        except RuntimeError as error:
            # PyTorch's exporter wants sizes that it can see, and Keras's layer norm hides its own.
            # Its error (a RuntimeError) is a page of graph nodes.
            if keras.backend.backend() != "torch" or not _has_layer_norm(model):
                raise
            raise ValueError(
                "PyTorch cannot write this network as ONNX: it can with normalization 'batch' or "
                "'group', and without token_mixer 'attention', which has a layer norm of its own. "
                "Set KERAS_BACKEND to tensorflow, under which a saved model loads as well."
            ) from error
        if keras_name == "onnx":
            _check_onnx(partial)
    return path


def _has_layer_norm(model):
    networks = [layer for layer in (model, *model.layers) if isinstance(layer, ShiftViT)]
    configs = [network.get_config() for network in networks]
    return any(
        config["normalization"] == "layer" or config["token_mixer"] == "attention"
        for config in configs
    )


def _copy(model, gelu, quantization):
    """A copy in float32, called once: Keras exports only what was called."""
    if isinstance(model, ShiftViT):
        copy, image_shape = _copy_of_network(model, gelu, quantization), model.input_shape[1:]
    else:

        def clone(operation):
            if isinstance(operation, ShiftViT):
                return _copy_of_network(operation, gelu, quantization)
            return operation

        # Over new tensors, in the order of its graph: not all in there need be layers, for the
        # `images / 255` of a user is an operation. Not compiled, whatever the model is.
        plain = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
        copy = keras.models.clone_model(plain, clone_function=clone)
        image_shape = model.inputs[0].shape[1:]
    copy(ops.zeros((1, *image_shape)))
    return copy


def _quantized_layers(network):
    """A filter for `quantize`: all but the patch embedding, the head and the first of many stages.

    Those have few of the weights, so that 8 bits would save little there, and every error in the
    first layers goes through all others.
    """
    kept = ["patch_embedding/", "head"]
    if len(network.get_config()["num_shift_blocks_per_stages"]) > 1:
        kept.append("stage_0/block_")
    # A layer without weights may have no path.
    return lambda layer: not (layer.path or "").startswith(tuple(kept))


def _copy_of_network(network, gelu, quantization):
    config = {**network.get_config(), "dtype": "float32"}
    if config["activation"] == "gelu":
        config["activation"] = gelu
    copy = ShiftViT.from_config(config)
    copy.set_weights(network.get_weights())
    if quantization:
        gc.freeze()  # Keras collects garbage after each layer, half a minute of it in all
        try:
            copy.quantize("int8", config=quantization, filters=_quantized_layers(copy))
        finally:
            gc.unfreeze()
    return copy


@contextlib.contextmanager
def _folder_beside(path):
    """A folder to write that moves to `path` when all has been written, and else goes away."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".partial-") as parent:
        partial = Path(parent, path.name)
        yield partial
        partial.rename(path)


def _check_onnx(path):
    """Keras writes a file even if its converter met operations that it does not know."""
    import onnx

    try:
        onnx.checker.check_model(os.fspath(path), full_check=True)
    except onnx.checker.ValidationError as error:
        raise ValueError(f"The converter wrote a file that is no valid ONNX: {error}") from error
    images = onnx.load(os.fspath(path)).graph.input[0].type.tensor_type.shape.dim[0]
    if images.HasField("dim_value"):  # before 3.14, Keras traced PyTorch with one image
        raise ValueError(
            f"Keras {keras.__version__} writes ONNX for batches of {images.dim_value} only with "
            f"the backend {keras.backend.backend()!r}. Update Keras to 3.14, or set KERAS_BACKEND "
            "to tensorflow, under which a saved model loads as well."
        )


def _check(path, format):
    if format not in FORMATS:
        raise ValueError(f"Unknown format {format!r}. Choose one of: {', '.join(FORMATS)}.")
    _, ending, _, packages = FORMATS[format]
    backend = keras.backend.backend()
    if backend not in packages:
        raise ValueError(
            f"Keras cannot write {format!r} with the backend {backend!r}. Set KERAS_BACKEND to "
            f"{' or '.join(packages)}: a saved model loads under every backend."
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
            f"{format!r} needs {', '.join(missing)} with the backend {backend!r}: "
            f"pip install {' '.join(missing)}"
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(path.parent)!r} to write {path.name} to.")
    if not ending and path.exists():
        raise FileExistsError(f"{str(path)!r} exists. Name a folder that does not.")


def _check_model(model):
    layers = [model, *getattr(model, "layers", ())]
    if not any(isinstance(layer, ShiftViT) for layer in layers):
        raise TypeError(
            f"model is {type(model).__name__}, without a ShiftViT in it. Give a model as "
            "build_classifier or load_model returns it, or Classifier(path).model."
        )
    image_shape = model.inputs[0].shape[1:]
    if None in image_shape:
        raise ValueError(
            f"The model takes images of any size, {image_shape}, and what is exported has one: "
            "build it with image_shape=(height, width, 3) and copy the weights, "
            "by set_weights(model.get_weights())."
        )

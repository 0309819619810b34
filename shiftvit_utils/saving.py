"""Model files: written whole or not at all, and read with errors that say what is wrong.

A `.keras` file of this project is Keras's own format with one more member, `shiftvit_utils.json`,
that holds what a network does not know of itself: the names of its classes and the version that
wrote it.
"""

import contextlib
import json
import os
import zipfile
from pathlib import Path

import keras

from shiftvit_utils.npz_archive import ARCHIVE_DAMAGE
from shiftvit_utils.weights_check import check_weights

METADATA_MEMBER = "shiftvit_utils.json"
_WEIGHTS_MEMBER = "model.weights.h5"
FORMAT_VERSION = 1


@contextlib.contextmanager
def written_beside(path):
    """Gives a path to write to; the file moves to `path` only when all has been written.

    A crash, a kill or a full disk leaves the file that was at `path` as it was.

    Args:
        path: where the file shall be. Its folder must exist.

    Yields:
        A `Path` in the same folder, with the same ending.

    Raises:
        OSError: if writing fails; the half-written file is removed.
    """
    path = Path(path)
    # Keras goes by the endings `.keras` and `.weights.h5`, so the mark stands in front.
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())  # else a power cut could leave the new name with no content
        os.replace(partial, path)
    except OSError as error:
        raise OSError(
            error.errno,
            f"Could not write {path.name} ({error.strerror or error}); what was there before is "
            "untouched",
            str(path),
        ) from error
    finally:
        if partial.exists():  # on a read-only disk, removing even what is not there is an error
            partial.unlink()


def save_model(model, path, class_names):
    """Saves a classifier with the names of its classes, whole or not at all.

    A network that was frozen as a whole stays so. Which of its layers were frozen is not kept:
    freeze them again after loading.

    Args:
        model: `keras.Model` from images to logits.
        path: str or Path that ends in `.keras`.
        class_names: sequence of str, one for each logit.

    Raises:
        ValueError: if the path has another ending, the names are no texts or not as many as the
            logits, or `model` is a bare `ShiftViT`, which does not scale its images itself.
        OSError: if the disk is full or the folder cannot be written; an older file at `path` is
            untouched.

    >>> import tempfile
    >>> from shiftvit_utils import build_classifier
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(build_classifier("micro", 2), folder + "/a.keras", ["cat", "dog"])
    ...     model, class_names = load_model(folder + "/a.keras")
    >>> class_names
    ('cat', 'dog')
    """
    if Path(path).suffix != ".keras":
        raise ValueError(f"A model is saved to a file that ends in .keras, got {str(path)!r}.")
    from shiftvit_utils.model import ShiftViT  # here: that module needs this one

    if isinstance(model, ShiftViT):
        raise ValueError(
            "A bare ShiftViT takes scaled images, and a saved classifier is given pixels 0..255: "
            "Classifier would answer wrongly. Build it with build_classifier(preset, num_classes, "
            "image_shape, weights=...), or put the scaling that it was trained with before it: "
            f"images = keras.Input({model.input_shape[1:]}); keras.Model(images, "
            "network(keras.layers.Rescaling(1 / 127.5, -1.0)(images)))."
        )
    if not all(isinstance(name, str) for name in class_names):
        raise ValueError(
            f"class_names must be texts, got {list(class_names)!r}: [str(name) for name in ...]."
        )
    if len(class_names) != model.output_shape[-1]:
        raise ValueError(f"Got {len(class_names)} class names for {model.output_shape[-1]} logits.")
    metadata = {
        "format_version": FORMAT_VERSION,
        "class_names": [str(name) for name in class_names],  # NumPy's texts, too
        "keras": keras.__version__,
    }
    with written_beside(path) as partial:
        # A new model of the same layers is not compiled: the file then holds no optimizer, whose
        # state belongs to the run and is three times as large.
        keras.Model(model.inputs[0], model.outputs[0], name=model.name).save(partial)
        with zipfile.ZipFile(partial, "a") as archive:
            archive.writestr(METADATA_MEMBER, json.dumps(metadata))


def load_model(path):
    """Loads a classifier that `save_model` wrote, and executes nothing that the file holds.

    Whatever a stranger's file may say, it stays in Keras's safe mode, which builds layers, but no
    functions out of code, and its weights come from the file alone.

    Args:
        path: str or Path of a `.keras` file.

    Returns:
        `(model, class_names)`: a `keras.Model` and a tuple of str.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no model, is truncated, lacks the class names, comes from a newer
            version, or holds what could run code or read other files.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"No model file at {str(path)!r}. `make train` or notebook 05 makes one: model.keras."
        )
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path.name} is not a .keras file, or it is truncated: it is no readable zip archive."
        )
    metadata = _read_metadata(path)
    if metadata["format_version"] > FORMAT_VERSION:
        raise ValueError(
            f"{path.name} has format version {metadata['format_version']}, this shiftvit_utils "
            "reads up to "
            f"{FORMAT_VERSION}. Update shiftvit_utils."
        )
    try:
        with zipfile.ZipFile(path) as archive, archive.open(_WEIGHTS_MEMBER) as weights:
            check_weights(weights)
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (
        Exception
    ) as error:  # Keras raises many types here; all mean that the file does not fit this version
        raise ValueError(
            f"{path.name}, saved with Keras {metadata['keras']}, cannot be loaded by Keras "
            f"{keras.__version__}: {error}"
        ) from error
    class_names = tuple(metadata["class_names"])
    logits = getattr(model, "output_shape", None)
    if not isinstance(logits, tuple) or len(logits) != 2 or logits[1] != len(class_names):
        raise ValueError(
            f"{path.name} is no classifier of its {len(class_names)} classes: it is a "
            f"{type(model).__name__} with outputs of shape {logits}."
        )
    return model, class_names


def _read_metadata(path):
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            names = archive.namelist()
            text = archive.read(METADATA_MEMBER) if METADATA_MEMBER in names else None
    except ARCHIVE_DAMAGE as error:
        raise ValueError(f"{path.name} is damaged: {error}") from error
    if damaged:
        raise ValueError(f"{path.name} is damaged: the checksum of {damaged} does not match.")
    if text is None:
        raise ValueError(
            f"{path.name} was not saved by shiftvit_utils.save_model: it lacks {METADATA_MEMBER} "
            "with the class names. Load it with keras.saving.load_model."
        )
    try:
        metadata = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{METADATA_MEMBER} in {path.name} cannot be read: {error}") from error
    types = {"format_version": int, "class_names": list, "keras": str}
    if (
        not isinstance(metadata, dict)
        or not all(isinstance(metadata.get(name), kind) for name, kind in types.items())
        or not all(isinstance(name, str) for name in metadata["class_names"])
    ):
        raise ValueError(
            f"{METADATA_MEMBER} in {path.name} must hold {sorted(types)}: an int, a list of str "
            "and a str."
        )
    return metadata

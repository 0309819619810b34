"""A trained classifier as a repository of the Hugging Face Hub: the files, ready to be uploaded.

`keras.saving.load_model("hf://user/name")` downloads a repository and loads it as the folder that
Keras itself writes. Here stands what Keras leaves out: the names of the classes, a model card that
tells what was measured, and a folder that is complete or not there at all. Nothing is uploaded.
"""

import json
import os
import tempfile
from pathlib import Path

import keras

from shiftvit_utils.inference import Classifier
from shiftvit_utils.model_card import TrainedModel, model_card
from shiftvit_utils.pretrained import SHIPPED, shipped_record
from shiftvit_utils.run_folder import RunFolder
from shiftvit_utils.saving import FORMAT_VERSION, METADATA_MEMBER

# What the shipped weights were measured on, for readers who do not know this project.
_SHIPPED_DATA = (
    "CIFAR-10 (image folder), every image once through JPEG compression, so not to be compared "
    "with published numbers"
)


def save_for_hub(run, directory, repo_id=None, title=None, license="apache-2.0"):
    """Writes what the Hub needs to serve a trained classifier to `keras.saving.load_model`.

    `config.json`, `metadata.json` and `model.weights.h5` are Keras's; `shiftvit_utils.json` holds
    the names of the classes, and `README.md` is the model card. To upload:
    `hf upload user/name directory`.

    Args:
        run: path of a run folder or `RunFolder`, whose run has ended; or "cifar10" for the weights
            that come with the library.
        directory: str or Path, the folder to write. It must not exist, or be empty; the folder
            that holds it must exist.
        repo_id: `user/name` on the Hub, for the card; None leaves "your-name" in it.
        title: str, a name for people; None makes one of preset and data set.
        license: of the weights, as the Hub spells it.

    Returns:
        Path of the folder.

    Raises:
        FileNotFoundError: there is no run or no model, or the run has not ended.
        FileExistsError: `directory` is not empty, or a file.
        ValueError: `repo_id` is not `user/name`.
        OSError: it cannot be written; nothing is left behind.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = save_for_hub("cifar10", folder + "/model", "me/shiftvit")
    ...     sorted(path.name for path in written.iterdir())
    ['README.md', 'config.json', 'metadata.json', 'model.weights.h5', 'shiftvit_utils.json']
    """
    directory = Path(directory)
    _check(directory, repo_id)
    classifier, config, metrics = _load(run)
    model = classifier.model
    title = title or f"ShiftViT {config['preset']}, {Path(str(config['dataset'])).stem}"
    card = model_card(
        TrainedModel(
            title=title,
            repo_id=repo_id or f"your-name/{directory.name}",
            license=license,
            class_names=classifier.class_names,
            image_shape=(*classifier.image_size, 3),
            parameters=model.count_params(),
            config=config,
            metrics=metrics,
        )
    )
    names = {
        "format_version": FORMAT_VERSION,
        "class_names": list(classifier.class_names),
        "keras": keras.__version__,
    }
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".partial-") as folder:
        partial = Path(folder, "model")
        # Not compiled, so the files hold no state of an optimizer.
        keras.saving.save_model(model, partial, zipped=False)
        for empty in (path for path in partial.iterdir() if path.is_dir()):
            empty.rmdir()  # Keras's folder for assets, of which these layers have none
        (partial / METADATA_MEMBER).write_text(json.dumps(names, indent=2) + "\n", encoding="utf-8")
        (partial / "README.md").write_text(card, encoding="utf-8")
        if directory.exists():
            directory.rmdir()
        os.replace(partial, directory)
    return directory


def _check(directory, repo_id):
    if directory.is_file() or (directory.is_dir() and any(directory.iterdir())):
        raise FileExistsError(
            f"directory={str(directory)!r} is not an empty folder. Name one that does not exist, "
            "so that nothing old is uploaded."
        )
    if not directory.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder {str(directory.parent)!r} to write {directory.name} to."
        )
    if repo_id is not None and (
        not isinstance(repo_id, str)
        or repo_id.count("/") != 1
        or not all(repo_id.split("/"))
        or any(letter.isspace() for letter in repo_id)
    ):
        raise ValueError(f"repo_id={repo_id!r} must be 'user/name', as on the Hub.")


def _load(run):
    """The classifier, the configuration and the metrics of a run."""
    if isinstance(run, str) and run in SHIPPED:
        record = shipped_record(run)
        metrics = {**record["metrics"], "data_source": _SHIPPED_DATA}
        return Classifier(weights=run), record["config"], metrics
    if not isinstance(run, (str, os.PathLike, RunFolder)):
        raise TypeError(
            f"run={run!r} must be the path of a run folder, a RunFolder, or one of "
            f"{', '.join(map(repr, SHIPPED))} for weights that come with the library."
        )
    run = run if isinstance(run, RunFolder) else RunFolder(run)
    if not run.path.is_dir():
        raise FileNotFoundError(
            f"run={str(run.path)!r} is no run folder. `make train` or notebook 05 makes one; "
            f"{', '.join(map(repr, SHIPPED))} means weights that come with the library."
        )
    metrics = run.read_metrics()
    return Classifier(run), run.read_config(), metrics

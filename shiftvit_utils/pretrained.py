"""Trained weights: those that come with the library, and those of a run, put into a network.

The library ships one file a data set in `weights/`: a plain `.npz` archive of float16 arrays, one
for each variable of the network, by the name that the variable has in it, and a JSON text of what
it is. Nothing in it can run. Half precision halves the file, and costs no accuracy (the model card
says how that was measured).
"""

import json
import zipfile
from pathlib import Path

import numpy as np
from keras import ops

from shiftvit_utils.npz_archive import ARCHIVE_DAMAGE, read_npz
from shiftvit_utils.official_state_dict import SUFFIXES
from shiftvit_utils.run_folder import RunFolder
from shiftvit_utils.saving import load_model, written_beside
from shiftvit_utils.shift import group_size

WEIGHTS_FOLDER = Path(__file__).parent / "weights"
SHIPPED = tuple(sorted(path.stem for path in WEIGHTS_FOLDER.glob("*.npz")))
_RECORD = "record"
_HEAD = "head/"
# The endings of the authors' checkpoints. An `.npz` is one of this library's own.
_OFFICIAL = tuple(suffix for suffix in SUFFIXES if suffix != ".npz")
# What decides what a network computes, and shows in no shape; how many channels move does, too.
_WITHOUT_SHAPE: tuple[str, ...] = (
    *("shift_pixel", "shift_variant", "token_mixer"),
    *("normalization", "epsilon", "activation"),
)


def shipped_path(name):
    """Where the weights of that name lie.

    Args:
        name: a member of `SHIPPED`.

    Raises:
        ValueError: if none go by that name.
    """
    if name not in SHIPPED:
        raise ValueError(
            f"weights={name!r}: this installation has none of that name. It has: "
            f"{', '.join(map(repr, SHIPPED)) or 'none'}."
        )
    return WEIGHTS_FOLDER / f"{name}.npz"


def shipped_record(name):
    """What the shipped weights are: a dict with `preset`, `changes`, `class_names` and more."""
    return _record_of(shipped_path(name))


def network_changes(weights):
    """The arguments of `ShiftViT`, beside its preset's, that the shipped weights were trained with.

    Args:
        weights: as in `load_weights`.

    Returns:
        dict; empty for weights that are not shipped: those are the caller's to match.
    """
    return shipped_record(weights)["changes"] if weights in SHIPPED else {}


def input_scale(weights):
    """What images are multiplied by, and what is added then, before they come to such weights.

    Args:
        weights: as in `load_weights`, or None.

    Returns:
        `(scale, offset)` for pixels 0..255, or None if that is not known.
    """
    if weights is None:
        return None
    path = Path(weights).expanduser()
    if weights in SHIPPED or path.suffix in _OFFICIAL:
        return 1 / 127.5, -1.0
    path = RunFolder(path).model_path if path.is_dir() else path
    try:
        with zipfile.ZipFile(path) as archive:
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
        scaling = next(layer["config"] for layer in layers if layer["class_name"] == "Rescaling")
        return float(scaling["scale"]), float(scaling["offset"])
    except (*ARCHIVE_DAMAGE, StopIteration, KeyError, TypeError, ValueError):
        return None  # where that is a defect, `load_weights` says so


def trained_with(weights):
    """The settings of the run that weights come from, as in its `config.json`.

    Args:
        weights: as in `load_weights`.

    Returns:
        dict; empty for a file that is neither the `model.keras` of a run folder nor an `.npz` with
        a record of its run: it does not say.

    Raises:
        ValueError: if the file is damaged.
    """
    if weights in SHIPPED:
        return shipped_record(weights)["config"]
    path = Path(weights).expanduser()
    if path.suffix == ".npz" and path.is_file():
        return _record_of(path).get("config", {})
    run = RunFolder(path if path.is_dir() else path.parent)
    if path not in (run.path, run.model_path) or not run.config_path.is_file():
        return {}
    config = run.read_config()
    if config.get("dataset_path"):  # the same data, wherever this process was started
        config["dataset"] = str(Path(run.dataset).resolve())
    return config


def save_weights(network, path, record):
    """Writes the weights of a network in half precision.

    Args:
        network: `ShiftViT`.
        path: str or Path that ends in `.npz`.
        record: dict that JSON can hold: what the weights are.

    Raises:
        ValueError: if a weight does not fit into float16.
    """
    arrays = _arrays(network)
    with np.errstate(over="ignore"):  # what becomes infinite is refused below
        halves = {name: value.astype("float16") for name, value in arrays.items()}
    for name, value in halves.items():
        if not np.isfinite(value).all():
            raise ValueError(f"{name} holds numbers that float16 cannot hold, or NaN.")
    with written_beside(path) as partial, open(partial, "wb") as file:
        halves[_RECORD] = np.array(json.dumps(record))
        np.savez_compressed(file, **halves)


def weight_variables(network):
    """The variables of a network by their path within it, such as `head/kernel`.

    Random states, which are variables too, are left out.

    Args:
        network: `ShiftViT`.

    Returns:
        dict from str to `keras.Variable`.
    """
    return {v.path: v for v in network.variables if v.name != "seed_generator_state"}


def load_weights(network, weights):
    """Puts trained weights into a network, which must have the same layers.

    A head for another number of classes keeps the weights it has; all others are replaced.

    Args:
        network: `ShiftViT`.
        weights: a member of `SHIPPED`, or the path of an `.npz` that `save_weights` wrote, of a
            `model.keras`, of a run folder, or of the authors' checkpoint: a `.pth`, `.pt`, `.bin`
            or `.safetensors` file. The authors normalise by ImageNet's mean and standard
            deviation; that is folded into the patch embedding, so that here, too, images are
            scaled to -1..1.

    Returns:
        list of str: the variables that kept their weights.

    Raises:
        ValueError: if a variable is missing, is too many or has another shape, or if the weights
            of a run or a `model.keras` were trained in a network that computes something else with
            them, such as with another activation; the network is unchanged then.
        FileNotFoundError: if there is no such file.

    >>> import tempfile
    >>> from shiftvit_utils import ShiftViT
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(ShiftViT.from_preset("micro", num_classes=10), folder + "/w.npz", {})
    ...     load_weights(ShiftViT.from_preset("micro", num_classes=3), folder + "/w.npz")
    ['head/bias', 'head/kernel']
    """
    given, trained_in = _read(weights, network)
    own = weight_variables(network)
    kept = sorted(
        name
        for name in given.keys() & own.keys()
        if name.startswith(_HEAD)
        and given[name].shape != tuple(own[name].shape)
        and given[name].shape[:-1] == tuple(own[name].shape[:-1])  # the classes come last
    )
    problems = [f"{name} is missing" for name in own if name not in given]
    problems += [f"{name} is not in this network" for name in given if name not in own]
    problems += [
        f"{name} has shape {given[name].shape}, the network's has {tuple(own[name].shape)}"
        for name in own
        if name in given and name not in kept and given[name].shape != tuple(own[name].shape)
    ]
    if problems:
        shown = "; ".join(problems[:5]) + ("; ..." if len(problems) > 5 else "")
        raise ValueError(
            f"weights={str(weights)!r} do not fit this network ({len(problems)} problems): "
            f"{shown}. Use the preset and the arguments that they were trained with"
            f"{_as_trained(weights)}."
        )
    _check_same_computation(weights, trained_in, network)
    for name, variable in own.items():
        if name not in kept:
            variable.assign(given[name].astype("float32"))
    return kept


def _check_same_computation(weights, trained_in, network):
    """Refuses what fits in shape alone. `trained_in` is None where it is not known."""
    if trained_in is None:
        return
    before, now = trained_in.get_config(), network.get_config()
    compared = _WITHOUT_SHAPE
    shifts = now["token_mixer"] == "shift" and now["shift_variant"] != "none"
    if shifts and _channels_of_a_group(before) != _channels_of_a_group(now):
        compared += ("num_div", "group_channels")
    names = [name for name in compared if before[name] != now[name]]
    if names:
        raise ValueError(
            f"weights={str(weights)!r} fit this network in shape, but were trained with "
            f"{', '.join(f'{name}={before[name]!r}' for name in names)}. This one has "
            f"{', '.join(f'{name}={now[name]!r}' for name in names)}, so its answers would be "
            "wrong. Give the arguments that they were trained with. To change them on purpose, "
            "load the model and copy its arrays: "
            "network.set_weights(model.get_layer('shiftvit').get_weights())."
        )


def _channels_of_a_group(config):
    """How many channels each moving group has, in every stage."""
    stages = len(config["num_shift_blocks_per_stages"])
    channels = [config["projected_dim"] * 2**stage for stage in range(stages)]
    return [group_size(c, config["num_div"], config["group_channels"]) for c in channels]


def _as_trained(weights):
    before = trained_with(weights)
    if "preset" not in before:
        return ""
    names = ("preset", "network", "group_channels")
    return ": " + ", ".join(f"{name}={before[name]!r}" for name in names if before.get(name))


def _record_of(path):
    try:
        arrays, _ = read_npz(path, names=[_RECORD])
        return json.loads(str(arrays.get(_RECORD, "{}")))
    except ARCHIVE_DAMAGE as error:
        raise ValueError(f"{path.name} is no archive of weights, or damaged: {error}") from error


def _network_in(model, path):
    # By name: the module that has the class needs this one.
    found = [layer for layer in model.layers if type(layer).__name__ == "ShiftViT"]
    if len(found) != 1:
        raise ValueError(f"{path.name} holds {len(found)} ShiftViT networks; one is needed.")
    return found[0]


def _arrays(network):
    return {name: ops.convert_to_numpy(v) for name, v in weight_variables(network).items()}


def _read(weights, network):
    """The arrays that `weights` means, by variable name of `network`; and, if known, whose."""
    if weights in SHIPPED:
        path = shipped_path(weights)
    else:
        path = Path(weights).expanduser()
        path = RunFolder(path).model_path if path.is_dir() else path
    if path.name == "model.keras" and path.parent.is_dir() and not path.is_file():
        raise FileNotFoundError(
            f"weights={str(weights)!r}: there is no model.keras in {path.parent}. A run writes it "
            "at the end of its first epoch."
        )
    if not path.exists():
        raise FileNotFoundError(
            f"weights={str(weights)!r}: there is no such file, and none of that name come with the "
            f"library. It has: {', '.join(map(repr, SHIPPED)) or 'none'}."
        )
    if path.suffix in _OFFICIAL:
        from shiftvit_utils.official_checkpoint import official_arrays  # that module needs this one

        return official_arrays(network, path), None
    if path.suffix != ".npz":
        model, _ = load_model(path)
        trained = _network_in(model, path)
        return _arrays(trained), trained
    try:
        arrays, _ = read_npz(path)
    except ARCHIVE_DAMAGE as error:
        raise ValueError(f"{path.name} is no archive of weights, or damaged: {error}") from error
    return {name: array for name, array in arrays.items() if name != _RECORD}, None

"""Files that hold a PyTorch state dict: `.pth`, `.safetensors` and `.npz`, read and written.

Nothing here knows what the tensors are for; `official_checkpoint.py` does. No file can run code
while it is read.
"""

import argparse
import pickle
import zipfile
from pathlib import Path

import numpy as np

from shiftvit_utils.npz_archive import ARCHIVE_DAMAGE, read_npz

PICKLE_SUFFIXES = (".pth", ".pt", ".bin")
_PREFIX = "state_dict/"
# What PyTorch's reader of pickles stumbles over, beside `UnpicklingError`.
_DAMAGED_PICKLE = (
    *ARCHIVE_DAMAGE,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    TypeError,
)
SUFFIXES = (*PICKLE_SUFFIXES, ".safetensors", ".npz")


def read_state_dict(path_or_state_dict):
    """NumPy arrays by their PyTorch names.

    Args:
        path_or_state_dict: path of a `.pth`, `.pt`, `.bin`, `.safetensors` or `.npz` file, or a
            dict of arrays or PyTorch tensors. In there the state dict may stand under `"model"` or,
            in a flat archive, under names that begin with `state_dict/`; the rest is left out.

    Returns:
        dict of str to numpy array.

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: if the package that reads this kind of file is missing.
        ValueError: if the file is of no such kind, is damaged, or holds what is no array.

    >>> list(read_state_dict({"model": {"head.bias": [0.0, 1.0]}, "epoch": 300}))
    ['head.bias']
    """
    if isinstance(path_or_state_dict, dict):
        origin: object = "the dict"
        content = path_or_state_dict
    else:
        origin = path_or_state_dict
        content = _read_file(Path(path_or_state_dict))
    if isinstance(content.get("model"), dict):
        content = content["model"]
    elif any(name.startswith(_PREFIX) for name in content):
        content = {
            name.removeprefix(_PREFIX): value
            for name, value in content.items()
            if name.startswith(_PREFIX)
        }
    return {name: _as_array(origin, name, value) for name, value in content.items()}


def write_state_dict(state, path):
    """Writes arrays by name, in the format that the ending of `path` names.

    Args:
        state: dict of str to numpy array.
        path: file to write, `.pth`, `.pt`, `.bin`, `.safetensors` or `.npz`.

    Raises:
        ValueError: for another ending.
        ImportError: if the package that writes this kind of file is missing.
    """
    path = Path(path)
    _check_suffix(path)
    state = {name: np.ascontiguousarray(value) for name, value in state.items()}
    if path.suffix == ".npz":
        np.savez(path, **state)
    elif path.suffix == ".safetensors":
        _import("safetensors.numpy", path).save_file(state, path)
    else:
        torch = _import("torch", path)
        torch.save({name: torch.from_numpy(value.copy()) for name, value in state.items()}, path)


def _check_suffix(path):
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f"{path}: unknown kind of checkpoint {path.suffix!r}. Use one of {', '.join(SUFFIXES)}."
        )


def _import(module, path):
    # Not at the top: most users of the library need neither PyTorch nor safetensors.
    try:
        return __import__(module, fromlist=["_"])
    except ImportError as error:
        package = module.split(".")[0]
        raise ImportError(
            f"{path.name} needs the package {package!r}: pip install {package}. "
            "An .npz file of the arrays needs neither PyTorch nor safetensors."
        ) from error


def _read_file(path):
    _check_suffix(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint {path}.")
    if path.suffix == ".npz":
        return _read_npz(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return _read_pickle(path)


def _read_npz(path):
    try:
        return read_npz(path)[0]
    except ARCHIVE_DAMAGE as error:
        raise ValueError(f"{path} is damaged, or is no .npz file of arrays: {error}") from error


def _read_safetensors(path):
    safetensors = _import("safetensors", path)
    try:
        return _import("safetensors.numpy", path).load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is damaged, or is no .safetensors file: {error}") from error


def _read_pickle(path):
    torch = _import("torch", path)
    _check_sums(path)
    try:
        # `weights_only` lets tensors and plain containers through and nothing that could run code.
        # Training scripts often store their options beside the weights: a Namespace is plain data.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} was refused: it is damaged, or it holds Python objects beside its tensors, "
            "and reading those could run code. Ask for a .safetensors file, or, if you trust the "
            "file, save its state dict alone with torch.save."
        ) from error
    except _DAMAGED_PICKLE as error:
        raise ValueError(f"{path} is damaged, or is no PyTorch checkpoint: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, not a state dict.")
    return content


def _check_sums(path):
    """Compares the checksums that are in a zip archive, as which PyTorch saves since 1.6."""
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except ARCHIVE_DAMAGE as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if damaged:
        raise ValueError(f"{path} is damaged: the checksum of {damaged!r} does not match.")


def _as_array(origin, name, value):
    if hasattr(value, "detach"):  # a PyTorch tensor; bfloat16 has no NumPy type
        value = value.detach().cpu()
        value = value.float().numpy() if value.is_floating_point() else value.numpy()
    array = np.asarray(value) if not isinstance(value, dict) else None
    if array is not None and array.dtype.name == "bfloat16":  # of .safetensors
        array = array.astype("float32")
    if array is None or array.dtype.kind not in "biuf":
        raise ValueError(
            f"{origin}: {name!r} is a {_kind(value)}, not an array of numbers. "
            'Give the state dict itself, or a dict that holds it under "model".'
        )
    return array


def _kind(value):
    dtype = f" of {value.dtype}" if isinstance(value, np.ndarray) else ""
    return f"{type(value).__name__}{dtype}"

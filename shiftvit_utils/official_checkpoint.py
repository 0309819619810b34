"""Weights of the authors' PyTorch code, into `ShiftViT` and back.

The authors' network (models/shiftvit.py of microsoft/SPACH) and this one have the same weights
under other names and in other layouts. PyTorch keeps a convolution as `(out, in, height, width)`;
here it is a dense layer on flattened squares, `(height * width * in, out)`.
"""

import re

import keras
import numpy as np

from shiftvit_utils.model import ShiftViT
from shiftvit_utils.official_state_dict import read_state_dict, write_state_dict
from shiftvit_utils.shift import channels_per_group

# Parts of our paths -> parts of the authors' names, in the order in which they are replaced.
_MODULES = (
    (r"^patch_embedding/projection", "patch_embed.proj"),
    (r"^patch_embedding", "patch_embed"),
    (r"^stage_(\d+)", r"layers.\1"),
    (r"/block_(\d+)/norm", r".blocks.\1.norm2"),  # norm1 was attention's
    (r"/block_(\d+)", r".blocks.\1"),
    (r"/merging", ".downsample"),
    (r"/mlp/expand", ".mlp.fc1"),
    (r"/mlp/project", ".mlp.fc2"),
    (r"/", "."),
)
_LEAVES = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# PyTorch counts the batches that a batch norm has seen; no result depends on it at momentum 0.1.
_COUNTER = "num_batches_tracked"
_FIRST_KEY = "patch_embed.proj.weight"
# By which the authors' datasets.py normalises pixels 0..1: of ImageNet's images, red, green, blue.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def load_official_checkpoint(
    path_or_state_dict, num_div=12, image_shape=(224, 224, 3), activation="gelu", **overrides
):
    """A `ShiftViT` with the weights of the authors' PyTorch code.

    The shapes tell patch size, channels, blocks, MLP ratio, classes, patch norm, final norm and
    whether it is batch norm. They do not tell `num_div`, the activation, or group norm from layer
    norm (the authors use group norm).

    Args:
        path_or_state_dict: path of a `.pth`, `.pt`, `.bin`, `.safetensors` or `.npz` file, or a
            dict of arrays or tensors; with the state dict at the top or under `"model"`. Pickled
            files are read with PyTorch's `weights_only`: no code in them runs.
        num_div: int, 12 in the authors' networks of 96 channels, 16 in those of 128.
        image_shape: `(H, W, C)` of the images, H and W divisible by the patch size and by 2 for
            each merge, 32 in all for the authors' networks.
        activation: name of a Keras activation, "gelu" in the authors' networks.
        **overrides: other arguments of `ShiftViT`, such as `normalization="layer"` or
            `stochastic_depth_rate`.

    Returns:
        A `ShiftViT`: images `(N, H, W, C)`, normalised as the authors do, -> logits
        `(N, num_classes)`. Theirs for ImageNet are `(pixels / 255 - IMAGENET_MEAN) / IMAGENET_STD`.
        For raw images take `build_classifier(preset, num_classes=1000, image_shape=(224, 224, 3),
        weights=path)`, which does that inside.

    Raises:
        FileNotFoundError, ImportError: see `read_state_dict`.
        ValueError: if it is no state dict of this network, naming the missing, unknown and
            misshapen keys; or if `num_div` or `image_shape` do not fit.

    Reference:
        models/shiftvit.py in microsoft/SPACH; arXiv 2201.10801.

    >>> state = save_official_state_dict(ShiftViT.from_preset("micro", normalization="group"))
    >>> load_official_checkpoint(state, image_shape=(32, 32, 3)).count_params()
    124018
    """
    state = read_state_dict(path_or_state_dict)
    config = _infer_config(state, image_shape)
    channels_per_group(config["projected_dim"], num_div)
    if config["projected_dim"] % num_div:
        raise ValueError(
            f"num_div={num_div} does not divide the {config['projected_dim']} channels, as it does "
            "in all networks of the authors, and the weights do not tell it. Their networks of 96 "
            "channels use num_div=12, those of 128 use num_div=16. For a network of your own, "
            "build the ShiftViT and call load_official_weights(model, ...)."
        )
    _check_image_shape(image_shape, config)
    config |= {"num_div": num_div, "activation": activation, **overrides}
    return load_official_weights(ShiftViT(**config), state)


def load_official_weights(model, path_or_state_dict):
    """Puts the authors' weights into a `ShiftViT` that is there already.

    Args:
        model: `ShiftViT` with the sizes of the checkpoint.
        path_or_state_dict: as in `load_official_checkpoint`.

    Returns:
        `model`.

    Raises:
        ValueError: if keys are missing, unknown or misshapen; the message lists them and `model` is
            unchanged.
    """
    state = read_state_dict(path_or_state_dict)
    variables = _variables_by_key(model)
    missing = [key for key in variables if key not in state]
    unknown = [key for key in state if key not in variables and not key.endswith(_COUNTER)]
    misshapen = []
    values = {}
    for key, (_, shape) in variables.items():
        if key not in state:
            continue
        if state[key].shape == shape:
            values[key] = _to_keras(state[key])
        else:
            misshapen.append(f"{key} is {state[key].shape}, not {shape}")
    problems = {"missing": missing, "unknown": unknown, "misshapen": misshapen}
    if any(problems.values()):
        lists = [f"{what}: {', '.join(keys)}" for what, keys in problems.items() if keys]
        raise ValueError(
            "The checkpoint does not fit this ShiftViT.\n  "
            + "\n  ".join(lists)
            + "\nCheck the arguments that shapes cannot tell, or whether it is another network."
        )
    for key, (variable, _) in variables.items():
        variable.assign(values[key])
    return model


def save_official_state_dict(model, path=None):
    """The weights of a `ShiftViT` under the names and in the layouts of the authors' code.

    No number changes, so PyTorch must scale the images as this network has them: a network that was
    trained here, to -1..1, `pixels / 127.5 - 1`. `load_official_weights` reads them again.

    Args:
        model: `ShiftViT`.
        path: None, or a file to write as well: `.pth`, `.pt`, `.bin`, `.safetensors` or `.npz`.

    Returns:
        dict of str to float32 numpy array. Batch norms also get PyTorch's counter of batches, an
        int64 0, because `load_state_dict` asks for it.

    Raises:
        ValueError: if `model` is no `ShiftViT`, has layer norm or another token mixer than the
            paper's shift by one pixel of `C // num_div` channels a group, none of which their code
            has, or images on which a merging meets an odd map, or `path` has another ending.

    >>> model = ShiftViT.from_preset("micro", normalization="batch")
    >>> save_official_state_dict(model)["patch_embed.proj.weight"].shape
    (24, 3, 4, 4)
    """
    variables = _variables_by_key(model)
    config = model.get_config()
    if config["normalization"] == "layer":
        raise ValueError(
            "normalization='layer': the authors' code has group norm and batch norm, and would "
            "compute something else with these weights. Train with normalization 'group' or "
            "'batch', as in TrainConfig(network={'normalization': 'batch'}). save_model keeps the "
            "weights of this one."
        )
    only = {
        "shift_variant": "paper",
        "shift_pixel": 1,
        "group_channels": None,
    }
    for name, theirs in only.items():
        if config[name] != theirs:
            raise ValueError(
                f"{name}={config[name]!r}: the authors' code has nothing but {name}={theirs!r}, "
                "and would compute something else with these weights."
            )
    _check_image_shape(config["image_shape"], config)
    state = {}
    for key, (variable, shape) in variables.items():
        state[key] = _to_pytorch(np.asarray(keras.ops.convert_to_numpy(variable), "float32"), shape)
        if key.endswith("running_var"):
            state[key.replace("running_var", _COUNTER)] = np.zeros((), "int64")
    if path is not None:
        write_state_dict(state, path)
    return state


def official_arrays(model, path_or_state_dict):
    """The authors' weights by the paths of the variables of `model`, for images scaled to -1..1.

    Scaling and patch embedding are both linear, so that the change of scale goes into the patch
    embedding, exactly: `(x / 2 + 0.5 - mean) / std` is what the authors' network has for `x` here.

    Args:
        model: `ShiftViT`.
        path_or_state_dict: as in `load_official_checkpoint`.

    Returns:
        dict of str to float32 numpy array. What `model` lacks is in there under its PyTorch name.

    Raises:
        ValueError: if `model` has layer norm, which none of the authors' networks has: its weights
            would have the right shapes and do something else; or if the state was written by
            `save_official_state_dict`, as far as that can be told: by batch norms that have seen
            no batch.
    """
    if model.get_config()["normalization"] == "layer":
        raise ValueError(
            "The authors' networks have group norm, or batch norm, and this ShiftViT has "
            "normalization='layer'. Use one of their presets, such as 'r2_tiny', or "
            "normalization='group'."
        )
    state = read_state_dict(path_or_state_dict)
    if any(key.endswith(_COUNTER) and not value.any() for key, value in state.items()):
        raise ValueError(
            "These weights were written by save_official_state_dict, not by the authors: nothing "
            "says that their images are normalised as the authors' are. Put them into a network by "
            "load_official_weights, which changes no number."
        )
    names = {key: variable.path for key, (variable, _) in _variables_by_key(model).items()}
    bias = _FIRST_KEY.replace("weight", "bias")
    if bias in state and state.get(_FIRST_KEY, np.empty(())).shape[1:2] == (3,):
        mean, std = (np.reshape(x, (1, 3, 1, 1)) for x in (IMAGENET_MEAN, IMAGENET_STD))
        kernel = state[_FIRST_KEY] / std  # (out, 3, h, w)
        shift = (kernel * (0.5 - mean)).sum(axis=(1, 2, 3))  # (out,)
        state = {**state, _FIRST_KEY: kernel / 2, bias: state[bias] + shift}
    return {
        names.get(key, key): _to_keras(np.asarray(value, "float32"))
        for key, value in state.items()
        if not key.endswith(_COUNTER)
    }


def _infer_config(state, image_shape):
    if _FIRST_KEY not in state or state[_FIRST_KEY].ndim != 4:
        some = ", ".join(list(state)[:5]) or "none"
        raise ValueError(
            "This is no state dict of the authors' ShiftViT: it has no convolution "
            f"{_FIRST_KEY!r}. Its first keys: {some}."
        )
    projected_dim, _, patch_size, _ = state[_FIRST_KEY].shape
    blocks = re.compile(r"layers\.(\d+)\.blocks\.(\d+)\.")
    depths: dict[int, int] = {}
    for found in filter(None, map(blocks.match, state)):
        stage, block = map(int, found.groups())
        depths[stage] = max(depths.get(stage, 0), block + 1)
    hidden = "layers.0.blocks.0.mlp.fc1.weight"
    needed = [key for key in (hidden, "head.weight") if key not in state]
    if needed:
        raise ValueError(
            "The size of the network cannot be told: the checkpoint has no "
            f"{' and no '.join(needed)}. (A network without a classifier head cannot be loaded.)"
        )
    ratio = len(state[hidden]) / projected_dim
    num_stages = 1 + sum(key.endswith(".downsample.reduction.weight") for key in state)
    return {
        "image_shape": tuple(image_shape),
        "num_classes": len(state["head.weight"]),
        "patch_size": patch_size,
        "projected_dim": projected_dim,
        "num_shift_blocks_per_stages": tuple(depths.get(k, 0) for k in range(num_stages)),
        "mlp_expand_ratio": int(ratio) if ratio.is_integer() else ratio,
        "normalization": "batch" if any(k.endswith("running_mean") for k in state) else "group",
        "patch_norm": "patch_embed.norm.weight" in state,
        "final_norm": "norm.weight" in state,
    }


def _check_image_shape(image_shape, config):
    stride = config["patch_size"] * 2 ** (len(config["num_shift_blocks_per_stages"]) - 1)
    if any(size is not None and size % stride for size in image_shape[:2]):
        raise ValueError(
            f"image_shape={tuple(image_shape)}: height and width must be divisible by {stride}. At "
            "an odd map the authors' patch merging drops the last line, while this library's pads "
            "it, so the results would differ."
        )


def _variables_by_key(model):
    """Each variable of `model` with its PyTorch shape, by the authors' name."""
    if not isinstance(model, ShiftViT):
        raise ValueError(
            f"Needs a ShiftViT, got a {type(model).__name__}. The network inside a classifier is "
            'model.get_layer("shiftvit").'
        )
    patch_size, mixer = (model.get_config()[name] for name in ("patch_size", "token_mixer"))
    if mixer != "shift":
        raise ValueError(f"token_mixer={mixer!r}: the authors' code has the shift only.")
    variables = {}
    for variable in model.weights:
        key = _official_key(variable.path)
        shape = tuple(variable.shape)
        if variable.path.endswith("kernel"):
            shape = _kernel_shape(key, shape, patch_size)
        variables[key] = (variable, shape)
    return variables


def _official_key(path):
    module, _, leaf = path.rpartition("/")
    for ours, theirs in _MODULES:
        module = re.sub(ours, theirs, module)
    return f"{module}.{_LEAVES.get(leaf, leaf)}"


def _kernel_shape(key, shape, patch_size):
    """`(h * w * in, out)` -> `(out, in, h, w)`; the head is PyTorch's Linear, `(out, in)`."""
    rows, units = shape
    if key == "head.weight":
        return units, rows
    side = {"proj": patch_size, "reduction": 2}.get(key.split(".")[-2], 1)
    return units, rows // side**2, side, side


def _to_keras(value):
    if value.ndim == 4:  # (out, in, h, w) -> (h * w * in, out)
        return value.transpose(2, 3, 1, 0).reshape(-1, len(value))
    return value.T if value.ndim == 2 else value


def _to_pytorch(value, shape):
    if len(shape) == 4:
        units, channels, height, width = shape
        return value.reshape(height, width, channels, units).transpose(3, 2, 0, 1)
    return value.T if len(shape) == 2 else value

"""What decides a training run: `TrainConfig`, and the recipes that fill in what it leaves open."""

import dataclasses
import inspect
import json
import math
import os
from typing import Any

import numpy as np

from shiftvit_utils.augmentation import AUGMENTATIONS
from shiftvit_utils.data import source_text
from shiftvit_utils.image_decoding import check_image_size
from shiftvit_utils.model import DROP_PATH_RAMPS, ShiftViT
from shiftvit_utils.optimization import OPTIMIZERS, WEIGHT_DECAY_MODES
from shiftvit_utils.presets import preset_config
from shiftvit_utils.shift import SHIFT_VARIANTS

RECIPES: dict[str, dict[str, Any]] = {
    # What trains well here: Muon, mild augmentation, no MLP dropout, a high learning rate that goes
    # down to zero. Chosen by validation accuracy: docs/benchmarks.md, "Which recipe".
    "light": {
        "optimizer": "muon",
        "augmentation": "light",
        "batch_size": 256,
        "lr_start": 1e-5,
        "lr_max": 1.2e-2,
        "warmup_fraction": 0.1,
        "weight_decay": 0.05,
        "weight_decay_mode": "times_lr",
        "label_smoothing": 0.1,
        "mlp_dropout_rate": 0.0,
    },
    # The most accuracy in a few epochs of CIFAR-10 on a CPU, chosen by validation accuracy from the
    # tries in benchmarks/results/recipe-search-cifar10.csv: batch normalisation, smaller batches
    # than "light", and flips only.
    "fast": {
        "optimizer": "muon",
        "augmentation": "light",
        "max_translation": 0,
        "batch_size": 128,
        "lr_start": 1e-5,
        "lr_max": 1.2e-2,
        "warmup_fraction": 0.1,
        "weight_decay": 0.05,
        "weight_decay_mode": "times_lr",
        "label_smoothing": 0.1,
        "mlp_dropout_rate": 0.0,
        "network": {"normalization": "batch"},
    },
    # For a hundred epochs and more of a large network, such as `cifar10_strong` on a GPU: no two
    # epochs show the same image. In few epochs "light" is better.
    "long": {
        "augmentation": "randaugment",
        "mixup_alpha": 0.2,
        "cutmix_alpha": 1.0,
        "batch_size": 256,
        "lr_start": 1e-5,
        "lr_max": 2e-3,
        "warmup_fraction": 0.05,
        "weight_decay": 0.05,
        "weight_decay_mode": "times_lr",
        "label_smoothing": 0.1,
        "mlp_dropout_rate": 0.0,
        "network": {"normalization": "batch"},
    },
    # For data sets of a thousand or so images, such as the digits: AdamW, held back by more decay
    # and by drop path. Chosen by validation accuracy on the digits.
    "small": {
        "augmentation": "light",
        "batch_size": 64,
        "lr_start": 1e-5,
        "lr_max": 3e-3,
        "warmup_fraction": 0.1,
        "weight_decay": 0.3,
        "weight_decay_mode": "times_lr",
        "label_smoothing": 0.1,
        "mlp_dropout_rate": 0.0,
        "stochastic_depth_rate": 0.1,
    },
    # The published Keras example as it was, for `preset="cifar10"`: the baseline that is measured
    # against. Give one argument and one of its decisions is mended, the others stay:
    #
    # | mended                              | argument                                          |
    # |-------------------------------------|---------------------------------------------------|
    # | pixels move                         | shift_variant="paper"                             |
    # | C // num_div channels in each group | group_channels=0                                  |
    # | one drop path ramp over all blocks  | drop_path_ramp="network"                          |
    # | no dropout in the MLPs              | mlp_dropout_rate=0.0                              |
    # | a crop for each image, and -1..1    | augmentation="published"                          |
    # | decay times the learning rate       | weight_decay_mode="times_lr", weight_decay=0.1 *  |
    # | biases and normalisation undecayed  | decay_all=False                                   |
    # | no early stop                       | early_stopping_patience=0                         |
    # | the best weights by validation      | keep_weights="best"                               |
    # | smoothed labels                     | label_smoothing=0.1                               |
    #
    # * the same decay at the peak of the learning rate: 1e-4 a step is 0.1 times 1e-3.
    # Its other differences from the paper (layer norm, no patch or final norm, Glorot weights) are
    # the preset's. One of its traits is not here: it trained on the last batch of an epoch, which
    # is not full.
    "keras_io_2022": {
        "augmentation": "keras_io_2022",
        "batch_size": 256,
        "lr_start": 1e-5,
        "lr_max": 1e-3,
        "warmup_fraction": 0.15,
        "weight_decay": 1e-4,
        "weight_decay_mode": "constant",
        "decay_all": True,
        "label_smoothing": 0.0,
        "mlp_dropout_rate": 0.2,
        "stochastic_depth_rate": 0.2,
        "drop_path_ramp": "stage",
        "shift_variant": "border_zeroing",
        "group_channels": 12,
        "early_stopping_patience": 5,
        "keep_weights": "last",
    },
}
# On a small data set a batch of 256 would leave too few steps in an epoch.
SMALL_DATASET = 10_000
SMALL_BATCH_SIZE = 64
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
KEEP_WEIGHTS = ("best", "last")
# Arguments of `ShiftViT` that the data set and the run decide.
NOT_OF_A_PRESET = {"self", "image_shape", "num_classes", "dtype", "name", "trainable"}

# What each number must be: the least value of an int, or a test and its description.
_INTS = {
    "epochs": 1,
    "batch_size": 1,
    "steps_per_execution": 1,
    "early_stopping_patience": 0,
    "group_channels": 0,
    "max_translation": 0,
    "limit_train": 1,
    "seed": 0,
    "save_every_steps": 0,
    "save_every_epochs": 1,
}
_MAY_BE_NONE = (
    "batch_size",
    "early_stopping_patience",
    "group_channels",
    "max_translation",
    "limit_train",
)
_RATE = (lambda x: 0.0 <= x < 1.0, "a number in [0, 1)")
_NOT_NEGATIVE = (lambda x: math.isfinite(x) and x >= 0, "a finite number >= 0")
_NUMBERS = {
    "mixup_alpha": _NOT_NEGATIVE,
    "cutmix_alpha": _NOT_NEGATIVE,
    "lr_start": _NOT_NEGATIVE,
    "lr_max": _NOT_NEGATIVE,
    "weight_decay": _NOT_NEGATIVE,
    "label_smoothing": _RATE,
    "mlp_dropout_rate": _RATE,
    "stochastic_depth_rate": _RATE,
    "warmup_fraction": (lambda x: 0.0 <= x <= 1.0, "a number in [0, 1]"),
    "ema_momentum": (lambda x: 0.0 < x < 1.0, "None or a number in (0, 1)"),
    "global_clipnorm": (lambda x: math.isfinite(x) and x > 0, "None or a finite number > 0"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides a run. None means: as the recipe has it, else as said below.

    Args:
        dataset: "cifar10", "digits", or the path of an `.npz` or a folder; see `load_dataset`.
        preset: key of `PRESETS`.
        recipe: key of `RECIPES`.
        epochs: int >= 1.
        batch_size: int >= 1, images a step (over all devices). None is the recipe's; 64 if there
            are fewer than 10,000 training images, or all where there are fewer than 64.
        augmentation: "light", "erasing", "randaugment", "published", "keras_io_2022" or "none".
        mixup_alpha: float >= 0, strength of MixUp; see `mix_images`. 0 is off, and the default
            where the recipe sets nothing.
        cutmix_alpha: the same for CutMix. With both, each batch takes one of the two.
        horizontal_flip: bool; None is True, but False for "digits", which a mirror would turn into
            other signs.
        max_translation: int >= 0, by how many pixels "light", "erasing" and "randaugment" move an
            image at most; 4 where the recipe sets nothing.
        lr_start: float, learning rate of the first step.
        lr_max: float, learning rate after the warm-up.
        warmup_fraction: float in [0, 1], share of all steps that warm up.
        weight_decay: float >= 0, in the unit of `weight_decay_mode`.
        weight_decay_mode: "times_lr" or "constant"; see `build_optimizer`.
        decay_all: bool, decay biases and normalisation weights too; False where the recipe sets
            nothing.
        label_smoothing: float in [0, 1).
        mlp_dropout_rate: float in [0, 1).
        stochastic_depth_rate: float in [0, 1); the preset's where the recipe sets nothing.
        drop_path_ramp: "network" or "stage"; see `ShiftViT`. "network" where the recipe sets
            nothing.
        shift_variant: "paper", "border_zeroing" or "none"; see `Shift`. "paper" where the recipe
            sets nothing.
        group_channels: int >= 0, channels of each moving group; 0 is `C // num_div`, and the
            default where the recipe sets nothing. A recipe's number shrinks to a quarter of the
            first stage's channels, where four such groups would not fit.
        network: None, or a dict of other arguments of `ShiftViT` than the preset's, such as
            `{"projected_dim": 64, "activation": "relu"}`. What has an argument of its own here is
            refused. What the recipe sets in the network stays, unless it is given here.
        initial_weights: None, or where to start from instead of random weights: "cifar10" (the
            weights that this library ships), or the path of a `model.keras` or a run folder of the
            same network. A head for another number of classes starts anew. On the data that they
            were trained on, `seed` and `validation_size` must be theirs too, which hold back the
            same images for validation; other ones are refused. Or the authors' ImageNet weights,
            a `.pth` or `.safetensors` file; see `load_weights`.
        optimizer: "adamw", "sgd" (Nesterov momentum 0.9) or "muon"; see `build_optimizer`. "adamw"
            where the recipe sets nothing.
        ema_momentum: None, or a float in (0, 1): validate and save averaged weights.
        global_clipnorm: None, or a float > 0.
        early_stopping_patience: int >= 0: stop after so many epochs without a better validation
            accuracy; 0 never stops early, and is the default where the recipe sets nothing.
        keep_weights: "best" keeps and evaluates the weights of the best validation accuracy,
            "last" those of the last epoch. "best" where the recipe sets nothing.
        seed: int >= 0.
        precision: "float32", "mixed_bfloat16" or "mixed_float16".
        validation_size: None, an int (images) or a float (share); None is the data set's own.
        limit_train: None, or an int: train on so many images only, of each class in proportion.
        image_size: None, or pixels to which the images are resized as they are loaded, one int or
            `(height, width)`; the network takes them in this size then. None is the preset's size
            for images that are larger or of another shape, and else leaves them as they are.
        use_test_set: bool, evaluate the model that is kept on the test set, once, at the end. False
            for runs among which one chooses: a test set that was chosen by tells nothing any more.
        run_dir: None, or a path; None is a new folder `runs/<dataset>-<preset>`.
        resume: bool, go on from the last state in the run folder.
        save_every_steps: int >= 0, save the state within epochs too, every so many steps; 0 only
            at the end of epochs.
        save_every_epochs: int >= 1, save the state at the end of every so many epochs, and of the
            last, and whenever the best model is replaced. More than 1 pays where an epoch takes a
            second or two: a killed run then repeats up to so many of them.
        jit: "auto", True or False; "auto" compiles on TensorFlow and JAX.
        steps_per_execution: int >= 1, steps in one call of the compiled function.
        data_parallel: bool, use all devices of this machine (TensorFlow and JAX).

    Raises:
        ValueError: for values that no run could use; the message names the argument.

    >>> config = TrainConfig(recipe="keras_io_2022", preset="cifar10", shift_variant="paper")
    >>> config = config.resolved(num_train=40_000)
    >>> config.batch_size, config.shift_variant, config.group_channels
    (256, 'paper', 12)
    """

    dataset: str = "digits"
    preset: str = "micro"
    recipe: str = "light"
    epochs: int = 20
    batch_size: int | None = None
    augmentation: str | None = None
    mixup_alpha: float | None = None
    cutmix_alpha: float | None = None
    horizontal_flip: bool | None = None
    max_translation: int | None = None
    lr_start: float | None = None
    lr_max: float | None = None
    warmup_fraction: float | None = None
    weight_decay: float | None = None
    weight_decay_mode: str | None = None
    decay_all: bool | None = None
    label_smoothing: float | None = None
    mlp_dropout_rate: float | None = None
    stochastic_depth_rate: float | None = None
    drop_path_ramp: str | None = None
    shift_variant: str | None = None
    group_channels: int | None = None
    network: dict[str, Any] | None = None
    initial_weights: str | None = None
    optimizer: str | None = None
    ema_momentum: float | None = None
    global_clipnorm: float | None = None
    # Off by default: accuracy still rises in the last third of a cosine, when the learning rate
    # gets small. The published example stopped early at 63 % of its peak learning rate, and gave
    # that gain away.
    early_stopping_patience: int | None = None
    keep_weights: str | None = None
    seed: int = 0
    precision: str = "float32"
    validation_size: int | float | None = None
    limit_train: int | None = None
    image_size: int | list[int] | None = None
    use_test_set: bool = True
    run_dir: str | None = None
    resume: bool = False
    save_every_steps: int = 0
    save_every_epochs: int = 1
    jit: bool | str = "auto"
    steps_per_execution: int = 1
    data_parallel: bool = False

    def __post_init__(self):
        for name in ("dataset", "initial_weights", "run_dir"):
            value = getattr(self, name)
            if isinstance(value, os.PathLike):  # as text, which `config.json` can hold
                object.__setattr__(
                    self, name, os.fspath(value) if name == "run_dir" else source_text(value)
                )
            elif not isinstance(value, str) and (value is not None or name == "dataset"):
                raise ValueError(f"{name} must be a text or a path, got {value!r}.")
        held_back: Any = self.validation_size
        if isinstance(held_back, np.generic):  # as a number that `config.json` can hold
            object.__setattr__(self, "validation_size", held_back.item())
        size = check_image_size(self.image_size)
        if size is not None:  # as a list, which `config.json` gives back
            object.__setattr__(self, "image_size", list(size))
        preset_config(self.preset)  # raises and lists the presets if there is none of that name
        _check_choice("recipe", self.recipe, RECIPES)
        _check_choice("precision", self.precision, PRECISIONS)
        _check_choice("augmentation", self.augmentation, (None, *AUGMENTATIONS))
        _check_choice("weight_decay_mode", self.weight_decay_mode, (None, *WEIGHT_DECAY_MODES))
        _check_choice("optimizer", self.optimizer, (None, *OPTIMIZERS))
        _check_choice("decay_all", self.decay_all, (None, True, False))
        _check_choice("drop_path_ramp", self.drop_path_ramp, (None, *DROP_PATH_RAMPS))
        _check_choice("shift_variant", self.shift_variant, (None, *SHIFT_VARIANTS))
        _check_choice("keep_weights", self.keep_weights, (None, *KEEP_WEIGHTS))
        _check_choice("use_test_set", self.use_test_set, (True, False))
        _check_choice("jit", self.jit, ("auto", True, False))
        _check_choice("resume", self.resume, (True, False))
        _check_choice("data_parallel", self.data_parallel, (True, False))
        _check_choice("horizontal_flip", self.horizontal_flip, (None, True, False))
        for name, minimum in _INTS.items():
            if name in _MAY_BE_NONE and getattr(self, name) is None:
                continue
            _check_int(name, getattr(self, name), minimum)
        for name, (accepts, expected) in _NUMBERS.items():
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not accepts(value):
                raise ValueError(f"{name} must be {expected}, got {value!r}.")
        if self.network is not None:
            _check_network(self.network)
            # As JSON gives it back, so that a resumed run finds it equal.
            object.__setattr__(self, "network", json.loads(json.dumps(self.network)))
        recipe = RECIPES[self.recipe]
        lr_start = recipe["lr_start"] if self.lr_start is None else self.lr_start
        lr_max = recipe["lr_max"] if self.lr_max is None else self.lr_max
        if lr_max < lr_start:
            raise ValueError(
                f"lr_max={lr_max} is below lr_start={lr_start}: the warm-up must not go down."
            )

    def resolved(self, num_train):
        """The same run with every None replaced that the recipe, or the size of the data, decides.

        Args:
            num_train: int, number of training images.

        Raises:
            ValueError: if there are fewer training images than one batch.
        """
        filled = {
            name: value
            for name, value in RECIPES[self.recipe].items()
            if getattr(self, name) is None
        }
        if RECIPES[self.recipe].get("network"):
            filled["network"] = {**RECIPES[self.recipe]["network"], **(self.network or {})}
        if self.optimizer is None:
            filled.setdefault("optimizer", "adamw")
        if self.batch_size is None and num_train < SMALL_DATASET:
            filled["batch_size"] = min(SMALL_BATCH_SIZE, num_train)
        if "group_channels" in filled:
            network = {**preset_config(self.preset), **(self.network or {})}
            quarter = network["projected_dim"] // 4
            filled["group_channels"] = min(filled["group_channels"], quarter)
        if self.horizontal_flip is None:
            filled["horizontal_flip"] = self.dataset != "digits"
        config = dataclasses.replace(self, **filled)
        if config.batch_size > num_train:
            raise ValueError(
                f"batch_size={config.batch_size} is more than the {num_train} training images. "
                "Choose a smaller batch."
            )
        return config


def _check_network(network):
    if not isinstance(network, dict):
        raise ValueError(
            f"network must be None or a dict of ShiftViT arguments, got {network!r}. With "
            "papermill: -y 'network: {projected_dim: 64}'."
        )
    known = set(inspect.signature(ShiftViT.__init__).parameters) - NOT_OF_A_PRESET
    fields = {field.name for field in dataclasses.fields(TrainConfig)}
    for name in network:
        if name in fields:
            raise ValueError(f"network holds {name!r}, which is an argument of TrainConfig itself.")
        if name not in known:
            raise ValueError(
                f"network holds {name!r}, which is no argument of ShiftViT that a run can choose. "
                f"Those are: {', '.join(sorted(known - fields))}."
            )
        try:
            json.dumps(network[name])
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"network: {name} must be what JSON can hold (numbers, texts, lists, dicts), so "
                f"that a run can be resumed; got {network[name]!r}."
            ) from error


def _check_choice(name, value, choices):
    if value not in tuple(choices):
        raise ValueError(
            f"Unknown {name} {value!r}. Choose one of: {', '.join(map(repr, choices))}."
        )


def _check_int(name, value, minimum):
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise ValueError(f"{name} must be an int >= {minimum}, got {value!r}.")

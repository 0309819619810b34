"""ShiftViT in Keras 3: the layers, the network, and what it takes to train it."""

from shiftvit_utils.quiet_start import set_random_seed, without_information_lines

__version__ = "0.1.0"

with without_information_lines():
    try:
        import keras  # noqa: F401 (the first import of Keras starts its backend)
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in ("tensorflow", "jax", "torch"):
            raise
        raise ModuleNotFoundError(
            f"Keras computes with {missing} here, which is not installed: pip install {missing}. "
            "Or choose one that is: KERAS_BACKEND=tensorflow, jax or torch.",
            name=missing,
        ) from error

from shiftvit_utils.augmentation import Augmentation, RandomCropPerImage
from shiftvit_utils.block import MLP, DropPath, ShiftViTBlock
from shiftvit_utils.classifier import build_classifier
from shiftvit_utils.config import RECIPES, TrainConfig
from shiftvit_utils.data import Dataset, load_dataset
from shiftvit_utils.evaluation import classification_metrics, predict_logits
from shiftvit_utils.export import export
from shiftvit_utils.hub import save_for_hub
from shiftvit_utils.inference import Classifier
from shiftvit_utils.model import ShiftViT
from shiftvit_utils.official_checkpoint import (
    load_official_checkpoint,
    load_official_weights,
    save_official_state_dict,
)
from shiftvit_utils.optimization import build_optimizer, warmup_cosine
from shiftvit_utils.presets import PRESETS
from shiftvit_utils.rand_augment import RandAugmentPerImage
from shiftvit_utils.run_folder import RunFolder, newest_run, runs_root
from shiftvit_utils.saving import load_model, save_model
from shiftvit_utils.shift import Shift, shift
from shiftvit_utils.stage import PatchEmbedding, PatchMerging, StackedShiftBlocks
from shiftvit_utils.token_mixers import AttentionMixer, DepthwiseConvMixer
from shiftvit_utils.training import TrainResult, train

__all__ = [
    "MLP",
    "PRESETS",
    "RECIPES",
    "AttentionMixer",
    "Augmentation",
    "Classifier",
    "Dataset",
    "DepthwiseConvMixer",
    "DropPath",
    "PatchEmbedding",
    "PatchMerging",
    "RandAugmentPerImage",
    "RandomCropPerImage",
    "RunFolder",
    "Shift",
    "ShiftViT",
    "ShiftViTBlock",
    "StackedShiftBlocks",
    "TrainConfig",
    "TrainResult",
    "build_classifier",
    "build_optimizer",
    "classification_metrics",
    "export",
    "load_dataset",
    "load_model",
    "load_official_checkpoint",
    "load_official_weights",
    "newest_run",
    "predict_logits",
    "runs_root",
    "save_for_hub",
    "save_model",
    "save_official_state_dict",
    "set_random_seed",
    "shift",
    "train",
    "warmup_cosine",
]

"""Named sizes of the network: from one that trains in seconds on a CPU to the nine of the paper."""

import copy

_COURSE = {
    # Digits and tests: each patch of 4 is one pixel of the original 8x8 digit.
    "micro": {
        "image_shape": (32, 32, 3),
        "num_classes": 10,
        "patch_size": 4,
        "projected_dim": 24,
        "num_shift_blocks_per_stages": (2, 2, 2),
        "mlp_expand_ratio": 2,
    },
    # CIFAR-10 on a CPU, under a million parameters.
    "nano": {
        "image_shape": (32, 32, 3),
        "num_classes": 10,
        "patch_size": 2,
        "projected_dim": 48,
        "num_shift_blocks_per_stages": (4, 6, 4),
        "mlp_expand_ratio": 2,
    },
    # The published Keras example, with a shift that shifts.
    "cifar10": {
        "image_shape": (48, 48, 3),
        "num_classes": 10,
        "patch_size": 4,
        "projected_dim": 96,
        "num_shift_blocks_per_stages": (2, 4, 8, 2),
        "mlp_expand_ratio": 2,
        "stochastic_depth_rate": 0.2,
        "patch_norm": False,
        "final_norm": False,
    },
    # A CIFAR-10 network for a GPU: small patches and a deep third stage, 10.1 M parameters.
    "cifar10_strong": {
        "image_shape": (32, 32, 3),
        "num_classes": 10,
        "patch_size": 2,
        "projected_dim": 120,
        "num_shift_blocks_per_stages": (4, 8, 8),
        "mlp_expand_ratio": 2,
        "stochastic_depth_rate": 0.1,
    },
}


def _imagenet(blocks, mlp_expand_ratio, stochastic_depth_rate, projected_dim, num_div):
    return {
        "image_shape": (224, 224, 3),
        "num_classes": 1000,
        "patch_size": 4,
        "projected_dim": projected_dim,
        "num_shift_blocks_per_stages": blocks,
        "num_div": num_div,
        "mlp_expand_ratio": mlp_expand_ratio,
        "stochastic_depth_rate": stochastic_depth_rate,
        "normalization": "group",
        # The authors' truncated normal cuts at +-2, a hundred deviations away: a plain normal.
        "kernel_initializer": {"class_name": "RandomNormal", "config": {"stddev": 0.02}},
    }


PRESETS = {
    **_COURSE,
    # The registry of the authors' code (models/shiftvit.py in microsoft/SPACH).
    "light_tiny": _imagenet((2, 2, 6, 2), 4, 0.2, 96, 12),
    "r4_tiny": _imagenet((2, 2, 12, 3), 4, 0.2, 96, 12),
    "r2_tiny": _imagenet((6, 8, 18, 6), 2, 0.2, 96, 12),
    "light_small": _imagenet((2, 2, 18, 2), 4, 0.4, 96, 12),
    "r4_small": _imagenet((2, 6, 24, 4), 4, 0.4, 96, 12),
    "r2_small": _imagenet((10, 18, 36, 10), 2, 0.4, 96, 12),
    "light_base": _imagenet((2, 2, 18, 2), 4, 0.5, 128, 16),
    "r4_base": _imagenet((4, 6, 22, 4), 4, 0.5, 128, 16),
    "r2_base": _imagenet((10, 18, 36, 10), 2, 0.6, 128, 16),
}


def preset_config(name):
    """A fresh dictionary of `ShiftViT` arguments.

    Args:
        name: a key of `PRESETS`.

    Returns:
        dict, safe to change.

    Raises:
        ValueError: if there is no such preset; the message lists those there are.

    >>> preset_config("nano")["projected_dim"]
    48
    """
    if name not in PRESETS:
        raise ValueError(f"Unknown preset {name!r}. Choose one of: {', '.join(PRESETS)}.")
    return copy.deepcopy(PRESETS[name])

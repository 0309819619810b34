"""The nine networks of the paper at their real size: they run, and cost what the authors say."""

import keras
import numpy as np
import pytest

from shiftvit_utils import ShiftViT
from shiftvit_utils.layer_costs import layer_costs

pytestmark = pytest.mark.backend_free

VARIANTS = [
    f"{kind}_{size}" for size in ("tiny", "small", "base") for kind in ("light", "r4", "r2")
]
# FLOPs (G) in the README of microsoft/SPACH, which lists four of the nine.
README_GIGA_FLOPS = {"light_tiny": 3.0, "r2_tiny": 4.5, "light_small": 5.7, "r2_small": 8.8}


@pytest.mark.parametrize("name", README_GIGA_FLOPS)
def test_multiply_adds_are_the_flops_of_the_readme(name):
    network = ShiftViT.from_preset(name, kernel_initializer="zeros")
    giga = sum(cost.multiply_adds for cost in layer_costs(network)) / 1e9
    assert giga == pytest.approx(README_GIGA_FLOPS[name], rel=0.02)


@pytest.mark.parametrize("name", VARIANTS)
def test_forward_pass_at_224(name):
    network = ShiftViT.from_preset(name)
    images = np.random.default_rng(0).normal(size=(2, 224, 224, 3)).astype("float32")
    images[1, 0, :, :] += 10  # the same but for the first line
    images[1] = np.where(np.arange(224)[:, None, None] == 0, images[1], images[0])
    logits = keras.ops.convert_to_numpy(network(images))
    assert logits.shape == (2, 1000)
    assert np.isfinite(logits).all()
    assert np.abs(logits[0] - logits[1]).max() > 0  # one line at the border is seen
    assert logits.std() > 0

"""What stands in the shift's place: the convolution that starts as it, and attention."""

import keras
import numpy as np
import pytest
from keras import ops
from numpy_oracles import as_numpy, normalized, shifted

from shiftvit_utils import AttentionMixer, DepthwiseConvMixer, Shift, ShiftViT
from shiftvit_utils.optimization import build_optimizer
from shiftvit_utils.token_mixers import TOKEN_MIXERS, make_token_mixer


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize("shift_pixel", [0, 1, 2])
def test_the_convolution_starts_as_the_shift(shift_pixel):
    x = normal(2, 5, 6, 13)
    out = as_numpy(DepthwiseConvMixer(num_div=5, shift_pixel=shift_pixel)(x))
    np.testing.assert_array_equal(out, shifted(x.astype("float64"), 5, shift_pixel))


@pytest.mark.parametrize("shift_pixel", [1, 2])
def test_with_any_weights_it_is_the_depthwise_convolution_of_keras(shift_pixel):
    layer = DepthwiseConvMixer(num_div=4, shift_pixel=shift_pixel)
    x = normal(2, 5, 7, 8)
    layer(x)
    for k, weight in enumerate(layer.weights):
        weight.assign(normal(*weight.shape, seed=k + 1))
    expected = ops.depthwise_conv(x, layer.kernel, padding="same") + layer.bias
    np.testing.assert_allclose(as_numpy(layer(x)), as_numpy(expected), atol=1e-5)


@pytest.mark.parametrize("shift_pixel", [-1, 1.0, True])
def test_the_convolution_refuses_what_the_shift_refuses(shift_pixel):
    with pytest.raises(ValueError, match="shift_pixel"):
        DepthwiseConvMixer(shift_pixel=shift_pixel)


def attention_in_numpy(layer, x):
    """Every head and every image by a loop, in float64, with the layer's own weights."""
    batch, height, width, channels = x.shape
    weights = {w.path.split("attention_mixer")[-1].partition("/")[2]: as_numpy(w) for w in
               layer.weights}  # fmt: skip
    tokens = x.reshape(batch, height * width, channels).astype("float64")
    seen = normalized(
        tokens[..., None, :], "layer", weights["norm/gamma"], weights["norm/beta"], layer.epsilon
    )[..., 0, :]
    seen = seen + weights["position_embedding"]
    out = np.zeros_like(tokens)
    for image in range(batch):
        query, key, value = (
            seen[image] @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]
            for name in ("query", "key", "value")
        )
        mixed = np.zeros((height * width, channels))
        for start in range(0, channels, layer.head_channels):
            head = slice(start, start + layer.head_channels)
            scores = query[:, head] @ key[:, head].T / np.sqrt(layer.head_channels)
            shares = np.exp(scores - scores.max(axis=1, keepdims=True))
            shares /= shares.sum(axis=1, keepdims=True)
            mixed[:, head] = shares @ value[:, head]
        total = mixed @ weights["output/kernel"] + weights["output/bias"]
        out[image] = tokens[image] + total
    return out.reshape(x.shape)


def test_attention_equals_its_formula():
    layer = AttentionMixer(head_channels=4, epsilon=1e-3, name="attention_mixer")
    x = normal(2, 3, 4, 12)
    layer(x)
    for k, weight in enumerate(layer.weights):
        weight.assign(normal(*weight.shape, seed=k + 1))
    # The network multiplies in float32; scores of random weights are large, so not to the last bit.
    expected = attention_in_numpy(layer, x)
    assert np.abs(expected - x).max() > 1.0, "attention must do something"
    np.testing.assert_allclose(as_numpy(layer(x)), expected, rtol=1e-3, atol=1e-3)


def test_muon_steps_all_that_attention_multiplies_by():
    """Or a comparison of mixers would be one of optimizers. Embeddings are AdamW's."""
    layer = AttentionMixer(head_channels=4)
    layer(normal(1, 4, 4, 8))
    muon = build_optimizer(0.1, optimizer="muon")
    muon.build(layer.trainable_variables)
    stepped = {w.path.split("/", 1)[1] for w in layer.trainable_variables
               if muon.adam_velocities[muon._get_variable_index(w)] is None}  # fmt: skip
    assert stepped == {f"{name}/kernel" for name in ("query", "key", "value", "output")}


def test_attention_knows_where_a_token_stands():
    """Without the places, a map with its tokens in another order would come out in that order."""
    layer = AttentionMixer(head_channels=4)
    x = normal(1, 4, 4, 8)
    layer(x)
    turned = x[:, ::-1]
    blind, seeing = [], []
    for outcome, position in ((blind, 0.0), (seeing, normal(16, 8))):
        layer.position.assign(np.broadcast_to(position, (16, 8)))
        outcome += [as_numpy(layer(x))[:, ::-1], as_numpy(layer(turned))]
    np.testing.assert_allclose(*blind, atol=1e-5)
    assert np.abs(seeing[0] - seeing[1]).max() > 1e-3


def test_attention_sees_the_whole_map_and_the_shift_only_neighbours():
    x = normal(1, 6, 6, 12)
    changed = x.copy()
    changed[0, 0, 0] += 1.0 + np.arange(12)
    reached = {}
    for name in TOKEN_MIXERS:
        layer = make_token_mixer(name, 4, 1, "paper", None, 1e-5, "float32")
        difference = np.abs(as_numpy(layer(x)) - as_numpy(layer(changed))).max(axis=(0, 3))
        reached[name] = set(map(tuple, np.argwhere(difference > 0)))
    neighbours = {(0, 1), (1, 0)}
    assert reached["shift"] == neighbours  # num_div=4: all channels move
    assert reached["depthwise_conv"] == neighbours
    assert len(reached["attention"]) == 36


def test_attention_says_what_it_needs():
    with pytest.raises(ValueError, match=r"known height and width.*image_shape"):
        AttentionMixer()(keras.Input((None, None, 24)))
    with pytest.raises(ValueError, match=r"32 channels are no multiple of head_channels=24"):
        AttentionMixer()(normal(1, 2, 2, 32))
    assert AttentionMixer()(normal(1, 2, 2, 7)).shape == (1, 2, 2, 7)  # one head of 7


def test_the_networks_mixer_is_the_one_asked_for():
    kinds = {"shift": Shift, "depthwise_conv": DepthwiseConvMixer, "attention": AttentionMixer}
    x = normal(2, 32, 32, 3)
    outputs = {}
    for name, kind in kinds.items():
        keras.utils.set_random_seed(0)
        network = ShiftViT.from_preset("micro", token_mixer=name)
        stage = network.get_layer("stage_1")
        assert [type(block.shift) for block in stage.blocks] == [kind, kind]
        assert ShiftViT.from_config(network.get_config()).get_config()["token_mixer"] == name
        outputs[name] = network
    shift_network, convolution = outputs["shift"], outputs["depthwise_conv"]
    own = {w.path: w for w in shift_network.weights}
    for weight in convolution.weights:
        if weight.path in own:
            weight.assign(own[weight.path])
    assert {w.path for w in convolution.weights} > set(own)
    np.testing.assert_allclose(as_numpy(convolution(x)), as_numpy(shift_network(x)), atol=1e-5)


def test_attention_has_the_networks_epsilon():
    network = ShiftViT.from_preset("micro", token_mixer="attention", epsilon=1e-3)
    stages = [network.get_layer(f"stage_{k}") for k in range(3)]
    mixers = [block.shift for stage in stages for block in stage.blocks]
    assert [mixer.norm.epsilon for mixer in mixers] == [1e-3] * 6


def test_unknown_mixer_lists_the_known():
    with pytest.raises(ValueError, match=r"token_mixer must be one of .*'attention'.*'window'"):
        ShiftViT.from_preset("micro", token_mixer="window")

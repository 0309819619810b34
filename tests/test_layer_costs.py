"""Counts from shapes against the weights that a network has and the products that it computes."""

from itertools import pairwise
from math import prod

import keras
import numpy as np
import pytest

from shiftvit_utils import ShiftViT
from shiftvit_utils.layer_costs import CostTable, LayerCost, block_costs, layer_costs

pytestmark = pytest.mark.backend_free

SMALL = {
    "num_classes": 5,
    "patch_size": 4,
    "projected_dim": 12,
    "num_shift_blocks_per_stages": (2, 1, 1),
    "mlp_expand_ratio": 1.5,
}
NETWORKS = {
    "even": {"image_shape": (16, 16, 3)},
    "odd maps": {"image_shape": (20, 12, 3), "normalization": "group"},  # 5x3, 3x2, 2x1
    "batch norm": {"image_shape": (16, 16, 1), "normalization": "batch", "patch_norm": False},
    "empty stage": {"image_shape": (8, 8, 3), "num_shift_blocks_per_stages": (0, 1)},
}


@pytest.fixture(params=NETWORKS, scope="module")
def network(request):
    return ShiftViT(**{**SMALL, **NETWORKS[request.param]})


def test_every_layer_has_the_weights_that_it_is_said_to_have(network):
    costs = layer_costs(network)
    for cost in costs:
        weights = [w.shape for w in network.weights if w.path.startswith(f"{cost.name}/")]
        assert cost.parameters == sum(prod(shape) for shape in weights), cost.name
    assert sum(cost.parameters for cost in costs) == network.count_params()


def test_multiply_adds_are_those_of_the_products_that_run(network, monkeypatch):
    """Reads the shapes of the real tensors, while one image passes the network."""
    measured = []
    dense_call = keras.layers.Dense.call

    def call(layer, inputs, **kwargs):
        outputs = dense_call(layer, inputs, **kwargs)
        measured.append((prod(outputs.shape) * inputs.shape[-1], tuple(outputs.shape[1:])))
        return outputs

    monkeypatch.setattr(keras.layers.Dense, "call", call)
    network(np.zeros((1, *network.input_shape[1:]), "float32"))
    products = [cost for cost in layer_costs(network) if cost.multiply_adds]
    assert [(cost.multiply_adds, cost.output_shape) for cost in products] == measured


def test_each_layer_takes_what_the_one_before_gives(network):
    costs = layer_costs(network)
    for before, after in pairwise(costs):
        assert after.input_shape == before.output_shape, after.name
    last = {cost.name.split("/")[0]: cost.output_shape for cost in costs}
    for name, shape in last.items():
        assert network.get_layer(name).output.shape[1:] == shape, name
    assert costs[0].input_shape == network.input_shape[1:]


@pytest.mark.parametrize(
    ("preset", "parameters", "multiply_adds"),
    [
        ("micro", 124_018, None),
        # The published example: 1264 d**2 + 433 d + 10 for d = 96; multiply-adds by hand.
        ("cifar10", 11_690_602, 103_890_432),
        # Registry of the authors' code; "3.0 G" in the paper's table.
        ("light_tiny", 19_608_328, pytest.approx(3.0e9, rel=0.02)),
    ],
)
def test_totals_of_presets(preset, parameters, multiply_adds):
    costs = layer_costs(ShiftViT.from_preset(preset))
    assert sum(cost.parameters for cost in costs) == parameters
    if multiply_adds is not None:
        assert sum(cost.multiply_adds for cost in costs) == multiply_adds


def test_unknown_image_size_is_named():
    network = ShiftViT(**{**SMALL, "image_shape": (None, None, 3)})
    with pytest.raises(ValueError, match=r"image_shape=\(None, None, 3\).*known height and width"):
        layer_costs(network)


class TestTable:
    COSTS = (
        LayerCost("patch_embedding/patchify", (8, 8, 3), (4, 4, 12)),
        LayerCost("patch_embedding/projection", (4, 4, 12), (4, 4, 10), 130, 1920),
        *block_costs("stage_0/block_0", (4, 4, 10), 2),
        *block_costs("stage_0/block_1", (4, 4, 10), 2),
        *block_costs("stage_0/block_2", (4, 4, 10), 2),
        LayerCost("stage_0/merging/norm", (4, 4, 10), (4, 4, 10), 20),
        LayerCost("stage_0/merging/reduction", (4, 4, 10), (2, 2, 20), 800, 3200),
        LayerCost("head", (20,), (3,), 63, 60),
    )

    @pytest.mark.parametrize(
        ("opened", "lines"),
        [
            (None, ["stage_0, 3 blocks"]),
            ("stage_0/block_0", ["<block_0>", "stage_0, 2 blocks"]),
            ("stage_0/block_1", ["stage_0, 1 block", "<block_1>", "stage_0, 1 block"]),
        ],
    )
    def test_blocks_share_a_line_except_the_opened_one(self, opened, lines):
        layers = ("shift", "norm", "mlp/expand", "mlp/project", "drop_path")
        expected = []
        for line in lines:
            expected += [f"{opened}/{layer}" for layer in layers] if line[0] == "<" else [line]
        table = CostTable(self.COSTS, opened)
        names = [row.name for row in table.rows]
        assert names == ["patch_embedding", *expected, "stage_0/merging", "head"]

    @pytest.mark.parametrize("opened", [None, "stage_0/block_0", "stage_0/block_2"])
    def test_columns_add_up_to_the_total(self, opened):
        table = CostTable(self.COSTS, opened)
        block = 20 + (10 * 20 + 20) + (20 * 10 + 10)  # norm, expand, project
        assert table.total.parameters == 130 + 3 * block + 820 + 63
        assert sum(row.parameters for row in table.rows) == table.total.parameters
        assert table.total.multiply_adds == 1920 + 3 * 2 * 16 * 200 + 3200 + 60
        assert sum(row.multiply_adds for row in table.rows) == table.total.multiply_adds

    def test_both_renderings_hold_the_same_cells(self):
        table = CostTable(self.COSTS)
        text = repr(table).splitlines()
        markdown = [
            [cell.strip(" *") for cell in line.strip("|").split("|")]
            for line in table._repr_markdown_().splitlines()
        ]
        assert [line.split() for line in text] == [
            " ".join(cells).split() for cells in (markdown[0], *markdown[2:])
        ]
        assert markdown[1][-2:] == ["---:", "---:"], "numbers stand on the right"
        assert len({len(line) for line in text}) == 1, "aligned"
        assert markdown[-2] == ["head", "20", "3", "63", "60"]
        assert "1,920" in text[1]


@pytest.mark.parametrize("shift_pixel", [1, 2])
@pytest.mark.parametrize("token_mixer", ["shift", "depthwise_conv", "attention"])
def test_what_mixes_tokens_has_the_weights_that_it_is_said_to_have(token_mixer, shift_pixel):
    settings = {"token_mixer": token_mixer, "shift_pixel": shift_pixel}
    network = ShiftViT(**{**SMALL, **NETWORKS["even"], **settings})
    costs = [cost for cost in layer_costs(network) if cost.name.endswith(f"/{token_mixer}")]
    assert len(costs) == 4
    for cost in costs:
        weights = [w.shape for w in network.weights if w.path.startswith(f"{cost.name}/")]
        assert cost.parameters == sum(prod(shape) for shape in weights), cost.name
    # By hand, first block, 4x4 tokens of 12 channels: 9 products a value, or 25 where the kernel
    # reaches two pixels far; or four dense layers, and each of 16 tokens with each, twice.
    by_hand = {
        "shift": 0,
        "depthwise_conv": {1: 9, 2: 25}[shift_pixel] * 16 * 12,
        "attention": 4 * 16 * 12 * 12 + 2 * 16 * 16 * 12,
    }
    assert costs[0].multiply_adds == by_hand[token_mixer]

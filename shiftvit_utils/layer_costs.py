"""What each layer of a `ShiftViT` costs: parameters and multiply-adds, from shapes alone.

No layer is asked for its weights: every number follows from the shape that goes in and the
arguments of the network. So the sum can be compared with `model.count_params()`, and if the two
agree, every layer was understood. Counted for one image are the multiply-adds of matrix products.
Normalisation, activation, shortcuts and pooling need a few operations a number and are left out, as
is usual.
"""

from itertools import groupby
from math import prod
from typing import NamedTuple

# Numbers a channel: gamma and beta; batch normalisation also keeps a running mean and variance.
NORM_PARAMETERS = {"layer": 2, "group": 2, "batch": 4}


class LayerCost(NamedTuple):
    """One layer: where it stands, the shapes `(H, W, C)` of one image, and what it costs."""

    name: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    parameters: int = 0
    multiply_adds: int = 0


def dense_cost(name, input_shape, units, use_bias=True):
    """A dense layer on the last axis.

    Args:
        name: str.
        input_shape: tuple of int, `(..., C)` without the batch axis.
        units: int, channels that come out.
        use_bias: bool.

    Returns:
        `LayerCost`: one weight for each pair of channels, used once at each pixel.

    >>> dense_cost("head", (768,), 10)[3:]
    (7690, 7680)
    """
    *sizes, channels = input_shape
    parameters = channels * units + (units if use_bias else 0)
    return LayerCost(
        name, tuple(input_shape), (*sizes, units), parameters, prod(sizes) * channels * units
    )


def norm_cost(name, shape, normalization):
    """A normalisation layer: a few numbers for each channel, no matrix product."""
    return LayerCost(name, shape, shape, NORM_PARAMETERS[normalization] * shape[-1])


def mixer_cost(name, shape, token_mixer="shift", shift_pixel=1):
    """What mixes the tokens of a block: the shift, which costs nothing, or what replaces it.

    Args:
        name: str, of the block.
        shape: `(H, W, C)`.
        token_mixer: "shift", "depthwise_conv" or "attention".
        shift_pixel: int >= 0, the convolution reaches as far.

    Returns:
        `LayerCost`.

    >>> mixer_cost("block", (16, 16, 48), "attention")[3:]
    (21792, 8650752)
    """
    height, width, channels = shape
    tokens = height * width
    kernel = (2 * shift_pixel + 1) ** 2
    parameters, multiply_adds = {
        "shift": (0, 0),
        "depthwise_conv": ((kernel + 1) * channels, kernel * channels * tokens),
        "attention": (
            # Four dense layers with biases, a vector for each place, and the normalisation.
            4 * channels * (channels + 1) + tokens * channels + 2 * channels,
            # The dense layers; then each token with each, for the weights and for the sum.
            4 * channels**2 * tokens + 2 * tokens**2 * channels,
        ),
    }[token_mixer]
    return LayerCost(f"{name}/{token_mixer}", shape, shape, parameters, multiply_adds)


def block_costs(
    name, shape, mlp_expand_ratio, normalization="layer", token_mixer="shift", shift_pixel=1
):
    """The layers of one `ShiftViTBlock`, in order.

    Args:
        name: str that their names begin with.
        shape: `(H, W, C)`, which a block leaves as it is.
        mlp_expand_ratio: number > 0.
        normalization: "layer", "group" or "batch".
        token_mixer: "shift", "depthwise_conv" or "attention".
        shift_pixel: int >= 0, in pixels.

    Returns:
        list of `LayerCost`.

    >>> sum(cost.parameters for cost in block_costs("block", (12, 12, 96), 2))
    37344
    """
    channels = shape[-1]
    expand = dense_cost(f"{name}/mlp/expand", shape, int(channels * mlp_expand_ratio))
    return [
        mixer_cost(name, shape, token_mixer, shift_pixel),
        norm_cost(f"{name}/norm", shape, normalization),
        expand,
        dense_cost(f"{name}/mlp/project", expand.output_shape, channels),
        LayerCost(f"{name}/drop_path", shape, shape),
    ]


def merging_costs(name, shape, normalization="layer"):
    """The layers of one `PatchMerging`, in order, as `block_costs` gives those of a block."""
    height, width, channels = shape
    # Rounded up: a map of odd size gets a line of zeros before it is cut into squares.
    squares = (-(-height // 2), -(-width // 2), 4 * channels)
    return [
        norm_cost(f"{name}/norm", shape, normalization),
        LayerCost(f"{name}/patchify", shape, squares),
        dense_cost(f"{name}/reduction", squares, 2 * channels, use_bias=False),
    ]


def layer_costs(model):
    """The layers of a network, in the order in which an image meets them.

    Args:
        model: `ShiftViT` with a known image height and width.

    Returns:
        list of `LayerCost`. Each takes the shape that the one before it gives, and carries the name
        that its weights have in `model.weights`.

    Raises:
        ValueError: if the height or width of the images is None.

    >>> from shiftvit_utils import ShiftViT
    >>> costs = layer_costs(ShiftViT.from_preset("cifar10"))
    >>> sum(cost.parameters for cost in costs), sum(cost.multiply_adds for cost in costs)
    (11690602, 103890432)
    """
    config = model.get_config()
    height, width, channels = config["image_shape"]
    if height is None or width is None:
        raise ValueError(
            f"image_shape={config['image_shape']}: the cost depends on the size of the images. "
            "Make the network with a known height and width."
        )
    patch, normalization = config["patch_size"], config["normalization"]
    squares = (height // patch, width // patch, patch**2 * channels)
    costs = [
        LayerCost("patch_embedding/patchify", (height, width, channels), squares),
        dense_cost("patch_embedding/projection", squares, config["projected_dim"]),
    ]
    if config["patch_norm"]:
        costs.append(norm_cost("patch_embedding/norm", costs[-1].output_shape, normalization))
    blocks_per_stage = config["num_shift_blocks_per_stages"]
    for stage, blocks in enumerate(blocks_per_stage):
        for block in range(blocks):
            name, shape = f"stage_{stage}/block_{block}", costs[-1].output_shape
            costs += block_costs(
                name,
                shape,
                config["mlp_expand_ratio"],
                normalization,
                config["token_mixer"],
                config["shift_pixel"],
            )
        if stage < len(blocks_per_stage) - 1:
            costs += merging_costs(f"stage_{stage}/merging", costs[-1].output_shape, normalization)
    shape = costs[-1].output_shape
    if config["final_norm"]:
        costs.append(norm_cost("norm", shape, normalization))
    costs.append(LayerCost("average_pooling", shape, shape[-1:]))
    costs.append(dense_cost("head", shape[-1:], config["num_classes"]))
    return costs


def summed(costs, name):
    """Layers that follow each other, as one `LayerCost` of that name."""
    return LayerCost(
        name,
        costs[0].input_shape,
        costs[-1].output_shape,
        sum(cost.parameters for cost in costs),
        sum(cost.multiply_adds for cost in costs),
    )


class CostTable:
    """Costs as a table that fits on a screen: a Markdown table in a notebook, else aligned text.

    The blocks of a stage share one line, except one block, whose layers have a line each. Every
    layer is counted in one line only, so the columns add up to the last one.

    Args:
        costs: list of `LayerCost`, as `layer_costs` gives them.
        opened: name of the block to open, such as "stage_0/block_0"; None opens none.

    Attributes:
        rows: list of `LayerCost`, the lines of the table without the total.
        total: `LayerCost` of all of them.

    >>> costs = block_costs("stage_0/block_0", (12, 12, 96), 2)
    >>> CostTable(costs + block_costs("stage_0/block_1", (12, 12, 96), 2), opened=None)
    layer              in        out       parameters  multiply-adds
    stage_0, 2 blocks  12×12×96  12×12×96      74,688     10,616,832
    total              12×12×96  12×12×96      74,688     10,616,832
    """

    HEADER = ("layer", "in", "out", "parameters", "multiply-adds")

    def __init__(self, costs, opened="stage_0/block_0"):
        self.rows = [summed(list(members), line) for line, members in _lines(costs, opened)]
        self.total = summed(costs, "total")

    def _cells(self):
        return [
            (
                cost.name,
                _times(cost.input_shape),
                _times(cost.output_shape),
                f"{cost.parameters:,}",
                f"{cost.multiply_adds:,}",
            )
            for cost in (*self.rows, self.total)
        ]

    def _repr_markdown_(self):
        *rows, total = self._cells()
        lines = [self.HEADER, ("---", "---", "---", "---:", "---:"), *rows]
        lines.append(tuple(f"**{cell}**" for cell in total))
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def __repr__(self):
        lines = [self.HEADER, *self._cells()]
        widths = [max(len(line[k]) for line in lines) for k in range(len(self.HEADER))]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if k < 3 else cell.rjust(width)
                for k, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        )


def _times(shape):
    return "×".join(str(size) for size in shape)


def _lines(costs, opened):
    """Yields, for each line of the table, its text and its layers."""

    def line_of(cost):
        first, *rest = cost.name.split("/")
        if opened is not None and cost.name.startswith(f"{opened}/"):
            return cost.name
        return f"{first}/merging" if rest[:1] == ["merging"] else first

    for line, group in groupby(costs, key=line_of):
        members = list(group)
        blocks = len({cost.name.split("/")[1] for cost in members if "/block_" in cost.name})
        if blocks and line != members[0].name:
            line += f", {blocks} block{'s' if blocks > 1 else ''}"
        yield line, members

"""Figures of what the layers do: patches, drop path, costs by stage, feature maps of an image.

As in `figures`, nothing is told by colour alone: groups of channels carry their arrow, merging is
hatched, cells show their number.
"""

from collections import defaultdict

import numpy as np
from matplotlib.figure import Figure

from shiftvit_utils.figures import DIRECTION_STYLE, PALETTE
from shiftvit_utils.shift import DIRECTIONS, channels_per_group

# None of the colours that mean a direction.
PATCH_COLORS = (PALETTE["sky"], PALETTE["purple"], PALETTE["grey"], "white")


def patches_figure(image, patch_size):
    """A small image of numbers, cut into squares, and the token that each square becomes.

    Args:
        image: array `(H, W)` of numbers, H and W divisible by `patch_size`.
        patch_size: int, in pixels.

    Returns:
        `matplotlib.figure.Figure` with two axes.

    >>> len(patches_figure(np.arange(16).reshape(4, 4), 2).axes)
    2
    """
    height, width = image.shape
    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    tokens: list[tuple[int, int]] = []  # rows and columns of squares
    for top in range(0, height, patch_size):
        for start in range(0, width, patch_size):
            color = PATCH_COLORS[len(tokens) % len(PATCH_COLORS)]
            square = image[top : top + patch_size, start : start + patch_size]
            for row, column in np.ndindex(square.shape):
                _cell(left, top + row, start + column, square[row, column], color)
            corner = (start - 0.5, top - 0.5)
            left.add_patch(_frame(corner, patch_size, patch_size))
            for column, value in enumerate(square.ravel()):
                _cell(right, len(tokens), column, value, color)
            right.add_patch(_frame((-0.5, len(tokens) - 0.5), patch_size**2, 1))
            tokens.append((top // patch_size, start // patch_size))
    left.set(xlim=(-0.6, width - 0.4), ylim=(height - 0.4, -0.6), aspect="equal")
    left.set(title=f"image {height}×{width}×1", xticks=[], yticks=[])
    right.set(xlim=(-0.6, patch_size**2 - 0.4), ylim=(len(tokens) - 0.4, -0.6), aspect="equal")
    right.set_yticks(range(len(tokens)), [f"token {position}" for position in tokens])
    grid = f"{height // patch_size}×{width // patch_size}×{patch_size**2}"
    right.set(title=f"tokens {grid}", xticks=[], xlabel="channels")
    return figure


def _cell(axes, row, column, value, color):
    axes.add_patch(_frame((column - 0.5, row - 0.5), 1, 1, color, alpha=0.35, linewidth=0.5))
    axes.text(column, row, f"{value:g}", ha="center", va="center", fontsize=12)


def _frame(corner, width, height, facecolor="none", **style):
    from matplotlib.patches import Rectangle

    return Rectangle(
        corner,
        width,
        height,
        **{"facecolor": facecolor, "edgecolor": "black", "linewidth": 2.5} | style,
    )


def drop_path_figure(outputs):
    """What layers made of a batch of ones: white is dropped, dark is kept and scaled up.

    Args:
        outputs: dictionary from a row's title to an array `(N, H, W)`, all of the same shape.

    Returns:
        `matplotlib.figure.Figure`: a row for each entry, a column for each sample, and the mean of
        the sample below it.
    """
    samples = len(next(iter(outputs.values())))
    figure = Figure(figsize=(1.1 * samples + 1.6, 1.5 * len(outputs)), layout="constrained")
    grid = figure.subplots(len(outputs), samples, squeeze=False)
    highest = max(float(np.max(maps)) for maps in outputs.values())
    for axes_row, (title, maps) in zip(grid, outputs.items(), strict=True):
        for axes, values in zip(axes_row, maps, strict=True):
            axes.imshow(values, cmap="Blues", vmin=0.0, vmax=1.4 * highest)
            axes.set(xticks=[], yticks=[], xlabel=f"mean {values.mean():.2g}")
        axes_row[0].set_ylabel(title, rotation=0, ha="right", va="center")
    return figure


def ramp_figure(ramps):
    """Drop path rates of all blocks, for several ways to choose them.

    Args:
        ramps: dictionary from a name to a list of lists of rates, one list for each stage.

    Returns:
        `matplotlib.figure.Figure`.
    """
    figure = Figure(figsize=(7.2, 3.0), layout="constrained")
    axes = figure.add_subplot()
    looks = zip("os^", ("-", "--", ":"), ("blue", "vermillion", "grey"), strict=True)
    for (name, stages), (marker, line, color) in zip(ramps.items(), looks, strict=False):
        rates = np.concatenate(stages)
        blocks = np.arange(1, len(rates) + 1)
        axes.plot(blocks, rates, line, marker=marker, color=PALETTE[color], label=name)
    for last in np.cumsum([len(stage) for stage in stages])[:-1]:
        axes.axvline(last + 0.5, color=PALETTE["grey"], linewidth=0.8)
    axes.set(xlabel="block (lines: ends of stages)", ylabel="drop path rate", xticks=blocks)
    axes.grid(alpha=0.3, axis="y")
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def parameters_figure(costs):
    """Where a network's parameters sit, and where its multiply-adds, in percent.

    Args:
        costs: list of `LayerCost`, as `layer_costs.layer_costs` gives them.

    Returns:
        `matplotlib.figure.Figure` with two axes: a bar for each stage, of which patch merging is
        the hatched end.
    """
    parts: dict[str, list[list]] = defaultdict(lambda: [[], []])
    for cost in costs:
        if cost.parameters or cost.multiply_adds:
            parts[cost.name.split("/")[0]]["/merging/" in cost.name].append(cost)
    figure = Figure(figsize=(9.6, 3.4), layout="constrained")
    names = list(parts)
    widest = 0.0
    panels = zip(
        figure.subplots(1, 2, sharex=True, sharey=True),
        ("parameters", "multiply_adds"),
        strict=True,
    )
    for axes, quantity in panels:
        total = sum(getattr(cost, quantity) for cost in costs)
        blocks, merging = (
            [100 * sum(getattr(c, quantity) for c in parts[name][k]) / total for name in names]
            for k in (0, 1)
        )
        axes.barh(names, blocks, color=PALETTE["sky"], label="layers, blocks")
        axes.barh(
            names, merging, left=blocks, color="white", edgecolor=PALETTE["blue"], hatch="///",
            label="patch merging",
        )  # fmt: skip
        for row, share in enumerate(np.add(blocks, merging)):
            axes.text(share + 1, row, f"{share:.1f} %", va="center")
            widest = max(widest, share)
        axes.set(title=f"{total:,} {quantity.replace('_', '-')}", xlabel="% of all")
    # Both axes share these: room for the widest label, and the image enters at the top.
    axes.set(xlim=(0, 1.3 * widest))
    axes.invert_yaxis()
    axes.legend(loc="lower right")
    return figure


def growth_figure(tokens, multiply_adds):
    """Multiply-adds against the number of tokens, both on logarithmic axes.

    Args:
        tokens: sequence of int.
        multiply_adds: dictionary from a name to a sequence of numbers, one for each of `tokens`.

    Returns:
        `matplotlib.figure.Figure`.
    """
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.add_subplot()
    looks = zip("os^", ("-", "--", ":"), ("vermillion", "blue", "grey"), strict=True)
    for (name, numbers), (marker, line, color) in zip(multiply_adds.items(), looks, strict=False):
        axes.loglog(tokens, numbers, line, marker=marker, color=PALETTE[color], label=name)
    axes.set_xticks(tokens, [f"{count:,}" for count in tokens])
    axes.minorticks_off()
    axes.set(xlabel="tokens N", ylabel="multiply-adds")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def feature_maps_figure(image, features, num_div=12, maps_per_group=2):
    """Feature maps of one image, some of each group of channels that a shift moves.

    Args:
        image: uint8 array `(H, W, 3)`.
        features: dictionary from a stage's name to an array `(H, W, C)`.
        num_div: int, as in `shift`; the moving groups have `C // num_div` channels each.
        maps_per_group: int, how many of each group; those that vary most over the image.

    Returns:
        `matplotlib.figure.Figure`: the image, then a row for each stage. The colour of a frame and
        the arrow above it say where the group moves, the number is that of the channel. Each map
        has grey values of its own, black for its smallest number and white for its largest.
    """
    columns = len(DIRECTION_STYLE) * maps_per_group
    figure = Figure(figsize=(0.95 * columns + 2.6, 1.2 * len(features) + 0.4))
    figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.03, wspace=0.01, hspace=0.01)
    grid = figure.add_gridspec(len(features), columns + 2)
    axes = figure.add_subplot(grid[:, :2])
    axes.imshow(image)
    axes.set(xticks=[], yticks=[], title=f"image {_times(image.shape)}")
    for row, (stage, maps) in enumerate(features.items()):
        for k, (direction, channels) in enumerate(_groups(maps.shape[-1], num_div).items()):
            style = DIRECTION_STYLE[direction]
            spread = maps[..., channels].std(axis=(0, 1))
            liveliest = channels[np.argsort(-spread, kind="stable")[:maps_per_group]]
            for j, channel in enumerate(liveliest):
                axes = figure.add_subplot(grid[row, 2 + k * maps_per_group + j])
                axes.imshow(maps[..., channel], cmap="gray")
                axes.set(xticks=[], yticks=[])
                axes.set_title(f"{style['arrow']} {channel}", fontsize=9, color=style["color"])
                axes.spines[:].set(color=style["color"], linewidth=3)
                if row == 0 and j == 0:
                    axes.annotate(
                        direction, (0, 1), xytext=(0, 20), xycoords="axes fraction",
                        textcoords="offset points", color=style["color"], weight="bold",
                    )  # fmt: skip
                if k == j == 0:
                    label = f"{stage}\n{_times(maps.shape)}"
                    axes.set_ylabel(label, rotation=0, ha="right", va="center")
    return figure


def channel_drift(before, after, num_div=12, largest=6):
    """How far the content of each group of channels has moved, between two maps of one size.

    Args:
        before: array `(N, H, W, C)`.
        after: array of the same shape.
        num_div: int, as in `shift`.
        largest: int, the largest offset to try, in pixels, less than H and W.

    Returns:
        dictionary from direction to an array of `2 * largest + 1` correlations: entry
        `largest + k` compares `after` with `before` moved by k pixels in that direction (for the
        unmoved channels, to the right), averaged over the channels of the group.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(8, 9, 9, 5))
    >>> drift = channel_drift(x, np.roll(x, -2, axis=2), num_div=5, largest=3)
    >>> int(drift["left"].argmax()) - 3, int(drift["right"].argmax()) - 3
    (2, -2)
    """
    correlations = {}
    for direction, channels in _groups(before.shape[-1], num_div).items():
        if not len(channels):  # with num_div=4 none stays
            continue
        axis, sign = DIRECTIONS.get(direction, DIRECTIONS["right"])
        # Channels first, and the direction of the group as the last axis, forwards.
        pair = [np.moveaxis(maps[..., channels], (3, axis), (0, 3)) for maps in (before, after)]
        start, end = (maps[..., ::sign] for maps in pair)
        length = start.shape[-1]
        found = []
        for k in range(-largest, largest + 1):
            there = start[..., max(0, -k) : length - max(0, k)]
            here = end[..., max(0, k) : length - max(0, -k)]
            pairs = zip(there, here, strict=True)
            found.append(np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs]))
        correlations[direction] = np.array(found)
    return correlations


def drift_figure(correlations):
    """The correlations of `channel_drift`, a line for each group of channels.

    Args:
        correlations: dictionary, as `channel_drift` gives it.

    Returns:
        `matplotlib.figure.Figure`.
    """
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for marker, (direction, values) in zip("<>^vo", correlations.items(), strict=False):
        style = DIRECTION_STYLE[direction]
        offsets = np.arange(len(values)) - len(values) // 2
        label = f"{style['arrow']} {direction}"
        axes.plot(offsets, values, marker=marker, color=style["color"], label=label)
    axes.set(xlabel="pixels in the direction of the group", ylabel="correlation", xticks=offsets)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _groups(channels, num_div):
    """The channels of each group, by direction."""
    group = channels_per_group(channels, num_div)
    ends = [(k + 1) * group for k in range(len(DIRECTION_STYLE) - 1)]
    return dict(zip(DIRECTION_STYLE, np.split(np.arange(channels), ends), strict=True))


def _times(shape):
    return "×".join(str(size) for size in shape)

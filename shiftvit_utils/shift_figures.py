"""Figures of `03_shift`: numbered grids, channel groups, impulses, feature maps and reach.

Each function returns a matplotlib figure. The colour of a direction is `DIRECTION_STYLE`'s, and an
arrow, a hatch or a number always says the same as the colour. Cells that are zero are hatched.
"""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from shiftvit_utils.figures import DIRECTION_STYLE, PALETTE
from shiftvit_utils.shift import channels_per_group

HATCH = "////"
SIGNED_COLORS = "PuOr_r"  # diverging, safe for colour-blind readers; white is zero


def number_maps_figure(maps, titles, directions=None, rows=1):
    """Small maps of numbers side by side. The larger a number, the darker; zeros are hatched.

    Args:
        maps: sequence of arrays `(H, W)`.
        titles: sequence of str, as many.
        directions: None, or for each map a key of `DIRECTION_STYLE` or None: its colour.
        rows: int, into how many rows of figures the maps are laid out.

    Returns:
        `matplotlib.figure.Figure`, one axes a map.

    >>> len(number_maps_figure([np.eye(2), np.ones((2, 2))], ["eye", "ones"]).axes)
    2
    """
    maps = [np.asarray(values) for values in maps]
    directions = directions or [None] * len(maps)
    columns = -(-len(maps) // rows)
    widest, highest = (max(values.shape[axis] for values in maps) for axis in (1, 0))
    size = (columns * max(0.42 * widest + 0.5, 1.9), rows * (0.42 * highest + 0.7))
    figure = Figure(figsize=size, layout="constrained")
    for axes, values, title, direction in zip(
        figure.subplots(rows, columns, squeeze=False).flat, maps, titles, directions, strict=False
    ):
        color = DIRECTION_STYLE[direction]["color"] if direction else PALETTE["grey"]
        _draw_cells(axes, values, color)
        for (row, column), value in np.ndenumerate(values):
            axes.text(column, row, f"{value:g}", ha="center", va="center", fontsize=10)
        axes.set_title(title, fontsize=10)
    return figure


def channel_split_figure(splits):
    """Which share of the channels goes where: one bar a split, as long as all of its channels.

    Args:
        splits: sequence of `(label, channels, group)`: str, int C, and int channels of each of the
            four moving groups.

    Returns:
        `matplotlib.figure.Figure`.
    """
    figure = Figure(figsize=(9.6, 0.9 + 0.5 * len(splits)), layout="constrained")
    axes = figure.add_subplot()
    for row, (_, channels, group) in enumerate(splits):
        start = 0.0
        for name, size in _group_sizes(channels, group).items():
            style, share = DIRECTION_STYLE[name], 100 * size / channels
            axes.barh(row, share, left=start, color=style["color"], edgecolor="white", height=0.75)
            # Too narrow for a number, then for the arrow: the order of the bars still tells.
            text = f"{style['arrow']} {size}" if share > 5 else style["arrow"] if share > 3 else ""
            axes.text(
                start + share / 2, row, text, color=_readable_on(style["color"]),
                ha="center", va="center", fontsize=10, fontweight="bold",
            )  # fmt: skip
            start += share
    axes.set(xlim=(0, 100), xlabel="% of the channels, in channel order")
    axes.set_yticks(range(len(splits)), [label for label, _, _ in splits])
    axes.invert_yaxis()
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def impulse_figure(shift_function, title, size=5):
    """What a shift does to one lit pixel, and to a map full of ones, in each of its five groups.

    Args:
        shift_function: from a float32 array `(1, H, W, 5)` to a tensor of that shape, one channel
            a group.
        title: str.
        size: int, odd: height and width of the maps.

    Returns:
        `matplotlib.figure.Figure` with two rows of five axes. A dashed square is where the lit
        pixel was, a filled one where it is; hatched cells are zero.
    """
    from keras import ops

    figure = Figure(figsize=(9.6, 4.5), layout="constrained")
    figure.suptitle(title)
    middle = size // 2
    impulse, ones = np.zeros((2, 1, size, size, 5), "float32")
    impulse[0, middle, middle], ones[:] = 1.0, 1.0
    for axes_row, x in zip(figure.subplots(2, 5), (impulse, ones), strict=True):
        y = np.asarray(ops.convert_to_numpy(shift_function(x)))[0]
        for k, (axes, name) in enumerate(zip(axes_row, DIRECTION_STYLE, strict=True)):
            style = DIRECTION_STYLE[name]
            _draw_cells(axes, y[..., k], style["color"], hatch=HATCH if x is ones else None)
            if x is impulse:
                for row, column in np.argwhere(y[..., k]):
                    axes.text(column, row, f"{y[row, column, k]:g}", ha="center", va="center")
                box = Rectangle((middle - 0.5, middle - 0.5), 1, 1, fill=False)
                box.set(edgecolor="black", linestyle="--", linewidth=2)
                axes.add_patch(box)
                axes.set_title(f"channel {k}\n{style['arrow']} {name}", fontsize=10)
    figure.axes[0].set_ylabel("one lit pixel")
    figure.axes[5].set_ylabel("all ones")
    return figure


def shift_groups_figure(before, after, num_div=12):
    """A feature map before and after a shift: the first channel of each of the five groups.

    Args:
        before: array `(H, W, C)`.
        after: array `(H, W, C)`.
        num_div: int, as given to the shift.

    Returns:
        `matplotlib.figure.Figure` with three rows of five axes: before, after, after - before.
    """
    channels = before.shape[-1]
    sizes = _group_sizes(channels, channels_per_group(channels, num_div))
    sizes = {name: count for name, count in sizes.items() if count}  # with 4, all channels move
    figure = Figure(figsize=(9.6, 6.4), layout="constrained")
    grid = figure.subplots(3, len(sizes), squeeze=False)
    first = 0
    for axes_column, (name, count) in zip(grid.T, sizes.items(), strict=True):
        style = DIRECTION_STYLE[name]
        old, new = before[..., first], after[..., first]
        low, high = old.min(), old.max()
        for axes, values in zip(axes_column, (old, new), strict=False):
            axes.imshow(values, cmap="gray", vmin=low, vmax=high)
        _draw_signed(axes_column[2], new - old, limit=high - low)
        last = first + count - 1
        axes_column[0].set_title(f"{style['arrow']} {name}\nchannels {first}–{last}", fontsize=10)
        for axes in axes_column:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(color=style["color"], linewidth=3)
        first += count
    for axes, label in zip(grid[:, 0], ("before", "after", "after − before"), strict=True):
        axes.set_ylabel(label)
    return figure


def difference_figure(image, differences):
    """An image, and signed maps computed from it: purple is negative, white zero, orange positive.

    Args:
        image: array `(H, W)`.
        differences: dict from title to array `(H, W)`.

    Returns:
        `matplotlib.figure.Figure`, one axes for the image and one for each map.
    """
    figure = Figure(figsize=(2.4 * (1 + len(differences)), 2.9), layout="constrained")
    first, *others = figure.subplots(1, 1 + len(differences))
    first.imshow(image, cmap="gray")
    first.set_title("the image, grey", fontsize=10)
    for axes, (title, values) in zip(others, differences.items(), strict=True):
        # The strongest edges may saturate, so that the weak ones can be seen.
        _draw_signed(axes, values, limit=np.quantile(abs(values), 0.98))
        axes.set_title(title, fontsize=10)
    for axes in figure.axes:
        axes.set(xticks=[], yticks=[])
    return figure


def reach_figure(maps, titles):
    """Which cells one pixel reaches, and how strongly; a star marks the pixel itself.

    Args:
        maps: sequence of square arrays of one size, bool (reached or not) or float >= 0 (how much
            arrives; darker is more, on a scale of square roots).
        titles: sequence of str, as many.

    Returns:
        `matplotlib.figure.Figure`, one axes a map.
    """
    side = min(2.4, 9.6 / len(maps))
    figure = Figure(figsize=(side * len(maps), side + 0.4), layout="constrained")
    for axes, values, title in zip(
        figure.subplots(1, len(maps), squeeze=False).flat, maps, titles, strict=True
    ):
        _draw_cells(axes, np.sqrt(np.asarray(values, "float64")), PALETTE["purple"], darkest=1.0)
        middle = len(values) // 2
        axes.plot(middle, middle, marker="*", color="black", markersize=9)
        axes.set_title(title, fontsize=10)
    return figure


def _group_sizes(channels, group):
    """{name of the direction: number of its channels}, in channel order."""
    sizes = dict.fromkeys(DIRECTION_STYLE, group)
    sizes["unmoved"] = channels - 4 * group
    return sizes


def _draw_cells(axes, values, color, darkest=0.5, hatch=HATCH):
    """A grid of cells, tinted by value from a tenth of the colour to `darkest`; zeros hatched."""
    height, width = values.shape
    strongest = max(abs(values).max(), 1e-30)
    for (row, column), value in np.ndenumerate(values):
        share = 0.1 + (darkest - 0.1) * abs(value) / strongest if value else 0.0
        tint = [1 - share * (1 - part) for part in to_rgb(color)]
        cell = Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=tint, edgecolor="#BBBBBB")
        cell.set(linewidth=0.8, hatch=None if value else hatch)
        axes.add_patch(cell)
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
    axes.set_aspect("equal")


def _readable_on(color):
    """Black or white, whichever stands out more from a background of this colour."""
    red, green, blue = (part**2.2 for part in to_rgb(color))
    return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 else "white"


def _draw_signed(axes, values, limit):
    limit = max(float(limit), 1e-12)
    axes.imshow(values, cmap=SIGNED_COLORS, vmin=-limit, vmax=limit)

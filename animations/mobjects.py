"""The pieces that scenes are built from; each keeps the numbers that it shows.

`FeatureMap` is one channel as a picture, `MapStack` several behind one another, `NumberGrid` a map
small enough to read its numbers, `LabelledArrow` and `CodeLine` what stands beside them.
"""

import numpy as np
from course_scene import text
from manim import (
    DOWN,
    LEFT,
    ORIGIN,
    RIGHT,
    UP,
    Arrow,
    Dot,
    Group,
    ImageMobject,
    Line,
    ManimColor,
    Rectangle,
    RoundedRectangle,
    Square,
    UpdateFromAlphaFunc,
    VGroup,
)
from PIL import Image
from theme import LIGHT, mix

from shiftvit_utils.figures import DIRECTION_STYLE
from shiftvit_utils.shift import DIRECTIONS as MOVES


def rgb(color):
    """A colour as three bytes."""
    return np.array(ManimColor(color).to_int_rgb(), "uint8")


def shades(color, theme=LIGHT):
    """256 colours, bytes `(256, 3)`, from a deep to a pale shade of `color`."""
    deep, pale = mix(color, "#000000", 0.72), mix(color, "#FFFFFF", 0.9)
    stops = np.stack([rgb(deep), rgb(color), rgb(pale)]).astype(float)
    positions = np.linspace(0, 1, 256)
    return np.stack(
        [np.interp(positions, [0, 0.5, 1], stops[:, k]) for k in range(3)], axis=1
    ).astype("uint8")


def picture(pixels, side):
    """An image `(H, W, 3)` as a mobject `side` units high, its pixels left square."""
    image = ImageMobject(np.ascontiguousarray(pixels))
    image.set_resampling_algorithm(Image.Resampling.NEAREST)
    image.height = side
    return image


class FeatureMap(Group):
    """One channel, `(H, W)`, in shades of one colour, with a frame around it.

    Args:
        values: array `(H, W)`.
        color: colour of the frame, and of the shades between its deep and its pale end.
        side: width in units.
        limits: (low, high), the values drawn deepest and palest; those of `values` without.
        theme: gives the colour behind the hatching of the zeros.
        cell_pixels: pixels of the picture for each value.
    """

    def __init__(self, values, color, side=2.2, limits=None, theme=LIGHT, cell_pixels=12):
        super().__init__()
        self.limits = limits or (float(np.min(values)), float(np.max(values)))
        self.color_of_map, self.theme, self.cell_pixels = color, theme, cell_pixels
        self.shades = shades(color)
        self.image = picture(np.zeros((*(cell_pixels * np.array(values.shape)), 3), "uint8"), side)
        self.frame = Rectangle(
            width=self.image.width, height=self.image.height, color=color, stroke_width=3
        )
        self.add(self.image, self.frame)
        self.set_values(values)

    def colors_of(self, values):
        """The colour of each value, uint8 `(H, W, 3)`."""
        low, high = self.limits
        share = (np.asarray(values, float) - low) / (high - low if high != low else 1.0)
        return self.shades[np.clip(np.rint(255 * share), 0, 255).astype(int)]

    def hatching(self, shape):
        """Diagonal lines for cells that hold nothing but zero: bytes `(rows, columns, 3)`."""
        rows, columns = np.indices(shape)
        lines = (rows + columns) % 8 < 2
        return np.where(lines[..., None], rgb(self.color_of_map), rgb(self.theme.background))

    def set_values(self, values, hatched=None):
        """Shows `values`; cells where the boolean array `hatched` holds are hatched instead."""
        self.values = np.array(values)
        self.hatched = np.zeros(self.values.shape, bool) if hatched is None else np.array(hatched)
        size = self.cell_pixels
        pixels = self.colors_of(self.values).repeat(size, 0).repeat(size, 1)
        blank = self.hatched.repeat(size, 0).repeat(size, 1)
        pixels = np.where(blank[..., None], self.hatching(blank.shape), pixels)
        self._set_pixels(pixels)
        return self

    def _set_pixels(self, pixels):
        self.image.pixel_array[..., :3] = pixels

    def slide(self, direction, after, cells=1, **options):
        """Animates the map by `cells` cells, zeros following; holds the array `after` at the end.

        `after` is what the library's shift() returned: the sliding picture only leads there.
        """
        axis, sign = MOVES[direction]
        size = self.cell_pixels
        start = self.colors_of(self.values).repeat(size, 0).repeat(size, 1)
        empty = self.hatching(start.shape[:2])
        came_in = np.zeros(self.values.shape, bool)
        lines = [slice(None)] * 2
        lines[axis - 1] = slice(-cells, None) if sign < 0 else slice(None, cells)
        came_in[tuple(lines)] = True

        def show(mobject, share):
            if share >= 1:
                mobject.set_values(after, came_in)
                return
            offset = round(share * cells * size)
            pixels = empty.copy()
            length = start.shape[axis - 1] - offset
            source, target = [slice(None)] * 2, [slice(None)] * 2
            low, high = slice(None, length), slice(offset, None)
            source[axis - 1], target[axis - 1] = (high, low) if sign < 0 else (low, high)
            pixels[tuple(target)] = start[tuple(source)]
            mobject._set_pixels(pixels)

        return UpdateFromAlphaFunc(self, show, **options)

    def become_values(self, values, hatched=None, limits=None, color=None, **options):
        """Animates the change to other values, in another colour if one is given."""
        first = self.image.pixel_array[..., :3].astype(float)
        target = FeatureMap(
            values,
            color or self.color_of_map,
            limits=limits or self.limits,
            theme=self.theme,
            cell_pixels=self.cell_pixels,
        ).set_values(values, hatched)
        last = target.image.pixel_array[..., :3].astype(float)

        def show(mobject, share):
            if share >= 1:
                mobject.limits, mobject.shades = target.limits, target.shades
                mobject.color_of_map = target.color_of_map
                mobject.set_values(values, hatched)
                return
            mobject._set_pixels(((1 - share) * first + share * last).astype("uint8"))

        return UpdateFromAlphaFunc(self, show, **options)

    def shown_colors(self):
        """The colour in the middle of every cell as drawn, `(H, W, 3)`: for tests."""
        half = self.cell_pixels // 2
        return self.image.pixel_array[half :: self.cell_pixels, half :: self.cell_pixels, :3].copy()


class MapStack(Group):
    """Several channels of one group behind one another; the first is in front."""

    def __init__(self, values, color, side=2.2, offset=0.09, **options):
        super().__init__()
        limits = (float(values.min()), float(values.max()))
        count = values.shape[-1]
        size = side - offset * (count - 1)
        self.maps = [
            FeatureMap(values[..., k], color, side=size, limits=limits, **options)
            for k in range(count)
        ]
        for k, one in enumerate(self.maps):
            one.shift(k * offset * (RIGHT + UP))
        self.add(*reversed(self.maps))
        self.move_to(ORIGIN)

    @property
    def values(self):
        """What the stack holds, `(H, W, C)`."""
        return np.stack([one.values for one in self.maps], axis=-1)


class NumberGrid(VGroup):
    """A small map whose cells show their numbers, in an outline that stays where it is.

    Args:
        values: int array `(H, W)`.
        color: colour of the cells.
        cell: width of a cell in units.
    """

    def __init__(self, values, color, cell=0.5, theme=LIGHT):
        super().__init__()
        self.cell, self.theme, self.color_of_map = cell, theme, color
        self.rows, self.columns = values.shape
        self.outline = Rectangle(
            width=self.columns * cell, height=self.rows * cell, color=color, stroke_width=2
        )
        self.add(self.outline)
        self.cells = []
        for place in np.ndindex(values.shape):
            self.put(self.number_cell(int(values[place])), place)

    def number_cell(self, number):
        """A filled cell with its number in it."""
        square = Square(self.cell, color=self.color_of_map, stroke_width=2)
        square.set_fill(mix(self.theme.background, self.color_of_map, 0.25), 1.0)
        one = VGroup(square, text(str(number), 0.5 * self.cell, self.theme.ink))
        one.number = number
        return one

    def zero_cell(self):
        """A hatched cell: a zero that came in."""
        area = Hatched(self.cell, self.cell, self.color_of_map, self.theme, gap=self.cell / 4)
        behind = Square(0.52 * self.cell, stroke_width=0).set_fill(self.theme.background, 1.0)
        one = VGroup(area, behind, text("0", 0.5 * self.cell, self.theme.ink))
        one.number = 0
        return one

    def put(self, cell, place):
        """Adds a cell in row and column `place` of the outline."""
        row, column = place
        corner = self.outline.get_corner(UP + LEFT)
        cell.move_to(corner + self.cell * ((column + 0.5) * RIGHT + (row + 0.5) * DOWN))
        cell.set_z_index(self.z_index)
        self.cells.append(cell)
        self.add(cell)

    def drop(self, cells):
        """Forgets cells that have faded out."""
        for cell in cells:
            self.cells.remove(cell)
            self.remove(cell)

    def place_of(self, cell):
        """Row and column where a cell stands now, from its position in the frame."""
        offset = (cell.get_center() - self.outline.get_corner(UP + LEFT)) / self.cell
        return round(-offset[1] - 0.5), round(offset[0] - 0.5)


class Hatched(VGroup):
    """An area that holds only zeros: diagonal lines, whatever the colours, and its numbers."""

    def __init__(self, width, height, color, theme=LIGHT, gap=0.16):
        super().__init__()
        area = Rectangle(width=width, height=height, color=color, stroke_width=2)
        area.set_fill(theme.background, 1.0)
        self.add(area)
        steps = np.arange(gap - height / 2 - width / 2, width / 2 + height / 2, gap)
        for c in steps:  # the line y = x - c, cut at the sides of the area
            left, right = max(-width / 2, c - height / 2), min(width / 2, c + height / 2)
            if right - left > 1e-6:
                start, end = [left, left - c, 0], [right, right - c, 0]
                self.add(Line(start, end, color=color, stroke_width=1.5))


class LabelledArrow(VGroup):
    """A short arrow in the colour of a direction, and its name."""

    def __init__(self, direction, theme=LIGHT, length=0.55, size=0.24):
        super().__init__()
        color = DIRECTION_STYLE[direction]["color"]
        label = text(direction, size, theme.ink)
        if direction in MOVES:
            axis, sign = MOVES[direction]
            way = sign * (RIGHT if axis == 2 else DOWN)
            self.arrow = Arrow(
                -0.5 * length * way,
                0.5 * length * way,
                buff=0,
                color=color,
                stroke_width=7,
                max_tip_length_to_length_ratio=0.45,
                max_stroke_width_to_length_ratio=20,
            )
        else:
            self.arrow = Dot(radius=0.12, color=color)
        box = Square(length, stroke_width=0).move_to(self.arrow)
        self.arrow_box = VGroup(box, self.arrow)
        self.label = label
        self.add(VGroup(self.arrow_box, label).arrange(RIGHT, buff=0.14))


class CodeLine(VGroup):
    """A line of code that can be lit.

    Args:
        code: the line; it is also kept as `self.code`, so that a test can run it.
        size: height of the letters.
        width: width of the bar behind it.
    """

    def __init__(self, code, size=0.24, width=None, theme=LIGHT, color=None):
        super().__init__()
        self.code, self.theme = code, theme
        self.words = text(code, size, theme.ink, code=True)
        self.bar = RoundedRectangle(
            corner_radius=0.08,
            width=width or self.words.width + 0.4,
            height=2.1 * size,
            stroke_width=0,
        ).set_fill(color or theme.accent, 0.0)
        self.words.align_to(self.bar, LEFT).shift(0.2 * RIGHT)
        self.add(self.bar, self.words)
        self.words.set_opacity(0.45)

    def set_lit(self, lit):
        """Stresses the line that is being done; `line.animate.set_lit(True)` animates it."""
        self.bar.set_fill(opacity=0.3 if lit else 0.0)
        self.words.set_opacity(1.0 if lit else 0.45)
        return self

"""CropPadConcat: the shift as code, on numbers that can be followed by eye."""

import keras
import numpy as np
from course_scene import CourseScene, text
from manim import (
    DOWN,
    RIGHT,
    UP,
    AnimationGroup,
    FadeIn,
    FadeOut,
    LaggedStart,
    VGroup,
)
from mobjects import CodeLine, LabelledArrow, NumberGrid
from pictures import as_array
from theme import DIRECTIONS

from shiftvit_utils import shift
from shiftvit_utils.shift import DIRECTIONS as MOVES

# The lines that are run; those of "left" are shown, too.
SPLIT = "left, right, up, down, rest = ops.split(x, 5, axis=-1)"
CROP = {
    "left": "left = left[:, :, 1:]",
    "right": "right = right[:, :, :-1]",
    "up": "up = up[:, 1:]",
    "down": "down = down[:, :-1]",
}
PAD = {
    "left": "left = ops.pad(left, [(0, 0), (0, 0), (0, 1), (0, 0)])",
    "right": "right = ops.pad(right, [(0, 0), (0, 0), (1, 0), (0, 0)])",
    "up": "up = ops.pad(up, [(0, 0), (0, 1), (0, 0), (0, 0)])",
    "down": "down = ops.pad(down, [(0, 0), (1, 0), (0, 0), (0, 0)])",
}
CONCATENATE = "y = ops.concatenate([left, right, up, down, rest], axis=-1)"
# The published Keras example: what is cut off is what is padded back, so that nothing moves.
SAME_END_CROP = "left = left[:, :, :-1]"


class CropPadConcat(CourseScene):
    """Split, crop, slide, pad, concatenate: a line of code a step, and the slip that undoes it."""

    title = "Crop, pad, concatenate"
    size = 4  # cells

    def compute(self):
        """Runs the lines that the scene shows; keeps the arrays of every step, `(H, W)` each."""
        numbers = np.arange(1, self.size**2 + 1, dtype="int32").reshape(self.size, self.size)
        self.x = np.repeat(numbers[np.newaxis, :, :, np.newaxis], 5, axis=-1)
        names = {"ops": keras.ops, "x": keras.ops.convert_to_tensor(self.x)}
        self.steps = {}
        for step, lines in (
            ("split", [SPLIT]),
            ("crop", CROP.values()),
            ("pad", PAD.values()),
            ("concatenate", [CONCATENATE]),
        ):
            exec("\n".join(lines), names)
            self.steps[step] = {name: as_array(names[name]) for name in DIRECTIONS[:4]}
        self.y = as_array(names["y"])
        self.is_the_shift = bool(np.array_equal(self.y, as_array(shift(self.x, num_div=5))))
        exec("\n".join([SPLIT, SAME_END_CROP, PAD["left"]]), names)
        self.same_end = as_array(names["left"])[0, ..., 0]

    def construct(self):
        self.compute()
        theme = self.theme
        self.grids = {
            name: NumberGrid(self.x[0, ..., k], theme.direction[name], theme=theme)
            for k, name in enumerate(DIRECTIONS)
        }
        row = VGroup(*self.grids.values()).arrange(RIGHT, buff=0.6).move_to(1.2 * UP)
        places = {name: grid.get_center() for name, grid in self.grids.items()}
        self.stack(row)
        self.code = [CodeLine(line, width=12.4, theme=theme) for line in self.shown_code()]
        VGroup(*self.code).arrange(DOWN, buff=0.05).move_to(1.35 * DOWN)
        for k, grid in enumerate(row):
            grid.set_z_index(len(row) - k)  # the first is in front
        self.begin(*row, VGroup(*self.code))

        arrows = VGroup()
        for name in self.grids:
            arrow = LabelledArrow(name, theme)
            arrows.add(arrow.next_to(places[name] + UP, UP, buff=0.2))
        self.say(
            "<b>Split</b> the channels into five groups.",
            *[grid.animate.move_to(places[name]) for name, grid in self.grids.items()],
            FadeIn(arrows),
            self.lit(0),
            run_time=0.7,
        )
        self.crop()
        self.slide()
        self.pad()
        self.say(
            "<b>Concatenate</b>: the groups are one map again.",
            *self.gathering(row),
            FadeOut(arrows),
            self.lit(3),
            run_time=0.7,
        )
        self.compare(row)
        self.finish(run_time=0.4)

    def shown_code(self):
        return [SPLIT, CROP["left"], PAD["left"], CONCATENATE]

    def stack(self, row):
        for k, grid in enumerate(row):
            grid.move_to(1.2 * UP + (k - 2) * 0.3 * RIGHT + (k - 2) * 0.12 * UP)

    def gathering(self, row):
        moves = []
        for k, grid in enumerate(row):
            there = 1.2 * UP + (k - 2) * 0.3 * RIGHT + (k - 2) * 0.12 * UP
            moves.append(grid.animate.move_to(there))
        return moves

    def lit(self, which):
        """Lights one line of code and dims the others."""
        return AnimationGroup(
            *[line.animate.set_lit(k == which) for k, line in enumerate(self.code)]
        )

    def moving(self):
        return [(name, self.grids[name], *MOVES[name]) for name in DIRECTIONS[:4]]

    def crop(self):
        gone = {}
        for name, grid, axis, sign in self.moving():
            edge = 0 if sign < 0 else self.size - 1
            gone[name] = [cell for cell in grid.cells if grid.place_of(cell)[axis - 1] == edge]
        self.say(
            "<b>Crop</b> the line that would leave the map.",
            *[FadeOut(cell) for cells in gone.values() for cell in cells],
            self.lit(1),
            run_time=0.6,
        )
        for name, cells in gone.items():
            self.grids[name].drop(cells)

    def slide(self):
        slides = []
        for _, grid, axis, sign in self.moving():
            way = sign * grid.cell * (RIGHT if axis == 2 else DOWN)
            slides += [cell.animate.shift(way) for cell in grid.cells]
        self.say(
            "What is left <b>slides</b> one cell, the way of its arrow.", *slides, run_time=0.8
        )

    def pad(self):
        zeros = []
        for _, grid, axis, sign in self.moving():
            edge = self.size - 1 if sign < 0 else 0
            for k in range(self.size):
                grid.put(grid.zero_cell(), (k, edge) if axis == 2 else (edge, k))
                zeros.append(grid.cells[-1])
        self.say(
            "<b>Pad</b> with zeros at the other end.",
            LaggedStart(*[FadeIn(zero) for zero in zeros], lag_ratio=0.02),
            self.lit(2),
            run_time=0.6,
            hold=1.3,
        )
        self.shown = {name: self.read(grid) for name, grid in self.grids.items()}
        self.mark_poster()

    def read(self, grid):
        """The array that the cells of a grid show where they stand."""
        numbers = np.full((grid.rows, grid.columns), -1)
        for cell in grid.cells:
            numbers[grid.place_of(cell)] = cell.number
        return numbers

    def compare(self, row):
        """The published example's slip beside the shift."""
        theme, before = self.theme, self.x[0, ..., 0]
        shifted = self.y[0, ..., 0]
        self.comparison, columns = {}, VGroup()
        for words, code, values in (
            ("opposite ends", CROP["left"], shifted),
            ("the same end", SAME_END_CROP, self.same_end),
        ):
            stays = (values == before) & (values != 0)
            moved = int(np.sum((values != before) & (values != 0)))
            color = theme.direction["left" if moved else "unmoved"]
            grid = NumberGrid(values, color, cell=0.62, theme=theme)
            for cell in [cell for cell in grid.cells if cell.number == 0]:
                place = grid.place_of(cell)
                grid.drop([cell])
                grid.put(grid.zero_cell(), place)
            arrow = LabelledArrow("left" if moved else "unmoved", theme).arrow_box
            heading = VGroup(arrow, text(words, 0.28, theme.ink, weight="BOLD"))
            heading.arrange(RIGHT, buff=0.2)
            line = CodeLine(code, theme=theme)
            line.words.set_opacity(1.0)
            count = text(f"{moved} numbers moved, {int(stays.sum())} stayed", 0.25, theme.ink)
            columns.add(VGroup(heading, grid, line, count).arrange(DOWN, buff=0.22))
            self.comparison[moved] = grid
        columns.arrange(RIGHT, buff=2.4).move_to(0.3 * UP)
        self.play(FadeOut(VGroup(*row, *self.code)), run_time=0.4)
        right, wrong = max(self.comparison), min(self.comparison)
        self.say(
            f"Crop one end, pad the other: <b>{right}</b> numbers move. The same end\n"
            f"twice, as in a published example: <b>{wrong}</b> move, and a line is lost.",
            FadeIn(columns),
            run_time=0.6,
            hold=3.0,
        )

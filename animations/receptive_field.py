"""ReceptiveField: how far one cell reaches through L shift blocks, and through one attention."""

import numpy as np
from course_scene import CourseScene, text
from manim import DOWN, RIGHT, UP, FadeIn, Square, VGroup
from pictures import as_array
from theme import mix

from shiftvit_utils import shift
from shiftvit_utils.figures import PALETTE


class ReceptiveField(CourseScene):
    """One cell's reach grows to a diamond, one ring a block; attention reaches all at once."""

    title = "How far a cell sees"
    size = 11  # cells
    blocks = 4
    cell = 0.37  # units

    def compute(self):
        """The cells that one cell reaches, a boolean `(size, size)` for 0, 1, ... blocks."""
        if self.blocks > self.size // 2:
            raise ValueError(
                f"{self.blocks} blocks reach beyond a map of {self.size}×{self.size} cells, so the "
                f"formula would not hold. Use size >= {2 * self.blocks + 1}."
            )
        reach = np.zeros((self.size, self.size), bool)
        reach[self.size // 2, self.size // 2] = True
        self.reaches = [reach]
        for _ in range(self.blocks):
            # Five channels, one for each direction and one that stays. The MLP after the shift
            # mixes channels: a cell that one of them reached is reached in all.
            channels = np.repeat(reach[np.newaxis, :, :, np.newaxis], 5, axis=-1)
            moved = as_array(shift(channels.astype("float32"), num_div=5))
            reach = moved[0].any(axis=-1)
            self.reaches.append(reach)
        self.counts = [int(reach.sum()) for reach in self.reaches]

    def construct(self):
        self.compute()
        theme = self.theme
        self.shift_grid, self.attention_grid = self.grid(), self.grid()
        grids = VGroup(self.shift_grid, self.attention_grid).arrange(RIGHT, buff=2.6)
        grids.move_to(0.3 * UP)
        names = ("shift blocks", "attention")
        headings = VGroup(
            *[
                text(name, 0.28, theme.ink, weight="BOLD").next_to(grid, UP, buff=0.22)
                for name, grid in zip(names, grids, strict=True)
            ]
        )
        for grid in grids:
            grid.add(self.reach(grid, self.reaches[0], 0))
        self.begin(grids, headings)
        self.say("One cell. Which others can know of it, block by block?", run_time=0.6)
        self.attend()
        for block in range(1, self.blocks + 1):
            self.spread(block)
        self.mark_poster()
        last = self.blocks
        self.say(
            f"After L blocks: 2L² + 2L + 1 cells, {self.counts[last]} for L = {last}. This is the\n"
            "reach in theory: which cells can matter, not how much they do.",
            hold=2.6,
        )
        self.finish()

    def grid(self):
        """An empty grid; `reached[row, column]` will be a square with the number of a block."""
        grid = VGroup()
        grid.cells = {}
        for row, column in np.ndindex(self.size, self.size):
            square = Square(self.cell, color=self.theme.line, stroke_width=1.5)
            square.set_fill(self.theme.background, 1.0)
            square.move_to(self.cell * (column * RIGHT + row * DOWN))
            grid.cells[row, column] = square
            grid.add(square)
        grid.reached = {}
        return grid

    def color_of_block(self, block):
        """Deep for the first cell, paler with each block."""
        if block == 0:
            return PALETTE["vermillion"]
        return mix(PALETTE["blue"], self.theme.background, 0.75 * (block - 1) / self.blocks)

    def reach(self, grid, cells, block):
        """The `cells` that `block` reaches, each with the number of the block."""
        color = self.color_of_block(block)
        group = VGroup()
        for place in zip(*np.nonzero(cells), strict=True):
            square = Square(self.cell, color=self.theme.background, stroke_width=1.5)
            square.set_fill(color, 1.0)
            ink = "#FFFFFF" if block < 3 else self.theme.ink
            number = text(str(block), 0.2, ink)
            one = VGroup(square, number).move_to(grid.cells[place])
            one.block = block
            grid.reached[place] = one
            group.add(one)
        return group

    def attend(self):
        everywhere = np.ones_like(self.reaches[0]) & ~self.reaches[0]
        count = everywhere.size
        self.attention_count = self.count_below(self.attention_grid, count, 1)
        self.say(
            f"Attention reaches all {count} cells in one block,\n"
            "and computes a weight for every pair of cells.",
            FadeIn(self.reach(self.attention_grid, everywhere, 1)),
            FadeIn(self.attention_count),
            run_time=0.8,
        )

    def count_below(self, grid, cells, blocks):
        words = f"{cells} cells after {blocks} block" + ("s" if blocks > 1 else "")
        return text(words, 0.26, self.theme.ink).next_to(grid, DOWN, buff=0.25)

    def spread(self, block):
        new = self.reaches[block] & ~self.reaches[block - 1]
        count = self.count_below(self.shift_grid, self.counts[block], block)
        animations = [FadeIn(self.reach(self.shift_grid, new, block)), FadeIn(count)]
        if block > 1:
            self.remove(self.shift_count)
        self.shift_count = count
        words = (
            "A shift block reaches the four neighbours:\nthe shift moves, the MLP mixes.",
            "The next block starts from there: a diamond grows.",
            "Every block adds a ring ...",
            "... one cell further in each direction.",
        )
        self.say(words[min(block, len(words)) - 1], *animations, run_time=0.8, hold=1.1)

"""ThreeWaysOneMap: slice assignment, crop and pad, and a fixed convolution give one result."""

import keras
import numpy as np
from course_scene import CourseScene, text
from manim import (
    DOWN,
    LEFT,
    RIGHT,
    UP,
    FadeIn,
    FadeOut,
    Group,
    Square,
    VGroup,
)
from mobjects import FeatureMap, LabelledArrow
from pictures import CREDIT, as_array, draw_weights, network_input, photograph
from theme import DIRECTIONS

from shiftvit_utils import PatchEmbedding, shift

# The lines that are run, and, for the direction "left", shown.
SLICE_ASSIGN = (
    "y[:, :, :-1, 0] = x[:, :, 1:, 0]",
    "y[:, :, 1:, 1] = x[:, :, :-1, 1]",
    "y[:, :-1, :, 2] = x[:, 1:, :, 2]",
    "y[:, 1:, :, 3] = x[:, :-1, :, 3]",
    "y[..., 4] = x[..., 4]",
)
CROP_AND_PAD = "y = shift(x, num_div=5)"
CONVOLUTION = "y = ops.depthwise_conv(\n    x, kernel, padding='same')"
# Row and column of the only 1 in each channel's 3×3 kernel: where its value comes from.
ONES = ((1, 2), (1, 0), (2, 1), (0, 1), (1, 1))


class ThreeWaysOneMap(CourseScene):
    """The same shift written three ways; the largest difference is computed and shown."""

    title = "Three ways, one map"
    image_size = 48  # pixels
    patch_size = 4  # pixels
    seed = 3
    side = 1.02  # units

    def compute(self):
        """Runs the three ways on five channels of a real feature map; `(H, W, 5)` each."""
        batch = network_input(photograph(self.image_size))
        embedding = PatchEmbedding(self.patch_size, 5)
        embedding.build(batch.shape)
        tensor = draw_weights(embedding, self.seed)(batch)
        x = as_array(tensor)
        kernel = np.zeros((3, 3, 5, 1), "float32")
        for channel, (row, column) in enumerate(ONES):
            kernel[row, column, channel, 0] = 1.0
        by_slices = {"x": x, "y": np.zeros_like(x)}
        exec("\n".join(SLICE_ASSIGN), by_slices)
        names = {"ops": keras.ops, "shift": shift, "x": tensor, "kernel": kernel}
        self.x, self.kernel = x[0], kernel[..., 0]
        self.results = {"slice assignment": by_slices["y"][0]}
        for way, line in (("crop and pad", CROP_AND_PAD), ("convolution", CONVOLUTION)):
            exec(line, names)
            self.results[way] = as_array(names["y"])[0]
        results = list(self.results.values())
        self.largest = max(float(np.abs(a - b).max()) for a in results for b in results)

    def construct(self):
        self.compute()
        theme = self.theme
        self.column_x = [0.2 + 1.36 * k for k in range(5)]
        self.row_y = [1.95, 0.7, -0.45, -1.6]
        self.maps = {"x": self.row(self.x, 0)}
        arrows = Group()
        for name, x in zip(DIRECTIONS, self.column_x, strict=True):
            arrow = LabelledArrow(name, theme, length=0.4).arrow_box
            arrows.add(arrow.move_to(x * RIGHT + (self.row_y[0] + 0.76) * UP))
        heading = self.name_of_row("x, five channels", "", 0)
        self.begin(*self.maps["x"], arrows, heading, credit=CREDIT)
        self.codes = (SLICE_ASSIGN[0], CROP_AND_PAD, CONVOLUTION)
        captions = (
            "<b>Slice assignment</b>: write four channels one cell further.",
            "<b>Crop and pad</b>: the library's own shift.",
            "<b>Convolution</b>, one fixed 3×3 kernel a channel:\n"
            "its single 1 picks a neighbour, or the cell itself.",
        )
        zipped = zip(self.results.items(), self.codes, captions, strict=True)
        for k, ((way, values), code, words) in enumerate(zipped):
            self.maps[way] = self.row(values, k + 1)
            heading = self.name_of_row(way, code, k + 1)
            if way == "convolution":
                self.show_kernels(words, heading)
            else:
                self.say(words, FadeIn(Group(*self.maps[way])), FadeIn(heading), run_time=0.8)
        self.mark_poster()
        self.lay_over()
        self.finish()

    def name_of_row(self, name, code, row):
        lines = VGroup(text(name, 0.25, self.theme.ink, weight="BOLD"))
        if code:
            lines.add(text(code, 0.21, self.theme.ink, code=True))
        lines.arrange(DOWN, buff=0.14, aligned_edge=LEFT)
        return lines.move_to(6.7 * LEFT + self.row_y[row] * UP, aligned_edge=LEFT)

    def row(self, values, row):
        """Five maps side by side."""
        maps = []
        for k, name in enumerate(DIRECTIONS):
            limits = (float(self.x[..., k].min()), float(self.x[..., k].max()))
            one = FeatureMap(
                values[..., k],
                self.theme.direction[name],
                side=self.side,
                limits=limits,
                theme=self.theme,
                cell_pixels=8,
            )
            if row:  # zeros that came in are hatched
                one.set_values(values[..., k], values[..., k] == 0)
            maps.append(one.move_to(self.column_x[k] * RIGHT + self.row_y[row] * UP))
        return maps

    def show_kernels(self, words, heading):
        """The kernels at the places of the maps, then the maps."""
        self.kernel_grids = []
        for k, name in enumerate(DIRECTIONS):
            grid = VGroup()
            for place in np.ndindex(3, 3):
                value = self.kernel[(*place, k)]
                color = self.theme.direction[name]
                cell = Square(self.side / 3, color=color, stroke_width=1.5)
                cell.set_fill(color if value else self.theme.background, 1.0)
                ink = "#FFFFFF" if value else self.theme.faint
                number = text(f"{value:g}", 0.19, ink, weight="BOLD" if value else "NORMAL")
                there = self.side / 3 * (place[1] * RIGHT + place[0] * DOWN)
                grid.add(VGroup(cell, number).move_to(there))
            grid.move_to(self.column_x[k] * RIGHT + self.row_y[3] * UP)
            self.kernel_grids.append(grid)
        kernels = VGroup(*self.kernel_grids)
        self.say(words, FadeIn(kernels), FadeIn(heading), run_time=0.8, hold=1.6)
        maps = Group(*self.maps["convolution"])
        self.say(
            "Its result is the same, but it multiplies.",
            FadeOut(kernels),
            FadeIn(maps),
            run_time=0.8,
        )

    def lay_over(self):
        """Lays the three results on one another and says how far apart they are."""
        moves = []
        for k, maps in enumerate([self.maps[way] for way in self.results]):
            moves += [one.animate.set_y(self.row_y[2]) for one in maps] if k != 1 else []
        self.say(
            f"Laid over one another: max |Δ| = <b>{self.largest:g}</b>. Three ways, one map.",
            *moves,
            hold=2.2,
        )

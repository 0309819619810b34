"""ShiftBlock: what one block does to four images, in training and at inference."""

import itertools

import numpy as np
from course_scene import CourseScene, text
from manim import (
    DOWN,
    LEFT,
    RIGHT,
    UP,
    Arrow,
    Create,
    FadeIn,
    FadeOut,
    Group,
    Line,
    Rectangle,
    Square,
    VGroup,
)
from mobjects import FeatureMap, picture
from pictures import CREDIT, as_array, draw_weights, network_input, photograph

from shiftvit_utils import DropPath, PatchEmbedding, ShiftViTBlock
from shiftvit_utils.figures import PALETTE

# Left, top, right, bottom of four squares of the photograph.
BOXES = ((40, 0, 467, 427), (110, 0, 310, 200), (60, 100, 360, 400), (330, 130, 627, 427))
COLUMNS = ("images", "x", "s = shift(x)", "b = MLP(norm(s))", "drop path(b)", "s + drop path(b)")


class ShiftBlock(CourseScene):
    """Shift mixes space, MLP mixes channels, the shortcut joins them; drop path is for training."""

    title = "One block"
    image_size = 48  # pixels
    patch_size = 4  # pixels
    channels = 12
    drop_path_rate = 0.5
    training_steps = 2
    seed = 3
    channel = 0  # the one that is shown: it moves left
    cell = (6, 6)  # row and column of the cell whose channels are shown

    def compute(self):
        """Every array of the block, `(N, H, W, C)`, from its own layers."""
        self.pixels = [photograph(self.image_size, box) for box in BOXES]
        batch = np.concatenate([network_input(pixels) for pixels in self.pixels])
        embedding = PatchEmbedding(self.patch_size, self.channels)
        embedding.build(batch.shape)
        x = draw_weights(embedding, self.seed)(batch)
        block = ShiftViTBlock(drop_path_rate=self.drop_path_rate)
        block.build(x.shape)
        draw_weights(block, self.seed + 1)
        shifted = block.shift(x)
        branch = block.mlp(block.norm(shifted))
        self.x, self.s, self.b = as_array(x), as_array(shifted), as_array(branch)
        self.dropped = self.training_draws(branch)
        self.kept = [np.any(one != 0, axis=(1, 2, 3)) for one in self.dropped]
        self.at_inference = as_array(block(x, training=False))

    def training_draws(self, branch):
        """What drop path makes of the branch in each training step.

        Of the first seed with which every step drops some samples and keeps some: at this rate most
        seeds do, but not one that does so on all backends.
        """
        for seed in itertools.count(self.seed):
            drop_path = DropPath(self.drop_path_rate, seed=seed)
            draws = [as_array(drop_path(branch, training=True)) for _ in range(self.training_steps)]
            kept = np.array([np.any(one != 0, axis=(1, 2, 3)) for one in draws])
            changes = not (kept[0] == kept[-1]).all()
            if changes and (kept.any(axis=1) & ~kept.all(axis=1)).all():
                return draws

    def construct(self):
        self.compute()
        blue = self.theme.direction["left"]
        self.row_y = [1.75 - 1.02 * k for k in range(len(self.pixels))]
        self.column_x = [-5.95 + 2.32 * k for k in range(len(COLUMNS))]
        photos = Group(*[picture(pixels, 0.92) for pixels in self.pixels])
        for photo, y in zip(photos, self.row_y, strict=True):
            photo.move_to(self.column_x[0] * RIGHT + y * UP)
        x_maps = self.column(1, self.x, blue)
        self.begin(photos, *x_maps, self.heading(0), self.heading(1), credit=CREDIT)

        s_maps = self.column(2, self.x, blue)
        after = self.s[..., self.channel]
        slides = [one.slide("left", values) for one, values in zip(s_maps, after, strict=True)]
        self.play(
            FadeIn(Group(*s_maps), self.heading(2), self.arrow(1)),
            run_time=0.5,
        )
        self.say("The shift mixes <b>space</b>: a cell gets its neighbours' values.", *slides)
        self.mix_channels(s_maps[0])
        b_maps = self.column(3, self.b, PALETTE["purple"], limits=self.branch_limits())
        self.d_maps = self.column(4, self.b, PALETTE["purple"], limits=self.branch_limits())
        limits = self.output_limits()
        self.y_maps = self.column(5, self.at_inference, PALETTE["sky"], limits=limits)
        self.s_maps, self.b_maps = s_maps, b_maps
        self.say(
            "The shortcut leaves <b>after</b> the shift:\nthe branch is added to s, not to x.",
            FadeIn(Group(*b_maps, self.heading(3), self.arrow(2))),
            FadeIn(Group(*self.d_maps, self.heading(4), self.arrow(3))),
            FadeIn(Group(*self.y_maps, self.heading(5), self.arrow(4))),
            Create(self.shortcut()),
            hold=1.4,
        )
        for step in range(self.training_steps):
            self.train(step)
        self.infer()
        self.finish()

    def branch_limits(self):
        """Wide enough for what drop path keeps, which it scales up."""
        scale = 1 / (1 - self.drop_path_rate)
        values = scale * self.b[..., self.channel]
        return float(values.min()), float(values.max())

    def output_limits(self):
        """Wide enough for the sum at inference, and for that of a kept branch in training."""
        kept = self.s + self.b / (1 - self.drop_path_rate)
        values = np.stack([self.at_inference, self.s, kept])[..., self.channel]
        return float(values.min()), float(values.max())

    def heading(self, column):
        words = text(COLUMNS[column], 0.175, self.theme.ink, weight="BOLD")
        return words.move_to(self.column_x[column] * RIGHT + 2.5 * UP)

    def column(self, column, values, color, limits=None):
        """One channel of all samples, one below the other."""
        channel = values[..., self.channel]
        limits = limits or (float(channel.min()), float(channel.max()))
        maps = [
            FeatureMap(one, color, side=0.92, limits=limits, theme=self.theme, cell_pixels=8)
            for one in channel
        ]
        for one, y in zip(maps, self.row_y, strict=True):
            one.move_to(self.column_x[column] * RIGHT + y * UP)
        return maps

    def arrow(self, column):
        """From one column to the next, half way down."""
        middle = 0.5 * (self.column_x[column] + self.column_x[column + 1]) * RIGHT
        middle = middle + 0.5 * (self.row_y[1] + self.row_y[2]) * UP
        return Arrow(
            middle + 0.45 * LEFT,
            middle + 0.45 * RIGHT,
            buff=0,
            color=self.theme.ink,
            stroke_width=3,
        )

    def shortcut(self):
        """The line below the branch, from s to the sum."""
        left, right = self.column_x[2] * RIGHT, self.column_x[5] * RIGHT
        foot, low = (self.row_y[-1] - 0.5) * UP, (self.row_y[-1] - 0.85) * UP
        color = self.theme.ink
        tip = Arrow(right + low, right + foot, buff=0, color=color, stroke_width=3)
        tip.tip.scale(1.4, about_point=right + foot)
        words = text("shortcut", 0.2, self.theme.faint)
        words.move_to(0.5 * (left + right) + low + 0.18 * UP)
        lines = [Line(left + foot, left + low), Line(left + low, right + low)]
        return VGroup(*[line.set_stroke(color, 3) for line in lines], tip, words)

    def mix_channels(self, s_map):
        """The channels of one cell before and after the MLP, as bars."""
        row, column = self.cell
        side = s_map.image.width / self.s.shape[2]
        spot = Square(1.6 * side, color=PALETTE["vermillion"], stroke_width=4)
        corner = s_map.image.get_corner(UP + LEFT)
        spot.move_to(corner + side * ((column + 0.5) * RIGHT + (row + 0.5) * DOWN))
        self.bar_values = (self.s[0, row, column], self.b[0, row, column])
        before = self.bars(self.bar_values[0], self.theme.direction["left"])
        after = self.bars(self.bar_values[1], PALETTE["purple"])
        self.bars_shown = (before, after)
        before.shift(1.3 * RIGHT + 0.2 * UP)
        after.shift(5.0 * RIGHT + 0.2 * UP)
        arrow = Arrow(before[0].get_right(), after[0].get_left(), buff=0.25, color=self.theme.ink)
        mlp = text("norm, MLP", 0.2, self.theme.ink).next_to(arrow, UP, buff=0.1)
        lead = Line(spot.get_right(), before[0].get_left(), color=PALETTE["vermillion"])
        lead.set_stroke(width=2)
        inset = VGroup(spot, lead, before, arrow, mlp, after)
        self.say(
            f"The MLP mixes <b>channels</b>: the {self.channels} numbers of a cell,\n"
            "each cell by itself.",
            FadeIn(inset),
            hold=1.5,
        )
        self.play(FadeOut(inset), run_time=0.4)

    def bars(self, values, color, width=2.0, height=2.6):
        """Values as bars up and down from a line."""
        scale = 0.5 * height / float(np.abs(values).max())
        step = width / len(values)
        bars = VGroup(Line(LEFT * width / 2, RIGHT * width / 2, color=self.theme.faint))
        bars.values = values
        for k, value in enumerate(values):
            bar = Rectangle(width=0.7 * step, height=max(scale * abs(float(value)), 0.01))
            bar.set_stroke(width=0).set_fill(color, 1.0)
            bar.move_to((k + 0.5) * step * RIGHT + LEFT * width / 2 + scale * value / 2 * UP)
            bars.add(bar)
        return bars

    def train(self, step):
        """One training step: drop path blinks samples of the branch out."""
        branch = self.dropped[step][..., self.channel]
        total = (self.s + self.dropped[step])[..., self.channel]
        changes = []
        for k, kept in enumerate(self.kept[step]):
            hatched = np.full(branch[k].shape, not kept)
            changes.append(self.d_maps[k].become_values(branch[k], hatched))
            changes.append(self.y_maps[k].become_values(total[k]))
        scale = 1 / (1 - self.drop_path_rate)
        first = (
            f"Training: drop path takes <b>whole samples</b> of the branch out\n"
            f"(probability {self.drop_path_rate:g}) and multiplies the others by {scale:g}."
        )
        again = "Every training step draws anew."
        self.say(again if step else first, *changes, hold=1.1 if step else 1.6)
        if step == 0:
            self.mark_poster()

    def infer(self):
        changes = []
        for k in range(len(self.pixels)):
            changes.append(self.d_maps[k].become_values(self.b[k, ..., self.channel]))
            changes.append(self.y_maps[k].become_values(self.at_inference[k, ..., self.channel]))
        self.say("At inference nothing is dropped.", *changes)

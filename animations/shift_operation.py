"""ShiftOperation: four groups of channels of a real feature map slide by one cell."""

import numpy as np
from course_scene import CourseScene, text
from manim import DOWN, RIGHT, UP, FadeIn, Group, VGroup
from mobjects import LabelledArrow, MapStack, picture
from pictures import CREDIT, as_array, draw_weights, network_input, photograph
from theme import DARK, DIRECTIONS

from shiftvit_utils import PatchEmbedding, Shift


class ShiftOperation(CourseScene):
    """A photograph becomes a feature map; four groups of its channels slide, zeros follow."""

    title = "The shift"
    image_size = 48  # pixels
    patch_size = 4  # pixels
    channels = 12
    num_div = 12
    shift_pixel = 1  # cells
    seed = 3

    def compute(self):
        """The library's feature map before and after the shift, `(H, W, C)` each."""
        if 4 * (self.channels // self.num_div) == self.channels:
            raise ValueError(
                f"num_div={self.num_div} leaves none of {self.channels} channels unmoved, and the "
                "scene shows some. Use num_div > 4."
            )
        self.pixels = photograph(self.image_size)
        embedding = PatchEmbedding(self.patch_size, self.channels)
        batch = network_input(self.pixels)
        embedding.build(batch.shape)
        features = embedding(batch) if draw_weights(embedding, self.seed) else None
        layer = Shift(self.num_div, self.shift_pixel)
        self.before = as_array(features)[0]
        self.after = as_array(layer(features))[0]
        self.parameters = layer.count_params()
        group = self.channels // self.num_div
        edges = [0, group, 2 * group, 3 * group, 4 * group, self.channels]
        self.channel_range = {
            name: slice(edges[k], edges[k + 1]) for k, name in enumerate(DIRECTIONS)
        }

    def construct(self):
        self.compute()
        theme = self.theme
        photo = picture(self.pixels, 4.4).shift(0.2 * UP)
        self.begin(photo, credit=CREDIT)

        self.stacks = {}
        columns = Group()
        for name, channels in self.channel_range.items():
            stack = MapStack(self.before[..., channels], theme.direction[name], theme=theme)
            self.stacks[name] = stack
            columns.add(stack)
        columns.arrange(RIGHT, buff=0.42).shift(0.2 * UP)
        arrows = VGroup()
        for name, stack in self.stacks.items():
            word = "unmoved" if name == "unmoved" else name
            arrows.add(LabelledArrow(word, theme).next_to(stack, UP, buff=0.25))
        counts = VGroup()
        for name, stack in self.stacks.items():
            number = len(range(*self.channel_range[name].indices(self.channels)))
            words = f"{number} channel" + ("s" if number > 1 else "")
            counts.add(text(words, 0.2, theme.faint).next_to(stack, DOWN, buff=0.2))

        rows = self.before.shape[0]
        self.say(
            f"A patch embedding turns {self.image_size}×{self.image_size} pixels into\n"
            f"a map of {rows}×{rows} cells with {self.channels} channels.",
            photo.animate.scale(0.4).move_to(columns).set_opacity(0),
            FadeIn(columns),
            FadeIn(counts),
            run_time=1.0,
        )
        self.remove(photo)
        cells = "one cell" if self.shift_pixel == 1 else f"{self.shift_pixel} cells"
        slides = [
            one.slide(name, self.after[..., channels][..., k], self.shift_pixel)
            for name, channels in self.channel_range.items()
            if name != "unmoved"
            for k, one in enumerate(self.stacks[name].maps)
        ]
        self.say("Four groups get a direction. The fifth stays.", FadeIn(arrows))
        self.say(
            f"Each slides by {cells}. What leaves is lost;\nzeros come in, drawn hatched.",
            *slides,
            run_time=2.0,
            hold=1.8,
        )
        self.mark_poster()
        # What the maps hold and show now, before they turn to differences.
        self.shown = {name: stack.values for name, stack in self.stacks.items()}
        self.colors = {name: stack.maps[0].shown_colors() for name, stack in self.stacks.items()}
        self.show_difference()
        self.say(self.summary(), hold=1.8)
        self.finish()

    def show_difference(self):
        self.difference = np.abs(self.after - self.before)
        limits = (0.0, float(self.difference.max()))
        changes = []
        for name, channels in self.channel_range.items():
            for k, one in enumerate(self.stacks[name].maps):
                values = self.difference[..., channels][..., k]
                # Palest where nothing changed, so the limits run downwards.
                changes.append(one.become_values(values, limits=limits[::-1]))
        self.say(
            "The difference, dark where a cell changed:\nmost at edges, none in the fifth group.",
            *changes,
            run_time=0.8,
            hold=1.6,
        )

    def summary(self):
        """The last caption, from what was computed."""
        self.moved = int(np.sum(np.any(self.before != self.after, axis=(0, 1))))
        # A value that no arithmetic touched is a value of the input, or zero.
        self.copied = bool(np.isin(self.after, np.append(self.before, 0.0)).all())
        multiplications = 0 if self.copied else "some"
        return (
            f"<b>{self.moved}/{self.channels}</b> of the channels moved, "
            f"<b>{self.parameters}</b> parameters, <b>{multiplications}</b> multiplications."
        )


class ShiftOperationDark(ShiftOperation):
    """The same on a dark page."""

    theme = DARK


class ShiftOperationTwoCells(ShiftOperation):
    """The same with a shift of two cells."""

    shift_pixel = 2

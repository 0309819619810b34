"""TrainingRecipe: a dot along warm-up and cosine, and what the rate does to one weight."""

import keras
import numpy as np
from course_scene import CourseScene, text
from manim import (
    DOWN,
    LEFT,
    RIGHT,
    UP,
    Create,
    DashedVMobject,
    Dot,
    FadeIn,
    Line,
    UpdateFromAlphaFunc,
    VGroup,
    VMobject,
    linear,
)
from pictures import CREDIT, as_array, photograph

from shiftvit_utils import build_optimizer, warmup_cosine
from shiftvit_utils.figures import PALETTE


class Plot(VGroup):
    """Two axes and the way from numbers to points on them."""

    def __init__(self, x_range, y_range, width, height, theme):
        super().__init__()
        self.x_range, self.y_range = x_range, y_range
        self.width_of_plot, self.height_of_plot = width, height
        self.x_axis = Line(0 * RIGHT, width * RIGHT, color=theme.faint, stroke_width=2)
        self.y_axis = Line(0 * UP, height * UP, color=theme.faint, stroke_width=2)
        self.add(self.x_axis, self.y_axis)

    def point(self, x, y):
        """Where the pair of numbers stands in the frame."""
        low, high = self.x_range
        bottom, top = self.y_range
        along = (x - low) / (high - low) * self.width_of_plot
        up = (y - bottom) / (top - bottom) * self.height_of_plot
        return self.x_axis.get_start() + along * RIGHT + up * UP

    def curve(self, xs, ys, color, width=4):
        """A line through all pairs."""
        line = VMobject(stroke_color=color, stroke_width=width)
        line.set_points_as_corners([self.point(x, y) for x, y in zip(xs, ys, strict=True)])
        return line


class TrainingRecipe(CourseScene):
    """The learning rate climbs and falls; one weight runs, jumps, and comes to rest."""

    title = "The learning rate and one weight"
    steps = 120
    warmup_steps = 12
    lr_max = 0.1
    batch = 4  # pixels
    image_size = 48  # pixels
    seed = 5

    def compute(self):
        """Trains one weight on the photograph, with the schedule and at a constant rate.

        The weight is to tell a pixel's green from its red and blue:
        green = blue + weight · (red - blue), so that 0 is all blue and 1 all red.
        """
        pixels = photograph(self.image_size).reshape(-1, 3) / 255.0
        red, green, blue = pixels.T
        self.inputs, self.targets = red - blue, green - blue
        generator = np.random.default_rng(self.seed)
        self.batches = generator.integers(0, len(pixels), (self.steps, self.batch))
        schedule = warmup_cosine(0.0, self.lr_max, self.warmup_steps, self.steps)
        self.rates = np.array([float(schedule(step)) for step in range(self.steps + 1)])
        self.scheduled = self.train(schedule)
        self.constant = self.train(self.lr_max)
        self.best = float(self.inputs @ self.targets / (self.inputs @ self.inputs))

    def train(self, learning_rate):
        """The weight after each step, `(steps + 1,)`."""
        weight = keras.Variable(np.zeros((1, 1), "float32"), name="kernel")
        optimizer = build_optimizer(learning_rate, weight_decay=0.0)
        optimizer.build([weight])
        path = [0.0]
        for chosen in self.batches:
            x, y = self.inputs[chosen], self.targets[chosen]
            gradient = 2 * np.mean((path[-1] * x - y) * x)
            optimizer.apply([keras.ops.convert_to_tensor([[gradient]], dtype="float32")])
            path.append(float(as_array(weight.value)[0, 0]))
        return np.array(path)

    def construct(self):
        self.compute()
        theme = self.theme
        steps = np.arange(self.steps + 1)
        self.lr_plot = Plot((0, self.steps), (0, 1.08 * self.lr_max), 5.2, 3.2, theme)
        low = min(self.scheduled.min(), self.constant.min(), 0.0)
        high = max(self.scheduled.max(), self.constant.max())
        margin = 0.06 * (high - low)
        self.weight_plot = Plot((0, self.steps), (low - margin, high + margin), 5.2, 3.2, theme)
        plots = VGroup(self.lr_plot, self.weight_plot).arrange(RIGHT, buff=1.6).shift(0.25 * UP)
        names = VGroup()
        for plot, name in zip(plots, ("learning rate", "one weight"), strict=True):
            heading = text(name, 0.26, theme.ink, weight="BOLD")
            names.add(heading.next_to(plot, UP, buff=0.15, aligned_edge=LEFT))
            foot = text("step", 0.2, theme.faint)
            names.add(foot.next_to(plot, DOWN, buff=0.12, aligned_edge=RIGHT))
        best = Line(
            self.weight_plot.point(0, self.best), self.weight_plot.point(self.steps, self.best)
        )
        best = DashedVMobject(best.set_stroke(theme.faint, 2), num_dashes=40)
        best_name = text("best", 0.2, theme.faint)
        best_name.next_to(best, LEFT, buff=0.12)
        self.begin(plots, names, best, best_name, credit=CREDIT)

        self.curves = {
            "rates": self.lr_plot.curve(steps, self.rates, PALETTE["blue"]),
            "scheduled": self.weight_plot.curve(steps, self.scheduled, PALETTE["blue"], 3),
            "constant": self.weight_plot.curve(steps, self.constant, PALETTE["orange"], 3.5),
        }
        self.dots = {
            "rate": Dot(self.lr_plot.point(0, self.rates[0]), 0.11, color=PALETTE["vermillion"]),
            "weight": Dot(self.weight_plot.point(0, 0.0), 0.11, color=PALETTE["vermillion"]),
        }
        for dot in self.dots.values():
            dot.set_z_index(1)
        self.say(
            "One weight learns a pixel's green from its red and blue.",
            FadeIn(*self.dots.values()),
            run_time=0.6,
        )
        quarter = self.warmup_steps
        half = (self.steps + self.warmup_steps) // 2
        self.advance(
            0,
            quarter,
            "<b>Warm-up</b>: small steps first,\nwhile Adam knows little of the gradients' size.",
            1.2,
        )
        self.advance(
            quarter, half, "<b>High rate</b>: the weight gets there fast, and overshoots.", 2.0
        )
        self.advance(
            half,
            self.steps,
            "<b>Cosine to 0</b>: smaller and smaller steps; it comes to rest.",
            2.2,
        )
        self.mark_poster()
        spread = self.rest(self.scheduled), self.rest(self.constant)
        dashed = DashedVMobject(self.curves["constant"], num_dashes=70, dashed_ratio=0.6)
        rate = Line(self.lr_plot.point(0, self.lr_max), self.lr_plot.point(self.steps, self.lr_max))
        rate = DashedVMobject(rate.set_stroke(PALETTE["orange"], 2.5), num_dashes=30)
        self.say(
            f"At a constant rate (dashed) it never rests. Range over the\n"
            f"last {self.steps // 10} steps: {spread[1]:.3f}, with the cosine {spread[0]:.3f}.",
            Create(rate),
            Create(dashed),
            run_time=1.4,
            hold=2.0,
        )
        self.finish()

    def rest(self, path):
        """How far the weight still moves in the last tenth of the steps."""
        last = path[-(self.steps // 10) :]
        return float(last.max() - last.min())

    def advance(self, start, end, words, run_time):
        """Moves both dots from one step to another and draws the curves behind them."""
        pieces = {
            "rate": (self.lr_plot, self.rates, PALETTE["blue"]),
            "weight": (self.weight_plot, self.scheduled, PALETTE["blue"]),
        }
        animations = []
        for name, (plot, values, color) in pieces.items():
            span = np.arange(start, end + 1)
            curve = plot.curve(span, values[start : end + 1], color)
            animations.append(Create(curve, rate_func=linear))

            def follow(dot, share, plot=plot, values=values):
                step = start + share * (end - start)
                value = np.interp(step, np.arange(len(values)), values)
                dot.move_to(plot.point(step, value))

            animations.append(UpdateFromAlphaFunc(self.dots[name], follow, rate_func=linear))
        self.say(words, *animations, run_time=run_time)

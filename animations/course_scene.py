"""What all scenes share: page colour, a title, one caption at a time, holds, and a clean loop."""

import functools
import re

from manim import (
    BOLD,
    DOWN,
    LEFT,
    RIGHT,
    UP,
    AnimationGroup,
    FadeIn,
    FadeOut,
    Group,
    Scene,
    Text,
    VGroup,
    config,
    smooth,
    squish_rate_func,
)
from theme import CODE_FONT, FONT, LIGHT

# Manim looks only at a part of a large picture to decide whether it drew a frame before, and would
# show an old one for a map that has slid.
config.disable_caching = True

MAX_SECONDS = 20.0
MIN_HOLD = 1.0


def text(words, size=0.3, color="#000000", weight="NORMAL", code=False):
    """A line of text; `size` 0.3 is what captions have.

    Words between `<b>` and `</b>` are bold. Drawn large and scaled down: at small sizes Pango
    rounds the distances between letters.
    """
    # Laying out letters takes long, copying them does not; scenes ask for "1" a hundred times.
    return _drawn(words, size, color, weight, code).copy()


@functools.cache
def _drawn(words, size, color, weight, code):
    plain, bold = without_tags(words)
    line = Text(
        plain,
        font=CODE_FONT if code else FONT,
        font_size=48,
        color=color,
        weight=weight,
        t2w={f"[{start}:{end}]": BOLD for start, end in bold},
        disable_ligatures=True,
    )
    return line.scale(2 * size)


def without_tags(words):
    """`"a <b>b</b>"` as `("a b", [(2, 3)])`."""
    plain, bold = "", []
    for k, part in enumerate(re.split("</?b>", words)):
        if k % 2:
            bold.append((len(plain), len(plain) + len(part)))
        plain += part
    return plain, bold


def lines_of_text(words, size=0.3, color="#000000", pitch=0.52, **options):
    """Several lines, each in the middle, their base lines `pitch` units apart."""
    block = VGroup()
    for k, words_of_line in enumerate(words.split("\n")):
        # A bar in front tells where the base line is, whatever letters the line has.
        line = text("|" + words_of_line, size, color, **options)
        line.shift(-line[0].get_y() * UP)
        line.remove(line[0])
        block.add(line.set_x(0).shift(k * pitch * DOWN))
    return block


class CourseScene(Scene):
    """A scene of the course.

    `construct` calls `begin` with what is seen first, then `say` once a step, then `finish`, which
    brings the first picture back. What tests compare with NumPy is kept in attributes.
    """

    theme = LIGHT
    title = ""
    caption_size = 0.3
    poster_time = None

    def setup(self):
        self.camera.background_color = self.theme.background
        self.seconds = 0.0
        self.captions = []  # [(text, second at which it stands, seconds that it is held)]
        self._caption = None

    def play(self, *animations, **options):
        before = self.seconds
        super().play(*animations, **options)
        self.seconds = before + float(self.duration)

    def begin(self, *mobjects, credit=None):
        """Shows the first picture; the last one will be the same."""
        title = text(self.title, 0.34, self.theme.ink, weight="BOLD")
        self._heading = [title.to_corner(UP + LEFT, buff=0.4)]
        if credit:
            words = text(credit, 0.2, self.theme.faint)
            self._heading.append(words.to_corner(UP + RIGHT, buff=0.45))
        self.add(*self._heading, *mobjects)
        self._first = [mobject.copy() for mobject in mobjects]
        self.wait(0.5)

    def caption(self, words):
        """The caption as a mobject at its place: one or two lines at the foot of the frame."""
        lines = lines_of_text(words, self.caption_size, self.theme.ink)
        lines.shift((2.95 if len(lines) > 1 else 3.2) * DOWN)
        if lines.width > 13.4:
            raise ValueError(f"This caption does not fit into the frame: {words!r}")
        return lines

    def say(self, words, *animations, hold=1.2, run_time=1.0, **options):
        """Changes the caption while `animations` play, then holds the picture."""
        new = self.caption(words)
        late = squish_rate_func(smooth, 0.3, 0.7)  # when the old caption has gone
        change = [FadeIn(new, run_time=run_time, rate_func=late)]
        if self._caption is not None:
            early = squish_rate_func(smooth, 0.0, 0.3)
            change.append(FadeOut(self._caption, run_time=run_time, rate_func=early))
        for animation in animations:
            animation.run_time = run_time
        self.play(AnimationGroup(*change), *animations, **options)
        self._caption = new
        self.captions.append((words, self.seconds, hold))
        self.wait(hold)

    def mark_poster(self):
        """The picture as it is now stands for the scene where nothing can move."""
        self.poster_time = self.seconds - 0.2

    def finish(self, run_time=0.6):
        """Fades to the first picture and holds it."""
        gone = [mobject for mobject in self.mobjects if mobject not in self._heading]
        back = self._first
        self.play(FadeOut(Group(*gone)), run_time=run_time)
        self.play(FadeIn(Group(*back)), run_time=run_time)
        self.wait(0.5)

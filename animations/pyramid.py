"""Pyramid: patches become tokens, and three merges halve the map and double its channels."""

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
    Line,
    Polygon,
    ReplacementTransform,
    Square,
    VGroup,
)
from mobjects import FeatureMap, picture
from pictures import CREDIT, as_array, draw_weights, network_input, photograph
from theme import mix

from shiftvit_utils import PatchEmbedding, PatchMerging
from shiftvit_utils.figures import PALETTE


class Box(Group):
    """A map as a box: the channel that varies most in front, the others behind.

    The front has the area H·W and the side the depth C, each in one scale for all boxes.
    """

    slant = np.array([0.8, 0.45, 0.0])  # which way the channels lie

    def __init__(self, values, side, depth, theme):
        super().__init__()
        self.values, self.theme = values, theme
        self.front = FeatureMap(
            values[..., self.most_varied(values)],
            PALETTE["blue"],
            side=side,
            theme=theme,
            cell_pixels=8,
        )
        back = depth * self.slant
        corners = {
            k: self.front.frame.get_corner(way)
            for k, way in enumerate((UP + LEFT, UP + RIGHT, DOWN + RIGHT))
        }
        top = Polygon(corners[0], corners[1], corners[1] + back, corners[0] + back)
        right = Polygon(corners[1], corners[2], corners[2] + back, corners[1] + back)
        self.depth_edge = Line(corners[1], corners[1] + back)
        for face, share in ((top, 0.7), (right, 0.5)):
            face.set_fill(mix(PALETTE["blue"], theme.background, share), 1.0)
            face.set_stroke(PALETTE["blue"], 2)
        self.add(top, right, self.front)

    @staticmethod
    def most_varied(values):
        """The channel with the largest variance over the cells."""
        return int(values.var(axis=(0, 1)).argmax())

    def square_of(self, row, column, cells=1, color=PALETTE["vermillion"]):
        """An outline around `cells` × `cells` cells, the upper left one in `row`, `column`."""
        cell = self.front.image.width / self.values.shape[1]
        # In front of the boxes, over which it flies while they fade in.
        square = Square(cells * cell, color=color, stroke_width=4).set_z_index(1)
        corner = self.front.image.get_corner(UP + LEFT)
        half = cells / 2
        return square.move_to(corner + cell * ((column + half) * RIGHT + (row + half) * DOWN))


class Pyramid(CourseScene):
    """Patch embedding and three merges, with one 2×2 patch of each map followed into its token."""

    title = "The pyramid"
    image_size = 64  # pixels
    patch_size = 4  # pixels
    channels = 96
    merges = 3
    tracked = (6, 5)  # row and column of the token that is followed, in the first map
    side = 2.6  # units, of the first map
    depth = 0.25  # units, of the first map
    seed = 3

    def compute(self):
        """Each map, `(H, W, C)`, from the library's layers; no shift blocks between them."""
        self.pixels = photograph(self.image_size)
        batch = network_input(self.pixels)
        embedding = PatchEmbedding(self.patch_size, self.channels)
        embedding.build(batch.shape)
        tensor = draw_weights(embedding, self.seed)(batch)
        self.maps, self.alone = [as_array(tensor)[0]], []
        self.places = [self.tracked]
        for k in range(self.merges):
            row, column = (2 * (index // 2) for index in self.places[-1])
            merging = PatchMerging()
            merging.build(tensor.shape)
            draw_weights(merging, self.seed + 1 + k)
            # The same layer on nothing but the patch that is followed.
            patch = tensor[:, row : row + 2, column : column + 2]
            self.alone.append(as_array(merging(patch))[0, 0, 0])
            tensor = merging(tensor)
            self.maps.append(as_array(tensor)[0])
            self.places.append((row // 2, column // 2))
        tokens = [
            values[place] for values, place in zip(self.maps[1:], self.places[1:], strict=True)
        ]
        pairs = zip(tokens, self.alone, strict=True)
        self.largest = max(float(np.abs(token - alone).max()) for token, alone in pairs)

    def construct(self):
        self.compute()
        theme = self.theme
        photo = picture(self.pixels, self.side)
        self.boxes = []
        for values in self.maps:
            side = self.side * values.shape[1] / self.maps[0].shape[1]
            depth = self.depth * values.shape[2] / self.channels
            self.boxes.append(Box(values, side, depth, theme))
        row = Group(photo, *self.boxes).arrange(RIGHT, buff=0.55).move_to(0.3 * UP)
        foot = -1.2
        for one in row:
            one.shift((foot - one.get_bottom()[1]) * UP)
        shapes = [self.pixels.shape, *[values.shape for values in self.maps]]
        self.labels = [
            text("×".join(map(str, shape)), 0.23, theme.ink).move_to(
                one.get_x() * RIGHT + (foot - 0.35) * UP
            )
            for one, shape in zip(row, shapes, strict=True)
        ]
        large = photo.copy().scale(1.6).move_to(0.2 * UP)
        self.begin(large, credit=CREDIT)
        self.embed(large, photo)
        for k in range(self.merges):
            self.merge(k)
        self.mark_poster()
        self.say(
            "Each merge: a quarter of the cells, twice the channels.\n"
            "(The shift blocks between the merges are left out here.)",
            hold=2.2,
        )
        self.finish()

    def embed(self, large, photo):
        """The photograph cut into patches, one of them followed."""
        count = self.maps[0].shape[0]
        lines = VGroup()
        left, top = photo.get_corner(UP + LEFT)[:2]
        for k in range(count + 1):
            at = k * self.side / count
            lines.add(Line([left + at, top, 0], [left + at, top - self.side, 0]))
            lines.add(Line([left, top - at, 0], [left + self.side, top - at, 0]))
        lines.set_stroke("#FFFFFF", 1)
        cell = self.side / count
        row, column = self.tracked
        patch = Square(cell, color=PALETTE["vermillion"], stroke_width=4).set_z_index(1)
        patch.move_to([left + (column + 0.5) * cell, top - (row + 0.5) * cell, 0])
        size = self.patch_size
        self.play(ReplacementTransform(large, photo), FadeIn(self.labels[0]), run_time=0.8)
        self.say(
            f"Patches of {size}×{size} pixels ...",
            FadeIn(lines),
            FadeIn(patch),
            run_time=0.8,
            hold=1,
        )
        box = self.boxes[0]
        self.token = box.square_of(*self.tracked)
        self.tokens = [self.token]
        self.say(
            f"... become tokens of {self.channels} channels: one dense layer for all patches.",
            FadeIn(box),
            FadeIn(self.labels[1]),
            ReplacementTransform(patch.copy(), self.token),
            run_time=1.2,
        )

    def merge(self, k):
        """Four neighbours of map k become one token of map k + 1."""
        row, column = (2 * (index // 2) for index in self.places[k])
        box, following = self.boxes[k], self.boxes[k + 1]
        four = box.square_of(row, column, cells=2)
        self.fours = [*getattr(self, "fours", []), four]
        token = following.square_of(*self.places[k + 1])
        channels = self.maps[k].shape[-1]
        words = (
            f"Merging: a 2×2 patch of tokens, 4 · {channels} numbers,\n"
            f"becomes one token of {2 * channels}.",
            "The next merge takes that token and its three neighbours.",
            "And the last: what it holds comes from a large part of the image.",
        )
        self.play(FadeOut(self.token), FadeIn(four), run_time=0.4)
        self.say(
            words[min(k, len(words) - 1)],
            FadeIn(following),
            FadeIn(self.labels[k + 2]),
            ReplacementTransform(four.copy(), token),
            run_time=1.0,
        )
        self.token = token
        self.tokens.append(token)

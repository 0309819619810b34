"""The figures of 02 hold the images, weights, places and costs that they were given."""

import io
from collections import Counter

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from shiftvit_utils import augmentation_figures as figures
from shiftvit_utils.figures import PALETTE

pytestmark = pytest.mark.backend_free

CLASSES = ("cat", "dog", "owl")


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, size=(5, 4, 6, 3), dtype="uint8")


def cells(figure):
    """The axes of a grid of images by (row, column)."""
    places = [(axes.get_subplotspec(), axes) for axes in figure.axes]
    return {(place.rowspan.start, place.colspan.start): axes for place, axes in places}


def pixels_of(axes):
    (image,) = axes.images
    assert image.get_interpolation() == "nearest"
    return np.asarray(image.get_array())


def texts(axes):
    return [text.get_text() for text in axes.texts]


def assert_nothing_is_cut_off(figure):
    """The frame of the picture stays white: no text reaches it."""
    file = io.BytesIO()
    figure.savefig(file, dpi=100)
    pixels = np.asarray(Image.open(file).convert("L"))
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert (edge == 255).all()


class TestSheet:
    def test_holds_a_row_for_each_augmentation(self, images):
        figure = figures.augmentation_sheet_figure(
            {"original": images, "two\nlines": images[3:, ::-1]}, columns=4, title="All"
        )
        found = cells(figure)
        assert list(found) == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]
        for column in range(4):
            assert np.array_equal(pixels_of(found[0, column]), images[column])
        for column in range(2):
            assert np.array_equal(pixels_of(found[1, column]), images[3 + column, ::-1])
        names = {place: axes.get_ylabel() for place, axes in found.items() if axes.get_ylabel()}
        assert names == {(0, 0): "original", (1, 0): "two\nlines"}
        assert figure.get_suptitle() == "All"

    def test_without_columns_draws_all_without_ticks(self, images):
        figure = figures.augmentation_sheet_figure({"original": images})
        assert list(cells(figure)) == [(0, k) for k in range(5)]
        assert figure.get_suptitle() == ""
        assert not any(len(axes.get_xticks()) + len(axes.get_yticks()) for axes in figure.axes)

    def test_floats_are_rounded_and_held_to_0_to_255(self):
        overshoot = np.array([-20.0, 99.4, 99.6, 255.1, 300.0, 7.0]).reshape(1, 1, 2, 3)
        (axes,) = figures.augmentation_sheet_figure({"brighter": overshoot}).axes
        assert pixels_of(axes).ravel().tolist() == [0, 99, 100, 255, 255, 7]
        assert pixels_of(axes).dtype == np.uint8

    def test_rows_may_differ_in_size_and_paper_grows_with_them(self, images):
        large = images.repeat(2, axis=1).repeat(2, axis=2)
        one = figures.augmentation_sheet_figure({"small": images})
        two = figures.augmentation_sheet_figure({"small": images, "large": large})
        assert pixels_of(cells(two)[1, 0]).shape == (8, 12, 3)
        assert two.get_figheight() > 1.8 * one.get_figheight()
        assert two.get_figwidth() == one.get_figwidth()
        wide = figures.augmentation_sheet_figure({"small": images}, image_inches=2.0)
        assert wide.get_figwidth() - one.get_figwidth() == pytest.approx(5 * (2.0 - 0.85))

    def test_nothing_is_cut_off(self, images):
        square = images[:, :, :4]
        rows = {"RandomCrop-\nPerImage": square, 'recipe\n"published"': square}
        assert_nothing_is_cut_off(figures.augmentation_sheet_figure(rows, title="Heading"))

    @pytest.mark.parametrize(
        ("rows", "columns", "message"),
        [
            ({}, None, "There must be a row"),
            ({"flip": np.zeros((2, 4, 4, 3))}, 0, "and a column; got 1 and 0"),
            ({"flip": np.zeros((0, 4, 4, 3))}, None, r"rows\['flip'\] has shape \(0, 4, 4, 3\)"),
            ({"flip": np.zeros((4, 4, 3))}, None, r"rows\['flip'\] must have the shape \(N, H"),
            ({"grey": np.zeros((2, 4, 4, 1))}, None, r"got \(2, 4, 4, 1\)"),
            ({"scaled": np.full((1, 4, 4, 3), 0.5)}, None, "scaled to 0..1"),
            ({"broken": np.full((1, 4, 4, 3), np.nan)}, None, r"rows\['broken'\] holds NaN"),
        ],
    )
    def test_what_does_not_fit_is_named(self, rows, columns, message):
        with pytest.raises(ValueError, match=message):
            figures.augmentation_sheet_figure(rows, columns=columns)


class TestMixedImages:
    def test_titles_are_the_weights_from_heaviest_to_lightest(self, images):
        labels = [[0.25, 0.0, 0.75], [0.004, 0.996, 0.0], [0.5, 0.5, 0.0], [0, 0, 1], [0, 1, 0]]
        figure = figures.mixed_images_figure(images, labels, CLASSES)
        assert [axes.get_title().rstrip("\n") for axes in figure.axes] == [
            "0.75 owl\n0.25 cat", "1.00 dog", "0.50 cat\n0.50 dog", "1.00 owl", "1.00 dog",
        ]  # fmt: skip
        lines = {axes.get_title().count("\n") + 1 for axes in figure.axes}
        assert lines == {2}, "with fewer lines, the first of a row stands lower"

    def test_holds_the_images_in_reading_order(self, images):
        labels = np.eye(3)[[0, 1, 2, 0, 1]]
        found = cells(figures.mixed_images_figure(images.astype("float32"), labels, CLASSES, 3))
        assert list(found) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
        for axes, image in zip(found.values(), images, strict=True):
            assert np.array_equal(pixels_of(axes), image)
        in_one_row = cells(figures.mixed_images_figure(images.repeat(3, 0), np.eye(15), "x" * 15))
        assert list(in_one_row) == [(0, k) for k in range(15)]

    def test_makes_room_for_every_line(self, images):
        """Three classes take part where a mixed image is mixed again."""
        square = images[:, :, :4]
        two = figures.mixed_images_figure(square, [[0.5, 0.5, 0.0]] * 5, CLASSES)
        three = figures.mixed_images_figure(square, [[0.2, 0.5, 0.3]] * 5, CLASSES)
        assert three.axes[0].get_title() == "0.50 dog\n0.30 owl\n0.20 cat"
        assert three.get_figheight() > two.get_figheight() + 0.1
        assert_nothing_is_cut_off(three)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"labels": np.eye(3)}, r"labels must have the shape \(5, 3\).* got \(3, 3\)"),
            ({"labels": [0, 1, 2, 0, 1]}, r"got \(5,\)"),
            ({"class_names": ("cat", "dog")}, r"labels must have the shape \(5, 2\)"),
            ({"images": np.zeros((0, 4, 4, 3))}, "images has shape"),
            ({"images": np.zeros((4, 4, 3))}, "images must have the shape"),
            ({"images": np.full((5, 4, 4, 3), 0.5)}, "scaled to 0..1"),
            ({"columns": 0}, "columns must be an int >= 1, got 0"),
        ],
    )
    def test_what_does_not_fit_is_named(self, images, arguments, message):
        right = {"images": images, "labels": np.ones((5, 3)) / 3, "class_names": CLASSES}
        with pytest.raises(ValueError, match=message):
            figures.mixed_images_figure(**{**right, **arguments})


class TestCropOffsets:
    PER_BATCH = np.array([[1, 3]] * 6)
    PER_IMAGE = np.array([[0, 4], [2, 1], [0, 4], [4, 0], [2, 1], [0, 4]])

    def panels(self):
        return figures.crop_offsets_figure(self.PER_BATCH, self.PER_IMAGE, largest=4).axes

    def test_a_point_for_each_place_with_its_count(self):
        for axes, offsets in zip(self.panels(), (self.PER_BATCH, self.PER_IMAGE), strict=True):
            counts = Counter((left, top) for top, left in offsets.tolist())
            (points,) = axes.collections
            assert {tuple(place) for place in points.get_offsets()} == set(counts)
            beside = {text.xy: int(text.get_text()) for text in axes.texts}
            assert beside == counts

    def test_more_images_are_a_larger_point(self):
        (points,) = self.panels()[1].collections
        sizes = dict(zip(map(tuple, points.get_offsets()), points.get_sizes(), strict=True))
        assert sizes[4, 0] > sizes[1, 2] > sizes[0, 4]  # 3, 2 and 1 images
        step = sizes[1, 2] - sizes[0, 4]
        assert sizes[4, 0] - sizes[1, 2] == pytest.approx(step), "the area, not the width"
        assert self.panels()[0].collections[0].get_sizes() > sizes[4, 0]  # all six

    def test_panels_differ_in_name_colour_and_marker(self):
        one, many = self.panels()
        assert one.get_title() == "one offset a batch: 1 place"
        assert many.get_title() == "one offset an image: 3 places"
        colors = [to_hex(axes.collections[0].get_facecolor()[0]) for axes in (one, many)]
        assert colors == [PALETTE["blue"].lower(), PALETTE["orange"].lower()]
        square, circle = (axes.collections[0].get_paths()[0] for axes in (one, many))
        assert len(square.vertices) == 5
        assert len(circle.vertices) > 5

    def test_axes_show_every_offset_with_row_0_on_top(self):
        for axes in self.panels():
            assert axes.get_xticks().tolist() == axes.get_yticks().tolist() == [0, 1, 2, 3, 4]
            assert axes.yaxis_inverted()
            assert not axes.xaxis_inverted()
            assert axes.get_xlabel() == "left offset in pixels"
        assert self.panels()[0].get_ylabel() == "top offset in pixels"

    @pytest.mark.parametrize(
        ("per_image", "message"),
        [
            ([0, 1], r"one offset an image: offsets must have the shape \(N, 2\), got \(2,\)"),
            (np.zeros((4, 3), int), r"got \(4, 3\)"),
            (np.zeros((0, 2), int), r"got \(0, 2\)"),
            ([[0, 5]], "largest=4, these go from 0 to 5"),
            ([[-1, 2]], "these go from -1 to 2"),
        ],
    )
    def test_what_does_not_fit_is_named(self, per_image, message):
        with pytest.raises(ValueError, match=message):
            figures.crop_offsets_figure(self.PER_BATCH, per_image, 4)


DIRECT = {"flip": 10.0, "RandAugment": 10_480.0, "crop": 151.7, "mix": 0.034}
COMPILED = {"crop": 9.94, "flip": 9.96}


class TestCost:
    def test_each_stem_ends_at_its_cost_in_the_row_of_its_name(self):
        (axes,) = figures.cost_figure(DIRECT, COMPILED).axes
        names = [label.get_text() for label in axes.get_yticklabels()]
        assert names == list(DIRECT)
        for costs, stems, ends in zip(
            (DIRECT, COMPILED), axes.collections, axes.lines, strict=True
        ):
            found = {names[round(y)]: x for x, y in ends.get_xydata()}
            assert found == costs
            for (start, end), point in zip(stems.get_segments(), ends.get_xydata(), strict=True):
                assert end.tolist() == point.tolist()
                assert start[1] == end[1]
                assert start[0] == axes.get_xlim()[0] < end[0]

    def test_numbers_stand_beside_the_ends(self):
        (axes,) = figures.cost_figure(DIRECT, COMPILED).axes
        beside = {text.xy[0]: text.get_text() for text in axes.texts}
        assert beside == {
            10.0: "10", 10_480.0: "10,480", 151.7: "152", 0.034: "0.034", 9.94: "9.9", 9.96: "10",
        }  # fmt: skip

    def test_the_two_series_differ_in_colour_line_marker_and_place(self):
        figure = figures.cost_figure(DIRECT, COMPILED)
        direct, compiled = figure.axes[0].lines
        assert direct.get_color() == PALETTE["blue"]
        assert compiled.get_color() == PALETTE["vermillion"]
        assert direct.get_marker() != compiled.get_marker()
        solid, dotted = (stems.get_linestyle()[0][1] for stems in figure.axes[0].collections)
        assert solid is None
        assert dotted
        assert not set(direct.get_ydata()) & set(compiled.get_ydata())
        (legend,) = figure.legends
        assert [text.get_text() for text in legend.texts] == [
            "called directly",
            "compiled with XLA",
        ]

    @pytest.mark.parametrize("compiled", [None, {}])
    def test_without_compiled_there_is_one_series_and_no_legend(self, compiled):
        figure = figures.cost_figure(DIRECT, compiled)
        (points,) = figure.axes[0].lines
        assert points.get_ydata().tolist() == [0, 1, 2, 3]
        assert not figure.legends
        assert figure.axes[0].get_legend() is None

    def test_the_axis_is_logarithmic_and_the_first_name_on_top(self):
        (axes,) = figures.cost_figure(DIRECT, title="What it costs").axes
        assert axes.get_xscale() == "log"
        assert "logarithmic" in axes.get_xlabel()
        assert axes.get_title() == "What it costs"
        assert axes.yaxis_inverted()

    @pytest.mark.parametrize("direct", [DIRECT, {"flip": 10.0, "crop": 12.0}, {"flip": 100.0}])
    def test_the_longest_number_has_room_inside_the_axes(self, direct):
        figure = figures.cost_figure(direct)
        figure.draw_without_rendering()
        frame = figure.axes[0].get_window_extent()
        for text in figure.axes[0].texts:
            assert text.get_window_extent().x1 < frame.x1

    @pytest.mark.parametrize(
        ("direct", "compiled", "message"),
        [
            ({}, None, "at least one augmentation"),
            ({"flip": 1.0}, {"crop": 2.0}, "compiled has a cost of 'crop', but direct has none"),
            ({"flip": 0.0}, None, "cost of 'flip' must be above 0 microseconds, got 0.0"),
            ({"flip": 1.0}, {"flip": -3.0}, "got -3.0"),
            ({"flip": float("nan")}, None, "got nan"),
        ],
    )
    def test_what_cannot_be_drawn_is_named(self, direct, compiled, message):
        with pytest.raises(ValueError, match=message):
            figures.cost_figure(direct, compiled)

"""The figures hold the images, counts and places that they were given."""

import io

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from shiftvit_utils import image_figures
from shiftvit_utils.figures import PALETTE

pytestmark = pytest.mark.backend_free


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, size=(5, 4, 6, 3), dtype="uint8")


def texts(figure):
    return [axes.get_title() for axes in figure.axes]


class TestGrid:
    def test_holds_each_image_in_reading_order(self, images):
        figure = image_figures.image_grid_figure(images, columns=3)
        assert len(figure.axes) == 5
        for axes, image in zip(figure.axes, images, strict=True):
            assert np.array_equal(axes.images[0].get_array(), image)
            assert axes.images[0].get_interpolation() == "nearest"
        places = [axes.get_subplotspec() for axes in figure.axes]
        assert [(place.rowspan.start, place.colspan.start) for place in places] == [
            (0, 0), (0, 1), (0, 2), (1, 0), (1, 1),
        ]  # fmt: skip

    def test_floats_are_drawn_as_the_same_pixels(self, images):
        floats = images.astype("float32")
        floats[0, 0, 0] = 255.00002  # as bilinear resizing leaves it
        figure = image_figures.image_grid_figure(floats)
        shown = np.stack([axes.images[0].get_array() for axes in figure.axes])
        assert shown.dtype == np.uint8
        assert np.array_equal(shown.reshape(-1, 3)[1:], images.reshape(-1, 3)[1:])
        assert shown[0, 0, 0].tolist() == [255, 255, 255]

    def test_titles_row_labels_and_heading(self, images):
        figure = image_figures.image_grid_figure(
            images, ["a", None, 3, "d", ""], columns=2, row_labels=["x", "y", "z"], title="All"
        )
        assert texts(figure) == ["a", "", "3", "d", ""]
        assert [axes.get_ylabel() for axes in figure.axes] == ["x", "", "y", "", "z"]
        assert figure.get_suptitle() == "All"

    def test_labels_become_names(self, images):
        figure = image_figures.image_grid_figure(
            images, labels=np.array([1, 0, 1, 1, 0]), class_names=("cat", "dog")
        )
        assert texts(figure) == ["dog", "cat", "dog", "dog", "cat"]

    @pytest.mark.parametrize(
        "around", [{}, {"row_labels": ["automobile"], "title": "Heading"}], ids=["alone", "around"]
    )
    @pytest.mark.parametrize("lines", [1, 2, 3])
    def test_nothing_is_cut_off(self, images, around, lines):
        """The frame of the picture stays white: no text reaches it."""
        square = images[:, :, :4]
        titles = ["\n".join(["title"] * lines)] * 5
        figure = image_figures.image_grid_figure(square, titles, columns=5, **around)
        file = io.BytesIO()
        figure.savefig(file, dpi=100)
        pixels = np.asarray(Image.open(file).convert("L"))
        for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
            assert (edge == 255).all()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"images": np.zeros((4, 6, 3), "uint8")}, r"expected \(N, H, W, 3\)"),
            ({"images": np.zeros((1, 4, 6, 4), "uint8")}, "images has shape"),
            ({"images": np.full((1, 4, 6, 3), 0.5)}, "scaled to 0..1"),
            ({"images": np.full((1, 4, 6, 3), -1.0)}, "expected 0..255"),
            ({"titles": ["one"]}, "titles has 1 entries for 5 images"),
            ({"labels": [0], "class_names": "ab"}, "labels has 1 entries for 5 images"),
            ({"labels": [0] * 5}, "labels together with class_names"),
            ({"labels": [0] * 5, "class_names": "ab", "titles": "abcde"}, "or none of them"),
            ({"columns": 0}, "columns must be an int >= 1, got 0"),
            ({"columns": 2, "row_labels": ["a", "b"]}, "5 images in 2 columns make 3 rows"),
        ],
    )
    def test_misfits_are_named(self, images, arguments, message):
        with pytest.raises(ValueError, match=message):
            image_figures.image_grid_figure(**{"images": images, **arguments})


def test_class_balance_counts_every_split_and_class():
    splits = {"training": np.array([0, 2, 2, 2]), "validation": np.array([2, 0])}
    figure = image_figures.class_balance_figure(splits, ("cat", "dog", "owl"))
    assert texts(figure) == ["training: 4", "validation: 2"]
    widths = [[bar.get_width() for bar in axes.patches] for axes in figure.axes]
    assert widths == [[1, 0, 3], [1, 0, 1]]
    assert [text.get_text() for text in figure.axes[0].texts] == ["1", "0", "3"]
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["cat", "dog", "owl"]
    assert figure.axes[0].yaxis_inverted()


@pytest.mark.parametrize("of_one_size", [True, False])
def test_bars_of_splits_of_one_size_have_one_scale(of_one_size):
    splits = {"airplanes only": np.zeros(30, int), "shuffled": np.arange(30 if of_one_size else 9)}
    splits["shuffled"] %= 3
    figure = image_figures.class_balance_figure(splits, ("airplane", "cat", "dog"))
    limits = [axes.get_xlim() for axes in figure.axes]
    assert (limits[0] == limits[1]) == of_one_size
    assert figure.axes[0].get_xlim()[1] > 30  # of the longest bar


def test_pixel_statistics_are_those_of_all_pixels(images):
    images[0] = 0  # a dark image, so that the spread within images is not the whole spread
    figure = image_figures.pixel_statistics_figure(images)
    for k, (axes, name) in enumerate(zip(figure.axes, ("red", "green", "blue"), strict=True)):
        pixels = images[..., k].astype("float64")
        assert axes.get_title() == f"{name}: mean {pixels.mean():.1f}, std {pixels.std():.1f}"
        places = [line.get_xdata()[0] for line in axes.lines]
        expected = pixels.mean() + pixels.std() * np.array([0, -1, 1])
        assert np.allclose(places, expected)
        heights = axes.patches[0].get_data().values
        assert heights.sum() == pytest.approx(100)
        assert heights[255] == pytest.approx(100 * (pixels == 255).mean())


def test_neighbour_jumps_stand_out_at_the_borders_of_blocks():
    blocks = np.repeat([10, 30], 8).astype("uint8")  # two flat squares, a step of 20 between
    images = np.broadcast_to(blocks[None, None, :, None], (2, 4, 16, 3))
    axes = image_figures.neighbour_jump_figure(images).axes[0]
    bars = {round(bar.get_x() + bar.get_width() / 2): bar for bar in axes.patches}
    assert sorted(bars) == list(range(1, 16))
    assert {column: bar.get_height() for column, bar in bars.items() if bar.get_height()} == {8: 20}
    assert bars[8].get_hatch()
    assert not bars[7].get_hatch()
    assert to_hex(bars[8].get_facecolor()) == PALETTE["blue"].lower()


def test_jumps_of_unsigned_pixels_do_not_wrap():
    image = np.array([200, 10, 200], "uint8").reshape(1, 1, 3, 1).repeat(3, axis=-1)
    axes = image_figures.neighbour_jump_figure(image).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [190, 190]


def test_order_shows_former_place_over_new_place_and_the_classes():
    labels = np.array([0, 0, 0, 1, 1, 2])
    orders = {"one": np.array([5, 4, 3, 2, 1, 0]), "two": np.arange(6)}
    figure = image_figures.order_figure(orders, labels, ("cat", "dog", "owl"))
    assert texts(figure) == ["one", "two"]
    for axes, order in zip(figure.axes, orders.values(), strict=True):
        dots = axes.collections[0].get_offsets()
        assert dots[:, 0].tolist() == list(range(6))
        assert dots[:, 1].tolist() == order.tolist()
    assert figure.axes[0].get_yticks().tolist() == [1.5, 4.0, 5.5]
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["cat", "dog", "owl"]

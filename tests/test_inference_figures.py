"""The figures hold the images, numbers and marks that they were given."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from shiftvit_utils import inference_figures
from shiftvit_utils.calibration import reliability
from shiftvit_utils.calibration_figures import reliability_figure, speed_figure
from shiftvit_utils.figures import PALETTE
from shiftvit_utils.predictions import Predictions

pytestmark = pytest.mark.backend_free

NAMES = ("cat", "dog", "ship")
LOGITS = np.log([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1]])
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype("uint8")


def texts(axes):
    return [text.get_text() for text in axes.texts]


def shown(axes):
    return np.asarray(axes.images[0].get_array())


def test_confidences_are_sorted_and_the_truth_is_marked():
    figure = inference_figures.confidence_figure(IMAGES[0], LOGITS[0], NAMES, true_label="dog")
    picture, logits, probabilities = figure.axes
    np.testing.assert_array_equal(shown(picture), IMAGES[0])
    assert picture.get_title() == "true: dog"
    assert [label.get_text() for label in logits.get_yticklabels()] == ["ship", "dog ✓", "cat"]
    widths = [bar.get_width() for bar in probabilities.patches]
    assert widths == pytest.approx([70, 20, 10])
    assert [bar.get_width() for bar in logits.patches] == pytest.approx(np.log([0.7, 0.2, 0.1]))
    assert texts(probabilities) == ["70.0 %", "20.0 %", "10.0 %"]
    assert [bar.get_hatch() for bar in probabilities.patches] == [None, "//", None]
    assert probabilities.yaxis_inverted()


def test_of_many_classes_the_ten_largest_are_shown():
    logits = np.arange(25.0)
    figure = inference_figures.confidence_figure(IMAGES[0], logits, [str(k) for k in range(25)])
    assert figure.axes[0].get_title() == ""
    names = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert names == [str(k) for k in range(24, 14, -1)]


def test_grid_tells_right_from_wrong_by_more_than_colour():
    said = Predictions(("a.png", "b.png"), LOGITS, NAMES)
    figure = inference_figures.prediction_grid_figure(IMAGES, said, ["ship", "dog"], columns=3)
    right, wrong, empty = figure.axes
    assert right.get_title() == "✓ ship 70%\ntrue: ship"
    assert wrong.get_title() == "✗ cat 60%\ntrue: dog"
    np.testing.assert_array_equal(shown(wrong), IMAGES[1])
    assert not empty.images
    assert not empty.axison
    frames = [axes.spines["left"] for axes in (right, wrong)]
    assert [to_hex(frame.get_edgecolor()).upper() for frame in frames] == [
        PALETTE["blue"],
        PALETTE["vermillion"],
    ]
    assert [frame.get_linestyle() for frame in frames] == ["-", "--"]


def test_grid_without_truth_names_the_images():
    said = Predictions(("a.png", "b.png"), LOGITS, NAMES)
    figure = inference_figures.prediction_grid_figure(IMAGES, said, columns=2)
    assert [axes.get_title() for axes in figure.axes] == ["a.png\nship 70%", "b.png\ncat 60%"]


def test_pictures_stand_above_what_the_network_sees():
    originals = [np.zeros((30, 40, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)]
    figure = inference_figures.original_and_seen_figure(originals, IMAGES, ["wide", "tiny"])
    upper, lower = figure.axes[:2], figure.axes[2:]
    assert [axes.get_title() for axes in upper] == ["wide\n40×30", "tiny\n1×1"]
    assert [axes.get_ylabel() for axes in (upper[0], lower[0])] == ["file", "network sees"]
    for axes, image in zip(upper + lower, [*originals, *IMAGES], strict=True):
        np.testing.assert_array_equal(shown(axes), image)


def test_maps_have_the_colours_of_their_bars_around_zero():
    small, large = np.zeros((8, 8)), np.zeros((8, 8))
    small[2, 3], large[5, 6], large[0, 0] = 0.1, 0.3, -0.4
    figure = inference_figures.occlusion_figure(IMAGES[0], {"4": small, "8": large}, "falls by")
    picture, first, second, *colour_bars = figure.axes
    np.testing.assert_array_equal(shown(picture), IMAGES[0])
    assert [axes.get_title() for axes in (first, second)] == ["4", "8"]
    assert [axes.get_xlabel() for axes in colour_bars] == ["falls by", "falls by"]
    for axes, values, limit, place in ((first, small, 0.1, (3, 2)), (second, large, 0.4, (6, 5))):
        (drawn,) = axes.images
        np.testing.assert_array_equal(drawn.get_array(), values)
        assert drawn.get_clim() == (-limit, limit)
        assert drawn.get_alpha() is None  # or no colour would be one of the bar
        (cross,) = axes.lines
        assert (cross.get_xdata()[0], cross.get_ydata()[0]) == place


def test_a_map_of_zeros_can_be_drawn():
    figure = inference_figures.occlusion_figure(IMAGES[0], {"none": np.zeros((8, 8))})
    assert figure.axes[1].images[0].get_clim() == (-1, 1)


@pytest.mark.parametrize(
    ("rows", "columns", "middle"),
    [
        (np.s_[2:6], np.s_[4:8], (3.5, 5.5)),
        (np.s_[:3], np.s_[:1], (1, 0)),
        (np.s_[5:7], np.s_[:], (5.5, 3.5)),
    ],
)
def test_the_cross_stands_in_the_middle_of_the_largest_place(rows, columns, middle):
    values = np.zeros((8, 8))
    values[rows, columns] = 2
    values[7, 2] = 2 if rows.stop < 7 else 0  # another place as large: the first one counts
    figure = inference_figures.occlusion_figure(IMAGES[0], {"4": values})
    (cross,) = figure.axes[1].lines
    assert (cross.get_ydata()[0], cross.get_xdata()[0]) == middle


def test_reliability_shows_accuracy_counts_and_the_error():
    result = reliability(np.array([0.95, 0.95, 0.55]), np.array([True, False, True]))
    figure = reliability_figure({"before": result, "after": result})
    assert len(figure.axes) == 4
    upper, _, lower, _ = figure.axes
    assert upper.get_title() == "before\nECE 0.450"
    bars = [(bar.get_x(), bar.get_height()) for bar in upper.patches]
    assert bars == [(pytest.approx(0.5), 1.0), (pytest.approx(0.9), 0.5)]
    assert [bar.get_height() for bar in lower.patches] == [1, 2]
    diagonal, means = upper.lines
    assert list(diagonal.get_ydata()) == [0, 1]
    assert list(means.get_xdata()) == pytest.approx([0.55, 0.95])


def test_speed_in_time_and_in_images():
    latency, throughput = speed_figure([1, 64], [20.0, 80.0]).axes
    assert list(latency.lines[0].get_ydata()) == [20.0, 80.0]
    assert list(throughput.lines[0].get_ydata()) == [50.0, 800.0]
    assert texts(throughput) == ["50", "800"]
    assert [label.get_text() for label in latency.get_xticklabels()] == ["1", "64"]

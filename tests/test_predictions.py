"""Probabilities, ranks and tables, against SciPy and against numbers worked out here."""

import html

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from shiftvit_utils.predictions import Predictions, SkippedFile, printable, softmax

pytestmark = pytest.mark.backend_free

NAMES = ("cat", "dog", "ship")
LOGITS = np.log([[1.0, 2.0, 7.0], [6.0, 3.0, 1.0]]).astype("float32")  # tenths, as probabilities


def two_images(**settings):
    return Predictions(("a.png", "b.png"), LOGITS, NAMES, **{"top_k": 2, **settings})


@given(
    st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=8),
    st.floats(0.05, 20),
)
def test_softmax_equals_scipys_at_any_size_of_logits(row, temperature):
    logits = np.array([row, row[::-1]], "float32")
    expected = scipy.special.softmax(logits.astype("float64") / temperature, axis=-1)
    np.testing.assert_allclose(softmax(logits, temperature), expected, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("temperature", [0, -1, float("nan")])
def test_temperature_must_be_positive(temperature):
    with pytest.raises(ValueError, match="temperature"):
        softmax(LOGITS, temperature)


def test_arrays_and_names_in_order_of_confidence():
    said = two_images()
    np.testing.assert_allclose(said.probabilities, [[0.1, 0.2, 0.7], [0.6, 0.3, 0.1]], atol=1e-6)
    assert said.top_indices.tolist() == [[2, 1], [0, 1]]
    assert said.top_labels == (("ship", "dog"), ("cat", "dog"))
    np.testing.assert_allclose(said.top_confidences, [[0.7, 0.2], [0.6, 0.3]], atol=1e-6)
    assert said.indices.tolist() == [2, 0]
    assert said.labels == ("ship", "cat")
    np.testing.assert_allclose(said.confidences, [0.7, 0.6], atol=1e-6)


def test_one_image_by_position_by_name_and_in_a_loop():
    said = two_images()
    assert len(said) == 2
    first = said[0]
    assert (first.name, first.label) == ("a.png", "ship")
    assert first.confidence == pytest.approx(0.7)
    assert [name for name, _ in first.top] == ["ship", "dog"]
    assert first.top[0][1] == first.confidence
    assert said["b.png"] == said[1] == said[-1] == said[np.int64(1)]
    assert [one.label for one in said] == ["ship", "cat"]


def test_what_is_not_there():
    said = two_images(skipped=(SkippedFile("c.png", "truncated"),))
    with pytest.raises(KeyError, match=r"c\.png.*skipped"):
        said["c.png"]
    with pytest.raises(KeyError, match=r"\.names"):
        said["d.png"]
    with pytest.raises(IndexError):
        said[2]
    with pytest.raises(TypeError):
        said[:1]


def test_equal_logits_keep_the_order_of_the_classes():
    said = Predictions(("grey.png",), np.zeros((1, 12)), tuple("abcdefghijkl"), top_k=12)
    assert said.top_indices.tolist() == [list(range(12))]


def test_ranks_go_by_logits_where_probabilities_have_run_out():
    said = Predictions(("sure.png",), np.array([[0.0, 5000.0, -9.0, 2.0]]), ("a", "b", "c", "d"), 4)
    assert said.top_confidences.tolist() == [[1.0, 0.0, 0.0, 0.0]]
    assert said.top_labels == (("b", "d", "a", "c"),)


def test_table():
    said = two_images(top_k=3, skipped=(SkippedFile("c.png", "truncated"),))
    assert str(said).splitlines() == [
        "image  label  confidence  then",
        "a.png  ship        70.0%  dog 20.0%, cat 10.0%",
        "b.png  cat         60.0%  dog 30.0%, ship 10.0%",
        "skipped: 1 (see .skipped)",
    ]
    assert repr(said) == str(said)


def test_long_tables_are_cut():
    said = Predictions(tuple(f"{k}.png" for k in range(1025)), np.zeros((1025, 3)), NAMES)
    lines = str(said).splitlines()
    assert len(lines) == 22
    assert lines[-1] == "... and 1,005 more images"
    assert said._repr_html_().count("<tr>") == 21


def test_html_shows_every_cell_and_runs_none_of_it():
    name = "<script>alert('x')</script>.png"
    said = Predictions((name,), np.array([[2.0, 0.0]]), ("cats & dogs", "<b>"), 2)
    page = said._repr_html_()
    assert "<script>" not in page
    assert "<b>" not in page
    assert html.escape(name) in page
    for cell in ("cats &amp; dogs", "88.1%", "&lt;b&gt; 11.9%"):
        assert f"<td>{cell}</td>" in page


def test_names_that_no_terminal_can_show():
    assert printable("Füße 1.png") == "Füße 1.png"
    assert printable("a\nb\x1b[31m.png") == "a\\nb\\x1b[31m.png"
    undecodable = b"\xff.png".decode("utf-8", "surrogateescape")
    printable(undecodable).encode("utf-8")

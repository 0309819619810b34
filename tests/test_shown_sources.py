"""What notebooks show of the library's source is what the library has."""

import ast

import nbformat
import pytest
from notebook_lint import ROOT
from shown_sources import names_of, shown, update

from shiftvit_utils.source_view import show_source

NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))

pytestmark = pytest.mark.backend_free


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_source_is_that_of_the_library(path):
    notebook = nbformat.read(path, as_version=4)
    names = names_of(notebook)
    assert any(shown(cell, names) for cell in notebook.cells) == ("show_source(" in str(notebook))
    assert not update(notebook), "run `python tests/shown_sources.py`"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_source_is_shown_to_nobody(path):
    """Only the last line of a cell has its value shown."""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code" and "show_source(" in cell.source:
            *before, last = ast.parse(cell.source).body
            assert ast.unparse(last).startswith("show_source("), cell.source
            assert not any("show_source(" in ast.unparse(node) for node in before), cell.source


def test_an_old_source_is_replaced():
    notebook = nbformat.read(ROOT / "notebooks" / "05_train.ipynb", as_version=4)
    names = names_of(notebook)
    cell = next(cell for cell in notebook.cells if shown(cell, names))
    (result,) = cell.outputs
    result.data["text/plain"] = "def warmup_cosine(): ..."
    assert update(notebook) == [cell.id]
    assert "def warmup_cosine(" in result.data["text/plain"]
    assert update(notebook) == []


def test_several_sources_are_shown_one_after_the_other():
    both = repr(show_source(names_of, shown))
    assert both.index("def names_of(") < both.index("def shown(")

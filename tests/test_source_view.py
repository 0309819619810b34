"""Source shown in notebooks: the code itself, in colours of the reader's theme."""

import ast
import html
import inspect
import re

import pytest

from shiftvit_utils import source_view
from shiftvit_utils.source_view import show_source, source_without_docstring

pytestmark = pytest.mark.backend_free


class Example:
    """A docstring, "quoted" & <marked>."""

    def method(self, x):
        """Another one."""
        # why: 1 < 2
        return "a & b" if x < 1 else None


def test_docstrings_go_and_the_rest_stays():
    source = source_without_docstring(Example)
    assert "docstring" not in source
    assert "Another one" not in source
    assert "# why: 1 < 2" in source
    assert [node.name for node in ast.parse(source).body] == ["Example"]


@pytest.mark.parametrize("thing", [Example, Example.method, source_view.show_source, inspect.stack])
def test_html_without_its_tags_is_the_source(thing):
    shown = show_source(thing)
    text = html.unescape(re.sub(r"<[^>]+>", "", shown._repr_html_()))
    assert text == source_without_docstring(thing).rstrip() == repr(shown).rstrip()


def test_kinds_of_words_have_the_colours_of_the_theme():
    shown = show_source(Example)._repr_html_()
    for name, word in (("keyword", "return"), ("comment", "# why: 1 &lt; 2"), ("number", "1")):
        assert re.search(
            rf'<span style="color: var\(--jp-mirror-editor-{name}-color\)[^"]*">{word}', shown
        )

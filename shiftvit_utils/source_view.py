"""Shows the library's own source in a notebook, so that no notebook copies it."""

import ast
import html
import inspect
import textwrap

from pygments.lexers import PythonLexer
from pygments.token import Token


def source_without_docstring(thing):
    """The source of a function or class, without its docstrings.

    Args:
        thing: function, method or class.

    Returns:
        str, not indented.

    >>> from shiftvit_utils.shift import channels_per_group
    >>> source_without_docstring(channels_per_group).splitlines()[0]
    'def channels_per_group(channels, num_div):'
    """
    source = textwrap.dedent(inspect.getsource(thing))
    lines = source.splitlines()
    # From the last docstring to the first, so that line numbers before it stay right.
    documented = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node)
    ]
    for node in sorted(documented, key=lambda node: -node.lineno):
        docstring = node.body[0]
        end = docstring.end_lineno or docstring.lineno
        while end < len(lines) and not lines[end].strip():
            end += 1
        del lines[docstring.lineno - 1 : end]
    return "\n".join(lines)


# JupyterLab and nbconvert set these colours for the theme of the reader, light or dark. Where they
# are not set, and where styles are not shown, the code is plain.
_COLOURS = {
    Token.Comment: "comment",
    Token.Keyword: "keyword",
    Token.Literal.String: "string",
    Token.Literal.Number: "number",
    Token.Name.Builtin: "builtin",
    Token.Operator: "operator",
}


# nbconvert gives the results of cells the font of its text, even within <pre>.
_FONT = "font-family: var(--jp-code-font-family, monospace); line-height: 1.3"


class SourceCode:
    """Python source that a notebook shows in the colours of its cells, and a terminal as text.

    Args:
        source: str.

    >>> SourceCode("x = 1")
    x = 1
    """

    def __init__(self, source):
        self.source = source

    def __repr__(self):
        return self.source

    def _repr_html_(self):
        pieces = [
            _coloured(token, html.escape(text))
            for token, text in PythonLexer().get_tokens(self.source)
        ]
        return f'<pre style="{_FONT}">{"".join(pieces).rstrip()}</pre>'


def _coloured(token, text):
    for kind, name in _COLOURS.items():
        if token in kind and text.strip():
            weight = "; font-weight: bold" if kind is Token.Keyword else ""
            return (
                f'<span style="color: var(--jp-mirror-editor-{name}-color){weight}">{text}</span>'
            )
    return text


def show_source(*things):
    """The source of functions or classes for a notebook, in colours and without docstrings.

    Args:
        *things: functions, methods or classes. A cell shows the value of its last line only, so
            those that belong together go into one call.

    Returns:
        `SourceCode`.

    >>> from shiftvit_utils.shift import channels_per_group
    >>> "<span" in show_source(channels_per_group)._repr_html_()
    True
    """
    return SourceCode("\n\n\n".join(source_without_docstring(thing) for thing in things))

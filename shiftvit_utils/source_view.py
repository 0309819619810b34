"""Shows the library's own source in a notebook, so that no notebook copies it."""

import ast
import inspect
import textwrap


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


def show_source(thing):
    """The source of a function or class as a code block for a notebook, without docstrings.

    Args:
        thing: function, method or class.

    Returns:
        `IPython.display.Markdown`.
    """
    from IPython.display import Markdown

    return Markdown(f"```python\n{source_without_docstring(thing)}\n```")

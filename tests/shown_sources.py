"""The library's source that notebooks show: brings stored outputs up to date without a run.

    python tests/shown_sources.py

`show_source` gives the same whenever the library is the same, so its outputs can be made anew where
running the whole notebook would take an hour.
"""

import ast
import sys

import nbformat
from notebook_lint import ROOT

import shiftvit_utils as sv
from shiftvit_utils.source_view import show_source


def names_of(notebook):
    """What the notebook's cells import from the library, by name."""
    names = {"sv": sv, "show_source": show_source}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for line in cell.source.splitlines():
                if line.startswith("from shiftvit_utils"):
                    exec(line, names)
    return names


def shown(cell, names):
    """What a cell that ends with `show_source(...)` shows, as the data of its output.

    Args:
        cell: of a notebook.
        names: dict, what the cell may name.

    Returns:
        dict of MIME types, or None if it is no such cell.
    """
    if cell.cell_type != "code" or "show_source(" not in cell.source:
        return None
    last = ast.parse(cell.source).body[-1]
    code = eval(ast.unparse(last), names)
    return {"text/html": code._repr_html_(), "text/plain": repr(code)}


def update(notebook):
    """Puts what is shown now in place of what is stored; returns the ids of the cells changed."""
    names = names_of(notebook)
    changed = []
    for cell in notebook.cells:
        data = shown(cell, names)
        if data is None:
            continue
        (result,) = (o for o in cell.outputs if o.output_type == "execute_result")
        if dict(result.data) != data:
            result.data = nbformat.from_dict(data)
            changed.append(cell.id)
    return changed


def main():
    for path in sorted(ROOT.glob("notebooks/*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        if changed := update(notebook):
            nbformat.write(notebook, path)
            print(path.name, *changed)


if __name__ == "__main__":
    sys.exit(main())

"""What a rule looks at, and how a function becomes a rule.

A rule is a generator over one `Page`: it yields `(cell, message)` for each thing that is wrong,
with `None` for the cell where the whole notebook is meant. Its name is that of the function.
"""

import ast
import functools

from IPython.core.inputtransformer2 import TransformerManager

COURSE, SOLUTION = "course", "solution"
RULES = {}  # name -> (rule, kinds of notebook to which it applies)


def rule(*kinds):
    """Registers a generator function as a rule for notebooks of these kinds."""

    def register(check):
        RULES[check.__name__.replace("_", "-")] = (check, kinds or (COURSE, SOLUTION))
        return check

    return register


class Page:
    """One notebook and where it stands.

    Args:
        notebook: `nbformat.NotebookNode` with sources joined to strings.
        path: Path `<root>/notebooks/NN_name.ipynb` or `<root>/notebooks/solutions/NN_name.ipynb`.
    """

    def __init__(self, notebook, path):
        self.notebook = notebook
        self.path = path.resolve()
        self.kind = SOLUTION if path.parent.name == "solutions" else COURSE
        self.root = self.path.parents[2 if self.kind == SOLUTION else 1]
        self.cells = notebook.cells
        self.code = [cell for cell in self.cells if cell.cell_type == "code"]
        self.markdown = [cell for cell in self.cells if cell.cell_type == "markdown"]

    def tagged(self, tag):
        return [cell for cell in self.cells if tag in tags(cell)]

    def before(self, cell):
        """The list with the one cell directly before, empty for the first."""
        (here,) = (index for index, other in enumerate(self.cells) if other is cell)
        return self.cells[max(here - 1, 0) : here]

    def after(self, cell):
        """The list with the one cell directly after, empty for the last."""
        (here,) = (index for index, other in enumerate(self.cells) if other is cell)
        return self.cells[here + 1 : here + 2]


def tags(cell):
    return cell.metadata.get("tags", [])


@functools.cache
def parsed(source):
    """The syntax tree of a code cell, with IPython's `%` and `!` lines as the calls they mean.

    Raises:
        SyntaxError: it is not Python.
    """
    return ast.parse(TransformerManager().transform_cell(source))


def tree(cell):
    """The syntax tree of a code cell; empty if it is not Python: the rule `python` reports it."""
    try:
        return parsed(cell.source)
    except SyntaxError:
        return ast.Module(body=[], type_ignores=[])


def dotted_name(node):
    """`"figures.grid_figure"` for that expression; without the part before if that is no name."""
    if isinstance(node, ast.Attribute):
        return f"{dotted_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def checker_calls(node):
    """Names of the checkers called anywhere in a syntax tree, in the order of the text."""
    calls = [
        child
        for child in ast.walk(node)
        if isinstance(child, ast.Call) and dotted_name(child.func).startswith("exercises.check_")
    ]
    calls.sort(key=lambda call: (call.lineno, call.col_offset))
    return [call.func.attr for call in calls]


def texts(cell):
    """Everything that the outputs of a code cell say in text, but not errors."""
    for output in cell.outputs:
        if output.output_type == "stream":
            yield output.text
        for mime_type, data in output.get("data", {}).items():
            if mime_type.startswith("text/"):
                yield data


def has_picture(cell):
    return cell.cell_type == "code" and any(
        mime_type.startswith("image/")
        for output in cell.outputs
        for mime_type in output.get("data", {})
    )

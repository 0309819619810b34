"""The code in the cells."""

import ast
import io
import re
import tokenize
from pathlib import Path

from notebook_rules.page import COURSE, dotted_name, parsed, rule, texts, tree

MAX_LINES = 25
PLOTTING = ("matplotlib", "seaborn", "plotly", "bokeh", "altair")
NOT_PLOTTING = ("matplotlib.cbook",)  # has sample pictures
# A folder of somebody's machine: it begins where no word, drive or address goes on before it.
MACHINE_PATH = re.compile(
    r"(?<![\w.~}$/-])(?:file://)?/(?:home|root|Users|tmp|work|mnt|private/var|var/folders)/[\w.~-]*"
    r"|\b[A-Za-z]:\\+Users\b",
)


@rule()
def python(page):
    """Every code cell is Python."""
    for cell in page.code:
        try:
            parsed(cell.source)
        except SyntaxError as error:
            yield cell, f"is not Python: {error.msg}"


@rule()
def length(page):
    """A code cell is one thought."""
    for cell in page.code:
        if (lines := len(cell.source.splitlines())) > MAX_LINES:
            yield cell, f"has {lines} lines; {MAX_LINES} at most: move code into the library"


@rule()
def plotting(page):
    """Figures come from the library, where they are tested; no cell draws."""
    for cell in page.code:
        for node in ast.walk(tree(cell)):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            for module in modules:
                if module.split(".")[0] in PLOTTING and module not in NOT_PLOTTING:
                    yield cell, f"imports {module}; draw in a function of the library"
            if isinstance(node, ast.Call) and dotted_name(node.func).startswith(
                ("plt.", "pyplot.")
            ):
                yield cell, f"draws with {dotted_name(node.func)}; use a function of the library"


@rule()
def parameters(page):
    """One cell is tagged `parameters`: literals with comments only, since papermill replaces it."""
    cells = page.tagged("parameters")
    if len(cells) != 1:
        yield None, f"has {len(cells)} cells tagged parameters; exactly one is needed"
    for cell in cells:
        if cell.cell_type != "code":
            yield cell, "is tagged parameters, but no code"
            continue
        body = tree(cell).body
        if not body and page.kind == COURSE:
            yield cell, "is tagged parameters and assigns nothing; give at least the data set"
        commented = comment_lines(cell.source)
        for statement in body:
            if not is_literal_assignment(statement):
                advice = "derive values in the next cell"
                yield cell, f"line {statement.lineno} is no `name = literal`; {advice}"
            elif commented.isdisjoint(range(statement.lineno, statement.end_lineno + 1)):
                yield cell, f"line {statement.lineno} has no comment on its meaning and unit"


def is_literal_assignment(statement):
    if not (isinstance(statement, ast.Assign) and len(statement.targets) == 1):
        return False
    try:
        ast.literal_eval(statement.value)
    except ValueError:
        return False
    return isinstance(statement.targets[0], ast.Name)


def comment_lines(source):
    """Numbers of the lines that a comment explains: its own, or if it stands alone the next."""
    lines, commented = source.splitlines(), set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row = token.start[0]
            alone = lines[row - 1].lstrip().startswith("#")
            commented.add(row + 1 if alone else row)
    return commented


@rule()
def paths(page):
    """No folder of the machine on which it ran, in sources or outputs."""
    here = (f"{page.root}/", f"{Path.home()}/")
    for cell in page.cells:
        for text in (cell.source, *(texts(cell) if cell.cell_type == "code" else ())):
            found = {match.group() for match in MACHINE_PATH.finditer(text)}
            found |= {folder for folder in here if len(folder) > 2 and folder in text}
            if found:
                yield cell, f"names a folder of one machine: {', '.join(sorted(found))}"

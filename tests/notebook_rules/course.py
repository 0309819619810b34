"""How a notebook of the course opens, asks and closes, and how its solutions answer."""

import ast
import json
import re

import notebook_links

from notebook_rules.markdown import headings, tokens
from notebook_rules.page import COURSE, SOLUTION, checker_calls, rule, texts, tree

CLOSING = ["What you now know", "Exercises", "References"]
MIN_EXERCISES = 4
OBJECTIVES = range(3, 6)
ARXIV_ID = re.compile(r"arXiv[: ]\s*\d{4}\.\d{4,5}|arxiv\.org/abs/\d{4}\.\d{4,5}", re.IGNORECASE)


def opening_text(page):
    """The markdown before the first code cell."""
    first = page.cells.index(page.code[0]) if page.code else len(page.cells)
    return "\n\n".join(cell.source for cell in page.cells[:first])


def list_items(source):
    return sum(token.type == "list_item_open" for token in tokens(source))


@rule(COURSE)
def opening(page):
    """Title, question, objectives, what to read first, time: in this order."""
    text = opening_text(page)
    number = page.path.name[:2]
    parts = {
        f"a title `# {number} · ...`": rf"\A# {number}\b",
        "a question": r"\?",
        "`you will be able to`": r"you will be able to",
        "`Read first`": r"Read first\b",
        "`Time`": r"Time\b",
    }
    position = 0
    for name, pattern in parts.items():
        match = re.compile(pattern).search(text, position)
        if match is None:
            yield None, f"opens without {name} (in the order of CONTRIBUTING.md)"
            return
        position = match.end()
    objectives = list_items(text.split("Read first")[0])
    if objectives not in OBJECTIVES:
        yield (
            None,
            f"opens with {objectives} objectives; {OBJECTIVES[0]} to {OBJECTIVES[-1]} are asked",
        )
    titles = sum(level == 1 for cell in page.markdown for level, _ in headings(cell.source))
    if titles != 1:
        yield None, f"has {titles} headings of the first level; only the title is one"


@rule()
def bootstrap(page):
    """The first code cell is the one that `make links` stamps, and so are the badges before it."""
    if not page.code:
        return  # other rules ask for code
    first = page.code[0]
    repository = notebook_links.stamped_repository(first.source)
    if first.source != notebook_links.bootstrap(repository):
        yield first, "is not tests/notebook_bootstrap.py; `make links REPO=` writes it here"
    path = page.path.relative_to(page.root).as_posix()
    wanted = [notebook_links.badges(repository, path)] if repository else []
    for cells in (page.before(first), page.cells):
        if [cell.source for cell in cells if cell.get("id") == notebook_links.BADGES_ID] != wanted:
            yield first, f"stands below other badges than those of {repository or 'no repository'}"
            return


@rule()
def one_repository(page):
    """All notebooks lead to one repository, that of the first."""
    first, *_ = sorted((page.root / "notebooks").glob("[0-9][0-9]_*.ipynb")) or [page.path]
    try:
        cells = json.loads(first.read_text(encoding="utf-8"))["cells"]
    except ValueError:
        return  # reported where it is linted itself
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    there = notebook_links.stamped_repository("\n".join(sources[:1]))
    here = notebook_links.stamped_repository(page.code[0].source if page.code else "")
    if here != there:
        yield None, f"leads to {here or 'no repository'}, and {first.name} to {there or 'none'}"


@rule(COURSE)
def setup(page):
    """Setup with versions and device, then parameters, then what is derived from them."""
    if len(page.code) < 4:
        yield (
            None,
            "has too few code cells: bootstrap, setup, parameters and derived values open it",
        )
        return
    _, second, third, _ = page.code[:4]
    for call in ("versions()", "describe_device()"):
        if call not in second.source:
            yield second, f"is the setup cell and does not print {call}"
    if "parameters" not in third.metadata.get("tags", []):
        yield third, "is not the cell of parameters, which comes directly after the setup cell"


@rule(COURSE)
def closing(page):
    """What you now know, exercises, references: the last three sections."""
    sections = [
        text for cell in page.markdown for level, text in headings(cell.source) if level == 2
    ]
    if sections[-3:] != CLOSING:
        yield None, f"closes with the sections {sections[-3:]}, not {CLOSING}"
        return
    text = "\n\n".join(cell.source for cell in page.markdown)
    if not ARXIV_ID.search(text.rpartition("## References")[2]):
        yield None, "has no arXiv id among its references"


@rule(COURSE)
def exercises(page):
    """An exercise is a hidden hint, code to replace or to mend, and a checker that says how."""
    cells = page.tagged("exercise")
    if sum(has_stub(cell) for cell in cells) < MIN_EXERCISES:
        yield None, f"has too few exercises with a stub; {MIN_EXERCISES} at least"
    for cell in cells:
        if cell.cell_type != "code":
            yield cell, "is tagged exercise, but no code"
            continue
        if not (checker_calls(tree(cell)) and cell.source.rstrip().endswith(";")):
            yield cell, "does not end in `exercises.check_...(answer);`"
        hints = [
            other
            for other in page.before(cell)
            if "<details>" in other.source and "<summary>" in other.source
        ]
        if not hints:
            yield cell, "has no hint in <details><summary> in the cell before"


def has_stub(cell):
    """Whether a cell holds `...` or `raise NotImplementedError` for the learner to replace."""
    if cell.cell_type != "code":
        return False
    return any(
        (isinstance(node, ast.Constant) and node.value is Ellipsis)
        or (isinstance(node, ast.Raise) and "NotImplementedError" in ast.dump(node))
        for node in ast.walk(tree(cell))
    )


@rule(COURSE)
def stubs(page):
    """No exercise is solved: a stub is not written yet, and code to mend is not right yet."""
    for cell in page.tagged("exercise"):
        lines = "".join(texts(cell)).splitlines() if cell.cell_type == "code" else []
        for line in lines:
            if has_stub(cell) and not (line.startswith("○") and "not written yet" in line):
                yield cell, f"is a stub, but its checker said: {line}"
            elif not has_stub(cell) and not line.startswith("✗"):
                yield cell, f"has nothing to write and nothing to mend: its checker said: {line}"


@rule(COURSE)
def solutions(page):
    """The notebook of solutions answers the same exercises, asserting each checker."""
    path = page.path.parent / "solutions" / page.path.name
    if not path.is_file():
        yield None, f"has no solutions/{path.name}"
        return
    asked = [name for cell in page.tagged("exercise") for name in checker_calls(tree(cell))]
    answered = asserted_checkers(path)
    if sorted(asked) != sorted(answered):
        yield (
            None,
            f"asks for {sorted(asked)}, and solutions/{path.name} asserts {sorted(answered)}",
        )


def asserted_checkers(path):
    try:
        cells = json.loads(path.read_text())["cells"]
    except ValueError:
        return []
    names = []
    for cell in cells:
        if cell["cell_type"] == "code":
            names += assertions("".join(cell["source"]))
    return names


def assertions(source):
    """Names of the checkers that stand behind an `assert`."""
    try:
        module = ast.parse(source)
    except SyntaxError:
        return []
    return [
        name
        for node in ast.walk(module)
        if isinstance(node, ast.Assert)
        for name in checker_calls(node.test)
    ]


@rule(SOLUTION)
def solved(page):
    """Solutions belong to a notebook, and every checker said that the answer is right."""
    if not (page.path.parents[1] / page.path.name).is_file():
        yield None, "solves a notebook that does not exist"
    for cell in page.code:
        names = assertions(cell.source)
        said = "".join(texts(cell)).splitlines()
        right = [line for line in said if line.startswith("✓")]
        if len(right) < len(names) or any(line.startswith(("✗", "○")) for line in said):
            yield cell, f"asserts {', '.join(names)}, and the checker did not say that it is right"

"""The file: its format, and what it records of the machine that wrote it."""

import copy

from nbformat.validator import iter_validate

from notebook_rules.page import rule

FORMAT = (4, 5)
TAGS = {"parameters", "exercise", "nbval-check-output"}


@rule()
def schema(page):
    """nbformat 4.5, as its schema says."""
    notebook = page.notebook
    version = (notebook.get("nbformat"), notebook.get("nbformat_minor"))
    if version != FORMAT:
        yield None, f"is nbformat {version[0]}.{version[1]}, not {FORMAT[0]}.{FORMAT[1]}"
    for error in iter_validate(copy.deepcopy(notebook), version=FORMAT[0], version_minor=FORMAT[1]):
        yield None, f"does not follow the schema: {str(error).splitlines()[0]}"


@rule()
def cell_ids(page):
    """No id occurs twice: links and merges of versions go by them."""
    ids = [cell.get("id") for cell in page.cells]
    for cell, name in zip(page.cells, ids, strict=True):
        if ids.count(name) > 1:
            yield cell, "has the same id as another cell"


@rule()
def kernel(page):
    """The kernel is the one that every installation has."""
    name = page.notebook.metadata.get("kernelspec", {}).get("name")
    if name != "python3":
        yield None, f"wants the kernel {name!r}; only python3 is everywhere"


@rule()
def metadata(page):
    """Nothing is stored of the run, the editor, or widgets, with which GitHub shows nothing."""
    advice = "python tests/refresh_notebook.py removes it"
    for name in page.notebook.metadata.keys() - {"kernelspec", "language_info"}:
        yield None, f"has metadata.{name}; {advice}"
    for name in page.notebook.metadata.get("language_info", {}).keys() - {"name"}:
        yield None, f"has metadata.language_info.{name}; {advice}"
    for cell in page.cells:
        for name in cell.metadata.keys() - {"tags"}:
            yield cell, f"has metadata.{name}; {advice}"


@rule()
def tags(page):
    """Only tags that mean something here: a misspelt one would switch a check off silently."""
    for cell in page.cells:
        for tag in cell.metadata.get("tags", []):
            if tag not in TAGS:
                yield cell, f"has the unknown tag {tag!r}; known are {', '.join(sorted(TAGS))}"
        if cell.cell_type == "code" and "NBVAL_" in cell.source:
            yield cell, "steers nbval with a comment; use the tag nbval-check-output"

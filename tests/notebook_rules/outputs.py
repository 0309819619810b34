"""What a run left in the notebook: complete, in order, and fit to be read on GitHub."""

import ast
import base64
import re

from notebook_rules.markdown import html_tags, links_and_images
from notebook_rules.page import COURSE, dotted_name, has_picture, rule, tags, texts, tree

MAX_LINES = 60  # about a screen
MIME_TYPES = {"text/plain", "text/markdown", "text/html", "text/latex", "image/png"}
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
ACTIVE_TAGS = {"script", "svg", "object", "embed"}
# Python's warnings, those of loggers, and the lines of TensorFlow's and JAX's C++ code.
WARNING = re.compile(r"\b[A-Z]\w*Warning: |^WARNING\b|^[IWE]\d{4} \d\d:\d\d:\d\d", re.MULTILINE)
TERMINAL_CODES = re.compile("[\b\r\x1b]")
OBJECT = re.compile(r"<[^<>\n]+ at 0x[0-9a-f]+>")


@rule()
def order(page):
    """All cells ran once, from the first to the last, in a fresh kernel."""
    for number, cell in enumerate(page.code, start=1):
        if cell.execution_count != number:
            yield cell, f"has the execution count {cell.execution_count}, not {number}: run all"
            return  # the others after it are off for the same reason


@rule()
def outputs(page):
    """What a cell shows is there: no output was stripped."""
    if not any(cell.outputs for cell in page.code):
        yield None, "holds no output at all: run it with tests/refresh_notebook.py"
        return
    for cell in page.code:
        if not cell.outputs and must_show_something(cell):
            yield cell, "shows something when it runs, but its output is not there"


def must_show_something(cell):
    """Whether running the cell certainly leaves an output: it prints, or ends in a value.

    Most calls as a last line may return None; those named for a figure or `show_...` do not.
    """
    if {"nbval-check-output", "exercise"} & set(tags(cell)):
        return True
    body = tree(cell).body
    names = [called(statement) for statement in body]
    if any(name in ("print", "display") for name in names):
        return True
    if not body or not isinstance(body[-1], ast.Expr) or cell.source.rstrip().endswith(";"):
        return False
    if isinstance(body[-1].value, ast.Call):
        return "figure" in names[-1] or names[-1].rpartition(".")[2].startswith("show_")
    return not isinstance(body[-1].value, ast.Constant)


def called(statement):
    """The dotted name of what a statement that is one call calls; else an empty string."""
    is_call = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
    return dotted_name(statement.value.func) if is_call else ""


@rule(COURSE)
def checked(page):
    """Some outputs are compared by nbval, which compares neither pictures nor what is not there."""
    cells = page.tagged("nbval-check-output")
    if not cells:
        yield None, "has no cell tagged nbval-check-output, so nbval compares nothing"
    for cell in cells:
        if cell.cell_type != "code":
            yield cell, "is tagged nbval-check-output, but no code"
        elif has_picture(cell):
            yield cell, "is tagged nbval-check-output, but nbval does not compare its picture"


@rule()
def errors(page):
    """No output is an error."""
    for cell, output in all_outputs(page):
        if output.output_type == "error":
            yield cell, f"stopped with {output.ename}: {output.evalue}"


@rule()
def stderr(page):
    """Nothing was written to standard error."""
    for cell, output in all_outputs(page):
        if output.get("name") == "stderr":
            yield cell, f"wrote to stderr: {output.text.strip().splitlines()[0]}"


@rule()
def warnings(page):
    """No warning in what was printed."""
    for cell in page.code:
        for text in texts(cell):
            if match := WARNING.search(text):
                yield cell, f"shows a warning: {match.group().strip()}"


@rule()
def terminal(page):
    """No progress bars or colours of a terminal: browsers show them as noise."""
    for cell in page.code:
        if any(TERMINAL_CODES.search(text) for text in texts(cell)):
            yield cell, "printed codes for a terminal (a progress bar? Use verbose=2)"


@rule()
def values(page):
    """No bare objects with an address, such as what a plot returns."""
    for cell in page.code:
        for text in texts(cell):
            if match := OBJECT.search(text):
                yield cell, f"shows the object {match.group()}; end the line in a semicolon"


@rule()
def pictures(page):
    """Pictures are PNG, which every viewer shows; what moves is sealed and has a picture beside."""
    for cell, output in all_outputs(page):
        for mime_type, data in output.get("data", {}).items():
            if mime_type not in MIME_TYPES:
                yield cell, f"has an output of the type {mime_type}; pictures are image/png"
            elif mime_type == "image/png" and not is_png(data):
                yield cell, "has a picture that is no PNG"
            elif mime_type == "text/html":
                for tag, attributes in html_tags(data):
                    if fault := wrong_html(tag, attributes, page, cell):
                        yield cell, fault


def wrong_html(tag, attributes, page, cell):
    """What is wrong with an element of an HTML output; None if nothing is."""
    if tag in ACTIVE_TAGS or any(name.startswith("on") for name in attributes):
        return f"has a <{tag}> that acts by itself, which GitHub does not show"
    if tag == "iframe":
        if not {"srcdoc", "sandbox", "title"} <= attributes.keys() or "src" in attributes:
            return "has an <iframe> without srcdoc, sandbox and title, or one that loads a page"
        around = [c for c in page.before(cell) + page.after(cell) if c.cell_type == "markdown"]
        if not any(links_and_images(other.source)[1] for other in around):
            return "has an <iframe>, which GitHub does not show, and no picture of it beside it"
    return None


def is_png(data):
    try:
        return base64.b64decode(data).startswith(PNG_SIGNATURE)
    except ValueError:
        return False


@rule()
def screen(page):
    """The output of a cell fits on a screen."""
    for cell in page.code:
        lines = 0
        for output in cell.outputs:
            data = output.get("data", {})
            text = data.get("text/markdown") or data.get("text/plain", output.get("text", ""))
            lines += max(len(text.splitlines()), data.get("text/html", "").count("<tr"))
        if lines > MAX_LINES:
            yield cell, f"has {lines} lines of output; {MAX_LINES} at most"


def all_outputs(page):
    return [(cell, output) for cell in page.code for output in cell.outputs]

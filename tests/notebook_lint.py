"""Checks what a notebook says and holds, without running it.

    python tests/notebook_lint.py [NOTEBOOK ...]

prints `file: cell id: rule: message` for each thing that is wrong, and fails if there is one.
Without arguments it reads every notebook of the course and every notebook of solutions. The rules
stand in `notebook_rules/`, with their reasons.
"""

import argparse
import sys
from pathlib import Path

import nbformat
from notebook_rules import RULES, Page

ROOT = Path(__file__).resolve().parent.parent


def course_notebooks(root=ROOT):
    """The numbered notebooks, in the order of the course."""
    return sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def solution_notebooks(root=ROOT):
    """The notebooks of solutions."""
    return sorted((root / "notebooks" / "solutions").glob("*.ipynb"))


def read(path):
    """A notebook as it stands in the file: nothing is repaired, so that nothing wrong is missed.

    Raises:
        ValueError: the file is no notebook of nbformat 4.
    """
    try:
        return nbformat.v4.reads(path.read_text(encoding="utf-8"))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} is no notebook of nbformat 4: {error!r}") from error


def problems(notebook, path):
    """What is wrong with a notebook.

    Args:
        notebook: `nbformat.NotebookNode`, as `read` returns it.
        path: Path of its place in the repository; links and solutions are looked up from there.

    Returns:
        list of str, each `cell id: rule: message`.
    """
    page = Page(notebook, Path(path))
    return [
        f"{'notebook' if cell is None else cell.get('id', '?')}: {name}: {message}"
        for name, (check, kinds) in RULES.items()
        if page.kind in kinds
        for cell, message in check(page)
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, metavar="NOTEBOOK")
    paths = parser.parse_args().notebooks or course_notebooks() + solution_notebooks()
    count = 0
    for path in paths:
        try:
            found = problems(read(path), path)
        except (OSError, ValueError) as error:
            found = [f"notebook: schema: {error}"]
        for problem in found:
            print(f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}: {problem}")
        count += len(found)
    print(f"{len(paths)} notebooks, {count} problems")
    return int(count > 0 or not paths)


if __name__ == "__main__":
    sys.exit(main())

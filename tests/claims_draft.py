"""Drafts rows for numbers that have none: `python tests/claims_draft.py notebooks/07_*.ipynb`.

Prints them for `docs/claims.md`. Where an output of the same notebook holds the number, its cell is
named; read whether it is the right one. Everything else is left to you.
"""

import sys
from pathlib import Path

from claims_ledger import LEDGER, NOTHING, document_text, read_ledger, without_row
from claims_producers import from_cell, read_json

WORDS_BEFORE, WORDS_AFTER = 4, 3


def snippet(claim, text):
    """The line of a table, or some words around the number."""
    start = text.rfind("\n", 0, claim.start) + 1
    end = text.find("\n", claim.end)
    line = text[start : end if end >= 0 else len(text)]
    if line.startswith("|"):
        return line
    before = text[: claim.start].rsplit(None, WORDS_BEFORE + 1)[1:]
    cut = not text[claim.start - 1 : claim.start].isspace()
    after = text[claim.end :].split(None, WORDS_AFTER)[:WORDS_AFTER]
    head = " ".join(before) + ("" if cut else " ")
    gap = " " if text[claim.end : claim.end + 1].isspace() else ""
    return (head + claim.written + gap + " ".join(after)).strip()


def producer(claim, path, files):
    """The first cell of a notebook whose output holds the number, or what to do."""
    cells = read_json(files[path])["cells"] if path.endswith(".ipynb") else []
    for cell in cells:
        if cell["cell_type"] == "code" and any(
            claim.holds(value, claim.rounding) for value in from_cell(path, cell["id"], files)
        ):
            return f"`{path}#{cell['id']}`"
    return "open: say what produces it"


def draft(path, files):
    """`[row]` for the numbers of a document without one."""
    text = document_text(path, files)
    rows = {}
    for claim in without_row(path, read_ledger(files[LEDGER]), files):
        words = snippet(claim, text).replace("|", r"\|")
        made_by = producer(claim, path, files)
        rows.setdefault(words, f"| {words} | {made_by} |{f' {NOTHING} |' * 3} rounding |")
    return list(rows.values())


def main():
    root = Path(__file__).resolve().parents[1]
    for path in sys.argv[1:] or ["README.md"]:
        name = Path(path).resolve().relative_to(root).as_posix()
        files = {key: (root / key).read_text() for key in (LEDGER, name)}
        print(f"## `{name}`\n", *draft(name, files), sep="\n")


if __name__ == "__main__":
    main()

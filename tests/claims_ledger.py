"""The ledger `docs/claims.md`, read and walked: which rows do not hold, which numbers have no row.

`faults(files)` takes the repository as a dictionary of texts, so that a test can alter a copy.
"""

import functools
import re
from dataclasses import dataclass

from claims_numbers import claims_in
from claims_producers import NotProvenError, produced, read_json

LEDGER = "docs/claims.md"
COLUMNS = ["claim", "produced by", "hardware", "seed", "data", "tolerance"]
NOTHING = "–"
HEADING = re.compile(r"## `([^`]+)`")
CELL_BORDER = re.compile(r"(?<!\\)\|")
IN_ORDER = " (in order)"
TOLERANCE = re.compile(r"exact|rounding|± (\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Row:
    """One row of the ledger: where it stands, and its columns as written."""

    document: str
    line: int
    claim: str
    produced_by: str
    hardware: str
    seed: str
    data: str
    tolerance: str

    @property
    def where(self):
        return f"{LEDGER}:{self.line}: {self.document}: {self.claim!r}"


def read_ledger(text):
    """Every `Row` of the ledger.

    Raises:
        ValueError: a row does not have the columns of `COLUMNS`.
    """
    document, rows = None, []
    for number, line in enumerate(text.splitlines(), start=1):
        if match := HEADING.fullmatch(line.strip()):
            document = match[1]
        elif line.startswith("## "):
            document = None
        if not (document and line.startswith("|")) or set(line) <= set("|- :"):
            continue
        cells = [c.strip().replace(r"\|", "|") for c in CELL_BORDER.split(line.strip())[1:-1]]
        if cells == COLUMNS:
            continue
        if len(cells) != len(COLUMNS) or not all(cells):
            raise ValueError(
                f"{LEDGER}:{number}: a row needs {len(COLUMNS)} filled columns "
                rf"({', '.join(COLUMNS)}; {NOTHING} for none, \| for | inside one), got {cells}."
            )
        rows.append(Row(document, number, cells[0], cells[1].strip("`"), *cells[2:]))
    return rows


def document_text(path, files):
    """What a document says in prose: a markdown file, or the markdown cells of a notebook."""
    return prose_of_notebook(files[path]) if path.endswith(".ipynb") else files[path]


@functools.cache
def prose_of_notebook(text):
    cells = read_json(text)["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


@functools.cache
def places(snippet, text):
    """`[(start, end)]` of a snippet in a text, which may break the line where it has a blank."""
    words = (re.escape(word) for word in snippet.split())
    return [match.span() for match in re.finditer(r"\s+(?:> )?".join(words), text)]


def prove(row, files):
    """Checks one row.

    Raises:
        NotProvenError: it does not hold.
    """
    if row.document not in files:
        raise NotProvenError(f"there is no {row.document}; rename the section or remove it")
    text = document_text(row.document, files)
    found_at = places(row.claim, text)
    if not found_at:
        raise NotProvenError(f"{row.document} does not say this; write the row as the text is now")
    tolerance = TOLERANCE.fullmatch(row.tolerance)
    if not tolerance:
        raise NotProvenError(f"tolerance {row.tolerance!r}: write exact, rounding or ± a number")
    start, end = found_at[0]
    claims = [c for c in claims_in(text) if start <= c.start and c.end <= end]
    if not claims:
        raise NotProvenError(
            "holds no number that counts as a claim; widen the snippet or drop the row"
        )
    producer = row.produced_by.removesuffix(IN_ORDER)
    values = produced(producer, files)
    if values is None:
        return
    for claim in claims:
        slack = claim.rounding if row.tolerance == "rounding" else float(tolerance[1] or 0)
        holding = [k for k, value in enumerate(values) if claim.holds(value, slack)]
        if not holding:
            raise NotProvenError(
                f"{producer} does not hold {claim.written} {claim.unit}".rstrip()
                + f" (tolerance: {row.tolerance}); mend the number, or name what produces it"
            )
        if producer != row.produced_by:
            values = values[holding[0] + 1 :]  # the next number must come after this one
    require_conditions(row, files)


def require_conditions(row, files):
    """Hardware and seed must stand in the notebook or result that a row names."""
    path = re.split("::|#", row.produced_by)[0]
    if not path.endswith((".ipynb", ".json", ".csv")):
        return
    text = files[path].replace('\\"', '"')
    if row.hardware != NOTHING and row.hardware not in text:
        raise NotProvenError(f"{path} does not name the hardware {row.hardware!r}")
    if row.seed != NOTHING and not re.search(rf"seed\"?\w*[(\s:=]*{re.escape(row.seed)}\b", text):
        raise NotProvenError(f"{path} does not name the seed {row.seed}")


def without_row(path, rows, files):
    """The claims of a document that stand in no row."""
    text = document_text(path, files)
    covered = [span for row in rows if row.document == path for span in places(row.claim, text)]
    return [
        claim
        for claim in claims_in(text)
        if not any(start <= claim.start and claim.end <= end for start, end in covered)
    ]


def needs_row(path, claim, files):
    text = document_text(path, files)
    around = " ".join(text[max(claim.start - 50, 0) : claim.end + 30].split())
    return (
        f"{path}: {claim.written} {claim.unit}".rstrip() + f" in {around!r} has no row; add one to "
        f"{LEDGER} that says what produces it (`python tests/claims_draft.py` drafts it)"
    )


def faults(documents, files):
    """Everything that is wrong, as `[line]`.

    Args:
        documents: Paths of the documents whose claims must all have a row.
        files: `{path from the root: text}` of the documents, the ledger, tests, results, notebooks.
    """
    rows = read_ledger(files[LEDGER])
    found = []
    for row in rows:
        try:
            prove(row, files)
        except NotProvenError as fault:
            found.append(f"{row.where}: {fault}")
    for kind in ("open", "given"):
        rows_of_kind = sum(row.produced_by.startswith(f"{kind}: ") for row in rows)
        if f"{kind.capitalize()} rows: {rows_of_kind}." not in files[LEDGER]:
            found.append(
                f"{LEDGER}: write `{kind.capitalize()} rows: {rows_of_kind}.`, as there are"
            )
    return found + [
        needs_row(path, claim, files)
        for path in documents
        for claim in without_row(path, rows, files)
    ]

"""The ledger of numbers, `docs/claims.md`, holds, and its checker sees what changes."""

import re
from pathlib import Path

import pytest
from claims_draft import draft
from claims_ledger import LEDGER, faults, read_ledger
from claims_numbers import claims_in
from claims_producers import NotProvenError, produced

pytestmark = pytest.mark.backend_free
ROOT = Path(__file__).resolve().parents[1]
PRODUCERS = (
    "tests/test_*.py",
    "tests/reference/*.py",
    "animations/*.py",
    "shiftvit_utils/*.py",
    "benchmarks/results/*.json",
    "benchmarks/results/*.csv",
    "notebooks/*.ipynb",
)
DOCUMENTS = (
    "README.md",
    *sorted(
        p.relative_to(ROOT).as_posix() for p in ROOT.glob("docs/*.md") if p.name != "claims.md"
    ),
    *sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("notebooks/[0-9][0-9]_*.ipynb")),
)
PARAMETERS = {
    "micro": 124_018,
    "nano": 951_034,
    "cifar10": 11_690_602,
    "cifar10_strong": 10_061_890,
}


@pytest.fixture(scope="module")
def files():
    """The texts that the ledger is about and that it names."""
    paths = [ROOT / "README.md", *ROOT.glob("docs/*.md")]
    paths += [path for pattern in PRODUCERS for path in sorted(ROOT.glob(pattern))]
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}


def test_every_claim_is_proven(files):
    found = faults(DOCUMENTS, files)
    assert not found, "\n".join(["the ledger of numbers does not hold:", *found])


def test_results_name_no_folder_of_the_machine_that_wrote_them(files, tmp_path):
    """A command that is kept beside its numbers is for everybody to run again."""
    absolute = re.compile(r"(?<![\w.:/$+<\\])(/\w+/[^\s\"]*)")  # no address, markup, base64
    results = [path for path in files if path.startswith("benchmarks/results/")]
    assert len(results) > 20
    found = {path: absolute.findall(files[path]) for path in results}
    assert not {path: names for path, names in found.items() if names}
    assert absolute.findall(f"--json {tmp_path}/table.json") == [f"{tmp_path}/table.json"]


@pytest.mark.parametrize("preset", PARAMETERS)
def test_parameters_of_the_course_presets(preset):
    from shiftvit_utils import ShiftViT

    # Counting needs no random numbers, which are most of the time that a large network takes.
    network = ShiftViT.from_preset(preset, kernel_initializer="zeros")
    assert network.count_params() == PARAMETERS[preset]


def edited(files, path, old, new):
    """A copy of the repository's texts with one change."""
    assert old in files[path], f"{path} no longer holds {old!r}: choose another change"
    return {**files, path: files[path].replace(old, new)}


def test_messages_name_the_document_the_number_and_what_to_do(files):
    changed = edited(files, "README.md", "| 1.9 | 1.8–2.3 |", "| 1.9 | 1.8–2.2 |")
    row, *numbers = (line for line in faults(["README.md"], changed) if "start" in line)
    assert row.startswith(f"{LEDGER}:")
    assert "README.md: '| papermill and Jupyter kernel start | 1.9 | 1.8–2.3 |'" in row
    assert "write the row as the text is now" in row
    assert len(numbers) == 3  # of a row that is gone, each number is without one
    assert all(line.startswith("README.md: ") for line in numbers)
    assert all(f"add one to {LEDGER}" in line for line in numbers)


CIFAR = "85.55%** (validation 86.47%)"
CHANGES = {
    "a number of the README": ("README.md", "| 169 | 137–211 |", "| 170 | 137–211 |", "has no row"),
    "a new number": ("README.md", "## Backends", "It is 2.1× faster.\n\n## Backends", "2.1 ×"),
    "a number in a notebook": (
        "notebooks/01_data.ipynb",
        "chance alone moves the score by\\n",
        "chance alone moves the score by 7 % or\\n",
        "does not say this",
    ),
    "README and ledger, but not the run": (
        ("README.md", LEDGER),
        CIFAR,
        "95.55%** (validation 86.47%)",
        "does not hold 95.55 %",
    ),
    "the output of a cell": (
        "notebooks/05_train.ipynb",
        "{'test_top1': 0.8555,",
        "{'test_top1': 0.8655,",
        "does not hold 85.55 %",
    ),
    "the name of a cell": (
        "notebooks/05_train.ipynb",
        '"id": "c23-code"',
        '"id": "c99-code"',
        "has no code cell c23-code",
    ),
    "the name of a test": (
        "tests/test_data.py",
        "def test_digits_are_the_real_ones_repeated(",
        "def test_digits_are_real(",
        "has no test test_digits_are_the_real_ones_repeated",
    ),
    "what a test expects": (
        "tests/test_claims.py",
        '"cifar10_strong": 10_061_890',
        '"cifar10_strong": 10_061_891',
        "does not hold 10,061,890",
    ),
    "a result": (
        "benchmarks/results/digits_micro.json",
        '"test_top1": 0.98',
        '"test_top1": 0.97',
        "does not hold 98.06 %",
    ),
    "a key of a result": (
        "benchmarks/results/digits_micro.json",
        '"parameters"',
        '"weights"',
        "has no key metrics.parameters",
    ),
    "the hardware": (
        "benchmarks/results/throughput-cifar10-cpu.json",
        "AMD EPYC",
        "Intel",
        "does not name the hardware 'AMD EPYC, 2 cores'",
    ),
    "the seed": (
        "benchmarks/results/digits_micro.json",
        '"seed": 0',
        '"seed": 3',
        "does not name the seed 0",
    ),
    "arithmetic": (LEDGER, "= 8 * (1 + 4 + 16)", "= 8 * (1 + 4 + 17)", "does not hold 168"),
    "a bare number for arithmetic": (LEDGER, "= exp(1)", "= 2.718", "proves nothing"),
    "a source without a place": (
        LEDGER,
        "source: arXiv 1902.00423, abstract",
        "source: a paper",
        "a source is",
    ),
    "the count of open rows": (LEDGER, "Open rows: ", "Open rows: 1", "write `Open rows:"),
    "the count of given rows": (LEDGER, "Given rows: ", "Given rows: 1", "write `Given rows:"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_checker_sees_a_change_of(change, files):
    paths, old, new, message = CHANGES[change]
    changed = files
    for path in (paths,) if isinstance(paths, str) else paths:
        changed = edited(changed, path, old, new)
    found = faults(DOCUMENTS, changed)
    assert not any(message in line for line in faults(DOCUMENTS, files))
    assert any(message in line for line in found), found


def test_checker_sees_two_numbers_that_change_places(files):
    """A row of the confusion matrix, in the text and in the ledger."""
    changed = edited(files, "docs/model_card.md", "| 916 | 7 | 21 |", "| 21 | 7 | 916 |")
    changed = edited(changed, LEDGER, r"\| 916 \| 7 \| 21 \|", r"\| 21 \| 7 \| 916 \|")
    assert faults(DOCUMENTS, files) == []
    (fault,) = faults(DOCUMENTS, changed)
    assert "confusion.airplane does not hold" in fault


def test_drafted_row_names_the_cell_that_holds_the_number(files):
    path = "notebooks/05_train.ipynb"
    sentence = (
        "Top-5 came out at 99.40 % in this run, in a table:\\n\\n| a | 11.1 % |\\n\\n**Top-1**"
    )
    changed = edited(files, path, "**Top-1**", sentence)
    rows = draft(path, changed)
    assert len(rows) == 2
    assert "99.40 %" in rows[0]
    assert f"`{path}#c19-code`" in rows[0]
    assert rows[1].startswith(r"| \| a \| 11.1 % \| | open: ")
    ledger = files[LEDGER].replace(f"## `{path}`\n", f"## `{path}`\n\n" + "\n".join(rows) + "\n")
    open_rows = sum(row.produced_by.startswith("open: ") for row in read_ledger(ledger))
    ledger = ledger.replace(f"Open rows: {open_rows - 1}.", f"Open rows: {open_rows}.")
    assert faults(DOCUMENTS, {**changed, LEDGER: ledger}) == []


def test_a_row_of_a_table_gives_its_numbers_and_no_other_rows():
    files = {"r.csv": 'name,top1,note\n"a, b",0.5,x\n"a, b",0.25,y 7\nc,0.75,\n'}
    assert produced("r.csv#a, b", files) == [0.5, 0.25, 7.0]
    with pytest.raises(NotProvenError, match="no row d"):
        produced("r.csv#d", files)


@pytest.mark.parametrize("row", ["| a | b |", "| a | b | c | | e | exact |"])
def test_row_without_its_columns_is_an_error(row):
    with pytest.raises(ValueError, match=r"claims.md:3: a row needs 6 filled columns"):
        read_ledger(f"## `README.md`\n\n{row}\n")


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("top-1 of 80.40 % and 98%, 2.1× in 59 min", ["80.40 %", "98 %", "2.1 ×", "59 min"]),
        ("11,690,602 parameters, 3.0 G multiply-adds", ["11,690,602 parameters", "3.0 G"]),
        ("5–10 % or 2.6e-07 of 3 kB", ["5 %", "10 %", "2.6e-07", "3 kB"]),
        ("| a | 210 | 172–214 | 4 | x 15 |\n", ["210", "172", "214"]),
        ("120 images/s after 15 epochs, 3 ms", ["120 images/s", "15 epochs", "3 ms"]),
        ("`80 %` ![5 %](a.png) [5 %](http://x/9%20) <b>", ["5 %"]),
        ("```\n80 %\n```\nand 81 %", ["81 %"]),
        ("Python 3.11, 3.12 or 3.13, Keras 3.15.1, arXiv 2201.10801, 32×32×3, 0..255", []),
        ("## 4 · Four\n\n1. one of 12 pixels in 2012, reading 40 minutes", []),
        ("5 %\n\n## Exercises\n\n9 %\n", ["5 %"]),
    ],
)
def test_what_counts_as_a_claim(text, claims):
    assert [f"{claim.written} {claim.unit}".rstrip() for claim in claims_in(text)] == claims


@pytest.mark.parametrize(
    ("text", "value", "tolerance", "holds"),
    [
        ("80.40 %", 0.80401, "rounding", True),
        ("80.40 %", 0.80406, "rounding", False),
        ("80.40 %", 80.4, 0, True),
        ("59 min", 3549.7372, "rounding", True),
        ("59 min", 3575.0, "rounding", False),
        ("184 MB", 184_320_000, "rounding", True),
        ("3 kB", 3072, 0, True),
        ("2.96 G", 2_962_000_000, "rounding", True),
        ("1,797", 1797, 0, True),
        ("1,797", 1798, 0, False),
        ("2.6e-07", 2.629e-07, "rounding", True),
        ("2.6e-07", 2.7e-07, "rounding", False),
        ("1.5 s", 90.0, "rounding", False),
    ],
)
def test_a_stored_value_is_the_number_that_is_written(text, value, tolerance, holds):
    (claim,) = claims_in(text)
    assert claim.holds(value, claim.rounding if tolerance == "rounding" else tolerance) is holds

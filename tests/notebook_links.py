"""Stamps the places where the course opens into its notebooks and its README, and the bootstrap.

    python tests/notebook_links.py owner/name     # what `make links REPO=owner/name` runs
    python tests/notebook_links.py ""             # takes the links out again

With a repository on GitHub, every notebook of the course and of its solutions gets a cell with
badges for Colab, Kaggle and Binder before its first code cell, and that cell, the bootstrap, knows
where to fetch a clone. The README gets the badges of the course below its title, and links in its
table of notebooks. Nothing else changes, not a byte, and stamping twice is stamping once.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = Path(__file__).with_name("notebook_bootstrap.py")
BRANCH = "main"
BADGES_ID = "badges"  # of the cell that holds them

# What GitHub allows: an owner of letters, digits and single hyphens, a name of these, dots and
# underscores.
OWNER = r"[A-Za-z0-9](?:-?[A-Za-z0-9]){0,38}"
NAME = r"(?!\.{1,2}$)(?!.*\.git$)[A-Za-z0-9._-]{1,100}"
UNSTAMPED = 'REPOSITORY = ""'
STAMPED = re.compile(r'^REPOSITORY = "(.*)"', re.MULTILINE)
BOOTSTRAP_SIGN = "shiftvit_utils/__init__.py"  # in the first code cell of every notebook

OPENERS = {  # name -> (its badge, where it opens a file of a repository)
    "Colab": (
        "https://colab.research.google.com/assets/colab-badge.svg",
        "https://colab.research.google.com/github/{repository}/blob/{branch}/{path}",
    ),
    "Kaggle": (
        "https://kaggle.com/static/images/open-in-kaggle.svg",
        "https://kaggle.com/kernels/welcome?src="
        "https://github.com/{repository}/blob/{branch}/{path}",
    ),
    "Binder": (
        "https://mybinder.org/badge_logo.svg",
        "https://mybinder.org/v2/gh/{repository}/{branch}?labpath={quoted_path}",
    ),
}

README_BADGES = re.compile(r"(\A# .*\n)\n\[!\[Open in Colab\]\(.*\n")
README_ROW = re.compile(r"^\| \[`\d\d_\w+`\]\((notebooks/\d\d_\w+\.ipynb)\) \|.*\|$")
README_LINKS = re.compile(r" \[Colab\]\(\S+\) · \[Kaggle\]\(\S+\) · \[Binder\]\(\S+\) \|$")
README_COLUMN = (" open in |", "---|")  # title and rule of the column of links


def checked(repository):
    """`repository`, if it is `owner/name` or empty.

    Raises:
        ValueError: it is neither.
    """
    if repository and not re.fullmatch(f"{OWNER}/{NAME}", repository):
        raise ValueError(
            f"REPO={repository!r} is no repository on GitHub. Give its owner and its name only, as "
            "in REPO=octocat/shiftvit-course, or REPO= to take the links out."
        )
    return repository


def addresses(repository, path):
    """`{name of the opener: where it opens the file}`; `path` counts from the repository's root."""
    fields = {"repository": repository, "branch": BRANCH, "path": path}
    fields["quoted_path"] = quote(path, safe="")
    return {name: address.format(**fields) for name, (_, address) in OPENERS.items()}


def badges(repository, path):
    """One line of markdown: a badge for each place in which the file opens."""
    return " ".join(
        f"[![Open in {name}]({OPENERS[name][0]})]({address})"
        for name, address in addresses(repository, path).items()
    )


def bootstrap(repository):
    """The source of the bootstrap cell."""
    source = TEMPLATE.read_text(encoding="utf-8").rstrip("\n")
    return source.replace(UNSTAMPED, f'REPOSITORY = "{repository}"', 1)


def stamped_repository(source):
    """The repository in the source of a bootstrap cell, or an empty string."""
    found = STAMPED.search(source)
    return found[1] if found else ""


def stamp_notebook(text, path, repository):
    """A notebook with the links of this repository, or without links.

    Args:
        text: str, the notebook as its file has it.
        path: str, its place in the repository, as in "notebooks/03_shift.ipynb".
        repository: str, `owner/name` or empty.

    Returns:
        str.

    Raises:
        ValueError: the file is not as `tests/refresh_notebook.py` writes it, or has no bootstrap.
    """
    notebook = json.loads(text)
    if written(notebook) != text:
        raise ValueError(f"{path} is not as nbformat writes it: run `make outputs` on it first.")
    cells = [cell for cell in notebook["cells"] if cell.get("id") != BADGES_ID]
    first = next((n for n, cell in enumerate(cells) if cell["cell_type"] == "code"), None)
    if first is None or BOOTSTRAP_SIGN not in "".join(cells[first]["source"]):
        raise ValueError(f"{path}: the first code cell is not the bootstrap cell.")
    cells[first]["source"] = bootstrap(repository).splitlines(keepends=True)
    if repository:
        cells.insert(first, badges_cell(repository, path))
    return written({**notebook, "cells": cells})


def badges_cell(repository, path):
    return {
        "cell_type": "markdown",
        "id": BADGES_ID,
        "metadata": {},
        "source": [badges(repository, path)],
    }


def written(notebook):
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def stamp_readme(text, repository):
    """The README with the links of this repository, or without links.

    Raises:
        ValueError: it has no title, or no table of notebooks.
    """
    lines = README_BADGES.sub(r"\1", text).split("\n")
    rows = [n for n, line in enumerate(lines) if README_ROW.match(line)]
    if not rows or not lines[0].startswith("# "):
        raise ValueError("README.md has no title, or no table whose rows begin with notebooks.")
    head = rows[0] - 2  # the table's titles, and below them its rule
    if lines[head].endswith(README_COLUMN[0]):
        for number, end in enumerate(README_COLUMN, start=head):
            lines[number] = lines[number].removesuffix(end)
        for row in rows:
            lines[row] = README_LINKS.sub("", lines[row])
    if repository:
        for number, end in enumerate(README_COLUMN, start=head):
            lines[number] += end
        for row in rows:
            path = README_ROW.match(lines[row])[1]
            links = addresses(repository, path).items()
            lines[row] += " " + " · ".join(f"[{name}]({url})" for name, url in links) + " |"
            if row == rows[0]:
                badge_line = badges(repository, path)
        lines[1:1] = ["", badge_line]
    return "\n".join(lines)


def stamp(root, repository):
    """Stamps every notebook and the README; returns the paths that changed.

    All are read and stamped before the first is written.

    Raises:
        ValueError: see `checked`, `stamp_notebook` and `stamp_readme`.
    """
    checked(repository)
    folder = root / "notebooks"
    notebooks = sorted([*folder.glob("[0-9][0-9]_*.ipynb"), *folder.glob("solutions/*.ipynb")])
    before = {path: path.read_text(encoding="utf-8") for path in [*notebooks, root / "README.md"]}
    after = {
        path: stamp_readme(text, repository)
        if path.suffix == ".md"
        else stamp_notebook(text, path.relative_to(root).as_posix(), repository)
        for path, text in before.items()
    }
    changed = [path for path in before if after[path] != before[path]]
    for path in changed:
        path.write_text(after[path], encoding="utf-8", newline="\n")
    return changed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repository", help="owner/name on GitHub; empty takes the links out")
    repository = parser.parse_args().repository
    try:
        changed = stamp(ROOT, repository)
    except ValueError as error:
        parser.exit(2, f"{error}\n")
    for path in changed:
        print(path.relative_to(ROOT))
    print(f"{f'links to {repository}' if repository else 'no links'}; {len(changed)} files changed")


if __name__ == "__main__":
    sys.exit(main())

"""`make links` stamps a copy of the course, which passes the lint, and takes every link out again.

What the bootstrap cell does is tested where nothing of ours is installed: a Python without its
site-packages, a fake record of Keras, and a repository on the disk in the place of GitHub's.
`make colab` runs it with the real versions of Colab.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import notebook_links
import notebook_lint
import pytest
import try_colab
from notebook_lint import ROOT, course_notebooks, solution_notebooks
from notebook_rules.markdown import links_and_images

pytestmark = pytest.mark.backend_free

REPOSITORY = "octocat/shiftvit.course_2"
IGNORED = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "out*.ipynb")


def make_links(root, *arguments):
    # A make above this one must not steer the make below.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", "--no-print-directory", "links", f"VENV={sys.prefix}", *arguments],
        cwd=root,
        env=inherited,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def course(tmp_path):
    """A copy of the course without links, with `make links` and with what its notebooks link to."""
    for name in ("notebooks", "tests", "shiftvit_utils/explorer"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=IGNORED)
    for name in ("README.md", "Makefile"):
        shutil.copy(ROOT / name, tmp_path)
    notebook_links.stamp(tmp_path, "")
    return tmp_path


def contents(root):
    """`{path: bytes}` of the README and every notebook."""
    paths = (root / "README.md", *course_notebooks(root), *solution_notebooks(root))
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def cells(notebook):
    return json.loads(notebook)["cells"]


def source(cell):
    return "".join(cell["source"])


def test_the_course_is_as_one_stamp_makes_it(course):
    """True without links, and after `make links` has put them into this very clone."""
    cell = next(cell for cell in cells(course_notebooks()[0].read_bytes()) if "outputs" in cell)
    notebook_links.stamp(course, notebook_links.stamped_repository(source(cell)))
    assert contents(course) == contents(ROOT)


def test_stamping_changes_two_cells_of_a_notebook_and_is_undone_to_the_byte(course):
    before = contents(course)
    assert len(notebook_links.stamp(course, REPOSITORY)) == len(before) == 17
    stamped = contents(course)

    assert notebook_links.stamp(course, REPOSITORY) == [], "stamping twice is stamping once"
    for path in before.keys() - {"README.md"}:
        old, new = cells(before[path]), cells(stamped[path])
        position = next(n for n, cell in enumerate(new) if cell["cell_type"] == "code")
        badges, bootstrap = new[position - 1 : position + 1]
        assert badges["cell_type"] == "markdown"
        assert source(bootstrap).replace(REPOSITORY, "") == source(old[position - 1])
        assert {**bootstrap, "source": old[position - 1]["source"]} == old[position - 1]
        assert new[: position - 1] + new[position + 1 :] == old[: position - 1] + old[position:]

    notebook_links.stamp(course, "hubot/another")
    assert notebook_links.stamp(course, REPOSITORY)
    assert contents(course) == stamped, "a new name takes the place of the old one"
    notebook_links.stamp(course, "")
    assert contents(course) == before


def test_stamped_notebooks_pass_the_lint(course):
    def problems():
        paths = course_notebooks(course) + solution_notebooks(course)
        return {str(path): notebook_lint.problems(notebook_lint.read(path), path) for path in paths}

    before = problems()  # links from the copy to what is not copied, and nothing else
    assert all(": links: " in problem for found in before.values() for problem in found)
    notebook_links.stamp(course, REPOSITORY)
    assert problems() == before


def test_badges_open_the_notebook_that_they_stand_in(course):
    notebook_links.stamp(course, REPOSITORY)
    for path in course_notebooks(course) + solution_notebooks(course):
        (badges,) = [cell for cell in cells(path.read_bytes()) if cell["id"] == "badges"]
        targets, alts = links_and_images(source(badges))
        assert alts == ["Open in Colab", "Open in Kaggle", "Open in Binder"]
        assert opened(targets) == [path.relative_to(course).as_posix()] * 3


def opened(targets):
    """The file of the repository that each link leads to; pictures are left out."""
    files = []
    for target in map(urlsplit, targets):
        blob = f"/{REPOSITORY}/blob/main/"
        if target.path.endswith(".svg"):
            continue
        if target.netloc == "colab.research.google.com":
            assert target.path.startswith(f"/github{blob}")
            files.append(target.path.removeprefix(f"/github{blob}"))
        elif target.netloc == "kaggle.com":
            (address,) = parse_qs(target.query)["src"]
            assert (target.path, address[:18]) == ("/kernels/welcome", "https://github.com")
            files.append(urlsplit(address).path.removeprefix(blob))
        else:
            assert target.netloc == "mybinder.org"
            assert target.path == f"/v2/gh/{REPOSITORY}/main"
            assert "/" not in target.query, "an encoded path keeps its slashes to itself"
            files.append(unquote(target.query.removeprefix("labpath=")))
    return files


def test_the_readme_gets_badges_and_a_column_of_links(course):
    before = (course / "README.md").read_text().splitlines()
    notebook_links.stamp(course, REPOSITORY)
    title, blank, badges, *rest = (course / "README.md").read_text().splitlines()
    assert (title, blank, rest[0]) == (before[0], "", before[1])
    assert opened(links_and_images(badges)[0]) == ["notebooks/01_data.ipynb"] * 3

    changed = [(old, new) for old, new in zip(before[1:], rest, strict=True) if old != new]
    assert len(changed) == 2 + len(course_notebooks(course))
    assert all(new.startswith(old) and new.endswith("|") for old, new in changed)
    rows = dict(zip(course_notebooks(course), changed[2:], strict=True))
    for path, (old, new) in rows.items():
        assert opened(links_and_images(new.removeprefix(old))[0]) == [f"notebooks/{path.name}"] * 3


@pytest.mark.parametrize(
    "wrong",
    [
        "octocat",
        "octocat/",
        "/course",
        "octocat/course/tree",
        "https://github.com/octocat/course",
        "octocat/course.git",
        "octocat/..",
        "-octocat/course",
        "octo--cat/course",
        "octocat/my course",
        'octocat/course"; import os',
        "octocat/course\n",
    ],
)
def test_what_is_no_repository_is_refused(wrong, course):
    before = contents(course)
    with pytest.raises(ValueError, match="is no repository on GitHub"):
        notebook_links.stamp(course, wrong)
    assert contents(course) == before


def test_nothing_is_written_if_one_notebook_cannot_be_stamped(course):
    (course / "notebooks/07_paper_and_code.ipynb").write_text('{"cells": []}')
    before = contents(course)
    with pytest.raises(ValueError, match="07_paper_and_code"):
        notebook_links.stamp(course, REPOSITORY)
    assert contents(course) == before


def test_make_links_stamps(course):
    before = contents(course)
    result = make_links(course, f"REPO={REPOSITORY}")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == f"links to {REPOSITORY}; 17 files changed"
    assert contents(course).keys() == before.keys()
    assert make_links(course, "REPO=").stdout.splitlines()[-1] == "no links; 17 files changed"
    assert contents(course) == before


def test_make_links_says_what_is_wrong_with_the_repository(course):
    result = make_links(course, "REPO=octocat")
    assert result.returncode != 0
    assert result.stderr.startswith("REPO='octocat' is no repository on GitHub.")
    result = make_links(course)
    assert result.returncode != 0
    assert "make links REPO=owner/name" in result.stderr


# The bootstrap cell


class Machine:
    """Runs the bootstrap cell where nothing but Python, git and a record of Keras is installed."""

    def __init__(self, folder):
        self.packages = folder / "packages"
        self.work = folder / "content"
        self.github = folder / "github"
        self.work.mkdir()
        self.install("keras", "3.13.2")

    def install(self, name, version, module=False):
        """Leaves the traces of an installed package, and a module that can be imported."""
        for old in self.packages.glob(f"{name}-*"):
            shutil.rmtree(old)
        record = self.packages / f"{name}-{version}.dist-info" / "METADATA"
        record.parent.mkdir(parents=True)
        record.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        if module:
            (self.packages / name).mkdir()
            (self.packages / name / "__init__.py").touch()

    def publish(self):
        """A repository where git finds `https://github.com/<REPOSITORY>`."""
        bare = self.github / REPOSITORY
        library, notebooks = bare / "shiftvit_utils", bare / "notebooks"
        library.mkdir(parents=True)
        notebooks.mkdir()
        (library / "__init__.py").touch()
        (notebooks / "neighbour.txt").touch()
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
        for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "first"]):
            subprocess.run(["git", *command], cwd=bare, check=True)

    def run(self, repository="", cwd=None):
        """Runs the cell; returns what it found, where the notebook then stands, and its error."""
        report = "\nprint(importlib.util.find_spec('shiftvit_utils').origin, Path.cwd(), sep='\\n')"
        prepare = f"import sys\nsys.path.append({str(self.packages)!r})\n"
        program = prepare + notebook_links.bootstrap(repository) + report
        result = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program],
            cwd=cwd or self.work,
            env={
                "PATH": os.environ["PATH"],
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"url.{self.github.as_uri()}/.insteadOf",
                "GIT_CONFIG_VALUE_0": "https://github.com/",
                "GIT_TERMINAL_PROMPT": "0",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        error = result.stderr.splitlines()[-1] if result.returncode else ""
        return [Path(line) for line in result.stdout.splitlines()], error


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.mark.parametrize("repository", ["", REPOSITORY])
@pytest.mark.parametrize("where", ["notebooks/solutions", "notebooks", "."])
def test_finds_the_library_of_the_clone(machine, where, repository):
    found, error = machine.run(repository, cwd=ROOT / where)
    assert not error
    assert found == [ROOT / "shiftvit_utils" / "__init__.py", ROOT / where]


def test_the_clone_goes_before_an_installed_library(machine):
    machine.install("shiftvit_utils", "0.0.1", module=True)
    found, _ = machine.run(cwd=ROOT / "notebooks")
    assert found[0] == ROOT / "shiftvit_utils" / "__init__.py"


@pytest.mark.parametrize("repository", ["", REPOSITORY])
def test_an_installed_library_is_enough_and_nothing_is_fetched(machine, repository):
    machine.install("shiftvit_utils", "0.1.0", module=True)
    found, error = machine.run(repository)
    assert not error
    assert found == [machine.packages / "shiftvit_utils" / "__init__.py", machine.work]
    assert list(machine.work.iterdir()) == []


def test_fetches_a_clone_and_stands_in_its_notebooks(machine):
    machine.publish()
    clone = machine.work / "shiftvit.course_2"
    for time in ("first", "after a restart of the kernel"):
        found, error = machine.run(REPOSITORY)
        assert not error, time
        assert found == [clone / "shiftvit_utils" / "__init__.py", clone / "notebooks"], time
        shutil.rmtree(machine.github, ignore_errors=True)  # the second time needs no network
    assert (clone / "notebooks" / "neighbour.txt").is_file()


def test_says_in_one_line_how_to_get_the_library(machine):
    _, error = machine.run()
    assert error.startswith("ModuleNotFoundError: Run this in a clone, or pip install --no-deps")


def test_says_in_one_line_that_fetching_failed(machine):
    _, error = machine.run(REPOSITORY)
    assert error == (
        f"ConnectionError: git clone https://github.com/{REPOSITORY} failed: is the internet on?"
    )


@pytest.mark.parametrize("version", ["2.15.0", "3.9.1", "3.12.4"])
def test_says_in_one_line_that_keras_is_too_old(machine, version):
    machine.install("keras", version)
    _, error = machine.run(cwd=ROOT)
    assert error.startswith(f"ImportError: Keras {version} is older than 3.13: pip install")


@pytest.mark.parametrize("version", ["3.13.0", "3.100.1", "4.0.0.dev2027010100"])
def test_takes_any_newer_keras(machine, version):
    machine.install("keras", version)
    assert machine.run(cwd=ROOT)[1] == ""


def test_the_oldest_keras_is_that_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (keras,) = [line for line in project["dependencies"] if line.startswith("keras")]
    bound = keras.removeprefix("keras>=")
    cell = notebook_links.bootstrap("")
    numbers = [ast.literal_eval(found) for found in re.findall(r"< (\[.*\])", cell)]
    assert numbers == [[int(number) for number in bound.split(".")]]
    assert (
        re.findall(r"older than ([\d.]+):", cell) == re.findall(r"keras>=([\d.]+)", cell) == [bound]
    )


def test_the_recorded_run_on_colab_is_of_its_versions_and_all_notebooks():
    recorded = json.loads(try_colab.RESULT.read_text())
    pins = {f"{name}=={version}" for name, version in recorded["versions"].items()}
    assert pins >= set(try_colab.COLAB)
    assert recorded["python"].startswith(f"{try_colab.PYTHON}.")
    ran = {mode: tuple(seconds) for mode, seconds in recorded["seconds"].items()}
    assert ran == try_colab.NOTEBOOKS

"""Each rule of the lint finds what it is for and nothing else: a good notebook broken one way."""

import base64
import copy
import runpy
import subprocess
import sys

import nbformat
import notebook_links
import notebook_lint
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebook_lint import ROOT
from notebook_rules import RULES

pytestmark = pytest.mark.backend_free

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n and so on").decode()
PICTURE = {"image/png": PNG, "text/plain": "<Figure size 640x480 with 1 Axes>"}
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}

SEALED = (
    '<iframe title="x" sandbox="allow-scripts" srcdoc="&lt;script&gt;1&lt;/script&gt;"></iframe>'
)

OPENING = """# 02 · A subject

**What does a shift do?**

After this notebook you will be able to

1. say what moves;
2. count what it costs;
3. write it.

**Read first:** [the notebook before](01_first.ipynb#02-·-A-subject). **You need:** nothing else.

**Time:** reading 5 minutes."""

PICTURES = """## A picture

![A square moves to the left](media/shift.gif) <img src="media/shift.gif" alt="the same">

In the figure, every square has moved one pixel to the left. More in [a section](#A-picture) and
at [the publisher's](https://arxiv.org/abs/2201.10801)."""

CLOSING = """## What you now know

- What moves.

## Exercises"""


def exercise(number):
    """A hint and a stub: two cells."""
    text = f"### {number}\n\n<details><summary>Hint</summary>Count.</details>"
    source = f"answer_{number} = ...\n\nexercises.check_{number}(answer_{number});"
    return [
        new_markdown_cell(text, id=f"hint-{number}"),
        code(f"exercise-{number}", source, f"○ {number}: not written yet. Replace.\n", "exercise"),
    ]


def code(name, source, stdout=None, tag=None):
    outputs = [new_output("stream", name="stdout", text=stdout)] if stdout else []
    return new_code_cell(source, id=name, outputs=outputs, metadata={"tags": [tag]} if tag else {})


def numbered(cells):
    """A notebook whose code cells ran in the order in which they stand."""
    for count, cell in enumerate((c for c in cells if c.cell_type == "code"), start=1):
        cell.execution_count = count
    notebook = new_notebook(cells=cells, metadata=copy.deepcopy(METADATA))
    notebook.nbformat_minor = 5
    return notebook


def good_course():
    figure = code("figure", "figures.shift_figure(dataset)")
    figure.outputs = [new_output("execute_result", PICTURE, execution_count=7)]
    return numbered(
        [
            new_markdown_cell(OPENING, id="opening"),
            code("bootstrap", notebook_links.bootstrap("")),
            code("setup", "%matplotlib inline\nprint(versions(), describe_device())", "{} CPU\n"),
            code(
                "parameters",
                'dataset = None  # "cifar10" or "digits"\n# pixels\nshift = -1',
                tag="parameters",
            ),
            code("derived", 'dataset = dataset or "cifar10"\nkeras.utils.set_random_seed(0)'),
            code("number", "print(1 + 1)", "2\n", "nbval-check-output"),
            figure,
            new_markdown_cell(PICTURES, id="pictures"),
            code("assertion", "assert dataset"),
            new_markdown_cell(CLOSING, id="closing"),
            *exercise(1),
            *exercise(2),
            *exercise(3),
            *exercise(4),
            new_markdown_cell("## References\n\n- Somebody, arXiv 2201.10801", id="references"),
        ]
    )


def good_solution():
    cells = [
        new_markdown_cell("# Solutions to 02 · A subject", id="opening"),
        code("bootstrap", notebook_links.bootstrap("")),
        code("parameters", "# This notebook takes no parameters.", tag="parameters"),
    ]
    for number in range(1, 5):
        source = f"answer_{number} = {number}\n\nassert exercises.check_{number}(answer_{number})"
        cells.append(code(f"solution-{number}", source, f"✓ {number}: right.\n"))
    return numbered(cells)


class Repository:
    """A course of two notebooks in a temporary folder, with the cells of the second by their id."""

    def __init__(self, root):
        self.root = root
        self.course = good_course()
        self.solution = good_solution()
        self.files = {"notebooks/media/shift.gif": "", "README.md": "# Read me\n"}

    def cell(self, name, solution=False):
        notebook = self.solution if solution else self.course
        (cell,) = [cell for cell in notebook.cells if cell.id == name]
        return cell

    def insert(self, *cells, before="assertion"):
        """Adds cells to the course notebook, which still counts from 1."""
        index = self.course.cells.index(self.cell(before))
        self.course.cells[index:index] = cells
        self.course = numbered(self.course.cells)

    def remove(self, name):
        self.course = numbered([cell for cell in self.course.cells if cell.id != name])

    def broken_rules(self):
        """`{"course": rules that find something in the course notebook, "solution": ...}`."""
        folder = self.root / "notebooks"
        for path, text in self.files.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(text)
        (folder / "solutions").mkdir(parents=True)
        for path, notebook in {
            folder / "01_first.ipynb": good_course(),
            folder / "02_subject.ipynb": self.course,
            folder / "solutions" / "02_subject.ipynb": self.solution,
        }.items():
            if notebook is not None:
                path.write_text(nbformat.v4.writes(notebook))
        return {
            kind: {problem.split(": ")[1] for problem in lint(path)}
            for kind, path in {
                "course": folder / "02_subject.ipynb",
                "solution": folder / "solutions" / "02_subject.ipynb",
            }.items()
            if path.is_file()
        }


def lint(path):
    return notebook_lint.problems(notebook_lint.read(path), path)


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path)


def test_nothing_is_wrong_with_the_good_notebooks(repository):
    assert repository.broken_rules() == {"course": set(), "solution": set()}


CASES = []  # (rule, function that breaks the course notebook in this way)


def breaks(rule):
    def register(function):
        CASES.append(pytest.param(rule, function, id=f"{rule}-{function.__name__}"))
        return function

    return register


def edits(rule, name, source, **other):
    """A case that gives one cell another source."""

    def edit(repository):
        repository.cell(name).source = source
        repository.cell(name).update(other)

    number = sum(case.values[0] == rule for case in CASES)
    CASES.append(pytest.param(rule, edit, id=f"{rule}-edit-{number}"))


def prints(rule, text):
    """A case in which a cell has printed this."""

    def edit(repository):
        repository.cell("assertion").outputs = [new_output("stream", name="stdout", text=text)]

    number = sum(case.values[0] == rule for case in CASES)
    CASES.append(pytest.param(rule, edit, id=f"{rule}-prints-{number}"))


def shows(rule, data):
    """A case in which a cell has shown this, by mime type."""

    def edit(repository):
        repository.cell("assertion").outputs = [new_output("display_data", data)]

    number = sum(case.values[0] == rule for case in CASES)
    CASES.append(pytest.param(rule, edit, id=f"{rule}-shows-{number}"))


@breaks("schema")
def of_an_older_minor_version(repository):
    repository.course.nbformat_minor = 4


@breaks("schema")
def with_a_field_that_does_not_exist(repository):
    repository.cell("derived")["colour"] = "red"


@breaks("schema")
def without_a_cell_id(repository):
    del repository.cell("derived")["id"]


@breaks("cell-ids")
def one_id_twice(repository):
    repository.cell("pictures").id = "opening"


@breaks("kernel")
def another_kernel(repository):
    repository.course.metadata.kernelspec.name = "shiftvit"


@breaks("metadata")
def widgets(repository):
    repository.course.metadata.widgets = {}


@breaks("metadata")
def the_python_that_ran_it(repository):
    repository.course.metadata.language_info.version = "3.11.2"


@breaks("metadata")
def what_papermill_measured(repository):
    repository.cell("derived").metadata.papermill = {"duration": 1.0}


@breaks("tags")
def a_misspelt_tag(repository):
    repository.cell("derived").metadata.tags = ["nbval-check-outputs"]


edits("tags", "derived", "# NBVAL_SKIP\nx = 1")
edits("python", "derived", "x = = 1")
edits("length", "derived", "\n".join(f"x_{line} = {line}" for line in range(26)))
edits("plotting", "derived", "import matplotlib.pyplot as plt")
edits("plotting", "derived", "from matplotlib import figure")
edits("plotting", "derived", "plt.plot([1, 2]);")


@breaks("parameters")
def no_cell_of_parameters(repository):
    # Another cell takes the tag's place in the order, so that `setup` has nothing to say.
    repository.cell("derived").metadata.tags = ["parameters"]


edits("parameters", "parameters", "dataset = None")
edits("parameters", "parameters", "dataset = None  # a data set\nshift = 1")
edits("parameters", "parameters", "seed = 1  # of weights\nother = seed + 1  # derived")
edits("parameters", "parameters", "import os  # for paths")
edits("parameters", "parameters", "# nothing")

edits("paths", "derived", 'folder = "/home/somebody/data"')
edits("paths", "derived", 'folder = r"C:\\Users\\somebody"')
edits("paths", "pictures", PICTURES + "\n\nLook into /var/folders/out.")
prints("paths", "saved to /mnt/x/model.keras\n")
shows("paths", {"text/html": '<a href="file:///home/x">x</a>'})


@breaks("paths")
def the_folder_of_the_repository(repository):
    text = f"saved to {repository.root}/runs\n"
    repository.cell("derived").outputs = [new_output("stream", name="stdout", text=text)]


@breaks("order")
def a_cell_that_ran_again(repository):
    repository.cell("derived").execution_count = 12


@breaks("order")
def a_cell_that_never_ran(repository):
    repository.cell("assertion").execution_count = None


@breaks("outputs")
def a_print_without_its_output(repository):
    repository.cell("number").outputs = []


@breaks("outputs")
def a_figure_that_is_not_there(repository):
    repository.cell("figure").outputs = []


@breaks("outputs")
def a_checker_that_said_nothing(repository):
    repository.cell("exercise-2").outputs = []


@breaks("outputs")
def all_outputs_stripped(repository):
    for cell in repository.course.cells:
        if cell.cell_type == "code":
            cell.outputs = []


edits("outputs", "derived", "dataset")
edits("outputs", "derived", "dataset.shape, 1")
edits("outputs", "derived", "show_source(sv.shift)")
edits("outputs", "derived", "figures.grid_figure(dataset)")


@breaks("checked")
def nothing_for_nbval_to_compare(repository):
    repository.cell("number").metadata = {}


@breaks("checked")
def a_picture_for_nbval_to_compare(repository):
    repository.cell("figure").metadata = {"tags": ["nbval-check-output"]}


@breaks("errors")
def an_error(repository):
    repository.cell("derived").outputs = [new_output("error", ename="KeyError", evalue="'x'")]


@breaks("stderr")
def standard_error(repository):
    repository.cell("derived").outputs = [new_output("stream", name="stderr", text="2026 log\n")]


prints("warnings", "model.py:3: UserWarning: no GPU\n  warn()\n")
prints("warnings", "W0000 00:00:1790000000.1 cpu_feature_guard.cc:227] rebuild\n")
prints("terminal", "1/2\b\b\b2/2\n")
prints("terminal", "\x1b[31mred\x1b[0m\n")
shows("values", {"text/plain": "[<matplotlib.lines.Line2D at 0x7f1c2a3b4c50>]"})
shows("pictures", {"image/svg+xml": "<svg></svg>"})
shows("pictures", {"application/javascript": "alert(1)"})
shows("pictures", {"text/html": "<script>alert(1)</script>"})
shows("pictures", {"image/png": "bm90IGEgUE5H"})
shows("pictures", {"text/html": '<b onclick="alert(1)">x</b>'})
shows("pictures", {"text/html": SEALED.replace("sandbox", "style")})
shows("pictures", {"text/html": SEALED.replace("srcdoc", "src")})


@breaks("pictures")
def a_page_without_a_picture_of_it(repository):
    repository.cell("derived").outputs = [new_output("display_data", {"text/html": SEALED})]


prints("screen", "line\n" * 61)
shows("screen", {"text/markdown": "line\n" * 61, "text/plain": "short"})
shows("screen", {"text/html": "<table>" + "<tr></tr>" * 61, "text/plain": "short"})


@breaks("figures")
def a_figure_without_a_sentence(repository):
    repository.insert(code("more", "x = 1"), before="pictures")


edits(
    "figures", "pictures", "## A picture\n\n![A square moves to the left, I say](media/shift.gif)"
)
edits("alt-text", "pictures", PICTURES.replace("A square moves to the left", ""))
edits("alt-text", "pictures", PICTURES.replace(' alt="the same"', ""))
shows("alt-text", {"text/html": '<img src="data:image/gif;base64,R0lG">'})
edits("links", "pictures", PICTURES.replace("(media/shift.gif)", "(media/none.gif)"))
edits("links", "pictures", PICTURES.replace('"media/shift.gif"', '"media/none.gif"'))
edits("links", "pictures", PICTURES.replace("(#A-picture)", "(#No-such-heading)"))
edits("links", "pictures", PICTURES.replace("https://arxiv.org/", "https://arxiv/"))
edits("links", "pictures", PICTURES.replace("https://arxiv.org/", "file:///"))
edits("links", "pictures", PICTURES.replace("https://arxiv.org/abs/2201.10801", "/README.md"))
edits("links", "pictures", PICTURES.replace("(#A-picture)", "(../../outside.md)"))
edits("links", "opening", OPENING.replace("#02-·-A-subject", "#03"))

edits("opening", "opening", OPENING.replace("# 02", "# 03"))
edits("opening", "opening", OPENING.replace("?", "."))
edits("opening", "opening", OPENING.replace("will be able to", "can"))
edits("opening", "opening", OPENING.replace("Read first", "Before"))
edits("opening", "opening", OPENING.replace("Time", "Duration"))
edits("opening", "opening", OPENING.replace("3. write it.", ""))
edits("opening", "pictures", PICTURES + "\n\n# A second title")


@breaks("opening")
def time_before_objectives(repository):
    title, _, rest = OPENING.partition("\n\n")
    body, _, time = rest.rpartition("\n\n")
    repository.cell("opening").source = f"{title}\n\n{time}\n\n{body}"


edits("bootstrap", "bootstrap", "import sys, os")


@breaks("bootstrap")
def badges_of_no_repository(repository):
    badges = notebook_links.badges("octocat/course", "notebooks/02_subject.ipynb")
    repository.insert(new_markdown_cell(badges, id="badges"), before="bootstrap")


@breaks("one-repository")
def another_repository_than_in_the_first_notebook(repository):
    repository.cell("bootstrap").source = notebook_links.bootstrap("octocat/course")
    badges_of_no_repository(repository)


edits("setup", "setup", "print(describe_device())")


@breaks("setup")
def a_cell_before_the_parameters(repository):
    repository.insert(code("early", "x = 1"), before="parameters")


edits("closing", "closing", CLOSING.replace("What you now know", "Summary"))
edits("closing", "references", "## References\n\n- Somebody, 2022")
edits("closing", "references", "## References\n\n- Somebody, arXiv 2201.10801\n\n## And more")


@breaks("exercises")
def an_exercise_without_a_hint(repository):
    repository.cell("hint-3").source = "### 3"


edits("exercises", "exercise-3", "answer_3 = ...\n\nexercises.check_3(answer_3)")


def says(repository, name, line):
    repository.cell(name).outputs = [new_output("stream", name="stdout", text=line + "\n")]


@breaks("stubs")
def a_stub_that_passes(repository):
    says(repository, "exercise-1", "✓ 1: right.")


@breaks("stubs")
def a_stub_that_is_an_answer(repository):
    says(repository, "exercise-1", "✗ 1: too large.")


@breaks("stubs")
def code_to_mend_that_is_right(repository):
    add_code_to_mend(repository)
    says(repository, "exercise-5", "✓ 5: right.")


def add_code_to_mend(repository):
    """A fifth exercise, without a stub."""
    hint, cell = exercise(5)
    cell.source = cell.source.replace("...", "4")
    repository.insert(hint, cell, before="references")
    says(repository, "exercise-5", "✗ 5: one is missing.")
    answer = copy.deepcopy(repository.cell("solution-4", solution=True))
    answer.update(id="solution-5", source=answer.source.replace("4", "5"))
    repository.solution = numbered([*repository.solution.cells, answer])


@breaks("solutions")
def no_notebook_of_solutions(repository):
    repository.solution = None


edits("solutions", "exercise-3", "answer_3 = ...\n\nexercises.check_33(answer_3);")


@pytest.mark.parametrize(("rule", "break_it"), CASES)
def test_only_this_rule_finds_what_is_wrong(rule, break_it, repository):
    break_it(repository)
    assert repository.broken_rules()["course"] == {rule}


def test_a_sealed_page_beside_a_picture_of_it_is_right(repository):
    repository.cell("assertion").outputs = [new_output("display_data", {"text/html": SEALED})]
    assert repository.broken_rules() == {"course": set(), "solution": set()}


def test_code_to_mend_is_an_exercise_too(repository):
    add_code_to_mend(repository)
    assert repository.broken_rules() == {"course": set(), "solution": set()}


def test_too_few_exercises_are_found(repository):
    repository.remove("hint-4")
    repository.remove("exercise-4")
    del repository.solution.cells[-1]
    assert repository.broken_rules() == {"course": {"exercises"}, "solution": set()}


class TestSolutions:
    def test_an_answer_that_is_not_right(self, repository):
        output = new_output("stream", name="stdout", text="✗ 2: too large.\n")
        repository.cell("solution-2", solution=True).outputs = [output]
        assert repository.broken_rules() == {"course": set(), "solution": {"solved"}}

    def test_an_answer_that_is_not_asserted(self, repository):
        cell = repository.cell("solution-2", solution=True)
        cell.source = cell.source.replace("assert ", "") + ";"
        assert repository.broken_rules() == {"course": {"solutions"}, "solution": set()}

    def test_stripped_outputs(self, repository):
        for number in range(1, 5):
            repository.cell(f"solution-{number}", solution=True).outputs = []
        assert repository.broken_rules()["solution"] == {"outputs", "solved"}


def test_every_rule_has_a_case():
    assert {case.values[0] for case in CASES} | {"solved"} == RULES.keys()


# The command


@pytest.fixture
def run(monkeypatch, capsys):
    """Returns the code that the command ends with, and what it has printed."""

    def run(path):
        monkeypatch.setattr(sys, "argv", ["notebook_lint.py", str(path)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(notebook_lint.__file__, run_name="__main__")
        return ended.value.code, capsys.readouterr().out

    return run


def test_the_command_names_file_cell_and_rule_and_fails(repository, run):
    repository.cell("derived").source = "x = = 1"
    repository.broken_rules()
    path = repository.root / "notebooks" / "02_subject.ipynb"
    code, printed = run(path)
    assert printed.splitlines()[0].startswith(f"{path}: derived: python: is not Python")
    assert code == 1


def test_the_command_passes_what_is_right(repository, run):
    repository.broken_rules()
    assert run(repository.root / "notebooks" / "02_subject.ipynb") == (
        0,
        "1 notebooks, 0 problems\n",
    )


@pytest.mark.parametrize("content", ["", "{", "[]", '{"nbformat": 3, "worksheets": []}'])
def test_a_file_that_is_no_notebook_is_a_problem_and_no_crash(content, tmp_path, run):
    path = tmp_path / "notebooks" / "01_data.ipynb"
    path.parent.mkdir()
    path.write_text(content)
    code, printed = run(path)
    assert f"{path}: notebook: schema: " in printed
    assert code == 1


def test_every_notebook_of_the_repository_is_read():
    listing = subprocess.run(
        ["git", "ls-files", "*.ipynb"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    read = {*notebook_lint.course_notebooks(), *notebook_lint.solution_notebooks()}
    # Among the results are records of runs, as papermill wrote them.
    names = [x for x in listing.stdout.splitlines() if not x.startswith("benchmarks/results/")]
    assert {ROOT / name for name in names} <= read

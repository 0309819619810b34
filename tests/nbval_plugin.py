"""What nbval leaves open, as a plugin for pytest: `-p nbval_plugin --nbval-lax`.

nbval runs each cell and, in lax mode, compares the output of cells tagged `nbval-check-output`
with the stored one. Here

- a cell tagged `exercise` is compared too: its stub must fail in the very words that are stored.
  Only what it prints counts, for nbval's kernels show a last value in spite of its semicolon;
- a notebook in which nothing is compared is an error: nbval skips the comparison of a cell without
  an execution count, so a notebook whose outputs were stripped would pass;
- with xdist's `-n 2`, a worker takes whole notebooks, and a notebook that needs the results of
  another together with that one, after it.
"""

import pytest
from nbval.plugin import IPyNbCell, IPyNbFile
from xdist.scheduler import LoadFileScheduling

# The later notebook loads the model that the earlier one trained.
RUNS_AFTER = {"06_inference.ipynb": "05_train.ipynb"}


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    if isinstance(collector, IPyNbFile) and report.passed:
        compared = [cell for cell in report.result if cell.options["check"]]
        if not compared or not all(has_reference(cell.cell) for cell in compared):
            report.outcome = "failed"
            report.longrepr = (
                f"{collector.path.name}: nbval has nothing to compare. It needs cells tagged "
                "nbval-check-output, with the outputs of a run (tests/refresh_notebook.py)."
            )
    return report


def has_reference(cell):
    return cell.execution_count is not None and cell.outputs


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    yield
    if isinstance(item, IPyNbCell) and "exercise" in item.cell.metadata.get("tags", []):
        now, stored = printed(item.test_outputs), printed(item.cell.outputs)
        if now != stored:
            item.raise_cell_error(f"The checker says {now!r}; stored is {stored!r}")


def printed(outputs):
    return "".join(output.text for output in outputs if output.get("name") == "stdout")


class NotebookScheduling(LoadFileScheduling):
    """Hands out the cells of a file together, and those of two files that belong together."""

    def _split_scope(self, nodeid):
        folder, _, name = super()._split_scope(nodeid).rpartition("/")
        return f"{folder}/{RUNS_AFTER.get(name, name)}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return NotebookScheduling(config, log)

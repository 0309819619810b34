"""The notebooks open, run and show their figures in JupyterLab, in a browser, as for a learner."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time

import nbformat
import pytest
from explorer_page import check_explorer
from notebook_lint import ROOT, course_notebooks

pytestmark = pytest.mark.backend_free

# JupyterLab asks nobody for news, updates or extensions. All cells are in the page at once, not
# only those in view.
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "extensionmanager-extension/plugin": {"enabled": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}
SERVER_ARGUMENTS = (
    "--no-browser",
    "--allow-root",
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.port_retries=100",
    "--LabApp.extension_manager=readonly",
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
)
# Milliseconds, for a machine that has other things to do.
OPEN_TIMEOUT = 120_000
RUN_TIMEOUT = 300_000
START_TIMEOUT = 20_000  # until the first cell runs
TRIES = 10
IDLE = ".jp-Notebook-ExecutionIndicator[data-status='idle']"
OUTPUT = ".jp-CodeCell .jp-OutputArea-output"
PICTURE = f"{OUTPUT} img"
COMPLAINT = (
    f"{OUTPUT}[data-mime-type='application/vnd.jupyter.error'],"
    f"{OUTPUT}[data-mime-type='application/vnd.jupyter.stderr'],"
    ".jp-Dialog"
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A copy of what a learner has, so that nothing tracked is changed, and settings beside it."""
    folder = tmp_path_factory.mktemp("jupyterlab")
    ignore = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "out*.ipynb")
    for name in ("notebooks", "shiftvit_utils"):
        shutil.copytree(ROOT / name, folder / "course" / name, ignore=ignore)
    for name, settings in SETTINGS.items():
        path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def server(workspace):
    """What a running JupyterLab says of itself, among it `url` and `token`."""
    folders = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
        "MPLCONFIGDIR": "matplotlib",
        "SHIFTVIT_RUNS": "runs",
    }
    environment = {
        **os.environ,
        **{name: str(workspace / folder) for name, folder in folders.items()},
        "SHIFTVIT_DATASET": "digits",
        "KERAS_BACKEND": "tensorflow",
    }
    command = [sys.executable, "-m", "jupyterlab", *SERVER_ARGUMENTS]
    log = workspace / "jupyterlab.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, f"--ServerApp.root_dir={workspace / 'course'}"],
            cwd=workspace,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        # matplotlib would tell every notebook on stderr that it builds its list of fonts.
        subprocess.run(
            [sys.executable, "-c", "import matplotlib.font_manager"], env=environment, check=True
        )
        yield wait_for_server(workspace / "runtime", process, log)
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:  # it sometimes waits for a kernel forever
            process.kill()  # kernels end when they find themselves alone


def wait_for_server(runtime, process, log, seconds=120):
    """Waits for the file in which a Jupyter server says where it listens; returns its content."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        for path in runtime.glob("jpserver-*.json"):
            try:
                return json.loads(path.read_text())
            except ValueError:  # not yet written to its end
                pass
        time.sleep(0.2)
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture
def page(browser, server):
    """An empty page; at the end, nothing was asked of another host than the server."""
    requests = []
    page = browser.new_page(viewport={"width": 1280, "height": 1400})
    page.on("request", lambda request: requests.append(request.url))
    yield page
    page.close()
    assert requests
    own = (server["url"], "data:", "blob:", "about:")
    assert [url for url in requests if not url.startswith(own)] == []


def open_notebook(page, server, path):
    """Opens a notebook by its address and waits until its kernel and all its cells are there."""
    page.goto(f"{server['url']}lab/tree/notebooks/{path.name}?reset&token={server['token']}")
    number_of_cells = len(nbformat.read(path, as_version=4).cells)
    cells = page.locator(".jp-Notebook .jp-Cell")
    cells.nth(number_of_cells - 1).wait_for(state="attached", timeout=OPEN_TIMEOUT)
    page.locator(IDLE).wait_for(timeout=OPEN_TIMEOUT)
    assert cells.count() == number_of_cells


def menu(page, name, entry):
    page.locator(".lm-MenuBar-itemLabel").get_by_text(name, exact=True).click()
    page.locator(".lm-Menu-itemLabel").get_by_text(entry, exact=True).click()


def run_all_cells(page, number_of_code_cells):
    """Runs the open notebook to its last cell, or to the first error."""
    from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

    for _ in range(TRIES):
        menu(page, "Run", "Run All Cells")
        # Before the kernel is connected, JupyterLab drops the request without a word.
        with contextlib.suppress(PlaywrightTimeoutError):
            page.wait_for_function(
                """complaint => document.querySelector(complaint) ||
                [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')]
                .some(prompt => /\\[[*0-9]+\\]/.test(prompt.textContent))""",
                arg=COMPLAINT,
                timeout=START_TIMEOUT,
            )
            break
    page.wait_for_function(
        """([number, complaint]) => document.querySelector(complaint) ||
        [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')].at(-1).textContent
        .includes(`[${number}]`)""",
        arg=[number_of_code_cells, COMPLAINT],
        timeout=RUN_TIMEOUT,
    )
    page.locator(IDLE).wait_for()


def visible_pictures(page, selector):
    """The number of pictures, after waiting until every one of them has been decoded."""
    page.wait_for_function(
        """selector => [...document.querySelectorAll(selector)]
        .every(picture => picture.complete && picture.naturalWidth > 0)""",
        arg=selector,
        timeout=OPEN_TIMEOUT,
    )
    return page.locator(selector).count()


def code_cells(path):
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


def stored_pictures(path):
    outputs = [output for cell in code_cells(path) for output in cell.outputs]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def edit_copy(workspace, name, edit):
    """Applies `edit` to the code cells of the notebook in the workspace, strips it, saves it."""
    path = workspace / "course" / "notebooks" / name
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in cells:
        cell.outputs, cell.execution_count = [], None  # what it shows later comes from the run
    edit(cells)
    nbformat.write(notebook, path)
    return path


@pytest.mark.parametrize("path", course_notebooks(), ids=lambda path: path.stem)
def test_a_notebook_opens_and_shows_its_pictures(path, page, server):
    open_notebook(page, server, path)
    assert visible_pictures(page, PICTURE) == stored_pictures(path)
    visible_pictures(page, ".jp-MarkdownOutput img")
    assert page.locator(COMPLAINT).all_inner_texts() == []


def test_all_cells_run(page, server, workspace):
    original = ROOT / "notebooks" / "03_shift.ipynb"
    path = edit_copy(workspace, original.name, lambda cells: None)
    number = len(code_cells(path))
    open_notebook(page, server, path)
    assert page.locator(OUTPUT).count() == 0

    run_all_cells(page, number)
    assert page.locator(COMPLAINT).all_inner_texts() == []
    assert visible_pictures(page, PICTURE) == stored_pictures(original) > 0
    for count, picture in enumerate(page.locator(PICTURE).all(), start=1):
        picture.scroll_into_view_if_needed()
        page.screenshot(path=workspace / f"figure-{count}.png")

    explorer = page.locator(f"{OUTPUT} iframe[title='Shift explorer']")
    explorer.scroll_into_view_if_needed()
    check_explorer(explorer.element_handle().content_frame())
    page.screenshot(path=workspace / "explorer.png")

    menu(page, "File", "Save Notebook")
    page.locator(".jp-mod-dirty").first.wait_for(state="detached")
    assert [cell.execution_count for cell in code_cells(path)] == list(range(1, number + 1))
    assert stored_pictures(path) == stored_pictures(original)


def test_a_cell_that_fails_is_noticed(page, server, workspace):
    """Without this, a selector that a new JupyterLab renames would hide every error."""

    def only_an_error(cells):
        for cell in cells:
            cell.source = "1 / 0" if cell is cells[-1] else ""

    path = edit_copy(workspace, course_notebooks()[0].name, only_an_error)
    open_notebook(page, server, path)
    run_all_cells(page, len(code_cells(path)))
    (error,) = page.locator(COMPLAINT).all_inner_texts()
    assert "ZeroDivisionError" in error

"""The browser page, built, served and opened in a headless Chromium.

`python tests/web_page.py` takes the picture in the documentation, `docs/web_page.png`.
"""

import contextlib
import fcntl
import functools
import http.server
import io
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from explorer_page import PATIENCE, chromium

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "web_page.png"
NPM_STAMP = "build/npm/.installed"


def build(folder):
    """Builds the page into a folder, as `make web` does, with the network that ships."""
    if not shutil.which("npm"):
        pytest.skip("npm is not installed, which brings onnxruntime-web")
    (ROOT / "build").mkdir(exist_ok=True)
    with open(ROOT / "build" / ".npm.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test processes may come here at once
        made = subprocess.run(["make", "--no-print-directory", NPM_STAMP], cwd=ROOT, check=False)
    if made.returncode:
        pytest.skip("npm could not install onnxruntime-web, see above")
    command = [sys.executable, "web/build.py", "--output", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """What `python -m http.server` answers with, without a line for every request."""

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def served(folder):
    """The address of a plain static server of this folder."""
    handler = functools.partial(QuietHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def open_page(browser, address, **options):
    """A page that is ready for a picture."""
    from playwright.sync_api import expect

    page = browser.new_page(**options)
    page.goto(address)
    expect(page.get_by_role("status")).to_have_text("Ready for a picture.", timeout=PATIENCE)
    return page


def take_picture():
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        build(Path(folder, "web"))
        with served(Path(folder, "web")) as address:
            page = open_page(browser, address, viewport={"width": 860, "height": 700})
            page.get_by_role("button", name="A cat").click()
            page.locator("#ranking li").first.wait_for()
            shot = page.screenshot(full_page=True)
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    picture = picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    picture.save(PICTURE, optimize=True)


if __name__ == "__main__":
    take_picture()
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size // 1000} kB")

"""The shift explorer in a headless Chromium: how to start one, and a look at whether it works.

`check_explorer(frame)` takes a page or a frame that holds the explorer, wherever that is: a file,
exported HTML, JupyterLab. `python tests/explorer_page.py` takes the picture that stands in for the
explorer where no script runs, `notebooks/media/shift_explorer.png`.
"""

import contextlib
import hashlib
import io
import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "shiftvit_utils" / "explorer" / "shift_explorer.html"
PICTURE = ROOT / "notebooks" / "media" / "shift_explorer.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
PATIENCE = 20_000  # milliseconds, for a machine that has other things to do


@contextlib.contextmanager
def chromium():
    """A headless Chromium of Playwright's; skips the test that asks where there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip("playwright is not installed (the `test` extra has it)")
    with sync_playwright() as playwright:
        path = next(filter(None, map(shutil.which, BROWSERS)), playwright.chromium.executable_path)
        if not Path(path).exists():
            pytest.skip("there is no Chromium: install it, or run `playwright install chromium`")
        # As root, in a container, Chromium's own sandbox cannot start.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def check_explorer(frame):
    """Does with the explorer in `frame` what a reader does first, and looks at what it says.

    Leaves it as it was. Works on a Playwright `Page` and on a `Frame`.
    """
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE)
    status = frame.get_by_role("status")
    x = frame.get_by_role("grid", name=re.compile("^x"))
    y = frame.get_by_role("grid", name=re.compile("^y"))
    expect(y.get_by_role("gridcell")).to_have_count(64)

    # Numbers 1 to 64, by mouse: channel 0 moves left, so row 2, column 3 shows 2 * 8 + 4 + 1.
    y.get_by_role("gridcell", name="row 2, column 3: 21", exact=True).hover()
    expect(status).to_have_text(
        "Row 2, column 3 of channel 0 came from row 2, column 4. Value: 21."
    )
    expect(x.locator(".marked")).to_have_attribute("aria-label", "row 2, column 4: 21")

    # The last column, by keyboard.
    y.get_by_role("gridcell", name="row 2, column 3: 21", exact=True).press("End")
    expect(status).to_have_text(
        "Row 2, column 7 of channel 0 is zero: it came in from outside. Value: 0."
    )

    frame.get_by_role("radio", name=re.compile("Keras example")).check()
    expect(frame.get_by_text("48 of 96 channels (50 %) lose a line, none moves.")).to_be_visible()
    expect(y.get_by_role("gridcell", name="row 2, column 3: 20", exact=True)).to_be_visible()

    frame.get_by_role("button", name="Reset").click()
    expect(frame.get_by_text("32 of 96 channels (33 %) move.")).to_be_visible()


def take_picture():
    """Writes the picture, with the fingerprint of the page that it shows."""
    from PIL import Image, PngImagePlugin

    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 700})
        page.goto(PAGE.as_uri())
        shot = page.screenshot(full_page=True)
    fingerprint = PngImagePlugin.PngInfo()
    fingerprint.add_text("page", hashlib.sha256(PAGE.read_bytes()).hexdigest())
    # The colours have meanings: of Pillow's ways to a palette, this one keeps all of them closest.
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    picture = picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    PICTURE.parent.mkdir(exist_ok=True)
    picture.save(PICTURE, optimize=True, pnginfo=fingerprint)


if __name__ == "__main__":
    take_picture()
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size // 1000} kB")

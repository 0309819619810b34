"""The demo as a process of its own, watched, and a picture of its page.

`started` runs a demo and looks at what it leaves behind. `python tests/demo_page.py` takes the
picture in the documentation, `docs/demo.png`.
"""

import contextlib
import io
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from explorer_page import ROOT, chromium
from PIL import Image

PICTURE = ROOT / "docs" / "demo.png"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextlib.contextmanager
def counted_proxy():
    """A proxy that lets nothing through; yields its address and a list that grows by each call."""
    calls = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse():
            with contextlib.suppress(OSError):  # the listener was closed
                while True:
                    connection, _ = listener.accept()
                    calls.append(connection.recv(200))
                    connection.close()

        threading.Thread(target=refuse, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", calls
        listener.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def started(command, cwd, temporary, **environment):
    """Starts a demo; yields its address. At the end it still runs and has complained of nothing."""
    log = temporary / "demo.log"
    names = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "KERAS_BACKEND", "PYTHONPATH"}
    inherited = {name: os.environ[name] for name in os.environ if name.upper() not in names}
    with counted_proxy() as (proxy, calls), log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=cwd,
            env={
                **inherited,
                "HTTP_PROXY": proxy,
                "HTTPS_PROXY": proxy,
                "NO_PROXY": "127.0.0.1,localhost",
                "GRADIO_TEMP_DIR": str(temporary / "gradio"),
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            yield wait_for_address(process, log)
            assert process.poll() is None, log.read_text()
        finally:
            process.terminate()
            process.wait(timeout=20)
        assert calls == []
        assert "Traceback" not in log.read_text(), log.read_text()


def wait_for_address(process, log, seconds=300):
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        if found := re.search(r"The demo is at (http://\S+)", log.read_text()):
            return found[1]
        time.sleep(0.1)
    raise AssertionError(f"The demo did not start:\n{log.read_text()[-3000:]}")


def take_picture(temporary):
    """Writes the picture: the page on a wide screen, with the example of a cat."""
    command = ["-m", "shiftvit_utils.demo", "--port", str(free_port())]
    with (
        started(command, temporary, temporary, PYTHONPATH=str(ROOT)) as address,
        chromium() as browser,
    ):
        page = browser.new_page(viewport={"width": 1120, "height": 960})
        page.goto(address)
        for _ in range(2):  # the second time, nothing is new to the server
            page.get_by_role("button", name="cat icon cat", exact=True).click()
            page.locator("#map img").wait_for()
            page.wait_for_timeout(2000)
        page.mouse.move(5, 5)
        page.evaluate("document.activeElement.blur()")
        shot = page.screenshot(full_page=True)
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    # The colours of the map have meanings: this way to a palette keeps all of them closest.
    picture = picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    picture.save(PICTURE, optimize=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        take_picture(Path(folder))
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size // 1000} kB")

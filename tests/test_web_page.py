"""The browser page in a headless Chromium, compared with the Keras model and with Pillow."""

import base64
import fcntl
import importlib.util
import io
import os
import re
import struct
import sys
import zlib

import numpy as np
import pytest
from explorer_page import PATIENCE, ROOT
from PIL import Image
from sklearn.datasets import load_sample_images
from web_page import build, open_page, served

from shiftvit_utils import Classifier
from shiftvit_utils.image_decoding import fit_image

pytestmark = pytest.mark.backend_free

pytest.importorskip("tf2onnx", reason="the extra `export` brings it")
EXAMPLES = ROOT / "shiftvit_utils" / "demo" / "examples"
CONTRAST = (ROOT / "tests" / "explorer_contrast.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    parent = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        parent = parent.parent  # of all workers, of which the first builds for the others
    with open(parent / "web_page.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (parent / "web_page").exists():
            build(parent / "web_page")
    with served(parent / "web_page") as url:
        yield url


@pytest.fixture
def page(browser, address):
    """The page, ready; at the end it asked nobody but its server, and complained of nothing."""
    requests, complaints = [], []
    context = browser.new_context()
    context.on("request", lambda request: requests.append(request.url))
    context.on("console", lambda message: complaints.append(message.text))
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    yield open_page(context, address)
    context.close()
    assert any(url.endswith(".wasm") for url in requests)
    assert [url for url in requests if not url.startswith((address, "blob:", "data:"))] == []
    assert complaints == []


@pytest.fixture(scope="module")
def classifier():
    return Classifier(weights="cifar10")


def expect(locator):
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE)
    return expect(locator)


def shown(page, name):
    """What the page says of the file of that name: [(class, confidence)] of its list."""
    expect(page.get_by_role("status")).to_have_text(re.compile(f"^{re.escape(name)}: "))
    rows = page.locator("#ranking li")
    pairs = zip(
        rows.locator(".name").all_inner_texts(),
        rows.locator(".number").all_inner_texts(),
        strict=True,
    )
    return [(label, float(number.rstrip(" %")) / 100) for label, number in pairs]


def seen(page):
    """The pixels of the preview of what the network sees."""
    address = page.locator("#seen").evaluate("canvas => canvas.toDataURL('image/png')")
    with Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))) as image:
        return np.asarray(image.convert("RGB"))


def upload(page, name, content, mime="image/png"):
    """Uploads bytes under a name, or a file as it is."""
    in_memory = {"name": name, "mimeType": mime, "buffer": content}
    page.locator("#file").set_input_files(in_memory if isinstance(content, bytes) else content)


def encoded(image, format, **options):
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def pictures():
    """Real photographs in the forms in which people have them: {file name: bytes}."""
    temple, flower = map(Image.fromarray, load_sample_images().images)
    cat = Image.open(EXAMPLES / "cat.jpg")
    rotated = Image.Exif()
    rotated[0x0112] = 6  # shown turned by a quarter
    hole = flower.convert("RGBA")
    hole.putalpha(Image.radial_gradient("L").resize(flower.size))
    return {
        "cat.jpg": encoded(cat, "JPEG", quality=90),
        "wide.jpg": encoded(temple.crop((0, 100, 640, 300)), "JPEG", quality=95),
        "tall.png": encoded(flower.crop((200, 0, 330, 427)), "PNG"),
        "turned.jpg": encoded(cat.crop((0, 30, 256, 200)), "JPEG", exif=rotated),
        "grey.bmp": encoded(cat.convert("L"), "BMP"),
        "colours.gif": encoded(flower.quantize(64), "GIF"),
        "transparent.png": encoded(hole, "PNG"),
        "lossless.webp": encoded(temple, "WEBP", lossless=True),
        "exact size.png": encoded(cat.resize((32, 32)), "PNG"),
        "tiny.png": encoded(flower.resize((7, 5)), "PNG"),
    }


def test_pictures_get_the_classifier_s_labels(page, classifier, tmp_path):
    files = pictures()
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        prediction = classifier.predict(tmp_path / name)
        upload(page, name, content)
        ranked = shown(page, name)
        assert [label for label, _ in ranked][:1] == [prediction.labels[0]], name
        difference = np.abs(
            seen(page).astype(int) - classifier.prepare(tmp_path / name).astype(int)
        )
        # Two decoders of the same file may round differently, and so may two orders of summation.
        assert difference.max() <= 2, name
        expected = dict(zip(prediction.top_labels[0], prediction.top_confidences[0], strict=True))
        for label, confidence in ranked:
            assert abs(confidence - expected.get(label, 0.0)) < 0.02, name
        assert len(ranked) == 5


def test_resizing_is_pillow_s(page):
    rng = np.random.default_rng(7)
    sizes = [(int(h), int(w)) for h, w in rng.integers(7, 700, (24, 2))]
    sizes += [(32, 32), (1, 1), (32, 33), (31, 32), (64, 64), (2000, 20), (2, 2000)]
    for height, width in sizes:
        out = tuple(int(n) for n in rng.choice([1, 24, 32, 48], 2)) if height % 2 else (32, 32)
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        found = page.evaluate(
            """async ([bytes, height, width, outHeight, outWidth]) => {
                 const { fit } = await import("./fit.js");
                 const rgb = Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0));
                 const read = (left, top, w, h) => {
                   const rgba = new Uint8ClampedArray(w * h * 4);
                   for (let y = 0; y < h; y += 1)
                     for (let x = 0; x < w; x += 1)
                       for (let k = 0; k < 3; k += 1)
                         rgba[4 * (y * w + x) + k] = rgb[3 * ((top + y) * width + left + x) + k];
                   return rgba;
                 };
                 return Array.from(fit(read, width, height, outWidth, outHeight));
               }""",
            [base64.b64encode(image.tobytes()).decode(), height, width, *out],
        )
        found = np.reshape(found, (*out, 3))
        np.testing.assert_allclose(found, fit_image(image, out), atol=1, err_msg=f"{image.shape}")


def png_of(width, height):
    """A grey PNG of any size in few bytes, as a decompression bomb is."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(height * (1 + (width + 7) // 8)), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def bad_files(folder):
    """{file name: (bytes or a path in `folder`, what the page has to say)}"""
    (folder / "large.bmp").write_bytes(b"BM" + bytes(26_000_000))
    temple = Image.fromarray(load_sample_images().images[0])
    cut = {
        f"cut.{ending}": encoded(temple, format)
        for ending, format in (
            *(("jpg", "JPEG"), ("png", "PNG"), ("gif", "GIF")),
            *(("bmp", "BMP"), ("webp", "WEBP")),
        )
    }
    return {
        "empty.png": (b"", "empty.png is empty."),
        "words.jpg": (b"This is no picture at all.", "words.jpg is not a JPEG, PNG"),
        "drawing.png": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not a JPEG, PNG"),
        "head only.png": (png_of(5, 5)[:20], "head only.png is a damaged PNG file"),
        "large.bmp": (folder / "large.bmp", "large.bmp has 26.0 MB; this page takes up to 25"),
        "bomb.png": (png_of(20_000, 10_000), "20000 × 10000 pixels; this page takes up to 50"),
        "<b>name</b>.jpg": (b"\xff\xd8\xff", "<b>name</b>.jpg is a damaged JPEG file"),
        **{name: (file[: len(file) // 2], f"{name} is a damaged") for name, file in cut.items()},
    }


def test_bad_files_get_a_readable_message_and_the_next_one_works(page, tmp_path):
    for name, (content, message) in bad_files(tmp_path).items():
        upload(page, name, content)
        expect(page.get_by_role("alert")).to_contain_text(message)
        assert not page.locator("#answer").is_visible(), name
        assert page.get_by_role("status").inner_text() == "", name
    upload(page, "boats.jpg", (EXAMPLES / "boats.jpg").read_bytes())
    assert shown(page, "boats.jpg")
    assert not page.get_by_role("alert").is_visible()


def test_drop_and_paste(page, classifier):
    cat, boats = (EXAMPLES / name for name in ("cat.jpg", "boats.jpg"))
    for event, path, into in (
        (
            "drop",
            cat,
            "new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true})",
        ),
        ("paste", boats, "new ClipboardEvent('paste', {clipboardData: data, bubbles: true})"),
    ):
        page.evaluate(
            f"""([bytes, name]) => {{
                const content = Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0));
                const data = new DataTransfer();
                data.items.add(new File([content], name));
                document.body.dispatchEvent({into});
            }}""",
            [base64.b64encode(path.read_bytes()).decode(), f"{event}.jpg"],
        )
        assert shown(page, f"{event}.jpg")[0][0] == classifier.predict(path).labels[0]


def test_keyboard_alone(page, classifier):
    focused = "document.activeElement.textContent.trim() || document.activeElement.id"
    order = []
    for _ in range(5):
        page.keyboard.press("Tab")
        order.append(page.evaluate(focused))
        style = page.evaluate(
            """() => {
                const at = document.activeElement;
                return getComputedStyle(at.id === "file" ? at.nextElementSibling : at).outlineStyle;
            }"""
        )
        assert style == "solid", order
    assert order == ["file", "A cat", "An airplane", "Boats", "Coffee"]
    page.keyboard.press("Enter")
    label = classifier.predict(EXAMPLES / "coffee.jpg").labels[0]
    assert shown(page, "coffee.jpg")[0][0] == label
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    shown(page, "boats.jpg")
    # The field by the name and the description that a screen reader reads.
    field = page.get_by_label("Choose a file")
    assert field.get_attribute("type") == "file"
    assert "25 MB" in page.locator(f"#{field.get_attribute('aria-describedby')}").inner_text()
    expect(page.get_by_role("list", name="The likeliest classes")).to_be_visible()


def test_readable_in_light_and_dark_and_at_every_width(page):
    upload(page, "cat.jpg", (EXAMPLES / "cat.jpg").read_bytes())
    shown(page, "cat.jpg")
    page.locator("summary").click()
    backgrounds = set()
    for state in ("answer", "problem"):
        if state == "problem":
            upload(page, f"{'long' * 40}.jpg", b"no picture")
            expect(page.get_by_role("alert")).to_be_visible()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            contrast = page.evaluate(CONTRAST)
            assert contrast["checked"] > 20
            assert contrast["found"] == [], f"{scheme}, {state}"
            backgrounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        for width in (320, 360, 500, 719, 720, 1400):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, state
    assert len(backgrounds) == 2


def test_a_missing_network_is_named(browser, address):
    page = browser.new_page()
    page.route("**/model.json", lambda route: route.fulfill(status=404))
    page.goto(address)
    expect(page.get_by_role("alert")).to_contain_text("cannot be loaded: model.json: 404")
    expect(page.locator("#file")).to_be_disabled()
    page.close()


def test_an_example_that_is_not_there_is_named(browser, address):
    page = open_page(browser.new_context(), address)
    page.route("**/examples/cat.jpg", lambda route: route.fulfill(status=404))
    page.route("**/examples/boats.jpg", lambda route: route.abort())
    for name, reason in (("cat.jpg", "404"), ("boats.jpg", "")):
        page.locator(f"[data-example='{name}']").click()
        message = f"The example {name} cannot be loaded: {reason}"
        expect(page.get_by_role("alert")).to_contain_text(message)
    page.context.close()


@pytest.fixture
def build_into(monkeypatch, tmp_path):
    """Runs the command of `web/build.py` with stand-ins for the runtime and for the network."""
    spec = importlib.util.spec_from_file_location("web_build", ROOT / "web" / "build.py")
    command = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(command)
    monkeypatch.setattr(command, "export", lambda model, path, format: path.write_bytes(b"onnx"))
    runtime = tmp_path / "onnxruntime-web"
    (runtime / "dist").mkdir(parents=True)
    for name in command.RUNTIME:
        (runtime / "dist" / name).write_text(name)

    def build_into(folder):
        options = ["--output", str(folder), "--runtime", str(runtime)]
        monkeypatch.setattr(sys, "argv", ["web/build.py", *options])
        command.main()

    return build_into


def test_a_build_replaces_nothing_but_a_build(build_into, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(SystemExit) as ended:
        build_into(folder)
    message = f"{folder} holds something else than an earlier build"
    assert ended.value.code.startswith(message)  # a text is written to stderr, and the code is 1
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    assert [path.name for path in tmp_path.glob(".partial-*")] == []


def test_a_build_is_replaced_by_the_next(build_into, tmp_path):
    beside = {path.name for path in tmp_path.iterdir()}
    build_into(tmp_path / "web")
    (tmp_path / "web" / "old.txt").write_text("of the earlier build")
    build_into(tmp_path / "web")
    assert not (tmp_path / "web" / "old.txt").exists()
    assert (tmp_path / "web" / "model.onnx").is_file()
    assert {path.name for path in tmp_path.iterdir()} == beside | {"web"}

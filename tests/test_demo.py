"""The demo in a headless Chromium, as a visitor meets it; what it answers is compared with the
library, and neither the page nor its server asks anything of another host."""

import html
import re
import socket
import struct
import subprocess
import sys
import tomllib
import zlib
from pathlib import Path

import numpy as np
import pytest
import yaml
from bad_images import ANY, PIXELS, REFUSED, WHOLE, write_bad_images
from demo_page import free_port, started
from explorer_page import PATIENCE, ROOT
from markdown_it import MarkdownIt
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from PIL import Image

from shiftvit_utils import Classifier
from shiftvit_utils.demo import UploadLimits, build_demo
from shiftvit_utils.demo.__main__ import main
from shiftvit_utils.demo.answers import answer, answer_batch, explain, read_upload
from shiftvit_utils.demo.page import EXAMPLES
from shiftvit_utils.demo.texts import introduction
from shiftvit_utils.image_decoding import UnreadableImageError

pytestmark = pytest.mark.backend_free
gradio = pytest.importorskip("gradio", reason="Gradio is not installed (the `demo` extra has it)")

gradio_client = pytest.importorskip("gradio_client", reason="it comes with Gradio")

CAT = EXAMPLES / "cat.jpg"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HUB_COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")


@pytest.fixture(scope="module")
def classifier():
    return Classifier(weights="cifar10")


# ---------------------------------------------------------------- files to upload


def png_header(width, height):
    """A PNG that promises so many pixels, and ends where the first of them should be."""
    content = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    length, checksum = struct.pack(">I", len(content) - 4), struct.pack(">I", zlib.crc32(content))
    return b"\x89PNG\r\n\x1a\n" + length + content + checksum + struct.pack(">I", 99) + b"IDAT"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Good files that a careless reader gets wrong, and bad ones."""
    folder = tmp_path_factory.mktemp("uploads")
    cat = Image.open(CAT)
    upright = cat.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees to the right to see me upright"
    upright.save(folder / "turned.jpg", exif=exif)
    cat.convert("CMYK").save(folder / "print.jpg")
    grey = np.asarray(cat.convert("L")).astype("uint16") * 257
    Image.fromarray(grey).save(folder / "scan.png")
    (folder / "broken.jpg").write_bytes(CAT.read_bytes()[:3000])
    (folder / "notes.txt").write_text("no picture")
    (folder / "a & b <img src=x onerror=alert(1)>.jpg").write_bytes(b"")
    (folder / "heavy.jpg").write_bytes(bytes(10 * 2**20 + 1))
    Image.new("1", (6000, 5000)).save(folder / "wide.png")
    assert (folder / "wide.png").stat().st_size < 20_000
    return folder


# ---------------------------------------------------------------- a server, and a page of it


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    temporary, port = tmp_path_factory.mktemp("demo"), free_port()
    # Started elsewhere: the examples have to be found, and shown, from any folder.
    command = ["-m", "shiftvit_utils.demo", "--port", str(port)]
    with started(command, temporary, temporary, KERAS_BACKEND="tensorflow") as address:
        assert address == f"http://127.0.0.1:{port}/"
        yield address


@pytest.fixture
def page(browser, address):
    """The page, open; at the end, it has asked nothing of another host and met no error."""
    requests, errors = [], []
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.set_default_timeout(PATIENCE)
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.goto(address)
    page.get_by_role("heading", name="What does a ShiftViT see").wait_for()
    yield page
    page.close()
    assert requests
    assert [url for url in requests if not url.startswith((address, "data:", "blob:"))] == []
    assert errors == []


def upload(page, *paths, where="#picture"):
    page.locator(f"{where} input[type=file]").set_input_files(paths)


def shown_confidences(page):
    """Class name to percent, as the page shows them, after waiting for them."""
    page.locator("#map img").wait_for()
    rows = page.locator("#label .confidence-set")
    pairs = (row.inner_text().split("\n") for row in rows.all())
    return {name.strip(): percent.strip() for name, percent in pairs}


def expected_confidences(classifier, path):
    said = classifier.predict(path)[0]
    return {name: f"{confidence * 100:.0f}%" for name, confidence in said.top}


def test_an_uploaded_picture(page, classifier):
    upload(page, CAT)
    assert shown_confidences(page) == expected_confidences(classifier, CAT)
    said = classifier.predict(CAT)[0]
    status = page.locator("#status").get_by_role("status").inner_text()
    assert re.fullmatch(
        rf"{said.label}, with a confidence of {said.confidence:.1%}\. "
        r"Latency: [\d.]+ ms to decode, [\d.]+ ms in the network\.",
        status,
    )
    # The map of another class is another picture.
    first = page.locator("#map img").get_attribute("src")
    page.locator("#label .confidence-set").nth(1).click()
    page.wait_for_function("first => document.querySelector('#map img').src != first", arg=first)
    assert "as the network sees it" in page.locator("#map img").get_attribute("alt")


def test_an_example_by_keyboard_and_back(page, classifier):
    page.get_by_role("button", name="boats").press("Enter")
    path = EXAMPLES / "boats.jpg"
    assert shown_confidences(page) == expected_confidences(classifier, path)
    picture = page.locator("#picture img")
    page.wait_for_function("document.querySelector('#picture img').naturalWidth > 0")
    width, height = Image.open(path).size
    assert picture.evaluate("e => [e.naturalWidth, e.naturalHeight]") == [width, height]

    page.locator("#picture").get_by_role("button", name=re.compile("clear|remove", re.I)).click()
    page.locator("#status").get_by_text("Choose a picture").wait_for()
    assert page.locator("#map img, #label .confidence-set").count() == 0


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("broken.jpg", "truncated"),
        ("wide.png", "6000 × 5000 pixels are too many; the limit is 25 million pixels"),
        ("a & b <img src=x onerror=alert(1)>.jpg", "not a JPEG, PNG, BMP, GIF or WebP image"),
    ],
)
def test_a_file_that_cannot_be_used_and_then_one_that_can(page, folder, classifier, name, reason):
    upload(page, folder / name)
    alert = page.locator("#status").get_by_role("alert")
    alert.wait_for()
    assert name in alert.inner_text()
    assert reason in alert.inner_text()
    assert page.locator("#picture img, #map img").count() == 0
    upload(page, CAT)
    assert shown_confidences(page) == expected_confidences(classifier, CAT)
    assert page.get_by_role("alert").count() == 0


def test_a_file_that_is_too_large(page, folder, address):
    page.get_by_text("up to 10 MB and 25 million pixels").first.wait_for()
    upload(page, folder / "heavy.jpg")
    page.get_by_text(
        re.compile(r"exceed.* maximum allowed size of 10\.0 M[bB].*heavy\.jpg")
    ).wait_for()
    # The same by a program that does not ask the page first.
    httpx = pytest.importorskip("httpx")
    with (folder / "heavy.jpg").open("rb") as file:
        refused = httpx.post(f"{address}gradio_api/upload", files={"files": file}, trust_env=False)
    assert refused.status_code == 413


def test_only_what_was_uploaded_is_read(page, folder, address):
    """Whatever path a program names; the page's own server sends none but those of its uploads."""
    httpx = pytest.importorskip("httpx")
    url = f"{address}gradio_api/call/classify"
    for data in ({"path": str(CAT.parents[2] / "weights" / "cifar10.npz")}, {"path": "/etc/hosts"},
                 {"path": str(folder / "turned.jpg")}):  # fmt: skip
        asked = httpx.post(url, json={"data": [data]}, trust_env=False).json()["event_id"]
        said = httpx.get(f"{url}/{asked}", trust_env=False, timeout=60).text
        assert f"{Path(data['path']).name}: it was not uploaded here" in re.sub("<[^>]*>", "", said)
        assert "Latency" not in said


def test_several_files(page, folder, classifier):
    page.get_by_role("tab", name="Several files").click()
    good = [CAT, folder / "turned.jpg", folder / "print.jpg", folder / "scan.png"]
    bad = [folder / name for name in ("broken.jpg", "wide.png", "notes.txt")]
    upload(page, *good, *bad, where="#files")
    table = page.locator("#batch").get_by_role("table")
    table.wait_for()
    head, *rows = [row.inner_text() for row in table.get_by_role("row").all()]
    assert re.split(r"\s*[\t\n]\s*", head.strip()) == ["file", "label", "confidence", "top 5"]
    found = {re.split(r"\s*[\t\n]\s*", row.strip())[0]: row for row in rows}
    assert sorted(found) == sorted(path.name for path in good)
    for path in good:
        said = classifier.predict(path)[0]
        for part in (
            said.label,
            f"{said.confidence:.1%}",
            f"{said.top[4][0]} {said.top[4][1]:.1%}",
        ):
            assert part in found[path.name]
    assert "4 of 7 files classified" in page.locator("#batch").get_by_role("status").inner_text()
    skipped = page.locator("#batch").get_by_role("alert").get_by_role("listitem").all_inner_texts()
    assert sorted(text.split(":")[0] for text in skipped) == sorted(path.name for path in bad)


def test_nothing_is_wider_than_a_phone(page):
    upload(page, CAT)
    shown_confidences(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("tab", name="Several files").click()
    upload(page, CAT, where="#files")
    page.locator("#batch").get_by_role("table").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_two_hundred_bad_images_leave_the_server_running(address, tmp_path):
    """Over the network, as a program sends them: each is answered or named, right ones right."""
    client = gradio_client.Client(address, verbose=False)
    sent = {}
    for number, (name, image) in enumerate(write_bad_images(tmp_path / "bad").items()):
        # A browser sends no pipes and no missing files; names are another test's concern.
        if (tmp_path / "bad" / name).is_file():
            path = tmp_path / f"{number}{Path(name).suffix}"
            path.write_bytes((tmp_path / "bad" / name).read_bytes())
            sent[path.name] = image
    assert len(sent) == 190  # the others are no files
    said = ""
    names = list(sent)
    for start in range(0, len(names), 50):
        files = [gradio_client.handle_file(tmp_path / name) for name in names[start : start + 50]]
        said += client.predict(files, api_name="/classify_files")
    answered = set(re.findall(r"<tr><td>([^<]+)</td>", said))
    refused = set(re.findall(r"<li><strong>([^<]+)</strong>: [^<]", said))
    assert answered | refused == set(sent)
    assert not answered & refused
    for name, image in sent.items():
        if image.owed != ANY:
            assert image.owed in (WHOLE, REFUSED if name in refused else PIXELS), image.kind


# ---------------------------------------------------------------- the Space


def test_the_space_says_all_that_the_hub_asks_for():
    _, front, _ = (ROOT / "demo" / "space" / "README.md").read_text("utf-8").split("---\n", 2)
    front = yaml.safe_load(front)
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line
    )
    assert front["sdk"] == "gradio"
    assert front["sdk_version"] == pins["gradio"]
    assert (ROOT / "demo" / "space" / front["app_file"]).is_file()
    assert {front["colorFrom"], front["colorTo"]} <= set(HUB_COLOURS)
    assert len(front["short_description"]) <= 60
    assert front["license"] == PROJECT["license"].lower()
    assert front["python_version"] in SpecifierSet(PROJECT["requires-python"])
    lines = (ROOT / "demo" / "space" / "requirements.txt").read_text().splitlines()
    wanted = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert wanted == {name: pins[name] for name in wanted}
    needed = {Requirement(line).name for line in PROJECT["dependencies"]}
    assert set(wanted) == needed | {"jax"}


def test_the_space_runs_from_its_own_folder(tmp_path, classifier):
    space = tmp_path / "space"
    made = ["make", "--no-print-directory", "space", f"SPACE={space}"]
    subprocess.run(made, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    # A Space has no TensorFlow, which Keras would load here.
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "tensorflow.py").write_text("raise ImportError")
    settings = {
        "GRADIO_SERVER_PORT": str(free_port()),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "PYTHONPATH": str(tmp_path / "without"),
    }
    with started(["app.py"], space, tmp_path, **settings) as address:
        client = gradio_client.Client(address, verbose=False)
        file = gradio_client.handle_file(CAT)
        _, status, label, drawing = client.predict(file, api_name="/classify")
        # It runs on the library in its folder, not on the one that is installed here.
        assert f"{space}/shiftvit_utils/demo/examples/cat.jpg" in str(client.config)
    said = classifier.predict(CAT)[0]
    assert label["label"] == said.label
    assert said.confidence == pytest.approx(label["confidences"][0]["confidence"], abs=1e-4)
    assert "Latency" in status
    assert drawing


# ---------------------------------------------------------------- without a browser


@pytest.mark.parametrize("size", [(5001, 5000), (20_000, 20_000), (2**30, 2**30)])
def test_pixels_are_counted_before_they_are_decoded(classifier, tmp_path, size):
    path = tmp_path / "promise.png"
    path.write_bytes(png_header(*size))
    with pytest.raises(UnreadableImageError, match="the limit is 25 million pixels"):
        read_upload(classifier, path, UploadLimits())
    path.write_bytes(png_header(5000, 5000))  # just as many: so this one is looked at
    with pytest.raises(UnreadableImageError, match="truncated"):
        read_upload(classifier, path, UploadLimits())


def test_bytes_are_counted_first(classifier, folder):
    with pytest.raises(UnreadableImageError, match=r"10\.0 MB are too much; the limit is 10 MB"):
        read_upload(classifier, folder / "heavy.jpg", UploadLimits())
    with pytest.raises(UnreadableImageError, match="not a JPEG"):
        read_upload(classifier, folder / "heavy.jpg", UploadLimits(megabytes=11))


def test_the_answer_is_the_classifier_s(classifier):
    said = answer(classifier, CAT)
    expected = classifier.predict(CAT)[0]
    assert list(said.confidences.items()) == [(n, pytest.approx(c)) for n, c in expected.top]
    np.testing.assert_array_equal(said.picture, classifier.prepare(CAT))
    assert 0 < said.decode_ms < 60_000
    assert 0 < said.network_ms < 60_000


def test_too_many_files_are_skipped_by_name(classifier):
    files = [(f"{k}.jpg", CAT) for k in range(5)]
    rows, skipped, _ = answer_batch(classifier, files, UploadLimits(files=3))
    assert [row[0] for row in rows] == ["0.jpg", "1.jpg", "2.jpg"]
    reason = "the limit is 3 files at a time"
    assert skipped == [("3.jpg", reason), ("4.jpg", reason)]


def test_nothing_but_bad_files_is_no_error(classifier, folder):
    rows, skipped, _ = answer_batch(classifier, [("x", folder / "notes.txt")])
    assert rows == []
    assert [name for name, _ in skipped] == ["x"]


def test_the_map_shows_where_the_class_is(classifier):
    """A score that depends on one corner: the drawing is orange there, and nowhere else."""

    class LooksAtACorner:
        class_names = ("dark", "bright")
        image_size = (32, 32)

        def predict(self, pictures, top_k):
            bright = pictures[:, :4, :4].mean(axis=(1, 2, 3)) / 255
            return type("Said", (), {"probabilities": np.stack([1 - bright, bright], axis=-1)})

    drawing = explain(LooksAtACorner(), np.full((32, 32, 3), 255, np.uint8), "bright").astype(int)
    right = drawing[:, drawing.shape[1] // 2 :]
    orange = (right[..., 0] - right[..., 2] > 60) & (right[..., 1] > right[..., 2])
    rows, columns = np.nonzero(orange[: drawing.shape[0] * 7 // 10])  # above the colour bar
    assert len(rows) > 100
    assert rows.max() < drawing.shape[0] * 0.35
    assert columns.max() < right.shape[1] * 0.4


def test_names_of_classes_are_shown_as_they_are():
    """Folders of training images may be called anything."""

    class Named:
        class_names = ("<b>bold</b>", "*stars*", "snake_case_", "[link](x)", "back\\slash")
        image_size = (48, 32)
        model = type("Model", (), {"count_params": lambda: 1234})

    markdown = MarkdownIt("commonmark", {"html": True}).render(introduction(Named))
    assert all(html.escape(name) in markdown for name in Named.class_names)
    assert "1,234 parameters" in markdown
    assert "at 32 × 48 pixels" in markdown


def test_examples_are_small_and_their_licence_stands_beside_them():
    pictures = sorted(EXAMPLES.glob("*.jpg"))
    assert len(pictures) >= 3
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for path in pictures:
        assert path.stat().st_size <= 30_000
        assert f"`{path.name}`" in listed
    assert "CC0 1.0" in listed


# ---------------------------------------------------------------- the command line


def complaint(monkeypatch, *arguments):
    """What the command says when it gives up."""
    monkeypatch.setattr(sys, "argv", ["demo", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    return str(stopped.value)


def test_a_missing_model(monkeypatch, tmp_path):
    said = complaint(monkeypatch, "--model", str(tmp_path / "nowhere"))
    assert f"--model {tmp_path / 'nowhere'}: No model file" in said
    assert "Without --model" in said


def test_a_file_that_is_no_model(monkeypatch):
    said = complaint(monkeypatch, "--model", str(CAT))
    assert "cat.jpg is not a .keras file" in said


def test_a_port_in_use(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = complaint(monkeypatch, "--port", port)
    assert f"cannot listen on port {port} of 127.0.0.1" in said
    assert "Choose another --port" in said


@pytest.mark.parametrize("port", ["78600", "0", "-1", "http"])
def test_a_number_that_is_no_port(monkeypatch, capsys, port):
    complaint(monkeypatch, f"--port={port}")
    assert f"'{port}' is no port: a number from 1 to 65535" in capsys.readouterr().err


def test_without_gradio(monkeypatch, classifier):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ImportError, match=r'pip install "gradio>=6\.31".*make demo'):
        build_demo(classifier)
    assert "make demo" in complaint(monkeypatch)

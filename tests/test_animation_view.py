"""The notebook helper plays a scene, and says in one line what to do where it cannot."""

import base64
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from shiftvit_utils import animation_view

pytestmark = pytest.mark.backend_free

ROOT = Path(__file__).resolve().parents[1]
SEVEN = {
    "ShiftOperation": "shift_operation",
    "CropPadConcat": "crop_pad_concat",
    "ThreeWaysOneMap": "three_ways_one_map",
    "ShiftBlock": "shift_block",
    "ReceptiveField": "receptive_field",
    "Pyramid": "pyramid",
    "TrainingRecipe": "training_recipe",
}


@pytest.fixture
def no_rendering(monkeypatch):
    """Fails the test if a process is started."""

    def started(*_arguments, **_options):
        raise AssertionError("rendering was started")

    monkeypatch.setattr(subprocess, "run", started)


@pytest.fixture
def manim_is_there(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())


@pytest.fixture
def manim_is_absent(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def test_scenes_are_the_classes_in_the_files():
    found = animation_view.scenes()
    assert SEVEN.items() <= {name: path.stem for name, path in found.items()}.items()
    variants = {"ShiftOperationDark", "ShiftOperationTwoCells"}
    assert set(found) == SEVEN.keys() | variants  # and no base class


def test_repository_is_found_from_notebooks_and_from_anywhere(monkeypatch, tmp_path):
    for folder in (ROOT, ROOT / "notebooks" / "solutions", tmp_path):
        monkeypatch.chdir(folder)
        assert animation_view.repository_root() == ROOT


def test_without_a_clone_the_error_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(animation_view, "__file__", str(tmp_path / "site" / "lib" / "view.py"))
    with pytest.raises(FileNotFoundError, match=r"No folder animations/ .* clone it"):
        animation_view.repository_root(tmp_path)


@pytest.mark.usefixtures("no_rendering")
def test_unknown_scene_lists_the_scenes():
    with pytest.raises(ValueError, match=r"no scene 'Shift'\. Scenes: .*Pyramid.*TrainingRecipe"):
        animation_view.render("Shift")


@pytest.mark.usefixtures("no_rendering")
@pytest.mark.parametrize("quality", ["low", "L", "", None])
def test_unknown_quality_lists_the_qualities(quality):
    with pytest.raises(ValueError, match=r"Qualities: 'l' \(480p15\), 'm' .*'k' \(2160p60\)"):
        animation_view.render("Pyramid", quality)


@pytest.mark.usefixtures("no_rendering", "manim_is_there")
def test_unwritable_folder_is_said_before_rendering(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PermissionError, match=r"Cannot write to the media folder .* media_folder="):
        animation_view.render("Pyramid", media_folder=tmp_path / "file" / "media")


@pytest.mark.usefixtures("no_rendering", "manim_is_absent")
def test_without_manim_the_gif_is_shown_and_how_to_install(capsys):
    shown = animation_view.render("ShiftOperation")
    said = capsys.readouterr().out
    assert 'pip install "manim==0.22.*" "pillow<13"' in said
    for system in (
        "apt-get install gcc python3-dev libcairo2-dev",
        "dnf install",
        "brew install",
        "conda",
    ):
        assert system in said
    start = 'src="data:image/gif;base64,'
    data = shown.data.split(start)[1].split('"')[0]
    gif = ROOT / "notebooks" / "media" / "shift_operation.gif"
    assert base64.b64decode(data) == gif.read_bytes()
    assert 'alt="A photograph becomes a feature map' in shown.data


def test_gif_survives_nbconvert():
    nbconvert = pytest.importorskip("nbconvert", reason="nbconvert comes with jupyterlab")
    import nbformat.v4

    shown = animation_view.committed_gif("Pyramid")
    output = nbformat.v4.new_output(
        "execute_result", {"text/html": shown.data, "text/plain": ""}, execution_count=1
    )
    cell = nbformat.v4.new_code_cell("render()", execution_count=1, outputs=[output])
    page, _ = nbconvert.HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    assert page.count("data:image/gif;base64,R0lGOD") == 1


def test_variants_have_no_committed_gif():
    with pytest.raises(ValueError, match=r"No GIF of 'ShiftOperationDark'.*ShiftOperation"):
        animation_view.committed_gif("ShiftOperationDark")


@pytest.mark.usefixtures("manim_is_there")
def test_failure_is_told_with_what_was_said(monkeypatch, tmp_path):
    failed = SimpleNamespace(returncode=1, stdout="", stderr="first\nmanim cannot be loaded\n")
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: failed)
    with pytest.raises(RuntimeError, match=r"Rendering Pyramid failed\.\nfirst\nmanim cannot"):
        animation_view.render("Pyramid", media_folder=tmp_path)


def test_renders_and_embeds_a_video(tmp_path):
    pytest.importorskip("manim", reason="manim is not installed", exc_type=ImportError)
    video = animation_view.render("TrainingRecipe", media_folder=tmp_path)
    (written,) = tmp_path.rglob("480p15/TrainingRecipe.mp4")
    shown = video._repr_html_()
    assert "data:video/mp4;base64," in shown
    assert base64.b64encode(written.read_bytes()).decode() in shown
    # H.264, which every browser plays.
    import av

    with av.open(str(written)) as container:
        assert container.streams.video[0].codec_context.name == "h264"


def command_line(*arguments, **environment):
    """What `animations/render.py` says and how it ends."""
    return subprocess.run(
        [sys.executable, str(ROOT / "animations" / "render.py"), *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def stand_in(folder, package, problem):
    """A folder to import `package` from, which does this instead."""
    (folder / "path" / package).mkdir(parents=True)
    (folder / "path" / package / "__init__.py").write_text(problem)
    return str(folder / "path")


def check_one_line_with_packages(line):
    assert line.startswith("manim cannot be loaded (")
    assert len(line.splitlines()) == 1
    for words in (
        "apt-get install gcc python3-dev libcairo2-dev",
        "brew install cairo",
        "dnf install",
        "conda",
    ):
        assert words in line


def test_missing_native_library_is_one_line_with_packages(tmp_path):
    problem = "raise ImportError('libpango-1.0.so.0: cannot open shared object file')"
    path = stand_in(tmp_path, "manimpango", problem)
    done = command_line("Pyramid", "--media-folder", tmp_path, PYTHONPATH=path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    check_one_line_with_packages(done.stderr.strip().splitlines()[-1])


@pytest.mark.parametrize(
    "problem",
    [
        "raise ImportError('libcairo.so.2: cannot open shared object file')",
        "raise ModuleNotFoundError(\"No module named 'manim'\", name='manim')",
    ],
)
def test_missing_manim_is_one_line_with_packages(problem, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "animations"))
    render = importlib.import_module("render")
    monkeypatch.syspath_prepend(stand_in(tmp_path, "manim", problem))
    scenes = {path.stem for path in (ROOT / "animations").glob("*.py")} - {"render"}
    for name in [*sys.modules]:
        if name.partition(".")[0] in {"manim", *scenes}:
            monkeypatch.delitem(sys.modules, name)
    with pytest.raises(SystemExit) as ended:
        render.main(["Pyramid", "--media-folder", str(tmp_path)])
    check_one_line_with_packages(ended.value.code)  # a text goes to stderr, and the code is 1


def test_missing_ffmpeg_is_one_line_with_packages(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "animations"))
    render = importlib.import_module("render")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"GIFs need the program ffmpeg\. .*apt-get install"):
        render.ffmpeg("-version")


def test_command_line_says_what_is_wrong(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "animations"))
    render = importlib.import_module("render")
    (tmp_path / "file").write_text("")
    for arguments, words in (
        (["Shift"], "no scene 'Shift'"),
        (["Pyramid", "--quality", "x"], "no quality 'x'"),
        (["Pyramid", "--media-folder", str(tmp_path / "file")], "Cannot write to the media folder"),
        (["ShiftOperationDark", "--only-gifs"], "Variants have no GIF: ShiftOperationDark"),
    ):
        if "--media-folder" not in arguments:
            arguments += ["--media-folder", str(tmp_path)]
        with pytest.raises(SystemExit, match=words):
            render.main(arguments)


def test_too_large_a_gif_is_refused(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "animations"))
    render = importlib.import_module("render")
    tried = []

    def large(*arguments, frames):
        tried.append(arguments)
        Path(arguments[-1]).write_bytes(bytes(render.MAX_GIF_BYTES + 1))

    monkeypatch.setattr(render, "ffmpeg", large)
    (tmp_path / "scene.gif").write_bytes(b"what was there")
    with pytest.raises(SystemExit, match="500001 bytes, more than 500000"):
        render.make_gif([b""], tmp_path / "scene.gif")
    assert len(tried) == len(render.GIF_QUALITIES)  # with fewer frames and colours
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"what was there"]


def test_a_missing_ffmpeg_is_noticed_before_anything_is_drawn(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "animations"))
    render = importlib.import_module("render")
    monkeypatch.setattr(render, "run", lambda jobs, processes: pytest.fail("it was drawn"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="GIFs need the program ffmpeg"):
        render.main(["Pyramid", "--media-folder", str(tmp_path), "--gifs"])


def test_what_was_made_beside_a_failure_is_handed_on(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "animations"))
    render = importlib.import_module("render")
    handed_on = render.run([(sys.exit, "too large"), (str.upper, "made")], 2)
    assert next(handed_on) == "MADE"
    with pytest.raises(SystemExit, match="too large"):
        next(handed_on)


def test_what_was_made_before_a_failure_stands_in_the_manifest(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "animations"))
    render = importlib.import_module("render")
    written = []

    def render_gif(name, path, media):
        if name == "ShiftBlock":
            raise SystemExit("too large")
        return name, {"gif": "a"}

    monkeypatch.setattr(render, "render_gif", render_gif)
    monkeypatch.setattr(render, "ffmpeg", lambda *arguments: None)
    monkeypatch.setattr(render, "update_manifest", lambda entries, media: written.append(entries))
    scenes = ["Pyramid", "ShiftBlock", "ReceptiveField"]
    with pytest.raises(SystemExit, match="too large"):
        render.main([*scenes, "--media-folder", str(tmp_path), "--only-gifs", "--jobs", "1"])
    assert written == [[("Pyramid", {"gif": "a"})]]


def test_a_video_leaves_the_manifest_alone(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "animations"))
    render = importlib.import_module("render")
    asked, written = [], []

    def run(jobs, processes):
        asked.extend(job[:2] for job in jobs)
        return [
            "a video" if job[0] is render.render_video else ("a scene", {"gif": "a"})
            for job in jobs
        ]

    monkeypatch.setattr(render, "run", run)
    monkeypatch.setattr(render, "ffmpeg", lambda *arguments: None)
    monkeypatch.setattr(render, "update_manifest", lambda entries, media: written.append(entries))
    names = ["Pyramid", "ShiftOperationDark"]
    render.main([*names, "--media-folder", str(tmp_path)])
    assert written == []
    assert capsys.readouterr().out == "a video\na video\n"
    render.main([*names, "--media-folder", str(tmp_path), "--gifs"])
    assert written == [[("a scene", {"gif": "a"})]]
    assert asked[-1] == (render.render_gif, "Pyramid")  # a variant has none


def test_manifest_keeps_the_other_scenes(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "animations"))
    render = importlib.import_module("render")
    render.update_manifest([("Pyramid", {"gif": "a"}), ("ShiftBlock", {"gif": "b"})], tmp_path)
    render.update_manifest([("Pyramid", {"gif": "c"})], tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert list(manifest.items()) == [("ShiftBlock", {"gif": "b"}), ("Pyramid", {"gif": "c"})]

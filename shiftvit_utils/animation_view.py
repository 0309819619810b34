"""Shows the course's animations in a notebook: renders one with manim, or shows its committed GIF.

The scenes are files in `animations/` of the repository; this module finds and plays them and holds
no scene itself. Rendering runs in a process of its own, so that manim's settings and the memory of
an accelerator stay out of the notebook.
"""

import ast
import base64
import html
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

QUALITIES = {"l": "480p15", "m": "720p30", "h": "1080p60", "k": "2160p60"}
INSTALL_MANIM = 'pip install "manim==0.22.*" "pillow<13"'
SYSTEM_PACKAGES = (
    "manim needs cairo, pango and ffmpeg. Debian, Ubuntu, Colab: apt-get install gcc python3-dev "
    "libcairo2-dev libpango1.0-dev pkg-config ffmpeg; Fedora: dnf install gcc python3-devel "
    "cairo-devel pango-devel pkgconf ffmpeg; macOS: brew install cairo pango pkg-config ffmpeg; "
    "Windows: winget install ffmpeg (pip brings the rest); conda: conda install -c conda-forge "
    "manim."
)


def repository_root(start=None):
    """The folder that holds `animations/` and `notebooks/media/`.

    Args:
        start: folder to search from, upwards; the current one by default. A clone that the library
            is installed from is searched, too.

    Returns:
        `pathlib.Path`.

    Raises:
        FileNotFoundError: if there is none.
    """
    start = Path(start or ".").resolve()
    candidates = [start, *start.parents, Path(__file__).resolve().parents[1]]
    for folder in candidates:
        if (folder / "animations" / "course_scene.py").is_file():
            return folder
    raise FileNotFoundError(
        f"No folder animations/ in {start}, above it, or beside the installed library. The scenes "
        "are part of the repository: clone it and start the notebook there."
    )


def scenes(root=None):
    """The scenes of the course and their files.

    Args:
        root: the repository; found if None.

    Returns:
        dict from scene name to path, the main scene of each file first. Read from the sources, so
        that neither manim nor Keras is needed.
    """
    found = {}
    folder = (root or repository_root()) / "animations"
    for path in sorted(folder.glob("*.py")):
        names = {"CourseScene"}
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
                if bases & names:
                    names.add(node.name)
                    found[node.name] = path
    return found


def check_scene_and_quality(scene, quality, known):
    """Raises a ValueError that lists what there is, unless both are known."""
    if scene not in known:
        raise ValueError(f"There is no scene {scene!r}. Scenes: {', '.join(known)}.")
    if quality not in QUALITIES:
        listed = ", ".join(f"{name!r} ({size})" for name, size in QUALITIES.items())
        raise ValueError(f"There is no quality {quality!r}. Qualities: {listed}.")


def check_writable(folder):
    """Makes `folder` and tries to write there, before minutes are spent on rendering.

    Raises:
        PermissionError: if that fails.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise PermissionError(
            f"Cannot write to the media folder {folder} ({error.strerror}). Give another one with "
            "media_folder=, or --media-folder on the command line."
        ) from error
    return folder


def committed_gif(scene, root=None):
    """The GIF of a scene that comes with the repository, with its description as alt text.

    Args:
        scene: name of a main scene, such as "ShiftOperation".
        root: the repository; found if None.

    Returns:
        `IPython.display.HTML` that holds the GIF itself. (nbconvert drops GIFs that are shown with
        `IPython.display.Image`.)
    """
    from IPython.display import HTML

    media = (root or repository_root()) / "notebooks" / "media"
    manifest = json.loads((media / "manifest.json").read_text(encoding="utf-8"))
    if scene not in manifest:
        raise ValueError(f"No GIF of {scene!r} is committed. There are: {', '.join(manifest)}.")
    data = base64.b64encode((media / manifest[scene]["gif"]).read_bytes()).decode("ascii")
    alt = html.escape(manifest[scene]["alt"], quote=True)
    return HTML(f'<img alt="{alt}" width="640" src="data:image/gif;base64,{data}">')


def render(scene, quality="l", media_folder=None):
    """Renders a scene with manim and shows it; without manim, its committed GIF.

    Args:
        scene: name of a scene, such as "ShiftOperation" or a variant, "ShiftOperationDark".
        quality: "l" (480p, 15 frames a second), "m" (720p), "h" (1080p) or "k" (2160p).
        media_folder: where the video is written; `media/` in the repository by default.

    Returns:
        `IPython.display.Video` with the MP4 in it, or `IPython.display.HTML` with the GIF.

    Raises:
        ValueError: for an unknown scene or quality, with a list of the known ones.
        PermissionError: if the media folder cannot be written to.
        RuntimeError: if the rendering fails, with the last lines of what it said.
    """
    from IPython.display import Video

    root = repository_root()
    check_scene_and_quality(scene, quality, scenes(root))
    if importlib.util.find_spec("manim") is None:
        print(f"manim is not installed, so this is the committed GIF. To render: {INSTALL_MANIM}")
        print(SYSTEM_PACKAGES)
        return committed_gif(scene, root)
    folder = check_writable(media_folder or root / "media")
    command = [sys.executable, str(root / "animations" / "render.py"), scene]
    command += ["--quality", quality, "--media-folder", str(folder)]
    # The few small tensors of a scene need no accelerator, and the notebook may hold all of it.
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join(done.stderr.strip().splitlines()[-12:])
        raise RuntimeError(f"Rendering {scene} failed.\n{said}")
    video = Path(done.stdout.strip().splitlines()[-1])
    return Video(video, embed=True, mimetype="video/mp4", html_attributes="controls loop muted")

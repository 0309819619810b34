"""Renders scenes to MP4, and makes the GIFs and posters that the notebooks show.

    python animations/render.py                                all scenes, 480p
    python animations/render.py Pyramid --quality h            one, 1080p
    python animations/render.py --gifs                         and refresh notebooks/media

Prints the path of each video. A GIF's entry in `notebooks/media/manifest.json` holds the hash of
the files that it was made from, so that a test can say when it is out of date.
"""

import argparse
import concurrent.futures
import hashlib
import importlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from shiftvit_utils.animation_view import (
    SYSTEM_PACKAGES,
    check_scene_and_quality,
    check_writable,
    scenes,
)

HERE = Path(__file__).resolve().parent
SHARED = ("course_scene.py", "mobjects.py", "pictures.py", "theme.py")
GIF_SIZE, GIF_FRAMES_PER_SECOND = (640, 360), 12  # pixels, frames
# Frames a second and colours, from the best to the smallest.
GIF_QUALITIES = ((12, 256), (12, 160), (8, 256), (8, 160), (8, 96), (8, 56), (6, 96), (6, 56))
MAX_GIF_BYTES = 500_000


def source_hash(path):
    """The SHA-256 of a scene's file and of the files that all scenes share."""
    digest = hashlib.sha256()
    for source in (Path(path), *(HERE / name for name in SHARED)):
        # Git may give the lines other ends on other systems.
        digest.update(source.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def main_scenes():
    """The scenes that have a GIF: the first of each file, in the order of the course."""
    order = (
        "ShiftOperation",
        "CropPadConcat",
        "ThreeWaysOneMap",
        "ShiftBlock",
        "ReceptiveField",
        "Pyramid",
        "TrainingRecipe",
    )
    known = scenes(HERE.parent)
    return {name: known[name] for name in order}


def load_scene(name, path):
    """The class of a scene."""
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
    try:
        return getattr(importlib.import_module(path.stem), name)
    except ImportError as error:
        # manim itself, or one of the libraries that its bindings load.
        if is_about_manim(error):
            raise SystemExit(f"manim cannot be loaded ({error}). {SYSTEM_PACKAGES}") from error
        raise


def is_about_manim(error):
    """Whether an ImportError comes from manim or from the native libraries below it."""
    words = f"{error.name} {error}".lower()
    return any(part in words for part in ("manim", "cairo", "pango", "libav", "glib"))


def play(name, path, options, **renderer_options):
    """Runs a scene under manim's `options`; returns it."""
    scene_class = load_scene(name, path)
    from manim import tempconfig
    from manim.renderer.cairo_renderer import CairoRenderer

    common = {
        # manim names folders after the file that it was started with, which here is none.
        "input_file": str(path),
        "output_file": name,
        "progress_bar": "none",
        "verbosity": "ERROR",
    }
    with tempconfig(common | options):
        scene = scene_class(renderer=CairoRenderer(**renderer_options))
        scene.render()
        return scene


def render_video(name, path, quality, media_folder):
    """Renders one scene to MP4; returns the path."""
    level = {"l": "low", "m": "medium", "h": "high", "k": "fourk"}[quality]
    started = time.perf_counter()
    options = {"quality": f"{level}_quality", "media_dir": str(media_folder)}
    options["text_dir"] = f"{media_folder}/texts/{name}"  # two scenes at once would share files
    scene = play(name, path, options)
    took = time.perf_counter() - started
    print(f"{name}: {scene.seconds:.1f} s of video in {took:.0f} s", file=sys.stderr)
    return scene.renderer.file_writer.movie_file_path.resolve()


def render_gif(name, path, media):
    """Makes GIF and poster of one scene; returns its entry in the manifest.

    From frames drawn at the size of the GIF, not from the video: what the video's compression
    changes from frame to frame would make the GIF several times as large.
    """
    load_scene(name, path)  # says what to install, if manim is not there
    from manim.scene.scene_file_writer import SceneFileWriter

    frames = []  # [(pixels as bytes, for how many frames they stand)]

    class FrameKeeper(SceneFileWriter):
        def write_frame(self, pixels, *, repeat=1):
            frames.append((pixels.tobytes(), repeat))

    with tempfile.TemporaryDirectory() as folder:
        options = {
            "dry_run": True,
            "media_dir": folder,
            "pixel_width": GIF_SIZE[0],
            "pixel_height": GIF_SIZE[1],
            "frame_rate": GIF_FRAMES_PER_SECOND,
        }
        scene = play(name, path, options, file_writer_class=FrameKeeper)
    frames = [pixels for pixels, repeat in frames for _ in range(repeat)]
    gif, poster = media / f"{path.stem}.gif", media / f"{path.stem}.png"
    make_gif(frames, gif)
    still = frames[int(scene.poster_time * GIF_FRAMES_PER_SECOND)]
    Image.frombytes("RGBA", GIF_SIZE, still).convert("RGB").save(poster, optimize=True)
    return name, {
        "gif": gif.name,
        "poster": poster.name,
        "alt": type(scene).__doc__.strip().splitlines()[0],
        "seconds": round(scene.seconds, 2),
        "sources_sha256": source_hash(path),
    }


def ffmpeg(*arguments, frames=()):
    """Runs ffmpeg on `frames`; says which packages to install if it is not there."""
    command = ["ffmpeg", "-v", "error", "-y", *map(str, arguments)]
    try:
        done = subprocess.run(command, input=b"".join(frames), capture_output=True, check=False)
    except FileNotFoundError as error:
        raise SystemExit(f"GIFs need the program ffmpeg. {SYSTEM_PACKAGES}") from error
    if done.returncode:
        raise SystemExit(f"ffmpeg failed: {done.stderr.decode(errors='replace').strip()}")


def make_gif(frames, gif):
    """A looping GIF of the best quality that fits into the size that is committed.

    Without one that fits, what was there stays.

    Args:
        frames: list of RGBA bytes, one for each frame.
        gif: path.
    """
    size = "{}x{}".format(*GIF_SIZE)
    new = gif.with_name(f"new-{gif.name}")
    source = ["-f", "rawvideo", "-pix_fmt", "rgba", "-s", size, "-r", GIF_FRAMES_PER_SECOND]
    for rate, colors in GIF_QUALITIES:
        palette = (
            f"fps={rate},split[a][b];[a]palettegen=max_colors={colors}:stats_mode=full[p];"
            "[b][p]paletteuse=dither=none:diff_mode=rectangle"
        )
        ffmpeg(*source, "-i", "-", "-vf", palette, "-loop", 0, new, frames=frames)
        size_in_bytes = new.stat().st_size
        if size_in_bytes <= MAX_GIF_BYTES:
            new.replace(gif)
            return
    new.unlink()
    raise SystemExit(
        f"{gif.name} has {size_in_bytes} bytes, more than {MAX_GIF_BYTES}. Make the scene "
        "calmer: fewer moving pixels, shorter movements."
    )


def update_manifest(entries, media):
    """Writes the entries of some scenes into the manifest, in the order of the course."""
    path = media / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    manifest |= dict(entries)
    ordered = {name: manifest[name] for name in main_scenes() if name in manifest}
    path.write_text(json.dumps(ordered, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", nargs="*", help="names of scenes; all main scenes without")
    parser.add_argument("--quality", default="l", help="l (480p), m (720p), h (1080p), k (2160p)")
    parser.add_argument(
        "--gifs", action="store_true", help="refresh notebooks/media, too, where a scene has a GIF"
    )
    parser.add_argument("--only-gifs", action="store_true", help="the same, and no videos")
    parser.add_argument("--media-folder", type=Path, default=HERE.parent / "media")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse(arguments)
    known = scenes(HERE.parent)
    names = options.scene or list(main_scenes())
    media = HERE.parent / "notebooks" / "media"
    try:
        for name in names:
            check_scene_and_quality(name, options.quality, known)
        folder = check_writable(options.media_folder)
    except (ValueError, PermissionError) as error:
        raise SystemExit(str(error)) from error
    try:
        if options.gifs or options.only_gifs:
            check_writable(media)
    except PermissionError as error:
        raise SystemExit(f"GIFs and posters go to {media}, which cannot be written to.") from error
    jobs = []
    if not options.only_gifs:
        jobs += [(render_video, name, known[name], options.quality, folder) for name in names]
    if options.gifs or options.only_gifs:
        extra = [name for name in names if name not in main_scenes()]
        if extra and options.only_gifs:
            raise SystemExit(f"Variants have no GIF: {', '.join(extra)}.")
        jobs += [(render_gif, name, known[name], media) for name in names if name not in extra]
    if any(function is render_gif for function, *_ in jobs):
        ffmpeg("-version")  # says what to install before minutes are spent on drawing
    entries = []
    try:
        for result in run(jobs, options.jobs):
            if isinstance(result, tuple):
                entries.append(result)
            print(media / result[1]["gif"] if isinstance(result, tuple) else result, flush=True)
    finally:
        if entries:  # also where a later scene failed
            update_manifest(entries, media)


def run(jobs, processes):
    """The result of each job, `(function, *arguments)`, in their order."""
    if min(len(jobs), processes) < 2:
        yield from (function(*arguments) for function, *arguments in jobs)
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes, mp_context=context) as pool:
        futures = [pool.submit(*job) for job in jobs]
        failures = []
        for future in futures:
            try:
                result = future.result()
            except concurrent.futures.CancelledError:
                continue
            except (Exception, SystemExit) as error:
                failures.append(error)
                for other in futures:  # what has not begun does not begin; the rest is handed on
                    other.cancel()
            else:
                yield result
        if failures:
            raise failures[0]


if __name__ == "__main__":
    main()

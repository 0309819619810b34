"""The page of the demo: what stands where, and what a visitor's click sets off.

Gradio makes the page. Here stands what it leaves to its user: the library's decoding instead of its
own, messages that name the file and the reason, and that nothing asks for another host.
"""

from __future__ import annotations

import html
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shiftvit_utils.demo.answers import TOP_K, UploadLimits, answer, answer_batch, explain
from shiftvit_utils.demo.texts import (
    STYLE,
    file_name,
    hint,
    introduction,
    limits_in_words,
    note,
    problem,
    table,
)
from shiftvit_utils.image_decoding import UnreadableImageError
from shiftvit_utils.inference import Classifier

if TYPE_CHECKING:
    import gradio

EXAMPLES = Path(__file__).parent / "examples"
LIMITS = UploadLimits()
# How often Gradio looks for uploads to remove, and how old they may get, in seconds.
_CLEAN_UP = (600, 3600)
_FONTS = ["system-ui", "sans-serif"]


def build_demo(classifier: Classifier, limits: UploadLimits = LIMITS) -> gradio.Blocks:
    """The page of the demo, not started yet; see `launch_demo`.

    The network answers once while the page is built, so that the first visitor does not wait for
    its compilation.

    Args:
        classifier: the network, with the names of its classes.
        limits: what an upload may be.

    Returns:
        `gradio.Blocks`.

    Raises:
        ImportError: Gradio is not installed; the message says how to install it.
    """
    gr = _gradio()
    blank = np.zeros((*classifier.image_size, 3), np.uint8)
    classifier.predict(blank)
    explain(classifier, blank, classifier.class_names[0])

    def on_picture(upload: dict[str, Any] | None) -> tuple[Any, ...]:
        if upload is None:
            return None, *_NOTHING
        # Gradio itself looks only at what it decodes. Else any file of this machine could be named.
        try:
            gr.processing_utils.check_all_files_in_cache(upload)
        except gr.Error:
            return refused(upload, "it was not uploaded here")
        return answered(upload)

    def refused(upload: dict[str, Any], reason: str) -> tuple[Any, ...]:
        # The picture goes, so that no broken one stands beside the message.
        return None, problem([(file_name(upload), reason)]), *_NOTHING[1:]

    def answered(upload: dict[str, Any]) -> tuple[Any, ...]:
        try:
            said = answer(classifier, upload["path"], limits)
        except UnreadableImageError as error:
            return refused(upload, str(error))
        label, confidence = next(iter(said.confidences.items()))
        text = (
            f"<strong>{html.escape(label)}</strong>, with a confidence of {confidence:.1%}. "
            f"Latency: {said.decode_ms:.1f} ms to decode, {said.network_ms:.1f} ms in the network."
        )
        drawing = explain(classifier, said.picture, label)
        # With its picture: meanwhile, the visitor may have chosen another.
        return upload["path"], note(text), said.confidences, drawing, said.picture

    def on_example(path: str) -> tuple[Any, ...]:
        return answered({"path": path})

    def on_label(picture: np.ndarray | None, event: Any) -> Any:
        return gr.skip() if picture is None else explain(classifier, picture, str(event.value))

    # Gradio gives the event to the argument with this class for an annotation.
    on_label.__annotations__["event"] = gr.SelectData

    def on_files(uploads: list[dict[str, Any]] | None) -> str:
        if not uploads:
            return ""
        files = [(file_name(upload), upload["path"]) for upload in uploads]
        rows, skipped, seconds = answer_batch(classifier, files, limits)
        text = note(f"{len(rows)} of {len(files)} files classified in {seconds:.2f} s.")
        return text + (problem(skipped) if skipped else "") + (table(rows) if rows else "")

    gr.set_static_paths(EXAMPLES)  # or Gradio would not show files from where it did not start
    with gr.Blocks(title="ShiftViT demo", analytics_enabled=False, delete_cache=_CLEAN_UP) as demo:
        gr.Markdown(introduction(classifier))
        with gr.Tab("One picture"), gr.Row():
            with gr.Column():
                upload = gr.Image(
                    label="Picture",
                    type="filepath",
                    sources=["upload", "clipboard"],
                    height=320,
                    buttons=[],
                    elem_id="picture",
                    alt_text="The picture that you chose",
                )
                gr.Markdown("Or one of these:")
                with gr.Row(elem_id="examples"):
                    # Buttons with a name: the pictures of `gr.Examples` have none to be read out.
                    examples = {
                        str(path): gr.Button(
                            path.stem.replace("_", " "), icon=path, size="sm", min_width=80
                        )
                        for path in sorted(EXAMPLES.glob("*.jpg"))
                    }
                gr.Markdown(limits_in_words(limits))
            with gr.Column():
                status = gr.HTML(hint(), elem_id="status")
                label = gr.Label(
                    label="Confidence (click a class for its map)",
                    num_top_classes=TOP_K,
                    elem_id="label",
                )
                drawing = gr.Image(
                    show_label=False,
                    format="png",
                    interactive=False,
                    buttons=[],
                    elem_id="map",
                    alt_text="Left, the picture as the network sees it. Right, the same with a map "
                    "of how much confidence is lost where a grey square covers it.",
                )
                gr.Markdown(
                    "A grey square moves over the picture. **Orange**: covering this place costs "
                    "confidence. **Purple**: it adds some. **Cross**: the place that counts most."
                )
        with gr.Tab("Several files"):
            files = gr.File(label="Pictures", file_count="multiple", height=200, elem_id="files")
            gr.Markdown(f"Up to {limits.files} files at a time. {limits_in_words(limits)}")
            batch = gr.HTML(elem_id="batch")
        picture = gr.State(None)  # as the network sees it, for more maps of it

        answers = [upload, status, label, drawing, picture]
        # One network, one queue: two visitors wait for each other instead of for memory.
        network: dict[str, Any] = {"concurrency_id": "network", "concurrency_limit": 1}
        # preprocess=False gives the file itself. Gradio would decode it first, without our limits
        # and in its own way (16 bits, CMYK), and says of a broken one only "Error".
        raw = {**network, "preprocess": False}
        private = {"api_visibility": "private"}
        # Each picture that is chosen gets its answer, also one that is chosen during another's.
        several = {"trigger_mode": "multiple"}
        upload.upload(on_picture, upload, answers, api_name="classify", **several, **raw)
        upload.clear(lambda: (None, *_NOTHING), None, answers, **network, **several, **private)
        for path, button in examples.items():
            button.click(partial(on_example, path), None, answers, **network, **private)
        label.select(on_label, picture, drawing, **network, **private)
        files.change(on_files, files, batch, api_name="classify_files", **raw)
    return demo


def launch_demo(demo: gradio.Blocks, limits: UploadLimits = LIMITS, **settings: Any) -> None:
    """Starts the page and serves it until the process is interrupted.

    Args:
        demo: from `build_demo`.
        limits: as given there; larger uploads are refused as they come in.
        **settings: more for Gradio's `launch`, such as `server_port`.

    Raises:
        OSError: there is no free port, or not the one that `server_port` names.
    """
    gr = _gradio()
    _, address, _ = demo.queue(max_size=32).launch(
        # Fonts that every system has: most of Gradio's themes fetch theirs from elsewhere.
        theme=gr.themes.Default(primary_hue="blue", font=_FONTS, font_mono=_FONTS),
        css=STYLE,
        footer_links=[],
        max_file_size=limits.megabytes * 2**20,
        run_history=False,
        ssr_mode=False,
        quiet=True,
        prevent_thread_lock=True,
        **settings,
    )
    print(f"The demo is at {address} until you press Ctrl+C.", flush=True)
    demo.block_thread()


_NOTHING = (hint(), None, None, None)  # status, label, map and array, where there is no picture


def _gradio() -> Any:
    """Gradio, told to report nothing to anybody."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    if hasattr(os, "getuid"):  # Windows has a temporary folder for each user
        # Gradio's own belongs to whoever was first on this machine. By number: a container's user
        # may have no name.
        uploads = os.path.join(tempfile.gettempdir(), f"gradio-{os.getuid()}")
        os.environ.setdefault("GRADIO_TEMP_DIR", uploads)
    try:
        import gradio
    except ImportError as error:
        raise ImportError(
            'The demo needs Gradio, which is not installed: pip install "gradio>=6.31", '
            "or in a clone: make demo."
        ) from error
    return gradio

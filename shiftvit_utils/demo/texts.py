"""What the page of the demo says, as Markdown and HTML, and how that looks.

Names of files and classes come from strangers: whatever becomes HTML is escaped here.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shiftvit_utils.demo.answers import TOP_K, UploadLimits
from shiftvit_utils.inference import Classifier
from shiftvit_utils.machine import describe_device
from shiftvit_utils.predictions import printable

STYLE = """
.gradio-container { max-width: 1100px !important; margin: auto; }
.note { margin: 0; padding: 0.6rem 0.9rem; border-left: 4px solid; line-height: 1.5; }
.note.good { border-color: #0072B2; background: #0072B218; }
.note.problem { border-color: #D55E00; background: #D55E0018; }
.note + .note { margin-top: 0.5rem; }
.note ul { margin: 0.3rem 0 0 1.2rem; list-style: disc; }
.note li, .answers td { overflow-wrap: anywhere; }
.html-container { padding: 0 !important; }
.answers table { width: 100%; margin-top: 1rem; border-collapse: collapse; }
.answers th, .answers td { padding: 0.45rem 0.6rem; text-align: left; vertical-align: top; }
.answers table, .answers th, .answers td { border: 0 !important; }
.answers tr { border: 0 solid #8886 !important; border-bottom-width: 1px !important; }
@media (max-width: 640px) {
  .answers tr { display: grid; grid-template-columns: 1fr auto 6rem; padding: 0 !important; }
  .answers :is(td, th):last-child { grid-column: 1 / -1; }
}
#examples button { flex-direction: column; gap: 0.3rem; max-width: 130px; padding: 0.4rem; }
#examples button img { width: 64px; height: 64px; margin: 0; object-fit: cover; }
"""


def introduction(classifier: Classifier) -> str:
    """What stands above the tabs, as Markdown: what this network can do and what it cannot."""
    names = html.escape(", ".join(classifier.class_names))
    names = re.sub(r"([\\`*_[\]])", r"\\\1", names)  # no emphasis, no links
    height, width = classifier.image_size
    return (
        "# What does a ShiftViT see in your picture?\n\n"
        f"A network of {classifier.model.count_params():,} parameters, on "
        f"{describe_device()}. It knows {len(classifier.class_names)} names: {names}; whatever you "
        f"show it, it answers with one of them. It sees the middle square, at {width} × {height} "
        "pixels."
    )


def limits_in_words(limits: UploadLimits) -> str:
    """What may be uploaded, and what becomes of it, as a sentence or two."""
    return (
        f"JPEG, PNG, BMP, GIF or WebP, up to {limits.megabytes} MB and {limits.megapixels} million "
        "pixels. Pictures go only to the machine that runs this page, which removes them after an "
        "hour."
    )


def file_name(upload: dict[str, Any]) -> str:
    """What the visitor calls the file; Gradio stores it under another name."""
    return printable(upload.get("orig_name") or Path(upload["path"]).name)


def note(text: str) -> str:
    """HTML of a line that says how it went; `text` is HTML already."""
    return f'<p class="note good" role="status">{text}</p>'


def hint() -> str:
    """HTML of what stands in the place of an answer as long as there is none."""
    return note("Choose a picture. The answer comes here.")


def problem(skipped: Iterable[tuple[str, str]]) -> str:
    """HTML of what went wrong: names of files, each with the reason."""
    items = "".join(
        f"<li><strong>{html.escape(name)}</strong>: {html.escape(reason)}</li>"
        for name, reason in skipped
    )
    return f'<div class="note problem" role="alert">Not classified:<ul>{items}</ul></div>'


def table(rows: Iterable[tuple[str, ...]]) -> str:
    """HTML of the rows of a `BatchAnswer`."""
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    heads = ("file", "label", "confidence", f"top {TOP_K}")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return f'<div class="answers"><table><tr>{head}</tr>{body}</table></div>'

"""What every scene looks like: colours for a light and a dark page, and one font on all machines.

The colours of the five channel groups are those of the course's figures, so that "left" is blue
everywhere. Holds no shapes: those are in `mobjects.py`.
"""

from dataclasses import dataclass, field
from pathlib import Path

import manimpango
import matplotlib
from manim import ManimColor

from shiftvit_utils.figures import DIRECTION_STYLE, PALETTE

FONT = "DejaVu Sans"
CODE_FONT = "DejaVu Sans Mono"
# In the order of the channels: left, right, up, down, unmoved.
DIRECTIONS = tuple(DIRECTION_STYLE)


@dataclass(frozen=True)
class Theme:
    """Colours of a scene.

    Args:
        background: colour of the page.
        ink: text and outlines that must be read.
        faint: text and lines of second rank.
        line: the lines of a grid.
        accent: behind the line of code that is being done.
        direction: {"left": colour, ...}, the same in both themes.
    """

    background: str
    ink: str
    faint: str
    line: str
    accent: str = PALETTE["purple"]
    direction: dict = field(
        default_factory=lambda: {name: style["color"] for name, style in DIRECTION_STYLE.items()}
    )


LIGHT = Theme("#FFFFFF", "#1F2430", "#5F6675", "#C3C8D2")
DARK = Theme("#12161D", "#F1F3F8", "#AEB5C2", "#465063")


def mix(first, second, share):
    """The colour that is `share` of the way from `first` to `second`, as "#RRGGBB"."""
    return ManimColor(first).interpolate(ManimColor(second), share).to_hex()


def register_fonts():
    """Makes matplotlib's copies of DejaVu known, so that text is as wide on every machine."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for name in ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSansMono-Bold"):
        manimpango.register_font(str(folder / f"{name}.ttf"))


register_fonts()

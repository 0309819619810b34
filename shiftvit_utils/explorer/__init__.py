"""The shift explorer: one HTML page in which a reader slides the channels of a feature map.

The page, `shift_explorer.html`, needs nothing else and no network. It opens by itself in a browser,
and `show_explorer` puts it into a notebook. Its arithmetic is JavaScript, for a page cannot call
Python, and is tested against `shiftvit_utils.shift`.
"""

import html
from importlib.resources import files

# What a reader gets where an iframe is not shown: in a notebook that is not trusted.
FALLBACK = (
    "The shift explorer runs here once you run this cell. It needs a trusted notebook and a "
    "browser, and no network."
)


def explorer_html():
    """The page as a string of HTML, ready to be written to a file.

    Returns:
        str, a complete document.

    >>> explorer_html().startswith("<!doctype html>")
    True
    """
    page = files("shiftvit_utils.explorer") / "shift_explorer.html"
    return page.read_text(encoding="utf-8")


def show_explorer(height=1300):
    """The explorer as the output of a notebook cell.

    The page travels inside the output, so a saved notebook and its HTML export keep it. It runs in
    a sandbox: it can run its own script and reach nothing of the notebook around it.

    Args:
        height: int >= 1, in CSS pixels. Lower than the page, the frame gets a scroll bar. The page
            is less than 1190 pixels high from a width of 980 pixels on, and higher below.

    Returns:
        `IPython.display.HTML`.

    Raises:
        ValueError: if `height` is not an int >= 1.

    >>> show_explorer(height=700).data.count("<iframe")
    1
    """
    if type(height) is not int or height < 1:
        raise ValueError(f"height must be an int >= 1 (CSS pixels), got {height!r}.")
    from IPython.display import HTML

    # In a div, since IPython takes a bare iframe for a mistake and warns. Inside an attribute only
    # & and quotes need escaping, but < and > do no harm and calm simpler parsers.
    return HTML(
        "<div>"
        f'<iframe title="Shift explorer" srcdoc="{html.escape(explorer_html())}" '
        'sandbox="allow-scripts" '
        f'style="width: 100%; height: {height}px; border: 0; border-radius: 14px;">'
        f"{FALLBACK}</iframe></div>"
    )

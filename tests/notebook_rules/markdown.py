"""The prose: pictures that have words, and links that lead somewhere."""

import functools
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt

from notebook_rules.page import has_picture, rule

HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+", re.IGNORECASE)
WORDS_OF_A_SENTENCE = 5


@functools.cache
def tokens(source):
    """The elements of a markdown text, flat: what is inside a paragraph follows it."""
    parser = MarkdownIt("commonmark").enable("table")
    parser.validateLink = lambda url: True  # also what it would not show as a link, as file://
    flat = []
    for token in parser.parse(source):
        flat += [token, *(token.children or ())]
    return flat


def headings(source):
    """`[(level, text)]` of a markdown text, in order."""
    found = tokens(source)
    return [
        (int(token.tag[1]), found[index + 1].content)
        for index, token in enumerate(found)
        if token.type == "heading_open"
    ]


def has_sentence(source):
    """Whether a markdown text holds a paragraph of prose, not only headings and pictures."""
    found = tokens(source)
    return any(
        len(re.findall(r"\w+", plain_text(found[index + 1]))) >= WORDS_OF_A_SENTENCE
        for index, token in enumerate(found)
        if token.type == "paragraph_open"
    )


def plain_text(paragraph):
    return " ".join(child.content for child in paragraph.children if child.type == "text")


class _TagReader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, {name: value or "" for name, value in attrs}))


def html_tags(html):
    """`[(tag, {attribute: value})]` of a piece of HTML, in order."""
    reader = _TagReader()
    reader.feed(html)
    return reader.found


def links_and_images(source):
    """`([targets of links and images], [alt texts of images])`, in markdown and in raw HTML."""
    targets, alts = [], []
    for token in tokens(source):
        if token.type == "link_open":
            targets.append(token.attrs["href"])
        elif token.type == "image":
            targets.append(token.attrs["src"])
            alts.append(token.content)
        elif token.type in ("html_block", "html_inline"):
            for tag, attributes in html_tags(token.content):
                if tag == "img":
                    targets.append(attributes.get("src", ""))
                    alts.append(attributes.get("alt", ""))
                elif tag == "a" and "href" in attributes:
                    targets.append(attributes["href"])
    return targets, alts


@rule()
def figures(page):
    """A sentence beside every figure says what to see."""
    for cell in page.code:
        if has_picture(cell) and not any(
            other.cell_type == "markdown" and has_sentence(other.source)
            for other in page.before(cell) + page.after(cell)
        ):
            yield cell, "shows a figure, and no sentence directly before or after says what to see"


@rule()
def alt_text(page):
    """Every picture in the text has a text in its place."""
    for cell in page.markdown:
        if not all(alt.strip() for alt in links_and_images(cell.source)[1]):
            yield cell, "has a picture without alt text"
    for cell in page.code:
        for output in cell.outputs:
            for tag, attributes in html_tags(output.get("data", {}).get("text/html", "")):
                if tag == "img" and not attributes.get("alt", "").strip():
                    yield cell, "shows a picture in HTML without alt text"


@rule()
def links(page):
    """Links lead to a file of the repository, a heading that exists, or a well-formed address."""
    for cell in page.markdown:
        for target in links_and_images(cell.source)[0]:
            if fault := broken(target, page):
                yield cell, f"links to {target or 'nothing'}: {fault}"


def broken(target, page):
    """What is wrong with the target of a link; None if it is right."""
    parts = urlsplit(target)
    if parts.scheme in ("http", "https"):
        well_formed = HOST.fullmatch(parts.hostname or "") and not re.search(r"\s|%20", target)
        return None if well_formed else "no well-formed address"
    if parts.scheme or parts.netloc or target.startswith("/"):
        return "only relative links and http(s) addresses work everywhere"
    path = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
    if not path.is_relative_to(page.root):
        return "leads out of the repository"
    if not path.exists():
        return "there is no such file"
    if parts.fragment and anchor(parts.fragment) not in anchors(path, page):
        return "there is no such heading"
    return None


def anchor(text):
    """A heading or the fragment of a link, without what viewers spell in different ways."""
    return re.sub(r"[\W_]", "", unquote(text)).lower()


def anchors(path, page):
    """The headings of the notebook or markdown file to which a link leads."""
    if path == page.path:
        sources = [cell.source for cell in page.markdown]
    elif path.suffix == ".ipynb":
        cells = json.loads(path.read_text())["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    else:
        sources = [Path(path).read_text()]
    return {anchor(text) for source in sources for _, text in headings(source)}

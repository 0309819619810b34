"""The rules that every notebook of the course keeps, by topic; `notebook_lint.py` applies them."""

from notebook_rules import course, markdown, outputs, source, structure
from notebook_rules.page import RULES, Page

__all__ = ["RULES", "Page", "course", "markdown", "outputs", "source", "structure"]

"""Which numbers of a markdown text are claims, and what they are worth.

A claim is a number of a kind that is measured or counted: see `CLAIM`. What is masked or exempt is
listed in `docs/claims.md`; every exemption there is one pattern here.
"""

import functools
import re
from dataclasses import dataclass

NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:e[+-]?\d+)?"
# What one of the unit is worth in the units that a result may be stored in.
UNITS = {
    "%": (1, 0.01),
    "points": (1, 0.01),
    "ms": (1, 1e-3),
    "s": (1,),
    "second": (1,),
    "seconds": (1,),
    "min": (1, 60),
    "minute": (1, 60),
    "minutes": (1, 60),
    "hour": (1, 3600),
    "hours": (1, 3600),
    "kB": (1, 1000, 1024),
    "MB": (1, 1e6, 1024**2),
    "GB": (1, 1e9, 1024**3),
    "M": (1, 1e6),
    "G": (1, 1e9),
    "images/s": (1,),
    "epochs": (1,),
    "parameters": (1,),
    "multiply-adds": (1,),
    "×": (1,),
}
UNIT = "|".join(re.escape(unit) for unit in sorted(UNITS, key=len, reverse=True))
# A number, or a range whose unit stands at its end. The unit is a word of its own, and × no shape.
CLAIM = re.compile(
    rf"(?<![\w.,/^²√#])(?P<low>{NUMBER})(?:[–-](?P<high>{NUMBER}))?"
    rf"(?:\s?(?P<unit>{UNIT})(?![\w/×-]|\s?\d))?(?![\w]|\.\d|,\d{{3}})"
)
WHOLE_CELL = re.compile(rf"\|\s*\**(?:{NUMBER})(?:[–-](?:{NUMBER}))?\**\s*(?=\|)")

BLANKED = (
    r"^(```|~~~).*?^\1\s*$",  # code blocks
    r"`+[^`]*`+",  # code spans
    r"<code>.*?</code>",
    r"!\[[^\]]*\]\([^)]*\)",  # pictures and what stands in their place
    r"(?<=\])\([^)\s]*\)",  # where links lead
    r"<?https?://[^\s>)]+>?",
    r"<[^>]*>",  # tags
    r"arXiv:?\s?\d{4}\.\d{4,5}",
    r"^#{1,6}\s+\d+\b",  # the number of a section
    r"^\s*\d+\.\s",  # the number of a list's item
    r"\b(?:Python|TensorFlow|Keras|JAX|PyTorch|NumPy|Apache|BY|Debian)\s+\d[\d.]*(?:, \d+\.\d+)*"
    r"(?: or \d+\.\d+)?",  # versions
    r"\breading \d+ minutes",  # an estimate of the learner's time
    r"\b0\.\.\d+\b|\d+(?:\.\d+)?\.\.\d+",  # ranges of values
    r"\d+(?:\s?×\s?\d+)+",  # shapes
    r"^#{2,}\s+(?:Exercises|References)\b.*\Z",  # tasks, which their checkers prove; other texts
)
FENCE = re.compile(BLANKED[0], re.MULTILINE | re.DOTALL)
TAIL = re.compile(BLANKED[-1], re.MULTILINE | re.DOTALL)
BLANK = re.compile("|".join(f"(?:{pattern})" for pattern in BLANKED[1:-1]), re.MULTILINE)
COUNTED_ON_FINGERS = 12  # bare whole numbers up to this, alone in a table's cell, are no claims


@dataclass(frozen=True)
class Claim:
    """One number of a text: its place there, how it is written, and its unit or ""."""

    start: int
    end: int
    written: str
    unit: str

    @property
    def value(self):
        return float(self.written.replace(",", ""))

    @property
    def rounding(self):
        """Half a unit of the last digit that is written."""
        mantissa, _, exponent = self.written.partition("e")
        _, _, decimals = mantissa.partition(".")
        return 0.5 * 10.0 ** (int(exponent or 0) - len(decimals))

    def holds(self, found, tolerance):
        """Whether a stored value is this number, in one of the units that it may be stored in.

        `tolerance` is in the unit that is written. The sign is not compared: a text may say minus
        in many ways.
        """
        slack = tolerance + 1e-9 * abs(self.value)  # floats are not decimals
        scales = UNITS.get(self.unit, (1,))
        return any(abs(abs(found) / scale - self.value) <= slack for scale in scales)


def blanked(text):
    """The text with everything exempt replaced by blanks, so that places stay what they are."""

    def blanks(match):
        return re.sub(r"[^\n]", " ", match[0])

    for pattern in (FENCE, TAIL, BLANK):
        text = pattern.sub(blanks, text)
    return text


@functools.cache
def claims_in(text):
    """Every `Claim` of a markdown text, in order."""
    text = blanked(text)
    cells = [match.span() for match in WHOLE_CELL.finditer(text)]
    found = []
    for match in CLAIM.finditer(text):
        in_cell = any(start <= match.start() and match.end() <= end for start, end in cells)
        for part in ("low", "high"):
            written = match[part]
            if not written:
                continue
            claim = Claim(*match.span(part), written, match["unit"] or "")
            big_cell = in_cell and claim.value > COUNTED_ON_FINGERS
            if claim.unit or big_cell or set(written) & set(",.e"):
                found.append(claim)
    return found


def numbers_in(text):
    """Every plain number of a printed text, as floats: what an output holds."""
    return [float(number.replace(",", "")) for number in re.findall(NUMBER, text)]

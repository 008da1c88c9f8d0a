"""Text that others wrote, as it may be shown: nothing in it moves a terminal's cursor or begins a line.

Rules: pure. What is not printable (Unicode's categories Other and Separator, but for the space: control
characters, escape sequences, marks of writing direction, line ends) is written as Python's escape of it.
Whatever prints goes through here; machines' formats (JSON, metrics) escape by their own rules.
"""

from __future__ import annotations

from typing import Final

MAX_LINE: Final = 16_384
"""Characters of one line of a log: a packet that failed stands there in hex."""


def printable(text: str) -> str:
    """The text with what a terminal might act on escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def json_printable(text: str) -> str:
    """The same for the text of a JSON document: it says what it said before."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else _json_escape(c) for c in text)


def _json_escape(c: str) -> str:
    units = c.encode("utf-16-be", "surrogatepass")  # RFC 8259, section 7
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def cut(text: str, most: int = MAX_LINE) -> str:
    """No more of it than that."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text) - most} characters more)"


def line(text: str) -> str:
    """It as one line, however long it is."""
    return printable(cut(text))

"""Text that others wrote, as it may be shown: nothing in it moves a terminal's cursor or begins a line.

Rules: pure. What is not printable (Unicode's categories Other and Separator, but for the space: control
characters, escape sequences, marks of writing direction, line ends) is written as Python's escape of it.
Whatever prints goes through here; machines' formats (JSON, metrics) escape by their own rules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

MAX_LINE: Final = 16_384
"""Characters of one line of a log: a packet that failed stands there in hex."""


MAX_KNOWN: Final = 4096
"""Characters of which it is remembered how they are shown."""


class _Shown(dict[int, str]):
    """By code point, how a character is shown: for `str.translate`. To walk over megabytes of odd characters
    in Python costs ten times as much."""

    def __init__(self, escape: Callable[[str], str]) -> None:
        self._escape = escape

    def __missing__(self, number: int) -> str:
        letter = chr(number)
        shown = letter if letter.isprintable() else self._escape(letter)
        if len(self) < MAX_KNOWN:
            self[number] = shown
        return shown


def printable(text: str) -> str:
    """The text with what a terminal might act on escaped."""
    if text.isprintable():
        return text
    return text.translate(_ESCAPED)


def json_printable(text: str) -> str:
    """The same for the text of a JSON document: it says what it said before."""
    if text.isprintable():
        return text
    return text.translate(_JSON_ESCAPED)


def _json_escape(c: str) -> str:
    if c in "\n\t":
        return c
    units = c.encode("utf-16-be", "surrogatepass")  # RFC 8259, section 7
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


_ESCAPED: Final = _Shown(lambda letter: letter.encode("unicode_escape").decode())
_JSON_ESCAPED: Final = _Shown(_json_escape)


def cut(text: str, most: int = MAX_LINE) -> str:
    """No more of it than that."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text) - most} characters more)"


def line(text: str) -> str:
    """It as one line, however long it is."""
    return printable(cut(text))

"""TOML as operators write it, read with a bound that tomllib lacks: it takes the square of a key's dots.

Rules: pure. What is wrong is one line of text, with the number of the line where there is one.
"""

from __future__ import annotations

import re
from typing import Any, Final

MAX_DOTS: Final = 64
"""Dots in one key; of 50,000 tomllib took minutes."""

NOT_TAKEN: Final = "nested too deep, or a number of thousands of digits"
"""What tomllib doesn't take, and has no error of its own for."""

_TOKEN = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+"{3,5}'
    r"|'''(?:[^']|'(?!''))*+'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*+"'
    r"|'[^'\n]*+'"
    r"|\#[^\n]*+"
    r"|[\n=,{}\[\].]",
    re.DOTALL,
)
"""Text, what is said beside it, and what parts one key from another (TOML 1.0, "Keys")."""


class NotTOML(ValueError):
    """The text says where and why."""


def parse(data: bytes) -> dict[str, Any]:
    """The tables in a file's bytes."""
    import tomllib  # who has no file needs none

    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise NotTOML(f"line {line}: not UTF-8") from None
    _count_dots(text)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise NotTOML(_line_first(str(error))) from None
    except (ValueError, RecursionError):
        raise NotTOML(NOT_TAKEN) from None


def _count_dots(text: str) -> None:
    if all(line.count(".") <= MAX_DOTS for line in text.split("\n")):
        return  # nearly every file: those of a line of text need no closer look
    dots = 0
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark == ".":
            dots += 1
            if dots > MAX_DOTS:
                line = text.count("\n", 0, token.start()) + 1
                raise NotTOML(f"line {line}: a key of more than {MAX_DOTS} dots")
        elif mark in "\n=,{}[]":
            dots = 0


def _line_first(error: str) -> str:
    """tomllib ends with "(at line 3, column 7)"."""
    what, separator, place = error.rpartition(" (at ")
    return f"{place.removesuffix(')')}: {what}" if separator else error

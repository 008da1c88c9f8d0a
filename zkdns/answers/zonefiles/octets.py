"""The octets of a master file, piece by piece: while one call of Python's walks through all of them no other
thread runs, and there may be 256 MiB.

Rules: pure.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from typing import Final

NEWLINE: Final = b"\n"

PIECE: Final = 64 * 1024
"""Octets that are looked at in one call."""

_ABOVE = re.compile(rb"\\.|[\x80-\xff]", re.DOTALL)


class _Spelled(io.BufferedIOBase):
    def __init__(self, data: bytes) -> None:
        self._pieces = map(spell_octets, _pieces_of(data.removeprefix(codecs.BOM_UTF8)))

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1, /) -> bytes:
        return next(self._pieces, b"")


def text_of(data: bytes) -> io.TextIOWrapper:
    """The file as text, to be read as its pieces are asked for."""
    return io.TextIOWrapper(_Spelled(data), "ascii", newline="\n")  # type: ignore[arg-type]


def spell_octets(octets: bytes) -> bytes:
    """As ASCII: each octet above 127 as the escape \\DDD that stands for it, so that a name or a text
    has the very octets of the file, whatever its character set (RFC 1035, section 5.1)."""
    octets = octets.replace(b"\r\n", NEWLINE).replace(b"\r", NEWLINE)
    if octets.isascii():
        return octets
    return _ABOVE.sub(lambda m: m[0] if m[0][-1] < 128 else b"\\%03d" % m[0][-1], octets)


def _pieces_of(data: bytes) -> Iterator[bytes]:
    """What belongs together stays so: an escape with what it escapes, the two that end a line."""
    at = 0
    while at < len(data):
        end = at + PIECE
        while data[end - 1 : end] in (b"\\", b"\r"):
            end += 1
        yield data[at:end]
        at = end


def count(data: bytes, octet: bytes, until: int | None = None) -> int:
    """How many of this octet there are before `until`."""
    end = len(data) if until is None else until
    return sum(data.count(octet, at, min(at + PIECE, end)) for at in range(0, end, PIECE))


def find(data: bytes, octet: bytes) -> int:
    """Where the first is; -1 for nowhere."""
    for at in range(0, len(data), PIECE):
        if (first := data.find(octet, at, at + PIECE)) >= 0:
            return first
    return -1

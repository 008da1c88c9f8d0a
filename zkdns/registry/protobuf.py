"""Reads the fields of a protobuf message without its schema: numbers and bytes by field number.

Rules: pure; `BadData` is the only error. Bounded by the data: a length past its end, a number of more than
64 bits, a group or an unknown wire type is refused. (Protocol Buffers' "Encoding" page: wire types 0 varint,
1 64-bit, 2 length-delimited, 5 32-bit; 3 and 4, groups, are out of use.)
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Final

from zkdns.registry.fields import WRITE_AGAIN, BadData

MAX_FIELDS: Final = 1024
"""Of one node, those of the messages in its message with them."""

_SIZES: Final = {1: 8, 5: 4}


class Message:
    """One message's fields, as they stand; of a field that is told twice the last counts."""

    __slots__ = ("_count", "_fields", "what")

    def __init__(self, data: bytes, what: str, outer: Message | None = None) -> None:
        self.what = what
        self._fields: dict[int, list[int | bytes]] = {}
        self._count: Iterator[int] = outer._count if outer is not None else count(1)
        at = 0
        while at < len(data):
            if next(self._count) > MAX_FIELDS:
                raise self._refuse(f"more than {MAX_FIELDS} fields")
            key, at = self._varint(data, at)
            number, kind = key >> 3, key & 7
            if not number:
                raise self._refuse("a field without a number")
            value: int | bytes
            if kind == 0:
                value, at = self._varint(data, at)
            elif kind == 2 or kind in _SIZES:
                size = _SIZES.get(kind, 0)
                if kind == 2:
                    size, at = self._varint(data, at)
                if size > len(data) - at:
                    raise self._refuse(f"field {number} goes on past the end")
                value = data[at : at + size]
                at += size
            else:
                raise self._refuse(f"field {number} is of wire type {kind}")
            self._fields.setdefault(number, []).append(value)

    def text(self, number: int, name: str) -> str:
        value = self._last(number)
        if value is None:
            raise self._refuse(f"no {name}")
        if not isinstance(value, bytes):
            raise self._refuse(f"{name} is no text")
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise self._refuse(f"{name} is not UTF-8") from None

    def number(self, number: int, name: str, default: int | None = None) -> int:
        value = self._last(number)
        if value is None and default is not None:
            return default
        if value is None:
            raise self._refuse(f"no {name}")
        if not isinstance(value, int):
            raise self._refuse(f"{name} is no number")
        return value

    def messages(self, number: int, name: str) -> list[Message]:
        inner = []
        for value in self._fields.get(number, ()):
            if not isinstance(value, bytes):
                raise self._refuse(f"{name} is no message")
            inner.append(Message(value, f"{self.what}'s {name}", self))
        return inner

    def _last(self, number: int) -> int | bytes | None:
        values = self._fields.get(number)
        return values[-1] if values else None

    def _varint(self, data: bytes, at: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if at >= len(data):
                raise self._refuse("a number goes on past the end")
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, at
        raise self._refuse("a number of more than 64 bits")

    def _refuse(self, why: str) -> BadData:
        return BadData(f"{self.what} can't be read: {why}", WRITE_AGAIN)

"""The JSON of a payload as values, at a cost that its author does not choose.

Rules: pure; raises ValueError or RecursionError for what is no JSON. What is small, or long for its texts
alone, is read whole. Of an object with very many values each is read when somebody asks for it, and of one
that has very many itself, as of such a list, the first ones are there: who wrote a million of them pays in
skipped bytes, and nobody looks whether the rest is JSON. Floats are read by Python, which takes a fortieth of
msgspec's time for those near its limits (`1e300`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

SMALL_BYTES: Final = 16 * 1024
"""Up to here a payload is read whole, and more than once where that is simpler."""

MAX_VALUES: Final = 20_000
"""Values that one payload may hold to be read whole: some milliseconds."""

MAX_ITEMS: Final = 512
"""Of a list or an object that is read item by item: what any one field may hold is far below."""

_whole = msgspec.json.Decoder(float_hook=float).decode
_raw = msgspec.json.Decoder(msgspec.Raw).decode
_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_raw_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode
_texts = msgspec.json.Decoder(list[str]).decode
_NEXT: Final = re.compile(r"trailing characters \(byte (\d+)\)")
"""What msgspec tells of a value that others stand behind: where the first of these begins."""


class Fields(dict[str, Any]):
    """An object of very many values. One that can't be read stays as it is written, which is of no type that
    anybody asks for."""

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        if isinstance(value, msgspec.Raw):
            value = self[key] = _read_or_leave(value)
        return value

    def get(self, key: str, default: Any = None) -> Any:
        return self[key] if key in self else default  # noqa: SIM401

    def items(self) -> Iterator[tuple[str, Any]]:  # type: ignore[override]
        return ((key, self[key]) for key in self)

    def values(self) -> Iterator[Any]:  # type: ignore[override]
        return (self[key] for key in self)


def read(data: bytes) -> Any:
    """The value that stands there."""
    return _read(data) if _is_much(data) else _whole(data)


def _is_much(data: bytes) -> bool:
    return len(data) > SMALL_BYTES and sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES


def _read(data: bytes) -> Any:
    match data.lstrip(b" \t\r\n")[:1]:
        case b"{":
            return Fields(_first_fields(data) if _is_much(data) else _raw_object(data))
        case b"[":
            return _read_list(data)
    return _whole(data)


def _read_list(data: bytes) -> list[Any]:
    if _is_much(data):
        items = _first_items(data)
    else:
        try:
            return _texts(data)  # addresses, tags: a tenth of the time
        except ValueError:
            items = _raw_list(data)[:MAX_ITEMS]
    # Nobody reads lists in lists: a thousand levels of them would be read a thousand times.
    return [item if bytes(item).startswith(b"[") else _read_or_leave(item) for item in items]


def _first_fields(data: bytes) -> dict[str, msgspec.Raw]:
    fields: dict[str, msgspec.Raw] = {}
    view, at = memoryview(data), data.index(b"{") + 1
    for _ in range(MAX_ITEMS):
        colon = _behind(view, at, b":")
        end = _behind(view, colon + 1, b",}")
        fields[_text(view[at:colon])] = msgspec.Raw(data[colon + 1 : end].strip(b" \t\r\n"))
        if data[end] == ord("}"):
            break
        at = end + 1
    return fields


def _first_items(data: bytes) -> list[msgspec.Raw]:
    items: list[msgspec.Raw] = []
    view, at = memoryview(data), data.index(b"[") + 1
    for _ in range(MAX_ITEMS):
        end = _behind(view, at, b",]")
        items.append(msgspec.Raw(data[at:end].strip(b" \t\r\n")))
        if data[end] == ord("]"):
            break
        at = end + 1
    return items


def _behind(view: memoryview, at: int, expected: bytes) -> int:
    """Where the value that begins at `at` is over, and one of the expected characters stands."""
    try:
        _raw(view[at:])
    except msgspec.DecodeError as error:
        match = _NEXT.search(str(error))
        if match is None:
            raise
        end = at + int(match[1]) - 1
        if view[end] not in expected:
            raise
        return end
    raise ValueError("the data ends too early")


def _read_or_leave(raw: msgspec.Raw) -> Any:
    try:
        return _read(bytes(raw))
    except (ValueError, RecursionError):
        return raw

"""The checks of single fields that formats share, and the one error that they raise.

Rules: pure; `BadData` is the only error that leaves this file. A text always names the field, the
value that stands there and what it must be, so that a person can mend it without reading code.
"""

from __future__ import annotations

import marshal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from math import isfinite
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from zkdns.model import MAX_WEIGHT, Registration
from zkdns.printable import printable
from zkdns.registry import json_values
from zkdns.registry.json_values import MAX_ITEMS

T = TypeVar("T")

MAX_DIGITS: Final = 5
"""Of a number as text: enough for 65535, and Python reads none of thousands."""

MAX_PORTS: Final = 64
MAX_TAGS: Final = 64
MAX_ADDRESSES: Final = 64
MAX_META: Final = 256
"""What one instance may have of each; the rest is left out, and told."""

ABSENT: Final = object()
"""Stands for the JSON of a payload that is none."""

_MARKS = ((b"\xef\xbb\xbf", "UTF-8"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
MAX_WHAT_CHARACTERS: Final = 500
"""Of what is told of one payload: it ends in logs, pages and the journal."""

MAX_SHARED_BYTES: Final = 2048
_POOL_MAX = 20_000
_pool: dict[Any, Any] = {}


WRITE_AGAIN = "let the system that wrote it write it again"
"""The cure of what another system writes in a way of its own: nobody should write it by hand."""


class BadData(Exception):
    """A payload that can't be taken: `what` is wrong, and the `cure`. Becomes a Problem. Both are
    printable, whatever the payload was: they end in logs and on terminals."""

    def __init__(self, what: str, cure: str) -> None:
        super().__init__(f"{_cut(what)}; {_cut(cure)}")
        self.what = printable(_cut(what))
        self.cure = printable(_cut(cure))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_WHAT_CHARACTERS else text[:MAX_WHAT_CHARACTERS] + "..."


class Rule(Struct, frozen=True):
    """What a field `must` be, in words, and the function that reads it (ValueError: it is not)."""

    must: str
    read: Callable[[Any], Any]

    def take(self, field: str, value: object) -> Any:
        try:
            return self.read(value)
        except (ValueError, TypeError) as error:
            hint = str(error)
            what = f"{field} is {show(value)}, not {self.must}"
            raise BadData(f"{what} ({hint})" if hint else what, f"set {field} to {self.must}") from None


def share(value: T) -> T:
    """One object for equal values: 100,000 instances have few different tags, zones and ports. Long ones are
    not kept: whoever writes a megabyte of them again and again would take all the memory."""
    kept: T | None = _pool.get(value)
    if kept is not None:
        return kept
    size = len(marshal.dumps(value))  # type: ignore[arg-type]  # the cheapest measure of all that it holds
    if size <= MAX_SHARED_BYTES:
        if len(_pool) > _POOL_MAX:
            _pool.clear()
        _pool[value] = value
    return value


def show(value: object) -> str:
    """The value as JSON, short enough for one line."""
    if isinstance(value, str):
        value = value[:60]
    try:
        text = msgspec.json.encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):  # TOML's dates, lone surrogates
        if isinstance(value, dict | list):
            text = "a nested value"
        else:  # Python spells no number of more than 4,300 digits
            text = ascii(value) if not isinstance(value, int) else "a number of very many digits"
    return text if len(text) <= 60 else text[:57] + "..."


def decode(data: bytes) -> Any:
    """The JSON in `data`, or ABSENT. msgspec raises RecursionError on deep nesting."""
    try:
        return json_values.read(data)
    except (ValueError, RecursionError):
        return ABSENT


def why_no_json(data: bytes, error: Exception | None, cure: str = WRITE_AGAIN) -> BadData:
    """What to tell of a payload that is empty or no JSON. `error`: what its reading met; None: it is some.
    `cure`: where somebody writes it by hand."""
    if not data.strip():
        return BadData("its data is empty", cure)
    for mark, name in _MARKS:
        if data.startswith(mark):
            return BadData(
                f"its data begins with a byte order mark ({name})", "write UTF-8 without such a mark"
            )
    if b"\0" in data:
        return BadData("its data holds NUL characters", "write it as UTF-8 text, without NUL (\\0) in it")
    if isinstance(error, RecursionError):
        return BadData("its data is nested too deep", cure)
    if error is not None:
        text = str(error)
        why = text.removeprefix("JSON is malformed: ") if "utf-8" not in text else "not UTF-8"
        return BadData(f"its data is no JSON: {why}", cure)
    return BadData("its data is no JSON object", cure)


def whole(low: int, high: int) -> Rule:
    def read(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError
        return value

    return Rule(f"a whole number from {low} to {high}", read)


def digits(low: int, high: int) -> Rule:
    """A whole number, or a text of its digits: five at most, whatever they are."""
    rule = whole(low, high)

    def read(value: Any) -> int:
        number: int = rule.read(from_digits(value))
        return number

    return Rule(f"{rule.must}, of {MAX_DIGITS} digits at most", read)


def from_digits(value: Any) -> Any:
    """The number in a text of five digits at most; anything else as it is, for a rule to judge. (What is cut
    to be read is another number: of `00000065536` the first nine are 655.)"""
    is_number = isinstance(value, str) and len(value) <= MAX_DIGITS and value.isascii() and value.isdigit()
    return int(value) if is_number else value


def number(low: float, high: float) -> Rule:
    def read(value: Any) -> float:
        if type(value) not in (int, float) or not low <= value <= high:  # NaN is within nothing
            raise ValueError
        return float(value)

    return Rule(f"a number from {low:g} to {high:g}", read)


def one_of(*words: str) -> Rule:
    def read(value: Any) -> str:
        if value not in words or not isinstance(value, str):
            raise ValueError
        return sys.intern(value)

    return Rule("one of " + ", ".join(words), read)


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


PORT: Final = whole(0, 65535)
WEIGHT: Final = whole(0, MAX_WEIGHT)
TEXT: Final = Rule("a text", text)


def loose_meta(value: Any, *wanted: str) -> dict[str, str]:
    """The texts, numbers and flags of an object of someone else's; the rest is none of our business. Those
    that are `wanted` are read wherever they stand."""
    if not isinstance(value, Mapping):
        return {}
    some = [*((key, value[key]) for key in wanted if key in value), *islice(value.items(), MAX_ITEMS)]
    return {key: scalar(v) for key, v in some if isinstance(v, str | bool | int) or is_number(v)}


def is_number(value: object) -> bool:
    """A float that JSON can spell."""
    return isinstance(value, float) and isfinite(value)


def scalar(value: Any) -> str:
    """A text; numbers and true or false as JSON spells them, for hand-written meta data."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int) or is_number(value):
        return msgspec.json.encode(value).decode()
    raise ValueError


def read_meta(value: Any) -> tuple[tuple[str, str], ...]:
    """Pairs in the order of their keys; null is as if not given."""
    if not isinstance(value, Mapping):
        raise ValueError
    some = islice(value.items(), MAX_ITEMS)
    return tuple(sorted((text(k), scalar(v)) for k, v in some if v is not None))


def read_tags(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError
    return tuple(dict.fromkeys(t for t in map(text, value[:MAX_ITEMS]) if t))


def read_ports(value: Any) -> tuple[tuple[str, int], ...]:
    """Pairs in the order of their names."""
    if not isinstance(value, Mapping) or "" in value:
        raise ValueError
    some = list(islice(value.items(), MAX_ITEMS))
    for _, port in some:
        if type(port) is not int or not 1 <= port <= 65535:
            raise ValueError
    return tuple(sorted((text(k), v) for k, v in some))


def bounded(registration: Registration) -> tuple[Registration, list[BadData]]:
    """The registration within the limits of one instance, and what is left out."""
    kept = {}
    left_out = []
    for name, limit in _LIMITS:
        held = getattr(registration, name)
        if len(held) > limit:
            kept[name] = held[:limit]
            word = "meta keys" if name == "meta" else name
            many = f"{len(held)} {word}" if len(held) < MAX_ITEMS else f"{MAX_ITEMS} {word} or more"
            what = f"it has {many}, and {limit} are taken: the others are left out"
            left_out.append(BadData(what, f"register {limit} {word} at most"))
    return (replace(registration, **kept) if kept else registration), left_out


_LIMITS: Final = (
    ("addresses", MAX_ADDRESSES),
    ("ports", MAX_PORTS),
    ("tags", MAX_TAGS),
    ("meta", MAX_META),
)

META: Final = Rule("an object of texts", read_meta)
TAGS: Final = Rule("a list of texts", read_tags)
PORTS: Final = Rule("an object of names and port numbers from 1 to 65535", read_ports)

"""The checks of single fields that formats share, and the one error that they raise.

Rules: pure; `BadData` is the only error that leaves this file. A text always names the field, the
value that stands there and what it must be, so that a person can mend it without reading code.
"""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")

ABSENT: Final = object()
"""Stands for the JSON of a payload that is none."""

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_NUMERIC = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"(?!0\.0\.0\.0$){_OCTET}(?:\.{_OCTET}){{3}}")
_POOL_MAX = 20_000
_pool: dict[Any, Any] = {}


class BadData(Exception):
    """A payload that can't be taken: `what` is wrong, and the `cure`. Becomes a Problem. Both are
    printable, whatever the payload was: they end in logs and on terminals."""

    def __init__(self, what: str, cure: str) -> None:
        super().__init__(f"{what}; {cure}")
        self.what = printable(what)
        self.cure = printable(cure)


def printable(text: str) -> str:
    """The text with what a terminal might act on escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@dataclass(frozen=True, slots=True)
class Rule:
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
    """One object for equal values: 100,000 instances have few different tags, zones and ports."""
    if len(_pool) > _POOL_MAX:
        _pool.clear()
    kept: T = _pool.setdefault(value, value)
    return kept


def show(value: object) -> str:
    """The value as JSON, short enough for one line."""
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
        return msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return ABSENT


def why_no_json(data: bytes) -> BadData:
    """What to tell of a payload that is empty or no JSON."""
    cure = 'write JSON such as {"address": "10.0.0.5", "port": 8080}'
    if not data.strip():
        return BadData("its data is empty", cure)
    try:
        msgspec.json.decode(data)
    except RecursionError:
        return BadData("its data is nested too deep", cure)
    except ValueError as error:
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
WEIGHT: Final = whole(0, 65535)
TEXT: Final = Rule("a text", text)


def canonical(value: str) -> str | None:
    """The address in the one spelling of RFC 5952, or None where it is none."""
    if ":" not in value:
        return value if _IPV4.fullmatch(value) else None  # ten times as fast as ipaddress
    try:
        address = ipaddress.IPv6Address(value)
    except ValueError:
        return None
    if "%" in value or address.is_unspecified:
        return None  # a scope has no place in a record, and 0.0.0.0 is an address to bind, not to reach
    return str(address)


def is_host(value: str) -> bool:
    """Whether it can be a host name. The last label must not look like a number, else a mistyped
    address would pass for a name (RFC 1123, section 2.1)."""
    name = value.removesuffix(".")
    labels = name.split(".")
    return len(name) <= 253 and all(map(_LABEL.fullmatch, labels)) and not _NUMERIC.fullmatch(labels[-1])


def where(value: Any, field: str = "address") -> tuple[tuple[str, ...], str | None]:
    """Addresses and host name out of one text or a list of them."""
    if isinstance(value, str):
        address = canonical(value)
        if address is not None:
            return (address,), None
        if is_host(value):
            return (), value.removesuffix(".").lower()
        raise _no_address(value, field)
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
        must = "an address, a host name or a list of addresses"
        raise BadData(f"{field} is {show(value)}, not {must}", f"set {field} to {must}")
    if not value:
        raise BadData(f"{field} is an empty list", f"name at least one address in {field}")
    if len(value) == 1:
        return where(value[0], field)
    found = []
    for at, item in enumerate(value):
        address = canonical(item)
        if address is None:
            if is_host(item):
                raise BadData(
                    f"{field}[{at}] is {show(item)}, a host name",
                    f"a list in {field} holds addresses only; a host name stands alone",
                )
            raise _no_address(item, f"{field}[{at}]")
        found.append(address)
    return tuple(dict.fromkeys(found)), None


def _no_address(value: str, field: str) -> BadData:
    what = f"{field} is {show(value)}, not an IPv4 or IPv6 address or a host name"
    bare = value.strip().strip("[]")
    if not value.strip():
        return BadData(f"{field} is empty", f"set {field} to an address such as 10.0.0.5")
    if canonical(bare):
        return BadData(what, f"set {field} to {bare}")
    if bare in ("0.0.0.0", "::"):
        return BadData(
            f"{field} is {value}, which no client can reach", f"set {field} to the host's own address"
        )
    head, colon, tail = value.rpartition(":")
    if colon and tail.isdigit() and len(tail) <= 5 and (canonical(head.strip("[]")) or is_host(head)):
        return BadData(what, f"set {field} to {head.strip('[]')} and the port field to {tail}")
    if "%" in value:
        return BadData(what, f"leave the scope (%...) out of {field}")
    return BadData(what, f"set {field} to an address such as 10.0.0.5")


def endpoint(value: Any, field: str, port: Rule) -> tuple[tuple[str, ...], str | None, int]:
    """Addresses, host name and port out of an object with `host` and `port`. `field`: what holds them."""
    if not isinstance(value, Mapping):
        must = "an object with host and port"
        raise BadData(f"{field} is {show(value)}, not {must}", f"set {field} to {must}")
    prefix = f"{field}." if field else ""
    addresses, host = where(value.get("host"), f"{prefix}host")
    number: int = port.take(f"{prefix}port", value.get("port"))
    return addresses, host, number


def loose_meta(value: Any) -> dict[str, str]:
    """The texts, numbers and flags of an object of someone else's; the rest is none of our business."""
    if not isinstance(value, Mapping):
        return {}
    return {key: scalar(v) for key, v in value.items() if isinstance(v, str | bool | int | float)}


def scalar(value: Any) -> str:
    """A text; numbers and true or false as JSON spells them, for hand-written meta data."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return msgspec.json.encode(value).decode()
    raise ValueError


def read_meta(value: Any) -> tuple[tuple[str, str], ...]:
    """Pairs in the order of their keys; null is as if not given."""
    if not isinstance(value, Mapping):
        raise ValueError
    return tuple(sorted((text(k), scalar(v)) for k, v in value.items() if v is not None))


def read_tags(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError
    return tuple(dict.fromkeys(t for t in map(text, value) if t))


def read_ports(value: Any) -> tuple[tuple[str, int], ...]:
    """Pairs in the order of their names."""
    if not isinstance(value, Mapping) or "" in value:
        raise ValueError
    for port in value.values():
        if type(port) is not int or not 1 <= port <= 65535:
            raise ValueError
    return tuple(sorted((text(k), v) for k, v in value.items()))


META: Final = Rule("an object of texts", read_meta)
TAGS: Final = Rule("a list of texts", read_tags)
PORTS: Final = Rule("an object of names and port numbers from 1 to 65535", read_ports)

"""The checks of single fields that formats share, and the one error that they raise.

Rules: pure; `BadData` is the only error that leaves this file. A text always names the field, the
value that stands there and what it must be, so that a person can mend it without reading code.
"""

from __future__ import annotations

import ipaddress
import marshal
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from math import isfinite
from typing import Any, Final, TypeVar

import msgspec

from zkdns.model import Registration
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

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_NUMERIC = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"(?!0\.|2(?:2[4-9]|3[0-9])\.|255\.255\.255\.255$){_OCTET}(?:\.{_OCTET}){{3}}")
"""No 0/8 ("this host"), no multicast, no broadcast (RFC 6890): a client can't reach one machine there."""
_MARKS = ((b"\xef\xbb\xbf", "UTF-8"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
MAX_WHAT_CHARACTERS: Final = 500
"""Of what is told of one payload: it ends in logs, pages and the journal."""

MAX_ADDRESS_CHARACTERS: Final = 45
"""Of an IPv6 address, its last groups written as IPv4 (RFC 4291, section 2.2)."""

MAX_HOST_CHARACTERS: Final = 254
"""Of a host name (RFC 1035, section 2.3.4), with the dot of the root."""

MAX_SHARED_BYTES: Final = 2048
_POOL_MAX = 20_000
_pool: dict[Any, Any] = {}


class BadData(Exception):
    """A payload that can't be taken: `what` is wrong, and the `cure`. Becomes a Problem. Both are
    printable, whatever the payload was: they end in logs and on terminals."""

    def __init__(self, what: str, cure: str) -> None:
        super().__init__(f"{_cut(what)}; {_cut(cure)}")
        self.what = printable(_cut(what))
        self.cure = printable(_cut(cure))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_WHAT_CHARACTERS else text[:MAX_WHAT_CHARACTERS] + "..."


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


def why_no_json(data: bytes) -> BadData:
    """What to tell of a payload that is empty or no JSON."""
    cure = 'write JSON such as {"address": "10.0.0.5", "port": 8080}'
    if not data.strip():
        return BadData("its data is empty", cure)
    for mark, name in _MARKS:
        if data.startswith(mark):
            return BadData(
                f"its data begins with a byte order mark ({name})", "write UTF-8 without such a mark"
            )
    if b"\0" in data:
        return BadData("its data holds NUL characters", "write it as UTF-8 text, without NUL (\\0) in it")
    try:
        json_values.read(data)
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


def digits(low: int, high: int) -> Rule:
    """A whole number, or a text of its digits: five at most, whatever they are."""
    rule = whole(low, high)

    def read(value: Any) -> int:
        if isinstance(value, str) and len(value) <= MAX_DIGITS and value.isascii() and value.isdigit():
            value = int(value)
        number: int = rule.read(value)
        return number

    return Rule(f"{rule.must}, of {MAX_DIGITS} digits at most", read)


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
    """The address in the one spelling of RFC 5952, or None where it is none that a client can use. An IPv4
    address in an IPv6 one's clothes (`::ffff:10.0.0.5`, as dual-stack sockets write it) is the IPv4 one."""
    if len(value) > MAX_ADDRESS_CHARACTERS:
        return None
    if ":" not in value:
        return value if _IPV4.fullmatch(value) else None  # ten times as fast as ipaddress
    try:
        address = ipaddress.IPv6Address(value)
    except ValueError:
        return None
    if address.ipv4_mapped is not None:
        return canonical(str(address.ipv4_mapped))
    if "%" in value or address.is_unspecified or address.is_multicast or address.is_link_local:
        return None  # a scope has no place in a record, and :: is an address to bind, not to reach
    return str(address)


def why_unusable(value: str) -> str:
    """Why no client can use what is an address all the same; "" for what is none."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_multicast:
        return "a multicast address"
    if isinstance(address, ipaddress.IPv6Address) and address.is_link_local:
        return "a link-local address, which is reached through one interface alone"
    if str(address) == "255.255.255.255":
        return "the broadcast address"
    return "which no client can reach"


def is_host(value: str) -> bool:
    """Whether it can be a host name. The last label must not look like a number, else a mistyped
    address would pass for a name (RFC 1123, section 2.1)."""
    if len(value) > MAX_HOST_CHARACTERS:
        return False
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
    if not isinstance(value, list | tuple) or not set(map(type, value)) <= {str}:
        must = "an address, a host name or a list of addresses"
        raise BadData(f"{field} is {show(value)}, not {must}", f"set {field} to {must}")
    if not value:
        raise BadData(f"{field} is an empty list", f"name at least one address in {field}")
    if len(value) == 1:
        return where(value[0], field)
    addresses = []
    for at, item in enumerate(islice(dict.fromkeys(value), MAX_ITEMS)):
        address = canonical(item)
        if address is None:
            if is_host(item):
                raise BadData(
                    f"{field}[{at}] is {show(item)}, a host name",
                    f"a list in {field} holds addresses only; a host name stands alone",
                )
            raise _no_address(item, f"{field}[{at}]")
        addresses.append(address)
    return tuple(dict.fromkeys(addresses)), None


def _no_address(value: str, field: str) -> BadData:
    what = f"{field} is {show(value)}, not an IPv4 or IPv6 address or a host name"
    value = value[:MAX_HOST_CHARACTERS]
    bare = value.strip(" \t\r\n\0\ufeff[]")
    if not bare:
        return BadData(f"{field} is empty", f"set {field} to an address such as 10.0.0.5")
    if (address := canonical(bare)) is not None:
        return BadData(what, f"set {field} to {address}")
    if why := why_unusable(bare):
        return BadData(
            f"{field} is {value}, {why}", f"set {field} to the host's own address, such as 10.0.0.5"
        )
    head, colon, tail = bare.rpartition(":")
    head = head.strip("[]")
    if colon and tail.isascii() and tail.isdigit() and len(tail) <= 5:
        address = canonical(head)
        if address is not None or (is_host(head) and ":" not in head):
            return BadData(what, f"set {field} to {address or head} and the port field to {tail}")
        if why := why_unusable(head):
            cure = f"set {field} to the host's own address, such as 10.0.0.5, and the port field to {tail}"
            return BadData(f"{field} is {show(value)}, {why}", cure)
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

"""zkdns's own JSON: `{"address": "10.0.0.5", "port": 8080, "weight": 10, ...}`.

Rules: unknown fields are ignored, null is as if not given, and one wrong field costs the instance
(in a service's settings: that setting). The typed decoder takes what is right in one go; what it
refuses is read again field by field, to say what is wrong in words.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, get_args

import msgspec

from zkdns.model import NONE_HEALTHY, Check, Policy, Registration, ServiceSettings
from zkdns.registry.fields import (
    META,
    PORT,
    PORTS,
    TAGS,
    TEXT,
    WEIGHT,
    BadData,
    Rule,
    number,
    one_of,
    read_meta,
    share,
    show,
    where,
    whole,
    why_no_json,
)
from zkdns.registry.formats import Node

RANK = 90
FOLDERS: frozenset[str] = frozenset()
QUIET: frozenset[str] = frozenset()

_Word = Annotated[int, msgspec.Meta(ge=0, le=65535)]
_Named = Annotated[str, msgspec.Meta(min_length=1)]


class _Payload(msgspec.Struct):
    address: str | list[str]
    port: _Word | None = None
    weight: _Word | None = None
    priority: _Word | None = None
    status: Literal["up", "starting", "draining", "down"] | None = None
    tags: list[str] | None = None
    zone: str | None = None
    protocol: Literal["tcp", "udp"] | None = None
    ports: dict[_Named, Annotated[int, msgspec.Meta(ge=1, le=65535)]] | None = None
    meta: dict[str, str | bool | int | float | None] | None = None


class _Plain(_Payload, forbid_unknown_fields=True):
    pass


_decode = msgspec.json.Decoder(_Payload).decode
_decode_plain = msgspec.json.Decoder(_Plain).decode

FIELDS: Final[Mapping[str, Rule]] = {
    "port": PORT,
    "weight": WEIGHT,
    "priority": whole(0, 65535),
    "status": one_of("up", "starting", "draining", "down"),
    "tags": TAGS,
    "zone": TEXT,
    "protocol": one_of("tcp", "udp"),
    "ports": PORTS,
    "meta": META,
}


def claims(node: Node) -> bool:
    return "address" in node.object


def parse(node: Node) -> Registration:
    try:
        return _build(_decode(node.data))
    except (ValueError, RecursionError):
        value = node.value
        if not isinstance(value, dict):
            raise why_no_json(node.data) from None
        return explain(value)


def parse_plain(data: bytes) -> Registration | None:
    """What has fields of this format alone, all of them right; None for anything else."""
    try:
        return _build(_decode_plain(data))
    except (ValueError, RecursionError, BadData):
        return None


def from_table(value: Mapping[str, Any]) -> Registration:
    """The same from a table that was read elsewhere (the file registry)."""
    try:
        return _build(msgspec.convert(value, _Payload))
    except (ValueError, RecursionError):
        return explain(value)


def explain(value: Mapping[str, Any]) -> Registration:
    """Field by field: slower, and says in words which one is wrong."""
    address = value.get("address")
    if address is None:
        raise BadData("it has no address", 'add "address": an IPv4 or IPv6 address or a host name')
    addresses, host = where(address)
    taken = {
        field: rule.take(field, value[field])
        for field, rule in FIELDS.items()
        if value.get(field) is not None
    }
    return Registration(addresses, host, **taken)


def _build(raw: _Payload) -> Registration:
    addresses, host = where(raw.address)
    ports = raw.ports
    return Registration(
        addresses,
        host,
        raw.port or 0,
        1 if raw.weight is None else raw.weight,
        raw.priority or 0,
        raw.status or "up",
        share(tuple(dict.fromkeys(t for t in raw.tags if t))) if raw.tags else (),
        sys.intern(raw.zone) if raw.zone else "",
        raw.protocol or "tcp",
        share(tuple(sorted(ports.items()))) if ports else (),
        share(_pairs(raw.meta)) if raw.meta else (),
    )


def _pairs(meta: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    if all(type(value) is str for value in meta.values()):  # as nearly all are: no need to spell them
        return tuple(sorted(meta.items()))
    return read_meta(meta)


# --- the settings of a service ------------------------------------------------------------------


def _read_fail_open(value: Any) -> float:
    if isinstance(value, bool):
        return NONE_HEALTHY if value else 0.0
    share_of_healthy: float = _RATIO.read(value)
    return share_of_healthy


def _read_port(value: Any) -> str | int:
    if isinstance(value, str) and value:
        return value
    port: int = whole(1, 65535).read(value)
    return port


def _read_path(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("/") or not value.isascii():
        raise ValueError
    if not value.isprintable() or " " in value:
        raise ValueError  # it becomes part of a request line
    return value


def _read_command(value: Any) -> tuple[str, ...]:
    words = shlex.split(value) if isinstance(value, str) else value
    if not isinstance(words, list) or not words or not all(isinstance(w, str) for w in words) or not words[0]:
        raise ValueError
    if any("\0" in word for word in words):
        raise ValueError
    return tuple(words)


_RATIO = number(0, 1)

SETTINGS: Final[Mapping[str, Rule]] = {
    "ttl": whole(0, 2**31 - 1),  # RFC 2181, section 8
    "policy": one_of(*get_args(Policy)),
    "answers": whole(1, 65535),
    "fail_open": Rule("true, false or a number from 0 to 1", _read_fail_open),
    "warm": number(0, 86400 * 365),
    "hold": number(0, 86400 * 365),
    "srv_scale": number(0.0001, 65535),
}

CHECK: Final[Mapping[str, Rule]] = {
    "type": one_of("tcp", "http", "command"),
    "port": Rule("the name of a port or a whole number from 1 to 65535", _read_port),
    "path": Rule("a path that starts with / and has no spaces", _read_path),
    "command": Rule("a list of words, the program first", _read_command),
    "interval": number(0.1, 86400),
    "timeout": number(0.01, 3600),
    "rise": whole(1, 1000),
    "fall": whole(1, 1000),
}


def settings(value: Any) -> tuple[ServiceSettings, list[BadData], None]:
    """The settings, and what is wrong: each wrong one leaves its default in force."""
    if not isinstance(value, Mapping):
        what = f"the service's data is {show(value)}, not a JSON object"
        return ServiceSettings(), [BadData(what, 'write an object such as {"ttl": 5}, or nothing')], None
    taken, wrong = _take(value, SETTINGS, "")
    check = value.get("check")
    if check is not None:
        try:
            taken["check"] = _check(check)
        except BadData as error:
            cure = f"{error.cure}; until then the service has no check"
            wrong.append(BadData(error.what, cure))
    return ServiceSettings(**taken, given=tuple(sorted(taken))), wrong, None


def _check(value: Any) -> Check:
    if not isinstance(value, Mapping):
        must = 'an object such as {"type": "tcp"}'
        raise BadData(f"check is {show(value)}, not {must}", f"set check to {must}")
    if value.get("type") is None:
        raise BadData("check has no type", f"set check.type to {CHECK['type'].must}")
    taken, wrong = _take(value, CHECK, "check.")
    if wrong:
        raise wrong[0]
    if taken["type"] == "command" and "command" not in taken:
        raise BadData("check has no command", f"set check.command to {CHECK['command'].must}")
    return Check(**taken)


def _take(
    value: Mapping[str, Any], rules: Mapping[str, Rule], prefix: str
) -> tuple[dict[str, Any], list[BadData]]:
    taken: dict[str, Any] = {}
    wrong: list[BadData] = []
    for field, rule in rules.items():
        if value.get(field) is not None:
            try:
                taken[field] = rule.take(prefix + field, value[field])
            except BadData as error:
                wrong.append(error)
    return taken, wrong

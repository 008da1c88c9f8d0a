"""zkdns's own JSON: `{"address": "10.0.0.5", "port": 8080, "weight": 10, ...}`.

Rules: unknown fields are ignored, null is as if not given, and one wrong field costs the instance. The typed
decoder takes what is right in one go; what it refuses is read again field by field, to say what is wrong in
words.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, Final, Literal

import msgspec

from zkdns.model import Registration
from zkdns.registry.addresses import where
from zkdns.registry.fields import (
    META,
    PORT,
    PORTS,
    TAGS,
    TEXT,
    WEIGHT,
    BadData,
    Rule,
    one_of,
    read_meta,
    share,
    whole,
)
from zkdns.registry.formats import Node, demand_object
from zkdns.registry.json_values import SMALL_BYTES

RANK = 90
FOLDERS: frozenset[str] = frozenset()
QUIET: frozenset[str] = frozenset()
KEPT: frozenset[str] = frozenset()

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
    meta: dict[str, Any] | None = None


class _Plain(_Payload, forbid_unknown_fields=True):
    pass


_decode = msgspec.json.Decoder(_Payload, float_hook=float).decode
_decode_plain = msgspec.json.Decoder(_Plain, float_hook=float).decode

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


CURE = 'write JSON such as {"address": "10.0.0.5", "port": 8080}'


def claims(node: Node) -> bool:
    return "address" in node.object


def parse(node: Node) -> Registration:
    if len(node.data) <= SMALL_BYTES:
        with suppress(ValueError, RecursionError):
            return _build(_decode(node.data))
    return explain(demand_object(node, CURE))


def parse_plain(data: bytes) -> Registration | None:
    """What has fields of this format alone, all of them right; None for anything else, and for what is long:
    that is read once, for all formats."""
    if len(data) > SMALL_BYTES:
        return None
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
        share(raw.zone) if raw.zone else "",
        raw.protocol or "tcp",
        share(tuple(sorted(ports.items()))) if ports else (),
        share(_pairs(raw.meta)) if raw.meta else (),
    )


def _pairs(meta: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    if all(type(value) is str for value in meta.values()):  # as nearly all are: no need to spell them
        return tuple(sorted(meta.items()))
    return read_meta(meta)

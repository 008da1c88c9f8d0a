"""One node /zkdns/overrides/SERVICE/ID or /zkdns/overrides/SERVICE <-> an operator's override.

Rules: pure. Its JSON has the keys of `model.Override`, with a route's own in the place of `route`; unknown
ones are left alone, so that a later version may add some. SERVICE and ID are percent-encoded by `path`, since
Dubbo's ids hold "%" and old ids may hold anything; names that stand there as they are count as well.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import quote, unquote

import msgspec

from zkdns.model import MAX_WEIGHT, Override
from zkdns.registry.fields import show
from zkdns.registry.znodes import Written
from zkdns.roots import OVERRIDES
from zkdns.routes import parse_route, spell_route

MAX_DEPTH: Final = 8
"""Overrides that lie upon each other."""

MAX_BYTES: Final = 256 * 1024
"""Of one override: eight that lie upon each other, each a route of 64 targets, have so much."""

MAX_FLOAT: Final = sys.float_info.max
MAX_WHY_CHARACTERS: Final = 500
MAX_WHO_CHARACTERS: Final = 100
"""Beyond them the text is cut: it is told in each change, reason and page."""


class _Order(msgspec.Struct, omit_defaults=True):
    drain: bool = False
    weight: Annotated[int, msgspec.Meta(ge=0, le=MAX_WEIGHT)] | None = None
    until: Any = None
    why: str = ""
    who: str = ""
    at: Any = 0.0
    under: _Order | None = None
    to: Any = None
    spill: Any = None
    over: Any = None
    start: Any = msgspec.field(default=None, name="from")
    written: Any = None


_decode_order = msgspec.json.Decoder(_Order, float_hook=float).decode
"""Python's floats: msgspec takes forty times as long for those near its limits."""


def path(service: str, id: str) -> str:
    """The node that orders for this instance."""
    return f"{OVERRIDES}/{encode(service)}/{encode(id)}"


def node(service: str) -> str:
    """The node that lays a route over this service."""
    return f"{OVERRIDES}/{encode(service)}"


def decode(key: tuple[str, str]) -> tuple[str, str]:
    """The service and id that a node's names stand for."""
    return unquote(key[0]), unquote(key[1])


def once(orders: Mapping[tuple[str, str], Override]) -> dict[tuple[str, str], Override]:
    """Each node's override once, by what its names stand for: `by_instance()` has it by the names, too."""
    return {k: o for k, o in orders.items() if decode(k) == k or orders.get(decode(k)) != o}


def encode(name: str) -> str:
    encoded = quote(name, safe=":@,;=+~!*'()")
    return encoded.replace(".", "%2E") if encoded in (".", "..") else encoded  # ZooKeeper takes neither


def parse(data: bytes, written: float = 0.0, zxid: int = 0) -> Override:
    """The override that a node's data orders for an instance; ValueError tells what is wrong with it."""
    override = _build(_decode(data), MAX_DEPTH, Written(written, zxid))
    if not override.drain and override.weight is None:
        raise ValueError("orders nothing")
    return override


def parse_laid(data: bytes, written: float = 0.0, zxid: int = 0) -> Override:
    """The same for a service. `written`, `zxid`: when the node was (its mtime), by which transaction."""
    override = _build(_decode(data), MAX_DEPTH, Written(written, zxid))
    if override.route is None:
        raise ValueError("orders nothing: it has no route")
    return override


def _decode(data: bytes) -> _Order:
    if len(data) > MAX_BYTES:
        raise ValueError(f"can't be read: it has more than {MAX_BYTES} bytes")
    try:
        return _decode_order(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"can't be read: {str(error)[:80]}") from None


def _build(order: _Order, deepest: int, written: Written) -> Override:
    under = _build(order.under, deepest - 1, written) if order.under is not None and deepest else None
    route = None
    if order.to is not None:
        fields = {"to": order.to, "spill": order.spill, "over": order.over, "from": order.start}
        # One that another was laid upon began when it was written, not when the other was.
        began = _moment("written", order.written)
        began = written.at if began is None else began
        route = parse_route(fields, began, written.zxid)
    until, at = _moment("until", order.until), _moment("at", order.at)
    why, who = order.why[:MAX_WHY_CHARACTERS], order.who[:MAX_WHO_CHARACTERS]
    return Override(order.drain, order.weight, until, why, who, at or 0.0, under, route)


def _moment(field: str, value: Any) -> float | None:
    if value is None:
        return None
    if type(value) not in (int, float) or not abs(value) <= MAX_FLOAT:
        raise ValueError(f"can't be read: {field} is {show(value)}, not a time in seconds")
    return float(value)


def spell(order: Override) -> bytes:
    """The other way."""
    return msgspec.json.encode(_struct(order))


def _struct(order: Override) -> _Order:
    under = order.under
    if under is None:
        below = None
    else:
        below = _struct(under)
        if under.route is not None and under.route.written:
            below.written = under.route.written
    route = spell_route(order.route) if order.route is not None else {}
    return _Order(
        order.drain, order.weight, order.until, order.why, order.who, order.at, below,
        route.get("to"), route.get("spill"), route.get("over"), route.get("from"),
    )  # fmt: skip

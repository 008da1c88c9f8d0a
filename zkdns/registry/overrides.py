"""The nodes /zkdns/overrides/SERVICE/ID and /zkdns/overrides/SERVICE <-> operators' overrides.

Rules: pure. A node that can't be read costs itself: it is a Problem and orders nothing. Its JSON has
the keys of `model.Override`, with a route's own in the place of `route`; unknown ones are left alone, so that
a later version may add some. SERVICE
and ID are percent-encoded by `path`, since Dubbo's ids hold "%" and old ids may hold anything; names that
stand there as they are count as well.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import quote, unquote

import msgspec

from zkdns.model import Data, Event, Override, Problem, fault
from zkdns.registry.fields import show
from zkdns.registry.scope import Scope
from zkdns.registry.znodes import Nodes, Written
from zkdns.roots import OVERRIDES
from zkdns.routes import parse_route, spell_route

MAX_DEPTH: Final = 8
"""Overrides that lie upon each other."""

MAX_OVERRIDES: Final = 10_000
MAX_BYTES: Final = 256 * 1024
"""Of one override: eight that lie upon each other, each a route of 64 targets, have so much."""

MAX_FLOAT: Final = sys.float_info.max
MAX_WHY_CHARACTERS: Final = 500
MAX_WHO_CHARACTERS: Final = 100
"""Beyond them the text is cut: it is told in each change, reason and page."""

ROUTE_CURE: Final = 'write {"to": [{"TARGET": SHARE}]}, with "until", "why" and "who" as wanted, or delete it'
CURE: Final = 'write {"drain": true} or {"weight": N}, with "until", "why" and "who" as wanted, or delete it'


class _Order(msgspec.Struct, omit_defaults=True):
    drain: bool = False
    weight: Annotated[int, msgspec.Meta(ge=0, le=65535)] | None = None
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


class Overrides:
    """The reducer: `by_instance()` by service and instance id ("" for the service itself), `problems()` by
    what is wrong."""

    def __init__(self, root: str = OVERRIDES) -> None:
        self.root = root
        self._nodes = Nodes(root, 1, 2)
        self._read: dict[tuple[str, ...], bytes] = {}
        self._order: list[tuple[str, ...]] = []
        """Their names, in order."""
        self._parsed: dict[tuple[str, ...], _Parsed] = {}
        self._heard: dict[tuple[str, ...], _Parsed] = {}
        """What was told since: it is read as it comes, for ten thousand at once take a turn of the loop."""
        self._by_instance: dict[tuple[str, str], Override] = {}
        self._problems: tuple[Problem, ...] = ()

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """What is read."""
        return self._nodes.scopes

    @property
    def zxid(self) -> int:
        return self._nodes.zxid

    def apply(self, event: Event) -> None:
        self._nodes.apply(event)
        if isinstance(event, Data) and len(self._heard) < MAX_OVERRIDES:
            names = tuple(event.path[len(self.root) + 1 :].split("/"))
            written = Written(event.stat.mtime, event.stat.mzxid)
            with suppress(Exception):  # an error of ours is met again when all of them are put together
                self._heard[names] = _parse(names, event.data, written)

    def by_instance(self) -> dict[tuple[str, str], Override]:
        """What stands there now; the same object as before where nothing changed."""
        self._rebuild()
        return self._by_instance

    def lifted_by(self, service: str) -> int:
        """The transaction that ended what was laid over a service: of its node, where that is there without a
        route, else the last that removed one."""
        own = max(self._nodes.written((name,)).zxid for name in (service, _encode(service)))
        return own or self._nodes.listed_by

    def problems(self) -> tuple[Problem, ...]:
        self._rebuild()
        return self._problems

    def _rebuild(self) -> None:
        nodes = self._nodes.nodes()
        if nodes is self._read:
            return
        if self._read.keys() != nodes.keys():
            self._order = sorted(nodes)
        self._read = nodes
        before, self._parsed = self._parsed | self._heard, {}
        self._heard = {}
        orders: dict[tuple[str, str], Override] = {}
        as_they_are: dict[tuple[str, str], Override] = {}
        problems = []
        for names in self._order:
            data = nodes[names]
            service, id = (*names, "")[:2]
            if not id and not data.strip():
                continue  # it holds those of its instances
            if len(self._parsed) >= MAX_OVERRIDES:
                what = f"holds more than {MAX_OVERRIDES} overrides: those from {service}/{id} on are left out"
                problems.append(Problem(self.root, what, "delete those that are not meant any more"))
                break
            try:
                parsed = before.get(names)
                if parsed is None or parsed.data is not data:  # what was told anew has other bytes
                    written = self._nodes.written(names)
                    if parsed is None or (parsed.data, parsed.written) != (data, written):
                        parsed = _parse(names, data, written)
            except Exception as error:  # ours: it costs this override, and the others go on
                problems.append(fault("/".join((self.root, *names)), error))
                continue
            self._parsed[names] = parsed
            if parsed.order is None:
                cure = CURE if id else ROUTE_CURE
                problems.append(Problem("/".join((self.root, *names)), f"the override {parsed.why}", cure))
                continue
            orders[parsed.key] = parsed.order
            if "%" in service + id:
                as_they_are[service, id] = parsed.order
        self._by_instance, self._problems = as_they_are | orders, tuple(problems)


class _Parsed(NamedTuple):
    """One node as it was read: those that stay as they are are the same objects. `key`: the service and id
    that it is of. `why`: what is wrong."""

    data: bytes
    written: Written
    key: tuple[str, str]
    order: Override | None
    why: str


def _parse(names: tuple[str, ...], data: bytes, written: Written) -> _Parsed:
    service, id = (*names, "")[:2]
    return _Parsed(data, written, decode((service, id)), *_try(data, written, id))


def _try(data: bytes, written: Written, id: str) -> tuple[Override | None, str]:
    try:
        return parse(data, *written) if id else parse_laid(data, *written), ""
    except ValueError as error:
        return None, str(error)


def path(service: str, id: str, root: str = OVERRIDES) -> str:
    """The node that orders for this instance."""
    return f"{root}/{_encode(service)}/{_encode(id)}"


def node(service: str, root: str = OVERRIDES) -> str:
    """The node that lays a route over this service."""
    return f"{root}/{_encode(service)}"


def decode(key: tuple[str, str]) -> tuple[str, str]:
    """The service and id that a node's names stand for."""
    return unquote(key[0]), unquote(key[1])


def once(orders: Mapping[tuple[str, str], Override]) -> dict[tuple[str, str], Override]:
    """Each node's override once, by what its names stand for: `by_instance()` has it by the names, too."""
    return {k: o for k, o in orders.items() if decode(k) == k or orders.get(decode(k)) != o}


def _encode(name: str) -> str:
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

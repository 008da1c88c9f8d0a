"""Who was told what: a row a client and service, with when, how often, and what stood first last.

Rules: pure; the clock comes in. Bounded: past the bound the row that was unseen for longest goes, and is
counted. One loop writes; others look at a copy. The native engine's threads keep the same
(`native/src/told.rs`).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from ipaddress import IPv6Address, ip_address
from itertools import chain
from typing import NamedTuple, TypeAlias

from msgspec import Struct

from zkdns.order import in_order

MAX_ROWS = 65_536
"""Rows of one table: each thread of the native engine has one, and the loop of Python."""

MAX_UNORDERED = 2048
"""Rows of those that were seen last, in no order. To put so many in order takes half a millisecond."""

Key: TypeAlias = tuple[str, str]
"""A client, and a service."""


@dataclass(frozen=True, slots=True)
class ClientRow:
    """What one client was told of one service. `last_first`: the id of the instance that stood first in the
    last answer that had one, "" for none. `zone`: where all stood that it was given since `beyond`, "" for
    anywhere. `first`, `last`, `beyond`: seconds since the epoch; 0 for never."""

    client: str
    service: str
    first: float
    last: float
    queries: int
    last_first: str
    zone: str = ""
    beyond: float = 0.0

    def may_hold(self, zone: str, since: float) -> bool:
        """Whether it was given any of this zone since then, as far as is known: "" may be anywhere."""
        return self.last >= since and (not zone or self.zone in ("", zone) or self.beyond >= since)


@dataclass(frozen=True, slots=True)
class Told:
    """`forgotten`: rows that had to go, of whatever service. `is_kept`: whether there are any."""

    rows: tuple[ClientRow, ...]
    forgotten: int = 0
    is_kept: bool = True


NOT_KEPT = Told((), 0, False)


class Asker(NamedTuple):
    """A client, how often it asked for services, and since when (seconds since the epoch)."""

    client: str
    queries: int
    first: float


class Demand(Struct, frozen=True):
    """How often each service was asked for, whatever rows had to go; and the clients seen lately that asked
    most. `is_kept`: whether it is noted at all."""

    services: Mapping[str, int]
    clients: Sequence[Asker]
    is_kept: bool = True


NO_DEMAND = Demand({}, (), False)


class Row:
    """The same of one client and service, as it is kept. It goes on counting while others read it."""

    __slots__ = ("beyond", "first", "last", "last_first", "queries", "zone")

    def __init__(self, now: float) -> None:
        self.first = self.last = now
        self.queries = 0
        self.last_first = self.zone = ""
        self.beyond = 0.0

    def note(self, first_id: str, zone: str, now: float) -> None:
        """An answer was given. `first_id`: what stood first in it, "" where there was nobody to give; `zone`:
        where all of it stood."""
        if first_id:
            self.last_first = first_id
            if zone != self.zone:
                self._move(zone, now)
        self.last = now
        self.queries += 1

    def _move(self, zone: str, now: float) -> None:
        """It is given what stands elsewhere than what it had before."""
        if self.zone:
            self.beyond = now
        elif self.queries:
            self.beyond = self.last
        self.zone = zone or self.zone


Rows: TypeAlias = Iterable[tuple[Key, Row]]

NO_ROWS: Mapping[str, Row] = {}


class ClientTable:
    """The rows of one loop. Those that were seen lately stand in no order, for most of them are seen again;
    so many at a time are put in order, behind all that were seen before them."""

    def __init__(self, limit: int = MAX_ROWS, unordered: int = MAX_UNORDERED) -> None:
        self.forgotten = 0
        self.gone: Counter[str] = Counter()
        """Queries of the rows that had to go, by service."""
        self._limit = limit
        self._unordered = unordered
        self._lately: dict[str, dict[str, Row]] = {}
        """By client and service."""
        self._late = 0
        """How many those are."""
        self._before: OrderedDict[Key, Row] = OrderedDict()
        """The one that was unseen for longest first; all of them for longer than those seen lately."""

    def lately(self, client: str) -> Mapping[str, Row]:
        """By service, the rows of a client that were seen lately; `row` has those that are not there."""
        return self._lately.get(client, NO_ROWS)

    def row(self, client: str, service: str, now: float) -> Row:
        """The row of one, who is seen now."""
        return self.lately(client).get(service) or self._take_up(client, service, now)

    def _take_up(self, client: str, service: str, now: float) -> Row:
        """The row of who was not seen lately."""
        row = self._before.pop((client, service), None)
        if row is None:
            if len(self) >= self._limit:
                self._forget()
            row = Row(now)
        if self._late >= self._unordered:
            self._put_in_order()
        self._lately.setdefault(client, {})[service] = row
        self._late += 1
        return row

    def _put_in_order(self) -> None:
        """Those that were seen lately are so no more."""
        self._before.update(sorted(self._lately_seen(), key=_seen))
        for rows in self._lately.values():
            rows.clear()  # for those who look at them still
        self._lately, self._late = {}, 0

    def _lately_seen(self) -> list[tuple[Key, Row]]:
        return [((client, name), row) for client, rows in self._lately.items() for name, row in rows.items()]

    def _forget(self) -> None:
        """The row that was unseen for longest goes."""
        if not self._before:
            self._put_in_order()
        (_, service), row = self._before.popitem(last=False)
        if len(self.gone) >= MAX_ROWS:
            self.gone.clear()  # services that came and went for years
        self.gone[service] += row.queries
        self.forgotten += 1

    def __len__(self) -> int:
        return self._late + len(self._before)

    def copy(self) -> Rows:
        """For another thread to look at, which also makes the pairs: of all rows they would be twenty
        milliseconds. As an OrderedDict has them they come dearly; as a dict, in the same order, at once."""
        keys, rows = [*dict.keys(self._before)], [*dict.values(self._before)]
        return chain(zip(keys, rows, strict=True), self._lately_seen())


def _seen(row: tuple[Key, Row]) -> float:
    return row[1].last


def pick(rows: Rows, service: str | None, client: str | None) -> Iterable[ClientRow]:
    """The rows of one service, of one client, or all."""
    for (asker, name), row in rows:
        if (service is None or name == service) and (client is None or asker == client):
            held = row.last_first, row.zone, row.beyond
            yield ClientRow(asker, name, row.first, row.last, row.queries, *held)


def sum_up(rows: Rows, gone: Mapping[str, int], since: float, most: int) -> Demand:
    """What was asked by these rows and those that had to go; so many clients, of those seen since."""
    services = Counter(gone)
    clients: dict[str, Asker] = {}
    for (client, service), row in rows:
        services[service] += row.queries
        if row.last >= since:
            clients[client] = _add(clients.get(client), Asker(client, row.queries, row.first))
    return Demand(services, nlargest(most, clients.values(), key=_most))


def join_demand(one: Demand, other: Demand, most: int) -> Demand:
    """What was asked of both."""
    clients: dict[str, Asker] = {}
    for asker in (*one.clients, *other.clients):
        clients[asker.client] = _add(clients.get(asker.client), asker)
    services = Counter(one.services) + Counter(other.services)
    return Demand(services, nlargest(most, clients.values(), key=_most))


def _add(known: Asker | None, more: Asker) -> Asker:
    if known is None:
        return more
    return Asker(more.client, known.queries + more.queries, min(known.first, more.first))


def _most(asker: Asker) -> tuple[int, str]:
    return asker.queries, asker.client


def merge(rows: Iterable[ClientRow]) -> tuple[ClientRow, ...]:
    """One row a client and service of those of all threads, the latest first."""
    merged: dict[tuple[str, str], ClientRow] = {}
    for row in rows:
        key = row.client, row.service
        other = merged.get(key)
        if other is not None:
            old, new = (other, row) if row.last >= other.last else (row, other)
            beyond = max(old.beyond, new.beyond)
            if old.zone != new.zone:
                beyond = max(beyond, old.last if new.zone else new.last)
            row = ClientRow(
                row.client,
                row.service,
                min(old.first, new.first),
                new.last,
                old.queries + new.queries,
                new.last_first or old.last_first,
                new.zone or old.zone,
                beyond,
            )
        merged[key] = row
    return tuple(in_order(merged.values(), lambda row: (-row.last, row.client, row.service)))


def read_client(text: str) -> str:
    """A client's address as rows have it; ValueError where it is none."""
    address = ip_address(text.strip().partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)

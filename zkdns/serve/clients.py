"""Who was told what: a row a client and service, with when, how often, and what stood first last.

Rules: pure; the clock comes in. Bounded: past the bound the row that was unseen for longest goes, and is
counted. One loop writes; others look at a copy. The native engine's threads keep the same
(`native/src/told.rs`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from ipaddress import IPv6Address, ip_address
from itertools import islice
from typing import NamedTuple, TypeAlias

from msgspec import Struct

from zkdns.order import in_order

MAX_ROWS = 65_536
"""Rows of one table: each thread of the native engine has one, and the loop of Python."""

LEAVING_PART = 16
"""The part of the rows that is looked for at once when room is wanted: behind the holes that those seen again
left in the dict, each by itself would be far to seek."""

Times: TypeAlias = tuple[float, float, int, str]
"""First and last time (seconds since the epoch), queries, and what stood first last."""


@dataclass(frozen=True, slots=True)
class ClientRow:
    """What one client was told of one service. `last_first`: the id of the instance that stood first in the
    last answer that had one, "" for none. `first`, `last`: seconds since the epoch."""

    client: str
    service: str
    first: float
    last: float
    queries: int
    last_first: str


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


class ClientTable:
    """The rows of one loop."""

    def __init__(self, limit: int = MAX_ROWS) -> None:
        self.forgotten = 0
        self.gone: Counter[str] = Counter()
        """Queries of the rows that had to go, by service."""
        self._limit = limit
        self._rows: dict[tuple[str, str], Times] = {}
        """In the order in which they were last seen: a dict keeps that of what is put in anew, at half the
        price of an OrderedDict."""
        self._leaving: list[tuple[tuple[str, str], Times]] = []
        """Those unseen for longest when it was made, the longest at the end."""

    def note(self, client: str, service: str, first_id: str, now: float) -> None:
        """An answer was given. `first_id`: what stood first in it, "" where there was nobody to give."""
        key = client, service
        rows = self._rows
        known = rows.pop(key, None)
        if known is not None:
            rows[key] = known[0], now, known[2] + 1, first_id or known[3]
            return
        if len(rows) >= self._limit:
            self._forget()
        rows[key] = now, now, 1, first_id

    def _forget(self) -> None:
        """The row that was unseen for longest goes."""
        rows = self._rows
        while True:
            if not self._leaving:
                self._leaving = list(islice(rows.items(), max(1, self._limit // LEAVING_PART)))
                self._leaving.reverse()
            key, times = self._leaving.pop()
            if rows.get(key) is times:  # not seen since
                break
        del rows[key]
        if len(self.gone) >= MAX_ROWS:
            self.gone.clear()  # services that came and went for years
        self.gone[key[1]] += times[2]
        self.forgotten += 1

    def __len__(self) -> int:
        return len(self._rows)

    def copy(self) -> list[tuple[tuple[str, str], Times]]:
        """For another thread to look at."""
        return list(self._rows.items())


def pick(
    rows: Iterable[tuple[tuple[str, str], Times]], service: str | None, client: str | None
) -> Iterable[ClientRow]:
    """The rows of one service, of one client, or all."""
    for (asker, name), times in rows:
        if (service is None or name == service) and (client is None or asker == client):
            yield ClientRow(asker, name, *times)


def sum_up(
    rows: Iterable[tuple[tuple[str, str], Times]], gone: Mapping[str, int], since: float, most: int
) -> Demand:
    """What was asked by these rows and those that had to go; so many clients, of those seen since."""
    services = Counter(gone)
    clients: dict[str, Asker] = {}
    for (client, service), (first, last, queries, _) in rows:
        services[service] += queries
        if last >= since:
            clients[client] = _add(clients.get(client), Asker(client, queries, first))
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
            row = ClientRow(
                row.client,
                row.service,
                min(old.first, new.first),
                new.last,
                old.queries + new.queries,
                new.last_first or old.last_first,
            )
        merged[key] = row
    return tuple(in_order(merged.values(), lambda row: (-row.last, row.client, row.service)))


def read_client(text: str) -> str:
    """A client's address as rows have it; ValueError where it is none."""
    address = ip_address(text.strip())
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)

"""The newest changes in memory, where no state directory is set, and the answers of any moment among them.

Rules: pure. Whoever changes all the time loses changes of its own, not those of others: while a service has
more than a share of what is kept, the oldest change of the one with the most goes first; else the oldest of
all. What went that way is counted, and how its service stood then is unknown. A large change counts as
several.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Final, TypeAlias

from zkdns.model import Change, Service
from zkdns.overrides import moment as time_for_people
from zkdns.pipeline.journal import History, LeftOut, OutOfReach, Query, Record, World
from zkdns.pipeline.journal_undated import dated
from zkdns.steps import SLICE, Steps, finish, walk
from zkdns.topology import Topology

MAX_KEPT = 10_000
"""Changes in memory."""
KIB_OF_ONE: Final = 4
"""What a change may hold; one with more counts as several: instances may have a mebibyte of meta."""
NETWORK_BYTES: Final = 256
"""What one network of a map takes, about."""
SHARES = 16
"""A service with more than one of so many parts is the first to lose what is oldest."""


_Beside: TypeAlias = Service | Topology | str | None
_Row: TypeAlias = tuple[float, str, Change | None, _Beside, int]
"""One change, when it came, of which service, what came with it: the service's own side before it, AWAY
where the service went after it, or where networks stand; and as how many it counts. A plain tuple: a start
has a hundred thousand."""
AWAY: Final = "away"


class MemoryJournal:
    """The newest changes alone, and what they rest upon."""

    def __init__(self, services: Mapping[str, Service], at: float, most: int = MAX_KEPT) -> None:
        self.since = at
        self.left_out = 0
        self._base = World(services)
        self._most = most
        self._share = max(1, most // SHARES)
        self._rows: OrderedDict[int, _Row] = OrderedDict()
        self._size = 0
        """As how many changes all of them count."""
        self._of: dict[str, deque[int]] = {}
        """By service, the numbers of its rows; as how many changes they count is in `_sizes`."""
        self._sizes: dict[str, int] = {}
        self._above: dict[str, None] = {}
        """Who has more than a share: SHARES of them at most, and who comes with one row."""
        self._left: dict[str, LeftOut] = {}
        self._map_since = at
        self._next = 0

    def add(self, at: float, record: Record) -> None:
        """Keep what came together."""
        finish(self.steps(at, record))

    def steps(self, at: float, record: Record) -> Steps[None]:
        """The same with pauses: of a service of thousands all may change at once."""
        rows, of, sizes, share = self._rows, self._of, self._sizes, self._share
        for count, row in enumerate(_rows(at, record), 1):
            if not count % SLICE:
                yield
            service, size = row[1], row[4]
            numbers = of.get(service)
            if numbers is None:
                numbers = of[service] = deque()
                sizes[service] = 0
            numbers.append(self._next)
            rows[self._next] = row
            self._next += 1
            self._size += size
            sizes[service] += size
            if sizes[service] > share:
                self._above[service] = None
            while self._size > self._most:
                self._drop()

    def date(self, by: float) -> Steps[None]:
        """Nobody had set the clock until now: what came by it came so much later."""
        self.since, self._map_since = dated(self.since, by), dated(self._map_since, by)
        self._left = {name: one._replace(since=dated(one.since, by)) for name, one in self._left.items()}
        yield from walk([*self._rows], lambda some: self._date_rows(some, by))

    def _date_rows(self, numbers: Sequence[int], by: float) -> None:
        for number in numbers:
            if (row := self._rows.get(number)) is not None:
                at, service, change, beside, size = row
                if change is not None:
                    change = replace(change, at=dated(change.at, by))
                self._rows[number] = dated(at, by), service, change, beside, size

    def _drop(self) -> None:
        """One row goes."""
        oldest = number = next(iter(self._rows))
        if self._above:
            number = self._of[max(self._above, key=self._sizes.__getitem__)][0]
        row = self._rows.pop(number)
        at, service, _, beside, size = row
        numbers = self._of[service]
        numbers.popleft()  # the oldest of all is the oldest of its service, too
        self._size -= size
        self._sizes[service] -= size
        if self._above and self._sizes[service] <= self._share:
            self._above.pop(service, None)
        if not numbers:
            del self._of[service], self._sizes[service]
        _apply(row, self._base)
        if isinstance(beside, Topology):
            self._map_since = at
        if number != oldest:
            self.left_out += 1
            known = self._left.get(service)
            self._left[service] = LeftOut(service, known.changes + 1 if known else 1, at)
            return
        self.since = at
        if self._left:
            self._left = {name: left for name, left in self._left.items() if left.since > at}

    def changes(self) -> Iterator[Change]:
        """All that are kept, oldest first."""
        return _changes(self._rows.values())

    def history(self, query: Query) -> Callable[[], History]:
        """Finds what is asked for; may be called in a thread."""
        if query.service:
            rows = [self._rows[number] for number in self._of.get(query.service, ())]
        else:
            rows = list(self._rows.values())
        left = tuple(one for one in self._left.values() if query.service in ("", one.service))
        since = left[0].since if query.service and left else self.since
        return lambda: History(query.newest(_changes(rows)), since, left)

    def at(self, moment: float) -> Callable[[], World]:
        """Tells how all stood; may be called in a thread. OutOfReach where that is not known."""
        since = max(self.since, self._map_since)
        if moment < since:
            raise OutOfReach(f"the journal reaches back to {time_for_people(since)} and no further")
        world, rows, left = self._base.copy(), list(self._rows.values()), list(self._left.values())

        def bring_forward() -> World:
            # What bears a later time and came before it did so by a clock that was set back since.
            while rows and rows[-1][0] > moment:
                rows.pop()
            for row in rows:
                _apply(row, world)
            for one in left:
                if moment < one.since:
                    world.hide(one)
            return world

        return bring_forward


def _rows(at: float, record: Record) -> Iterator[_Row]:
    if (topology := record.topology) is not None:
        yield at, "", None, topology, _count(NETWORK_BYTES * len(topology.networks))
    shells = dict(record.shells)
    gone = {service for service, shell in shells.items() if shell is None}
    for change in record.changes:
        service = change.service
        beside = AWAY if service in gone else shells.pop(service, None) if shells else None
        yield at, service, change, beside, _count(_size(change))
    for service in sorted(gone - {change.service for change in record.changes}):
        yield at, service, None, AWAY, 1
    for service, shell in shells.items():
        if shell is not None:
            yield at, service, None, shell, 1


def _count(size: int) -> int:
    """As how many changes it counts."""
    return 1 + size // (KIB_OF_ONE * 1024)


def _size(change: Change) -> int:
    """What it holds, about: the texts that others wrote."""
    if change.instance is None:
        return len(change.id)
    r = change.instance.registration
    ports, meta = chain.from_iterable(r.ports), chain.from_iterable(r.meta)
    return sum(len(text) for text in (change.id, r.zone, *r.tags, *ports, *meta) if type(text) is str)


def _apply(row: _Row, world: World) -> None:
    _, service, change, beside, _ = row
    if beside is not None and beside is not AWAY:
        if isinstance(beside, Service):
            world.put(service, beside)
        elif isinstance(beside, Topology):
            world.topology = beside
    if change is not None:
        world.change(change)
    if beside is AWAY:
        world.put(service, None)


def _changes(rows: Iterable[_Row]) -> Iterator[Change]:
    return (row[2] for row in rows if row[2] is not None)

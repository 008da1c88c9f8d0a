"""First places: what part of them each instance should get, and who had them.

Rules: pure; the same figures for page, API, explain and command line. An id keeps its count while it is
registered, and for long after it went, since it may come back; but ids that never come back (a new one at
each start) don't fill the memory.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Final, Protocol, TypeAlias

from msgspec import Struct

from zkdns.answers import policies, records
from zkdns.answers.table import Entry
from zkdns.model import Service
from zkdns.topology import NOWHERE, Place

MAX_GONE = 10_000
"""Ids that are registered no more and still have their count; then the longest gone is forgotten."""

MAX_CROSSINGS = 100_000
"""Pairs of zones that are counted, of all services together: a registration says in which zone it stands, and
may say another each time."""

MANY: Final = 1000
"""Instances beyond which what was given is counted aside: to look at each takes a turn of its own."""


class FirstPlaces(Struct, frozen=True):
    """Whose first places an Entry gives: `ids[i]` is the instance behind its first tier's i-th
    record; `start` is where `counter` stood when this Entry took over. `client`: the zone that it is given
    to, "" for none; `places`: where the instances stand, None where nobody asks."""

    entry: Entry
    ids: tuple[str, ...]
    start: int
    client: str = ""
    places: Mapping[str, Place] | None = None

    def until(self, end: int) -> Counter[str]:
        """Whose first places those from `start` up to `end` were. A record that several instances share
        counts for the first of them."""
        if not self.entry.tiers:
            return Counter()
        counts: Counter[str] = Counter()
        for member, n in self.entry.tiers[0].rotation.firsts(self.start, end).items():
            counts[self.ids[member]] += n
        return counts

    def crossings(self, counts: Mapping[str, int]) -> Counter[tuple[str, str]]:
        """The same from zone to zone."""
        counts_by_zone: Counter[tuple[str, str]] = Counter()
        for id, n in counts.items() if self.places is not None else ():
            counts_by_zone[self.client, (self.places or {}).get(id, NOWHERE).zone] += n
        return counts_by_zone


Ended: TypeAlias = tuple[FirstPlaces, int]
"""An Entry that gave some, and where its counter stood when that was looked at."""


class Dealt(Protocol):
    """What stands, or stood, for a service. `size`: how many instances stand behind its names."""

    @property
    def size(self) -> int: ...
    def shares(self) -> Mapping[str, float]: ...


class Closed(Struct, frozen=True):
    """What a service gave until `after` took the place of `before`."""

    ended: tuple[Ended, ...]
    before: Dealt | None
    after: Dealt | None

    @property
    def size(self) -> int:
        """Instances that are looked at to count it, about."""
        return sum([one.size for one in (self.before, self.after) if one is not None])


class Sums(Struct, frozen=True):
    """What was counted of one service: by its instances' keys, and by the clients' zone and the instances',
    what was counted last at the end. `mark`: what each had when the weights changed last; `gone`: who has a
    count and is registered no more, in that order."""

    counts: Mapping[str, int] = {}
    crossings: Mapping[tuple[str, str], int] = {}
    mark: Mapping[str, int] = {}
    gone: Mapping[str, None] = {}

    def add(self, ended: Iterable[Ended]) -> Sums:
        """With what these gave."""
        counts, crossings = Counter(self.counts), Counter(self.crossings)
        for places, end in ended:
            more = places.until(end)
            counts.update(more)
            for pair, n in places.crossings(more).items():
                crossings[pair] = crossings.pop(pair, 0) + n
        return Sums(counts, crossings, self.mark, self.gone)

    def close(self, closed: Closed) -> Sums:
        """The same up to where others took its place: whom the service gives, and in which shares, may have
        changed from there on."""
        sums = self.add(closed.ended)
        old, new = (one.shares() if one is not None else None for one in (closed.before, closed.after))
        mark = {} if new is None else self.mark if old == new else sums.counts
        gone = dict.fromkeys([id for id in sums.counts if new is None or id not in new])
        return Sums(sums.counts, sums.crossings, mark, gone)

    def recent(self) -> dict[str, int]:
        """What each has since the weights changed last."""
        return {key: n - self.mark.get(key, 0) for key, n in self.counts.items()}


NOTHING: Final = Sums()


class FirstAnswers(Struct, frozen=True):
    """What one service gave until one moment: what is in the sums, what was `closed` since, and what the
    Entries gave that stand."""

    name: str
    sums: Sums = NOTHING
    closed: tuple[Closed, ...] = ()
    moved: tuple[Ended, ...] = ()

    def add_up(self) -> Sums:
        """All of it; may be done in any thread."""
        return reduce(Sums.close, self.closed, self.sums).add(self.moved)

    def ever(self) -> dict[str, int]:
        """How often each instance stood first, by its key."""
        return dict(self.add_up().counts)

    def recent(self) -> dict[str, int]:
        """The same since the weights of the service's instances changed last."""
        return self.add_up().recent()


class Counted(Struct, frozen=True):
    """What came of counting what one service gave, or the error that it ended with."""

    name: str
    closed: tuple[Closed, ...]
    sums: Sums | None
    error: Exception | None = None


class FirstPlaceCounts:
    """Of each service, what the Entries gave that stand no more. `aside`: whether what takes long is left to
    whoever asks for it (`take_uncounted`)."""

    def __init__(self, aside: bool = False) -> None:
        self._aside = aside
        self._sums: dict[str, Sums] = {}
        self._pairs = 0
        """Of zones, that are counted."""
        self._closed: dict[str, tuple[Closed, ...]] = {}
        """What is not in their sums yet, in its order."""
        self._uncounted: dict[str, None] = {}
        """Services of which that is nobody's yet."""
        self._gone: OrderedDict[tuple[str, str], None] = OrderedDict()

    def close(self, name: str, closed: Closed) -> bool:
        """Others stand in the place of what gave these: whether that is left to be counted aside."""
        before = self._closed.get(name, ())
        if not (closed.ended or before or name in self._sums):
            return False
        self._closed[name] = (*before, closed)
        if before:
            return True
        if self._aside and closed.size > MANY:
            self._uncounted[name] = None
            return True
        self.put(Counted(name, (closed,), self._given(name).add_up()))
        return False

    def take_uncounted(self) -> list[FirstAnswers]:
        """What is to be counted in a thread, and put here as a Counted."""
        names, self._uncounted = self._uncounted, {}
        return [self._given(name) for name in names]

    def put(self, counted: Counted) -> None:
        """So much was counted."""
        name, before = counted.name, self._sums.get(counted.name, NOTHING)
        sums, left = counted.sums or before, self._closed[name][len(counted.closed) :]
        if left:
            self._closed[name], self._uncounted[name] = left, None
        else:
            del self._closed[name]
        self._keep(name, sums)
        if self._pairs > MAX_CROSSINGS:
            self._make_room()
        for id in before.gone.keys() - sums.gone.keys():
            self._gone.pop((name, id), None)
        for id in [id for id in sums.gone if id not in before.gone]:
            self._gone[name, id] = None
        self._forget()

    def _forget(self) -> None:
        forgotten: dict[str, set[str]] = {}
        while len(self._gone) > MAX_GONE:
            (name, id), _ = self._gone.popitem(last=False)
            forgotten.setdefault(name, set()).add(id)
        for name, ids in forgotten.items():
            sums = self._sums[name]
            counts = {id: n for id, n in sums.counts.items() if id not in ids}
            gone = {id: None for id in sums.gone if id not in ids}
            self._keep(name, Sums(counts, sums.crossings, sums.mark, gone) if counts else NOTHING)

    def _keep(self, name: str, sums: Sums) -> None:
        self._pairs += len(sums.crossings) - len(self._sums.pop(name, NOTHING).crossings)
        if sums is not NOTHING:
            self._sums[name] = sums

    def _make_room(self) -> None:
        """Who has more than its part of the pairs of zones keeps half of that, what was counted last."""
        having = {name: sums for name, sums in self._sums.items() if sums.crossings}
        most = max(1, MAX_CROSSINGS // len(having) // 2)
        for name, sums in having.items():
            if len(sums.crossings) > most:
                crossings = dict([*sums.crossings.items()][-most:])
                self._keep(name, Sums(sums.counts, crossings, sums.mark, sums.gone))

    def names(self) -> Iterable[str]:
        """The services of which something was counted."""
        return self._sums.keys() | self._closed.keys()

    def given(
        self, name: str, standing: Iterable[FirstPlaces], position_of: Callable[[Entry], int]
    ) -> FirstAnswers:
        """What one service has at this moment."""
        moved = tuple(
            (places, end) for places in standing if (end := position_of(places.entry)) != places.start
        )
        return self._given(name, moved)

    def _given(self, name: str, moved: tuple[Ended, ...] = ()) -> FirstAnswers:
        return FirstAnswers(name, self._sums.get(name, NOTHING), self._closed.get(name, ()), moved)

    def copy(self) -> FirstPlaceCounts:
        """As of this moment, to be read alone."""
        copy = FirstPlaceCounts()
        copy._sums, copy._closed = dict(self._sums), dict(self._closed)
        return copy


def count(walked: Iterable[FirstAnswers]) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str, str]]]:
    """Who stood first how often, by service and id, and from zone to zone, by service and both."""
    firsts: Counter[tuple[str, str]] = Counter()
    crossings: Counter[tuple[str, str, str]] = Counter()
    for one in walked:
        sums = one.add_up()
        firsts.update({(one.name, id): n for id, n in sums.counts.items()})
        crossings.update({(one.name, *pair): n for pair, n in sums.crossings.items()})
    return firsts, crossings


def shares_of(service: Service) -> dict[str, float]:
    """What part of first places each instance should get, by id, 0 to 1; those of the lowest priority that
    is given out share 1 among them."""
    shares = dict.fromkeys((i.id for i in service.instances), 0.0)
    serving = records.answered(service.instances)
    if serving:
        first = serving[0]
        parts = policies.shares(service.settings.policy, [i.weight for i in first])
        shares.update((i.id, share) for i, share in zip(first, parts, strict=True))
    return shares

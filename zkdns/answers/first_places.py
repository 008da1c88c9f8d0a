"""First places: what part of them each instance should get, and who had them.

Rules: pure; the same figures for page, API, explain and command line. An id keeps its count while it is
registered, and for long after it went, since it may come back; but ids that never come back (a new one at
each start) don't fill the memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

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


class FirstAnswers(NamedTuple):
    """What one service gave at one moment: `counts` by id and `crossings` from zone to zone of the Entries
    that stand no more, and those that `moved`, each with where it stands."""

    name: str
    counts: Mapping[str, int]
    crossings: Mapping[tuple[str, str], int]
    moved: tuple[tuple[FirstPlaces, int], ...]


class FirstPlaceCounts:
    """By service name and instance id: those of Entries that stand no more."""

    def __init__(self) -> None:
        self._crossings: dict[str, Counter[tuple[str, str]]] = {}
        """By service, and by the clients' zone and the instances', what was counted last at the end."""
        self._pairs = 0
        self._counts: dict[str, Counter[str]] = {}
        self._marks: dict[str, Counter[str]] = {}
        self._gone: dict[tuple[str, str], None] = {}

    def add(self, service: str, counts: Mapping[str, int]) -> None:
        if counts:
            self._counts[service] = self.of(service) + Counter(counts)

    def close(self, service: str, places: FirstPlaces, end: int) -> None:
        """Count an Entry that stands no more."""
        counts = places.until(end)
        self.add(service, counts)
        if crossed := places.crossings(counts):
            before = self._crossings.get(service, Counter())
            pairs = Counter({pair: n for pair, n in before.items() if pair not in crossed})
            self._cross(service, pairs + crossed + Counter({pair: before[pair] for pair in crossed}))
            if self._pairs > MAX_CROSSINGS:
                self._make_room()

    def _cross(self, service: str, pairs: Counter[tuple[str, str]]) -> None:
        self._pairs += len(pairs) - len(self._crossings.pop(service, ()))
        if pairs:
            self._crossings[service] = pairs

    def _make_room(self) -> None:
        """Who has more than its part keeps half of that, what was counted last."""
        most = max(1, MAX_CROSSINGS // len(self._crossings) // 2)
        for service, pairs in [*self._crossings.items()]:
            if len(pairs) > most:
                self._cross(service, Counter(dict([*pairs.items()][-most:])))

    def of(self, service: str) -> Counter[str]:
        """A copy of what one service's instances have."""
        return Counter(self._counts.get(service, ()))

    def walk(
        self, names: Iterable[str], standing: Callable[[str], Iterable[FirstPlaces]],
        position_of: Callable[[Entry], int],
    ) -> Iterator[FirstAnswers]:  # fmt: skip
        """What each service has, one after another, each as of one moment: whoever walks may pause between
        two, and count what comes of it in a thread. Nothing that is handed on is written again."""
        for name in dict.fromkeys((*names, *self._counts, *self._crossings)):
            yield self.given(name, standing(name), position_of)

    def given(
        self, name: str, standing: Iterable[FirstPlaces], position_of: Callable[[Entry], int]
    ) -> FirstAnswers:
        """What one service has at this moment."""
        moved = tuple(
            (places, end) for places in standing if (end := position_of(places.entry)) != places.start
        )
        return FirstAnswers(name, self._counts.get(name, {}), self._crossings.get(name, {}), moved)

    def knows(self, service: str) -> bool:
        """Whether anything was counted of it."""
        return service in self._counts or service in self._marks

    def turn(self, name: str, old: Mapping[str, float] | None, new: Mapping[str, float] | None) -> None:
        """Whom the service gives, in which shares, is another from here on; what was given before is counted
        already."""
        if new is None:
            self._marks.pop(name, None)
        elif old != new and (counts := self._counts.get(name)):
            self._marks[name] = counts
        self.keep(name, new or ())

    def at_turn(self, service: str) -> Mapping[str, int]:
        """What each had when the weights changed last."""
        return self._marks.get(service, {})

    def copy(self) -> FirstPlaceCounts:
        """As of this moment, to be read alone."""
        copy = FirstPlaceCounts()
        copy._counts, copy._marks = dict(self._counts), dict(self._marks)
        return copy

    def ever(
        self, service: str, standing: Iterable[FirstPlaces], position_of: Callable[[Entry], int]
    ) -> Counter[str]:
        """How often each instance stood first, by its key, with those that stand."""
        counts = self.of(service)
        for places in standing:
            counts.update(places.until(position_of(places.entry)))
        return counts

    def recent(
        self, service: str, standing: Iterable[FirstPlaces], position_of: Callable[[Entry], int]
    ) -> dict[str, int]:
        """The same since the weights of the service's instances changed last."""
        before = self.at_turn(service)
        return {key: n - before.get(key, 0) for key, n in self.ever(service, standing, position_of).items()}

    def keep(self, service: str, registered: Collection[str]) -> None:
        """These ids are the service's now; the others that have a count are gone."""
        counts = self._counts.get(service)
        if counts is None:
            return
        for id in counts:
            if id in registered:
                self._gone.pop((service, id), None)
            else:
                self._gone.setdefault((service, id))
        forgotten: dict[str, set[str]] = {}
        while len(self._gone) > MAX_GONE:
            name, id = next(iter(self._gone))
            del self._gone[name, id]
            forgotten.setdefault(name, set()).add(id)
        for name, ids in forgotten.items():
            left = Counter({id: n for id, n in self._counts[name].items() if id not in ids})
            if left:
                self._counts[name] = left
            else:
                del self._counts[name]
                self._cross(name, Counter())


def count(walked: Iterable[FirstAnswers]) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str, str]]]:
    """Who stood first how often, by service and id, and from zone to zone, by service and both."""
    firsts: Counter[tuple[str, str]] = Counter()
    crossings: Counter[tuple[str, str, str]] = Counter()
    for name, counts, crossed, moved in walked:
        own, zones = Counter(counts), Counter(crossed)
        for places, end in moved:
            more = places.until(end)
            own.update(more)
            zones.update(places.crossings(more))
        firsts.update({(name, id): n for id, n in own.items()})
        crossings.update({(name, *pair): n for pair, n in zones.items()})
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

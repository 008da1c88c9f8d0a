"""What waits, and whose turn it is, where one may be told from others in several ways.

Rules: pure. Nothing says who a tenant is: it may own a registry, some services of one, or what a program of
its own registered, and a thousand of any of these. So turns go round in each of these ways, one call after
another: whoever is one of few in any of them waits for few, whatever the others have. And two calls in each
round are for what was registered last, and first: where those who wait differ in none of the ways, who was
there before thousands, or comes after them, waits for few as well. (A `backlog` knows one way, and its newest
is what came last.)
"""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict
from collections.abc import Hashable, KeysView
from typing import Final, Generic, TypeAlias, TypeVar

T = TypeVar("T", bound=Hashable)

Whose: TypeAlias = tuple[Hashable, ...]
"""Whose it is, in each of the ways; the first one is the service."""

HEAP: Final = 64
"""So many of a heap may be of those that wait no more, and as many again as do."""


class Rounds(Generic[T]):
    """Each thing once. `ways`: in how many one is told from others."""

    def __init__(self, ways: int) -> None:
        self._lines: tuple[OrderedDict[Hashable, OrderedDict[T, None]], ...] = tuple(
            OrderedDict() for _ in range(ways)
        )
        """For each of the ways, by who it is, what waits: whose turn is next first, of it what came first. A
        dict would look through all that left it for its first."""
        self._waiting: dict[T, tuple[Whose, float, int]] = {}
        """All that stands in these lines: whose it is, when it was registered, and which one it was to
        come."""
        self._by_age: tuple[list[tuple[float, int, T]], ...] = [], []
        """Heaps of it, and of some that did: what was registered last first, of that what came last; and the
        other way round."""
        self._came = 0
        self._way = -1

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, item: object) -> bool:
        return item in self._waiting

    def services(self) -> KeysView[Hashable]:
        """Of which something waits."""
        return self._lines[0].keys()

    def put(self, whose: Whose, item: T, moment: float = 0) -> None:
        """It waits from now on. `moment`: of its registration, in numbers that grow."""
        self._came += 1
        self._waiting[item] = whose, moment, self._came
        for heap, sign in zip(self._by_age, _SIGNS, strict=True):
            heapq.heappush(heap, (sign * moment, sign * self._came, item))
            if len(heap) > 2 * len(self._waiting) + HEAP:
                heap[:] = [one for one in heap if self._is_one(one)]
                heapq.heapify(heap)
        for who, lines in zip(whose, self._lines, strict=True):
            lines.setdefault(who, OrderedDict())[item] = None

    def take_out(self, item: T) -> tuple[Whose, float]:
        """It waits no more; KeyError where it did not. Returns whose it is, and when it was registered."""
        whose, moment, _ = self._waiting.pop(item)
        for who, lines in zip(whose, self._lines, strict=True):
            del lines[who][item]
            if not lines[who]:
                del lines[who]
        return whose, moment

    def take_next(self) -> tuple[Whose, float, T]:
        """Takes what is next; KeyError where nothing waits."""
        item = self._next()
        whose, moment = self.take_out(item)
        for who, lines in zip(whose, self._lines, strict=True):
            if who in lines:
                lines.move_to_end(who)
        return whose, moment, item

    def _next(self) -> T:
        if not self._waiting:
            raise KeyError
        self._way = (self._way + 1) % (len(self._lines) + len(self._by_age))
        if self._way >= len(self._lines):
            heap = self._by_age[self._way - len(self._lines)]
            while not self._is_one(first := heapq.heappop(heap)):
                pass
            return first[2]
        line = next(iter(self._lines[self._way].values()))
        return next(iter(line))

    def _is_one(self, one: tuple[float, int, T]) -> bool:
        """Whether this of a heap still waits; it may have gone, and come again."""
        _, came, item = one
        waits = self._waiting.get(item)
        return waits is not None and waits[2] == abs(came)


_SIGNS: Final = -1, 1


class Admission(Generic[T]):
    """Rounds in which no service has more than `each`, called or to be called: the others of it wait for
    those, in rounds of their own."""

    def __init__(self, each: int, ways: int) -> None:
        self._each = each
        self._ways = ways
        self._inside: Counter[Hashable] = Counter()
        """By service, those that were called, or may be."""
        self._waiting: Rounds[T] = Rounds(ways)
        """Those that may be called."""
        self._beyond: dict[Hashable, Rounds[T]] = {}
        """By service, those that wait for its own others."""

    def __len__(self) -> int:
        """How many may be called."""
        return len(self._waiting)

    def services(self) -> KeysView[Hashable]:
        """Of which one may be called."""
        return self._waiting.services()

    def put(self, whose: Whose, item: T, moment: float = 0) -> None:
        """It waits from now on. `moment`: of its registration, in numbers that grow."""
        if self._inside[whose[0]] < self._each:
            self._let_in(whose, item, moment)
        else:
            if (beyond := self._beyond.get(whose[0])) is None:
                beyond = self._beyond[whose[0]] = Rounds(self._ways)
            beyond.put(whose, item, moment)

    def take_next(self) -> tuple[Whose, T]:
        """Calls what is next; KeyError where nothing may be. It counts until it is `done`."""
        whose, _, item = self._waiting.take_next()
        return whose, item

    def leave(self, service: Hashable, item: T) -> None:
        """It waits no more, if it did."""
        if item in self._waiting:
            self._waiting.take_out(item)
            self.done(service)
        elif (beyond := self._beyond.get(service)) and item in beyond:
            beyond.take_out(item)
            if not beyond:
                del self._beyond[service]

    def done(self, service: Hashable) -> None:
        """One of the service that was called is over: another of it may be."""
        self._inside[service] -= 1
        if beyond := self._beyond.get(service):
            whose, moment, item = beyond.take_next()
            if not beyond:
                del self._beyond[service]
            self._let_in(whose, item, moment)
        elif not self._inside[service]:
            del self._inside[service]

    def _let_in(self, whose: Whose, item: T, moment: float) -> None:
        self._inside[whose[0]] += 1
        self._waiting.put(whose, item, moment)

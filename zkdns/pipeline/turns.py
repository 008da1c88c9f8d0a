"""A semaphore that is fair to all: so many at a time, so many of each service, and whose turn it is.

Rules: one asyncio loop. Nothing says who a tenant is: it may own a registry, some services of one, or what a
program of its own registered, and a thousand of any of these. So turns go round in each of these ways, one
call after another: whoever is one of few in any of them waits for few, whatever the others have. And one call
in each round is for what was registered last: where claims differ in none of the ways, it waits for few as
well. (A `backlog` knows one way, and its newest is what came last; who waits there does not go before he is
called.)
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter, OrderedDict
from collections.abc import Hashable
from types import TracebackType
from typing import TypeAlias

Whose: TypeAlias = tuple[Hashable, ...]
"""Whose it is, in each of the ways; the first one is the service."""

HEAP = 64
"""So many of a heap may be of those that wait no more, and as many again as do."""


class Claim:
    """A place, waited for and then held, for as long as this is entered. `called`: it may come; `moment`:
    of its registration, in numbers that grow."""

    def __init__(self, turns: Turns, whose: Whose, moment: int) -> None:
        self.whose = whose
        self.moment = moment
        self.called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.has_place = False
        self._turns: Turns | None = turns

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_up()

    def give_up(self) -> None:
        """It is needed no more."""
        turns, self._turns = self._turns, None
        if turns is not None:
            turns.end(self)


Line: TypeAlias = OrderedDict[Claim, None]
"""Those who wait, the first one first; a dict would look through all that left it for its first."""


class Turns:
    """`total` at a time, `each` of one service; `ways`: in how many one is told from others."""

    def __init__(self, total: int, each: int, ways: int = 1) -> None:
        self._free = total
        self._each = each
        self._inside: Counter[Hashable] = Counter()
        """By service, those that have a place or may be called."""
        self._beyond: dict[Hashable, Line] = {}
        """By service, those that wait for its own others."""
        self._lines: tuple[OrderedDict[Hashable, Line], ...] = tuple(OrderedDict() for _ in range(ways))
        """For each of the ways, by who it is, those that may be called: who is next first."""
        self._waiting: set[Claim] = set()
        """All that stand in these lines."""
        self._newest: list[tuple[int, int, Claim]] = []
        """A heap of them, and of some that did: what was registered last first, of that what came last."""
        self._came = self._calls = 0

    def claim(self, whose: Whose, moment: int = 0) -> Claim:
        """To be entered at once."""
        claim = Claim(self, whose, moment)
        service = whose[0]
        if self._inside[service] < self._each:
            self._let_in(claim)
            self._call()
        else:
            self._beyond.setdefault(service, OrderedDict())[claim] = None
        return claim

    def end(self, claim: Claim) -> None:
        """It has no place any more, and waits for none."""
        service = claim.whose[0]
        if claim in self._beyond.get(service, ()):
            self._take_from_beyond(service, claim)
            return
        if claim.has_place:
            claim.has_place = False
            self._free += 1
        else:
            self._strike(claim)
        self._inside[service] -= 1
        if beyond := self._beyond.get(service):
            self._let_in(self._take_from_beyond(service, next(iter(beyond))))
        elif not self._inside[service]:
            del self._inside[service]
        self._call()

    def _take_from_beyond(self, service: Hashable, claim: Claim) -> Claim:
        del self._beyond[service][claim]
        if not self._beyond[service]:
            del self._beyond[service]
        return claim

    def _let_in(self, claim: Claim) -> None:
        self._inside[claim.whose[0]] += 1
        self._waiting.add(claim)
        self._came += 1
        heapq.heappush(self._newest, (-claim.moment, -self._came, claim))
        if len(self._newest) > 2 * len(self._waiting) + HEAP:
            self._newest = [one for one in self._newest if one[2] in self._waiting]
            heapq.heapify(self._newest)
        for who, lines in zip(claim.whose, self._lines, strict=True):
            lines.setdefault(who, OrderedDict())[claim] = None

    def _strike(self, claim: Claim) -> None:
        """It is in no line any more."""
        self._waiting.remove(claim)
        for who, lines in zip(claim.whose, self._lines, strict=True):
            del lines[who][claim]
            if not lines[who]:
                del lines[who]

    def _call(self) -> None:
        """Calls those who may come now."""
        while self._free and self._waiting:
            claim = self._next()
            self._strike(claim)
            self._free -= 1
            claim.has_place = True
            if not claim.called.done():  # else it was cancelled, and is about to give up
                claim.called.set_result(None)

    def _next(self) -> Claim:
        self._calls += 1
        way = self._calls % (len(self._lines) + 1)
        if way == len(self._lines):
            while True:
                claim = heapq.heappop(self._newest)[2]
                if claim in self._waiting:
                    return claim
        lines = self._lines[way]
        who, line = next(iter(lines.items()))
        lines.move_to_end(who)
        return next(iter(line))

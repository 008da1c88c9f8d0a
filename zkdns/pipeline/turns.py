"""A semaphore that is fair to all: so many at a time, so many of each service, and whose turn it is.

Rules: one asyncio loop. Whose turn it is, `rounds` says; who waits here may go before he is called.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Hashable
from types import TracebackType
from typing import TypeAlias

from zkdns.rounds import Rounds, Whose


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
        self._waiting: Rounds[Claim] = Rounds(ways)
        """Those that may be called."""

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
            self._waiting.take_out(claim)
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
        self._waiting.put(claim.whose, claim, claim.moment)

    def _call(self) -> None:
        """Calls those who may come now."""
        while self._free and self._waiting:
            _, claim = self._waiting.take_next()
            self._free -= 1
            claim.has_place = True
            if not claim.called.done():  # else it was cancelled, and is about to give up
                claim.called.set_result(None)

"""A semaphore that is fair to all: so many at a time, so many of each service, and whose turn it is.

Rules: one asyncio loop. Whose turn it is, `rounds` says; who waits here may go before he is called.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

from zkdns.rounds import Admission, Whose


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


class Turns:
    """`total` at a time, `each` of one service; `ways`: in how many one is told from others."""

    def __init__(self, total: int, each: int, ways: int = 1) -> None:
        self._free = total
        self._waiting: Admission[Claim] = Admission(each, ways)

    def claim(self, whose: Whose, moment: int = 0) -> Claim:
        """To be entered at once."""
        claim = Claim(self, whose, moment)
        self._waiting.put(whose, claim, moment)
        self._call()
        return claim

    def end(self, claim: Claim) -> None:
        """It has no place any more, and waits for none."""
        service = claim.whose[0]
        if claim.has_place:
            claim.has_place = False
            self._free += 1
            self._waiting.done(service)
        else:
            self._waiting.leave(service, claim)
        self._call()

    def _call(self) -> None:
        """Calls those who may come now."""
        while self._free and self._waiting:
            _, claim = self._waiting.take_next()
            self._free -= 1
            claim.has_place = True
            if not claim.called.done():  # else it was cancelled, and is about to give up
                claim.called.set_result(None)

"""How long one kind of work may hold the loop before others have their turn.

Rules: by time, for what one answer costs depends on what is asked: twenty cost no more than one. Whoever
comes meanwhile waits for no more than the rest of this turn: work that goes on does so behind all that the
sockets brought.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final

TURN_SECONDS: Final = 0.0001
"""What is answered of many that wait. A wake-up of the loop costs some 0.025 ms beside."""

ALONE_SECONDS: Final = 0.0005
"""The same where one client sent all that waits: none but other transports and changes come after it."""

FEW: Final = 8
"""So many are answered without a look at the clock."""


def go_on(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> asyncio.Handle:
    """Have work that had its turn go on behind all that is ready by then: asyncio puts what is called `soon`
    before what its sockets bring, and timers after that."""
    return loop.call_later(0, work)


async def take_turns(steps: Iterable[None], clock: Callable[[], float] = time.perf_counter) -> None:
    """Until none is left, so many steps in each turn as it has time for."""
    end = clock() + TURN_SECONDS
    for _ in steps:
        if clock() >= end:
            await asyncio.sleep(0)
            end = clock() + TURN_SECONDS


class NextTurn:
    """The one turn that work has next, however often it is asked for. `is_asked`: whether there is one;
    the work itself takes that back as it begins, since to be told of it here would be one call more in
    each turn."""

    __slots__ = ("_work", "is_asked")

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self.is_asked = False

    def ask(self) -> None:
        """In the loop that runs."""
        if not self.is_asked:
            self.is_asked = True
            go_on(asyncio.get_running_loop(), self._work)

"""When each of many questions is to be looked at again: one timer of the loop stands for all of them.

Rules: one asyncio loop. asyncio calls all timers that are due before it looks at a socket again: a thousand
questions that were asked in one moment are due in one moment, and here have turns.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from itertools import count

from zkdns.turn import TURN_SECONDS, go_on


class Alarm:
    """One call that is due later, unless it is cancelled first."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class Alarms:
    """Calls what is due, in the order of its time, a turn of it and then the rest."""

    def __init__(self, tick: Callable[[], float] = time.perf_counter) -> None:
        self._tick = tick
        self._due: list[tuple[float, int, Alarm]] = []
        self._numbers = count()
        self._timer: asyncio.Handle | None = None
        self._rings_at = 0.0

    def set(self, delay: float, call: Callable[[], None]) -> Alarm:
        """Have this called in so many seconds."""
        alarm, when = Alarm(call), asyncio.get_running_loop().time() + delay
        heapq.heappush(self._due, (when, next(self._numbers), alarm))
        if self._timer is None or when < self._rings_at:
            self._wind()
        return alarm

    def _wind(self) -> None:
        """Ring when the first of them is due."""
        due, loop = self._due, asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while due and due[0][2].call is None:
            heapq.heappop(due)
        if due:
            self._rings_at = due[0][0]
            late = self._rings_at <= loop.time()
            self._timer = go_on(loop, self._ring) if late else loop.call_at(self._rings_at, self._ring)

    def _ring(self) -> None:
        due, now = self._due, asyncio.get_running_loop().time()
        until = self._tick() + TURN_SECONDS
        try:
            while due and (due[0][0] <= now or due[0][2].call is None) and self._tick() < until:
                call = heapq.heappop(due)[2].call
                if call is not None:
                    call()
        finally:
            self._wind()

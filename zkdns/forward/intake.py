"""What upstreams said, taken up in turns of the loop: a thousand replies may be here in one moment.

Rules: lives in one loop. What is large is read, judged or joined in a thread before, and nothing of it waits
for that but what comes of it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from zkdns.turn import TURN_SECONDS, go_on

Outcome = TypeVar("Outcome")

LARGE_BYTES = 4 << 10
"""A longer reply is read in the thread: one of 16 KB takes some milliseconds, and the loop has others. A
longer datagram is none that we asked for: its question goes over TCP."""

large_replies = ThreadPoolExecutor(1, "replies")
"""One for all: no flood of them takes more than its part."""


class Intake:
    """What waits to be taken up, in the order in which it came."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._waiting: deque[Callable[[], object]] = deque()
        self._goes_on = False

    def put(self, take: Callable[[], object]) -> None:
        """Call it when it has its turn."""
        self._waiting.append(take)
        if not self._goes_on:
            self._have_turn()

    def work_out(
        self, work: Callable[[], Outcome], then: Callable[[Callable[[], Outcome]], object], *, large: bool
    ) -> None:
        """`then` is given what gives the outcome, or raises what the work raised: at once, or once the thread
        has done the work where it is large."""
        if not large:
            then(work)
            return
        future = asyncio.get_running_loop().run_in_executor(large_replies, work)
        future.add_done_callback(lambda done: self.put(partial(then, done.result)))

    def finish(self) -> None:
        """Take up all that waits, now."""
        while self._waiting:
            self._waiting.popleft()()

    def _have_turn(self) -> None:
        self._goes_on = True
        go_on(asyncio.get_running_loop(), self._go)

    def _go(self) -> None:
        self._goes_on = False
        end = self._clock() + TURN_SECONDS
        try:
            while self._waiting:
                self._waiting.popleft()()
                if self._clock() >= end:
                    break
        finally:
            if self._waiting:
                self._have_turn()

"""What upstreams said, taken up in turns of the loop: a thousand replies may be here in one moment.

Rules: lives in one loop. What is large is read, judged or joined in a thread first, and nothing waits for
that but its own outcome.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from msgspec import Struct

from zkdns.line import Line
from zkdns.steps import Steps
from zkdns.turn import TURN_SECONDS, NextTurn

Outcome = TypeVar("Outcome")
T = TypeVar("T")

LARGE_BYTES = 4 << 10
"""A longer reply is read in the thread: one of 16 KB takes some milliseconds, and the loop has others. A
longer datagram is none that we asked for: its question goes over TCP."""

large_replies = ThreadPoolExecutor(1, "replies")
"""One for all: no flood of them takes more than its part."""


class _Work(Struct, eq=False):
    """`is_wanted`: whether anybody waits for it still."""

    work: Callable[[], Any]
    then: Callable[[Callable[[], Any]], object]
    is_wanted: Callable[[], bool]


class Intake:
    """What waits to be taken up, in the order in which it came; and what waits for the thread, one at a time:
    what is read there becomes much, so nothing more is read before that is done with. Networks take turns."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._waiting: deque[Callable[[], object]] = deque()
        self._next = NextTurn(self._go)
        self._large: Line[_Work] = Line()
        self._begun: Line[_Work] = Line()
        """What goes on with that, before the next of it."""
        self._is_busy = False

    def put(self, take: Callable[[], object]) -> None:
        """Call it when it has its turn."""
        self._waiting.append(take)
        self._next.ask()

    def read(
        self,
        work: Callable[[], Outcome],
        then: Callable[[Callable[[], Outcome]], object],
        whose: bytes,
        is_wanted: Callable[[], bool],
    ) -> None:
        """Have what is large read in the thread, in the turn of the network that asked for it, unless nobody
        waits for it by then; `then` is given what gives the outcome, or raises what the work raised."""
        self._large.put(whose, _Work(work, then, is_wanted))
        self._start()

    async def has_read(self, work: Callable[[], Outcome], whose: bytes = b"") -> Outcome:
        """The same for who can wait."""
        done: asyncio.Future[Callable[[], Outcome]] = asyncio.get_running_loop().create_future()
        self.read(work, partial(_tell, done), whose, partial(_is_awaited, done))
        try:
            return (await done)()
        finally:
            del done  # else an error, which knows this frame, is known to it: a reference cycle

    def work_out(
        self,
        work: Callable[[], Outcome],
        then: Callable[[Callable[[], Outcome]], object],
        whose: bytes,
        *,
        large: bool,
    ) -> None:
        """The same of what was read: at once, or in the thread where it is large."""
        if not large:
            then(work)
            return
        self._begun.put(whose, _Work(work, then, _always))
        self._start()

    def finish(self) -> Steps[None]:
        """Take up all that waits."""
        while self._waiting:
            self._waiting.popleft()()
            yield

    def _start(self) -> None:
        while not self._is_busy and (self._begun or self._large):
            one = (self._begun or self._large).take()
            if one.is_wanted():
                self._is_busy = True
                future = asyncio.get_running_loop().run_in_executor(large_replies, one.work)
                future.add_done_callback(partial(self._done, one))

    def _done(self, one: _Work, done: asyncio.Future[Any]) -> None:
        self.put(partial(self._end, one, done))

    def _end(self, one: _Work, done: asyncio.Future[Any]) -> None:
        self._is_busy = False
        try:
            one.then(done.result)
        finally:
            self._start()

    def _go(self) -> None:
        self._next.is_asked = False
        end = self._clock() + TURN_SECONDS
        try:
            while self._waiting:
                self._waiting.popleft()()
                if self._clock() >= end:
                    break
        finally:
            if self._waiting:
                self._next.ask()


def _always() -> bool:
    return True


def _tell(awaited: asyncio.Future[T], what: T) -> None:
    if _is_awaited(awaited):
        awaited.set_result(what)


def _is_awaited(future: asyncio.Future[Any]) -> bool:
    """Who waited may have gone."""
    return not future.done()

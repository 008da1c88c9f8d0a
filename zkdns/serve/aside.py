"""Work that an answer needs and that takes longer than a turn of the loop may: done in a thread, in turn.

Rules: lives in the loop; `run` has the thread. One piece of work at a time, and services take turns: names of
one service that nobody asked before hold up its own alone. What is asked twice is done once, and who comes
when the line is full is told so.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Executor
from dataclasses import dataclass, field

log = logging.getLogger("zkdns.serve")

MAX_WAITING = 16
"""Pieces of work of one service that may wait."""

MAX_ASKING = 256
"""Who may wait for all of one service's."""

MAX_SERVICES = 256


@dataclass(slots=True, eq=False)
class _Task:
    key: Hashable
    account: str
    work: Callable[[], object]
    then: list[Callable[[], None]] = field(default_factory=list)


Run = Callable[[Callable[[], object], Callable[[], None]], None]


def run_in(threads: Executor) -> Run:
    """Runs work in these, from the loop that runs now."""
    loop = asyncio.get_running_loop()

    def run(work: Callable[[], object], then: Callable[[], None]) -> None:
        def done(future: asyncio.Future[object]) -> None:
            if future.cancelled():
                return
            if (error := future.exception()) is not None:
                log.error("an answer could not be compiled", exc_info=error)
            then()

        try:
            future = loop.run_in_executor(threads, work)
        except RuntimeError:
            return  # the threads have ended, and nobody is answered any more
        future.add_done_callback(done)

    return run


class Aside:
    """`run(work, then)`: does the work in a thread and calls `then` in the loop, whatever came of it."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._waiting: OrderedDict[str, deque[_Task]] = OrderedDict()
        """By service, the next one first."""
        self._known: dict[Hashable, _Task] = {}
        self._asking: dict[str, int] = {}
        self._busy = False

    def do(self, account: str, key: Hashable, work: Callable[[], object], then: Callable[[], None]) -> bool:
        """Do this on a service's account; `then` is called when it is done. False where too many wait."""
        asking = self._asking.get(account, 0)
        if asking >= MAX_ASKING:
            return False
        task = self._known.get(key)
        if task is None:
            line = self._waiting.get(account)
            if line is None:
                if len(self._waiting) >= MAX_SERVICES:
                    return False
                line = self._waiting[account] = deque()
            if len(line) >= MAX_WAITING:
                return False
            task = self._known[key] = _Task(key, account, work)
            line.append(task)
        self._asking[account] = asking + 1
        task.then.append(then)
        self._next()
        return True

    def _next(self) -> None:
        if self._busy or not self._waiting:
            return
        account, line = next(iter(self._waiting.items()))
        task = line.popleft()
        del self._waiting[account]
        if line:
            self._waiting[account] = line  # behind the others: they take turns
        self._busy = True
        self._run(task.work, lambda: self._done(task))

    def _done(self, task: _Task) -> None:
        self._busy = False
        del self._known[task.key]
        left = self._asking[task.account] - len(task.then)
        if left:
            self._asking[task.account] = left
        else:
            del self._asking[task.account]
        try:
            for then in task.then:
                then()
        finally:
            self._next()

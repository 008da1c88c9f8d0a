"""Work that an answer needs and that takes longer than a turn of the loop may: done in a thread, in turn.

Rules: lives in the loop; `run` has the thread. One piece of work at a time; services take turns, and in each
of them the networks of those who ask: names that nobody asked before hold up their own service alone, and
others who ask for it by no more than a piece. What is asked twice is done once, and who comes when there is
no room for its network is told so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Executor

from msgspec import Struct, field

from zkdns.forward.load import Room
from zkdns.line import Line
from zkdns.turn import TURN_SECONDS, NextTurn

log = logging.getLogger("zkdns.serve")

MAX_WAITING = 16
"""Pieces of work of one service that may wait."""

MAX_ASKING = 256
"""Who may wait for all of one service's."""

MAX_SERVICES = 256
"""That may have work waiting."""


class _Task(Struct, eq=False):
    """`network`: of who asked for it first; `askers`: all who did, and what to do for them then."""

    key: Hashable
    account: str
    network: bytes
    work: Callable[[], object]
    askers: list[tuple[bytes, Callable[[], None]]] = []


class _Account(Struct, eq=False):
    """One service's. `line`: its work, in turns of the networks that asked for it, of which one that asks
    little goes before those that have more waiting."""

    line: Line[_Task] = field(default_factory=Line)
    waiting: Room = field(default_factory=lambda: Room(MAX_WAITING))
    asking: Room = field(default_factory=lambda: Room(MAX_ASKING))

    def put(self, task: _Task) -> None:
        self.line.put(task.network, task)
        self.waiting.take(task.network)

    def take(self) -> _Task:
        task = self.line.take()
        self.waiting.leave(task.network)
        return task


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

    def __init__(self, run: Run, clock: Callable[[], float] = time.perf_counter) -> None:
        self._run = run
        self._clock = clock
        self._accounts: dict[str, _Account] = {}
        """By service, those that somebody waits for."""
        self._line: OrderedDict[str, _Account] = OrderedDict()
        """Those of them that have work, the next one first."""
        self._known: dict[Hashable, _Task] = {}
        self._busy = False
        self._told: deque[tuple[str, bytes, Callable[[], None]]] = deque()
        """What is to be done for those whose work is done, whose answers may be long: they have turns."""
        self._next_turn = NextTurn(self._tell)

    def do(
        self,
        account: str,
        network: bytes,
        key: Hashable,
        work: Callable[[], object],
        then: Callable[[], None],
    ) -> bool:
        """Do this on a service's account, for somebody of this network; `then` is called when it is done.
        False where too many wait."""
        own = self._accounts.get(account) or _Account()
        if not own.asking.is_for(network):
            return False
        task = self._known.get(key)
        if task is None:
            if not own.waiting.is_for(network):
                return False
            if account not in self._line and len(self._line) >= MAX_SERVICES:
                return False
            task = self._known[key] = _Task(key, account, network, work)
            own.put(task)
            self._line.setdefault(account, own)
        self._accounts[account] = own
        own.asking.take(network)
        task.askers.append((network, then))
        self._next()
        return True

    def _next(self) -> None:
        if self._busy or not self._line:
            return
        account, own = self._line.popitem(last=False)
        task = own.take()
        if own.line:
            self._line[account] = own  # behind the others: they take turns
        self._busy = True
        self._run(task.work, lambda: self._done(task))

    def _done(self, task: _Task) -> None:
        self._busy = False
        del self._known[task.key]
        self._told.extend((task.account, network, then) for network, then in task.askers)
        if not self._next_turn.is_asked:
            self._tell()
        self._next()

    def _tell(self) -> None:
        self._next_turn.is_asked = False
        until = self._clock() + TURN_SECONDS
        while self._told:
            account, network, then = self._told.popleft()
            own = self._accounts[account]
            own.asking.leave(network)
            if not own.asking.taken:
                del self._accounts[account]
            try:
                then()
            except Exception:
                log.exception("an answer that was compiled could not be given")
            if self._clock() >= until:
                break
        if self._told:
            self._next_turn.ask()

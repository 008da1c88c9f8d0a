"""Who has a thread for what takes long in a large registry: client networks in turn, each with one at a time.

Rules: lives in the loop. The threads are the web's own: publishing, files and zones have others, and never
wait behind a page.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar

from zkdns.backlog import Accounts
from zkdns.forward.allow import network_of

T = TypeVar("T")

_loaded: dict[str, ModuleType] = {}

THREADS = 2
MAX_WAITING = 32
"""Requests that wait for a thread or have one, until each client network is held to its part; twice as many
never do."""
MAX_WAITING_EACH = 8
"""The same of one client network."""
WAIT_SECONDS = 0.05
"""After which one who was let in looks for a thread again."""


async def load(name: str) -> ModuleType:
    """A module that whoever needs it first loads: that takes some milliseconds, of a thread."""
    if name not in _loaded:
        _loaded[name] = await asyncio.to_thread(import_module, name)
    return _loaded[name]


class Busy(Exception):
    """Too many requests wait for a thread already."""


class Threads:
    """A few of them. No network has all, so that another's first request finds one that is free."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, "zkdns-web")
        self._free = THREADS
        self._line: Accounts[asyncio.Future[None]] = Accounts(favours_newest=False)
        self._under_way: Counter[str] = Counter()

    async def run(
        self,
        address: str,
        work: Callable[..., T],
        *arguments: Any,
        has_ended: Callable[[], bool] = lambda: False,
    ) -> T:
        """What `work` returns; Busy where its network has enough under way. `has_ended`: whether the
        client sends nothing more: it may have gone, and while others wait nothing is made for it."""
        network = network_of(address).hex()
        if not self._has_room(network):
            raise Busy
        loop = asyncio.get_running_loop()
        self._under_way[network] += 1
        turn = loop.create_future()
        self._line.put(network, turn)
        self._give()
        try:
            await turn
            if has_ended() and self._line:
                raise Busy
            return await loop.run_in_executor(self._pool, work, *arguments)
        finally:
            self._under_way[network] -= 1
            if not self._under_way[network]:
                del self._under_way[network]
            turn.cancel()
            if not turn.cancelled():  # it was given one
                self._free += 1
                self._line.let_go_on(network)
            self._give()

    def _has_room(self, network: str) -> bool:
        own, all_of_them = self._under_way[network], self._under_way.total()
        if all_of_them >= MAX_WAITING and own >= max(1, MAX_WAITING // len(self._under_way)):
            return False
        return own < MAX_WAITING_EACH and all_of_them < 2 * MAX_WAITING

    def _give(self) -> None:
        while self._free and self._line:
            network, turn = self._line.take_next()
            if not turn.cancelled():
                self._free -= 1
                self._line.hold_back(network)
                turn.set_result(None)

    async def go_on(self, address: str, work: Callable[[], T]) -> T:
        """The same for one who was let in: it waits for its turn, for half of its reply was sent."""
        while True:
            try:
                return await self.run(address, work)
            except Busy:
                await asyncio.sleep(WAIT_SECONDS)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class Asked:
    """The threads, as one request asks for them."""

    def __init__(self, threads: Threads, has_ended: Callable[[], bool]) -> None:
        self._threads = threads
        self._has_ended = has_ended

    def run(self, address: str, work: Callable[[], T]) -> Awaitable[T]:
        return self._threads.run(address, work, has_ended=self._has_ended)

    def go_on(self, address: str, work: Callable[[], T]) -> Awaitable[T]:
        return self._threads.go_on(address, work)

"""Who has a thread for what takes long in a large registry: client networks in turn, each with one at a time.

Rules: lives in the loop. The threads are the web's own: publishing, files and zones have others, and never
wait behind a page. What keeps a thread for long has a share of its own, never all threads, and places that
are not those of the rest.
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
"""Requests of a share that wait for a thread or have one, until each client network is held to its part;
twice as many never do."""
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


class Share:
    """Who asks for one kind of thing. `most`: threads that it may have at once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.busy = 0
        self.line: Accounts[asyncio.Future[None]] = Accounts(favours_newest=False)
        self.under_way: Counter[str] = Counter()

    def has_room(self, network: str) -> bool:
        own, all_of_them = self.under_way[network], self.under_way.total()
        if all_of_them >= MAX_WAITING and own >= max(1, MAX_WAITING // len(self.under_way)):
            return False
        return own < MAX_WAITING_EACH and all_of_them < 2 * MAX_WAITING

    def leave(self, network: str) -> None:
        self.under_way[network] -= 1
        if not self.under_way[network]:
            del self.under_way[network]


class Threads:
    """A few of them. No network has all for what is short, nor have all networks for what is long, so that
    another's first request finds one that is soon free."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, "zkdns-web")
        self._free = THREADS
        self._short, self._long = Share(THREADS), Share(THREADS - 1)
        self._shares = [self._short, self._long]
        """Whose turn is next first."""

    async def run(
        self,
        address: str,
        work: Callable[..., T],
        *arguments: Any,
        has_ended: Callable[[], bool] = lambda: False,
        is_long: bool = False,
    ) -> T:
        """What `work` returns; Busy where its network has enough under way. `has_ended`: whether the
        client sends nothing more: it may have gone, and while others wait nothing is made for it. `is_long`:
        whether it keeps a thread for long."""
        network, share = network_of(address).hex(), self._long if is_long else self._short
        if not share.has_room(network):
            raise Busy
        loop = asyncio.get_running_loop()
        share.under_way[network] += 1
        turn = loop.create_future()
        share.line.put(network, turn)
        self._give()
        try:
            await turn
            if has_ended() and any(one.line for one in self._shares):
                raise Busy
            return await loop.run_in_executor(self._pool, work, *arguments)
        finally:
            share.leave(network)
            turn.cancel()
            if not turn.cancelled():  # it was given one
                self._free += 1
                share.busy -= 1
                share.line.let_go_on(network)
            self._give()

    def _give(self) -> None:
        while self._free and (share := self._take_next_share()) is not None:
            network, turn = share.line.take_next()
            if not turn.cancelled():
                self._free -= 1
                share.busy += 1
                share.line.hold_back(network)
                turn.set_result(None)

    def _take_next_share(self) -> Share | None:
        """In which somebody waits for a thread that it may have."""
        for share in self._shares:
            if share.line and share.busy < share.most:
                self._shares.remove(share)
                self._shares.append(share)
                return share
        return None

    async def go_on(self, address: str, work: Callable[[], T], *, is_long: bool = False) -> T:
        """The same for one who was let in: it waits for its turn, for half of its reply was sent."""
        while True:
            try:
                return await self.run(address, work, is_long=is_long)
            except Busy:
                await asyncio.sleep(WAIT_SECONDS)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class Asked:
    """The threads, as one request asks for them. `is_long`: whether what it asks for keeps one for long."""

    def __init__(self, threads: Threads, has_ended: Callable[[], bool], *, is_long: bool = False) -> None:
        self._threads = threads
        self._has_ended = has_ended
        self._is_long = is_long

    def run(self, address: str, work: Callable[[], T]) -> Awaitable[T]:
        return self._threads.run(address, work, has_ended=self._has_ended, is_long=self._is_long)

    def go_on(self, address: str, work: Callable[[], T]) -> Awaitable[T]:
        return self._threads.go_on(address, work, is_long=self._is_long)

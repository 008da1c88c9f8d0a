"""So many at a time, so many of each, and who waits is called in turn: a semaphore that is fair by account.

Rules: one asyncio loop. Round robin (Nagle, RFC 970): who has a thousand waiting waits for himself.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """`total` at a time, `each` of one account."""

    def __init__(self, total: int, each: int) -> None:
        self._free = total
        self._each = each
        self._held: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        """By account, the next one first."""

    def has_room(self, account: str) -> bool:
        """Whether one of this account would not wait."""
        return bool(self._free) and not self._waiting and self._held[account] < self._each

    @asynccontextmanager
    async def turn(self, account: str) -> AsyncIterator[None]:
        called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(account, deque()).append(called)
        self._call()
        try:
            await called
            yield
        finally:
            if called.done() and not called.cancelled():
                self._free += 1
                self._held[account] -= 1
                if not self._held[account]:
                    del self._held[account]
            self._call()

    def _call(self) -> None:
        """Calls those who may come now."""
        for account in [*self._waiting] if self._free else ():
            queue = self._waiting[account]
            while queue and queue[0].done():  # cancelled meanwhile
                queue.popleft()
            if queue and self._free and self._held[account] < self._each:
                self._free -= 1
                self._held[account] += 1
                queue.popleft().set_result(None)
                self._waiting.move_to_end(account)
            if not queue:
                del self._waiting[account]

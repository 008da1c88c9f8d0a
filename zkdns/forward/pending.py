"""A reply that is due later, and who is told when it is here.

Rules: each asker is told once; one that has gone costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from zkdns.dns.packet import Query


class Pending:
    """A reply that is due later. Who asks for it by `then` is told it once, whenever it comes; a second
    one is nobody's."""

    __slots__ = ("_reply", "_waiting", "query")

    def __init__(self, query: Query) -> None:
        self.query = query
        self._reply: bytes | None = None
        self._waiting: list[Callable[[bytes], None]] = []

    def then(self, take: Callable[[bytes], None]) -> None:
        """Has it told, at once where it is there."""
        if self._reply is not None:
            take(self._reply)
        else:
            self._waiting.append(take)

    def deliver(self, reply: bytes) -> None:
        """The reply is here."""
        if self._reply is None:
            self._reply = reply
            waiting, self._waiting = self._waiting, []
            for take in waiting:
                take(reply)

    async def wait(self) -> bytes:
        """The same for who can wait."""
        done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def take(reply: bytes) -> None:
            if not done.done():  # who waited may have gone
                done.set_result(reply)

        self.then(take)
        return await done

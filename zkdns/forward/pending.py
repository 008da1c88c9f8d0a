"""A reply that is due later, and who is told when it is here.

Rules: each asker is told once; one that has gone costs nothing, and one that can't be told costs itself.
Networks take turns to be told: hundreds may wait for one question, and for a hundred of those.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from zkdns.dns.packet import Query
from zkdns.line import Line
from zkdns.steps import Steps
from zkdns.turn import TURN_SECONDS, go_on

log = logging.getLogger("zkdns.forward")


class Pending:
    """A reply that is due later. Who asks for it by `then` is told it once, whenever it comes; a second
    one is nobody's. `whose`: the network that asks."""

    __slots__ = ("_reply", "_waiting", "query", "whose")

    def __init__(self, query: Query, whose: bytes = b"") -> None:
        self.query = query
        self.whose = whose
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


class Deliveries:
    """Has replies delivered, a part of them a turn, each network's in the order in which they came. `fail` is
    told of each whose delivery met an error of ours."""

    def __init__(
        self, fail: Callable[[Pending], None], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._fail = fail
        self._clock = clock
        self._waiting: Line[tuple[Pending, Callable[[Pending], None]]] = Line()
        self._next: asyncio.Handle | None = None

    def do(self, waiting: Iterable[Pending], deliver: Callable[[Pending], None]) -> None:
        """Deliver to each of them, to the first ones now."""
        for pending in waiting:
            self._waiting.put(pending.whose, (pending, deliver))
        if self._next is None:
            self._go()

    def finish(self) -> Steps[None]:
        """Deliver all that is left."""
        while self._waiting:
            self._deliver()
            yield

    def _go(self) -> None:
        try:
            end = self._clock() + TURN_SECONDS
            while self._waiting:
                self._deliver()
                if self._clock() >= end:
                    break
        finally:  # whatever we fall over: else nobody would be told any more
            self._next = go_on(asyncio.get_running_loop(), self._go) if self._waiting else None

    def _deliver(self) -> None:
        pending, deliver = self._waiting.take()
        try:
            deliver(pending)
        except Exception:
            log.exception("a reply could not be given to %s", pending.query.packet.hex())
            self._fail(pending)

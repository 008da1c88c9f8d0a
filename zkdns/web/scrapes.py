"""Scrapes of /metrics: the counts of one moment, for all who asked before it.

Rules: lives in the loop. One walk over all services at a time, and no more than a part of the loop's time for
them, however many scrape: who comes while one is under way waits for the next, and shares it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

from zkdns.web.slices import in_slices
from zkdns.web.status import Observed
from zkdns.web.threads import load

PACE: Final = 4
"""Times as long as a walk took until the next one begins."""

Pieces = Callable[[], Iterator[bytes]]
"""Makes the text, piece by piece, for one who reads it; may be called in a thread."""


class Scrapes:
    """What is given is shared: two hundred who scrape at once hold one moment, and not two hundred."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._under_way: asyncio.Task[Pieces] | None = None
        self._next: asyncio.Task[Pieces] | None = None
        self._rest_until = 0.0

    async def take(self) -> Pieces:
        """The text of a moment that is still to come."""
        if self._next is None:
            self._next = asyncio.create_task(self._walk(self._under_way))
        return await asyncio.shield(self._next)

    async def _walk(self, before: asyncio.Task[Pieces] | None) -> Pieces:
        loop = asyncio.get_running_loop()
        if before is not None:
            await asyncio.wait([before])
        await asyncio.sleep(self._rest_until - loop.time())
        self._under_way, self._next = self._next, None
        # What they are written with is a good part of a start's imports: who scrapes first loads it.
        metrics = await load("zkdns.web.metrics")
        began = loop.time()
        given = await in_slices(self._observed.walk_first_answers())
        pieces: Pieces = metrics.take(self._observed, given).pieces
        self._rest_until = loop.time() + PACE * (loop.time() - began)
        return pieces

    def close(self) -> None:
        for task in (self._under_way, self._next):
            if task is not None:
                task.cancel()

"""Server-sent events: what waits for one client that listens (WHATWG HTML, "Server-sent events").

Rules: lives in the loop. Whoever is too far behind is cut off, and can read again what it missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec

BACKLOG = 1000
"""Events that wait for one client; one that is further behind is cut off."""

HEARTBEAT = 15.0
"""Seconds between comments on an idle stream: proxies and clients see that it lives."""


def spell(event: Mapping[str, Any]) -> bytes:
    """One change on the wire."""
    return b"event: change\ndata: " + msgspec.json.encode(event) + b"\n\n"


def _nothing() -> None:
    """Who reads what waits finds the end by himself."""


class Stream:
    """The events that wait for one client. `cut`: ends its connection, for one that does not read at all
    never comes to the end of what waits."""

    def __init__(self, cut: Callable[[], None] = _nothing) -> None:
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(BACKLOG)
        self._cut = cut
        self._is_over = False

    def put(self, event: bytes) -> None:
        if self._is_over:
            return
        if self._queue.full():  # too far behind: what it missed it can read again after it reconnects
            self.end()
            self._cut()
        else:
            self._queue.put_nowait(event)

    def end(self) -> None:
        """Nothing more comes, and what waits is let go of."""
        self._is_over = True
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            try:
                event = await asyncio.wait_for(self._queue.get(), HEARTBEAT)
            except TimeoutError:
                yield b": alive\n\n"
                continue
            if event is None:
                return
            yield event

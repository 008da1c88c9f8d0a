"""Server-sent events: who listens, and what waits for each (WHATWG HTML, "Server-sent events").

Rules: lives in the loop. Whoever is too far behind is cut off, and can read again what it missed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Any

from zkdns.model import Change
from zkdns.serve.listen.places import Limits, Places
from zkdns.web import shapes, spelling
from zkdns.web.slices import SECONDS

MAX_STREAMS = 200
BACKLOG = 1000
"""Events that wait for one client; one that is further behind is cut off."""

PIECE_BYTES = 1 << 16
"""Of events that are sent at once."""

WAKES_PER_TURN = 8
"""Streams that are written to in one turn of the loop: each costs some 0.05 ms."""

HEARTBEAT = 15.0
"""Seconds between comments on an idle stream: proxies and clients see that it lives."""


def spell(event: Mapping[str, Any]) -> bytes:
    """One change on the wire."""
    return b"event: change\ndata: " + spelling.spell(event) + b"\n\n"


def _nothing() -> None:
    """Who reads what waits finds the end by himself."""


class Stream:
    """The events that wait for one client. `cut`: ends its connection, for one that does not read at all
    never comes to the end of what waits."""

    def __init__(self, cut: Callable[[], None] = _nothing) -> None:
        self._waiting: deque[bytes] = deque()
        self._cut = cut
        self._is_over = False
        self._awake = asyncio.Event()

    def put(self, event: bytes) -> None:
        """It is sent when the stream is woken."""
        if self._is_over:
            return
        if len(self._waiting) >= BACKLOG:  # too far behind: what it missed it can read again afterwards
            self.end()
            self._cut()
        else:
            self._waiting.append(event)

    def end(self) -> None:
        """Nothing more comes, and what waits is let go of."""
        self._is_over = True
        self._waiting.clear()
        self.wake()

    def wake(self) -> None:
        """What waits is sent at the loop's next turn."""
        self._awake.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """What is to be sent, whole events, several at once where several wait."""
        while not self._is_over:
            if self._waiting:
                yield self._take()
                continue
            self._awake.clear()
            try:
                async with asyncio.timeout(HEARTBEAT):
                    await self._awake.wait()
            except TimeoutError:
                yield b": alive\n\n"

    def _take(self) -> bytes:
        events, size = [self._waiting.popleft()], 0
        while self._waiting and size < PIECE_BYTES:
            size += len(events[-1])
            events.append(self._waiting.popleft())
        return b"".join(events)


class Waker:
    """Wakes streams, a few in a turn of the loop: what is told to two hundred is two hundred calls to the
    kernel, and who asks for a name would wait for them all. What comes meanwhile goes out with it."""

    def __init__(self) -> None:
        self._line: dict[Stream, None] = {}
        self._next: asyncio.Handle | None = None

    def wake(self, streams: Iterable[Stream]) -> None:
        self._line.update(dict.fromkeys(streams))
        if self._next is None and self._line:
            self._next = asyncio.get_running_loop().call_soon(self._wake_some)

    def _wake_some(self) -> None:
        for _ in range(min(WAKES_PER_TURN, len(self._line))):
            stream = next(iter(self._line))
            del self._line[stream]
            stream.wake()
        self._next = None
        self.wake(())


class Listeners:
    """All streams that are open, and the changes that they are told."""

    def __init__(self) -> None:
        self.places: Places[Stream] = Places(Limits(MAX_STREAMS))
        self._streams: dict[Stream, None] = {}
        self._untold: deque[Iterator[dict[str, Any]]] = deque()
        self._next: asyncio.Handle | None = None
        self._waker = Waker()

    def __len__(self) -> int:
        return len(self._streams)

    def open(self, stream: Stream, client: str) -> None:
        """It is told all from now on."""
        self._streams[stream] = None
        if (loser := self.places.take(stream, client)) is not None:
            loser.end()  # its client's network has the most; EventSource asks again

    def close(self, stream: Stream) -> None:
        """Its client has gone."""
        self._streams.pop(stream, None)
        self.places.release(stream)

    def end(self) -> None:
        """Nobody is told any more."""
        for stream in list(self._streams):
            stream.end()

    def tell(self, changes: Iterable[Change]) -> None:
        """Tell those who listen what is another in the answers."""
        if not self._streams:
            return
        self._untold.append(shapes.events(changes))
        if self._next is None:
            self._tell_on()

    def _tell_on(self) -> None:
        """In slices: of a service of thousands that comes, queries and those who read would wait for the
        whole."""
        self._next = None
        until = time.perf_counter() + SECONDS
        while self._untold and self._streams:
            event = next(self._untold[0], None)
            if event is None:
                self._untold.popleft()
                continue
            text = spell(event)
            for stream in self._streams:
                stream.put(text)
            if time.perf_counter() > until:
                self._next = asyncio.get_running_loop().call_soon(self._tell_on)
                break
        else:
            self._untold.clear()
        self._waker.wake(self._streams)

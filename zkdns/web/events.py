"""Server-sent events: who listens, and what waits for them (WHATWG HTML, "Server-sent events").

Rules: lives in the loop. What was told last is kept once for all who listen, bounded by bytes; each has its
place in it. Whoever is further behind is cut off, and can read again what it missed; so is everybody where
more changes come than can be told.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from zkdns.model import Change
from zkdns.serve.listen.places import Limits, Places
from zkdns.web import shapes, spelling
from zkdns.web.slices import SECONDS

MAX_STREAMS = 200
MAX_KEPT_BYTES = 1 << 20
"""Of events that were told and not sent to all; one who lacks more than these is cut off."""

MAX_UNTOLD = 50_000
"""Changes that wait to be told: each holds its instance as it stood. Where none waits those of one moment are
told, however many they are."""

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


def _wake_all(streams: Iterable[Stream]) -> None:
    for stream in streams:
        stream.wake()


class Latest:
    """What was told last, whole events, several together where they came together. `begin`, `end`: numbers of
    the first that is kept and of the next that comes."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self.begin = 0
        self.size = 0
        """Bytes."""

    @property
    def end(self) -> int:
        return self.begin + len(self._pieces)

    def add(self, part: bytes) -> None:
        self._pieces.append(part)
        self.size += len(part)
        while self.size > MAX_KEPT_BYTES and len(self._pieces) > 1:
            self.forget(self.begin + 1)

    def forget(self, until: int) -> None:
        """What comes before this one."""
        while self.begin < min(until, self.end):
            self.size -= len(self._pieces.popleft())
            self.begin += 1

    def take(self, at: int) -> tuple[bytes, int]:
        """What is sent from there on, and where that ends. There is something."""
        pieces: list[bytes] = []
        size = 0
        for part in islice(self._pieces, at - self.begin, None):
            pieces.append(part)
            size += len(part)
            if size >= PIECE_BYTES:
                break
        return b"".join(pieces), at + len(pieces)


class Stream:
    """One client who listens. `cut`: ends its connection, for one that does not read at all never comes to
    the end of what waits."""

    def __init__(self, cut: Callable[[], None] = _nothing) -> None:
        self._latest = Latest()
        self.at = 0
        """The number of the next that it is sent."""
        self._cut = cut
        self._ask: Callable[[Iterable[Stream]], None] = _wake_all
        self._is_over = False
        self._awake = asyncio.Event()

    def follow(self, latest: Latest, ask: Callable[[Iterable[Stream]], None]) -> None:
        """It is sent all that is told from now on. `ask`: has it woken in its turn."""
        self._latest, self.at, self._ask = latest, latest.end, ask

    def drop_if_behind(self) -> None:
        """End it where something that it lacks is not kept any more."""
        if self.at < self._latest.begin and not self._is_over:
            self.end()
            self._cut()

    def lose(self) -> None:
        """It lacks something that is not kept: it ends when it is woken."""
        self._is_over = True

    def end(self) -> None:
        """Nothing more comes."""
        self._is_over = True
        self.wake()

    def wake(self) -> None:
        """What waits is sent at the loop's next turn."""
        self._awake.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """What is to be sent, whole events, several at once where several wait."""
        while not self._is_over:
            if self.at < self._latest.end:
                part, self.at = self._latest.take(self.at)
                yield part
                if self.at < self._latest.end:  # the kernel may take it all at once: others have turns
                    self._awake.clear()
                    self._ask((self,))
                    await self._awake.wait()
                continue
            self._awake.clear()
            try:
                async with asyncio.timeout(HEARTBEAT):
                    await self._awake.wait()
            except TimeoutError:
                yield b": alive\n\n"


class Waker:
    """Wakes streams, a few in a turn of the loop: to tell two hundred takes two hundred system calls, and
    whoever asks for a name would wait for all of them. What comes meanwhile goes out with it."""

    def __init__(self) -> None:
        self._line: dict[Stream, None] = {}
        self._next: asyncio.Handle | None = None

    def __bool__(self) -> bool:
        """Whether some are still to be woken."""
        return bool(self._line)

    def wake(self, streams: Iterable[Stream]) -> None:
        self._line.update(dict.fromkeys(streams))
        if self._next is None and self._line:
            self._next = asyncio.get_running_loop().call_soon(self._wake_some)

    def _wake_some(self) -> None:
        try:
            for _ in range(min(WAKES_PER_TURN, len(self._line))):
                stream = next(iter(self._line))
                del self._line[stream]
                stream.wake()
        finally:
            self._next = None
            self.wake(())


class Listeners:
    """All streams that are open, and the changes that they are told."""

    def __init__(self) -> None:
        self.places: Places[Stream] = Places(Limits(MAX_STREAMS))
        self.latest = Latest()
        self._streams: dict[Stream, None] = {}
        self._untold: deque[tuple[Iterator[dict[str, Any]], int]] = deque()
        """What came together, and of how many changes."""
        self._waiting = 0
        """Changes in all of it."""
        self._next: asyncio.Handle | None = None
        self._waker = Waker()

    def __len__(self) -> int:
        return len(self._streams)

    def open(self, stream: Stream, client: str) -> None:
        """It is told all from now on."""
        self._streams[stream] = None
        stream.follow(self.latest, self._waker.wake)
        if (loser := self.places.take(stream, client)) is not None:
            loser.end()  # its client's network has the most; EventSource asks again

    def close(self, stream: Stream) -> None:
        """Its client has gone."""
        self._streams.pop(stream, None)
        self.places.release(stream)
        self._forget_sent()

    def end(self) -> None:
        """Nobody is told any more."""
        for stream in list(self._streams):
            stream.end()

    def tell(self, changes: Collection[Change]) -> None:
        """Tell those who listen what has changed in the answers."""
        if not self._streams:
            return
        if self._untold and self._waiting + len(changes) > MAX_UNTOLD:
            self._forget_untold()
            for stream in self._streams:
                stream.lose()
            self._waker.wake(self._streams)
            return
        self._untold.append((shapes.events(changes), len(changes)))
        self._waiting += len(changes)
        if self._next is None:
            self._tell_on()

    def _tell_on(self) -> None:
        """In slices: of a service of thousands that comes, queries and those who read would wait for the
        whole. The next one is told when all were woken for the one before: who reads is never far behind."""
        self._next = None
        if not self._waker:
            self._forget_sent()
            self._tell_some()
            self._waker.wake(self._streams)
        if self._untold and self._streams:
            self._next = asyncio.get_running_loop().call_soon(self._tell_on)
        else:
            self._forget_untold()

    def _tell_some(self) -> None:
        until = time.perf_counter() + SECONDS
        events: list[bytes] = []
        size = 0
        while self._untold and size < PIECE_BYTES:
            walk, count = self._untold[0]
            event = next(walk, None)
            if event is None:
                self._untold.popleft()
                self._waiting -= count
                continue
            events.append(spell(event))
            size += len(events[-1])
            if time.perf_counter() > until:
                break
        if events:
            self.latest.add(b"".join(events))
            for stream in list(self._streams):
                stream.drop_if_behind()

    def _forget_untold(self) -> None:
        self._untold.clear()
        self._waiting = 0

    def _forget_sent(self) -> None:
        self.latest.forget(min((stream.at for stream in self._streams), default=self.latest.end))

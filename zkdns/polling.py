"""Which sockets a turn of the loop looks at: a few of those that have something, one after another.

Rules: asyncio has all of them looked at in one turn, and of a thousand connections that were a turn of 20 ms.
The kernel names first what was ready first, and what it named behind the others (epoll(7)), so nobody waits
for more than one round. What is preferred is looked at in each turn: through it come those who ask for the
first time. Where there is no epoll the loop is asyncio's own.
"""

from __future__ import annotations

import asyncio
import math
import select
import selectors
import sys
from collections.abc import Mapping
from typing import Any, Final

MAX_READY: Final = 64
"""Sockets in one turn: some 0.02 ms each."""


class Selector(selectors.BaseSelector):
    """epoll, a few at a time. What is registered first is preferred: by that threads wake the loop."""

    def __init__(self) -> None:
        self._all: Any = select.epoll()
        self._preferred: Any = select.epoll()
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def prefer(self, fd: int) -> None:
        """Look at this one, which is registered, in each turn."""
        try:
            self._preferred.register(fd, _bits(self._keys[fd].events))
        except FileExistsError:
            pass

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = selectors.SelectorKey(fileobj, _descriptor(fileobj), events, data)
        self._all.register(key.fd, _bits(events))
        self._keys[key.fd] = key
        if len(self._keys) == 1:
            self.prefer(key.fd)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        key = self.get_key(fileobj)
        del self._keys[key.fd]
        for each in (self._all, self._preferred):
            try:
                each.unregister(key.fd)
            except OSError:  # it was closed before, or not preferred
                continue
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self.get_key(fileobj)
        if events != key.events:
            self._all.modify(key.fd, _bits(events))
        key = self._keys[key.fd] = key._replace(events=events, data=data)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        wait = -1.0 if timeout is None else max(0.0, math.ceil(timeout * 1e3) * 1e-3)
        try:
            happened = self._all.poll(wait, MAX_READY)
            if len(happened) == MAX_READY:
                happened = {**dict(self._preferred.poll(0)), **dict(happened)}.items()
        except InterruptedError:
            return []
        ready = []
        for fd, event in happened:
            if (key := self._keys.get(fd)) is not None:
                events = selectors.EVENT_READ if event & ~select.EPOLLOUT else 0
                if event & ~select.EPOLLIN:
                    events |= selectors.EVENT_WRITE
                ready.append((key, events & key.events))
        return ready

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        if isinstance(fileobj, int):  # as nearly all are named
            return self._keys[fileobj]
        fd = fileobj.fileno()
        if fd >= 0:
            return self._keys[fd]
        for key in self._keys.values():
            if key.fileobj is fileobj:
                return key
        raise KeyError(f"{fileobj!r} is not registered")

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def close(self) -> None:
        self._all.close()
        self._preferred.close()
        self._keys.clear()


class Loop(asyncio.SelectorEventLoop):
    """asyncio's, with this selector. OSError: descriptors are lacking."""

    _closed = True
    """Until it is made: asyncio closes as it goes what was not closed, and shows a traceback of ours."""

    def __init__(self) -> None:
        self.selector = Selector()
        try:
            super().__init__(self.selector)
        except OSError:
            self._closed = True
            self.selector.close()
            raise


def new_loop() -> asyncio.AbstractEventLoop:
    """The loop of a server."""
    return Loop() if sys.platform == "linux" else asyncio.new_event_loop()


def prefer(loop: asyncio.AbstractEventLoop, fd: int) -> None:
    """Have this loop, in which it is read, look at it in each turn."""
    if isinstance(loop, Loop):
        loop.selector.prefer(fd)


def _descriptor(fileobj: Any) -> int:
    fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
    if fd < 0:
        raise ValueError(f"{fileobj!r} is closed")
    return int(fd)


def _bits(events: int) -> int:
    reads, writes = events & selectors.EVENT_READ, events & selectors.EVENT_WRITE
    return (select.EPOLLIN if reads else 0) | (select.EPOLLOUT if writes else 0)

"""Which of many short-lived sockets has something to read: one descriptor of the loop stands for all of them.

Rules: one asyncio loop. Its own way of adding and removing a reader costs as much as the question that the
socket is for; here that is one call to the kernel, and closing the socket takes it out. Where there is no
epoll the loop's own way does.
"""

from __future__ import annotations

import asyncio
import logging
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

log = logging.getLogger("zkdns.forward")

MAX_READY: Final = 16
"""Sockets that are read before the loop has other turns, at most."""

READING_SECONDS: Final = 0.001
"""How long that may take: one reply in which many aliases stand takes as much."""

HAS_EPOLL: Final = hasattr(select, "epoll")


class Readers:
    """Sockets that are watched, and what to call when one can be read."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._epoll: Any = None
        self._takers: dict[int, Callable[[], None]] = {}
        self._ready: deque[int] = deque()
        """Those that the kernel named last and that had no turn yet: it names them anew behind the others."""

    def watch(self, sock: socket.socket, take: Callable[[], None]) -> None:
        """Call `take` whenever there is something to read, until `close`."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
            if HAS_EPOLL:
                self._epoll = select.epoll()
                loop.add_reader(self._epoll.fileno(), self._take)
        descriptor = sock.fileno()
        if self._epoll is None:
            loop.add_reader(descriptor, take)
        else:
            self._epoll.register(descriptor, select.EPOLLIN)
        self._takers[descriptor] = take

    def close(self, sock: socket.socket) -> None:
        """Close a socket, whether it is watched or not."""
        descriptor = sock.fileno()
        if self._takers.pop(descriptor, None) is not None and self._epoll is None and self._loop is not None:
            self._loop.remove_reader(descriptor)
        sock.close()

    def stop(self) -> None:
        """Watch nothing any more."""
        if self._epoll is not None and self._loop is not None:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
        self._loop = self._epoll = None
        self._takers.clear()
        self._ready.clear()

    def _take(self) -> None:
        end = self._clock() + READING_SECONDS
        if not self._ready:
            self._ready.extend(descriptor for descriptor, _ in self._epoll.poll(0, MAX_READY))
        while self._ready:
            descriptor = self._ready.popleft()
            # Of those that came together, one may have closed another.
            if (take := self._takers.get(descriptor)) is not None:
                try:
                    take()
                except Exception:  # it is read no more, and its question ends at its time
                    log.exception("a socket could not be read")
                    self._takers.pop(descriptor, None)
                    self._epoll.unregister(descriptor)
            if self._clock() >= end:
                break

"""Which of many short-lived sockets has something to read: one descriptor of the loop stands for all of them.

Rules: one asyncio loop. Networks take turns: whoever has hundreds of long replies come in one moment
keeps nobody else's waiting. The loop's own way of adding and removing a reader costs as much as the question
that the socket is for; here that is one call to the kernel, and closing the socket takes it out. Where there
is no epoll the loop's own way does.
"""

from __future__ import annotations

import asyncio
import logging
import select
import socket
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from zkdns.line import Line

log = logging.getLogger("zkdns.forward")

MAX_READY: Final = 64
"""Sockets that are found ready in one turn of the loop: the kernel names the others in the next ones."""

READING_SECONDS: Final = 0.001
"""How long that may take: one reply in which many aliases stand takes as much."""

HAS_EPOLL: Final = hasattr(select, "epoll")


class _Watched(NamedTuple):
    """`whose`: the network that asked, for which it is read."""

    whose: bytes
    take: Callable[[], None]


class Readers:
    """Sockets that are watched, and what to call when one can be read."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._epoll: Any = None
        self._watched: dict[int, _Watched] = {}
        self._ready: Line[int] = Line()
        """Those that can be read and had no turn yet, each once."""
        self._named: set[int] = set()
        """The same: the kernel names them again and again."""

    def watch(self, sock: socket.socket, take: Callable[[], None], whose: bytes = b"") -> None:
        """Call `take` whenever there is something to read, until `close`, in the turns of this network."""
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
        self._watched[descriptor] = _Watched(whose, take)

    def close(self, sock: socket.socket) -> None:
        """Close a socket, whether it is watched or not."""
        descriptor = sock.fileno()
        if self._watched.pop(descriptor, None) is not None and self._epoll is None and self._loop is not None:
            self._loop.remove_reader(descriptor)
        sock.close()

    def stop(self) -> None:
        """Watch nothing any more."""
        if self._epoll is not None and self._loop is not None:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
        self._loop = self._epoll = None
        self._watched.clear()
        self._named.clear()
        self._ready = Line()

    def _take(self) -> None:
        end = self._clock() + READING_SECONDS
        for descriptor, _ in self._epoll.poll(0, MAX_READY):
            if descriptor not in self._named and (one := self._watched.get(descriptor)) is not None:
                self._named.add(descriptor)
                self._ready.put(one.whose, descriptor)
        while self._ready:
            descriptor = self._ready.take()
            self._named.discard(descriptor)
            # Of those that came together, one may have closed another.
            if (one := self._watched.get(descriptor)) is not None:
                try:
                    one.take()
                except Exception:  # it is read no more, and its question ends at its time
                    log.exception("a socket could not be read")
                    self._watched.pop(descriptor, None)
                    self._epoll.unregister(descriptor)
            if self._clock() >= end:
                break

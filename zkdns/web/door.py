"""Who may hold an HTTP connection or a thread, and for how long: shares by client network.

Rules: lives in the loop. Nobody is turned away while somebody else holds more: whoever holds the most gives
one up, the longest idle first. A request that does not come whole in time ends its connection, and so does
a reply of which nothing is taken for as long; what can't be accepted for want of descriptors is our lack,
told once, and tried again.
"""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import logging
import socket
import sys
import termios
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from zkdns.descriptors import TOO_MANY, WEB, Scarcity
from zkdns.forward.allow import network_of
from zkdns.lack import Lack, is_local_lack, reason
from zkdns.serve.listen.places import Limits, Places
from zkdns.transports import let_go

log = logging.getLogger("zkdns.web")

T = TypeVar("T")

MAX_CONNECTIONS = 500
REQUEST_SECONDS = 10.0
"""For the first request of a connection to come whole, headers and all."""
UNREAD_SECONDS = 10.0
"""For a client to take more of what waits for it."""
IDLE_SECONDS = 60.0
"""For the next one."""
SWEEP_SECONDS = 1.0
PAUSE_SECONDS = 0.2
"""After an accept that failed for want of descriptors or memory."""
READ_BYTES = 1 << 14
"""Of a connection at a time, and of a request's body that wait: nobody reads one."""
THREADS = 2
MAX_WAITING = 32
"""Requests that wait for a thread, of all clients; and a client network's share of them."""
MAX_WAITING_EACH = 8
WAIT_SECONDS = 0.05
"""After which one who was let in looks for a thread again."""


class _Guest:
    """One connection: since when it owes us a request, None while one is answered; how much of its reply
    waits, and since when that is so much."""

    __slots__ = ("limit", "owes_since", "transport", "waiting", "waits_since")

    def __init__(self, transport: asyncio.Transport, now: float) -> None:
        self.transport = transport
        self.owes_since: float | None = now
        self.limit = REQUEST_SECONDS
        self.waiting = 0, 0
        self.waits_since = now

    def is_overdue(self, now: float) -> bool:
        """Whether it kept us waiting for longer than it may."""
        waiting = _waiting(self.transport)
        if waiting != self.waiting or not waiting[0]:
            self.waiting, self.waits_since = waiting, now
        if now - self.waits_since > UNREAD_SECONDS:
            return True
        return self.owes_since is not None and now - self.owes_since > self.limit


def _waiting(transport: asyncio.Transport) -> tuple[int, int]:
    """Bytes of a reply that wait here, and those in the kernel that were not acknowledged (tcp(7), SIOCOUTQ):
    they move long before there is room for more."""
    here = transport.get_write_buffer_size()
    if not here:
        return 0, 0
    try:
        sock = transport.get_extra_info("socket")
        beneath = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return here, 0
    return here, int.from_bytes(beneath, sys.byteorder)


class Door:
    """Accepts for one listening socket; `protocol` makes the HTTP side of a connection."""

    def __init__(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        self.places: Places[asyncio.Transport] = Places(Limits(MAX_CONNECTIONS))
        self._protocol = protocol
        self._guests: dict[asyncio.BaseTransport, _Guest] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._socket: socket.socket | None = None
        self._lack = Lack()
        self._scarcity = Scarcity(WEB)

    @property
    def lack(self) -> str:
        """What is lacking here for new connections; "" for nothing."""
        return self._lack.why(asyncio.get_running_loop().time())

    def open(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._tasks = [asyncio.create_task(self._accept(sock)), asyncio.create_task(self._sweep())]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()

    def busy(self, transport: asyncio.BaseTransport | None) -> None:
        """A whole request has come on this connection."""
        if transport is not None and (guest := self._guests.get(transport)) is not None:
            guest.owes_since = None
            self.places.touch(guest.transport)

    def idle(self, transport: asyncio.BaseTransport | None) -> None:
        """It was answered."""
        if transport is not None and (guest := self._guests.get(transport)) is not None:
            guest.owes_since, guest.limit = asyncio.get_running_loop().time(), IDLE_SECONDS
            self.places.touch(guest.transport)

    async def _accept(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(sock)
            except OSError as error:
                if not is_local_lack(error):
                    continue  # the client's own: it went before it was accepted (accept(2))
                if self._lack.meet(reason(error), loop.time()):
                    log.warning("no more HTTP connections can be taken: %s", error.strerror)
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            try:
                transport, _ = await loop.connect_accepted_socket(self._protocol, connection)
            except OSError:
                connection.close()
                continue
            transport.max_size = READ_BYTES  # type: ignore[attr-defined]  # asyncio's own is 256 KiB
            self._forget_closed()
            self._guests[transport] = _Guest(transport, loop.time())
            is_short = self._scarcity.meets(connection.fileno(), loop.time())
            if is_short and self._lack.meet(TOO_MANY, loop.time()):
                log.warning("no more HTTP connections can be taken: %s", TOO_MANY)
            if (loser := self.places.take(transport, str(address[0]), is_short=is_short)) is not None:
                loser.abort()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self._forget_closed()
            now = asyncio.get_running_loop().time()
            for guest in self._guests.values():
                if guest.is_overdue(now):
                    guest.transport.abort()

    def _forget_closed(self) -> None:
        for guest in [g for g in self._guests.values() if g.transport.is_closing()]:
            del self._guests[guest.transport]
            self.places.release(guest.transport)
            let_go(guest.transport)


class Busy(Exception):
    """Too many requests wait for a thread already."""


class Threads:
    """A few threads for what takes long in a large registry. They are the web's own: publishing, files and
    zones have others, and never wait behind a page."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, "zkdns-web")
        self._waiting: dict[bytes, int] = {}

    async def run(self, address: str, work: Callable[..., T], *arguments: Any) -> T:
        """What `work` returns; Busy where this client's network, or all, have enough under way."""
        network = network_of(address)
        if self._waiting.get(network, 0) >= MAX_WAITING_EACH or sum(self._waiting.values()) >= MAX_WAITING:
            raise Busy
        self._waiting[network] = self._waiting.get(network, 0) + 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
        finally:
            self._waiting[network] -= 1
            if not self._waiting[network]:
                del self._waiting[network]

    async def go_on(self, address: str, work: Callable[[], T]) -> T:
        """The same for one who was let in: it waits for its turn, for half of its reply was sent."""
        while True:
            try:
                return await self.run(address, work)
            except Busy:
                await asyncio.sleep(WAIT_SECONDS)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def is_own_host(header: str, names: frozenset[str]) -> bool:
    """Whether a Host header names us: an address, `localhost` or one of `names`. Another name is a page of
    somebody else's that had its name resolved to us (DNS rebinding)."""
    host = header.strip().lower()
    if host.startswith("["):
        host, bracket, port = host[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            return False
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    host = host.removesuffix(".")
    if host == "localhost" or host in names:
        return True
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True

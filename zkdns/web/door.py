"""Who may hold an HTTP connection, an event stream or a thread, and for how long: shares by client network.

Rules: lives in the loop. Nobody is turned away while somebody else holds more: whoever holds the most gives
one up, the longest idle first. A request that does not come whole in time ends its connection; what can't
be accepted for want of descriptors is our lack, told once, and tried again.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

log = logging.getLogger("zkdns.web")

T = TypeVar("T")

MAX_CONNECTIONS = 500
MAX_STREAMS = 200
REQUEST_SECONDS = 10.0
"""For the first request of a connection to come whole, headers and all."""
IDLE_SECONDS = 60.0
"""For the next one."""
SWEEP_SECONDS = 1.0
PAUSE_SECONDS = 0.2
"""After an accept that failed for want of descriptors or memory."""
LACKS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
THREADS = 2
MAX_WAITING = 32
"""Requests that wait for a thread, of all clients; and a client network's share of them."""
MAX_WAITING_EACH = 8


def network_of(address: str) -> str:
    """Whose share an address counts against: its /24 or /56, as one site has them (RFC 6177)."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    bits = 24 if found.version == 4 else 56
    return str(ipaddress.ip_network((found, bits), strict=False))


class Places:
    """A bounded number of places, given up by whoever's network holds the most when they run out."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_network: dict[str, dict[Hashable, Callable[[], None]]] = {}
        self.taken = 0
        self.given_up = 0

    def take(self, network: str, holder: Hashable, give_up: Callable[[], None]) -> None:
        """`holder` has a place from now on. `give_up` is called where another is to have it."""
        if self.taken >= self._most:
            own = max(self._by_network.values(), key=len)
            oldest = next(iter(own))
            # Who takes a place of its own network's is no reason to end another's.
            if len(self._by_network.get(network, ())) >= len(own):
                oldest = next(iter(self._by_network[network]))
            self.given_up += 1
            end = self._find(oldest)
            self.leave(oldest)
            end()
        self._by_network.setdefault(network, {})[holder] = give_up
        self.taken += 1

    def touch(self, network: str, holder: Hashable) -> None:
        """It is in use: others are longer idle."""
        own = self._by_network.get(network, {})
        if holder in own:
            own[holder] = own.pop(holder)

    def leave(self, holder: Hashable) -> None:
        for network, own in self._by_network.items():
            if own.pop(holder, None) is not None:
                self.taken -= 1
                if not own:
                    del self._by_network[network]
                return

    def _find(self, holder: Hashable) -> Callable[[], None]:
        return next(own[holder] for own in self._by_network.values() if holder in own)


class _Guest:
    """One connection: since when it owes us a request, None while one is answered."""

    __slots__ = ("limit", "network", "owes_since", "transport")

    def __init__(self, network: str, transport: asyncio.Transport, now: float) -> None:
        self.network = network
        self.transport = transport
        self.owes_since: float | None = now
        self.limit = REQUEST_SECONDS


class Door:
    """Accepts for one listening socket; `protocol` makes the HTTP side of a connection."""

    def __init__(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        self.places = Places(MAX_CONNECTIONS)
        self.streams = Places(MAX_STREAMS)
        self._protocol = protocol
        self._guests: dict[asyncio.BaseTransport, _Guest] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._socket: socket.socket | None = None

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
            self.places.touch(guest.network, transport)

    def idle(self, transport: asyncio.BaseTransport | None) -> None:
        """It was answered."""
        if transport is not None and (guest := self._guests.get(transport)) is not None:
            guest.owes_since, guest.limit = asyncio.get_running_loop().time(), IDLE_SECONDS
            self.places.touch(guest.network, transport)

    async def _accept(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        lacking = False
        while True:
            try:
                connection, address = await loop.sock_accept(sock)
                lacking = False
            except OSError as error:
                if error.errno not in LACKS:
                    continue  # the client's own: it went before it was accepted (accept(2))
                if not lacking:
                    log.warning("no HTTP connection can be taken: %s", error.strerror)
                lacking = True
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            try:
                transport, _ = await loop.connect_accepted_socket(self._protocol, connection)
            except OSError:
                connection.close()
                continue
            self._forget_closed()
            network = network_of(str(address[0]))
            self._guests[transport] = _Guest(network, transport, loop.time())
            self.places.take(network, transport, transport.abort)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self._forget_closed()
            now = asyncio.get_running_loop().time()
            for guest in self._guests.values():
                if guest.owes_since is not None and now - guest.owes_since > guest.limit:
                    guest.transport.abort()

    def _forget_closed(self) -> None:
        for transport in [t for t in self._guests if t.is_closing()]:
            del self._guests[transport]
            self.places.leave(transport)


class Busy(Exception):
    """Too many requests wait for a thread already."""


class Threads:
    """A few threads for what takes long in a large registry. They are the web's own: publishing, files and
    zones have others, and never wait behind a page."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, "zkdns-web")
        self._waiting: dict[str, int] = {}

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

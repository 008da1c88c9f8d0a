"""Who may hold an HTTP connection, and for how long: shares by client network.

Rules: lives in the loop. Nobody is turned away while somebody else holds more: whoever holds the most gives
one up, the longest idle first. A request that does not come whole in time ends its connection, and so does
a reply of which nothing is taken for as long; what can't be accepted for want of descriptors is our lack,
told once, and tried again.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import socket
from collections.abc import Callable
from typing import Any

from zkdns.descriptors import WEB
from zkdns.serve.listen.lacking import Lacking
from zkdns.serve.listen.places import Limits, Places
from zkdns.web.guest import Guest
from zkdns.web.lingering import Lingering
from zkdns.web.turns import Turns

log = logging.getLogger("zkdns.web")

MAX_CONNECTIONS = 500
ACCEPTED_PER_TURN = 8
"""Each is five calls of the loop."""
SWEEP_SECONDS = 1.0
PAUSE_SECONDS = 0.2
"""After an accept that failed for want of descriptors or memory."""
_BRACKETED = re.compile(r"\[([^\[\]]*)\](?::[0-9]*)?")
_WITH_PORT = re.compile(r"([^:]*):[0-9]*")
"""How hosts stand in the header (RFC 9110, section 7.2): an address of IPv6 in brackets, and a port."""


class Door:
    """Accepts for one listening socket; `speaks` makes the HTTP side of a connection."""

    def __init__(self, speaks: Callable[[], asyncio.Protocol]) -> None:
        self.speaks = speaks
        self.places: Places[Guest] = Places(Limits(MAX_CONNECTIONS))
        self.turns = Turns()
        self.lingering = Lingering()
        self._guests: dict[asyncio.BaseTransport | None, Guest] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._beginning: set[asyncio.Task[Any]] = set()
        self._socket: socket.socket | None = None
        self.lacking = Lacking("HTTP", log, WEB)

    def open(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._tasks = [asyncio.create_task(self._accept(sock)), asyncio.create_task(self._sweep())]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._beginning, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()
        self.lingering.close()
        for guest in self._guests.values():
            guest.leave()

    def guest(self, transport: asyncio.BaseTransport | None) -> Guest | None:
        """Whose connection this is; None where it has gone."""
        return self._guests.get(transport)

    def welcome(self, guest: Guest) -> None:
        self._guests[guest.transport] = guest
        is_short = self.lacking.is_short_for(guest.transport.get_extra_info("socket"))
        if (loser := self.places.take(guest, guest.client, is_short=is_short)) is not None:
            loser.cut()

    def farewell(self, guest: Guest) -> None:
        self._guests.pop(guest.transport, None)  # one that was reset before it was taken never came in
        self.places.release(guest)

    async def _accept(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        count = 0
        while True:
            try:
                connection, _ = await loop.sock_accept(sock)
            except OSError as error:
                if self.lacking.is_met_by(error):
                    await asyncio.sleep(PAUSE_SECONDS)
                continue
            task = loop.create_task(self._begin(connection))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)
            count += 1
            if count % ACCEPTED_PER_TURN == 0:
                await asyncio.sleep(0)

    async def _begin(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: Guest(self), connection)
        except OSError:
            connection.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = asyncio.get_running_loop().time()
            for guest in self._guests.values():
                if guest.is_overdue(now):
                    guest.cut()


def is_own_host(header: str, names: frozenset[str]) -> bool:
    """Whether a Host header names us: an address, `localhost` or one of `names`. Any other name is that of
    somebody else's page, made to resolve to us (DNS rebinding)."""
    host = header.strip().lower()
    if bracketed := _BRACKETED.fullmatch(host):
        host = bracketed[1]
    elif with_port := _WITH_PORT.fullmatch(host):
        host = with_port[1]
    host = host.removesuffix(".")
    if host == "localhost" or host in names:
        return True
    try:
        ipaddress.ip_address(host.partition("%")[0] if bracketed else host)
    except ValueError:
        return False
    return True

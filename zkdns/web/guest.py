"""One HTTP client's connection, between its socket and what speaks HTTP for it: what comes waits for a turn.

Rules: lives in the loop. HTTP's side is made with the first request: who only connects costs next to nothing.
One request of a connection is begun at a time, and those that were sent behind it have turns of their own.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import sys
import termios
from collections.abc import Callable
from typing import Any, Protocol

from zkdns.transports import let_go
from zkdns.web.lingering import Lingering
from zkdns.web.turns import Turns, is_probe, whose

log = logging.getLogger("zkdns.web")

REQUEST_SECONDS = 10.0
"""For the first request of a connection to come whole, headers and all."""
IDLE_SECONDS = 60.0
"""For the next one."""
UNREAD_SECONDS = 10.0
"""For a client to take more of what waits for it."""
ENDED_SECONDS = 0.1
"""For a request to be read whole, or the next one to be begun, that its client's end came behind: some turns
of the loop."""
READ_BYTES = 1 << 14
"""Of a connection at a time, and of a request's body that wait: nobody reads one."""


class Host(Protocol):
    """Whose guests they are. `speaks`: makes the HTTP side of a connection."""

    speaks: Callable[[], asyncio.Protocol]
    turns: Turns
    lingering: Lingering

    def welcome(self, guest: Guest) -> None: ...

    def farewell(self, guest: Guest) -> None: ...


class Guest(asyncio.Protocol):
    """Since when it owes us a request, None while one is answered; how much of its reply waits, and since
    when that is so much."""

    transport: Any
    """asyncio's own."""

    def __init__(self, host: Host) -> None:
        self.client = ""
        self._host = host
        self._http: Any = None
        self._came = b""
        """What waits for a turn."""
        self._asks: asyncio.Future[None] | None = None
        """A request, read already, that waits for one."""
        self._may_begin = False
        """Whether what came had its turn, and no request of it began since."""
        self._is_midway = False
        """Whether it sent something that was not read as a whole request."""
        self._was_cut = False
        self.has_ended = False
        """Whether its client sends nothing more, and may wait for a reply."""
        self.listens = False
        """Whether it is told of what comes, for as long as it stays."""
        self.owes_since: float | None = None
        self._limit = REQUEST_SECONDS
        self._unread = 0, 0
        self._unread_since = 0.0

    # --- asyncio.Protocol ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.max_size = READ_BYTES  # asyncio's own is 256 KiB
        peer = transport.get_extra_info("peername")
        if not peer:  # reset before it was taken: nobody knows whose it was, nor waits for a reply
            self.cut()
            return
        self.client = str(peer[0])
        self.owes_since = self._unread_since = asyncio.get_running_loop().time()
        self._host.welcome(self)

    def data_received(self, data: bytes) -> None:
        self._is_midway = True
        if self._came:
            self._came += data  # it is read on where the HTTP side said so meanwhile
            return
        self._came = data
        if self._host.turns.come(self, whose(self.client, is_probe=is_probe(data))):
            self._read()
        else:
            self.transport.pause_reading()

    def eof_received(self) -> bool | None:
        self._is_midway = False
        if self.listens or not (self._may_begin or self.owes_since is None):
            return None  # it is closed
        self.has_ended = True
        if self.owes_since is not None:
            asyncio.get_running_loop().call_later(ENDED_SECONDS, self._leave_unless_whole)
        return True

    def _leave_unless_whole(self) -> None:
        if self._may_begin and self.owes_since is not None:
            self.transport.close()

    def _leave_unless_asked(self) -> None:
        if self.owes_since is not None:
            self.transport.close()

    def pause_writing(self) -> None:
        if self._http is not None:
            self._http.pause_writing()

    def resume_writing(self) -> None:
        if self._http is not None:
            self._http.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_midway and exc is None and not self._was_cut:
            self._host.lingering.take(self.transport.get_extra_info("socket"), self.client)
        self._host.farewell(self)
        self.has_ended = True
        self._came = b""
        self._let_begin()
        if self._http is not None:
            self._http.connection_lost(exc)
        let_go(self.transport)

    # --- turns -----------------------------------------------------------------------------------------

    def take_turn(self) -> bool:
        if self.transport.is_closing():
            return False
        if self._asks is not None:
            self._let_begin()
        elif self._came:
            self.transport.resume_reading()
            self._read()
        return True

    def _read(self) -> None:
        came, self._came = self._came, b""
        self._may_begin = True
        try:
            if self._http is None:
                self._http = self._host.speaks()
                self._http.connection_made(self.transport)
            self._http.data_received(came)
        except Exception:
            log.exception("what a client sent could not be read")
            self.cut()

    def _let_begin(self) -> None:
        if self._asks is not None and not self._asks.done():
            self._asks.set_result(None)

    async def begin(self, *, is_probe: bool) -> None:
        """A whole request was read: it is answered once it has a turn."""
        self.owes_since, self._is_midway = None, False
        if not self._may_begin and not self._host.turns.come(self, whose(self.client, is_probe=is_probe)):
            self._asks = asyncio.get_running_loop().create_future()
            try:
                await self._asks
            finally:
                self._asks = None
        self._may_begin = False

    def end(self, *, is_whole: bool) -> None:
        """It was answered. `is_whole`: nothing of it is still to come."""
        self.owes_since, self._limit = asyncio.get_running_loop().time(), IDLE_SECONDS
        self._is_midway = not is_whole
        if self.has_ended:
            asyncio.get_running_loop().call_later(ENDED_SECONDS, self._leave_unless_asked)

    # --- its time --------------------------------------------------------------------------------------

    def is_overdue(self, now: float) -> bool:
        """Whether it kept us waiting for longer than it may."""
        unread = _unread(self.transport)
        if unread != self._unread or not unread[0]:
            self._unread, self._unread_since = unread, now
        if now - self._unread_since > UNREAD_SECONDS:
            return True
        return self.owes_since is not None and now - self.owes_since > self._limit

    def leave(self) -> None:
        """End it where nothing was asked: HTTP's side ends itself."""
        if self._http is None:
            self.transport.close()

    def cut(self) -> None:
        """End it now; what was not sent is lost."""
        self._was_cut = True
        self.transport.abort()


def _unread(transport: asyncio.Transport) -> tuple[int, int]:
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

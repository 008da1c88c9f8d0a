"""TCP by RFC 7766: many queries a connection, pipelined; nobody waits for somebody else.

Rules: a connection that asked nothing for 10 s ends, one that sends or reads slowly too; past the
limit the idlest makes room. A client that does not read is not read from.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
from collections import Counter, OrderedDict
from typing import Any

from zkdns.serve.dispatch import Dispatcher

IDLE = 10.0
"""Seconds (RFC 7766, section 6.2.3)."""

MAX_CONNECTIONS = 1000
QUERIES_PER_TURN = 64
"""Queries of one connection answered before others have their turn."""

MAX_MESSAGE_BYTES = 65535

MAX_UNSENT_BYTES = 128 << 10
"""Bytes that the kernel takes of us beyond what a client's window has room for. It would take megabytes
for one that reads nothing, and there may be a thousand of those."""

GRACE = 0.5
"""Seconds that a new connection has for its first query when we are about to end."""


class TcpListener:
    """Answers on bound TCP sockets until it is closed."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self.open: OrderedDict[Connection, None] = OrderedDict()
        """Idlest first."""
        self.closed: Counter[str] = Counter()
        """Connections that we ended: `idle`, or too many (`limit`)."""
        self._servers: list[asyncio.Server] = []
        self._sockets: list[socket.socket] = []
        self._sweeping: asyncio.TimerHandle | None = None

    async def start(self, sockets: list[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        self._sockets = sockets
        for sock in sockets:
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # what is accepted inherits it
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT_BYTES)
            server = await loop.create_server(lambda: Connection(self), sock=sock, backlog=1024)
            self._servers.append(server)
        self._sweep()

    def stop_accepting(self) -> None:
        for server in self._servers:
            server.close()

    async def leave(self) -> None:
        """Takes no new connections. Those that the kernel has accepted for us are ours still: they come
        in, and those that asked nothing yet have a moment to do so."""
        loop = asyncio.get_running_loop()
        accepted = [each for sock in self._sockets for each in _accept_all(sock)]
        self.stop_accepting()
        for each in accepted:
            await loop.connect_accepted_socket(lambda: Connection(self), each)
        end = loop.time() + GRACE
        while loop.time() < end and not all(c.asked for c in self.open):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    def close(self) -> None:
        self.stop_accepting()
        if self._sweeping:
            self._sweeping.cancel()
        for connection in list(self.open):
            connection.end()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self.open):
            if now - connection.active < IDLE:
                break
            if connection.waiting:
                connection.touch()
            else:
                self.closed["idle"] += 1
                connection.abort()
        self._sweeping = loop.call_later(1.0, self._sweep)


def _accept_all(listening: socket.socket) -> list[socket.socket]:
    accepted = []
    try:
        while True:
            sock, _ = listening.accept()
            sock.setblocking(False)
            accepted.append(sock)
    except OSError:  # no more of them, or of files
        return accepted


def _forget_unsent(sock: socket.socket) -> None:
    """Have the kernel drop what a client does not read, and tell it so (RST), where it would keep that for
    minutes behind a closed descriptor. A client that has read all just sees the end."""
    try:
        left = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
        if left:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except (OSError, ValueError):  # it has ended already
        pass


class Connection(asyncio.Protocol):
    """One client's connection. `waiting`: its queries that an upstream has still to answer; `asked`:
    whether there was any."""

    def __init__(self, listener: TcpListener) -> None:
        self._listener = listener
        self._transport: Any = None
        self._buffer = bytearray()
        self._client = ""
        self._blocked = False
        self._scheduled = False
        self._ending = False
        self.waiting = 0
        self.asked = False
        self.active = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._client = peer[0] if peer else ""
        opened = self._listener.open
        if len(opened) >= MAX_CONNECTIONS:
            self._listener.closed["limit"] += 1
            next(iter(opened)).abort()
        opened[self] = None
        self.touch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.open.pop(self, None)

    def touch(self) -> None:
        self.active = asyncio.get_running_loop().time()
        if self in self._listener.open:
            self._listener.open.move_to_end(self)

    def abort(self) -> None:
        """End now; what was not sent is lost."""
        self._listener.open.pop(self, None)
        _forget_unsent(self._transport.get_extra_info("socket"))
        self._transport.abort()

    def end(self) -> None:
        """Answer what is here, then end."""
        self._ending = True
        self._work()
        if not self.waiting:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._work()

    def eof_received(self) -> bool:
        # A client may close its half and still read (RFC 7766, section 6.2.4)
        self._ending = True
        self._work()
        return True  # what is left is answered; then `_work` or the last reply ends it

    def pause_writing(self) -> None:
        self._blocked = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._blocked = False
        if not self._transport.is_closing():
            if not self._ending:
                self._transport.resume_reading()
            self._work()

    def _work(self) -> None:
        self._scheduled = False
        buffer = self._buffer
        at = 0
        asked = False
        for _ in range(QUERIES_PER_TURN):
            if self._blocked or len(buffer) < at + 2:
                break
            end = at + 2 + (buffer[at] << 8 | buffer[at + 1])
            if len(buffer) < end:
                break
            asked |= self._ask(bytes(buffer[at + 2 : end]))
            at = end
        else:
            if not self._transport.is_closing():
                self._scheduled = True
                asyncio.get_running_loop().call_soon(self._work)
        if at:
            del buffer[:at]
        if asked:
            self.touch()
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._ending and not (self._scheduled or self.waiting or self._blocked):
            self._transport.close()

    def _ask(self, query: bytes) -> bool:
        """Answer it, now or later. False where it is no query: no reply, and no sign of life."""
        self.waiting += 1
        self.asked = True
        done = False

        def reply(made: bytes) -> None:
            nonlocal done
            if not done:
                done = True
                self.waiting -= 1
                self._write(made)
                self._end_if_done()

        made = self._listener.dispatcher.handle(query, self._client, MAX_MESSAGE_BYTES, "tcp", reply)
        if made is not None:
            self.waiting -= 1
            self._write(made)
        elif len(query) < 12 or query[2] & 0x80:
            self.waiting -= 1
            return False  # those behind it are not to blame
        return True

    def _write(self, made: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(len(made).to_bytes(2, "big") + made)

"""TCP by RFC 7766: many queries a connection, pipelined; nobody waits for somebody else.

Rules: a connection has its first few queries answered at once, the rest in turns, of which all have no more
than `turn` says. One that asked nothing for 10 s ends, one that sends or reads slowly too; past the limit the
idlest makes room. A client that does not read is not read from, and what waits for one, in
and out, is bounded by bytes. `native/src/tcp.rs` and `connection.rs` do the same in threads.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from zkdns.descriptors import STREAMS, TOO_MANY, Scarcity
from zkdns.lack import Lack, is_local_lack, reason
from zkdns.serve.dispatch import Dispatcher
from zkdns.serve.listen.leaving import forget_unsent, refuse_new
from zkdns.serve.listen.places import Limits, Places
from zkdns.serve.request import MAX_TCP_BYTES
from zkdns.transports import let_go
from zkdns.turn import TURN_SECONDS, go_on

log = logging.getLogger("zkdns.tcp")

OWED = 30.0
"""Seconds that a reply which an upstream owes keeps a connection past its query."""

FEW = 4
"""Messages of one connection that are looked at as soon as they come: most send no more at once."""

MESSAGES_PER_TURN = 64
"""Those looked at before others have their turn, however little each costs."""

CHUNK_BYTES = 16 << 10
"""Bytes read of one connection at a turn."""

BYTES_PER_TURN = 32 << 10
"""Bytes of replies after which a turn ends."""

MAX_WAITING = 128
"""Queries of one connection that upstreams may have to answer at a time: more than the forwarder takes
of one client, so that past its limit each is told so at once."""

MAX_UNSENT_BYTES = 512 << 10
"""Bytes of replies that may wait for one client: some that came late, of the longest kind."""

KERNEL_UNSENT_BYTES = 128 << 10
"""Bytes that the kernel takes of us beyond what a client's window has room for. It would take megabytes
for one that reads nothing, and there may be a thousand of those."""

MAX_BACKLOG = 1024
"""Connections that the kernel keeps for us until they are taken."""

ACCEPTED_PER_TURN = 16
"""Each is four calls of the loop, and one more for whom it takes the place of: of 64 a turn took 60 ms."""

PAUSE = 0.1
"""Seconds until connections are taken again after there was no descriptor for one."""

SETTLE = 0.02
"""Seconds that a handshake which had begun may take to end when we are about to."""

GRACE = 0.5
"""Seconds that a new connection has for its first query when we are about to end."""

_EMPTY_ONES = bytes(1 << 10)


class TcpListener:
    """Answers on bound TCP sockets until it is closed."""

    def __init__(
        self, dispatcher: Dispatcher, limits: Limits, tick: Callable[[], float] = time.perf_counter
    ) -> None:
        self.dispatcher = dispatcher
        self.tick = tick
        self.open: Places[Connection] = Places(limits)
        self.closed: Counter[str] = Counter()
        """Connections that we ended: `idle`, for their place (`limit`), or too much waited (`backlog`)."""
        self.chunk = bytearray(CHUNK_BYTES)
        """What all connections are read into, one at a time."""
        self._idle = limits.idle
        self._line: deque[Connection] = deque()
        """Those with whole messages that wait for a turn."""
        self._goes_on = False
        self._sockets: list[socket.socket] = []
        self._beginning: set[asyncio.Task[Any]] = set()
        self._lack = Lack()
        self._scarcity = Scarcity(STREAMS)
        self._sweeping: asyncio.TimerHandle | None = None

    @property
    def lack(self) -> str:
        """What is lacking here for new connections; "" for nothing."""
        return self._lack.why(asyncio.get_running_loop().time())

    def look_for_lack(self, sock: socket.socket) -> bool:
        """Whether a new connection has a descriptor that others should have."""
        now = asyncio.get_running_loop().time()
        is_short = self._scarcity.meets(sock.fileno(), now)
        if is_short and self._lack.meet(TOO_MANY, now):
            log.warning("no more TCP connections can be taken: %s", TOO_MANY)
        return is_short

    @property
    def held(self) -> int:
        """Bytes that wait for all of them, in and out."""
        return self.open.held

    def start(self, sockets: list[socket.socket]) -> None:
        for sock in sockets:
            # What is accepted inherits both. asyncio sets the first itself for those sockets alone that were
            # made as IPPROTO_TCP, which ours were not: a second segment waited for the client's delayed ACK.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, KERNEL_UNSENT_BYTES)
            sock.listen(MAX_BACKLOG)
            self._sockets.append(sock)
            self._listen(sock)
        self._sweep()

    def _listen(self, sock: socket.socket) -> None:
        if sock.fileno() >= 0:
            asyncio.get_running_loop().add_reader(sock, self._accept, sock, ACCEPTED_PER_TURN)

    def _accept(self, listening: socket.socket, most: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(most):
            try:
                sock, _ = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if not is_local_lack(error):
                    continue  # the client's own: it went before it was accepted (accept(2))
                if self._lack.meet(reason(error), loop.time()):
                    log.warning("no more TCP connections can be taken: %s", error.strerror)
                loop.remove_reader(listening)
                loop.call_later(PAUSE, self._listen, listening)
                return
            sock.setblocking(False)
            task = loop.create_task(self._begin(sock))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    async def _begin(self, sock: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: Connection(self), sock)
        except OSError:
            sock.close()

    def stop_accepting(self) -> None:
        for sock in self._sockets:
            if sock.fileno() >= 0:
                asyncio.get_running_loop().remove_reader(sock)
                sock.close()

    async def leave(self) -> None:
        """Takes no new connections. Those that the kernel has accepted for us are ours still: they come
        in, and those that asked nothing yet have a moment to do so."""
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            refuse_new(sock)
        await asyncio.sleep(SETTLE)
        for sock in self._sockets:
            self._accept(sock, MAX_BACKLOG)
        self.stop_accepting()
        await asyncio.gather(*self._beginning)
        end = loop.time() + GRACE
        while loop.time() < end and not all(c.asked for c in self.open):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    def close(self) -> None:
        self.stop_accepting()
        if self._sweeping:
            self._sweeping.cancel()
        for connection in list(self.open):
            connection.end()

    def queue(self, connection: Connection) -> None:
        """It has a turn behind all that wait for one."""
        self._line.append(connection)
        if not self._goes_on:
            self._goes_on = True
            go_on(asyncio.get_running_loop(), self._take_turns)

    def _take_turns(self) -> None:
        self._goes_on = False
        until = self.tick() + TURN_SECONDS
        for _ in range(len(self._line)):
            self._line.popleft().take_turn(until)
            if self.tick() >= until:
                break
        if self._line and not self._goes_on:
            self._goes_on = True
            go_on(asyncio.get_running_loop(), self._take_turns)

    def dismiss(self, connection: Connection | None, why: str) -> None:
        if connection is not None:
            self.closed[why] += 1
            connection.abort()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self.open):
            if now - connection.active >= self._idle + (OWED if connection.waiting else 0):
                self.dismiss(connection, "idle")
        self._sweeping = loop.call_later(min(1.0, self._idle / 2), self._sweep)


def _skip_empty(stream: bytes, at: int) -> int:
    """Where the messages without a byte end that begin there: they are many, where somebody means harm."""
    run = len(_EMPTY_ONES)
    while stream[at : at + run] == _EMPTY_ONES:
        at += run
    while stream[at : at + 2] == b"\0\0":
        at += 2
    return at


def _is_query(message: bytes) -> bool:
    return len(message) >= 12 and not message[2] & 0x80


class Connection(asyncio.BufferedProtocol):
    """One client's connection. `waiting`: its queries that an upstream has still to answer; `asked`:
    whether there was any."""

    def __init__(self, listener: TcpListener) -> None:
        self._listener = listener
        self._transport: Any = None
        self._buffer = b""
        self._client = ""
        self._blocked = False
        self._scheduled = False
        self._paused = False
        self._ending = False
        self._parting = False
        self.waiting = 0
        self.asked = False
        self.active = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.set_write_buffer_limits(high=0)
        peer = transport.get_extra_info("peername")
        self._client = peer[0] if peer else ""
        self.active = asyncio.get_running_loop().time()
        is_short = self._listener.look_for_lack(transport.get_extra_info("socket"))
        self._listener.dismiss(self._listener.open.take(self, self._client, is_short=is_short), "limit")

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.open.release(self)
        let_go(self._transport)

    def abort(self) -> None:
        """End now; what was not sent is lost."""
        self._listener.open.release(self)
        forget_unsent(self._transport.get_extra_info("socket"))
        self._transport.abort()

    def end(self) -> None:
        """Answer what is here, then end. What the client still sends is read and not heeded, so that no
        RST overtakes the last replies."""
        self._ending = self._parting = True
        self._work(b"")

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._listener.chunk

    def buffer_updated(self, nbytes: int) -> None:
        if not self._parting:
            self._work(bytes(memoryview(self._listener.chunk)[:nbytes]))

    def eof_received(self) -> bool:
        # A client may close its half and still read (RFC 7766, section 6.2.4)
        self._ending, self._parting = True, False
        self._work(b"")
        return True  # what is left is answered; then `_go_on` ends it

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        if not self._transport.is_closing():
            self._work(b"")

    def take_turn(self, until: float) -> None:
        """Answer of what is here until then."""
        self._scheduled = False
        if not self._transport.is_closing():
            self._work(b"", until)

    def _work(self, came: bytes, until: float | None = None) -> None:
        """Take what came, answer a few of what is here, or a turn's worth, and go on from there."""
        stream = self._buffer + came if self._buffer else came
        replies: list[bytes] = []
        at, whole, seen, asked, size = 0, False, 0, False, 0
        most, tick = FEW if until is None else MESSAGES_PER_TURN, self._listener.tick
        while len(stream) >= at + 2:
            length = stream[at] << 8 | stream[at + 1]
            if not length:
                at = _skip_empty(stream, at)
                continue
            end = at + 2 + length
            if len(stream) < end:
                break
            if (
                self._blocked
                or self._scheduled
                or seen == most
                or size >= BYTES_PER_TURN
                or self.waiting >= MAX_WAITING
                or (until is not None and seen and tick() >= until)
            ):
                whole = True
                break
            query = stream[at + 2 : end]
            at = end
            seen += 1
            reply = self._ask(query)
            if reply is not None:
                replies.append(len(reply).to_bytes(2, "big") + reply)
                size += len(reply)
            elif not _is_query(query):
                continue  # no query: no reply, and no sign of life
            asked = True
        self._buffer = stream[at:]
        if asked:
            self.asked = True
            self.active = asyncio.get_running_loop().time()
            self._listener.open.touch(self)
        if replies:
            self._transport.write(b"".join(replies))
        self._go_on(whole)

    def _ask(self, query: bytes) -> bytes | None:
        """The reply; None where there will be one later, or none at all."""
        dispatcher = self._listener.dispatcher
        outcome = dispatcher.dispatch(dispatcher.read(query, self._client, "tcp", MAX_TCP_BYTES))
        if outcome is None or isinstance(outcome, bytes):
            return outcome
        self.waiting += 1
        outcome.then(self._reply)
        return None

    def _reply(self, reply: bytes) -> None:
        """What an upstream owed. One that leaves too much unread loses it with the connection."""
        self.waiting -= 1
        if self._transport.is_closing():
            return
        self._transport.write(len(reply).to_bytes(2, "big") + reply)
        if self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self._listener.dismiss(self, "backlog")
        else:
            self._go_on(bool(self._buffer))

    def _go_on(self, whole: bool) -> None:
        """`whole`: a message is here that had no turn."""
        if self._transport.is_closing():
            return
        held = len(self._buffer) + self._transport.get_write_buffer_size()
        self._listener.dismiss(self._listener.open.weigh(self, held), "backlog")
        stuck = self._blocked or self.waiting >= MAX_WAITING
        if whole and not stuck:
            if not self._scheduled:
                self._scheduled = True
                self._listener.queue(self)
        elif self._ending and not (whole or self.waiting or self._blocked):
            self._part() if self._parting else self._transport.close()
        self._read(self._parting or not (stuck or self._scheduled or self._ending))

    def _part(self) -> None:
        try:
            self._transport.write_eof()
        except OSError:  # the client has gone before us, and the loop was not told of it yet
            self._transport.abort()

    def _read(self, on: bool) -> None:
        if on == self._paused and not self._transport.is_closing():
            self._paused = not on
            self._transport.resume_reading() if on else self._transport.pause_reading()

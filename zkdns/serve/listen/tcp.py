"""TCP by RFC 7766: many queries a connection, pipelined; nobody waits for somebody else.

Rules: what comes is answered at once as far as there is time for that in this turn of the loop, the rest in
turns, of which all have no more than `turn` says; those that had none yet come first, one client's after
another's. One that asked nothing for 10 s ends, one that sends or reads slowly too; past the limit the idlest
makes room. A client that does not read is not read from, and what waits for one, in and out, is bounded by
bytes. `native/src/tcp.rs` and `connection.rs` do the same in threads.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from zkdns.descriptors import STREAMS
from zkdns.dns.packet import MAX_MESSAGE_BYTES
from zkdns.polling import prefer
from zkdns.serve.dispatch import Dispatcher
from zkdns.serve.listen.bind import keep_little_unsent
from zkdns.serve.listen.framing import cut, is_query
from zkdns.serve.listen.lacking import Lacking
from zkdns.serve.listen.leaving import forget_unsent, refuse_new
from zkdns.serve.listen.places import Limits, Places
from zkdns.serve.listen.turns import BURST_SECONDS, LONG_BYTES, MAX_PROMPT, Turns
from zkdns.transports import let_go
from zkdns.turn import go_on

log = logging.getLogger("zkdns.tcp")

OWED = 30.0
"""Seconds that a reply which an upstream owes keeps a connection past its query."""

CHUNK_BYTES = 16 << 10
"""Bytes read of one connection at a turn."""

BYTES_PER_TURN = 32 << 10
"""Bytes of queries and replies after which a turn ends; they are counted after `MAX_PROMPT` messages."""

MAX_WAITING = 128
"""Queries of one connection that upstreams may have to answer at a time: more than the forwarder takes
of one client, so that past its limit each is told so at once."""

MAX_UNSENT_BYTES = 512 << 10
"""Bytes of replies that may wait for one client: some that came late, of the longest kind."""

MAX_BACKLOG = 1024
"""Connections that the kernel keeps for us until they are taken."""

ACCEPTED_PER_TURN = 16
"""Each is four calls of the loop, and one more for whom it takes the place of: of 64 a turn took 60 ms."""

ENDED_PER_TURN = 32
"""Connections that are ended in one turn: each costs some 0.02 ms, and a thousand may go at once."""

PAUSE = 0.1
"""Seconds until connections are taken again after there was no descriptor for one."""

SETTLE = 0.02
"""Seconds that a handshake which had begun may take to end when we are about to."""

GRACE = 0.5
"""Seconds that a new connection has for its first query when we are about to end."""


class TcpListener:
    """Answers on bound TCP sockets until it is closed."""

    def __init__(
        self, dispatcher: Dispatcher, limits: Limits, tick: Callable[[], float] = time.perf_counter
    ) -> None:
        self.dispatcher = dispatcher
        self.open: Places[Connection] = Places(limits)
        self.closed: Counter[str] = Counter()
        """Connections that we ended: `idle`, for their place (`limit`), or too much waited (`backlog`)."""
        self.chunk = memoryview(bytearray(CHUNK_BYTES))
        """What all connections are read into, one at a time."""
        self._idle = limits.idle
        self.turns = Turns(tick)
        self._sockets: list[socket.socket] = []
        self._beginning: set[asyncio.Task[Any]] = set()
        self.lacking = Lacking("TCP", log, STREAMS)
        self._sweeping: asyncio.TimerHandle | None = None
        self._leaving: deque[Connection] = deque()
        """Those whose clients have gone, or asked nothing for too long: they end a few in a turn."""

    @property
    def held(self) -> int:
        """Bytes that wait for all of them, in and out."""
        return self.open.held

    def start(self, sockets: list[socket.socket]) -> None:
        for sock in sockets:
            # What is accepted inherits both. asyncio sets the first itself for those sockets alone that were
            # made as IPPROTO_TCP, which ours were not: a second segment waited for the client's delayed ACK.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            keep_little_unsent(sock)
            sock.listen(MAX_BACKLOG)
            self._sockets.append(sock)
            self._listen(sock)
        self._sweep()

    def _listen(self, sock: socket.socket) -> None:
        if sock.fileno() >= 0:
            loop = asyncio.get_running_loop()
            loop.add_reader(sock, self._accept, sock, ACCEPTED_PER_TURN)
            prefer(loop, sock.fileno())

    def _accept(self, listening: socket.socket, most: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(most):
            try:
                sock, _ = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if not self.lacking.is_met_by(error):
                    continue
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

    def dismiss(self, connection: Connection | None, why: str) -> None:
        if connection is not None:
            self.closed[why] += 1
            connection.abort()

    def let_leave(self, connection: Connection) -> None:
        """Its client has gone, or asks nothing."""
        if not self._leaving:
            go_on(asyncio.get_running_loop(), self._end_some)
        self._leaving.append(connection)

    def _end_some(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            for _ in range(min(ENDED_PER_TURN, len(self._leaving))):
                connection = self._leaving.popleft()
                if connection.has_gone:
                    connection.close()
                elif connection in self.open and self._is_idle(connection, loop.time()):
                    self.dismiss(connection, "idle")
        finally:
            if self._leaving:
                go_on(loop, self._end_some)

    def _is_idle(self, connection: Connection, now: float) -> bool:
        return now - connection.active >= self._idle + (OWED if connection.waiting else 0)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._sweeping = loop.call_later(min(1.0, self._idle / 2), self._sweep)
        for connection in self.open:
            if self._is_idle(connection, now):
                self.let_leave(connection)


class Connection(asyncio.BufferedProtocol):
    """One client's connection. `waiting`: its queries that an upstream has still to answer; `asked`:
    whether there was any; `has_gone`: its client sends nothing more, and is owed nothing."""

    def __init__(self, listener: TcpListener) -> None:
        self._listener = listener
        self._transport: Any = None
        self._now = asyncio.get_running_loop().time
        self._buffer = b""
        self._client = ""
        self._held = 0
        """Bytes that wait, as its place has them."""
        self._blocked = False
        self._scheduled = False
        self._paused = False
        self._ending = False
        self._parting = False
        self.waiting = 0
        self.asked = False
        self.has_gone = False
        self.active = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.set_write_buffer_limits(high=0)
        peer = transport.get_extra_info("peername")
        if not peer:  # reset before it was taken: nobody knows whose it was, nor waits for a reply
            self._transport.abort()
            return
        self._client = peer[0].partition("%")[0]
        self.active = self._now()
        is_short = self._listener.lacking.is_short_for(transport.get_extra_info("socket"))
        self._listener.dismiss(self._listener.open.take(self, self._client, is_short=is_short), "limit")

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.open.release(self)
        let_go(self._transport)

    def abort(self) -> None:
        """End now; what was not sent is lost."""
        self._listener.open.release(self)
        forget_unsent(self._transport.get_extra_info("socket"))
        self._transport.abort()

    def close(self) -> None:
        """End once what was answered is sent."""
        self._transport.close()

    def end(self) -> None:
        """Answer what is here, then end. What the client still sends is read and not heeded, so that no
        RST overtakes the last replies."""
        self._ending = self._parting = True
        self._work(b"")

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._listener.chunk

    def buffer_updated(self, nbytes: int) -> None:
        if not self._parting:
            self._work(self._listener.chunk[:nbytes].tobytes())

    def eof_received(self) -> bool:
        # A client may close its half and still read (RFC 7766, section 6.2.4)
        self._ending, self._parting = True, False
        if not (self._buffer or self.waiting or self._blocked):
            self.has_gone = True
            self._listener.let_leave(self)
            return True
        self._work(b"")
        return True  # what is left is answered; then `_go_on` ends it

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        if not self._transport.is_closing():
            self._work(b"")

    def take_turn(self, most: int) -> None:
        """Answer of what is here so many, until the turn is over."""
        self._scheduled = False
        if not self._transport.is_closing():
            self._take(self._buffer, most)

    def _work(self, came: bytes) -> None:
        """Take what came, and answer of what is here what may be answered at once."""
        stream, turns = self._buffer + came if self._buffer else came, self._listener.turns
        if self._scheduled or turns.at_once <= 0:
            self._take(stream, 0)
        else:
            began = turns.begin(min(turns.at_once, BURST_SECONDS))
            self._take(stream, MAX_PROMPT)
            turns.took_at_once(turns.tick() - began)

    def _take(self, stream: bytes, most: int) -> None:
        """Answer so many of its messages, until the turn is over, and go on from there."""
        if self._blocked:
            most = 0
        queries, ends, whole = cut(stream, min(most, MAX_WAITING - self.waiting))
        answered = self._answer(queries) if queries else 0
        self._buffer = stream[ends[answered] :]
        self._go_on(whole or answered < len(queries), answered > 0)

    def _answer(self, queries: list[bytes]) -> int:
        """Answer the first of these, until the turn is over. Returns how many those are."""
        replies: list[bytes] = []
        dispatcher, is_over = self._listener.dispatcher, self._listener.turns.is_over
        answered, size, asked = 0, 0, False
        while answered < len(queries) and size < BYTES_PER_TURN and not (answered and is_over()):
            together = queries[answered : answered + MAX_PROMPT]
            clients = [self._client] * len(together)
            outcomes = dispatcher.dispatch_all(together, clients, is_over, "tcp", MAX_MESSAGE_BYTES)
            answered += len(outcomes)
            for at, outcome in enumerate(outcomes):
                size += len(together[at])
                if isinstance(outcome, bytes):
                    replies += (len(outcome).to_bytes(2, "big"), outcome)
                    size += len(outcome)
                elif outcome is not None:
                    self.waiting += 1
                    outcome.then(self._reply)
                elif not is_query(together[at]):
                    continue  # no query: no reply, and no sign of life
                asked = True
        if asked:
            self.asked = True
            self.active = self._now()
            self._listener.open.touch(self)
        if size >= LONG_BYTES:
            self._listener.turns.note_long(self._listener.open.whose(self))
        if replies:
            self._transport.write(b"".join(replies))
        return answered

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

    def _go_on(self, whole: bool, had_turn: bool = True) -> None:
        """`whole`: a message is here that had no turn; `had_turn`: others before it had."""
        if not (self._buffer or self._held or self._blocked or self._ending or self._paused or self.waiting):
            return  # what came is answered, and the answers have gone
        if self._transport.is_closing():
            return
        held = len(self._buffer) + self._transport.get_write_buffer_size()
        if held != self._held:
            self._held = held
            self._listener.dismiss(self._listener.open.weigh(self, held), "backlog")
        stuck = self._blocked or self.waiting >= MAX_WAITING
        if whole and not stuck:
            if not self._scheduled:
                self._scheduled = True
                self._listener.turns.queue(self, self._listener.open.whose(self), had_turn)
        elif self._ending and not (whole or self.waiting or self._blocked):
            self._part() if self._parting else self._transport.close()
        full = self._scheduled and len(self._buffer) >= CHUNK_BYTES
        on = self._parting or not (stuck or full or self._ending)
        if on == self._paused:
            self._read(on)

    def _part(self) -> None:
        try:
            self._transport.write_eof()
        except OSError:  # the client has gone before us, and the loop was not told of it yet
            self._transport.abort()

    def _read(self, on: bool) -> None:
        if not self._transport.is_closing():
            self._paused = not on
            self._transport.resume_reading() if on else self._transport.pause_reading()

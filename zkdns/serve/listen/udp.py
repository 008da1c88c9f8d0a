"""UDP: datagrams in, datagrams out, many a wake-up.

Rules: where many wait, clients take turns: one that floods has others' questions answered before its own, and
what it asks takes no more of a turn of the loop than `turn` says. A reply leaves from the address that was
asked. A socket that is bound to one address does so by itself; on a wildcard socket the kernel tells the
address (IP_PKTINFO, RFC 3542) and is told it back.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from zkdns.forward.pending import Pending
from zkdns.line import Line
from zkdns.polling import prefer
from zkdns.serve.batch import SLOTS, Batch, Datagram
from zkdns.serve.dispatch import Dispatcher
from zkdns.serve.listen.bind import here
from zkdns.turn import ALONE_SECONDS, FEW, TURN_SECONDS, go_on

log = logging.getLogger("zkdns.udp")

BATCH = 64
"""Datagrams taken at one wake-up at most, where they are taken singly."""

AHEAD = 4
"""Calls whose datagrams are looked at before the first is answered: about what waits in a socket of the usual
size."""

IN_A_ROW = 4
"""Of those that take turns, so many are answered before the clock is looked at."""

MAX_WAITING = 1024
"""Datagrams that wait for their client's turn; see Line."""

_IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
_ANCILLARY = 64
"""Bytes of what the kernel tells beside a datagram."""
_SO_MEMINFO = 55
"""Linux' (asm-generic/socket.h); Python has no name for it."""
_DROPS = 4 * 8
"""Where SK_MEMINFO_DROPS stands among the numbers of SO_MEMINFO (linux/sock_diag.h)."""


class _Held(Struct, eq=False):
    """What came and has no answer yet, from the datagram at `first` on. More may come behind it."""

    batch: Batch
    queries: list[bytes]
    clients: list[str]
    first: int = 0


class UdpListener:
    """Answers on one bound UDP socket until it is closed."""

    def __init__(
        self,
        sock: socket.socket,
        dispatcher: Dispatcher,
        wildcard: bool,
        tick: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.sock = sock
        self.dispatcher = dispatcher
        self._wildcard = wildcard
        self._tick = tick
        if wildcard and sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        elif wildcard:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        self._free: list[Batch] = []
        self._has_batches = True
        try:
            self._free += [Batch(sock, wildcard) for _ in range(AHEAD)]
            self._out = self._free[0]
        except OSError:
            self._has_batches = False
        self._held: deque[_Held] = deque()
        self._whose = ""
        """The one client that sent all of those; "" for several."""
        self._line: Line[Datagram] = Line(MAX_WAITING)
        self._left: list[Datagram] = []
        """The rest of a few whose turn was over, to be answered next."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._goes_on = False

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        loop.add_reader(self.sock.fileno(), self._readable)
        prefer(loop, self.sock.fileno())

    def retire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Takes no more; all that came is answered. The socket stays for replies that are still due."""
        loop.remove_reader(self.sock.fileno())
        self._loop = None
        _leave_the_group(self.sock)
        while self._drain():
            pass

    def close(self) -> None:
        self.sock.close()

    @property
    def missed(self) -> int:
        return missed(self.sock)

    def _readable(self) -> None:
        if not self._goes_on:
            self._drain()
        elif self._waits:  # who waits has a turn behind all else that is due; newcomers don't wait for that
            self._receive(1)
            self._line_up()
            if self._line.favours_newcomers():
                self._answer_few()

    def _go_on(self) -> None:
        self._goes_on = False
        if self._loop is not None:
            self._drain()

    def _drain(self) -> int:
        """How many datagrams were taken, or wait still."""
        return self._drain_batches() if self._has_batches else self._drain_singly()

    def _drain_batches(self) -> int:
        """The first few are answered as they came, and so is what one client alone asks. As soon as another's
        is among it there are turns, until nobody waits: they cost a part of an answer each."""
        if not self._held and not self._waits:
            batch = self._free[-1]
            count = _receive(batch)
            if not count:
                return 0
            if count <= FEW:
                return self._answer_all(batch, count)
            self._note_held(batch, 0, count)
            if count == SLOTS:
                self._receive()
        else:
            self._receive()
        taken = self._take_turn()
        self._go_on_if_more()
        return taken

    def _go_on_if_more(self) -> None:
        if (self._waits or self._held) and self._loop is not None and not self._goes_on:
            self._goes_on = True
            go_on(self._loop, self._go_on)

    def _answer_all(self, batch: Batch, count: int) -> int:
        """Answer the few that came; one that has to be compiled may take its time, and others wait then."""
        held = _Held(batch, batch.queries(count), batch.clients(count))
        if count == 1:
            return self._answer(held)
        until = self._tick() + ALONE_SECONDS
        held.first = answered = self._answer(held, lambda: self._tick() >= until)
        if answered < count:
            self._free.pop()
            self._held.append(held)
            self._whose = held.clients[0] if _are_of_one(held.clients) else ""
            self._go_on_if_more()
        return answered

    def _receive(self, calls: int = AHEAD) -> None:
        """What waits in the kernel, as far as there is memory for it."""
        for _ in range(calls):
            last = self._held[-1] if self._held else None
            if last is not None and len(last.queries) < SLOTS:
                batch, first = last.batch, len(last.queries)
            elif self._free:
                batch, first = self._free[-1], 0
            else:
                return
            count = _receive(batch, first)
            if count:
                self._note_held(batch, first, count)
            if first + count < SLOTS:
                return

    def _note_held(self, batch: Batch, first: int, count: int) -> None:
        """So many came, from the slot `first` on: behind what is held of this batch, if any is."""
        queries, clients = batch.queries(count, first), batch.clients(count, first)
        whose = clients[0] if _are_of_one(clients) else ""
        self._whose = whose if not self._held or whose == self._whose else ""
        if first:
            self._held[-1].queries += queries
            self._held[-1].clients += clients
        else:
            self._held.append(_Held(self._free.pop(), queries, clients))

    def _answer(self, held: _Held, is_over: Callable[[], bool] | None = None) -> int:
        """Answer these, until that is so, but for what comes meanwhile. Returns how many were answered."""
        batch, first = held.batch, held.first
        queries, clients = held.queries[first:], held.clients[first:]
        outcomes = self.dispatcher.dispatch_all(queries, clients, is_over)
        slots, count = batch.put(outcomes, first), len(outcomes)
        if slots != count:
            for k, outcome in enumerate(outcomes):
                if isinstance(outcome, Pending):
                    outcome.then(self._later(batch, first + k, clients[k]))
        if slots:
            self._send(batch, slots, slots != count, first)
        return count

    @property
    def _waits(self) -> bool:
        """Whether anything waits for its client's turn."""
        return bool(self._left or self._line)

    def _take_turn(self) -> int:
        """Answer some of what waits. Returns how many were answered or dropped."""
        taken = 0
        if self._whose and not self._waits:
            taken = self._answer_alone()
        if self._waits or (self._held and not self._whose):
            taken += self._take_turns()
        return taken

    def _answer_alone(self) -> int:
        """Answer one client's until it had its time, or another is there, who is looked for meanwhile.
        Returns how many were answered."""
        tick = self._tick
        now = tick()
        look_at, middle, end = now + TURN_SECONDS, now + ALONE_SECONDS / 2, now + ALONE_SECONDS
        is_over = False

        def look() -> bool:
            nonlocal look_at, is_over
            now = tick()
            if now >= look_at:
                self._receive()
                look_at = now + TURN_SECONDS
                is_over = now >= end or not self._whose
            return is_over

        answered = 0
        while self._held:
            held = self._held[0]
            count = self._answer(held, look)
            answered += count
            held.first += count
            if held.first == len(held.queries):
                self._held.popleft()
                self._free.append(held.batch)
            if is_over or tick() >= middle:  # a part of a batch costs as much beside the answers as all of it
                break
            if not self._held:
                self._receive()
        return answered

    def _take_turns(self) -> int:
        """Answer some of all that wait, one client's after another's. Between one few and the next it looks
        who has come: newcomers are first, and wait for no turn to end. Returns how many were answered."""
        until = self._tick() + TURN_SECONDS
        self._line_up()
        answered = self._answer_few()
        while self._waits and self._tick() < until:
            self._receive(1)
            self._line_up()
            answered += self._answer_few()
        return answered

    def _line_up(self) -> None:
        """What was received waits for its client's turn."""
        for held in self._held:
            for one in held.batch.keep(held.queries, held.clients, held.first):
                if not self._line.put(one.whose, one):
                    self.dispatcher.dropped["share"] += 1
            self._free.append(held.batch)
        self._held.clear()

    def _answer_few(self) -> int:
        """Answer the next few. Returns how many those are."""
        batch, slots, latest = self._out, 0, self._tick() + ALONE_SECONDS
        few = self._left or self._line.take_few(IN_A_ROW)
        queries, clients = [one.query for one in few], [one.client for one in few]
        outcomes = self.dispatcher.dispatch_all(queries, clients, lambda: self._tick() >= latest)
        self._left = few[len(outcomes) :]
        for one, outcome in zip(few, outcomes, strict=False):
            if isinstance(outcome, bytes):
                batch.put_kept(slots, one, outcome)
                slots += 1
            elif outcome is not None:
                source = batch.source_of(one) if self._wildcard else []
                outcome.then(self._send_from(source, batch.peer_of(one.client, one.name)))
        if slots:
            self._send(batch, slots, shifted=True)
        return len(outcomes)

    def _send(self, batch: Batch, slots: int, shifted: bool, first: int = 0) -> None:
        if lost := batch.send(slots, shifted, first):
            self.dispatcher.dropped["send"] += lost

    def _later(self, batch: Batch, k: int, client: str) -> Callable[[bytes], None]:
        source = batch.source(k) if self._wildcard else []
        return self._send_from(source, batch.peer(k, client))

    def _drain_singly(self) -> int:
        until = self._tick() + TURN_SECONDS
        for n in range(BATCH):
            if n > FEW and self._tick() >= until:
                return n
            try:
                query, ancillary, _, client = self.sock.recvmsg(65535, _ANCILLARY)
            except (BlockingIOError, InterruptedError):
                return n
            except OSError as error:
                log.debug("receiving: %s", error)
                continue
            send = self._send_from(_source(ancillary), client)
            outcome = self.dispatcher.dispatch(self.dispatcher.read(query, client[0]))
            if isinstance(outcome, bytes):
                send(outcome)
            elif outcome is not None:
                outcome.then(send)
        return BATCH

    def _send_from(self, source: list[tuple[int, int, bytes]], client: Any) -> Callable[[bytes], None]:
        def send(reply: bytes) -> None:
            try:
                self.sock.sendmsg([reply], source, 0, client)
            except OSError as error:
                self._lost(error)

        return send

    def _lost(self, error: OSError) -> None:
        self.dispatcher.dropped["send"] += 1
        log.debug("sending: %s", error)


def _are_of_one(clients: Sequence[str]) -> bool:
    """Whether one client sent all of them."""
    return clients.count(clients[0]) == len(clients)


def _receive(batch: Batch, first: int = 0) -> int:
    try:
        return batch.receive(first)
    except OSError as error:  # ICMP errors of earlier sends come up here
        log.debug("receiving: %s", error)
        return 0


def missed(sock: socket.socket) -> int:
    """Datagrams that came faster than they were taken, so that the kernel had no room for them (Linux
    tells; elsewhere 0)."""
    if sys.platform != "linux" or sock.fileno() < 0:
        return 0
    try:
        meminfo = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * 9)
    except OSError:  # before Linux 4.12
        return 0
    return int.from_bytes(meminfo[_DROPS : _DROPS + 4], sys.byteorder)


def _leave_the_group(sock: socket.socket) -> None:
    """New datagrams go to the others that share the port, what has come stays to be read: a connected
    socket is passed over when one is chosen from a SO_REUSEPORT group (Linux commit acdcecc61285,
    in 5.4), and its own address never asks us. Elsewhere a connected socket can't answer others."""
    if sys.platform != "linux":
        return
    host, port, *rest = sock.getsockname()
    try:
        sock.connect((here(host), port, *rest))
    except OSError as error:
        log.debug("leaving: %s", error)


def _source(ancillary: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """What makes a reply leave from the address that a query came to (ip(7), RFC 3542 section 6)."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            # in_pktinfo: interface, address to send from, address in the header. Without the
            # interface, routing decides, as it would for any reply.
            return [(level, kind, b"\0\0\0\0" + data[8:12] + b"\0\0\0\0")]
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO and data[0] != 0xFF:  # of many
            scoped = data[:2] == b"\xfe\x80"  # a link-local address means nothing without its interface
            return [(level, kind, data if scoped else data[:16] + b"\0\0\0\0")]
    return []

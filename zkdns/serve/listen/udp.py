"""UDP: datagrams in, datagrams out, many a wake-up.

Rules: where many wait, clients take turns: one that floods has others' questions answered before its own. A
reply leaves from the address that was asked. A socket that is bound to one address does so
by itself; on a wildcard socket the kernel tells the address (IP_PKTINFO, RFC 3542) and is told it back.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from zkdns.forward.pending import Pending
from zkdns.serve.batch import SLOTS, Batch, Datagram
from zkdns.serve.dispatch import Dispatcher
from zkdns.serve.listen.bind import here
from zkdns.serve.listen.line import Line

log = logging.getLogger("zkdns.udp")

BATCH = 64
"""Datagrams taken at one wake-up where they are taken singly; then others have their turn."""

FEW = 8
"""So many at one wake-up are answered as they came, and so is what one client alone asks. As soon as
another's is among it there are turns, until nobody waits: they cost half an answer each."""

AHEAD = 4
"""Calls whose datagrams are looked at before the first is answered: about what waits in a socket of the usual
size."""

A_TURN = 16
"""Of more that wait, so many are answered in one turn of the loop: who comes next waits no longer."""

MAX_WAITING = 1024
"""Datagrams that wait for their client's turn; see Line."""

_IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
_ANCILLARY = 64
_SO_MEMINFO = 55
_DROPS = 4 * 8
"""Where SK_MEMINFO_DROPS stands among the numbers of SO_MEMINFO (linux/sock_diag.h)."""


class UdpListener:
    """Answers on one bound UDP socket until it is closed."""

    def __init__(self, sock: socket.socket, dispatcher: Dispatcher, wildcard: bool) -> None:
        self.sock = sock
        self.dispatcher = dispatcher
        self._wildcard = wildcard
        if wildcard and sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        elif wildcard:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        try:
            self._batches = [Batch(sock, wildcard) for _ in range(AHEAD)]
        except OSError:
            self._batches = []
        self._line: Line[Datagram] = Line(MAX_WAITING)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._goes_on = False

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        loop.add_reader(self.sock.fileno(), self._drain)

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

    def _drain(self) -> int:
        """How many datagrams were taken, or wait still."""
        return self._drain_batches() if self._batches else self._drain_singly()

    def _drain_batches(self) -> int:
        held = list(self._received())
        count = sum(n for _, n in held)
        if self._line:
            return count + self._take_turns(held)
        clients = [batch.clients(n) for batch, n in held]
        if count > FEW and not _are_of_one(clients):
            return count + self._take_turns(held)
        for (batch, n), askers in zip(held, clients, strict=True):
            self._answer(batch, n, askers)
        return count

    def _received(self) -> Iterator[tuple[Batch, int]]:
        """What waits in the kernel, as far as there is memory for it; how many each holds."""
        for batch in self._batches:
            count = _receive(batch)
            if count:
                yield batch, count
            if count < SLOTS:
                return

    def _answer(self, batch: Batch, count: int, clients: Sequence[str]) -> None:
        outcomes = self.dispatcher.dispatch_all(batch.queries(count), clients)
        slots = batch.put(outcomes)
        if slots != count:
            for k, outcome in enumerate(outcomes):
                if isinstance(outcome, Pending):
                    outcome.then(self._later(batch, k, clients[k]))
        if slots:
            self._send(batch, slots, count)

    def _take_turns(self, held: Sequence[tuple[Batch, int]]) -> int:
        """Answer some of all that wait, one client's after another's. How many are left."""
        line, batch = self._line, self._batches[0]
        while held:
            for received, count in held:
                for one in received.keep(count):
                    if not line.put(one.client, one):
                        self.dispatcher.dropped["share"] += 1
            is_all = held[-1][1] < SLOTS
            held = [] if is_all or len(line) >= MAX_WAITING else list(self._received())
        turn = [line.take() for _ in range(min(A_TURN, len(line)))]
        outcomes = self.dispatcher.dispatch_all([one.query for one in turn], [one.client for one in turn])
        slot = 0
        for one, outcome in zip(turn, outcomes, strict=True):
            if isinstance(outcome, bytes):
                batch.put_kept(slot, one, outcome)
                slot += 1
            elif outcome is not None:
                source = batch.source_of(one) if self._wildcard else []
                outcome.then(self._send_from(source, batch.peer_of(one.client, one.name)))
        if slot and (lost := batch.send(slot, shifted=True)):
            self.dispatcher.dropped["send"] += lost
        if line and self._loop is not None and not self._goes_on:
            self._goes_on = True
            self._loop.call_soon(self._go_on)
        return len(line)

    def _go_on(self) -> None:
        self._goes_on = False
        if self._loop is not None and self._line:
            self._drain()

    def _send(self, batch: Batch, slots: int, count: int) -> None:
        if lost := batch.send(slots, shifted=slots != count):
            self.dispatcher.dropped["send"] += lost

    def _later(self, batch: Batch, k: int, client: str) -> Callable[[bytes], None]:
        source = batch.source(k) if self._wildcard else []
        return self._send_from(source, batch.peer(k, client))

    def _drain_singly(self) -> int:
        for n in range(BATCH):
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


def _are_of_one(clients: Sequence[Sequence[str]]) -> bool:
    """Whether one client sent all of them."""
    first = clients[0][0]
    return all(each.count(first) == len(each) for each in clients)


def _receive(batch: Batch) -> int:
    try:
        return batch.receive()
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
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            scoped = data[:2] == b"\xfe\x80"  # a link-local address means nothing without its interface
            return [(level, kind, data if scoped else data[:16] + b"\0\0\0\0")]
    return []

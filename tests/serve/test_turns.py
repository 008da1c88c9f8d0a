"""One loop, two transports: who comes while others are answered waits for the rest of a turn, and no more."""

from __future__ import annotations

import asyncio
import fcntl
import select
import socket
import struct
import sys
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress

import pytest

from support import tables
from zkdns.answers.table import Table
from zkdns.config import Address
from zkdns.serve.dispatch import Dispatcher, Outcome
from zkdns.serve.listen.bind import bind
from zkdns.serve.listen.places import Limits
from zkdns.serve.listen.tcp import TcpListener
from zkdns.serve.listen.turns import MAX_PROMPT
from zkdns.serve.listen.udp import IN_A_ROW, UdpListener
from zkdns.serve.request import Request
from zkdns.turn import TURN_SECONDS, go_on

QUERY = tables.query(b"\3web\0", 1)
FRAMED = len(QUERY).to_bytes(2, "big") + QUERY
KINDS = (socket.SOCK_DGRAM, socket.SOCK_STREAM)
TURN = 20
"""Answers that fill a turn."""
MANY = 150
OWN = "127.0.0.9"
FLOODS = ("127.0.0.2", "127.0.0.3")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 is no address of ours")


class Noting(Dispatcher):
    """Its clock moves with each answer. `order`: to whom they were; `at`: what happens while the answer with
    that number is made."""

    def __init__(self, datagrams: socket.socket, streams: socket.socket) -> None:
        super().__init__(Table())
        self.datagrams = datagrams
        self.streams = streams
        self.now = 0.0
        self.order: list[str] = []
        self.at: dict[int, Callable[[], None]] = {}

    def tick(self) -> float:
        return self.now

    def _conclude(self, request: Request, answer: Callable[[Request], Outcome]) -> Outcome:
        self.now += TURN_SECONDS / TURN * 1.01
        self.at.get(len(self.order), lambda: None)()
        self.order.append(request.client)
        return super()._conclude(request, answer)

    def come(self, own: socket.socket) -> None:
        """A datagram of ours, which is there once this returns: the flood's were all taken before."""
        own.sendto(QUERY, self.datagrams.getsockname())
        select.select([self.datagrams], [], [], 10)

    def behind(self, number: int) -> int:
        """How many were answered between the answer with that number and ours."""
        return self.order.index(OWN) - number - 1

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.order) < count:  # noqa: ASYNC110
                await asyncio.sleep(0)


@asynccontextmanager
async def listening() -> AsyncIterator[Noting]:
    """Both listeners of one server."""
    datagrams, streams = (bind(Address("127.0.0.1", 0), kind) for kind in KINDS)
    dispatcher, loop = Noting(datagrams, streams), asyncio.get_running_loop()
    udp = UdpListener(datagrams, dispatcher, False, dispatcher.tick)
    tcp = TcpListener(dispatcher, Limits(), dispatcher.tick)
    tcp.start([streams])
    udp.start(loop)
    try:
        yield dispatcher
    finally:
        tcp.close()
        udp.retire(loop)
        udp.close()
        while len(tcp.open):  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def client(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    return sock


@asynccontextmanager
async def connected(dispatcher: Noting, host: str) -> AsyncIterator[socket.socket]:
    """A connection that the server knows of."""
    with socket.socket() as sock:
        sock.bind((host, 0))
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, dispatcher.streams.getsockname())
        sock.send(FRAMED)
        await asyncio.wait_for(loop.sock_recv(sock, 512), 10)
        yield sock


def send_and_see_it_there(sock: socket.socket) -> None:
    """A message that the other side has once this returns."""
    sock.send(FRAMED)
    while struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))) != (0,):
        pass


def flood(stack: AsyncExitStack, dispatcher: Noting) -> None:
    for host in FLOODS:
        sock = stack.enter_context(closing(client(host)))
        for _ in range(MANY):
            sock.sendto(QUERY, dispatcher.datagrams.getsockname())


async def test_a_question_over_tcp_is_answered_once_the_turn_of_datagrams_that_it_came_in_has_ended() -> None:
    async with listening() as dispatcher, AsyncExitStack() as stack:
        own = await stack.enter_async_context(connected(dispatcher, OWN))
        dispatcher.order.clear()
        middle = TURN + TURN // 2
        dispatcher.at[middle] = lambda: send_and_see_it_there(own)
        flood(stack, dispatcher)
        await dispatcher.until(2 * MANY + 1)
        assert dispatcher.behind(middle) <= TURN // 2 + IN_A_ROW


async def test_a_datagram_is_answered_once_the_turn_of_streams_that_it_came_in_has_ended() -> None:
    async with listening() as dispatcher, AsyncExitStack() as stack:
        floods = [await stack.enter_async_context(connected(dispatcher, host)) for host in FLOODS]
        own = stack.enter_context(closing(client(OWN)))
        dispatcher.order.clear()
        middle = len(FLOODS) * MAX_PROMPT + TURN + TURN // 2
        dispatcher.at[middle] = lambda: dispatcher.come(own)
        for sock in floods:
            sock.send(FRAMED * MANY)
        await dispatcher.until(2 * MANY + 1)
        assert dispatcher.behind(middle) <= TURN // 2 + 1


async def test_a_datagram_among_those_of_others_waits_for_no_turn_to_end() -> None:
    async with listening() as dispatcher, AsyncExitStack() as stack:
        own = stack.enter_context(closing(client(OWN)))
        own.settimeout(2)
        middle = TURN + TURN // 2
        came: list[bytes] = []

        def see() -> None:
            with suppress(TimeoutError):
                came.append(own.recv(512))

        dispatcher.at[middle] = lambda: dispatcher.come(own)
        dispatcher.at[middle + 2 * IN_A_ROW] = see
        flood(stack, dispatcher)
        await dispatcher.until(2 * MANY + 1)
        assert dispatcher.behind(middle) < IN_A_ROW
        assert [reply[:2] for reply in came] == [QUERY[:2]], "before the rest of the turn"


async def test_a_newcomer_waits_for_nothing_that_is_due_behind_what_sockets_bring() -> None:
    """Questions to upstreams, say, of which a turn is due before the next turn of those that wait."""
    async with listening() as dispatcher, AsyncExitStack() as stack:
        own = stack.enter_context(closing(client(OWN)))
        others: list[int] = []

        def come() -> None:
            dispatcher.come(own)
            go_on(asyncio.get_running_loop(), lambda: others.append(len(dispatcher.order)))

        last = len(FLOODS) + 2 * TURN - 2  # among the last few of a turn, after which nobody is looked for
        dispatcher.at[last] = come
        flood(stack, dispatcher)
        await dispatcher.until(2 * MANY + 1)
        assert dispatcher.behind(last) < IN_A_ROW
        assert dispatcher.order.index(OWN) < others[0]

"""One loop, two transports: who comes while others are answered waits for the rest of a turn, and no more."""

from __future__ import annotations

import asyncio
import fcntl
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
from zkdns.serve.listen.tcp import FEW, TcpListener
from zkdns.serve.listen.udp import IN_A_ROW, UdpListener
from zkdns.serve.request import Request
from zkdns.turn import TURN_SECONDS

QUERY = tables.query(b"\3web\0", 1)
FRAMED = len(QUERY).to_bytes(2, "big") + QUERY
TURN = 20
"""Answers that fill a turn."""
MANY = 150
OWN = "127.0.0.9"
FLOODS = ("127.0.0.2", "127.0.0.3")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 is no address of ours")


class Noting(Dispatcher):
    """Its clock moves with each answer. `order`: to whom they were; `at`: what happens while the answer with
    that number is made."""

    def __init__(self) -> None:
        super().__init__(Table())
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

    def behind(self, number: int) -> int:
        """How many were answered between the answer with that number and ours."""
        return self.order.index(OWN) - number - 1

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.order) < count:  # noqa: ASYNC110
                await asyncio.sleep(0)


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[Noting, tuple[str, int]]]:
    """Both listeners on one address."""
    dispatcher, loop = Noting(), asyncio.get_running_loop()
    datagrams = bind(Address("127.0.0.1", 0), socket.SOCK_DGRAM)
    at: tuple[str, int] = datagrams.getsockname()
    udp = UdpListener(datagrams, dispatcher, False, dispatcher.tick)
    tcp = TcpListener(dispatcher, Limits(), dispatcher.tick)
    tcp.start([bind(Address(*at), socket.SOCK_STREAM)])
    udp.start(loop)
    try:
        yield dispatcher, at
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
async def connected(at: tuple[str, int], host: str) -> AsyncIterator[socket.socket]:
    """A connection that the server knows of."""
    with socket.socket() as sock:
        sock.bind((host, 0))
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, at)
        sock.send(FRAMED)
        await asyncio.wait_for(loop.sock_recv(sock, 512), 10)
        yield sock


def send_and_see_it_there(sock: socket.socket) -> None:
    """A message that the other side has once this returns."""
    sock.send(FRAMED)
    while struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))) != (0,):
        pass


def flood(stack: AsyncExitStack, at: tuple[str, int]) -> None:
    for host in FLOODS:
        sock = stack.enter_context(closing(client(host)))
        for _ in range(MANY):
            sock.sendto(QUERY, at)


async def test_a_question_over_tcp_is_answered_once_the_turn_of_datagrams_that_it_came_in_has_ended() -> None:
    async with listening() as (dispatcher, at), AsyncExitStack() as stack:
        own = await stack.enter_async_context(connected(at, OWN))
        dispatcher.order.clear()
        middle = TURN + TURN // 2
        dispatcher.at[middle] = lambda: send_and_see_it_there(own)
        flood(stack, at)
        await dispatcher.until(2 * MANY + 1)
        assert dispatcher.behind(middle) <= TURN // 2 + IN_A_ROW


async def test_a_datagram_is_answered_once_the_turn_of_streams_that_it_came_in_has_ended() -> None:
    async with listening() as (dispatcher, at), AsyncExitStack() as stack:
        floods = [await stack.enter_async_context(connected(at, host)) for host in FLOODS]
        own = stack.enter_context(closing(client(OWN)))
        dispatcher.order.clear()
        middle = len(FLOODS) * FEW + TURN + TURN // 2
        dispatcher.at[middle] = lambda: own.sendto(QUERY, at) and None
        for sock in floods:
            sock.send(FRAMED * MANY)
        await dispatcher.until(2 * MANY + 1)
        assert dispatcher.behind(middle) <= TURN // 2 + 1


async def test_a_datagram_among_those_of_others_waits_for_no_turn_to_end() -> None:
    async with listening() as (dispatcher, at), AsyncExitStack() as stack:
        own = stack.enter_context(closing(client(OWN)))
        own.setblocking(False)
        middle = TURN + TURN // 2
        came: list[bytes] = []

        def see() -> None:
            with suppress(BlockingIOError):
                came.append(own.recv(512))

        dispatcher.at[middle] = lambda: own.sendto(QUERY, at) and None
        dispatcher.at[middle + 2 * IN_A_ROW] = see
        flood(stack, at)
        await dispatcher.until(2 * MANY + 1)
        assert dispatcher.behind(middle) < IN_A_ROW
        assert [reply[:2] for reply in came] == [QUERY[:2]], "before the rest of the turn"

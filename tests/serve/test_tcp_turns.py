"""TCP in the loop: how much of its turn one connection has, whatever it sends and whatever that costs."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import groupby
from typing import Any

import pytest

from support import tables
from zkdns.answers.table import Table
from zkdns.config import Address
from zkdns.serve.dispatch import Dispatcher
from zkdns.serve.listen.bind import bind
from zkdns.serve.listen.places import Limits
from zkdns.serve.listen.tcp import FEW, MESSAGES_PER_TURN, TcpListener
from zkdns.turn import TURN_SECONDS

QUERY = tables.query(b"\3web\0", 1)
MANY = 200

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 is no address of ours")


class Clock:
    """Moves by `step` seconds with each message that is read; `order`: whose each was."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step
        self.order: list[str] = []

    def __call__(self) -> float:
        return self.now

    def watch(self, dispatcher: Dispatcher) -> Dispatcher:
        read = dispatcher.read

        def note(message: bytes, client: str, *rest: Any) -> Any:
            self.now += self.step
            self.order.append(client)
            return read(message, client, *rest)

        dispatcher.read = note  # type: ignore[method-assign]
        return dispatcher


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message


@asynccontextmanager
async def listening(clock: Clock) -> AsyncIterator[tuple[TcpListener, tuple[str, int]]]:
    sock = bind(Address("127.0.0.1", 0), socket.SOCK_STREAM)
    listener = TcpListener(clock.watch(Dispatcher(Table())), Limits(), clock)
    listener.start([sock])
    try:
        yield listener, sock.getsockname()
    finally:
        listener.close()
        while len(listener.open):  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@asynccontextmanager
async def connected(
    listener: TcpListener, at: tuple[str, int], host: str = "127.0.0.1"
) -> AsyncIterator[socket.socket]:
    before = len(listener.open)
    with socket.socket() as sock:
        sock.bind((host, 0))
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, at)
        while len(listener.open) == before:  # noqa: ASYNC110
            await asyncio.sleep(0)
        yield sock


async def count_each_turn(clock: Clock, count: int) -> list[int]:
    """How many messages each turn of the loop read until there were so many."""
    turns = []
    while len(clock.order) < count:
        before = len(clock.order)
        await asyncio.sleep(0)
        turns.append(len(clock.order) - before)
    return turns


@pytest.mark.parametrize("message", [QUERY, b"x"], ids=["queries", "what is no query"])
@pytest.mark.parametrize("at_once", [1, 10])
async def test_a_turn_ends_by_time_whatever_is_sent(message: bytes, at_once: int) -> None:
    clock = Clock(TURN_SECONDS / at_once * 1.01)
    async with listening(clock) as (listener, at), connected(listener, at) as sock:
        sock.send(framed(message) * MANY)
        turns = await count_each_turn(clock, MANY)
        assert max(turns) <= max(FEW, at_once)


async def test_what_costs_nothing_has_a_bounded_number_in_a_turn() -> None:
    clock = Clock(0.0)
    async with listening(clock) as (listener, at), connected(listener, at) as sock:
        sock.send(framed(b"x") * MANY)
        assert max(await count_each_turn(clock, MANY)) <= MESSAGES_PER_TURN


async def test_connections_that_send_many_have_turns_one_after_another() -> None:
    clock = Clock(TURN_SECONDS / 8 * 1.01)
    hosts = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
    async with listening(clock) as (listener, at), AsyncExitStack() as stack:
        for sock in [await stack.enter_async_context(connected(listener, at, host)) for host in hosts]:
            sock.send(framed(QUERY) * MANY)
        await count_each_turn(clock, 3 * MANY)
    runs = [(host, len(list(those))) for host, those in groupby(clock.order)]
    assert max(n for _, n in runs) <= FEW + 8
    for k in range(3, 3 + 60, 3):
        assert {host for host, _ in runs[k : k + 3]} == set(hosts)


async def test_one_question_beside_many_is_answered_as_it_comes() -> None:
    clock = Clock(TURN_SECONDS / 8 * 1.01)
    async with (
        listening(clock) as (listener, at),
        connected(listener, at, "127.0.0.2") as flood,
        connected(listener, at, "127.0.0.3") as own,
    ):
        flood.send(framed(QUERY) * MANY)
        await count_each_turn(clock, FEW + 8)
        begun = len(clock.order)
        own.send(framed(QUERY))
        reply = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(own, 512), 10)
        assert reply[2:4] == QUERY[:2]
        assert clock.order.index("127.0.0.3") <= begun + 2 * 8
        await count_each_turn(clock, MANY + 1)


async def test_messages_without_a_byte_are_skipped_before_behind_and_between_queries() -> None:
    clock = Clock(0.0)
    async with listening(clock) as (listener, at), connected(listener, at) as sock:
        sock.send(bytes(3000) + framed(QUERY) + bytes(2) + framed(QUERY) + bytes(2048) + framed(QUERY)[:1])
        sock.send(framed(QUERY)[1:])
        await count_each_turn(clock, 3)
        got = b""
        while got.count(QUERY[:2]) < 3:
            got += await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 4096), 10)

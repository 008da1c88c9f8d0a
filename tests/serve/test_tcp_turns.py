"""TCP in the loop: how much of its turn one connection has, whatever it sends and whatever that costs."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import groupby

import pytest

from support import tables
from zkdns.answers.table import Table
from zkdns.config import Address
from zkdns.line import FAVOURS
from zkdns.serve.dispatch import Dispatcher, Outcome
from zkdns.serve.listen import turns as listen_turns
from zkdns.serve.listen.bind import bind
from zkdns.serve.listen.places import Limits
from zkdns.serve.listen.tcp import CHUNK_BYTES, ENDED_PER_TURN, TcpListener
from zkdns.serve.listen.turns import (
    BURST_SECONDS,
    FEW,
    LONG_BYTES,
    MAX_PROMPT,
    MAX_REMEMBERED,
    MESSAGES_PER_TURN,
    PROMPT_SECONDS,
    REMEMBERED_SECONDS,
    Turns,
)
from zkdns.serve.request import Request
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
        conclude = dispatcher._conclude

        def note(request: Request, answer: Callable[[Request], Outcome]) -> Outcome:
            self.now += self.step
            self.order.append(request.client)
            return conclude(request, answer)

        dispatcher._conclude = note  # type: ignore[method-assign]
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


async def most_that_end_in_a_turn(listener: TcpListener, left: int) -> int:
    """Until so many are left."""
    ended = [0]
    while (before := len(listener.open)) > left:
        await asyncio.sleep(0)
        ended.append(before - len(listener.open))
    return max(ended)


async def test_of_many_whose_clients_go_at_once_a_few_end_in_each_turn() -> None:
    async with listening(Clock(0.0)) as (listener, at):
        async with AsyncExitStack() as stack:
            for _ in range(3 * ENDED_PER_TURN):
                await stack.enter_async_context(connected(listener, at))
        assert await most_that_end_in_a_turn(listener, 0) <= ENDED_PER_TURN


async def test_of_many_that_are_idle_a_few_end_in_each_turn_and_who_asks_meanwhile_stays() -> None:
    async with listening(Clock(0.0)) as (listener, at), AsyncExitStack() as stack:
        for _ in range(3 * ENDED_PER_TURN):
            await stack.enter_async_context(connected(listener, at))
        now = asyncio.get_running_loop().time()
        for connection in listener.open:
            connection.active = now - Limits().idle
        listener._sweep()
        connection.active = now  # of the last
        assert await most_that_end_in_a_turn(listener, 1) <= ENDED_PER_TURN
        assert list(listener.open) == [connection]
        assert listener.closed == {"idle": 3 * ENDED_PER_TURN - 1}


@pytest.mark.parametrize("message", [QUERY, b"x"], ids=["queries", "what is no query"])
@pytest.mark.parametrize("at_once", [1, 10])
async def test_a_turn_ends_by_time_whatever_is_sent(message: bytes, at_once: int) -> None:
    clock = Clock(TURN_SECONDS / at_once * 1.01)
    async with listening(clock) as (listener, at), connected(listener, at) as sock:
        sock.send(framed(message) * MANY)
        turns = await count_each_turn(clock, MANY)
        assert max(turns) <= max(MAX_PROMPT, at_once)


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
    assert max(n for _, n in runs) <= MAX_PROMPT + 8
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
        await count_each_turn(clock, MAX_PROMPT + 8)
        begun = len(clock.order)
        own.send(framed(QUERY))
        reply = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(own, 512), 10)
        assert reply[2:4] == QUERY[:2]
        assert clock.order.index("127.0.0.3") <= begun + 2 * 8
        await count_each_turn(clock, MANY + 1)


async def test_a_turn_of_the_loop_ends_by_time_however_many_connections_sent_in_one_moment() -> None:
    at_once, a_turn = 10, round(10 * TURN_SECONDS / PROMPT_SECONDS)
    clock = Clock(PROMPT_SECONDS / at_once * 1.01)
    async with listening(clock) as (listener, at), AsyncExitStack() as stack:
        for sock in [await stack.enter_async_context(connected(listener, at)) for _ in range(60)]:
            sock.send(framed(QUERY) * 2)
        assert max(await count_each_turn(clock, 120)) <= at_once + a_turn + 1


async def test_long_answers_of_one_leave_none_that_others_get_at_once() -> None:
    """Else who comes next waits for those of a few connections, each with its half a millisecond's part."""
    clock = Clock(BURST_SECONDS / 2 * 1.01)
    async with listening(clock) as (listener, at), AsyncExitStack() as stack:
        for sock in [await stack.enter_async_context(connected(listener, at)) for _ in range(6)]:
            sock.send(framed(QUERY) * 10)
        turns = await count_each_turn(clock, 60)
        # Two at once, and what a turn has time for.
        assert max(turns) <= 2 + 1


@pytest.fixture
def nothing_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that comes waits for a turn, as where a thousand others came before it."""
    monkeypatch.setattr(listen_turns, "PROMPT_SECONDS", 0.0)


@pytest.mark.usefixtures("nothing_at_once")
async def test_who_has_had_no_turn_waits_for_none_of_those_that_go_on() -> None:
    a_turn = 5
    clock = Clock(TURN_SECONDS / a_turn * 1.01)
    async with listening(clock) as (listener, at), AsyncExitStack() as stack:
        floods = [
            await stack.enter_async_context(connected(listener, at, f"127.0.1.{n}")) for n in range(1, 31)
        ]
        own = await stack.enter_async_context(connected(listener, at, "127.0.0.3"))
        for sock in floods:
            sock.send(framed(QUERY) * 50)
        await count_each_turn(clock, 30 * (FEW + 1))
        begun = len(clock.order)
        own.send(framed(QUERY))
        await count_each_turn(clock, 30 * 50 + 1)
    assert clock.order.index("127.0.0.3") - begun <= 2 * a_turn


@pytest.mark.usefixtures("nothing_at_once")
async def test_of_those_that_had_no_turn_one_client_has_one_after_another_however_many_it_has() -> None:
    clock = Clock(TURN_SECONDS / 5 * 1.01)
    async with listening(clock) as (listener, at), AsyncExitStack() as stack:
        hosts = ["127.0.0.2"] * 30 + ["127.0.0.3"]
        for sock in [await stack.enter_async_context(connected(listener, at, host)) for host in hosts]:
            sock.send(framed(QUERY) * 2)
        await count_each_turn(clock, 2 * len(hosts))
    assert clock.order.index("127.0.0.3") <= 2


@pytest.mark.usefixtures("nothing_at_once")
async def test_newcomers_however_many_leave_a_turn_to_those_that_go_on() -> None:
    clock = Clock(TURN_SECONDS * 1.01)
    async with listening(clock) as (listener, at), AsyncExitStack() as stack:
        long = await stack.enter_async_context(connected(listener, at, "127.0.0.2"))
        others = [
            await stack.enter_async_context(connected(listener, at, f"127.0.1.{n}")) for n in range(1, 31)
        ]
        long.send(framed(QUERY) * 5)
        await count_each_turn(clock, 1)
        for sock in others:
            sock.send(framed(QUERY))
        await count_each_turn(clock, 30 + 5)
    assert clock.order[: 3 * (FAVOURS + 1)].count("127.0.0.2") >= 3


@pytest.mark.usefixtures("nothing_at_once")
async def test_who_was_given_long_answers_is_no_newcomer_on_a_new_connection_either() -> None:
    """Nine hundred who connected anew for each of 64 KB had everybody else wait for seconds."""
    clock = Clock(TURN_SECONDS * 1.01)
    floods = [f"127.0.1.{n}" for n in range(1, 31)]
    async with listening(clock) as (listener, at), AsyncExitStack() as stack:
        conclude = listener.dispatcher._conclude

        def say(request: Request, answer: Callable[[Request], Outcome]) -> Outcome:
            said = conclude(request, answer)
            return said if request.client == "127.0.0.3" else bytes(LONG_BYTES)

        listener.dispatcher._conclude = say  # type: ignore[method-assign]
        for begun in (0, 30):
            for sock in [await stack.enter_async_context(connected(listener, at, host)) for host in floods]:
                sock.send(framed(QUERY))
            if begun:
                own = await stack.enter_async_context(connected(listener, at, "127.0.0.3"))
                own.send(framed(QUERY))
            await count_each_turn(clock, begun + 30)
    assert clock.order.index("127.0.0.3") - 30 <= FAVOURS


def test_of_whom_it_is_known_that_his_answers_are_long_is_bounded_in_time_and_number() -> None:
    now = [100.0]
    turns = Turns(lambda: now[0])

    def is_known(one: bytes) -> bool:
        return one in turns._long or one in turns._long_before

    turns.note_long(b"a")
    now[0] += REMEMBERED_SECONDS * 0.99
    turns.note_long(b"b")
    assert is_known(b"a")
    now[0] += REMEMBERED_SECONDS
    turns.note_long(b"c")
    now[0] += REMEMBERED_SECONDS
    turns.note_long(b"d")
    assert [is_known(one) for one in (b"a", b"b", b"c", b"d")] == [False, False, True, True]
    for n in range(3 * MAX_REMEMBERED):
        turns.note_long(b"%d" % n)
        assert len(turns._long) + len(turns._long_before) <= 2 * MAX_REMEMBERED


async def test_a_burst_is_answered_in_one_piece_and_who_waits_for_a_turn_is_read_from() -> None:
    clock = Clock(BURST_SECONDS / MAX_PROMPT / 2)
    async with listening(clock) as (listener, at), connected(listener, at) as sock:
        (connection,) = listener.open
        calls: list[str] = []
        transport = connection._transport
        for name in ("write", "pause_reading"):
            real = getattr(transport, name)
            setattr(transport, name, lambda *args, name=name, real=real: (calls.append(name), real(*args)))
        sock.send(framed(QUERY) * MAX_PROMPT)
        await count_each_turn(clock, MAX_PROMPT)
        assert calls == ["write"]
        sock.send(framed(QUERY) * MANY)
        await count_each_turn(clock, MAX_PROMPT + MANY)
        assert "pause_reading" not in calls


@pytest.mark.usefixtures("nothing_at_once")
async def test_what_waits_for_a_turn_is_bounded_whatever_comes() -> None:
    clock = Clock(TURN_SECONDS)
    async with listening(clock) as (listener, at), connected(listener, at) as sock:
        (connection,) = listener.open
        sock.send(framed(bytes(1000)) * 100)
        most = 0
        while len(clock.order) < 100:
            most = max(most, len(connection._buffer))
            await asyncio.sleep(0)
        assert CHUNK_BYTES <= most < 2 * CHUNK_BYTES


async def test_messages_without_a_byte_are_skipped_before_behind_and_between_queries() -> None:
    clock = Clock(0.0)
    async with listening(clock) as (listener, at), connected(listener, at) as sock:
        sock.send(bytes(3000) + framed(QUERY) + bytes(2) + framed(QUERY) + bytes(2048) + framed(QUERY)[:1])
        sock.send(framed(QUERY)[1:])
        await count_each_turn(clock, 3)
        got = b""
        while got.count(QUERY[:2]) < 3:
            got += await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 4096), 10)


@pytest.mark.parametrize(
    ("took", "left"),
    [(BURST_SECONDS, 0.0), (BURST_SECONDS / 2, PROMPT_SECONDS - BURST_SECONDS / 2)],
)
async def test_what_may_be_answered_at_once_is_whole_again_with_the_next_turn(
    took: float, left: float
) -> None:
    turns = listen_turns.Turns(lambda: 0.0)
    turns.took_at_once(took)
    assert turns.at_once == left
    while turns.at_once >= PROMPT_SECONDS / 2:
        turns.took_at_once(took)
    for _ in range(5):
        await asyncio.sleep(0)
    assert turns.at_once == PROMPT_SECONDS

"""Questions that are looked at again: those of one moment in turns, each at its time and on its own."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from zkdns.forward.alarms import Alarms
from zkdns.turn import TURN_SECONDS

MANY = 100


async def test_those_that_are_due_in_one_moment_have_turns_and_keep_their_order() -> None:
    now, called, turns = 0.0, [], []
    turn = 0

    def call(number: int) -> None:
        nonlocal now
        now += TURN_SECONDS / 10 * 1.01
        called.append(number)
        turns.append(turn)

    alarms = Alarms(lambda: now)
    for number in range(MANY):
        alarms.set(0.0, partial(call, number))
    async with asyncio.timeout(10):
        while len(called) < MANY:
            await asyncio.sleep(0)
            turn += 1
    assert called == [*range(MANY)]
    assert max(map(turns.count, turns)) == 10


async def test_what_comes_by_a_socket_meanwhile_is_heard_between_two_turns() -> None:
    """asyncio would call all that is due first."""
    now, called = 0.0, []
    heard: list[int] = []
    reader, writer = await asyncio.open_connection(*(await served(heard, called)))

    def call() -> None:
        nonlocal now
        now += TURN_SECONDS
        called.append(None)
        if len(called) == 1:
            writer.write(b"x")

    alarms = Alarms(lambda: now)
    for _ in range(MANY):
        alarms.set(0.0, call)
    async with asyncio.timeout(10):
        while len(called) < MANY or not heard:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert heard[0] < MANY // 2
    writer.close()
    await reader.read()


async def served(heard: list[int], called: list[None]) -> tuple[str, int]:
    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        heard.append(len(called))
        server.close()
        writer.close()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    at: tuple[str, int] = server.sockets[0].getsockname()
    return at


async def test_one_that_is_due_before_all_others_waits_for_none_of_them() -> None:
    alarms, called = Alarms(), asyncio.Event()
    alarms.set(60.0, lambda: None)
    alarms.set(0.01, called.set)
    await asyncio.wait_for(called.wait(), 10)


async def test_one_that_was_cancelled_is_not_called_whenever_that_was() -> None:
    called: list[str] = []
    alarms, over = Alarms(), asyncio.Event()
    alarms.set(0.0, lambda: called.append("first") or second.cancel())  # type: ignore[func-returns-value]
    second = alarms.set(0.0, lambda: called.append("second"))
    alarms.set(0.001, lambda: called.append("third")).cancel()
    alarms.set(0.002, over.set)
    await asyncio.wait_for(over.wait(), 10)
    assert called == ["first"]


async def test_one_that_breaks_keeps_no_other_from_its_call() -> None:
    errors: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: errors.append(context["exception"])
    )
    alarms, over = Alarms(), asyncio.Event()
    alarms.set(0.0, lambda: [][0])
    alarms.set(0.0, over.set)
    await asyncio.wait_for(over.wait(), 10)
    assert [type(error) for error in errors] == [IndexError]

"""Replies that are due later: in their order, a part of them a turn, and each on its own."""

from __future__ import annotations

import asyncio

import dns.message

from support.waiting import until
from zkdns.dns.packet import Query
from zkdns.forward.pending import Deliveries, Pending
from zkdns.steps import finish
from zkdns.turn import TURN_SECONDS

QUERY = Query(dns.message.make_query("www.example.com", "A").to_wire())


async def test_many_are_told_in_parts_and_in_order() -> None:
    now, told, turns = 0.0, [], []
    waiting = [Pending(QUERY) for _ in range(40)]
    turn = 0

    def deliver(pending: Pending) -> None:
        nonlocal now
        now += TURN_SECONDS / 10
        told.append(waiting.index(pending))
        turns.append(turn)

    deliveries = Deliveries(lambda pending: None, lambda: now)
    deliveries.do(waiting[:30], deliver)
    deliveries.do(waiting[30:], deliver)
    while len(told) < 40:
        turn += 1
        await asyncio.sleep(0)
    assert told == [*range(40)]
    assert max(map(turns.count, turns)) <= 11
    assert turns[0] == 0, "the first ones at once"


async def test_one_that_can_not_be_told_costs_itself() -> None:
    waiting = [Pending(QUERY) for _ in range(3)]
    broken: list[Pending] = []

    def deliver(pending: Pending) -> None:
        if pending is waiting[1]:
            raise RuntimeError("planted")
        pending.deliver(b"told")

    Deliveries(broken.append).do(waiting, deliver)
    assert broken == [waiting[1]]
    assert [await each.wait() for each in (waiting[0], waiting[2])] == [b"told", b"told"]


async def test_whoever_still_waits_at_the_end_is_told_then() -> None:
    now, told = 0.0, []

    def deliver(pending: Pending) -> None:
        nonlocal now
        now += 1.0
        told.append(pending)

    waiting = [Pending(QUERY) for _ in range(5)]
    deliveries = Deliveries(lambda pending: None, lambda: now)
    deliveries.do(waiting, deliver)
    assert len(told) == 1
    finish(deliveries.finish())
    assert told == waiting


async def test_networks_take_turns_however_many_of_one_wait() -> None:
    """Those who waited for a hundred silent names were a second's work before anybody else's reply."""
    now, told = 0.0, []

    def deliver(pending: Pending) -> None:
        nonlocal now
        now += TURN_SECONDS
        told.append(pending)

    deliveries = Deliveries(lambda pending: None, lambda: now)
    waiting = [Pending(QUERY, b"busy") for _ in range(40)]
    deliveries.do(waiting, deliver)
    deliveries.do(other := [Pending(QUERY, b"quiet")], deliver)
    await until(lambda: len(told) == 41)
    assert told.index(other[0]) == 1
    assert [each for each in told if each.whose == b"busy"] == waiting

"""Turns: so many at a time, so many of each, in turn, and nothing kept of who left."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from itertools import count

import pytest

from zkdns.pipeline.turns import Claim, Turns
from zkdns.rounds import HEAP, Whose


async def test_accounts_come_in_turn_however_many_one_has_waiting() -> None:
    turns = Turns(1, 1)
    order: list[str] = []

    async def come(account: str) -> None:
        with turns.claim((account,)) as claim:
            await claim.called
            order.append(account)
            await asyncio.sleep(0)

    await asyncio.gather(*(come(account) for account in "aaaaaabbc"))
    assert sorted(order) == list("aaaaaabbc")
    assert order.index("b") <= 2
    assert order.index("c") <= 3


TENANT = {
    "some services of one registry": ("tenant", None, "r1"),
    "what a program registered": (None, "tenant", "r1"),
    "a registry": (None, None, "tenant"),
}


@pytest.mark.parametrize("whose", TENANT)
async def test_who_is_not_the_tenants_waits_for_few_of_a_thousand_whatever_a_tenant_is(whose: str) -> None:
    turns, fresh = Turns(1, 1, 3), count()

    def claim_as_tenant() -> Claim:
        return turns.claim(tuple(next(fresh) if key is None else key for key in TENANT[whose]))

    waiting = [claim_as_tenant() for _ in range(500)]
    claim = turns.claim(("web", "another", "r1"))
    waiting += [claim_as_tenant() for _ in range(500)]
    calls = 0
    while not claim.called.done():
        replace_one(waiting, claim_as_tenant())
        calls += 1
    assert calls <= 10


async def test_the_newest_waits_for_few_whatever_came_before_or_comes_later() -> None:
    turns = Turns(1, 1, 3)
    waiting = [turns.claim((n, "one", "r1"), moment=n) for n in range(1000)]
    claim = turns.claim(("web", "one", "r1"), moment=2000)
    waiting += [turns.claim((n, "one", "r1"), moment=n) for n in range(1000, 2000)]
    order = await order_of([*waiting, claim])
    assert order.index(claim) <= 4


def replace_one(waiting: list[Claim], another: Claim) -> None:
    """The one that has its place gives it up; another waits."""
    waiting.append(another)
    holder = next(one for one in waiting if one.has_place)
    waiting.remove(holder)
    holder.give_up()


async def order_of(claims: list[Claim]) -> list[Claim]:
    order: list[Claim] = []

    async def come(claim: Claim) -> None:
        with claim:
            await claim.called
            order.append(claim)

    await asyncio.gather(*map(come, claims))
    return order


async def test_the_oldest_go_on_while_newer_ones_come_all_the_time() -> None:
    turns = Turns(1, 1, 3)
    waiting = [turns.claim((n, "one", "r1"), moment=n) for n in range(40)]
    oldest, fresh, calls = waiting[-1], count(100), 0
    while not oldest.called.done():
        replace_one(waiting, turns.claim((n := next(fresh), "one", "r1"), moment=n))
        calls += 1
    assert calls <= 4 * 40
    assert all(len(heap) <= 2 * len(turns._waiting) + HEAP for heap in turns._waiting._waiting._by_age)


async def test_no_more_at_a_time_than_allowed_whoever_is_cancelled() -> None:
    turns = Turns(6, 2, 3)
    chance = random.Random(5)
    inside: Counter[str] = Counter()
    most: Counter[str] = Counter()

    async def come(account: Whose) -> None:
        name = str(account[0])
        with turns.claim(account) as claim:
            await claim.called
            inside[name] += 1
            inside["all"] += 1
            for each in (name, "all"):
                most[each] = max(most[each], inside[each])
            try:
                await asyncio.sleep(chance.random() / 500)
            finally:
                inside[name] -= 1
                inside["all"] -= 1

    accounts = [(chance.choice("abcdef"), chance.choice("st"), "r1") for _ in range(400)]
    tasks = [asyncio.create_task(come(account)) for account in accounts]
    for task in chance.sample(tasks, 150):
        await asyncio.sleep(0)
        task.cancel()
    async with asyncio.timeout(10):
        await asyncio.gather(*tasks, return_exceptions=True)
    assert most.pop("all") == 6
    assert set(most.values()) == {2}
    assert turns._free == 6
    waiting = turns._waiting
    assert not any((waiting._inside, waiting._beyond, waiting._waiting, *waiting._waiting._lines))


async def test_those_who_gave_up_are_not_kept() -> None:
    turns = Turns(1, each=10_000)
    first = turns.claim(("web",))
    for _ in range(5_000):
        turns.claim(("web",)).give_up()
    beyond = turns._waiting._waiting
    assert all(len(heap) <= 2 * len(turns._waiting) + HEAP + 1 for heap in beyond._by_age)
    last = turns.claim(("web",))
    first.give_up()
    assert last.has_place

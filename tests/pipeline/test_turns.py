"""Turns: so many at a time, so many of each, in turn, and nothing kept of who left."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from zkdns.pipeline.turns import Turns


async def test_accounts_come_in_turn_however_many_one_has_waiting() -> None:
    turns = Turns(1, 1)
    order: list[str] = []

    async def come(account: str) -> None:
        async with turns.turn(account):
            order.append(account)
            await asyncio.sleep(0)

    await asyncio.gather(*(come(account) for account in "aaaaaabbc"))
    assert sorted(order) == list("aaaaaabbc")
    assert order.index("b") <= 2
    assert order.index("c") <= 3


async def test_no_more_at_a_time_than_allowed_whoever_is_cancelled() -> None:
    turns = Turns(6, 2)
    chance = random.Random(5)
    inside: Counter[str] = Counter()
    most: Counter[str] = Counter()

    async def come(account: str) -> None:
        async with turns.turn(account):
            inside[account] += 1
            inside["all"] += 1
            for name in (account, "all"):
                most[name] = max(most[name], inside[name])
            try:
                await asyncio.sleep(chance.random() / 500)
            finally:
                inside[account] -= 1
                inside["all"] -= 1

    tasks = [asyncio.create_task(come(chance.choice("abcdef"))) for _ in range(400)]
    for task in chance.sample(tasks, 150):
        await asyncio.sleep(0)
        task.cancel()
    async with asyncio.timeout(10):
        await asyncio.gather(*tasks, return_exceptions=True)
    assert most.pop("all") == 6
    assert set(most.values()) == {2}
    assert turns._free == 6
    assert not turns._held
    assert not turns._waiting

"""A walk over all services leaves room for queries between its slices."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise

import pytest

from zkdns.web.slices import SECONDS, in_slices


async def test_others_have_their_turn_within_each_slice() -> None:
    now, turns = 0.0, []

    def walk() -> Iterator[int]:
        nonlocal now
        for n in range(100):
            now += SECONDS / 4
            yield n

    async def other() -> None:
        while True:
            turns.append(now)
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    assert await in_slices(walk(), lambda: now) == list(range(100))
    task.cancel()
    assert max(b - a for a, b in pairwise(turns)) <= 1.5 * SECONDS


async def test_a_walk_that_raises_is_heard_of() -> None:
    def walk() -> Iterator[int]:
        yield 1
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        await in_slices(walk())

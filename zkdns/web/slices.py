"""A long walk in the server's loop, in slices between which queries have their turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

SECONDS: Final = 0.002
"""Of one slice: what an answer may wait for it."""

T = TypeVar("T")


async def in_slices(walk: Iterable[T], tick: Callable[[], float] = time.perf_counter) -> list[T]:
    """All that the walk gives."""
    parts = []
    until = tick() + SECONDS
    for one in walk:
        parts.append(one)
        if tick() > until:
            await asyncio.sleep(0)
            until = tick() + SECONDS
    return parts

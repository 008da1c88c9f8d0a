"""Waiting for what will be true: a generous deadline, and a failure that says what never came."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 30.0


def eventually(condition: Callable[[], T], timeout: float = PATIENCE, pause: float = 0.02) -> T:
    """The first true value of `condition`. An AssertionError in it counts as not yet."""
    deadline = time.monotonic() + timeout
    while True:
        failure: AssertionError | None = None
        try:
            value = condition()
        except AssertionError as error:
            value, failure = None, error  # type: ignore[assignment]
        if value:
            return value
        if time.monotonic() > deadline:
            raise failure or AssertionError(f"never came true within {timeout:.0f} s: {condition}")
        time.sleep(pause)


async def until(condition: Callable[[], object]) -> None:
    """The same in a loop."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)

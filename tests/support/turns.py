"""What each turn of a server's loop costs, of its own CPU: who waits for an answer waits for a whole turn.

    TURNS=/tmp/turns python -m support.turns serve --registry …

runs `zkdns` as it is, and writes a line for each turn of more than `MOST` seconds: its cost, how many calls
it had, and the costliest of them.

Rules: a turn is all that the loop does between two waits. What counts is the CPU of the loop's own thread,
and where that is much, other work is done to see how slow the machine is that shares its cores and caches
with others: a busy one makes no turn long. The first turn is the start itself,
before anything is listened to.
"""

from __future__ import annotations

import asyncio
import functools
import os
import time
from asyncio import base_events, events
from collections.abc import Callable
from pathlib import Path
from typing import Any

MOST = 0.05
"""Seconds of CPU in one turn: nobody may be late by more."""

VARIABLE = "TURNS"

USUAL = 0.0015
"""Seconds of CPU that `a_work` takes where MOST was set: on two cores that have nothing else to do."""

SLOWEST = 2.0
"""So many times as slow a machine may be: then a turn is too long whatever the machine."""


def a_work() -> object:
    return {n: str(n) for n in range(20_000)}


def slowness(clock: Callable[[], float] = time.thread_time) -> float:
    """How many times as long the same takes here and now."""
    took = []
    for _ in range(3):
        before = clock()
        a_work()
        took.append(clock() - before)
    return min(max(1.0, sorted(took)[1] / USUAL), SLOWEST)


class Recorder:
    """`write` is given a line for each turn that took more than `most` seconds of `clock`, times `slow`."""

    def __init__(
        self,
        write: Callable[[str], object],
        most: float = MOST,
        clock: Callable[[], float] = time.thread_time,
        slow: Callable[[], float] = lambda: 1.0,
    ) -> None:
        self._write = write
        self._slow = slow
        self._most = most
        self._clock = clock
        self._turns = 0
        self._calls = 0
        self._costliest: tuple[float, asyncio.Handle | None] = 0.0, None

    def install(self) -> Callable[[], None]:
        """Record every loop of this process from now on. Gives what undoes it."""
        loops: Any = base_events.BaseEventLoop
        handles: Any = events.Handle
        run_once, run = loops._run_once, handles._run

        def turn(loop: asyncio.AbstractEventLoop) -> None:
            self._calls, self._costliest = 0, (0.0, None)
            before = self._clock()
            run_once(loop)
            cost = self._clock() - before
            self._turns += 1
            if cost > self._most and self._turns > 1 and cost > self._most * self._slow():
                most, handle = self._costliest
                self._write(
                    f"{cost * 1000:.0f} ms in {self._calls} calls, "
                    f"{most * 1000:.0f} ms of it in {name_of(handle)}\n"
                )

        def call(handle: asyncio.Handle) -> None:
            before = self._clock()
            run(handle)
            cost = self._clock() - before
            self._calls += 1
            if cost > self._costliest[0]:
                self._costliest = cost, handle

        loops._run_once = turn
        handles._run = call

        def undo() -> None:
            loops._run_once = run_once
            handles._run = run

        return undo


def name_of(handle: asyncio.Handle | None) -> str:
    """What was called, without what it was given: a future that is done has all of its result in its repr."""
    callback: Any = getattr(handle, "_callback", None)
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):  # its step, or what wakes it
        callback = owner.get_coro()
    while isinstance(callback, functools.partial):
        callback = callback.func
    code = getattr(callback, "__code__", None) or getattr(callback, "cr_code", None)
    where = f" {code.co_filename}:{code.co_firstlineno}" if code is not None else ""
    return f"{getattr(callback, '__qualname__', type(callback).__qualname__)}{where}"


def main() -> None:
    from zkdns.cli import main as zkdns

    path = Path(os.environ.pop(VARIABLE))

    def write(line: str) -> None:
        with path.open("a") as file:
            file.write(line)

    Recorder(write, float(os.environ.get("TURNS_MOST", MOST)), slow=slowness).install()
    zkdns()


if __name__ == "__main__":
    main()

"""Settings are read again in a thread, one reading at a time, however often and whatever they are."""

from __future__ import annotations

import asyncio
import threading

import pytest

from zkdns.model import ConfigError
from zkdns.server.notify import Notifier
from zkdns.server.rereading import Rereading


class Told(Notifier):
    """What systemd is told."""

    def __init__(self) -> None:
        super().__init__({})
        self.lines: list[str] = []

    def _say(self, *lines: str) -> None:
        self.lines.append(lines[0])


async def test_who_asks_while_they_are_read_has_them_read_once_more_and_the_loop_goes_on() -> None:
    """A share that doesn't answer keeps the thread, and nobody else: the loop lets go of it here."""
    begun, goes_on = asyncio.Event(), threading.Event()
    loop, reads, taken = asyncio.get_running_loop(), 0, list[int]()

    def read() -> int:
        nonlocal reads
        reads += 1
        loop.call_soon_threadsafe(begun.set)
        assert goes_on.wait(10)
        return reads

    told = Told()
    one = Rereading(read, taken.append, told)
    assert [one.ask() for _ in range(3)] == [True, False, False], "one works for all"
    work = asyncio.create_task(one.work())
    await begun.wait()
    assert [one.ask() for _ in range(50)] == [False] * 50
    assert taken == []
    goes_on.set()
    await work
    assert taken == [1, 2]
    assert told.lines[-1] == "READY=1"
    assert one.ask()


@pytest.mark.parametrize("error", [ConfigError("ttl", "is no number"), RuntimeError("odd"), MemoryError()])
@pytest.mark.parametrize("by", ["read", "take"])
async def test_whatever_keeps_them_from_being_taken_is_told_and_the_next_ones_are(
    error: Exception, by: str, caplog: pytest.LogCaptureFixture
) -> None:
    fails = True

    def meet(here: str) -> None:
        if fails and here == by:
            raise error

    told = Told()
    one = Rereading(lambda: meet("read"), lambda _: meet("take"), told)
    assert one.ask()
    await one.work()
    assert not one.is_good
    assert "the old settings stay in force" in caplog.text
    assert bool(caplog.records[0].exc_info) is not isinstance(error, ConfigError)
    fails = False
    assert one.ask()
    await one.work()
    assert one.is_good
    assert told.lines == ["RELOADING=1", "READY=1"] * 2

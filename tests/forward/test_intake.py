"""What comes at once is taken up in turns of the loop, and what is large is worked out in a thread before."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from functools import partial

import pytest

from support.waiting import until
from zkdns.forward.intake import Intake
from zkdns.steps import finish
from zkdns.turn import TURN_SECONDS


class Worked:
    """Each piece of work takes so long, by the clock that the intake has."""

    def __init__(self, seconds: float) -> None:
        self.intake = Intake(lambda: self.now)
        self.now = 0.0
        self.seconds = seconds
        self.taken: list[int] = []
        self.turns: set[float] = set()

    def take(self, n: int) -> None:
        self.now += self.seconds
        self.taken.append(n)
        self.turns.add(self.loops)

    loops = 0.0

    async def count_loops(self) -> None:
        while True:
            self.loops += 1
            await asyncio.sleep(0)


async def test_a_thousand_replies_of_one_moment_have_a_turn_each_where_each_takes_one() -> None:
    worked = Worked(2 * TURN_SECONDS)
    counting = asyncio.create_task(worked.count_loops())
    for n in range(100):
        worked.intake.put(partial(worked.take, n))
    assert worked.taken == []
    await until(lambda: len(worked.taken) == 100)
    counting.cancel()
    assert worked.taken == [*range(100)]
    assert len(worked.turns) == 100


async def test_what_costs_little_is_taken_up_together() -> None:
    worked = Worked(TURN_SECONDS / 10)
    for n in range(10):
        worked.intake.put(partial(worked.take, n))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(worked.taken) == 10


@pytest.mark.parametrize("large", [False, True])
async def test_the_outcome_is_handed_on_or_what_was_raised(large: bool) -> None:
    heard: list[int | str] = []

    def then(done: Callable[[], int]) -> None:
        try:
            heard.append(done())
        except ZeroDivisionError:
            heard.append("raised")

    intake = Intake()
    intake.work_out(lambda: 7, then, b"", large=large)
    intake.work_out(lambda: 1 // 0, then, b"", large=large)
    assert heard == ([] if large else [7, "raised"])
    await until(lambda: len(heard) == 2)
    assert heard == [7, "raised"]


async def test_who_is_met_by_an_error_keeps_nobody_waiting() -> None:
    heard: list[str] = []
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["exception"]))
    intake = Intake()
    intake.put(lambda: 1 // 0)
    intake.put(lambda: heard.append("next"))
    await until(lambda: heard)
    assert [type(one) for one in told] == [ZeroDivisionError]


async def test_at_the_end_all_of_it_is_taken_up() -> None:
    worked = Worked(1.0)
    for n in range(5):
        worked.intake.put(partial(worked.take, n))
    finish(worked.intake.finish())
    assert worked.taken == [*range(5)]


async def test_what_is_large_is_read_in_turns_and_what_nobody_waits_for_is_not() -> None:
    """Replies whose questions were over by then took half a gigabyte, and what was read of them more."""
    intake, gate = Intake(), threading.Event()
    heard: list[str] = []
    read: list[str] = []

    def have_read(name: str, whose: bytes, *, wanted: bool = True) -> None:
        def work() -> str:
            gate.wait(10)
            read.append(name)
            return name

        def take(done: Callable[[], str]) -> None:
            heard.append(done())
            intake.work_out(
                lambda: f"{name} judged", lambda judged: heard.append(judged()), whose, large=True
            )

        intake.read(work, take, whose, lambda: wanted)

    have_read("first", b"a")
    have_read("second", b"a")
    have_read("over", b"a", wanted=False)
    have_read("third", b"a")
    have_read("other's", b"b")
    gate.set()
    await until(lambda: len(heard) == 8)
    assert read == ["first", "second", "other's", "third"]
    assert heard == [word for name in read for word in (name, f"{name} judged")], (
        "one is whole before the next"
    )


async def test_networks_take_turns_with_what_is_large_though_it_was_read_in_the_loop() -> None:
    """Datagrams of a hundred records: who asked for thousands of them made all others wait."""
    intake, gate = Intake(), threading.Event()
    judged: list[str] = []
    for name in ("a1", "a2", "a3", "b1"):
        work = partial(lambda name: gate.wait(10) and name, name)
        intake.work_out(work, lambda done: judged.append(str(done())), name[:1].encode(), large=True)
    gate.set()
    await until(lambda: len(judged) == 4)
    assert judged == ["a1", "a2", "b1", "a3"], "who comes while nothing waits is a newcomer again"


async def test_who_can_wait_is_given_what_was_read_or_what_was_raised() -> None:
    intake = Intake()
    assert await intake.has_read(lambda: 7) == 7
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(ZeroDivisionError):
            await intake.has_read(lambda: 1 // 0)
        await asyncio.sleep(0)
        assert not [each for each in gc.get_objects() if isinstance(each, ZeroDivisionError)]
    finally:
        gc.enable()


async def test_what_is_waited_for_no_more_is_not_read() -> None:
    intake, gate = Intake(), threading.Event()
    read: list[int] = []
    asked = [asyncio.create_task(intake.has_read(partial(read_one, gate, read, n))) for n in range(3)]
    await asyncio.sleep(0)
    asked[1].cancel()
    await asyncio.sleep(0)
    gate.set()
    await asyncio.wait(asked)
    assert read == [0, 2]


def read_one(gate: threading.Event, read: list[int], n: int) -> None:
    gate.wait(10)
    read.append(n)

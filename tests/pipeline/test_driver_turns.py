"""What the driver does of what is due, and when it asks again: with a pipeline that only says so."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from support.values import a_service, an_instance
from support.waiting import until
from zkdns.answers.table import Delta
from zkdns.forward.addresses import Resolved
from zkdns.health.prober import Prober
from zkdns.health.targets import Target
from zkdns.model import Check
from zkdns.pipeline import driver as module
from zkdns.pipeline.driver import Driver
from zkdns.pipeline.inputs import Compilation, Compiled, Ready
from zkdns.pipeline.lookups import Lookups
from zkdns.pipeline.wall_clock import WallClock
from zkdns.registry.access import ZooKeeperSettings

TARGET = Target("/web/a", "a", "10.0.0.1", 80, 0.0, Check("tcp"))


class Script:
    """Stands where the pipeline does: `due` is given turn by turn, then nothing."""

    def __init__(self) -> None:
        self.registries: dict[str, Any] = {}
        self.due: list[Ready | Exception] = []
        self.turns = 0
        self.is_loading = False
        self.budgets: list[float] = []
        self.steps: list[Any] = []
        self.asked: Callable[[], None] = lambda: None

    def step(self, happened: object, now: float) -> None:
        self.steps.append(happened)

    def publish(self, now: float, budget: float) -> Delta:
        self.budgets.append(budget)
        return self.due[0].delta if self.due and isinstance(self.due[0], Ready) else Delta()

    def rest(self, now: float) -> Ready:
        self.asked()
        self.turns += 1
        ready = self.due.pop(0) if self.due else Ready()
        if isinstance(ready, Exception):
            raise ready
        return ready


class Driven:
    def __init__(self) -> None:
        self.script = Script()
        self.told: list[str] = []
        self.observed: list[float] = []
        self.driver = Driver(
            self.script,  # type: ignore[arg-type]
            ZooKeeperSettings(),
            self._resolve,
            self._take,
            publish=lambda delta: self.told.append("published"),
            observe=self.observed.append,
            replica="z1",
        )

    async def _resolve(self, host: str) -> Resolved:
        await asyncio.Event().wait()
        raise AssertionError

    def _take(self, ready: Ready) -> None:
        self.told.append("due")

    async def turn(self, *due: Ready | Exception) -> None:
        """Something happened, and this is due."""
        self.script.due += due
        turns = self.script.turns
        self.driver.step(Compiled("web", None))
        await until(lambda: self.script.turns > turns)


@pytest_asyncio.fixture
async def driven() -> AsyncIterator[Driven]:
    one = Driven()
    yield one
    await one.driver.stop()


async def quiet(driven: Driven, seconds: float = 0.1) -> int:
    """How many turns came by themselves meanwhile."""
    turns = driven.script.turns
    await asyncio.sleep(seconds)
    return driven.script.turns - turns


async def test_it_asks_again_at_the_moment_that_it_was_told_and_once(driven: Driven) -> None:
    await driven.turn(Ready(wake=time.time() + 0.02))
    await until(lambda: driven.script.turns == 2)
    assert await quiet(driven) == 0


async def test_a_moment_that_was_told_before_counts_no_more_after_another_turn(driven: Driven) -> None:
    await driven.turn(Ready(wake=time.time() + 60))
    alarm = driven.driver._alarm
    assert alarm is not None
    await driven.turn(Ready())
    assert alarm.cancelled()


async def test_while_there_is_more_to_do_it_goes_on_by_itself(driven: Driven) -> None:
    await driven.turn(Ready(more=True), Ready(more=True), Ready())
    await until(lambda: driven.script.turns == 3)
    assert await quiet(driven) == 0


async def test_who_asks_waits_for_a_short_slice_and_before_there_are_answers_nobody_does(
    driven: Driven,
) -> None:
    driven.script.is_loading = True
    await driven.turn(Ready())
    driven.script.is_loading = False
    await driven.turn(Ready())
    assert driven.script.budgets == [module.SLICE_OF_START, module.SLICE]
    assert module.SLICE <= 0.0005


async def test_after_an_error_of_ours_the_turn_is_tried_again(
    driven: Driven, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.01)
    await driven.turn(RuntimeError("ours"))
    await until(lambda: driven.script.turns == 2)
    assert "the pipeline goes on after an error of our own" in caplog.text


async def test_what_is_due_is_published_before_anything_else_is_done(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Prober, "schedule", lambda self, target: driven.told.append(f"probes {target.id}"))
    monkeypatch.setattr(Prober, "drop", lambda self, path: driven.told.append(f"drops {path}"))
    monkeypatch.setattr(Lookups, "want", lambda self, names: driven.told.append(f"wants {dict(names)}"))
    names = {"db.example.com": "web"}
    driven.script.asked = lambda: driven.told.append("asks for the rest")
    await driven.turn(Ready(Delta(serial=1), probe={"/web/a": TARGET, "/web/b": None}, resolve=names))
    published, asked, *others = driven.told
    assert (published, asked) == ("published", "asks for the rest"), "who asks waits for nothing else"
    assert others == ["due", "probes a", "drops /web/b", "wants {'db.example.com': 'web'}"]
    driven.told.clear()
    await driven.turn(Ready(resolve=names))
    assert driven.told == ["asks for the rest", "due"], "the names are the same"


async def test_each_change_that_is_in_force_is_measured_from_when_it_came(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.time, "perf_counter", lambda: 50.0)
    await driven.turn(Ready(served=(10.0, 30.0)), Ready(), Ready(served=(49.0,)))
    await until(lambda: driven.script.turns == 1)
    await driven.turn()
    await driven.turn()
    assert driven.observed == [40.0, 20.0, 1.0]


async def test_mirrors_are_told_that_what_was_heard_is_taken_once_little_of_it_waits(driven: Driven) -> None:
    turns: list[int] = []
    mirror = SimpleNamespace(take=lambda: turns.append(driven.script.turns))
    driven.driver._mirrors[frozenset("h")] = mirror  # type: ignore[assignment]
    await driven.turn(Ready(is_behind=True, more=True), Ready(is_behind=True, more=True), Ready())
    await until(lambda: driven.script.turns == 3)
    assert turns == [3]


async def test_what_somebody_asks_for_is_read_first_from_then_on(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Sequence[str]] = []
    driven.driver._mirrors[frozenset("h")] = SimpleNamespace(favour=told.append)  # type: ignore[assignment]
    web = a_service(an_instance("a"), an_instance("b"))
    monkeypatch.setattr(driven.script, "services", {"web": web}, raising=False)
    monkeypatch.setattr(driven.script, "compile_now", lambda name, now: Delta(), raising=False)
    for name in ("web", "gone meanwhile"):
        driven.driver.compile_now(name)
    assert told == [(web.path, web.instances[0].path, web.instances[1].path)]


async def test_what_is_small_goes_before_what_is_large_and_nothing_waits_for_ever(driven: Driven) -> None:
    may_go = threading.Event()
    order: list[str] = []

    def one(name: str, size: int) -> Compilation:
        def work() -> Compiled:
            may_go.wait(10)
            order.append(name)
            return Compiled(name, None)

        return Compilation(name, work, size)

    under_way = [one("under way", 0) for _ in range(module.THREADS)]
    large = [one(f"large {n}", 1_000_000) for n in range(9)]
    await driven.turn(Ready(compile=(*under_way, *large)))
    await driven.turn(Ready(compile=(one("small", 1), one("old", 1_000_001))))
    may_go.set()
    await until(lambda: len(order) == 13)
    assert order.index("small") < module.THREADS + 2
    assert order.index("old") > module.THREADS + 6


async def test_what_is_compiled_aside_comes_back_and_after_the_end_no_more(
    driven: Driven, caplog: pytest.LogCaptureFixture
) -> None:
    begun, may_end = threading.Semaphore(0), threading.Event()
    done = Compiled("done", None)

    def late() -> Compiled:
        begun.release()
        may_end.wait(10)
        return Compiled("late", None)

    await driven.turn(Ready(compile=(Compilation("done", lambda: done),)))
    await until(lambda: done in driven.script.steps)
    # Two threads: the last of them has not begun when all ends.
    await driven.turn(Ready(compile=tuple(Compilation("late", late) for _ in range(3))))
    await until(lambda: begun.acquire(blocking=False))
    await until(lambda: begun.acquire(blocking=False))
    steps = len(driven.script.steps)
    await driven.driver.stop()
    may_end.set()
    assert await quiet(driven) == 0
    assert len(driven.script.steps) == steps
    assert caplog.text == ""


async def test_after_the_end_there_are_no_turns(driven: Driven) -> None:
    await driven.turn(Ready(wake=time.time() + 0.02))
    driven.driver.step(Compiled("web", None))
    await driven.driver.stop()
    assert await quiet(driven) == 0


async def test_when_the_clock_is_set_what_waits_is_moved_and_there_is_a_turn(
    driven: Driven, caplog: pytest.LogCaptureFixture
) -> None:
    await driven.turn(Ready(wake=time.time() + 60))
    set_back = 0.0
    driven.driver.clock = WallClock(lambda: time.time() - set_back, time.monotonic)
    driven.driver.look()
    driven.script.steps.clear()
    turns, set_back = driven.script.turns, 3600.0
    driven.driver.look()
    (told,) = driven.script.steps
    assert round(told.by) == -3600
    assert "the clock was set back by 3600.0 s" in caplog.text
    await until(lambda: driven.script.turns > turns)
    driven.driver.look()
    assert driven.script.steps == [told], "it is told once"

"""What takes the place of others is looked at little at a time: counted in objects that one look meets."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from weakref import ref

import pytest

from support.waiting import until
from zkdns.server import collector

MANY, A_TURN = 8_000, 100


@pytest.fixture(autouse=True)
def as_a_server_has_it() -> Iterator[None]:
    before = gc.get_threshold()
    collector.set_pace()
    collector.leave()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def most_at_once(after_each_turn: Callable[[], None]) -> int:
    """How many objects the longest look meets while thousands take the place of others, and some come."""
    seen = [0]

    def note(phase: str, about: dict[str, int]) -> None:
        if phase == "start":
            young = range(about["generation"] + 1)
            seen.append(sum(len(gc.get_objects(generation=n)) for n in young))

    held: list[list[int]] = [[n] for n in range(MANY)]
    collector.leave()
    gc.callbacks.append(note)
    try:
        for at in range(0, MANY, A_TURN):
            held[at : at + A_TURN] = [[n] for n in range(A_TURN)]
            after_each_turn()
        held += [[n] for n in range(collector.YOUNG + 1)]
    finally:
        gc.callbacks.remove(note)
    return max(seen)


def test_no_look_meets_all_that_took_the_place_of_others() -> None:
    assert most_at_once(lambda: None) > MANY, "as it is by itself"
    assert most_at_once(collector.look) < 1.5 * collector.YOUNG


def test_what_is_old_is_not_looked_at_by_itself() -> None:
    before = gc.get_stats()[2]["collections"]
    for _ in range(20_000):
        collector.look()
    [[n] for n in range(10 * collector.YOUNG)]
    assert gc.get_stats()[2]["collections"] == before


def test_what_a_storm_makes_old_is_left_and_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """To count it makes a list of all of it."""
    held: list[list[int]] = []
    most = 0
    counted = noted(monkeypatch)
    for looks in range(1, 5):
        for _ in range(100):
            held += [[n] for n in range(1000)]
            collector.look()
            most = max(most, gc.get_count()[2])
        collector.tend(looks)
    assert counted == []
    assert most < 1.1 * collector.FEW / 1000, "looks before what they made old is left"


def test_what_else_comes_is_counted_when_as_much_came_as_can_be_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[list[int]] = []
    counted = noted(monkeypatch)
    for looks in range(1, 50):
        held += [[n] for n in range(8000)]
        tend(looks)
    assert max(counted) < 1.2 * collector.FEW + 8000
    assert len(counted) <= len(held) / (collector.FEW / 5) + 1
    counted.clear()
    for looks in range(1, 50):
        tend(looks)
    assert len(counted) <= 1


def test_what_takes_the_place_of_others_is_told_from_what_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is new less what is gone is nothing here, and all of it is old in the end."""
    held: list[list[int]] = [[n] for n in range(2 * collector.FEW)]
    collector.leave()
    counted, looked = noted(monkeypatch), gc.get_stats()[2]["collections"]
    for looks in range(1, 20):
        for at in range(0, 5000, A_TURN):
            at += looks * 5000 % len(held)
            held[at : at + A_TURN] = [[n] for n in range(A_TURN)]
        tend(looks)
    assert counted, "else all would be looked at in a minute"
    assert max(counted) < 2 * collector.FEW
    assert gc.get_stats()[2]["collections"] == looked


def test_much_that_came_between_two_looks_is_left_and_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    much_that_came_between_two_looks_is_left(monkeypatch)


def much_that_came_between_two_looks_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    counted, left = noted(monkeypatch), gc.get_freeze_count()
    held = [[n] for n in range(3 * collector.FEW)]
    tend(1)
    assert counted == []
    assert gc.get_freeze_count() > left + len(held) - collector.YOUNG


async def test_no_two_looks_are_in_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "PAUSE", 0.0)
    monkeypatch.setattr(collector, "LOOKS_BACK", 2)
    loop, turns, looks = asyncio.get_running_loop(), [0], list[tuple[int, int]]()

    def turn() -> None:
        turns[0] += 1
        loop.call_soon(turn)

    def note(phase: str, about: dict[str, int]) -> None:
        if phase == "start":
            looks.append((turns[0], about["generation"]))

    turn()
    gc.callbacks.append(note)
    following = asyncio.create_task(collector.follow())
    try:
        await until(lambda: sum(generation == 2 for _, generation in looks) >= 3)
    finally:
        gc.callbacks.remove(note)
        following.cancel()
    assert {generation for _, generation in looks} == {1, 2}
    assert len({at for at, _ in looks}) == len(looks)


async def test_what_a_registry_brought_is_left_soon_and_not_a_minute_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(collector, "PAUSE", 0.0)
    monkeypatch.setattr(collector, "LOOKS_BACK", 1 << 30)
    left = gc.get_freeze_count()
    following = asyncio.create_task(collector.follow())
    try:
        for _ in range(10):
            await asyncio.sleep(0)
        assert gc.get_freeze_count() <= left, "little is not left"
        brought = [[n] for n in range(3 * collector.FEW)]
        await until(lambda: gc.get_freeze_count() > left + len(brought))
    finally:
        following.cancel()


def tend(looks: int) -> None:
    collector.look_at_young()
    collector.tend(looks)


def noted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many old objects were counted each time."""
    counted: list[int] = []
    get_objects = gc.get_objects

    def note(generation: int) -> list[object]:
        every = get_objects(generation)
        if generation == 2:
            counted.append(len(every))
        return every

    monkeypatch.setattr(gc, "get_objects", note)
    return counted


class Circle:
    def __init__(self) -> None:
        self.itself = self


def test_a_circle_that_waited_until_it_was_old_goes_within_a_minute() -> None:
    """As those do that aiohttp leaves of a path that is not there, on a connection that is kept."""
    circle = Circle()
    tend(1)
    tend(2)
    gone = ref(circle)
    del circle
    tend(collector.LOOKS_BACK - 1)
    assert gone() is not None, "it was young"
    tend(collector.LOOKS_BACK)
    assert gone() is None
    assert collector.LOOKS_BACK * collector.PAUSE <= 60


def test_what_is_looked_at_once_a_minute_leaves_the_count_of_looks_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for looks in range(1, 50):
        tend(looks)
    tend(collector.LOOKS_BACK)
    much_that_came_between_two_looks_is_left(monkeypatch)


def test_what_a_registry_brings_is_left_at_once_and_never_looked_through() -> None:
    before = gc.get_stats()[2]["collections"]
    brought = [[n] for n in range(collector.FEW + collector.YOUNG)]
    frozen = gc.get_freeze_count()
    tend(collector.LOOKS_BACK)
    assert gc.get_stats()[2]["collections"] == before
    assert gc.get_freeze_count() > frozen + len(brought) - collector.YOUNG
    tend(2 * collector.LOOKS_BACK)
    assert gc.get_stats()[2]["collections"] == before + 1, "little is left that is old"


@pytest.mark.parametrize("is_old", [False, True])
def test_a_tuple_that_a_thread_makes_meanwhile_has_no_other_holder(is_old: bool) -> None:
    is_begun, may_end = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        yield 1
        is_begun.set()
        may_end.wait(10)
        yield 2

    def let_it_end(frame: FrameType, event: str, what: object) -> None:
        if event == "c_return" and what is gc.get_objects:  # what it gave is still held here
            may_end.set()
            making.result(10)

    with ThreadPoolExecutor(1) as threads:
        making = threads.submit(lambda: tuple(items()))
        is_begun.wait(10)
        if is_old:
            held = [[n] for n in range(collector.FEW + collector.YOUNG)]
            collector.look_at_young()
            assert held
        sys.setprofile(let_it_end)
        try:
            collector.tend(1) if is_old else collector.look_at_young()
        finally:
            sys.setprofile(None)
            may_end.set()
        assert making.result(10) == (1, 2)

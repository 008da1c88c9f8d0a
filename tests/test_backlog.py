"""Backlogs: few keep their order, in a long one the newest waits for none of those that came before, and what
came with thousands keeps nothing else waiting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdns.backlog import FEW, Backlog, Lanes


def test_few_are_taken_in_the_order_in_which_they_came() -> None:
    backlog = Backlog[int].fromkeys(range(FEW))
    assert [backlog.take_next() for _ in range(FEW)] == list(range(FEW))
    with pytest.raises(KeyError):
        backlog.take_next()


def test_in_a_long_one_the_newest_and_the_oldest_have_their_turns() -> None:
    backlog = Backlog[int].fromkeys(range(10 * FEW))
    backlog[-1] = None
    taken = [backlog.take_next() for _ in range(4)]
    assert -1 in taken[:2]
    assert 0 in taken[:2]
    assert 1 in taken


@given(st.lists(st.tuples(st.integers(0, 400), st.booleans()), max_size=600))
def test_each_is_taken_once_for_each_time_that_it_waits(steps: list[tuple[int, bool]]) -> None:
    backlog, waiting = Backlog[int](), set[int]()
    for item, takes in steps:
        if takes and waiting:
            waiting.remove(backlog.take_next())
        backlog[item] = None
        waiting.add(item)
    assert {*backlog} == waiting


def test_what_came_with_thousands_and_what_came_alone_have_their_turns() -> None:
    lanes = Lanes[int]()
    for item in range(1000):
        lanes.put(item, True)
    for item in (-1, -2, -3):
        lanes.put(item, False)
    taken = [lanes.take_next() for _ in range(6)]
    assert [item for item, is_one_of_many in taken if not is_one_of_many] == [-1, -2, -3]
    assert len(lanes) == 1000 - 3
    assert all(is_one_of_many for _, is_one_of_many in (lanes.take_next() for _ in range(100)))


def test_few_of_either_are_taken_in_the_order_in_which_they_came() -> None:
    lanes = Lanes[int]()
    for item in range(FEW):
        lanes.put(item, item % 3 == 0)
    assert [lanes.take_next()[0] for _ in range(FEW)] == list(range(FEW))


def test_one_of_many_that_something_is_told_of_is_none_of_them_any_more() -> None:
    lanes = Lanes[int]()
    for item in range(1000):
        lanes.put(item, True)
    lanes.put(500, False)
    lanes.put(500, True)
    assert 500 in lanes
    assert len(lanes) == 1000
    assert (500, False) in [lanes.take_next() for _ in range(2)]
    assert 500 not in lanes


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans(), st.booleans()), max_size=300))
def test_in_lanes_each_is_taken_once_for_each_time_that_it_waits(steps: list[tuple[int, bool, bool]]) -> None:
    lanes, waiting = Lanes[int](), set[int]()
    for item, is_one_of_many, takes in steps:
        if takes and waiting:
            waiting.remove(lanes.take_next()[0])
        lanes.put(item, is_one_of_many)
        waiting.add(item)
    assert {*lanes} == waiting
    assert len(lanes) == len(waiting)
    while waiting:
        waiting.remove(lanes.take_next()[0])
    with pytest.raises(KeyError):
        lanes.take_next()

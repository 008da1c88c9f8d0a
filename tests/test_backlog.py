"""Backlogs: few keep their order, and in a long one the newest waits for none of those that came before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdns.backlog import FEW, Backlog


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

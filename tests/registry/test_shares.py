"""Shares: the accounts have their turns, each item is there once, and what is empty is gone."""

from __future__ import annotations

import pytest

from zkdns.backlog import FEW
from zkdns.registry.zk.shares import Shares


def drain(shares: Shares[int]) -> list[int]:
    popped = []
    while shares:
        popped.append(shares.pop())
    return popped


def test_accounts_have_their_turns_and_in_each_what_came_first_is_first() -> None:
    shares: Shares[int] = Shares()
    for item in (1, 2, 3, 1):
        shares.put("a", item)
    shares.put("b", 10)
    shares.put("b", 11)
    assert drain(shares) == [1, 10, 2, 11, 3]


def test_who_comes_late_waits_for_one_turn_of_the_others() -> None:
    shares: Shares[int] = Shares()
    for item in range(100):
        shares.put("a", item)
    assert shares.pop() == 0
    shares.put("b", 1000)
    assert [shares.pop(), shares.pop()] == [1, 1000]


def test_nothing_is_left_of_what_was_cleared() -> None:
    shares: Shares[int] = Shares()
    shares.put("a", 1)
    shares.clear()
    assert not shares
    with pytest.raises(KeyError):
        shares.pop()


def test_among_thousands_of_accounts_the_newest_waits_for_one_turn_and_the_oldest_go_on() -> None:
    shares: Shares[int] = Shares()
    for item in range(100 * FEW):
        shares.put(f"a{item}", item)
    shares.put("late", -1)
    popped = [shares.pop() for _ in range(8)]
    assert -1 in popped[:2]
    assert {0, 1, 2} <= {*popped}


def test_who_had_a_turn_as_the_newest_waits_for_the_others() -> None:
    """Else who has thousands waiting, and came last, would have each second turn."""
    shares: Shares[int] = Shares()
    for item in range(4 * FEW):
        shares.put(f"a{item}", item)
    for item in range(1000, 2000):
        shares.put("late", item)
    popped = [shares.pop() for _ in range(2 * FEW)]
    assert sum(item >= 1000 for item in popped) == 1

"""Shares: the accounts have their turns, each item is there once, and what is empty is gone."""

from __future__ import annotations

import pytest

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

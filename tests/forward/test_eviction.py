"""What goes when there is no more room: laws, and loads that are hard on a cache."""

from __future__ import annotations

import random
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdns.forward.eviction import MAX_SPARED, SHARES, FairCache, share_of


@dataclass(slots=True)
class Item:
    weight: int = 1
    frequency: int = 0
    share: int = 0
    is_main: bool = False
    over: bool = False

    def is_over(self, now: float) -> bool:
        return self.over


class Numbers:
    """A cache that is asked for numbers; what it doesn't have is put there."""

    def __init__(self, limit: int, entries: int) -> None:
        self.cache: FairCache[Item] = FairCache(limit, entries)

    def ask(self, number: int, share: int = 0) -> bool:
        """Whether it was there."""
        key = b"%d" % number
        item = self.cache.get(key)
        if item is None:
            self.cache.put(key, Item(), share, 0.0)
            return False
        item.frequency = min(item.frequency + 1, 3)
        return True

    def ask_all(self, numbers: range, share: int = 0) -> None:
        for number in numbers:
            self.ask(number, share)

    def kept(self, numbers: range) -> int:
        return sum(b"%d" % number in self.cache for number in numbers)


FLOOD = 1 << 32


def test_a_flood_of_names_that_are_asked_once_leaves_what_is_asked_often() -> None:
    numbers = Numbers(1000, 1000)
    for _ in range(4):
        numbers.ask_all(range(500), 1)
    for number in range(5000):
        numbers.ask(FLOOD + number, number % SHARES)
    assert numbers.kept(range(500)) >= 450


def test_a_flood_among_what_is_asked_by_zipfs_law_costs_few_hits() -> None:
    def rate(flood: int) -> float:
        numbers, draw, hits = Numbers(300, 300), random.Random(7), 0
        sums = list(accumulate(1 / n for n in range(1, 3001)))
        for k in range(10_000):
            found = numbers.ask(bisect_left(sums, draw.random() * sums[-1]), 1)
            hits += found and k >= 5000
            numbers.ask_all(range(FLOOD + k * flood, FLOOD + (k + 1) * flood), 2)
        return hits / 5000

    quiet = rate(0)
    assert quiet > 0.6
    assert rate(3) > quiet - 0.08


def test_what_was_pushed_out_and_comes_again_is_kept_longer() -> None:
    numbers = Numbers(100, 100)
    numbers.ask_all(range(100))
    numbers.ask_all(range(FLOOD, FLOOD + 20))
    assert not numbers.kept(range(5, 6))
    numbers.ask(5)
    numbers.ask_all(range(2 * FLOOD, 2 * FLOOD + 50))
    assert numbers.kept(range(5, 6))


def test_as_many_that_were_pushed_out_are_remembered_as_are_kept() -> None:
    numbers = Numbers(100, 100)
    numbers.ask_all(range(100))
    numbers.ask_all(range(FLOOD, FLOOD + 80))
    numbers.ask_all(range(10, 12))  # pushed out some seventy ago
    numbers.ask_all(range(2 * FLOOD, 2 * FLOOD + 200))
    assert numbers.kept(range(10, 12)) == 2


def test_a_network_that_asks_for_each_of_its_flood_again_pushes_out_its_own() -> None:
    numbers = Numbers(1000, 1000)
    for _ in range(4):
        numbers.ask_all(range(300), 1)
    for number in range(2000):
        for _ in range(4):
            numbers.ask(FLOOD + number, 2)
    assert numbers.kept(range(300)) >= 290


def test_what_is_past_keeping_goes_however_often_it_was_asked_for() -> None:
    numbers = Numbers(100, 100)
    for _ in range(4):
        numbers.ask_all(range(100))
    for item in numbers.cache.values():
        item.over = True
    numbers.ask(FLOOD)
    assert numbers.kept(range(100)) == 99


def test_where_all_are_asked_often_few_are_looked_at() -> None:
    numbers = Numbers(1000, 1000)
    for _ in range(4):
        numbers.ask_all(range(1000))
    numbers.ask(FLOOD)
    assert sum(item.frequency < 3 for item in numbers.cache.values()) <= MAX_SPARED + 1
    assert len(numbers.cache) == 1000


@given(
    st.integers(500, 3000),
    st.integers(5, 60),
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(1, 700), st.integers(0, 3), st.integers(0, 9)), max_size=150
    ),
)
def test_costs_stay_within_the_bounds_and_nothing_is_charged_that_is_not_there(
    limit: int, entries: int, steps: list[tuple[int, int, int, int]]
) -> None:
    cache: FairCache[Item] = FairCache(limit, entries)
    for number, weight, share, how in steps:
        key = b"%d" % number
        item = cache.get(key)
        if how == 0:
            cache.pop(key, None)
        elif how < 5 and item is not None:
            item.frequency = min(item.frequency + 1, 3)
        else:
            cache.put(key, Item(weight), share, 0.0)
            assert weight > limit or cache.get(key) is not None
        assert (
            sum(max(item.weight, -(-limit // entries)) for item in cache.values()) == cache.currsize <= limit
        )
        assert len(cache) <= entries
    while cache:
        cache.popitem()
    with pytest.raises(KeyError):
        cache.popitem()
    assert (len(cache), cache.currsize) == (0, 0)


def test_a_clients_share_is_that_of_its_network() -> None:
    assert share_of("192.0.2.1") == share_of("192.0.2.254") == share_of("::ffff:192.0.2.7")
    assert share_of("2001:db8:0:ff::1") == share_of("2001:db8:0:1::2%eth0")
    networks = {share_of(f"10.0.{n}.1") for n in range(200)} | {
        share_of(f"fd00:0:0:{n:x}00::1") for n in range(9)
    }
    assert len(networks) > SHARES // 2
    assert networks <= set(range(SHARES))
    assert share_of(None) == share_of("nobody") == 0

"""Shares within shares become whole numbers of first places, exactly where a cycle allows it."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from zkdns.answers.proportions import MAX_CYCLE, apportion, cycle_counts

weights = st.lists(st.integers(0, 65_535), min_size=1, max_size=12)
small = st.lists(st.integers(0, 4), min_size=1, max_size=4)
shares = st.fractions(0, 1, max_denominator=100)


@given(st.integers(0, 20_000), weights.filter(any))
def test_apportioning_gives_all_places_and_nobody_is_off_by_one(places: int, own: list[int]) -> None:
    counts = apportion(places, own)
    assert sum(counts) == places
    assert all(abs(n - Fraction(w * places, sum(own))) < 1 for n, w in zip(counts, own, strict=True))


def test_of_more_members_than_the_longest_cycle_has_places_none_is_left_out() -> None:
    (counts,) = cycle_counts([(Fraction(1), [1] * (MAX_CYCLE + 2000))])
    assert set(counts) == {1}


@given(st.lists(st.tuples(st.integers(0, 20), small), min_size=1, max_size=4))
def test_a_cycle_with_room_is_exact_between_groups_and_within_them(
    groups: list[tuple[int, list[int]]],
) -> None:
    counts = cycle_counts([(Fraction(s), own) for s, own in groups], 1_000_000)
    total = sum(map(sum, counts))
    usable = sum(s for s, own in groups if any(own))
    for (share, own), given_ in zip(groups, counts, strict=True):
        if not usable or not share or not any(own):
            assert not any(given_)
            continue
        assert Fraction(sum(given_), total) == Fraction(share, usable)
        for w, n in zip(own, given_, strict=True):
            assert Fraction(n, sum(given_)) == Fraction(w, sum(own))


@given(st.lists(st.tuples(shares, weights), min_size=1, max_size=6))
def test_beyond_the_longest_cycle_a_share_is_off_by_less_than_its_hundredth_percent(
    groups: list[tuple[Fraction, list[int]]],
) -> None:
    counts = cycle_counts(groups)
    total = sum(map(sum, counts))
    assert total <= max(MAX_CYCLE, 4 * sum(len(own) for _, own in groups))
    usable = sum((s for s, own in groups if any(own)), Fraction(0))
    for (share, own), given_ in zip(groups, counts, strict=True):
        assert len(given_) == len(own)
        if usable and any(own):
            assert abs(Fraction(sum(given_), total) - share / usable) <= Fraction(1, MAX_CYCLE)


def test_a_split_of_ninety_to_ten_stays_so_whatever_stands_behind_it() -> None:
    many, few = [7919] * 61 + [7907] * 36, [104_729, 1, 17]
    counts = cycle_counts([(Fraction(90), many), (Fraction(10), few)])
    assert sum(counts[0]) == 9 * sum(counts[1])


def test_a_group_that_has_nobody_gives_its_share_to_the_others_in_proportion() -> None:
    counts = cycle_counts([(Fraction(2), [1]), (Fraction(3), [0, 0]), (Fraction(1), [1])])
    assert counts == [[2], [0, 0], [1]]
    assert cycle_counts([(Fraction(1), [0]), (Fraction(0), [5])]) == [[0], [0]]

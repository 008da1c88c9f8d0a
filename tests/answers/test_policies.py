"""The laws of every policy: what a Rotation gives over its cycle, whoever the instances are."""

from __future__ import annotations

import gc
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from math import gcd
from weakref import ref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.examples import examples
from zkdns.answers import policies
from zkdns.answers.policies import weighted
from zkdns.answers.rotation import Rotation

some_weights = st.lists(
    st.one_of(st.sampled_from([0, 1, 1, 2, 3, 10, 100]), st.integers(0, 65_535)), min_size=1, max_size=40
)
cuts = st.sampled_from([1, 2, 3, 8, 8, 100])


def firsts(rotation: Rotation) -> Counter[int]:
    """How often each stands first over one cycle."""
    return Counter(rotation.orders[at][0] for at in rotation.sequence)


def longest(weights: list[int]) -> int:
    return max(weighted.MAX_CYCLE, 4 * len(weights))


@settings(deadline=None)
@given(st.sampled_from(policies.names()), some_weights, cuts)
def test_an_order_loses_nobody_and_invents_nobody(policy: str, weights: list[int], cut: int) -> None:
    rotation = policies.rotate(policy, weights, cut)
    everyone = tuple(range(len(weights)))
    for order in rotation.orders:
        assert len(order) == min(cut, len(weights))
        assert len(set(order)) == len(order)
        assert set(order) <= set(everyone)
    for at, order in enumerate(rotation.orders):
        assert rotation.getters[at](everyone) == tuple(order), (
            "what is given is the order, also where it is one item"
        )
    assert rotation.sequence
    assert set(rotation.sequence) == set(range(len(rotation.orders))), "no order is kept that is never dealt"


@settings(deadline=None)
@given(some_weights, cuts)
def test_first_places_are_in_exact_proportion_to_the_weights(weights: list[int], cut: int) -> None:
    found = firsts(policies.rotate("weighted", weights, cut))
    in_force = policies.usable(weights)
    total, cycle = sum(in_force), found.total()
    if total // gcd(*in_force) <= longest(weights):
        for i, weight in enumerate(in_force):
            assert Fraction(found[i], cycle) == Fraction(weight, total)
    else:
        for i, weight in enumerate(in_force):
            assert abs(found[i] / cycle - weight / total) <= 0.0001


@pytest.mark.parametrize(
    ("weights", "exact"),
    [
        ([1], True),
        ([1, 2, 3], True),
        ([10, 20, 30], True),
        ([1, 9_999], True),
        ([5_000, 5_000], True),
        ([4_999, 5_001], True),
        ([9_973, 27], True),
        ([1, 10_000], False),
        ([65_535, 65_534, 1], False),
        ([65_535, 1], False),
        ([10, 10, 10, 65_521], False),
    ],
)
def test_cycles_are_exact_to_ten_thousand_and_near_enough_beyond(weights: list[int], exact: bool) -> None:
    found = firsts(policies.rotate("weighted", weights, 8))
    shares = [Fraction(w, sum(weights)) for w in weights]
    assert ([Fraction(found[i], found.total()) for i in range(len(weights))] == shares) is exact
    for i, share in enumerate(shares):
        assert abs(Fraction(found[i], found.total()) - share) <= Fraction(1, 10_000)


@settings(deadline=None)
@given(st.sampled_from(policies.names()), some_weights, cuts)
def test_the_shares_that_are_told_are_those_that_are_dealt(policy: str, weights: list[int], cut: int) -> None:
    shares = policies.shares(policy, weights)
    found = firsts(policies.rotate(policy, weights, cut))
    assert sum(shares) == pytest.approx(1)
    for i, share in enumerate(shares):
        assert found[i] / found.total() == pytest.approx(share, abs=0.0001)


@settings(deadline=None)
@given(st.sampled_from(policies.names()), some_weights.filter(any), cuts)
def test_weight_0_is_never_first_and_gives_way_to_the_others(
    policy: str, weights: list[int], cut: int
) -> None:
    rotation = policies.rotate(policy, weights, cut)
    assert not [i for i in firsts(rotation) if not weights[i]]
    for order in rotation.orders:
        given_weights = [weights[i] for i in order]
        zeros = [at for at, w in enumerate(given_weights) if not w]
        assert zeros == list(range(len(order) - len(zeros), len(order))), "those of weight 0 stay behind"
        if zeros:
            assert {i for i, w in enumerate(weights) if w} <= set(order), "and only where there is room"


@settings(deadline=None)
@given(st.sampled_from(policies.names()), st.integers(1, 30), cuts)
def test_all_of_weight_0_are_equals(policy: str, size: int, cut: int) -> None:
    assert policies.rotate(policy, [0] * size, cut) is policies.rotate(policy, [1] * size, cut)


@pytest.mark.parametrize("factor", [1, 3, 6_553])
def test_equal_proportions_are_dealt_alike(factor: int) -> None:
    rotation = policies.rotate("weighted", [factor * w for w in (1, 4, 10)], 8)
    assert firsts(rotation).total() % 15 == 0
    assert rotation.sequence == policies.rotate("weighted", [1, 4, 10], 8).sequence


@settings(deadline=None)
@given(some_weights, cuts)
def test_each_stands_first_as_far_from_itself_as_its_share_allows(weights: list[int], cut: int) -> None:
    """Spread evenly: never many times in a row while another waits for its turn."""
    counts = weighted.cycle_counts(policies.usable(weights), longest(weights))
    order = weighted.spread(counts)
    assert Counter(order) == Counter({i: n for i, n in enumerate(counts) if n})
    for i, n in enumerate(counts):
        if not n:
            continue
        at = [k for k, j in enumerate(order) if j == i]
        gaps = [b - a for a, b in zip(at, [*at[1:], at[0] + len(order)], strict=True)]
        others = sum(1 for m in counts if m)
        assert max(gaps) <= 2 * len(order) / n + others


@pytest.mark.parametrize(
    "weights",
    [[1, 1], [1, 1, 1], [1] * 10, [3, 2, 1], [10, 5, 5], [10, 1, 1, 1], [6, 5, 4, 3, 2, 1], [100, 50, 10]],
)
@pytest.mark.parametrize("cut", [2, 8])
def test_a_dead_first_ones_load_spreads_over_the_others_by_their_weights(
    weights: list[int], cut: int
) -> None:
    rotation = policies.rotate("weighted", weights, cut)
    for dead in range(len(weights)):
        seconds = Counter(
            rotation.orders[at][1] for at in rotation.sequence if rotation.orders[at][0] == dead
        )
        others = sum(w for i, w in enumerate(weights) if i != dead)
        for i, weight in enumerate(weights):
            if i != dead:
                fair = weight / others
                assert seconds[i] / seconds.total() == pytest.approx(fair, rel=0.1, abs=0.06), (dead, i)


@settings(deadline=None, max_examples=examples(100))
@given(st.lists(st.integers(1, 100), min_size=3, max_size=12))
def test_who_stands_second_is_off_its_weight_by_little(weights: list[int]) -> None:
    """By what three of the orders that the dead one meets amount to, at most."""
    rotation = policies.rotate("weighted", weights, 8)
    for dead in range(len(weights)):
        seconds = Counter(
            rotation.orders[at][1] for at in rotation.sequence if rotation.orders[at][0] == dead
        )
        total = seconds.total()
        others = sum(w for i, w in enumerate(weights) if i != dead)
        for i, weight in enumerate(weights):
            if i != dead:
                off = abs(seconds[i] / total - weight / others)
                assert off <= 3 / min(total, weighted.VARIETY // len(weights)), (dead, i)


def test_no_order_is_kept_twice() -> None:
    """A large registry has a rotation for each set of weights: small services must cost little."""
    rotation = policies.rotate("weighted", [3, 2, 1], 8)
    assert len(rotation.orders) == len(set(rotation.orders)) <= 6
    assert firsts(rotation) == {i: n * len(rotation.sequence) // 6 for i, n in enumerate([3, 2, 1])}


@pytest.mark.parametrize("size", [3, 20, 300, 3_000])
def test_equals_stand_second_equally_often(size: int) -> None:
    rotation = policies.rotate("weighted", [1] * size, 8)
    seconds = Counter(rotation.orders[at][1] for at in rotation.sequence)
    fair = len(rotation.sequence) / size
    assert max(seconds.values()) <= 2 * fair
    assert len(seconds) >= 0.5 * size


def test_first_is_stable_and_in_the_order_of_ids() -> None:
    rotation = policies.rotate("first", [5, 0, 1, 9], 3)
    assert [*map(tuple, rotation.orders)] == [(0, 2, 3)]
    assert list(rotation.sequence) == [0]


def test_round_robin_takes_each_in_turn_whatever_the_weights() -> None:
    rotation = policies.rotate("round_robin", [5, 1, 9], 8)
    assert [tuple(rotation.orders[at]) for at in rotation.sequence] == [(0, 1, 2), (1, 2, 0), (2, 0, 1)]


def test_random_gives_each_the_same_and_neighbours_are_not_in_turn() -> None:
    rotation = policies.rotate("random", [7, 1, 1, 1, 1], 8)
    found = firsts(rotation)
    assert len(set(found.values())) == 1
    order = [rotation.orders[at][0] for at in rotation.sequence]
    in_turn = sum((a + 1) % 5 == b for a, b in pairwise(order))
    assert in_turn < len(order) / 2


def test_the_same_weights_are_the_same_deal_and_no_memory_is_kept_of_old_ones() -> None:
    one = policies.rotate("weighted", [4, 3], 8)
    assert policies.rotate("weighted", (4, 3), 8) is one
    assert policies.rotate("weighted", [3, 4], 8) is not one


@pytest.mark.parametrize("size", [1_000, 20_000, 50_000])
def test_a_deal_of_many_is_made_in_bounded_memory(size: int) -> None:
    rotation = policies.rotate("weighted", [1] * size, 8)
    assert len(firsts(rotation)) == size
    assert len(rotation.orders) <= max(weighted.VARIETY, size) * 2
    assert len(rotation.sequence) <= 4 * size


def test_a_rotation_that_comes_back_soon_is_the_same_and_those_of_long_ago_are_let_go_of() -> None:
    weights = [(7, 11 + n) for n in range(policies.RECENT + 1)]
    first = ref(policies.rotate("weighted", weights[0], 2))
    for other in weights[1 : policies.RECENT]:
        policies.rotate("weighted", other, 2)
    gc.collect()
    assert first() is not None
    assert policies.rotate("weighted", weights[0], 2) is first()
    for other in weights[1:]:
        policies.rotate("weighted", other, 2)
    gc.collect()
    assert first() is None


def test_the_rotation_of_a_large_service_goes_with_it() -> None:
    large = ref(policies.rotate("weighted", range(1, policies.FEW + 2), 8))
    gc.collect()
    assert large() is None


def test_orders_of_few_members_take_a_byte_a_place_and_those_of_many_are_as_they_were() -> None:
    for size, kind in ((256, bytes), (257, tuple)):
        rotation = policies.rotate("round_robin", [1] * size, size)
        assert {type(order) for order in rotation.orders} == {kind}
        assert [order[0] for order in rotation.orders] == list(range(size))

"""Near answers: each zone's clients get exactly what the rule says, and no zone more than it can bear."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdns.answers.near import (
    ELSEWHERE,
    REGION,
    ZONE,
    Capacity,
    Present,
    arrange,
    balanced,
    distance,
    prefer,
    zone_shares,
)
from zkdns.answers.spliced import is_wide
from zkdns.topology import Place

A, B, C = Place("eu", "eu-1a"), Place("eu", "eu-1b"), Place("us", "us-1a")
PLACES = [A, B, C, Place("", "dc9"), Place("", "")]


def tier_of(*members: tuple[Place, int]) -> Capacity:
    """Healthy instances, by place and weight."""
    return Capacity.of([place.zone for place, _ in members], [weight for _, weight in members])


def present(*members: tuple[Place, int, bool]) -> dict[Place, Present]:
    """Instances by place, weight and whether they are healthy."""
    found: dict[Place, Present] = {}
    for place, weight, is_healthy in members:
        one = Present(1, int(is_healthy), weight, weight * is_healthy)
        found[place] = found.get(place, Present()).plus(one)
    return found


parts = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 50), min_size=1).map(
    lambda found: {k: Fraction(v, sum(found.values())) for k, v in found.items()}
)


@given(parts, parts)
def test_no_zone_gets_more_than_its_capacity_and_all_clients_are_served(
    capacity: dict[str, Fraction], clients: dict[str, Fraction]
) -> None:
    load: Counter[str] = Counter()
    for zone, share in clients.items():
        given_ = zone_shares(Place("", zone), capacity, clients)
        assert sum(given_.values()) == 1
        for target, part in given_.items():
            assert part > 0
            load[target] += share * part
    assert dict(load) == capacity, "over all clients each zone's load is its part of the healthy weight"


@given(parts, parts)
def test_a_zone_keeps_all_of_its_clients_while_it_can_bear_them(
    capacity: dict[str, Fraction], clients: dict[str, Fraction]
) -> None:
    for zone, c in clients.items():
        h = capacity.get(zone, Fraction(0))
        given_ = zone_shares(Place("", zone), capacity, clients)
        assert given_.get(zone, 0) == min(1, h / c)


@given(
    st.lists(st.tuples(st.sampled_from(PLACES), st.integers(0, 20)), min_size=1, max_size=8),
    st.sampled_from(PLACES),
)
def test_first_places_within_a_zone_are_by_weight(found: list[tuple[Place, int]], client: Place) -> None:
    clients = {"eu-1a": Fraction(1, 2), "eu-1b": Fraction(1, 4), "us-1a": Fraction(1, 4)}
    counts = balanced(client, tier_of(*found), clients)
    assert len(counts) == len(found)
    assert sum(counts) > 0
    weights = [w for _, w in found] if any(w for _, w in found) else [1] * len(found)
    for place in PLACES:
        own = [n for n, (p, _) in enumerate(found) if p == place]
        placed, weight = sum(counts[n] for n in own), sum(weights[n] for n in own)
        for n in own if placed else ():
            assert abs(counts[n] - Fraction(placed * weights[n], weight)) < 1


def test_equal_zones_with_a_client_share_each_stay_at_home() -> None:
    tier = tier_of(*((place, 1) for place in (A, A, B, B, C, C)))
    clients = {p.zone: Fraction(1, 3) for p in (A, B, C)}
    assert balanced(A, tier, clients) == [1, 1, 0, 0, 0, 0]


def test_the_load_of_a_lost_zone_spreads_over_all_that_have_room() -> None:
    tier = tier_of(*((place, 1) for place in (B, B, C, C)))
    clients = {p.zone: Fraction(1, 3) for p in (A, B, C)}
    assert balanced(A, tier, clients) == [1, 1, 1, 1]
    assert balanced(B, tier, clients) == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("healthy", "level"),
    [
        ("aAAA bB c", ZONE),
        ("aaAA bB c", ZONE),
        ("aaaA BB c", REGION),
        ("aaaA bB C", ELSEWHERE),
        ("aaaa bb C", ELSEWHERE),
    ],
)
def test_prefer_reaches_as_far_as_it_must(healthy: str, level: int) -> None:
    """A capital is a healthy instance of the zone with that letter."""
    places = {"a": A, "b": B, "c": C}
    there = present(*((places[x.lower()], 1, x.isupper()) for x in healthy.replace(" ", "")))
    choice = prefer(A, there, 0.5)
    assert choice.level == level
    assert (choice.healthy, choice.registered) == (sum(x == "A" for x in healthy), 4)


@pytest.mark.parametrize(
    ("weights", "level"), [((9, 1), ZONE), ((1, 9), REGION), ((1, 1), ZONE), ((0, 0), ZONE), ((0, 1), REGION)]
)
def test_enough_of_a_zone_is_a_part_of_its_registered_weight(weights: tuple[int, int], level: int) -> None:
    """The first is healthy, the second is not; where all weigh 0, each counts the same."""
    there = present((A, weights[0], True), (A, weights[1], False), (B, 20, True))
    assert prefer(A, there, 0.5).level == level


@pytest.mark.parametrize("near_min", [0.0, 0.7, 1.0])
def test_where_nobody_healthy_is_near_the_answer_reaches_further(near_min: float) -> None:
    """However little is asked for: nobody is never enough."""
    client = Place("eu", "eu-1c")
    both = present((A, 1, True), (C, 1, True))
    assert prefer(client, both, near_min).level == REGION
    assert prefer(A, present((A, 1, False), (C, 1, True)), near_min).level == ELSEWHERE
    assert prefer(Place("asia", "as-1a"), both, near_min).level == ELSEWHERE


def test_in_a_wide_answer_too_the_load_of_a_dead_first_instance_spreads() -> None:
    size = 600
    assert is_wide(size, size)
    orders, sequence = arrange([1] * size, [ZONE] * size, size)
    assert sorted(orders[o][0] for o in sequence) == list(range(size))
    assert len({orders[o][1] for o in sequence}) > size / 4


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from([ZONE, REGION, ELSEWHERE])), min_size=1, max_size=30
    ).filter(lambda found: any(n for n, _ in found)),
    st.integers(1, 40),
)
def test_orders_keep_the_counts_and_the_rest_is_near_first(found: list[tuple[int, int]], cut: int) -> None:
    counts, distances = [n for n, _ in found], [d for _, d in found]
    orders, sequence = arrange(counts, distances, cut)
    assert Counter(orders[o][0] for o in sequence) == {n: c for n, c in enumerate(counts) if c}
    for order in orders:
        assert len(order) == len(set(order)) == min(cut, len(counts))
        rest = [distances[n] for n in order[1:]]
        assert rest == sorted(rest)


def test_a_dead_first_instance_leaves_its_load_to_more_than_one_neighbour() -> None:
    orders, sequence = arrange([4] * 6, [ZONE] * 6, 3)
    assert len({orders[o][1] for o in sequence if orders[o][0] == 0}) > 1


def test_distance_needs_a_name_on_both_sides() -> None:
    assert distance(Place("", ""), Place("", "")) == ELSEWHERE
    assert distance(A, B) == REGION
    assert distance(A, Place("", "eu-1a")) == ZONE

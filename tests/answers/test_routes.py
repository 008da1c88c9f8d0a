"""What a route gives: exact shares, spill without a jump, failover, and nobody who is not there."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from zkdns.answers.routes import EMPTY, Composed, Pool, compose, places, pool_of
from zkdns.model import Instance, Registration
from zkdns.routes import Target, parse_tiers

NO_SPILL = Fraction(0)


def instance(id: str, weight: int = 1, priority: int = 0, healthy: bool = True, *tags: str) -> Instance:
    registration = Registration(("10.0.0.1",), weight=weight, priority=priority, tags=tags)
    return Instance(id, id, f"/services/x/{id}", registration, 0.0, weight=weight, answered=healthy)


def pool(name: str, *instances: Instance) -> Pool:
    return pool_of(name, instances)


def by_service(composed: Composed) -> dict[str, Fraction]:
    found: dict[str, Fraction] = {}
    for member, share in composed.pool.first:
        found[member.service] = found.get(member.service, Fraction(0)) + share
    return found


def route(to: object, spill: Fraction = NO_SPILL, **pools: Pool) -> Composed:
    return compose(parse_tiers(to, "to"), spill, {Target(name): pool for name, pool in pools.items()})


instances = st.lists(
    st.builds(
        lambda n, w, p, h: instance(f"i{n}", w, p, h),
        st.integers(0, 10**6), st.integers(0, 100), st.integers(0, 2), st.booleans(),
    ),
    max_size=6, unique_by=lambda i: i.id,
)  # fmt: skip
worlds = st.dictionaries(st.sampled_from("abcd"), instances, min_size=1).map(
    lambda found: {name: pool(name, *own) for name, own in found.items()}
)
to = st.lists(
    st.dictionaries(st.sampled_from("abcde"), st.integers(0, 100), min_size=1), min_size=1, max_size=3
)


@given(worlds, to, st.fractions(0, 1))
def test_shares_sum_to_one_or_there_is_nobody_and_nobody_is_invented(
    pools: Mapping[str, Pool], to: list[dict[str, int]], spill: Fraction
) -> None:
    composed = route(to, spill, **pools)
    first = composed.pool.first
    assert sum(share for _, share in first) == (1 if first else 0)
    assert sum(composed.parts) == (1 if first else 0)
    real = {member for pool in pools.values() for member, _ in pool.first}
    assert {member for member, _ in first} <= real
    assert bool(first) == any(pools.get(t, EMPTY).first and s for tier in to for t, s in tier.items())
    assert sum(share for tier in composed.due for _, share in tier) == sum(composed.parts)


@given(worlds, st.dictionaries(st.sampled_from("abcd"), st.integers(1, 100), min_size=1))
def test_each_target_has_its_share_and_its_own_weights_within(
    pools: Mapping[str, Pool], tier: dict[str, int]
) -> None:
    composed = route([tier], **pools)
    able = {t: s for t, s in tier.items() if pools.get(t, EMPTY).first}
    assert by_service(composed) == {t: Fraction(s, sum(able.values())) for t, s in able.items()}
    for t, s in able.items():
        own = {m: share for m, share in composed.pool.first if m.service == t}
        assert own == {m: share * Fraction(s, sum(able.values())) for m, share in pools[t].first}


@given(worlds)
def test_a_route_of_one_target_is_the_target(pools: Mapping[str, Pool]) -> None:
    for name, target in pools.items():
        composed = route([{name: 7}], **pools)
        assert composed.pool == target


@given(worlds, to)
def test_places_are_exact_between_targets(pools: Mapping[str, Pool], to: list[dict[str, int]]) -> None:
    first = route(to, **pools).pool.first
    counts = places(first, [member.service for member, _ in first])
    total = sum(counts)
    for service in {member.service for member, _ in first}:
        got = sum(n for n, (member, _) in zip(counts, first, strict=True) if member.service == service)
        assert Fraction(got, total) == sum(share for member, share in first if member.service == service)


def test_the_first_tier_with_anybody_healthy_takes_all() -> None:
    down, up = pool("a", instance("x", healthy=False)), pool("b", instance("y"))
    assert by_service(route([{"a": 1}, {"b": 1}], a=down, b=up)) == {"b": 1}
    assert by_service(route([{"b": 1}, {"a": 1}], a=down, b=up)) == {"b": 1}
    assert route([{"a": 1}, {"gone": 1}], a=down).pool.first == ()


def test_a_share_of_zero_is_listed_and_not_given() -> None:
    a, b = pool("a", instance("x")), pool("b", instance("y"))
    composed = route([{"a": 0, "b": 1}], a=a, b=b)
    assert by_service(composed) == {"b": 1}
    assert composed.due == (((Target("a"), 0), (Target("b"), 1)),)
    assert by_service(route([{"a": 0}, {"b": 1}], a=a, b=b)) == {"b": 1}
    # A client may give an SRV record of weight 0 its part (RFC 2782): it is in no answer at all.
    for to in ([{"a": 0, "b": 1}], [{"a": 0}, {"b": 1}]):
        levels = route(to, a=a, b=b).pool.levels
        assert [[m.service for m, _ in level] for level in levels] == [["b"]]


def spilled(healthy: int, spill: Fraction) -> Fraction:
    own = pool("a", *(instance(f"i{n}", healthy=n < healthy) for n in range(10)))
    return by_service(route([{"a": 1}, {"b": 1}], spill, a=own, b=pool("b", instance("y")))).get(
        "b", Fraction(0)
    )


@given(st.integers(0, 10), st.fractions(0, 1, max_denominator=20))
def test_spill_gives_on_what_a_tier_cannot_bear(healthy: int, spill: Fraction) -> None:
    needed = spill * 10
    expected = 1 - healthy / needed if healthy < needed else 1 if not healthy else Fraction(0)
    assert spilled(healthy, spill) == expected


def test_what_spills_over_spills_over_again_by_the_same_rule() -> None:
    def half(name: str) -> Pool:
        return pool(name, instance(f"{name}1"), instance(f"{name}2", healthy=False))

    composed = route([{"a": 1}, {"b": 1}, {"c": 1}], Fraction(1), a=half("a"), b=half("b"), c=half("c"))
    assert composed.parts == (Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)), (
        "the last takes all that is left"
    )


def test_where_all_weights_are_nought_each_counts_the_same_for_what_spills_over() -> None:
    half = pool("a", instance("x", 0), instance("y", 0, 0, False))
    composed = route([{"a": 1}, {"b": 1}], Fraction(1), a=half, b=pool("b", instance("z")))
    assert composed.parts == (Fraction(1, 2), Fraction(1, 2))


def test_a_target_without_a_share_says_nothing_of_what_its_tier_can_bear() -> None:
    ill = pool("ill", *(instance(f"i{n}", healthy=False) for n in range(9)))
    many = pool("many", *(instance(f"m{n}") for n in range(9)))
    half = pool("half", instance("a"), instance("b", healthy=False))
    rest = pool("rest", instance("r"))
    for to, parts in (
        ([{"rest": 1, "ill": 0}, {"half": 1}], (1, 0)),
        ([{"half": 1, "many": 0}, {"rest": 1}], (Fraction(1, 2), Fraction(1, 2))),
    ):
        composed = route(to, Fraction(1), ill=ill, many=many, half=half, rest=rest)
        assert composed.parts == parts
    outer = route([{"half": 1, "many": 0}], Fraction(1), many=many, half=half).pool
    assert (outer.healthy, outer.registered) == (1, 2), "nor of what a route of routes can bear"


def test_spill_has_no_jump_at_its_threshold() -> None:
    assert spilled(7, Fraction(7, 10)) == 0
    assert spilled(6, Fraction(7, 10)) == Fraction(1, 7)


def test_srv_shows_every_tier_and_within_it_the_targets_own_priorities() -> None:
    a = pool("a", instance("x", 3), instance("y", 1), instance("z", 1, priority=5))
    b = pool("b", instance("v"))
    levels = route([{"a": 3, "b": 1}, {"c": 1}], a=a, b=b, c=pool("c", instance("w"))).pool.levels
    assert [{m.instance.id: share for m, share in level} for level in levels] == [
        {"x": Fraction(9, 16), "y": Fraction(3, 16), "v": Fraction(1, 4)},
        {"z": 1},
        {"w": 1},
    ]

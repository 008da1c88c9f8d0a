"""How overrides lie upon each other: which hold, and what one that ends uncovers."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from zkdns.model import Override
from zkdns.overrides import are_over, attribute, describe, in_force, is_drained, lay, lay_route, trim
from zkdns.routes import Route, parse_route, parse_tiers


def route(name: str, until: float | None = None) -> Override:
    return Override(route=Route(parse_tiers({name: 1}, "to")), until=until)


def told(override: Override | None, now: float) -> list[str]:
    return [
        str(target)
        for one in in_force(override, now)
        if one.route is not None
        for target in one.route.targets()
    ]


def test_one_ends_at_its_moment_and_not_after_it() -> None:
    one = route("a", until=100.0)
    assert told(one, 99.9) == ["a"]
    assert told(one, 100.0) == []
    assert trim(one, 100.0) is None


def test_a_route_that_ends_uncovers_those_that_hold_longer_and_no_others() -> None:
    below = lay_route(route("longer", until=200.0), route("ever"), now=0.0)
    below = lay_route(route("shorter", until=50.0), below, now=0.0)
    laid = lay_route(route("new", until=100.0), below, now=0.0)
    assert told(laid, 10.0) == ["new", "longer", "ever"]
    assert told(laid, 100.0) == ["longer", "ever"]
    assert told(laid, 200.0) == ["ever"]


def test_a_route_that_moves_is_told_with_its_time() -> None:
    route = parse_route({"to": [{"api": 1}], "over": 1800, "from": [{"web": 1}], "spill": 0.5})
    assert describe(Override(who="ann", route=route)) == "route to api over 1800 s, spill 0.5, by ann"


def test_a_route_without_an_end_uncovers_nothing() -> None:
    assert lay_route(route("new"), route("old"), now=0.0).under is None


def test_who_ordered_something_is_told_with_when_until_when_and_why() -> None:
    assert attribute(Override(drain=True)) == "by an operator"
    whole = Override(drain=True, until=90.0, why="disk", who="ann", at=30.0)
    until = "until 1970-01-01 00:01:30Z"
    assert attribute(whole) == f"by ann at 1970-01-01 00:00:30Z {until}: disk"
    assert describe(whole) == f"drained {until}, by ann: disk"


times = st.none() | st.integers(0, 9)
overrides = st.recursive(
    st.builds(Override, st.booleans(), st.none() | st.integers(0, 9), times),
    lambda under: st.builds(Override, st.booleans(), st.none() | st.integers(0, 9), times, under=under),
    max_leaves=4,
)


@given(overrides, st.integers(0, 9))
def test_each_holds_or_is_over_and_what_is_over_is_all_that_goes(one: Override, now: int) -> None:
    held, ended = list(in_force(one, now)), list(are_over(one, now))
    every = [one]
    while every[-1].under is not None:
        every.append(every[-1].under)
    assert sorted(map(id, (*held, *ended))) == sorted(map(id, every))
    kept = list(in_force(trim(one, now), now))
    assert [replace(each, under=None) for each in kept] == [replace(each, under=None) for each in held]
    assert not [*are_over(trim(one, now), now)]
    assert is_drained(one, now) is any(each.drain for each in held)


@given(overrides, st.sampled_from([Override(drain=True), Override(weight=7)]))
def test_what_is_laid_takes_the_place_of_its_kind_and_the_other_kind_stays(
    upon: Override, one: Override
) -> None:
    laid = list(in_force(lay(one, upon), -1.0))
    before = list(in_force(upon, -1.0))
    if one.drain:
        assert [each.drain for each in laid] == [True, *[False] * (len(laid) - 1)]
        kept = [(each.weight, each.until) for each in before if each.weight is not None]
        assert [(each.weight, each.until) for each in laid[1:]] == kept
    else:
        assert [each.weight for each in laid] == [7, *[None] * (len(laid) - 1)]
        assert [each.until for each in laid[1:]] == [each.until for each in before if each.drain]

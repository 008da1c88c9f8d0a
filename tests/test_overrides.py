"""How overrides lie upon each other: which hold, and what one that ends uncovers."""

from __future__ import annotations

from zkdns.model import Override
from zkdns.overrides import attribute, describe, in_force, lay_route, trim
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

"""Routes as values: what a node says, what is wrong with it, and how shares move over time."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdns.routes import (
    MAX_OVER_SECONDS,
    MAX_TARGETS,
    MAX_TIERS,
    RAMP_STEPS,
    Route,
    Target,
    at_time,
    parse_route,
    parse_target,
    parse_tiers,
    spell_route,
    tell_laid,
)

names = st.sampled_from(["web", "web-v1", "canary.web", "web@dc2", "canary.web@dc2", "Äpfel", "a_b"])
tiers = st.lists(
    st.dictionaries(names, st.integers(0, 65_535), min_size=1, max_size=4), min_size=1, max_size=4
)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("web", Target("web")),
        ("canary.web", Target("web", "canary")),
        ("web@dc2", Target("web", "", "dc2")),
        ("canary.web@dc2", Target("web", "canary", "dc2")),
    ],
)
def test_a_target_is_a_service_a_tag_and_a_registry(text: str, target: Target) -> None:
    assert parse_target(text) == target
    assert str(target) == text


@given(tiers, st.none() | st.floats(0, 1), st.none() | st.integers(1, 1000))
def test_what_is_spelled_is_read_again(
    to: list[dict[str, int]], spill: float | None, over: int | None
) -> None:
    fields: dict[str, Any] = {"to": to, "spill": spill, "over": over, "from": to if over else None}
    route = parse_route(fields)
    assert parse_route(spell_route(route)) == route
    assert spell_route(route)["to"] == to


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({}, "to"),
        ({"to": []}, "to"),
        ({"to": "web"}, "to"),
        ({"to": [{}]}, "tier"),
        ({"to": [["web"]]}, "tier"),
        ({"to": [{"web": -1}]}, "share of 'web'"),
        ({"to": [{"web": 65_536}]}, "share of 'web'"),
        ({"to": [{"web": 1.5}]}, "share of 'web'"),
        ({"to": [{"web": True}]}, "share of 'web'"),
        ({"to": [{"web": "1"}]}, "share of 'web'"),
        ({"to": [{"": 1}]}, "[tag.]service"),
        ({"to": [{"web@": 1}]}, "[tag.]service"),
        ({"to": [{"web": 1, " web": 1}]}, "twice"),
        ({"to": [{"web": 1}], "spill": 1.1}, "spill"),
        ({"to": [{"web": 1}], "over": -1}, "over is no number from 0 to 2592000"),
        ({"to": [{"web": 1}], "over": "1h"}, "over"),
        ({"to": [{"web": 1}], "from": "web"}, "from"),
        ({"to": [{f"t{n}": 1 for n in range(65)}]}, "more than"),
    ],
)
def test_what_is_wrong_with_a_route_is_named(fields: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=re.escape(word)):
        parse_route(fields)


def test_seconds_are_told_in_full() -> None:
    assert tell_laid(ramp(1_036_800.0)) == "v2 over 1036800 s"
    assert tell_laid(ramp(0.5)) == "v2 over 0.5 s"


def test_one_tier_needs_no_list() -> None:
    assert parse_tiers({"web": 1}, "to") == parse_tiers([{"web": 1}], "to")


def ramp(over: float = 100.0) -> Route:
    return parse_route({"to": [{"v2": 1}], "from": [{"v1": 3, "v2": 1}], "over": over}, 1e9)


@given(st.floats(0, 2000), st.floats(1, 1000))
def test_a_ramp_moves_evenly_in_steps_of_one_per_cent(after: float, over: float) -> None:
    route = ramp(over)
    found, due = at_time(route, 1e9 + after)
    shares = dict(found[0])
    part = shares[Target("v2")] / sum(shares.values())
    if after >= over:
        assert due is None
        assert part == 1
        return
    assert Fraction(1, 4) <= part < 1
    if due is not None:
        assert due > 1e9 + after - 1e-5
        later, _ = at_time(route, due)
        then = dict(later[0])[Target("v2")] / sum(s for _, s in later[0])
        assert 0 < then - part <= Fraction(2, RAMP_STEPS)


@given(
    st.floats(0, MAX_OVER_SECONDS),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(0, 4e9),
)
def test_whatever_the_seconds_of_a_ramp_and_its_beginning_its_shares_are_told(
    over: float, written: float, now: float
) -> None:
    route = parse_route({"to": [{"v2": 1}], "from": [{"v1": 1}], "over": over}, written)
    for moment in (now, written, written + over / 2, written + over):
        found, due = at_time(route, moment)
        assert due is not None or found == route.tiers


def test_a_side_of_a_ramp_with_fewer_tiers_stands_on_its_last_one() -> None:
    web, far = {"web": 1}, {"far": 1}
    for to, start, halfway in (
        ([web, far], [web], [{"web": 1}, {"web": Fraction(1, 2), "far": Fraction(1, 2)}]),
        ([web], [web, far], [{"web": 1}, {"web": Fraction(1, 2), "far": Fraction(1, 2)}]),
    ):
        route = parse_route({"to": to, "from": start, "over": 100}, 1e9)
        found, _ = at_time(route, 1e9 + 50)
        assert [{str(t): s / 100 for t, s in tier} for tier in found] == halfway
        assert at_time(route, 1e9 + 100) == (route.tiers, None)


def test_as_many_tiers_and_targets_as_may_be_are_taken() -> None:
    assert len(parse_tiers([{"web": 1}] * MAX_TIERS, "to")) == MAX_TIERS
    assert len(parse_tiers([{f"t{n}": 1 for n in range(MAX_TARGETS)}], "to")[0]) == MAX_TARGETS
    with pytest.raises(ValueError, match="more than"):
        parse_tiers([{"web": 1}] * (MAX_TIERS + 1), "to")


def test_a_ramp_begins_at_from_and_a_clock_behind_the_writers_is_its_beginning() -> None:
    for now in (1e9, 1e9 - 50):
        found, due = at_time(ramp(), now)
        assert dict(found[0]) == {Target("v1"): 75, Target("v2"): 25}
        assert due == 1e9 + 1
    halfway, _ = at_time(ramp(), 1e9 + 50)
    assert dict(halfway[0]) == {Target("v1"): Fraction(75, 2), Target("v2"): Fraction(125, 2)}

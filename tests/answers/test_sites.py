"""Where the records of an RRset stand: what several instances hold is as near as the nearest of them."""

from __future__ import annotations

from support.values import an_instance
from zkdns.answers.members import Columns, Member
from zkdns.answers.near import ELSEWHERE, REGION, ZONE, Choice
from zkdns.answers.sites import Sites
from zkdns.model import Instance
from zkdns.topology import Place

A, B, C = Place("eu", "eu-1a"), Place("eu", "eu-1b"), Place("us", "us-1a")
PLACES = {"/services/web/a": A, "/services/web/b": B, "/services/web/c": C}


def of(*held: tuple[tuple[Instance, ...], int], by_weight: bool = True) -> Sites:
    """Records, each with its holders and what it weighs."""
    members = [Member(b"", weight, holders) for holders, weight in held]
    places = {i.key: PLACES[f"/services/web/{i.id[0]}"] for holders, _ in held for i in holders}
    return Sites.of(Columns.of(members), places, by_weight, {})


def given(sites: Sites, client: Place, level: int) -> tuple[list[int], tuple[int, ...]]:
    return sites.narrow(client, {0: Choice(level, 0, 0)})


def test_what_several_hold_weighs_as_its_part_of_those_that_are_near_enough() -> None:
    a, b, c = (an_instance(id) for id in "abc")
    half, third = ((a, b), 1), ((an_instance("a2"), an_instance("b2", weight=2)), 1)
    sites = of(half, third, ((c,), 5))
    assert sites.distances(A) == (ZONE, ZONE, ELSEWHERE)
    near_enough, weights = given(sites, A, ZONE)
    assert near_enough == [0, 1]
    assert weights[0] * 2 == weights[1] * 3 > 0, "of one weight each, a half and a third of it"
    near_enough, weights = given(sites, A, REGION)
    assert near_enough == [0, 1]
    assert weights[0] == weights[1] > 0


def test_what_two_hold_in_two_zones_is_in_both() -> None:
    a, b, c = (an_instance(id) for id in "abc")
    sites = of(((b, c), 2), ((a,), 1))
    assert sites.distances(B) == (ZONE, REGION)
    assert sites.distances(C) == (ZONE, ELSEWHERE)
    assert given(sites, C, ZONE)[0] == [0]


def test_where_the_policy_knows_no_weights_each_counts_alike_and_of_no_weight_as_nothing() -> None:
    one = [((an_instance("a"),), 7), ((an_instance("b"),), 0)]
    assert of(*one).capacity.weights == (7, 0)
    assert of(*one, by_weight=False).capacity.weights == (1, 0)

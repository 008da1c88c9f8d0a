"""Who may still hold what was drained, out of what replicas tell one after another."""

from __future__ import annotations

from dataclasses import replace

from support.steps import steps
from zkdns.cli.holders import Holders, names_giving
from zkdns.serve.clients import ClientRow


def row(client: str, last: float, queries: int = 1, service: str = "web") -> ClientRow:
    return ClientRow(client, service, 0.0, last, queries, "a")


def left(holders: Holders) -> list[str]:
    return [row.client for row in holders.left]


def test_only_those_who_were_told_lately_are_waited_for() -> None:
    holders = Holders()
    holders.begin("one", [row("early", 89.9), row("late", 90.0)], since=90.0)
    assert left(holders) == ["late"]


def test_who_was_given_other_zones_alone_is_not_waited_for() -> None:
    rows = [
        replace(row("elsewhere", 99), zone="eu-1b", beyond=89.9),
        replace(row("moved", 99), zone="eu-1b", beyond=90.0),
        replace(row("there", 99), zone="eu-1a"),
        row("anywhere", 99),
    ]
    for zone, expected in (("eu-1a", rows[1:]), ("", rows)):
        holders = Holders()
        holders.begin("one", rows, 90.0, zone)
        assert sorted(left(holders)) == sorted(one.client for one in expected)


def test_who_asks_again_at_any_replica_is_back() -> None:
    holders = Holders()
    holders.begin("one", [row("x", 99), row("y", 98)], since=90)
    holders.begin("two", [row("y", 5)], since=90)  # long ago by this one: it is no holder of its own
    holders.see("one", [row("x", 99), row("y", 98)])
    assert left(holders) == ["x", "y"], "the same words again are nobody's new question"
    holders.see("two", [row("y", 101, 2), row("z", 101)])
    assert left(holders) == ["x"]
    holders.see("two", [row("x", 102)])
    assert left(holders) == []
    assert {client for client, _ in holders.given} == {"x", "y"}, "who comes new never held it"


def test_of_two_replicas_that_gave_it_to_one_client_the_latest_word_is_told() -> None:
    for first, second in ((99, 95), (95, 99)):
        holders = Holders()
        holders.begin("one", [row("x", first)], since=90)
        holders.begin("two", [row("x", second)], since=90)
        assert [one.last for one in holders.left] == [99]


def test_a_second_question_within_one_tick_of_the_clock_counts() -> None:
    holders = Holders()
    holders.begin("one", [row("x", 99, 3)], since=90)
    holders.see("one", [row("x", 99, 4)])
    assert left(holders) == []


def test_a_replica_that_began_anew_tells_whoever_asked_it_since() -> None:
    holders = Holders()
    holders.begin("one", [row("x", 99, 7), row("y", 99, 7)], since=90)
    holders.see("one", [row("x", 103, 1)])
    assert left(holders) == ["y"]


def test_who_asked_for_two_names_is_back_once_it_asked_for_both_again() -> None:
    holders = Holders()
    holders.begin("one", [row("x", 99), row("x", 99, service="shop")], since=90)
    holders.see("one", [row("x", 103, 2), row("x", 99, service="shop")])
    assert [(one.client, one.service) for one in holders.left] == [("x", "shop")]
    holders.see("one", [row("x", 103, 2), row("x", 104, 2, service="shop")])
    assert left(holders) == []


def test_the_names_of_an_instance_are_those_of_all_routes_that_lead_to_it() -> None:
    routes = [
        {"service": "shop", "tiers": [{"web": 90, "new": 10}, {"old@dc2": 1}]},
        {"service": "front", "tiers": [{"canary.shop": 1}]},
        {"service": "old", "tiers": [{"old": 1}, {"old@dc2": 1}]},
        {"service": "loop", "tiers": [{"front": 1, "loop": 1}]},
    ]
    assert names_giving("web", routes) == ("web", "shop", "front", "loop")
    assert names_giving("old", routes) == ("old", "shop", "front", "loop")
    assert names_giving("lone", routes) == ("lone",)


def test_a_long_chain_of_routes_costs_each_of_them_once() -> None:
    routes = [{"service": f"s{n + 1}", "tiers": [{f"s{n}": 1}]} for n in range(2000)]
    named: list[tuple[str, ...]] = []
    assert steps(lambda: named.append(names_giving("s0", routes))) < 60 * len(routes)
    assert len(named[0]) == len(routes) + 1

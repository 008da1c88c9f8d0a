"""Who may still hold what was drained, out of what replicas tell one after another."""

from __future__ import annotations

from zkdns.cli.holders import Holders
from zkdns.serve.clients import ClientRow


def row(client: str, last: float, queries: int = 1) -> ClientRow:
    return ClientRow(client, "web", 0.0, last, queries, "a")


def left(holders: Holders) -> list[str]:
    return [row.client for row in holders.left]


def test_only_those_who_were_told_lately_are_waited_for() -> None:
    holders = Holders()
    holders.begin("one", [row("early", 89.9), row("late", 90.0)], since=90.0)
    assert left(holders) == ["late"]


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
    assert set(holders.given) == {"x", "y"}, "who comes new never held it"


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

"""What it costs to explain: counted in steps of the interpreter, never in seconds."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from answers.test_variants import MAP
from support.steps import steps
from support.tables import Answers
from support.values import a_service, an_instance
from zkdns.explain.explain import explain
from zkdns.model import Service
from zkdns.topology import parse_topology

ZONES = ("eu-1a", "eu-1b", "us-1a", "eu-1c")
SIZE, TAGS = 41, 11

SLACK = 2
"""What a name costs once more may be spent on reading and sorting tags."""


def a_service_by_zones(near: str, tags: int) -> Service:
    words = tuple(f"t{n}" for n in range(tags))
    each = (
        an_instance(f"i{n}", f"10.0.{n >> 8}.{n & 255}", zone=ZONES[n % len(ZONES)], weight=n % 3, tags=words)
        for n in range(SIZE)
    )
    return a_service(*each, near=near)


def cost(*services: Service, changes: Sequence[str] = (), qtype: str = "A") -> int:
    """Of one explanation."""
    answers = Answers(["svc.local"])
    answers.set_topology(parse_topology("map", MAP)[0])
    for service in services:
        answers.put(service)
    snapshot = answers.snapshot()

    def ask() -> None:
        explain(
            snapshot, "web.svc.local", qtype,
            client="127.0.1.7", changes=changes, forwards=lambda client: False,
        )  # fmt: skip

    ask()  # what is imported and kept for all
    return steps(ask)


@pytest.mark.parametrize("near", ["prefer", "balanced"])
def test_a_change_that_is_tried_costs_no_other_name_of_the_service(near: str) -> None:
    """By where clients stand, the records of each tag's name are arranged for each zone."""
    bare, tagged = (cost(a_service_by_zones(near, tags), changes=["drain=web/i1"]) for tags in (0, TAGS))
    assert tagged <= SLACK * bare


def a_large(name: str, net: int, many: int, **settings: int) -> Service:
    """Each of a priority of its own."""
    each = (an_instance(f"{name}-{n}", f"10.{net}.{n >> 8}.{n & 255}", priority=n) for n in range(many))
    return a_service(*each, name=name, **settings)


def test_why_each_of_many_is_not_given_costs_no_look_at_all_of_them() -> None:
    """Those that the name leads to in place of its own are as many, and so are those of a lower priority."""

    def costs(many: int) -> tuple[int, int]:
        led = cost(a_large("web", 1, many), a_large("other", 2, many), changes=["route:web=other"])
        return led, cost(a_large("web", 1, many, answers=1), qtype="SRV")

    for few, more in zip(costs(50), costs(400), strict=True):
        assert more <= 9 * few

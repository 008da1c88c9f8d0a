"""What it costs to explain: counted in steps of the interpreter, never in seconds."""

from __future__ import annotations

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


def cost(service: Service, *changes: str) -> int:
    """Of one explanation."""
    answers = Answers(["svc.local"])
    answers.set_topology(parse_topology("map", MAP)[0])
    answers.put(service)
    snapshot = answers.snapshot()

    def ask() -> None:
        explain(
            snapshot, "web.svc.local", "A",
            client="127.0.1.7", changes=changes, forwards=lambda client: False,
        )  # fmt: skip

    ask()  # what is imported and kept for all
    return steps(ask)


@pytest.mark.parametrize("near", ["prefer", "balanced"])
def test_a_change_that_is_tried_costs_no_other_name_of_the_service(near: str) -> None:
    """By where clients stand, the records of each tag's name are arranged for each zone."""
    bare, tagged = (cost(a_service_by_zones(near, tags), "drain=web/i1") for tags in (0, TAGS))
    assert tagged <= SLACK * bare

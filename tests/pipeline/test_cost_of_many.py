"""A change costs what changed, however many others have host names: counted in lines, among few and many."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from support.stepping import World, an_address
from support.steps import steps
from zkdns.pipeline.inputs import HostResolved

SLACK = 1.25
FEW, MANY = 100, 1000


def a_host(name: str) -> str:
    return json.dumps({"address": name, "port": 80})


def with_host_names(number: int) -> World:
    """Each service has its own; every second one is dead."""
    world = World()
    world.settle()
    world.register("web", a=an_address(1))
    for n in range(number):
        world.register(f"h{n:04}", a=a_host(f"h{n}.example.org"))
    world.rest()
    for n in range(number):
        addresses = (f"10.1.{n >> 8}.{n & 255}",) if n % 2 else ()
        world.pipeline.step(HostResolved(f"h{n}.example.org", addresses, "no such name"), world.now)
    world.rest()
    return world


def changes_an_address(world: World) -> None:
    world.publish("web", a=an_address(2))


def changes_its_host_name(world: World) -> None:
    world.publish("h0002", a=a_host("another.example.org"))


def comes_with_a_host_name(world: World) -> None:
    world.publish("new", a=a_host("new.example.org"))


def leaves_a_host_name(world: World) -> None:
    world.publish("h0004")


def is_resolved(world: World) -> None:
    world.pipeline.step(HostResolved("h6.example.org", ("10.2.0.6",)), world.now)
    world.rest()


@pytest.mark.parametrize(
    "change",
    [
        changes_an_address, changes_its_host_name, comes_with_a_host_name, leaves_a_host_name, is_resolved,
    ],
)  # fmt: skip
def test_what_changes_costs_the_same_among_few_host_names_and_among_many(
    change: Callable[[World], None],
) -> None:
    def cost(number: int) -> int:
        world = with_host_names(number)
        return steps(lambda: change(world))

    assert cost(MANY) < SLACK * cost(FEW)

"""A change costs what changed, however many services there are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from support import scenario, stepping
from support.steps import functions, steps

SLACK = 1.25
"""The maps that share what did not change have fuller buckets in a larger registry."""

MAX_FUNCTIONS = 382
"""That a change of one address goes through until it is answered. The code of a lone change is in no cache:
each function more costs some microseconds, and who asks waits for them. Seven tell how late it was."""

BESIDE = (
    "pipeline/changes.py",
    "pipeline/differing.py",
    "pipeline/journal.py",
    "answers/route_resolver.py",
    "registry/override_nodes.py:Overrides.by_service",
)
"""What has no part in it: what is told afterwards, and what routes and operators order."""


def world(services: int, defers: float) -> scenario.World:
    world = scenario.World(defers)
    world.run([f"list /services {' '.join(f's{n}' for n in range(services))}"])
    for n in range(services):
        world.run(
            [f"list /services/s{n} a", f'data /services/s{n}/a {{"address": "10.0.{n >> 8}.{n & 255}"}}']
        )
    world.publish()
    world.run(["ask s0.svc.local A"])
    return world


CHANGES = {
    "an address": ['data /services/s0/a {"address": "10.9.9.9"}'],
    "an instance that comes": ["list /services/s0 a b", 'data /services/s0/b {"address": "10.9.9.8"}'],
    "a service of nobody's": ['data /services/s1/a {"address": "10.9.9.7"}'],
}


@pytest.mark.parametrize("defers", [float("inf"), 0], ids=["compiled at once", "compiled when asked for"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_costs_the_same_among_few_services_and_among_many(change: str, defers: float) -> None:
    def cost(services: int) -> int:
        there = world(services, defers)
        return steps(lambda: (there.run(CHANGES[change]), there.publish()))

    few, many = cost(20), cost(400)
    assert few > 100
    assert many < SLACK * few


def a_change() -> tuple[stepping.World, Callable[[], None]]:
    """A world, and what a change of one address in it goes through until it is answered."""
    there = stepping.World()
    there.register("web", **{f"i{n}": f'{{"address": "10.0.0.{n}", "port": 80}}' for n in range(20)})
    there.rest()
    address = replace(there.data("/services/web/i3", '{"address": "10.9.9.9", "port": 80}'), told_at=5.0)

    def change() -> None:
        there.hear("/services", address)
        there.pipeline.publish(there.now)

    return there, change


def test_a_change_passes_by_what_it_has_nothing_to_do_with() -> None:
    a_change()[1]()  # its address is spelled once in a process
    there, change = a_change()
    entered = functions(change)
    assert [name for name in entered if name.startswith(BESIDE)] == []
    assert len(entered) <= MAX_FUNCTIONS
    ready = there.pipeline.rest(there.now)
    assert ready.changes, "and is told all the same"
    assert ready.served == (5.0,)

"""What a few instances that say much take of the loop: names are compiled in a thread, or when asked."""

from __future__ import annotations

import json
from itertools import product

import pytest

from support.stepping import World
from support.steps import steps
from zkdns.answers.deferred import MAX_INSTANCES
from zkdns.registry.fields import MAX_ADDRESSES, MAX_PORTS, MAX_TAGS

EACH = (
    (MAX_TAGS, 0, 1),
    (0, MAX_PORTS, 1),
    (0, 0, MAX_ADDRESSES),
    (MAX_TAGS, MAX_PORTS, MAX_ADDRESSES),
    (8, 4, 2),
)
MOST = 100_000
"""Lines of ours that the loop may run at once: some milliseconds."""


def register(
    world: World, count: int, tags: int = 0, ports: int = 0, addresses: int = 1, own: bool = True
) -> None:
    """So many instances with so many tags, ports and addresses each. `own`: nobody has the same ones."""

    def an_instance(n: int) -> str:
        mine = f"{n}-" if own else ""
        return json.dumps(
            {
                "address": [f"10.{n >> 8}.{n & 255}.{at + 1}" for at in range(addresses)],
                "tags": [f"t{mine}{at}" for at in range(tags)],
                "ports": {f"p{mine}{at}": at + 1 for at in range(ports)},
            }
        )

    world.register("web", **{f"i{n}": an_instance(n) for n in range(count)})


def in_the_loop(world: World, *what: int, own: bool = True) -> int:
    register(world, *what, own=own)
    world.ready()
    service, compiler = world.pipeline.catalog.services["web"], world.pipeline._compiler
    return steps(lambda: compiler.compile(service, 1))


@pytest.mark.parametrize("own", [True, False], ids=["each of its own", "all the same"])
@pytest.mark.parametrize(("count", "each"), list(product((1, 3, 10, 30, 100), EACH)))
def test_what_is_compiled_in_the_loop_is_bounded_whatever_instances_say(
    count: int, each: tuple[int, int, int], own: bool
) -> None:
    assert in_the_loop(World(threads=True), count, *each, own=own) < MOST


@pytest.mark.parametrize(("count", "each"), list(product((1, 3, 10, MAX_INSTANCES), EACH)))
def test_so_is_what_is_compiled_when_it_is_first_asked_for(count: int, each: tuple[int, int, int]) -> None:
    world = World(threads=True, defers=0)
    register(world, count, *each)
    for compilation in world.ready().compile:
        world.pipeline.step(compilation.work(), world.now)
    world.rest()
    assert steps(lambda: world.pipeline.compile_now("web", world.now)) < MOST
    while compilations := world.ready().compile:
        for compilation in compilations:
            world.pipeline.step(compilation.work(), world.now)
    answers = world.pipeline.builder.services["web"]
    assert not answers.deferred
    assert len(answers.names) >= min(count * (each[0] + each[1]), 1024)

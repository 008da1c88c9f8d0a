"""What a few instances that say much take of the loop: names are compiled in a thread, or when asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product

import pytest

from support.stepping import World, an_address
from support.steps import steps
from zkdns.answers import policies
from zkdns.answers.deferred import MAX_INSTANCES
from zkdns.answers.policies import weighted
from zkdns.pipeline.inputs import Compilation
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

MOST_OF_CYCLES = 3 * MOST // 2
"""The same of loops that do next to nothing in each line."""

WEIGHTS: dict[str, Callable[[int], int]] = {
    "the same": lambda n: 7,
    "three": lambda n: n % 3 + 1,
    "their own": lambda n: n + 1,
    "any": lambda n: n * 7919 % 65521 + 1,
}


@pytest.fixture(autouse=True)
def no_order_is_known_from_another_test() -> None:
    policies._rotations.clear()
    policies._rotate_recent.cache_clear()


def cost(act: Callable[[], object]) -> int:
    """How many lines this runs beside those that make orders, of which there is a test of its own."""
    return steps(act, but=weighted.__file__)


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


def finish(world: World) -> None:
    """What is compiled in threads is."""
    while compilations := world.ready().compile:
        for compilation in compilations:
            world.pipeline.step(compilation.work(), world.now)


def in_the_loop(world: World, *what: int, own: bool = True) -> int:
    register(world, *what, own=own)
    world.ready()
    service, compiler = world.pipeline.catalog.services["web"], world.pipeline._compiler
    return cost(lambda: compiler.compile(service, 1))


@pytest.mark.parametrize("own", [True, False], ids=["each of its own", "all the same"])
@pytest.mark.parametrize(("count", "each"), list(product((1, 3, 10, 100), EACH)))
def test_what_is_compiled_in_the_loop_is_bounded_whatever_instances_say(
    count: int, each: tuple[int, int, int], own: bool
) -> None:
    assert in_the_loop(World(threads=True), count, *each, own=own) < MOST


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("tags", [0, 3, 10])
@pytest.mark.parametrize("count", [5, 12, 20, 30, 45, 60, 100, 200, 400])
def test_so_is_what_the_cycles_of_names_take(count: int, tags: int, weights: str) -> None:
    """Each name has a cycle of its own, and orders for it: none is known from another service."""
    world = World(threads=True)

    def an_instance(n: int) -> str:
        own = [f"t{tag}" for tag in range(tags) if (n * 7 + tag * tag * 3 + n * tag) % 5 < 3]
        return an_address(n, weight=WEIGHTS[weights](n), tags=own)

    world.register("web", **{f"i{n}": an_instance(n) for n in range(count)})
    assert steps(world.ready) < MOST_OF_CYCLES


def test_what_usual_services_take_is_compiled_at_once() -> None:
    """To be handed to a thread and back takes as long."""
    for count, tags, weights in (
        (3, 3, "their own"),
        (12, 3, "three"),
        (20, 3, "the same"),
        (20, 3, "three"),
        (40, 0, "three"),
    ):
        world = World(threads=True)
        about = {"tags": [f"t{tag}" for tag in range(tags)]}
        world.register(
            "web", **{f"i{n}": an_address(n, weight=WEIGHTS[weights](n), **about) for n in range(count)}
        )
        assert world.ready().compile == ()


@pytest.mark.parametrize("ports", [0, 3, MAX_PORTS])
@pytest.mark.parametrize(("targets", "count"), [(1, 60), (60, 1), (20, 3)])
@pytest.mark.parametrize("is_even", [True, False])
def test_so_is_what_a_route_of_few_instances_takes(
    targets: int, count: int, ports: int, is_even: bool
) -> None:
    """Each name of a port is composed anew, and uneven shares make long cycles."""
    world = World(threads=True)
    for target in range(targets):
        about = {"ports": {f"p{n}": n + 1 for n in range(ports)}}
        world.register(
            f"b{target}",
            **{
                f"i{n}": an_address(n + target * count, weight=1 if is_even else 65_521 - n, **about)
                for n in range(count)
            },
        )
    finish(world)
    shares = {f"b{target}": 1 if is_even else target + 1 for target in range(targets)}
    world.register("web")
    world.hear("/services", world.data("/services/web", json.dumps({"to": [shares]})))
    costs: list[int] = []
    for _ in range(4):
        due: list[Compilation] = []
        costs.append(cost(lambda due=due: due.extend(world.ready().compile)))
        for compilation in due:
            world.pipeline.step(compilation.work(), world.now)
    assert max(costs) < MOST
    assert len(world.pipeline.builder.services["web"].names) >= 2 + ports


@pytest.mark.parametrize(("count", "each"), list(product((1, 3, 10, MAX_INSTANCES), EACH)))
def test_so_is_what_is_compiled_when_it_is_first_asked_for(count: int, each: tuple[int, int, int]) -> None:
    world = World(threads=True, defers=0)
    register(world, count, *each)
    for compilation in world.ready().compile:
        world.pipeline.step(compilation.work(), world.now)
    world.rest()
    assert cost(lambda: world.pipeline.compile_now("web", world.now)) < MOST
    finish(world)
    answers = world.pipeline.builder.services["web"]
    assert not answers.deferred
    assert len(answers.names) >= min(count * (each[0] + each[1]), 1024)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_so_is_what_its_own_name_takes_when_it_is_first_asked_for(weights: str) -> None:
    """Where that is much, a thread compiles it."""
    world = World(threads=True, defers=0)
    about = {"tags": ["t"]}
    world.register(
        "web", **{f"i{n}": an_address(n, weight=WEIGHTS[weights](n), **about) for n in range(MAX_INSTANCES)}
    )
    finish(world)
    assert world.pipeline.builder.services["web"].deferred
    assert cost(lambda: world.pipeline.compile_now("web", world.now)) < MOST
    assert world.pipeline.builder.services["web"].deferred
    finish(world)
    assert not world.pipeline.builder.services["web"].deferred

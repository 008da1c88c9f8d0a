"""A change costs what changed, however many others have host names, overrides, views and routes: counted in
lines, among few and among many."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from itertools import count, pairwise

import pytest

from support.stepping import World, an_address, settings_of
from support.steps import longest, steps
from zkdns.model import Begin, Children, Session, Whole
from zkdns.pipeline import gathering
from zkdns.pipeline.gathering import AT_A_TIME
from zkdns.pipeline.inputs import HostResolved
from zkdns.registry.listing import STEP
from zkdns.roots import OVERRIDES

SLACK = 1.25
FEW, MANY = 50, 400


def register(world: World, held: Mapping[str, str]) -> None:
    """Services of one instance each, and what it says."""
    world.names.update(held)
    world.hear("/services", Children("/services", tuple(held), next(world.zxid)))
    for name, data in held.items():
        world.hear("/services", Children(f"/services/{name}", ("a",), next(world.zxid)))
        world.hear("/services", world.data(f"/services/{name}/a", data))


def a_host(name: str) -> str:
    return json.dumps({"address": name, "port": 80})


@cache
def with_host_names(number: int) -> World:
    """Each service has its own; every second one is dead. One world bears each change: no two are of one."""
    world = World()
    world.settle()
    held = {"web": an_address(1)} | {f"h{n:04}": a_host(f"h{n}.example.org") for n in range(number)}
    register(world, held)
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


def with_overrides(number: int) -> World:
    """Each service has one instance drained, and every service a view."""
    world = World(settings_of("zk://h/services", "zk://g/services", failover=("r2",)))
    world.hear("/services", Begin(), Whole(), Session(True), registry="r2")
    world.settle()
    names = ("web", *(f"s{n:04}" for n in range(number)))
    register(world, {name: an_address(n) for n, name in enumerate(names)})
    world.hear("/services", Children("/services", names, next(world.zxid)), registry="r2")
    for n, name in enumerate(names):
        path = f"/services/{name}"
        world.hear("/services", Children(path, ("a",), next(world.zxid)), registry="r2")
        world.hear("/services", world.data(f"{path}/a", an_address(9000 + n)), registry="r2")
    world.hear(OVERRIDES, Children(OVERRIDES, names, next(world.zxid)))
    for name in names:
        world.hear(OVERRIDES, Children(f"{OVERRIDES}/{name}", ("a",), next(world.zxid)))
        world.hear(OVERRIDES, world.data(f"{OVERRIDES}/{name}/a", '{"drain": true}'))
    world.now += 5
    world.rest()
    assert world.states() == {"a": "drained"}
    return world


def moves(world: World) -> None:
    world.hear("/services", world.data("/services/web/a", an_address(3)))
    world.rest()


def is_ordered_otherwise(world: World) -> None:
    world.hear(OVERRIDES, world.data(f"{OVERRIDES}/web/a", '{"weight": 3}'))
    world.now += 5
    world.rest()
    assert world.states() == {"a": "healthy"}


def is_ordered_for_no_more(world: World) -> None:
    world.hear(OVERRIDES, Children(f"{OVERRIDES}/web", (), next(world.zxid)))
    world.now += 5
    world.rest()
    assert world.states() == {"a": "healthy"}


def is_ordered_for_anew(world: World) -> None:
    world.hear(OVERRIDES, Children(f"{OVERRIDES}/web", ("a", "b"), next(world.zxid)))
    world.hear(OVERRIDES, world.data(f"{OVERRIDES}/web/b", '{"weight": 3}'))
    world.now += 5
    world.rest()


def test_a_change_costs_the_same_among_few_overrides_and_views_and_among_many() -> None:
    def costs(number: int) -> list[int]:
        world = with_overrides(number)
        changes = (moves, is_ordered_otherwise, is_ordered_for_no_more, is_ordered_for_anew)
        return [steps(partial(change, world)) for change in changes]

    assert all(many < SLACK * few for few, many in zip(costs(FEW), costs(MANY), strict=True))


def test_routes_that_are_laid_in_one_moment_are_laid_a_few_in_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.settle()
    number = 8 * AT_A_TIME
    names = tuple(f"r{n:04}" for n in range(number))
    world.register("web", a=an_address(1))
    world.rest()
    world.hear(OVERRIDES, Children(OVERRIDES, names, next(world.zxid)))
    for name in names:
        world.hear(OVERRIDES, world.data(f"{OVERRIDES}/{name}", '{"to": [{"web": 1}]}'))
    looks = count()
    world.pipeline._tick = world.pipeline._publisher._tick = lambda: float(next(looks))
    laid = [0]
    world.now += 5
    while world.ready(budget=0.0).more:
        laid.append(len(world.pipeline.routes.laid))
    assert max(later - before for before, later in pairwise(laid)) <= 2 * AT_A_TIME
    assert laid[-1] == number
    assert {*names} < {*world.pipeline.services}
    assert world.pipeline.idle


@pytest.mark.parametrize("leads_to", ["web", "nobody"])
def test_whom_nobody_laid_a_route_over_waits_for_none_of_thousands(leads_to: str) -> None:
    """Each name that a route makes counted as one that a registry told of: none was read until all were
    published, as they came and as they went."""
    world = World()
    world.settle()
    world.publish("web", a=an_address(1))
    names = tuple(f"r{n:04}" for n in range(1000))
    looks, moved = count(), count(2)
    world.pipeline._tick = world.pipeline._publisher._tick = lambda: float(next(looks))

    def is_answered_among_them(turns_before: int) -> None:
        for _ in range(turns_before):
            assert not world.ready(budget=0.0).is_behind
        n = next(moved)
        world.register("web", a=an_address(n))
        for _ in range(16):
            world.ready(budget=0.0)
        (address,) = world.addresses("web")
        assert address == json.loads(an_address(n))["address"]
        assert world.pipeline._publisher.has_work, "they wait still"

    world.hear(OVERRIDES, Children(OVERRIDES, names, next(world.zxid)))
    for name in names:
        world.hear(OVERRIDES, world.data(f"{OVERRIDES}/{name}", json.dumps({"to": [{leads_to: 1}]})))
    world.now += 5
    while world.pipeline._hearing.has_work:
        world.ready(budget=0.0)
    for turns_before in (0, 20, 100):
        is_answered_among_them(turns_before)
    world.rest()
    assert {*names} < {*world.pipeline.services}
    world.hear(OVERRIDES, Children(OVERRIDES, (), next(world.zxid)))
    world.now += 5
    for turns_before in (10, 50):
        is_answered_among_them(turns_before)
    world.rest()
    assert {*world.pipeline.services} == {"web"}


def test_what_is_ordered_in_one_moment_is_read_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "ORDERS", 8)

    def lines(number: int) -> int:
        """Of the longest turn: all are ordered, then written again, then deleted one by one."""
        world = World()
        world.settle()
        ids = [f"i{n:04}" for n in range(number)]
        folder, looks = f"{OVERRIDES}/web", count()
        world.hear(OVERRIDES, Children(OVERRIDES, ("web",), next(world.zxid)))
        world.rest()
        world.pipeline._tick = world.pipeline._publisher._tick = lambda: float(next(looks))
        most = 0
        for weight in (5, 6):
            world.now += 100
            world.hear(OVERRIDES, Children(folder, tuple(ids), next(world.zxid)))
            for id in ids:
                world.hear(OVERRIDES, world.data(f"{folder}/{id}", f'{{"weight": {weight}}}'))
            most = max(most, longest(turns(world)))
            assert {o.weight for o in world.pipeline.registries.overrides["web"].values()} == {weight}
            assert len(world.pipeline.registries.overrides["web"]) == number
        return most

    assert lines(256) < 2 * lines(64)


def turns(world: World) -> Iterator[None]:
    while world.ready(budget=0.0).more:
        yield


def longest_step(world: World, *names: str) -> int:
    """Lines of the longest step that this list takes."""
    registry = world.pipeline.registries["r1"]
    event = Children("/services", names, next(world.zxid))
    most = longest(registry.steps("/services", event, world.now, 0.0))
    world.rest()
    return most


def test_no_step_of_a_list_grows_with_the_services_that_come_or_go_at_once() -> None:
    def lines(number: int) -> int:
        world = World()
        world.settle()
        names = [f"s{n:05}" for n in range(number)]
        return max(longest_step(world, *names), longest_step(world, *names[:10]), longest_step(world))

    assert lines(4 * STEP) < SLACK * lines(2 * STEP)

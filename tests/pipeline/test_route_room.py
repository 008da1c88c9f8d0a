"""What all routes of services' nodes lead to together is bounded: who leads to the most has no room."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.stepping import World, an_address
from zkdns.model import Children
from zkdns.pipeline import routes
from zkdns.pipeline.route_room import RouteRoom

MOST = 12  # so little that some fill it exactly
names = st.sampled_from("abcdefghij")
sizes = st.none() | st.integers(1, MOST + 2)


def with_room(sizes: dict[str, int]) -> set[str]:
    """Those that have some, by the rule as it is told."""
    kept: set[str] = set()
    left = MOST
    for name, size in sorted(sizes.items(), key=lambda one: (one[1], one[0])):
        if size > left:
            break
        left -= size
        kept.add(name)
    return kept


@given(st.lists(st.tuples(names, sizes)))
def test_who_leads_to_the_fewest_has_room_whatever_came_first(steps: list[tuple[str, int | None]]) -> None:
    room, held, had = RouteRoom(MOST), dict[str, int](), set[str]()
    for name, size in steps:
        moved = room.put(name, size)
        held.pop(name, None)
        if size is not None:
            held[name] = size
        have = with_room(held)
        assert {one for one in held if room.has(one)} == have
        assert moved == (had ^ have) - {name}
        had = have


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """With room for three routes to a service of ten."""
    room = RouteRoom
    monkeypatch.setattr(routes, "RouteRoom", lambda: room(35))
    world = World()
    world.register("big", **{f"i{n}": an_address(n) for n in range(10)})
    world.register("small", a=an_address(100), b=an_address(101))
    world.rest()
    return world


def lead(world: World, name: str, target: str) -> None:
    world.register(name)
    world.hear("/services", world.data(f"/services/{name}", json.dumps({"to": [{target: 1}]})))


def given_by(world: World, name: str) -> int:
    route = world.pipeline.builder.services[name].beyond.route
    return len(route.name.group) if route is not None else -1


def crowded(world: World) -> set[str]:
    return {p.path for p in world.pipeline.problems if "lead to more than" in p.what}


def test_those_beyond_are_told_and_give_nothing_until_there_is_room(world: World) -> None:
    for n in range(5):
        lead(world, f"r{n}", "big")
    lead(world, "s", "small")
    world.rest()
    assert [given_by(world, f"r{n}") for n in range(5)] == [10, 10, 10, 0, 0]
    assert given_by(world, "s") == 2
    assert crowded(world) == {"/services/r3", "/services/r4"}
    world.hear("/services", world.data("/services/r0", "{}"))
    world.rest()
    assert [given_by(world, f"r{n}") for n in range(5)] == [-1, 10, 10, 10, 0]
    assert crowded(world) == {"/services/r4"}
    world.publish("big", i0=an_address(0))
    assert [given_by(world, f"r{n}") for n in range(5)] == [-1, 1, 1, 1, 1]
    assert crowded(world) == set()


def test_who_leads_to_more_takes_the_room_of_others_at_once_and_gives_it_back(world: World) -> None:
    for n in range(3):
        lead(world, f"r{n}", "big")
    lead(world, "s", "small")
    world.rest()
    world.publish("small", **{f"i{n}": an_address(100 + n) for n in range(8)})
    assert [given_by(world, name) for name in ("r0", "r1", "r2", "s")] == [10, 10, 0, 8]
    world.publish("small", a=an_address(100))
    assert [given_by(world, name) for name in ("r0", "r1", "r2", "s")] == [10, 10, 10, 1]


def test_what_an_operator_laid_has_room(world: World) -> None:
    for n in range(3):
        lead(world, f"r{n}", "big")
    world.register("web")
    world.rest()
    root = "/zkdns/overrides"
    world.hear(root, Children(root, ("web",), next(world.zxid)))
    world.hear(root, world.data(f"{root}/web", '{"to": [{"big": 1}]}'))
    world.rest()
    assert given_by(world, "web") == 10
    assert crowded(world) == set()


def test_routes_that_wait_for_a_thread_hold_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each held a list of all services, so ten thousand that waited took gigabytes."""
    frozen: list[object] = []
    real = routes.RouteBook._freeze
    monkeypatch.setattr(routes.RouteBook, "_freeze", lambda self: frozen.append(self) or real(self))
    world = World(threads=True)
    world.register("big", **{f"i{n}": an_address(n) for n in range(70)})
    for compilation in world.ready().compile:
        world.pipeline.step(compilation.work(), world.now)
    frozen.clear()
    for n in range(5):
        lead(world, f"r{n}", "big")
    waiting = []
    for _ in range(3):
        waiting += world.ready().compile
    assert len(waiting) == 5
    assert frozen == []
    waiting[0].freeze()
    assert len(frozen) == 1
    world.pipeline.step(waiting[0].work(), world.now)
    assert len(frozen) == 1

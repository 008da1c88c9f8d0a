"""Many services, one after the other hostile: it costs itself alone, is named, and is tried again."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from support.stepping import World, break_at, has
from zkdns.answers import owners, policies, spelling, variants
from zkdns.answers.builder import Builder
from zkdns.health import judge, targets
from zkdns.model import Children, Service
from zkdns.pipeline import changes, hostnames
from zkdns.registry.format_reader import FormatReader
from zkdns.registry.formats import native
from zkdns.roots import TOPOLOGY

SERVICES = 300
HOSTILE_ONES = 100
"""Of those; of few services each."""
HOSTILE = "10.66.6.6"
BAD_WEIGHT = 666

TURNS = 4
"""Calls of `ready` in which a change of one service is answered, whatever its neighbour does."""


def of_service(service: Service, *rest: object) -> bool:
    return has(service, HOSTILE)


PLACES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "parser": lambda patch: break_at(patch, native, "parse_plain", lambda data: HOSTILE.encode() in data),
    "reader": lambda patch: break_at(
        patch, FormatReader, "read", lambda self, service, names, event: HOSTILE.encode() in event.data
    ),
    "host names": lambda patch: break_at(
        patch, hostnames.Hostnames, "complete", lambda self, service: has(service, HOSTILE)
    ),
    "targets": lambda patch: break_at(patch, targets, "steps", of_service),
    "judge": lambda patch: break_at(patch, judge, "steps", of_service),
    "owners": lambda patch: break_at(patch, owners.records, "protocols", lambda instances: any(
        HOSTILE in i.addresses for i in instances)),
    "records": lambda patch: break_at(patch, spelling, "own_name", lambda i: HOSTILE in i.addresses),
    "policy": lambda patch: break_at(
        patch, policies, "rotate", lambda policy, weights, cut: BAD_WEIGHT in weights
    ),
    "builder": lambda patch: break_at(patch, Builder, "compile", lambda self, *rest: of_service(*rest)),
    "changes": lambda patch: break_at(
        patch, changes, "walk", lambda before, after, *rest: after is not None and has(after, HOSTILE)
    ),
}  # fmt: skip


def data(address: str, weight: int = 1) -> str:
    return json.dumps({"address": address, "port": 80, "weight": weight})


def many(size: int) -> World:
    world = World()
    world.names = {f"s{n:03}" for n in range(size)}
    world.hear("/services", Children("/services", tuple(sorted(world.names)), next(world.zxid)))
    for name in sorted(world.names):
        world.hear("/services", Children(f"/services/{name}", ("a",), next(world.zxid)))
        world.hear("/services", world.data(f"/services/{name}/a", data("10.0.0.1")))
    world.rest()
    assert len(world.pipeline.services) == size
    return world


@pytest.mark.parametrize("place", PLACES)
def test_many_break_us_one_after_the_other_and_their_neighbours_are_answered_as_they_change(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    PLACES[place](monkeypatch)
    size = SERVICES if place == "builder" else 40
    world = many(size)
    for n in range(0, size, max(1, size // HOSTILE_ONES)):
        hostile, neighbour = f"s{n:03}", f"s{(n + 1) % size:03}"
        moved = f"10.1.{n >> 8}.{n & 255}"
        world.hear(  # of one batch, the hostile one first
            "/services",
            world.data(f"/services/{hostile}/a", data(HOSTILE, BAD_WEIGHT)),
            world.data(f"/services/{neighbour}/a", data(moved)),
        )
        for _ in range(TURNS):
            world.ready(budget=0.0)
        assert world.addresses(neighbour) == [moved]
        told = [(p.path.split("/")[2], p.ours) for p in world.pipeline.problems]
        assert told == [(hostile, True)], "named, and nobody else"
        assert "planted" in world.pipeline.problems[0].what
        assert len(world.pipeline.services) >= size - 1
        world.hear("/services", world.data(f"/services/{hostile}/a", data("10.0.0.9")))
        world.rest()
        assert world.addresses(hostile) == ["10.0.0.9"], "it is tried again once it is another"
        assert not world.pipeline.problems
    assert world.pipeline.wall.errors >= min(size, HOSTILE_ONES)


def test_a_service_with_more_zones_and_names_than_are_arranged_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(variants, "MAX_WORK", 0)
    world = World()
    world.hear(TOPOLOGY, world.data(TOPOLOGY, '{"10.1.0.0/16": "a", "10.2.0.0/16": "b"}'))
    world.register("web", a=data("10.1.0.1"), b=data("10.2.0.1"))
    world.hear("/services", world.data("/services/web", '{"near": "prefer"}'))
    world.rest()
    (problem,) = world.pipeline.problems
    assert problem.path == "/services/web"
    assert "give all clients the same" in problem.what
    world.hear("/services", world.data("/services/web", "{}"))
    world.rest()
    assert not world.pipeline.problems


def test_a_new_service_that_can_not_be_judged_gives_nobody_until_it_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever of it is drained or down would be given as registered."""
    break_at(monkeypatch, judge, "steps", lambda service, *rest: len(service.instances) == 2)
    world = many(2)
    world.names.add("new")
    world.publish("new", a=data("10.0.1.1"), b=data("10.0.1.2"))
    assert world.addresses("new") == []
    assert [p.path for p in world.pipeline.wall.problems.values()] == ["/services/new"]
    world.publish("new", a=data("10.0.1.1"), b=data("10.0.1.2"), c=data("10.0.1.3"))
    assert world.addresses("new") == ["10.0.1.1", "10.0.1.2", "10.0.1.3"]
    assert not world.pipeline.wall.problems

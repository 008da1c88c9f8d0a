"""A judged service in place of what stood by its name: what is told of it, and what follows for others."""

from __future__ import annotations

import json

import pytest

from support.stepping import ROOTS, World, an_address, break_at, settings_of
from zkdns.answers.builder import Builder
from zkdns.model import Begin, Service, Session, Whole
from zkdns.pipeline import placement
from zkdns.pipeline.compiler import LARGE


def work_aside(world: World) -> None:
    while compilations := world.ready().compile:
        for compilation in compilations:
            world.pipeline.step(compilation.work(), world.now)
    world.rest()


def whats(world: World) -> list[str]:
    return [problem.what for problem in world.pipeline.problems]


def test_what_names_a_service_of_thousands_loses_is_found_in_the_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_at: list[str] = []
    real = placement.tell_lost

    def noted(service: Service):  # type: ignore[no-untyped-def]
        looked_at.append(service.name)
        return real(service)

    monkeypatch.setattr(placement, "tell_lost", noted)
    world = World(threads=True)
    many = {f"i{n}": an_address(n) for n in range(LARGE + 1)}
    world.register("large", **many, tagged=an_address(1000, tags=["i7"]))
    world.register("small", a=an_address(1, tags=["b"]), b=an_address(2))
    work_aside(world)
    assert sorted(what.partition(":")[0] for what in whats(world)) == ["b.small", "i7.large"]
    world.register("large", **many)
    world.register("small", a=an_address(1), b=an_address(2))
    work_aside(world)
    assert whats(world) == []
    assert {*looked_at} == {"small"}, "the loop looks at what is small alone"


@pytest.mark.parametrize("is_large", [False, True])
def test_what_is_gone_loses_no_names(is_large: bool) -> None:
    world = World(threads=True)
    many = {f"i{n}": an_address(n) for n in range(LARGE if is_large else 2)}
    world.register("web", **many, tagged=an_address(1000, tags=["i0"]))
    work_aside(world)
    assert len(whats(world)) == 1
    world.names.clear()
    world.register("other", a=an_address(1))
    work_aside(world)
    assert "web" not in world.pipeline.services
    assert whats(world) == []


def test_an_error_in_putting_in_place_what_a_thread_made_is_named_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(threads=True)
    world.register("web", **{f"i{n}": an_address(n) for n in range(LARGE + 1)})
    (compilation,) = world.ready().compile
    done, faults = compilation.work(), world.pipeline.wall.errors
    with monkeypatch.context() as patch:
        break_at(patch, Builder, "replace", lambda builder, name, *_: name == "web")
        world.pipeline.step(done, world.now)
        world.rest()
    assert [p.path for p in world.pipeline.problems if p.ours] == ["/services/web"]
    assert world.pipeline.wall.errors == faults + 1
    world.hear("/services", world.data("/services/web/i0", an_address(9000)))
    work_aside(world)
    assert "10.0.36.0" in world.addresses("web")
    assert whats(world) == []


def test_a_route_whose_compilation_failed_is_forgiven_once_its_target_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.register("db", a=an_address(1))
    world.register("web")
    world.hear("/services", world.data("/services/web", json.dumps({"to": [{"db": 1}]})))
    world.rest()
    with monkeypatch.context() as patch:
        break_at(patch, Builder, "compile", lambda builder, service, *_: service.name == "web")
        world.publish("db", a=an_address(2))
    # The service with its route, then the route that was to be left out.
    assert [p.path for p in world.pipeline.problems if p.ours] == ["/services/web"] * 2
    world.publish("db", a=an_address(3))
    assert whats(world) == []


def with_one_behind(**instances: str) -> World:
    """Two registries that have the same service, of which one stands behind the other."""
    world = World(settings_of("zk://one/services", "zk://two/services", failover=("r2",)), is_read=False)
    for registry in ("r1", "r2"):
        for root in ROOTS if registry == "r1" else ("/services",):
            events = world.told("web", **instances) if root == "/services" else ()
            world.hear(root, Begin(), *events, Whole(), Session(True), registry=registry)
    world.settle()
    return world


def test_what_a_service_loses_is_told_once_whoever_stands_behind_it() -> None:
    world = with_one_behind(a=an_address(1, tags=["b"]), b=an_address(2))
    assert [what.partition(":")[0] for what in whats(world)] == ["b.web"]


def test_a_service_that_nobody_stands_behind_any_more_stands_for_itself() -> None:
    world = with_one_behind(a=an_address(1))
    assert world.pipeline.services["web"].stands_for is not None
    world.names.clear()
    for event in world.told("other"):
        world.hear("/services", event, registry="r2")
    world.rest()
    assert world.pipeline.services["web"].stands_for is None
    assert "web" not in world.pipeline.routes._judged_views

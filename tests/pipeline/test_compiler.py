"""What is compiled at once, aside, or when somebody asks."""

from __future__ import annotations

import json

import pytest

from support.stepping import World, an_address, break_at
from zkdns.answers.builder import Builder
from zkdns.pipeline.compiler import LARGE, ROUTED, ROUTED_PORTS
from zkdns.pipeline.inputs import Followed


def test_a_service_that_somebody_asked_for_is_compiled_whenever_it_changes() -> None:
    world = World(defers=1)
    world.publish("web", a=an_address(1))
    services = world.pipeline.builder.services
    assert services["web"].deferred
    world.pipeline.compile_now("web", world.now)
    world.publish("web", a=an_address(2))
    assert not services["web"].deferred
    world.publish("db", a=an_address(3))
    assert services["db"].deferred
    world.names = {"db"}
    world.publish("db", a=an_address(3))
    world.publish("web", a=an_address(1))
    assert services["web"].deferred, "once it was gone nobody has asked for it"


def test_a_route_of_few_instances_that_have_many_ports_is_followed_aside() -> None:
    world = World(threads=True)
    world.settle()
    few = LARGE // ROUTED // 2
    for name, ports in (("many", 2 * ROUTED_PORTS), ("few", 1)):
        about = {"ports": {f"p{n}": n + 1 for n in range(ports)}}
        world.publish(name, **{f"i{n}": an_address(n, **about) for n in range(few)})
        for compilation in world.readies[-1].compile:
            world.pipeline.step(compilation.work(), world.now)
        world.publish(f"to-{name}")
        world.hear("/services", world.data(f"/services/to-{name}", json.dumps({"to": [{name: 1}]})))
        done = [compilation.work() for compilation in world.ready().compile]
        assert any(isinstance(one, Followed) for one in done) is (name == "many")


@pytest.mark.parametrize("size", [2, LARGE + 1])
def test_the_names_that_a_service_loses_are_told_wherever_it_is_compiled(size: int) -> None:
    world = World(threads=True)
    world.settle()
    for tag, lost in (("i1", ["i1.web"]), ("free", [])):
        world.publish("web", **{f"i{n}": an_address(n, tags=[tag]) for n in range(size)})
        for compilation in world.readies[-1].compile:
            world.pipeline.step(compilation.work(), world.now)
        world.rest()
        assert [problem.what.partition(":")[0] for problem in world.pipeline.problems] == lost


def test_who_was_asked_for_and_met_an_error_of_ours_is_compiled_when_that_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(defers=1)
    world.publish("web", a=an_address(1))
    with monkeypatch.context() as patch:
        break_at(patch, Builder, "compile", lambda builder, service, *_: service.name == "web")
        world.pipeline.compile_now("web", world.now)
        world.rest()
    world.publish("web", a=an_address(2))
    assert not world.pipeline.builder.services["web"].deferred
    assert world.addresses("web") == ["10.0.0.2"]

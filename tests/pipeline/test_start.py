"""What a start waits for, and for how long: routes that lead to thousands hold up nobody."""

from __future__ import annotations

import json

from support.stepping import ROOTS, World, an_address, settings_of
from zkdns.model import Begin, Children, Session, Whole
from zkdns.pipeline.compiler import LARGE
from zkdns.pipeline.inputs import Compilation, Ready
from zkdns.pipeline.start import FIRST_ROUTES, Stage


def a_start(**services: int) -> World:
    """Services by name with so many instances; below 0 it is a route to `large`."""
    world = World(threads=True, is_read=False)
    events = [Children("/services", tuple(services), next(world.zxid))]
    for name, many in services.items():
        ids = tuple(f"i{n}" for n in range(many))
        events.append(Children(f"/services/{name}", ids, next(world.zxid)))
        if many < 0:
            events.append(world.data(f"/services/{name}", json.dumps({"to": [{"large": 1}]})))
        events += [
            world.data(f"/services/{name}/{id}", json.dumps({"address": f"10.0.{n // 250}.{n % 250 + 1}"}))
            for n, id in enumerate(ids)
        ]
    for root in ROOTS:
        world.hear(root, Begin(), *(events if root == "/services" else ()), Whole(), Session(True))
    return world


def compile_all(world: World, ready: Ready, *but: str) -> list[Compilation]:
    """Does what is to be done in threads, and gives what is not: those of the names in `but`."""
    kept: list[Compilation] = []
    while ready.compile or ready.more:
        for one in ready.compile:
            if one.name in but:
                kept.append(one)
            else:
                world.pipeline.step(one.work(), world.now)
        ready = world.ready()
    return kept


def told(world: World, since: int = 0) -> set[str]:
    """The services with names that were answered, or answered anew."""
    readies = world.readies[since:]
    return {key[1 : 1 + key[0]].decode() for ready in readies for key in ready.delta.entries}


def test_a_start_waits_for_large_services_and_no_longer_than_that_for_routes_that_lead_to_them() -> None:
    world = a_start(large=LARGE + 1, small=1, alias=-1)
    (large,) = compile_all(world, world.ready(), "large")
    world.now += FIRST_ROUTES
    assert not world.ready().compile
    assert world.pipeline.stage is Stage.SETTLING, "a service that is there is answered from the first moment"
    world.pipeline.step(large.work(), world.now)
    (alias,) = compile_all(world, world.ready(), "alias")
    world.now += FIRST_ROUTES
    world.ready()
    assert world.pipeline.stage is Stage.READY
    assert told(world) >= {"large", "small"}
    since = len(world.readies)
    world.pipeline.step(alias.work(), world.now)
    compile_all(world, world.ready())
    assert "alias" in told(world, since)


def test_a_start_waits_for_a_route_for_a_while() -> None:
    world = a_start(large=LARGE + 1, alias=-1)
    (alias,) = compile_all(world, world.ready(), "alias")
    assert world.pipeline.stage is Stage.SETTLING
    wake = world.readies[-1].wake
    assert wake is not None
    assert world.now < wake <= world.now + FIRST_ROUTES
    world.pipeline.step(alias.work(), world.now)
    compile_all(world, world.ready())
    assert world.pipeline.stage is Stage.READY


def test_nobody_is_woken_for_a_moment_that_is_over() -> None:
    world = a_start(large=LARGE + 1)
    (large,) = compile_all(world, world.ready(), "large")
    for _ in range(3):
        world.now += FIRST_ROUTES
        wake = world.ready().wake
        assert wake is None or wake > world.now
    world.pipeline.step(large.work(), world.now)
    compile_all(world, world.ready())
    assert world.pipeline.stage is Stage.READY


def test_who_is_registered_no_more_is_kept_by_servers_that_saw_it_go() -> None:
    """As docs/operations.md says of `hold`: one that starts meanwhile has what stands in the registry."""
    saw_it, begins = (World(settings_of(service_defaults={"hold": 60})) for _ in range(2))
    saw_it.publish("web", a=an_address(1), b=an_address(2))
    for world in (saw_it, begins):
        world.publish("web")
    assert saw_it.states() == {"a": "suspect", "b": "suspect"}
    assert begins.states() == {}

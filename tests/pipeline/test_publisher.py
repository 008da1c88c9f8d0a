"""Service by service: what is judged again, what is compiled again, and what is kept of each meanwhile."""

from __future__ import annotations

from itertools import count

from support.stepping import ROOTS, World, an_address, settings_of
from zkdns.model import Begin, Session, Whole
from zkdns.pipeline.agenda import PACE, SLOWEST
from zkdns.steps import SLICE


def test_of_services_that_are_gone_nothing_is_kept() -> None:
    world = World()
    world.settle()
    for n in range(20):
        world.publish(f"s{n}", a=an_address(n))
        world.publish(f"s{n}")
        world.names.clear()
    world.publish("web", a=an_address(1))
    assert [*world.pipeline.services] == ["web"]
    assert [*world.pipeline._publisher._agenda._costs] == ["web"]


def test_who_is_judged_in_parts_waits_for_what_all_of_them_took() -> None:
    """Else verdicts on a service of thousands would have it judged all the time."""
    world, looks = World(), count()
    world.settle()
    world.publish("web", **{f"i{n}": an_address(n) for n in range(4 * SLICE)})
    world.pipeline._tick = world.pipeline._publisher._tick = lambda: next(looks) / 1000
    world.hear("/services", world.data("/services/web", '{"warm": 60}'))
    before, turns = next(looks), 0
    while not world.pipeline.idle:
        world.ready(0.0)
        turns += bool(world.pipeline._publisher._begun)
    assert turns > 3
    world.pipeline._publisher.mark_soon(["web"], world.now)
    wake = world.pipeline._publisher.wake
    assert wake is not None
    assert turns * PACE / 1000 < wake - world.now <= min(SLOWEST, PACE * (next(looks) - before) / 1000)


def test_what_comes_while_a_service_is_judged_in_part_is_judged_after_it() -> None:
    world, looks = World(), count()
    world.settle()
    world.publish("web", **{f"i{n}": an_address(n) for n in range(4 * SLICE)})
    world.pipeline._tick = world.pipeline._publisher._tick = lambda: next(looks) / 1000
    publisher = world.pipeline._publisher
    world.hear("/services", world.data("/services/web", '{"warm": 60, "ttl": 1}'))
    while not publisher._begun:
        world.ready(0.0)
    world.hear("/services", world.data("/services/web", '{"warm": 60, "ttl": 2}'))
    world.pipeline._gathering.work(world.now, lambda: False)
    assert publisher.registered["web"].settings.ttl == 2
    world.rest(0.0)
    assert world.pipeline.services["web"].settings.ttl == 2
    assert world.pipeline.idle


def test_who_gives_names_to_nobody_elses_instances_any_more_is_compiled_without_them() -> None:
    """Though it is judged as before."""
    world = World(settings_of("zk://one/services", "zk://two/services"), is_read=False)
    for registry in ("r1", "r2"):
        for root in ROOTS if registry == "r1" else ("/services",):
            here = [*world.told("web", a=an_address(1)), *world.told("front")]
            there = world.told("web", a=an_address(2))
            events = () if root != "/services" else here if registry == "r1" else there
            world.hear(root, Begin(), *events, Whole(), Session(True), registry=registry)
    world.settle()
    before = world.pipeline.services["web"]
    world.hear("/services", world.data("/services/front", '{"to": [{"web@r2": 1}]}'))
    world.rest()
    assert world.pipeline.builder.services["web"].beyond.guests
    world.hear("/services", world.data("/services/front", "{}"))
    world.rest()
    assert world.pipeline.services["web"] is before
    assert not world.pipeline.builder.services["web"].beyond.guests


def of_two(first: dict[str, int], second: dict[str, int]) -> World:
    """Two registries with these services, of one instance each."""
    world = World(settings_of("zk://one/services", "zk://two/services"), is_read=False)
    for registry, services in (("r1", first), ("r2", second)):
        world.names.clear()
        for root in ROOTS if registry == "r1" else ("/services",):
            told = [event for name, n in services.items() for event in world.told(name, a=an_address(n))]
            events = told if root == "/services" else []
            world.hear(root, Begin(), *events, Whole(), Session(True), registry=registry)
    world.settle()
    return world


def origins(world: World, *services: str) -> list[bool]:
    """Whether each comes from the first registry alone."""
    alone = world.pipeline._origins.number(("r1",))
    return [world.pipeline.builder.services[name].origin == alone for name in services]


def test_who_is_in_one_registry_no_more_comes_from_the_other_alone() -> None:
    world = of_two({"web": 1}, {"web": 2})
    assert origins(world, "web") == [False]
    world.names.clear()
    for event in world.told("other"):
        world.hear("/services", event, registry="r2")
    world.rest()
    assert origins(world, "web") == [True]


def test_what_a_route_led_to_by_one_that_ended_is_no_origin_any_more() -> None:
    world = of_two({"front": 1, "middle": 2}, {"back": 3})
    for name, to in (("front", "middle"), ("middle", "back")):
        world.hear("/services", world.data(f"/services/{name}", f'{{"to": [{{"{to}": 1}}]}}'))
        world.rest()
    assert origins(world, "front", "middle") == [False, False]
    world.hear("/services", world.data("/services/middle", "{}"))
    world.rest()
    assert origins(world, "front", "middle") == [True, True]

"""What is compiled for a change where many routes stand: what depends on it, and nothing else."""

from __future__ import annotations

import json
from itertools import chain, count

import pytest

from bench.routes import Ensemble
from support.stepping import World, break_at, settings_of
from support.steps import steps
from zkdns.answers.route_resolver import Resolver
from zkdns.answers.routes import MAX_DEPTH
from zkdns.model import Begin, Children, Session, Whole
from zkdns.pipeline import affected, compiler, routes
from zkdns.pipeline.inputs import Followed


@pytest.fixture
def ensemble() -> Ensemble:
    ensemble = Ensemble(routes=40, services=120)
    assert ensemble.publish() == 160
    return ensemble


def test_a_change_of_a_target_costs_its_routes_alone(ensemble: Ensemble) -> None:
    users = ensemble.users[ensemble.most_used]
    assert 0 < len(users) < 40
    before = dict(ensemble.pipeline.builder.services)
    ensemble.change(ensemble.most_used)
    assert ensemble.publish() == 1 + len(users)
    after = ensemble.pipeline.builder.services
    assert {n for n in after if after[n] is not before[n]} == {ensemble.most_used, *users}


def test_a_change_of_what_no_route_leads_to_costs_itself(ensemble: Ensemble) -> None:
    ensemble.change(ensemble.alone)
    assert ensemble.publish() == 1


def test_what_is_laid_costs_its_service_however_many_are_laid(ensemble: Ensemble) -> None:
    for name in ensemble.targets:
        ensemble.lay(name)
        assert ensemble.publish() == 1
    ensemble.lay("r7")
    assert ensemble.publish() == 1
    # The first that is laid leads elsewhere now, and what it led to is not its business any more.
    gone = next(name for name in ensemble.targets["r7"] if name != ensemble.most_used)
    ensemble.change(gone)
    assert ensemble.publish() == 1


def test_what_is_laid_and_did_not_change_is_not_read_again(ensemble: Ensemble) -> None:
    for name in ("r1", "r2"):
        ensemble.lay(name)
        ensemble.publish()
    before = dict(ensemble.pipeline.registries.overrides)
    ensemble.lay("r2")
    ensemble.publish()
    after = ensemble.pipeline.registries.overrides
    assert after["r1"][""] is before["r1"][""]
    assert after["r2"][""] is not before["r2"][""]


def an_instance(n: int) -> str:
    return json.dumps({"address": f"10.0.{n >> 8}.{n & 255}", "port": 80})


def test_a_route_to_many_instances_is_followed_in_a_thread_and_given_though_it_changes_faster() -> None:
    world = World(threads=True)
    world.register("big", **{f"i{n}": an_instance(n) for n in range(compiler.LARGE + 1)})
    world.register("web")
    world.hear("/services", world.data("/services/web", '{"to": [{"big": 1}]}'))
    followed = 0
    for n in range(2000, 2003):
        for compilation in world.ready().compile:
            happened = compilation.work()
            followed += isinstance(happened, Followed)
            world.pipeline.step(happened, world.now)
        world.hear("/services", world.data("/services/big/i0", an_instance(n)))
        world.now += 2
    for _ in range(10):
        for compilation in world.ready().compile:
            happened = compilation.work()
            followed += isinstance(happened, Followed)
            world.pipeline.step(happened, world.now)
    assert followed >= 2
    assert world.pipeline.idle
    route = world.pipeline.builder.services["web"].beyond.route
    assert route is not None
    assert {a for i in route.name.group for a in i.addresses} == {
        a for i in world.pipeline.services["big"].instances for a in i.addresses
    }
    assert "10.0.7.210" in {a for i in route.name.group for a in i.addresses}


def test_an_alias_that_is_as_near_as_its_service_is_compiled_in_a_thread_as_that_is() -> None:
    """Each zone's clients are compiled for: few instances are many then."""
    zones = {f"10.{n}.0.0/16": f"eu/z{n}" for n in range(60)}
    world = World(settings_of(topology=zones), threads=True)
    world.register("web", **{f"i{n}": an_instance(n) for n in range(10)})
    world.register("alias")
    world.hear("/services", world.data("/services/web", '{"near": "prefer"}'))
    world.hear("/services", world.data("/services/alias", '{"to": {"web": 1}}'))
    compiled = set()
    for _ in range(5):
        for compilation in world.ready().compile:
            compiled.add(compilation.name)
            world.pipeline.step(compilation.work(), world.now)
    assert {"web", "alias"} <= compiled


def test_a_route_is_followed_in_a_thread_as_all_stood_when_that_began() -> None:
    world = World(threads=True)
    world.register("Big", **{f"i{n}": an_instance(n) for n in range(compiler.LARGE + 1)})
    world.register("web")
    world.hear("/services", world.data("/services/web", '{"to": [{"Big": 1, "tag.big": 1}]}'))
    works = []
    for _ in range(3):
        for compilation in world.ready().compile:
            if compilation.name == "web":
                compilation.freeze()
                works.append(compilation.work)
            else:
                world.pipeline.step(compilation.work(), world.now)
    world.hear("/services", Children("/services", ("web",), next(world.zxid)))
    world.ready()
    for work in works:
        happened = work()
        assert isinstance(happened, Followed)
        assert happened.error is None
        assert happened.routed is not None
        assert len(happened.routed.name.group) == compiler.LARGE + 1
        assert happened.routed.problems == ()
    assert works


def test_a_route_that_can_not_be_followed_in_a_thread_costs_its_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(threads=True)
    world.register("big", **{f"i{n}": an_instance(n) for n in range(compiler.LARGE + 1)})
    world.register("web")
    world.register("other", a=an_instance(7))
    world.hear("/services", world.data("/services/web", '{"to": [{"big": 1}]}'))
    break_at(monkeypatch, Resolver, "follow", lambda self, name: name == "web")
    for _ in range(5):
        for compilation in world.ready().compile:
            world.pipeline.step(compilation.work(), world.now)
    assert [p.path for p in world.pipeline.problems if p.ours] == ["/services/web"]
    assert world.addresses("other") == ["10.0.0.7"]
    assert world.pipeline.idle


def test_what_is_further_away_than_routes_are_followed_is_not_composed_again() -> None:
    world = World()
    size = 4 * MAX_DEPTH
    for n in range(size):
        world.register(f"r{n}")
    world.register("end", a=an_instance(1))
    for n in range(size):
        to = f"r{n + 1}" if n + 1 < size else "end"
        world.hear("/services", world.data(f"/services/r{n}", json.dumps({"to": [{to: 1}]})))
    world.rest()
    users = world.pipeline.routes.users(world.pipeline.services["end"])
    assert {*chain.from_iterable(users)} == {f"r{n}" for n in range(size - MAX_DEPTH - 1, size)}
    world.hear("/services", world.data("/services/end/a", an_instance(9)))
    world.rest()
    given = {
        name
        for name, answers in world.pipeline.builder.services.items()
        if (route := answers.beyond.route) is not None
        and [a for tier in route.name.first for i in tier for a in i.addresses] == ["10.0.0.9"]
    }
    assert given == {f"r{n}" for n in range(size - MAX_DEPTH, size)}


WIDE = 6


def a_web(number: int, *registries: str) -> World:
    """Each of so many services is a route to WIDE others, and they to others."""
    world = World(settings_of(*registries)) if registries else World()
    if len(registries) > 1:
        world.hear("/services", Begin(), Whole(), Session(True), registry="r2")
    world.settle()
    for n in range(number):
        to = {f"w{(n * 7 + at) % number:03}": 1 for at in range(1, WIDE + 1)}
        world.register(f"w{n:03}", a=an_instance(n))
        world.hear("/services", world.data(f"/services/w{n:03}", json.dumps({"to": [to]})))
    world.rest()
    return world


@pytest.mark.parametrize("registries", [(), ("zk://h/services", "zk://g/services")])
def test_a_web_of_routes_is_walked_once_for_what_a_route_relies_on(registries: tuple[str, ...]) -> None:
    book = a_web(16, *registries).pipeline.routes
    routed = book.beyond("w000").route
    assert routed is not None
    assert len([*routed.asked()]) == WIDE
    walk = steps(lambda: [*book._within_reach("w000")])
    assert steps(lambda: book.relied_on("w000", routed)) < (2 * walk if registries else 10)
    assert steps(lambda: book.registries(book._services["w000"])) < (2 * walk if registries else 10)


def test_to_walk_a_web_costs_the_services_in_it_however_many_ways_lead_to_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lines(wide: int) -> int:
        monkeypatch.setitem(globals(), "WIDE", wide)
        book = a_web(16).pipeline.routes
        assert len([*book._within_reach("w000")]) == 16
        return steps(lambda: [*book._within_reach("w000")])

    assert lines(15) <= lines(WIDE)


def test_of_a_web_that_is_followed_elsewhere_no_more_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "MAX_LOOKS", 3 * WIDE)
    book = a_web(16).pipeline.routes
    assert 3 * WIDE < book.meets("w000", 20_000) <= 5 * WIDE


def test_who_hangs_on_what_changes_is_found_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affected, "SLICE", 4)
    world = World()
    world.settle()
    hubs, leaves = 6, 10
    for n in range(hubs):
        names = [f"hub{n}", *(f"leaf{n}x{m}" for m in range(leaves))]
        for name in names:
            world.register(name)
            to = "end" if name.startswith("hub") else f"hub{n}"
            world.hear("/services", world.data(f"/services/{name}", json.dumps({"to": [{to: 1}]})))
    world.publish("end", a=an_instance(1))
    world.hear("/services", world.data("/services/end/a", an_instance(9)))
    looks = count()
    world.pipeline._tick = world.pipeline._publisher._tick = lambda: float(next(looks))
    grown, before = [], 0
    while world.ready(budget=0.0).more:
        waiting = len(world.pipeline._publisher._composed)
        grown.append(waiting - before)
        before = waiting
    assert max(grown) <= hubs + 2 * leaves
    given = [
        [a for tier in route.name.first for i in tier for a in i.addresses]
        for answers in world.pipeline.builder.services.values()
        if (route := answers.beyond.route) is not None
    ]
    assert given == [["10.0.0.9"]] * (hubs * (1 + leaves))

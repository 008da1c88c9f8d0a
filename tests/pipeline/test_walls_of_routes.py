"""What an error of ours costs where a name gives others' instances: the instance, the target or the route
that it is about, and nothing that stands beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest

from support.stepping import World, an_address, break_at, settings_of
from zkdns.answers import route_resolver, spelling
from zkdns.answers.builder import Builder
from zkdns.answers.routed import Beyond
from zkdns.answers.table import Table
from zkdns.dns import names
from zkdns.dns.types import A
from zkdns.model import Begin, Children, Session, Whole, fault
from zkdns.pipeline import routes
from zkdns.pipeline.inputs import Ready
from zkdns.roots import OVERRIDES
from zkdns.wall import MAX_TRIALS, blame

HOSTILE = "10.66.6.6"


class Answering(World):
    """One that is asked; what is to be done in threads is done at once."""

    table: Table | None = None

    def ready(self, budget: float = float("inf")) -> Ready:
        ready = super().ready(budget)
        if self.table is None:
            self.table = Table(ready.delta)
        else:
            self.table.apply(ready.delta)
        for compilation in ready.compile:
            compilation.freeze()
            self.pipeline.step(compilation.work(), self.now)
        return ready

    def given(self, name: str) -> set[str]:
        assert self.table is not None
        entry = self.table.entries.get(names.wire(f"{name}.svc.local") + A.to_bytes(2, "big"))
        records = [record for tier in (entry.tiers if entry is not None else ()) for record in tier.records]
        return {".".join(map(str, record[-4:])) for record in records}

    def blamed(self) -> list[str]:
        return sorted(p.path for p in self.pipeline.problems if p.ours)


def a_world(*, threads: bool = False) -> Answering:
    """`front`, with an instance of its own, leads to two targets; `web` has guests of another registry."""
    settings = settings_of("zk://h/services", "zk://other/services", failover=("r2",))
    world = Answering(settings, threads=threads)
    world.hear("/services", Begin(), Whole(), Session(True), registry="r2")
    world.settle()
    world.register("one", good=an_address(11), bad=an_address(12))
    world.register("two", a=an_address(21))
    world.register("front", own=an_address(31))
    world.register("web", a=an_address(41))
    guests = {"good": an_address(42), "bad": an_address(43)}
    world.hear("/services", Children("/services", ("web",), next(world.zxid)), registry="r2")
    world.hear("/services", Children("/services/web", tuple(guests), next(world.zxid)), registry="r2")
    for id, data in guests.items():
        world.hear("/services", world.data(f"/services/web/{id}", data), registry="r2")
    world.hear(OVERRIDES, Children(OVERRIDES, ("front",), next(world.zxid)))
    lay(world, {"one": 1, "two": 1})
    assert world.given("front") == {"10.0.0.11", "10.0.0.12", "10.0.0.21"}
    return world


def lay(world: Answering, *tiers: dict[str, int]) -> None:
    world.hear(OVERRIDES, world.data(f"{OVERRIDES}/front", json.dumps({"to": tiers})))
    world.rest()
    world.rest()


def move(world: Answering, path: str, address: str, registry: str = "r1") -> None:
    world.hear("/services", world.data(path, json.dumps({"address": address, "port": 80})), registry=registry)
    world.rest()
    world.rest()


def is_hostile(*arguments: object) -> bool:
    return HOSTILE in repr(arguments)


def is_of_front(self: Builder, service: object, origin: int, beyond: Beyond, *rest: object) -> bool:
    return beyond.route is not None and is_hostile(beyond)


OF_INSTANCE: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "its pool": lambda patch: break_at(patch, route_resolver, "pool_of", is_hostile),
    "its places": lambda patch: break_at(patch, route_resolver, "_weighing", is_hostile),
    "its ports": lambda patch: break_at(patch, route_resolver, "_by_port", is_hostile),
    "all of them": lambda patch: break_at(patch, route_resolver, "compose", is_hostile),
    "the records": lambda patch: break_at(patch, Builder, "compile", is_of_front),
}
"""What of a route falls over one instance."""


@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize("place", OF_INSTANCE)
def test_an_instance_that_a_route_falls_over_is_left_out_of_it_and_of_nothing_else(
    place: str, threads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = a_world(threads=threads)
    OF_INSTANCE[place](monkeypatch)
    move(world, "/services/one/bad", HOSTILE)
    move(world, "/services/one/good", "10.1.0.1")
    move(world, "/services/two/a", "10.1.0.2")
    assert world.given("front") == {"10.1.0.1", "10.1.0.2"}
    assert world.given("one") == {"10.1.0.1", HOSTILE}
    assert world.blamed() == ["/services/one/bad"]
    counted = world.pipeline.wall.errors
    assert counted >= 1
    move(world, "/services/one/bad", "10.1.0.3")
    assert world.given("front") == {"10.1.0.1", "10.1.0.2", "10.1.0.3"}
    assert not world.blamed()
    assert world.pipeline.wall.errors == counted


@pytest.mark.parametrize("threads", [False, True])
def test_a_target_that_we_fall_over_counts_as_without_instances(
    threads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = a_world(threads=threads)
    with monkeypatch.context() as patch:
        break_at(patch, route_resolver.Resolver, "_pool", lambda self, target, *rest: target.service == "one")
        lay(world, {"one": 3, "two": 1})
        move(world, "/services/two/a", "10.1.0.2")
        assert world.given("front") == {"10.1.0.2"}
        assert world.blamed() == [f"{OVERRIDES}/front"]
        assert any("its target one is left out" in p.what for p in world.pipeline.problems)
    move(world, "/services/one/good", "10.1.0.1")
    assert world.given("front") == {"10.0.0.12", "10.1.0.1", "10.1.0.2"}
    assert not world.blamed()


@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize(
    "breaks",
    [
        lambda patch: break_at(
            patch, route_resolver.Resolver, "follow", lambda self, name: name == "front"
        ),
        lambda patch: break_at(patch, routes, "in_force_at", lambda chosen, now: chosen.source == "override"),
    ],
)  # fmt: skip
def test_a_route_that_we_fall_over_counts_as_unread_and_the_service_gives_its_own_instances(
    breaks: Callable[[pytest.MonkeyPatch], None], threads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = a_world(threads=threads)
    with monkeypatch.context() as patch:
        breaks(patch)
        lay(world, {"one": 3, "two": 1})
        move(world, "/services/front/own", "10.1.0.9")
        assert world.given("front") == {"10.1.0.9"}
        assert world.blamed() == [f"{OVERRIDES}/front"]
    lay(world, {"one": 3, "two": 2})
    assert world.given("front") == {"10.0.0.11", "10.0.0.12", "10.0.0.21"}
    assert not world.blamed()


def test_a_guest_that_we_fall_over_costs_the_service_of_its_name_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = a_world()
    with monkeypatch.context() as patch:
        break_at(patch, spelling, "own_name", lambda i: HOSTILE in i.addresses)
        move(world, "/services/web/bad", HOSTILE, "r2")
        move(world, "/services/web/a", "10.1.0.4")
        move(world, "/services/web/good", "10.1.0.5", "r2")
        assert world.given("web") == {"10.1.0.4"}
        guests = world.pipeline.builder.services["web"].beyond.guests
        assert [i.addresses for i in guests] == [("10.1.0.5",)]
        assert len(world.blamed()) == 1
        assert "/services/web/bad" in world.blamed()[0]
    move(world, "/services/web/bad", "10.1.0.6", "r2")
    assert not world.blamed()


def test_what_is_met_outside_of_all_that_can_be_left_out_is_named_and_counted_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = a_world()
    before = world.pipeline.wall.errors
    break_at(monkeypatch, routes.RouteBook, "relied_on", lambda self, name, routed: name == "front")
    lay(world, {"one": 3, "two": 1})
    assert world.given("front") == {"10.0.0.11", "10.0.0.12", "10.0.0.21"}
    assert world.blamed() == ["/services/front"]
    assert world.pipeline.wall.errors == before + 1


@pytest.mark.parametrize("threads", [False, True])
def test_who_fails_once_more_without_what_is_to_blame_is_not_sifted_again(
    threads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = a_world(threads=threads)
    sifted = []
    real = routes.RouteBook.sift_aside
    monkeypatch.setattr(
        routes.RouteBook,
        "sift_aside",
        lambda *given: sifted.append(given) or real(*given),  # type: ignore[func-returns-value]
    )
    break_at(monkeypatch, Builder, "replace", lambda self, name, answers: name == "front")
    break_at(monkeypatch, Builder, "compile", lambda self, service, *rest: service.name == "front")
    lay(world, {"one": 3, "two": 1})
    assert len(sifted) == 1
    assert world.blamed()
    move(world, "/services/two/a", "10.1.0.2")
    assert len(sifted) == 2
    assert world.given("two") == {"10.1.0.2"}


def test_of_many_the_few_are_found_by_halving_and_no_more_is_tried_than_there_is_time_for() -> None:
    tried = []

    def attempt(some: Sequence[int], bad: frozenset[int]) -> None:
        tried.append(some)
        if bad & {*some}:
            raise ValueError

    many = tuple(range(10_000))
    assert [*blame(many, lambda some: attempt(some, frozenset((7, 9_999))))] == [7, 9_999]
    assert len(tried) <= 4 * 14 + 1
    tried.clear()
    blame(many, lambda some: attempt(some, frozenset(many)))
    assert len(tried) == MAX_TRIALS
    assert not blame((), lambda some: attempt(some, frozenset()))


def test_what_is_counted_elsewhere_counts_once_and_again_once_it_was_gone() -> None:
    world = a_world()
    wall, row = world.pipeline.wall, fault("/x", ValueError("x"))
    before = wall.errors
    for rows in ((row,), (row,), (), (row,)):
        wall.count("x", rows)
    assert wall.errors == before + 2

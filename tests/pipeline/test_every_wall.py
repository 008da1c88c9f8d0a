"""Every function that is given one item from outside is broken for that item: it alone suffers, by its name.

Which functions there are comes from a run: whoever writes a new fold finds it here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache

import pytest

from support.breaking import Breaker, Planted
from support.examples import some
from support.stepping import World, settings_of
from zkdns.model import Begin, Children, Event, Session, Verdict, Whole
from zkdns.pipeline.inputs import HostResolved, Probed
from zkdns.roots import HEALTH, OVERRIDES, SERVERS, TOPOLOGY

PACKAGES = (
    "zkdns.answers", "zkdns.client_map", "zkdns.health", "zkdns.model", "zkdns.overrides", "zkdns.pipeline",
    "zkdns.registry", "zkdns.routes", "zkdns.topology",
)  # fmt: skip

BOTH = ("hostile", "neighbour")
NETWORK = {"hostile": "10.66", "neighbour": "10.77"}
MOVED = "10.77.7.7"

WALLS = {
    "affected.Affected.search",
    "gather.Gatherer._name", "hearing.Hearing._take", "inputs.subject",
    "pipeline.Pipeline._take", "pipeline.Pipeline.step",
    "reading.Reading._come", "reading.Reading._forgive", "views.Views._named",
    "views.Views._path", "views.Views._wants",
}  # fmt: skip
"""The walls themselves, and what they call an item: nothing is read there."""

LEDGERS = {
    "affected.Affected.is_searching",
    "agenda.Agenda.mark",
    "agenda.Agenda.spend",
    "health.Health._count_later",
    "labels.Labels._enter",
    "publisher.Publisher.mark",
    "service.ServiceAnswers.label",
    "users.Users.needs",
    "users.Users.of",
    "users.Users.put",
}
"""What keeps names and looks into nothing: it is given several at a time, and here there was one."""


def mentions(arguments: object) -> bool:
    text = repr(arguments)
    return any(mark in text for mark in ("hostile", "10.66.")) and not any(
        mark in text for mark in ("neighbour", "10.77.")
    )


class Watched(World):
    """Notes each problem of ours that stood at the end of a turn."""

    blamed: set[str]

    def ready(self, budget: float = float("inf")):  # type: ignore[no-untyped-def]
        ready = super().ready(budget)
        self.blamed = getattr(self, "blamed", set()) | {p.path for p in self.pipeline.problems if p.ours}
        assert len(self.pipeline.registries.servers) <= len(BOTH)
        return ready

    def hear_both(self, root: str, events: Callable[[str], Iterable[Event]], registry: str = "r1") -> None:
        """Of one batch, the hostile one first."""
        self.hear(root, *(event for name in BOTH for event in events(name)), registry=registry)

    def list(self, root: str, names: Iterable[str], registry: str = "r1") -> None:
        self.hear(root, Children(root, tuple(names), next(self.zxid)), registry=registry)


def an_instance(address: str, **others: object) -> str:
    return json.dumps({"address": address, "port": 80, **others})


def a_world() -> Watched:
    world = Watched(settings_of("zk://h/services", "zk://other/services", failover=("r2",)))
    world.hear("/services", Begin(), Whole(), Session(True), registry="r2")
    world.settle()
    return world


def register(world: Watched) -> None:
    def told(name: str) -> Iterator[Event]:
        address, word = NETWORK[name], "hostile" if name == "hostile" else "plain"
        rich = {"ports": {f"{word}-p": 81}, "tags": [f"{word}-t", "x"], "zone": "z", "meta": {word: "1"}}
        yield Children(f"/services/{name}", ("a", "b"), next(world.zxid))
        yield world.data(f"/services/{name}/a", an_instance(f"{address}.9.1"))
        yield world.data(f"/services/{name}/b", an_instance(f"{address}.9.2", weight=3, **rich))

    world.list("/services", BOTH)
    world.hear_both("/services", told)
    world.rest()


def stand_behind(world: Watched) -> None:
    def told(name: str) -> Iterator[Event]:
        yield Children(f"/services/{name}", ("c",), next(world.zxid))
        yield world.data(f"/services/{name}/c", an_instance(f"{NETWORK[name]}.9.3"))

    world.list("/services", BOTH, "r2")
    world.hear_both("/services", told, "r2")


def set_what_is_checked(world: Watched) -> None:
    def set_all(settings: str) -> None:
        world.hear_both("/services", lambda name: [world.data(f"/services/{name}", settings)])
        world.ready(0.0)

    world.hear(TOPOLOGY, world.data(TOPOLOGY, json.dumps({f"{n}.0.0/16": "z" for n in NETWORK.values()})))
    set_all('{"near": "prefer", "check": {"type": "tcp"}, "fail_open": true}')
    set_all('{"check": {"type": "tcp"}, "fail_open": true}')  # near answers are many, and tried now


def order(world: Watched) -> None:
    def told(name: str) -> Iterator[Event]:
        yield Children(f"{OVERRIDES}/{name}", ("a",), next(world.zxid))
        yield world.data(f"{OVERRIDES}/{name}/a", json.dumps({"weight": 7, "why": name}))

    world.list(OVERRIDES, BOTH)
    world.hear_both(OVERRIDES, told)
    world.ready(0.0)


def vote(world: Watched) -> None:
    def ballot(name: str) -> str:
        return json.dumps({"good": [f"r1@/services/{name}/a"], "bad": {f"r1@/services/{name}/b": name}})

    for root, data in ((HEALTH, ballot), (SERVERS, lambda name: json.dumps({"address": name}))):
        world.list(root, BOTH)
        world.hear_both(root, lambda name, root=root, data=data: [world.data(f"{root}/{name}", data(name))])  # type: ignore[misc]
    for _ in range(4):
        world.ready(0.0)


def lay_a_route(world: Watched) -> None:
    def route(name: str) -> str:
        return json.dumps({"to": [{name: 90, f"{name}@r2": 10}]})

    world.hear_both(OVERRIDES, lambda name: [world.data(f"{OVERRIDES}/{name}", route(name))])
    for _ in range(4):
        world.ready(0.0)


def probe(world: Watched) -> None:
    for name in BOTH:
        for id in "ab":
            target = world.probes.get(f"r1@/services/{name}/{id}")
            if target is not None:
                world.pipeline.step(Probed(target, Verdict(target.path, True, name)), world.now)  # type: ignore[arg-type, attr-defined]
    world.ready(0.0)


def name_hosts(world: Watched) -> None:
    def host(name: str) -> list[Event]:
        return [world.data(f"/services/{name}/b", an_instance(f"{name}.example.org"))]

    world.hear_both("/services", host)
    world.ready(0.0)
    for name in BOTH:
        addresses = (f"{NETWORK[name]}.5.5",)
        world.pipeline.step(HostResolved(f"{name}.example.org", addresses), world.now)
    world.ready(0.0)


def move(world: Watched) -> None:
    world.hear(
        "/services",
        world.data("/services/hostile/b", an_instance("10.66.8.8")),
        world.data("/services/neighbour/a", an_instance(MOVED)),
    )
    for _ in range(6):
        world.ready(0.0)


STEPS = (
    register, stand_behind, set_what_is_checked, order, vote, lay_a_route, probe, name_hosts, move,
)  # fmt: skip


def mend(world: Watched) -> None:
    """All that is hostile is another."""
    world.hear("/services", world.data("/services/hostile/c", an_instance("10.66.6.7")), registry="r2")
    world.hear(
        "/services",
        world.data("/services/hostile/a", an_instance("10.66.6.8")),
        world.data("/services/hostile/b", an_instance("10.66.6.9")),
        world.data("/services/hostile", "{}"),
    )
    for root, data in ((HEALTH, "{}"), (SERVERS, "{}"), (OVERRIDES, "")):
        world.hear(root, world.data(f"{root}/hostile", data))
    world.hear(OVERRIDES, world.data(f"{OVERRIDES}/hostile/a", '{"weight": 9}'))
    world.hear(TOPOLOGY, world.data(TOPOLOGY, json.dumps({"10.66.0.0/16": "other"})))
    world.now += 5
    world.rest()


@cache
def breaker() -> Breaker:
    return Breaker(*PACKAGES)


@cache
def places() -> tuple[str, ...]:
    """All that is given the hostile one alone, on the way through."""
    world = a_world()
    with breaker().watching(mentions) as found:
        for step in STEPS:
            step(world)
    return tuple(sorted(found))


def short(place: str) -> str:
    """`module.Class.name`, without the rooms above."""
    parts = place.split(".")
    module = next(n for n, part in enumerate(parts) if part[0].isupper() or n == len(parts) - 1) - 1
    return ".".join(parts[module:])


def is_of_hostile(path: str) -> bool:
    return "hostile" in path or "10.66." in path


def suffers_alone(place: str) -> None:
    world = a_world()
    faults = world.pipeline.wall.errors
    with breaker().breaking(place, mentions) as met:
        for step in STEPS:
            step(world)
    assert met, "the place is met again"
    assert MOVED in world.addresses("neighbour"), "its neighbour is answered as it changes"
    assert any(map(is_of_hostile, world.blamed)), "it is named"
    assert all(map(is_of_hostile, world.blamed)), f"and nobody else: {world.blamed}"
    assert world.pipeline.wall.errors > faults, "it is counted"
    mend(world)
    assert sorted(world.addresses("hostile")) == ["10.66.6.8", "10.66.6.9"], "it is tried again"
    assert not [p for p in world.pipeline.problems if p.ours], "and forgiven"


PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
def test_wherever_one_item_breaks_us_it_suffers_alone_is_named_counted_and_tried_again(part: int) -> None:
    every = [place for place in places() if short(place) not in WALLS | LEDGERS][part::PARTS]
    assert len(every) > 200 // PARTS
    wrong = []
    for place in some(every):
        try:
            suffers_alone(place)
        except (AssertionError, Planted) as error:
            wrong.append(f"{place}: {error!r:.300}")
    assert not wrong, "\n".join(wrong)


def test_what_is_left_out_is_met_on_the_way() -> None:
    assert {short(place) for place in places()} >= WALLS | LEDGERS


@contextmanager
def unwalled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from zkdns.wall import Around

    with monkeypatch.context() as patch:
        patch.setattr(Around, "__exit__", lambda *ignored: False)
        yield


def test_without_the_walls_it_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    place = next(place for place in places() if short(place) == "views.Views._view")
    with unwalled(monkeypatch), pytest.raises(Planted):
        suffers_alone(place)

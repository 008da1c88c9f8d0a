"""Every function that makes, judges or spells a service is broken for one instance of it: those beside it in
the service, and in the routes that lead there, are answered as they change.

`test_every_wall` has the same of services beside one another. Which functions there are comes from a run.
"""

from __future__ import annotations

import json
from functools import cache

import pytest

from pipeline.test_every_wall import Watched, an_instance, short
from support.breaking import Breaker, Planted
from support.examples import some
from support.stepping import settings_of
from zkdns.answers.table import Table
from zkdns.dns import names
from zkdns.dns.types import A
from zkdns.model import Begin, Children, Session, Whole
from zkdns.pipeline.inputs import Ready
from zkdns.roots import OVERRIDES, TOPOLOGY

PACKAGES = (
    "zkdns.answers", "zkdns.health.guard", "zkdns.health.judge", "zkdns.registry.distinct",
    "zkdns.registry.format_reader", "zkdns.registry.merge",
)  # fmt: skip

LEFT_OUT = (
    "builder.Builder._carry_on", "builder.Builder._replace_holders", "builder.Builder.replace",
    "first_places.FirstPlaceCounts.close", "holders.", "leftovers.", "precedence.", "table.",
    "service.ServiceAnswers.", "service.readdressed", "builder.Builder.set_topology",
)  # fmt: skip
"""The map of networks, which is no instance's, and what puts answers in the place of others and looks at no
instance: where that fails, the service stands as it did."""

RICH = {"ports": {"p": 81}, "tags": ["t", "x"], "zone": "z", "meta": {"word": "1"}}
BAD = {"ports": {"hostile-p": 81}, "tags": ["hostile-t", "x"], "zone": "y", "meta": {"hostile": "1"}}


def mentions(arguments: object) -> bool:
    text = repr(arguments)
    return ("hostile" in text or "10.66." in text) and "10.77." not in text


class Answering(Watched):
    table: Table | None = None

    def ready(self, budget: float = float("inf")) -> Ready:
        ready: Ready = super().ready(budget)
        if self.table is None:
            self.table = Table(ready.delta)
        else:
            self.table.apply(ready.delta)
        return ready

    def given(self, name: str) -> set[str]:
        assert self.table is not None
        entry = self.table.entries.get(names.wire(f"{name}.svc.local") + A.to_bytes(2, "big"))
        records = [record for tier in (entry.tiers if entry is not None else ()) for record in tier.records]
        return {".".join(map(str, record[-4:])) for record in records}

    def tell(self, at: int, registry: str) -> None:
        """All that is registered there; `at` says where it stands."""
        own = {
            "aside": {"a": an_instance(f"10.77.{at}.1")},
            "front": {"own": an_instance(f"10.50.{at}.1")},
            "mixed": {
                "good": an_instance(f"10.55.{at}.1", **RICH),
                "hostile": an_instance(f"10.66.{at}.1", weight=3, **BAD),
                "other": an_instance(f"10.55.{at}.2", weight=2),
            },
            "plain": {"a": an_instance(f"10.56.{at}.1", **RICH)},
            "shared": {"a": an_instance(f"10.57.{at}.1", **RICH)},
        }
        others = {
            "shared": {"d": an_instance(f"10.57.{at}.3"), "hostile": an_instance(f"10.66.{at}.2", **BAD)}
        }
        services = own if registry == "r1" else others
        self.list("/services", services, registry)
        for name, held in services.items():
            listed = Children(f"/services/{name}", tuple(held), next(self.zxid))
            told = [self.data(f"/services/{name}/{id}", data) for id, data in held.items()]
            self.hear("/services", listed, *told, registry=registry)
        self.rest()

    def lay(self, **shares: int) -> None:
        self.list(OVERRIDES, ("aside", "front"))
        self.hear(OVERRIDES, self.data(f"{OVERRIDES}/front", json.dumps({"to": [shares, {"shared@r2": 1}]})))
        self.rest()

    def play(self) -> None:
        self.tell(1, "r1")
        self.tell(1, "r2")
        self.hear(TOPOLOGY, self.data(TOPOLOGY, json.dumps({"10.66.0.0/16": "y", "10.55.0.0/16": "z"})))
        for settings in ('{"near": "prefer"}', "{}"):
            self.hear("/services", *[self.data(f"/services/{n}", settings) for n in ("mixed", "shared")])
            self.rest()
        self.lay(mixed=50, plain=50)
        self.tell(7, "r1")
        self.tell(7, "r2")


def a_world() -> Answering:
    world = Answering(settings_of("zk://h/services", "zk://other/services", failover=("r2",)))
    world.hear("/services", Begin(), Whole(), Session(True), registry="r2")
    world.settle()
    return world


@cache
def breaker() -> Breaker:
    return Breaker(*PACKAGES)


@cache
def places() -> tuple[str, ...]:
    world = a_world()
    with breaker().watching(mentions) as found:
        world.play()
    assert world.given("front") == {"10.55.7.1", "10.55.7.2", "10.56.7.1", "10.66.7.1"}
    return tuple(sorted(place for place in found if not short(place).startswith(LEFT_OUT)))


def suffers_alone(place: str) -> None:
    world = a_world()
    faults = world.pipeline.wall.errors
    with breaker().breaking(place, mentions) as met:
        world.play()
    assert met
    assert world.given("aside") == {"10.77.7.1"}
    assert world.given("mixed") >= {"10.55.7.1", "10.55.7.2"}, "beside it in the service"
    assert world.given("shared") == {"10.57.7.1"}, "beside what another registry alone holds"
    assert world.given("front") & {"10.50.7.1", "10.56.7.1"}, "beside it in the route, or what is its own"
    of_it = ("hostile", "mixed", "shared", "front")
    assert any(name in path for path in world.blamed for name in of_it), "it is named"
    assert world.pipeline.wall.errors > faults
    world.tell(8, "r1")
    world.tell(8, "r2")
    world.hear(TOPOLOGY, world.data(TOPOLOGY, json.dumps({"10.66.0.0/16": "other"})))
    world.lay(mixed=50, plain=51)
    assert world.given("front") == {"10.55.8.1", "10.55.8.2", "10.56.8.1", "10.66.8.1"}, "it is tried again"
    assert not [p for p in world.pipeline.problems if p.ours], "and forgiven"


PARTS = 3


@pytest.mark.parametrize("part", range(PARTS))
def test_wherever_one_instance_breaks_us_those_beside_it_are_answered_as_they_change(part: int) -> None:
    every = places()[part::PARTS]
    assert len(every) > 100 // PARTS
    wrong = []
    for place in some(every):
        try:
            suffers_alone(place)
        except (AssertionError, Planted) as error:
            wrong.append(f"{place}: {error!r:.300}")
    assert not wrong, "\n".join(wrong)

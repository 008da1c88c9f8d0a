"""Services of thousands of instances: what is handed on of them takes steps, none of which grows with them,
and a change of one costs that one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from support.stepping import World, an_address, settings_of
from support.steps import longest, steps
from zkdns import steps as pauses
from zkdns.model import Begin, Children, Event, Session, Whole
from zkdns.pipeline.inputs import HostResolved
from zkdns.registry import meeting

SLICE, GLANCES = 8, 16
FEW, MANY = 4 * GLANCES, 16 * GLANCES
SLACK = 2
"""Four times as many would take four times as much."""


@pytest.fixture(autouse=True)
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is so of these is so of thirty times as many."""
    monkeypatch.setattr(pauses, "SLICE", SLICE)
    monkeypatch.setattr(pauses, "GLANCES", GLANCES)
    monkeypatch.setattr(meeting, "SLICE", SLICE)


class Large:
    """One service of so many instances, in each of these registries."""

    def __init__(self, number: int, one: Callable[[int], str], *registries: str, **others: object) -> None:
        self.world = world = World(settings_of(*registries, **others), replica=None)
        self.registries = tuple(world.pipeline.registries)
        for name in self.registries[1:]:
            world.hear("/services", Begin(), Whole(), Session(True), registry=name)
        self.ids = [f"i.{n:05}" for n in range(number)]
        self.one = one
        for name in self.registries:
            world.hear("/services", *self.told(self.ids), registry=name)
        world.rest()
        for n, host in enumerate([*world.pipeline._hostnames.outside]):
            world.pipeline.step(HostResolved(host, (f"10.1.{n >> 8}.{n & 255}",)), world.now)
        world.rest()
        assert len(world.addresses("web")) == number

    def told(self, ids: list[str]) -> Iterator[Event]:
        yield Children("/services", ("web",), next(self.world.zxid))
        yield Children("/services/web", tuple(ids), next(self.world.zxid))
        for n, id in enumerate(ids):
            yield self.world.data(f"/services/web/{id}", self.one(n))

    def hand_on(self, *events: Event) -> Iterator[None]:
        """What is left to do once the last registry has told this."""
        world, last = self.world, self.registries[-1]
        world.hear("/services", *events, registry=last)
        world.pipeline._hearing.work(world.now, float("inf"))
        world.pipeline.registries[last].show(1, lambda: False)
        return world.pipeline._gathering._take(world.now)


def a_host(n: int) -> str:
    return json.dumps({"address": f"h{n}.example.org", "port": 80})


KINDS: dict[str, Callable[[int], Large]] = {
    "one registry": lambda number: Large(number, an_address, "zk://h/services"),
    "two registries": lambda number: Large(number, an_address, "zk://h/services", "zk://i/services"),
    "one behind": lambda number: Large(
        number, an_address, "zk://h/services", "zk://i/services", failover=("r2",)
    ),
    "host names": lambda number: Large(number, a_host, "zk://h/services"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_step_of_what_is_handed_on_grows_with_the_instances_that_change(kind: str) -> None:
    def lines(number: int) -> int:
        large = KINDS[kind](number)
        half = Children("/services/web", tuple(large.ids[::2]), next(large.world.zxid))
        return max(longest(large.hand_on(half)), longest(large.hand_on(*large.told(large.ids))))

    assert lines(MANY) < SLACK * lines(FEW)


@pytest.mark.parametrize("kind", ["one registry", "two registries"])
def test_a_change_of_one_of_many_instances_is_handed_on_at_the_same_cost_as_one_of_few(kind: str) -> None:
    def lines(number: int) -> int:
        large = KINDS[kind](number)
        world = large.world
        events = [world.data(f"/services/web/{large.ids[n]}", an_address(9000 + n)) for n in (1, 2)]
        for event in events[:1]:
            list(large.hand_on(event))
        rest = large.hand_on(*events[1:])
        return steps(lambda: list(rest))

    assert lines(MANY) < SLACK * lines(FEW)

"""What stands under /zkdns is taken at a pace: what comes in between waits, and is taken all the same."""

from __future__ import annotations

import pytest

from support.stepping import World, an_address
from zkdns.health.ballots import MAX_REPLICAS
from zkdns.model import Begin, Children, Session, Whole
from zkdns.pipeline.agenda import PACE
from zkdns.pipeline.inputs import ClockSet
from zkdns.roots import HEALTH, OVERRIDES, SERVERS

COST = 0.02
"""Seconds that it takes to take what operators order."""


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A service of two; its clock goes on while an order is taken, and at no other time."""
    world = World()
    world.settle()
    world.publish("web", a=an_address(1), b=an_address(2))
    clock, gathering = [0.0], world.pipeline._gathering
    real = gathering.override

    def override() -> None:
        clock[0] += COST
        real()

    monkeypatch.setattr(world.pipeline._own_roots, "_override", override)
    world.pipeline._tick = lambda: clock[0]
    return world


def order(world: World, *ids: str) -> None:
    world.hear(OVERRIDES, Children(OVERRIDES, ("web",), next(world.zxid)))
    world.hear(OVERRIDES, Children(f"{OVERRIDES}/web", ids, next(world.zxid)))
    for id in ids:
        world.hear(OVERRIDES, world.data(f"{OVERRIDES}/web/{id}", '{"drain": true}'))


def test_what_is_told_again_at_once_waits_ten_times_what_the_first_took_and_is_taken_then(
    world: World,
) -> None:
    order(world, "a")
    world.rest()
    assert world.states() == {"a": "drained", "b": "healthy"}
    order(world, "a", "b")
    world.rest()
    assert world.states() == {"a": "drained", "b": "healthy"}, "it waits"
    due = world.now + PACE * COST
    assert world.readies[-1].wake == pytest.approx(due)
    assert not world.pipeline.idle
    world.now = due + 0.001
    world.rest()
    assert world.states() == {"a": "drained", "b": "drained"}
    assert world.pipeline.idle


def test_where_the_clock_is_set_what_waits_is_taken(world: World) -> None:
    order(world, "a")
    world.rest()
    order(world, "a", "b")
    world.rest()
    world.now -= 3600
    world.pipeline.step(ClockSet(-3600.0), world.now)
    world.rest()
    assert world.states() == {"a": "drained", "b": "drained"}


def test_who_is_out_of_reach_has_its_ballots_doubted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[float] = []
    monkeypatch.setattr(world.pipeline._own_nodes, "lose", lambda own, now: lost.append(now))
    world.hear("/services", Session(True))
    assert lost == []
    world.hear("/services", Session(False))
    assert lost == [world.now]


def test_of_more_replicas_than_are_read_those_that_came_first_are(world: World) -> None:
    ids = [f"r{MAX_REPLICAS - n:03}" for n in range(MAX_REPLICAS + 1)]
    for root in (SERVERS, HEALTH):
        world.hear(root, Begin(), Children(root, tuple(ids), next(world.zxid)))
        world.hear(root, *(world.data(f"{root}/{id}", "{}") for id in ids), Whole())
    world.settle()
    voters = world.pipeline._health._ballots.voters
    assert (len(voters), ids[-1] in voters, ids[0] in voters) == (MAX_REPLICAS + 1, False, True)

"""Somebody sets the clock, forward or back, by hours: what is waited for ends when it would have ended, and
what people gave an end goes by the clock as it stands then."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count

import pytest

from support.stepping import CHECK, NOW, ROOTS, World, an_address, settings_of
from zkdns.model import Begin, Children, Data, Session, Stat, Whole
from zkdns.pipeline.inputs import ClockSet
from zkdns.pipeline.wall_clock import Look, WallClock
from zkdns.roots import HEALTH, OVERRIDES, SERVERS
from zkdns.steps import SLICE

HOURS = 3 * 3600.0
SET = [HOURS, -HOURS]


class Clocked(World):
    """A world whose clock is set by `by` at the step `at`; what is seen of it is by the clock that is not."""

    def __init__(self, at: int, by: float, **settings: object) -> None:
        seconds = count()
        super().__init__(settings_of(**settings), tick=lambda: next(seconds) / 1e5)
        self.at, self.by = at, by
        self.seen: list[object] = []

    def tick(self) -> None:
        """A second goes by."""
        if self.at == len(self.seen):
            self.now += self.by
            self.pipeline.step(ClockSet(self.by), self.now)
        self.rest()
        states = {name: self.states(name) for name in self.pipeline.services}
        stale = self.pipeline.registries.stale_seconds(self.now), self.pipeline.staleness
        wakes = [ready.wake is not None and ready.wake - self.now for ready in self.readies]
        written = [path for ready in self.readies for path in ready.write]
        self.readies.clear()
        self.seen.append((states, stale, written, wakes[-1]))
        self.now += 1

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.tick()


def live(world: Clocked) -> None:
    """All that waits for a time of its own: `hold`, `grace`, a registry's age, verdicts, our node."""
    held = {f"i{n}": an_address(n) for n in range(4)}
    world.register("held", **held)
    world.hear("/services", Data("/services/held", b'{"hold": 4}', Stat(1, 1, NOW, True)))
    world.register("web", a=an_address(8), b=an_address(9))
    world.hear("/services", Data("/services/web", CHECK.encode(), Stat(2, 2, NOW, True)))
    world.run(1)
    for id in "ab":
        world.probe(id, True)
    world.run(1)
    for _ in range(3):
        world.probe("a", False)
    world.run(1)
    world.register("held", i0=held["i0"])
    world.run(6)
    for root in ROOTS:
        world.hear(root, Session(False))
    world.run(4)
    for root in ROOTS:
        world.hear(root, Begin())
    lists = ("/services", ("held", "web")), ("/services/held", ()), ("/services/web", ("b",))
    world.hear("/services", *(Children(path, names, 9) for path, names in lists))
    world.hear("/services", world.data("/services/web/b", an_address(9)))
    for root in ROOTS:
        world.hear(root, Whole(), Session(True))
    world.run(8)


def lived(at: int, by: float) -> list[object]:
    world = Clocked(at, by, grace=5.0, stale_max=3.0)
    live(world)
    return world.seen


def test_whenever_the_clock_is_set_all_that_is_waited_for_ends_as_if_it_was_not() -> None:
    plain = lived(-1, 0.0)
    states = [one[0].get("held", {}) for one in plain]  # type: ignore[index]
    assert {"i0": "healthy", "i1": "suspect", "i2": "suspect", "i3": "suspect"} in states
    assert states[-1] == {}
    for at in range(len(plain)):
        by = HOURS if at % 2 else -HOURS
        assert lived(at, by) == plain, f"set by {by} at the step {at}"


def doubting() -> World:
    """The ensemble was away: what other replicas said before is doubted for a while."""
    world = World()
    world.rest()
    for root in ROOTS:
        world.hear(root, Session(False))
    world.rest()
    for root in ROOTS:
        world.hear(root, Begin(), Whole(), Session(True))
    world.rest()
    return world


def sharing() -> World:
    """Four other replicas are to probe, and say nothing of it."""
    world = World()
    others = [f"y{n}" for n in range(5)]
    for root in (SERVERS, HEALTH):
        world.hear(root, Children(root, tuple(others), next(world.zxid)))
        for other in others:
            world.hear(root, world.data(f"{root}/{other}", "{}"))
    world.rest()
    world.register("web", **{f"i{n}": an_address(n) for n in range(20)})
    world.hear("/services", Data("/services/web", CHECK.encode(), Stat(2, 2, NOW, True)))
    world.rest()
    return world


def starting() -> World:
    """No registry tells anything."""
    return World(is_read=False)


def settling(address: str = "db.example.com") -> World:
    """A host name is waited for."""
    world = World(is_read=False)
    for root in ROOTS:
        world.hear(root, Begin())
    world.register("web", a=json.dumps({"address": address, "port": 80}))
    world.hear("/services", Data("/services/web", CHECK.encode(), Stat(2, 2, NOW, True)))
    for root in ROOTS:
        world.hear(root, Whole(), Session(True))
    world.rest()
    return world


def probing() -> World:
    """The first probe is."""
    return settling("10.0.0.1")


@pytest.mark.parametrize("by", SET)
@pytest.mark.parametrize("begin", [doubting, sharing, starting, settling, probing])
def test_what_waits_for_a_time_of_its_own_is_due_then(begin: Callable[[], World], by: float) -> None:
    world = begin()
    pipeline = world.pipeline

    def waits() -> list[float | None]:
        due = pipeline._health.wake, *pipeline._start.wakes(world.now)
        return [at and round(at - world.now, 3) for at in due]

    before = waits()
    assert any(before)
    world.now += by
    pipeline.step(ClockSet(by), world.now)
    assert waits() == before


def test_an_end_that_somebody_gave_goes_by_the_clock_as_it_stands() -> None:
    world = World()
    world.publish("web", a=an_address(1), b=an_address(2))
    world.hear(OVERRIDES, Children(OVERRIDES, ("web",), next(world.zxid)))
    world.hear(OVERRIDES, Children(f"{OVERRIDES}/web", ("a",), next(world.zxid)))
    data = json.dumps({"drain": True, "until": NOW + 60})
    world.hear(OVERRIDES, world.data(f"{OVERRIDES}/web/a", data))
    world.rest()
    for by, state in ((HOURS, "healthy"), (-HOURS, "drained"), (60.0, "healthy")):
        world.now += by
        world.pipeline.step(ClockSet(by), world.now)
        world.rest()
        assert world.states()["a"] == state, by


@pytest.mark.parametrize("by", SET)
def test_what_operators_order_after_it_counts_at_once(by: float) -> None:
    world = World()
    world.publish("web", a=an_address(1), b=an_address(2))
    world.hear(OVERRIDES, Children(OVERRIDES, ("web",), next(world.zxid)))
    world.rest()
    world.now += by
    world.pipeline.step(ClockSet(by), world.now)
    world.rest()
    world.hear(OVERRIDES, Children(f"{OVERRIDES}/web", ("a",), next(world.zxid)))
    world.hear(OVERRIDES, world.data(f"{OVERRIDES}/web/a", json.dumps({"drain": True})))
    world.rest()
    assert world.states()["a"] == "drained"


def test_how_far_the_clock_was_set_is_what_another_does_not_tell() -> None:
    times = {"wall": NOW, "steady": 5.0}
    clock = WallClock(lambda: times["wall"], lambda: times["steady"])

    def later(wall: float, steady: float) -> Look:
        times["wall"] += wall
        times["steady"] += steady
        return clock.look()

    assert later(0, 0) == (NOW, 0)
    assert later(60, 60) == (NOW + 60, 0)
    assert later(60.03, 60) == (NOW + 120.03, 0), "that is how NTP keeps it"
    assert later(-HOURS, 1) == (pytest.approx(NOW + 120.03 - HOURS), pytest.approx(-HOURS - 1))
    assert later(HOURS + 1, 1).by == pytest.approx(HOURS)
    assert later(1, 1).by == 0


def test_a_machine_that_was_elsewhere_between_two_looks_is_no_clock_that_was_set() -> None:
    """Else all services are judged anew, on a machine that is busy as it is."""
    steady = iter([0.0, 0.0, 1.0, 4.0, 5.0, 5.0, 6.0, 6.0])
    wall = iter([NOW, NOW + 1, NOW + 5, NOW + 6 + HOURS])
    clock = WallClock(lambda: next(wall), lambda: next(steady))
    assert [clock.look().by for _ in range(4)] == [0.0, 0.0, 0.0, HOURS]


def test_a_service_of_thousands_that_is_judged_in_part_is_begun_anew_by_the_clock_as_it_stands() -> None:
    world, looks = World(), count()
    world.settle()
    many = {f"i{n}": an_address(n) for n in range(4 * SLICE)}
    world.publish("web", **many)
    world.pipeline._tick = world.pipeline._publisher._tick = lambda: float(next(looks))
    world.hear("/services", world.data("/services/web", CHECK))
    while not world.pipeline._publisher._begun:
        world.ready(0.0)
    world.readies.clear()
    world.now -= HOURS
    world.pipeline.step(ClockSet(-HOURS), world.now)
    world.rest(0.0)
    changes = [change for ready in world.readies for change in ready.changes]
    assert len(changes) >= len(many)
    assert {change.at for change in changes} == {world.now}


@pytest.mark.parametrize("by", SET)
def test_what_goes_at_once_with_its_session_does_so_though_the_clock_is_set_meanwhile(by: float) -> None:
    world = World()
    world.settle()
    world.register("web")
    world.register("db")
    stat = Stat(1, 1, NOW, True, owner=0x55)
    for name in ("web", "db"):
        world.hear("/services", Children(f"/services/{name}", ("a",), next(world.zxid)))
        world.hear("/services", Data(f"/services/{name}/a", an_address(1).encode(), stat))
    world.rest()
    world.publish("web")
    world.now += by
    world.pipeline.step(ClockSet(by), world.now)
    world.readies.clear()
    world.publish("db")
    (told,) = [change for ready in world.readies for change in ready.changes if change.id]
    assert told.why == "its session ended: all 2 nodes of it went at once"

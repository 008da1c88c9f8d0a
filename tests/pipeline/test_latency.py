"""How late each change is in force: by its own time, whatever else is compiled meanwhile."""

from __future__ import annotations

import json
from itertools import count

import pytest
from msgspec.structs import replace

from support.stepping import NOW, ROOTS, World, an_address, settings_of
from zkdns.answers.routed import view_key
from zkdns.arrivals import Arrivals
from zkdns.model import Begin, Children, Data, Event, Session, Stat, Whole
from zkdns.pipeline.compiler import LARGE
from zkdns.pipeline.inputs import Compilation
from zkdns.registry.service_tree import SOME
from zkdns.roots import OVERRIDES

MANY = LARGE + 10


class Timed:
    """A world whose watch events come at times. `served`: when those came that are in force, in order."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.served: list[float] = []
        self.aside: list[Compilation] = []

    def hear(self, at: float, *events: Event, registry: str = "r1", root: str = "/services") -> None:
        told = [replace(event, told_at=at) for event in events]  # type: ignore[type-var]
        self.world.hear(root, *told, registry=registry)

    def write(self, at: float, path: str, data: str) -> None:
        self.hear(at, self.world.data(path, data))

    def rest(self, budget: float = float("inf")) -> list[float]:
        """Until nothing is left to do; when those came that are in force by that."""
        count = len(self.served)
        for _ in range(1000):
            ready = self.world.ready(budget)
            self.served += ready.served
            self.aside += ready.compile
            if not ready.more:
                return self.served[count:]
        raise AssertionError("there is always more")

    def end_aside(self) -> list[float]:
        """What is compiled aside is done."""
        for work in self.aside[: len(self.aside)]:
            self.aside.remove(work)
            self.world.pipeline.step(work.work(), self.world.now)
        return self.rest()


def timed(**options: object) -> Timed:
    """One that has `web` with two instances and `db` with one."""
    world = World(**options)  # type: ignore[arg-type]
    one = Timed(world)
    world.register("web", a=an_address(1), b=an_address(2))
    world.register("db", a=an_address(3))
    assert one.rest() == [], "what no watch event told is not counted"
    return one


def test_each_change_is_told_once_by_when_it_came() -> None:
    there = timed()
    there.write(5.0, "/services/web/a", an_address(4))
    there.write(7.0, "/services/db/a", an_address(5))
    assert sorted(there.rest()) == [5.0, 7.0]
    assert there.rest() == []


def test_what_one_transaction_makes_of_a_service_is_told_once_and_by_its_first_word() -> None:
    there = timed()
    told = there.world.data("/services/web/a", an_address(4))
    there.hear(8.0, told)
    there.hear(5.0, replace(told, path="/services/web/b"))
    gone = next(there.world.zxid)
    there.hear(9.0, Children("/services/web", (), gone), Children("/services/db", (), gone))
    assert sorted(there.rest()) == [5.0, 9.0, 9.0], "of each service that one makes another it is told"


def test_a_change_that_moves_no_answer_is_told_when_that_is_known_and_one_that_says_nothing_new_is_not() -> (
    None
):
    there = timed()
    there.write(5.0, "/services/web/a", json.dumps({"address": "10.0.0.1", "port": 80, "meta": {"v": "2"}}))
    assert there.rest() == [5.0]
    there.write(6.0, "/services/web/a", json.dumps({"meta": {"v": "2"}, "port": 80, "address": "10.0.0.1"}))
    assert there.rest() == []


def test_a_node_that_went_before_it_was_read_moves_nothing_and_that_is_told() -> None:
    there = timed()
    there.hear(5.0, Children("/services/web", ("a", "b", "c"), next(there.world.zxid)))
    assert there.rest() == []
    there.hear(6.0, Children("/services/web", ("a", "b"), next(there.world.zxid)))
    assert there.rest() == [6.0]


def test_of_many_that_move_nothing_each_is_told_as_well() -> None:
    there = timed()
    paths, looks = [f"/services/s{n}" for n in range(SOME)], count()
    for path in paths:
        there.world.register(path.rpartition("/")[2], a=an_address(1))
    there.rest()
    there.hear(5.0, *(Children(path, ("a", "b"), next(there.world.zxid)) for path in paths))
    assert there.rest() == []
    there.hear(6.0, *(Children(path, ("a",), next(there.world.zxid)) for path in paths))
    there.world.pipeline._tick = lambda: float(next(looks))
    assert there.rest(0.0) == [6.0] * len(paths)


def test_what_is_read_anew_is_told_of_by_no_watch_event() -> None:
    there = timed()
    events = there.world.told("web", a=an_address(9))
    there.world.hear("/services", Session(False), Begin(), *events, Whole(), Session(True))
    assert there.rest() == []


def a_storm() -> Timed:
    """At a service of thousands, which is compiled aside: each change overtakes the one before."""
    there = timed(threads=True)
    there.world.register("large", **{f"i{n}": an_address(n) for n in range(MANY)})
    there.rest()
    there.end_aside()
    assert not there.aside
    return there


def test_while_one_service_is_always_compiled_the_others_changes_are_told_by_their_own_time() -> None:
    there = a_storm()
    for turn in range(20):
        at = 10.0 + turn
        there.write(at, f"/services/large/i{turn}", an_address(3000 + turn))
        there.write(at + 0.5, "/services/web/a", an_address(4000 + turn))
        assert there.rest() == [at + 0.5]
        assert not there.world.pipeline.idle


def test_a_change_that_comes_while_its_service_is_compiled_is_told_with_the_next_compilation() -> None:
    there = a_storm()
    told: list[float] = []
    for turn in range(5):
        there.write(10.0 + turn, f"/services/large/i{turn}", an_address(3000 + turn))
        assert there.rest() == []
        there.write(10.5 + turn, f"/services/large/i{turn + 50}", an_address(4000 + turn))
        assert there.rest() == []
        told += there.end_aside()
    told += there.end_aside()
    assert sorted(told) == [10.0 + n / 2 for n in range(10)], "each once"
    assert there.world.pipeline.idle
    assert told[0] == 10.0, "the first compilation knew nothing of the second change"


def test_of_many_services_that_change_each_is_told_in_the_turn_that_puts_it_in_force() -> None:
    clock = [0.0]

    def tick() -> float:
        clock[0] += 0.001
        return clock[0]

    there = timed(tick=tick)
    names = [f"s{n}" for n in range(50)]
    for n, name in enumerate(names):
        there.world.register(name, a=an_address(n))
    there.rest()
    for n, name in enumerate(names):
        there.write(10.0 + n, f"/services/{name}/a", an_address(500 + n))
    turns: list[tuple[float, ...]] = []
    while not there.world.pipeline.idle:
        ready = there.world.ready(budget=0.0005)
        moved = {name for name in names if name in ready.delta.services}
        assert {10.0 + names.index(name) for name in moved} == set(ready.served)
        turns.append(ready.served)
    assert sum(map(len, turns)) == 50
    assert max(map(len, turns)) < 50, "they took several turns"


def test_what_operators_order_is_told_by_when_it_came() -> None:
    there = timed()
    drained = replace(there.world.data(f"{OVERRIDES}/web/a", '{"drain": true}'), told_at=5.0)
    lists = [Children(OVERRIDES, ("web",), 1), Children(f"{OVERRIDES}/web", ("a",), 1)]
    there.world.hear(OVERRIDES, *lists, drained)
    assert there.rest() == [5.0]
    assert there.world.states()["a"] == "drained"
    there.hear(6.0, Children(f"{OVERRIDES}/web", (), next(there.world.zxid)), root=OVERRIDES)
    assert there.rest() == [6.0]
    order = there.world.data(f"{OVERRIDES}/nope/a", '{"drain": true}')
    lists = [Children(OVERRIDES, ("web", "nope"), 2), Children(f"{OVERRIDES}/nope", ("a",), order.stat.mzxid)]
    there.hear(7.0, *lists, order, root=OVERRIDES)
    assert there.rest() == [7.0], "that it is for nobody who is there is known then"
    there.hear(8.0, Children(OVERRIDES, ("web",), next(there.world.zxid)), root=OVERRIDES)
    assert there.rest() == [8.0], "it went with its list"
    there.hear(9.0, Children(OVERRIDES, ("web", "other"), next(there.world.zxid)), root=OVERRIDES)
    assert there.rest() == [], "that orders nothing"


def test_what_stands_behind_by_failover_is_told_when_its_view_is_in_force() -> None:
    settings = settings_of("zk://one/services", "zk://two/services", failover=("r2",))
    world = World(settings, is_read=False)
    there = Timed(world)
    for registry in ("r1", "r2"):
        for root in ROOTS if registry == "r1" else ("/services",):
            events = [e for name in ("web", "db") for e in world.told(name, a=an_address(1))]
            events = events if root == "/services" else []
            world.hear(root, Begin(), *events, Whole(), Session(True), registry=registry)
    world.now += 10.0
    there.rest()
    assert view_key("web", "r2") in world.pipeline.services
    others = [world.data("/services/db/a", an_address(6)), world.data("/services/web/a", an_address(7))]
    there.hear(5.0, *others, registry="r2")
    looks = count()
    world.pipeline._tick = world.pipeline._publisher._tick = lambda: float(next(looks))
    served: list[float] = []
    while len(served) < 2:
        served += world.ready(0.0).served
        given = [world.pipeline.builder.services[view_key(name, "r2")].service for name in ("db", "web")]
        assert sum(view.instances[0].addresses != ("10.0.0.1",) for view in given) >= len(served)
    assert there.rest() == []
    assert not world.pipeline._latency.due.came


def test_what_a_registry_tells_of_an_instance_that_another_has_is_told_when_that_is_known() -> None:
    world = World(settings_of("zk://one/services", "zk://two/services"), is_read=False)
    there = Timed(world)
    for registry in ("r1", "r2"):
        for root in ROOTS if registry == "r1" else ("/services",):
            events = world.told("web", a=an_address(1)) if root == "/services" else ()
            world.hear(root, Begin(), *events, Whole(), Session(True), registry=registry)
    world.now += 10.0
    there.rest()
    there.hear(5.0, world.data("/services/web/a", an_address(7)), registry="r2")
    assert there.rest() == [5.0]
    assert world.addresses("web") == ["10.0.0.1"], "nothing moves by it"


def test_where_too_many_wait_the_newest_are_left_out() -> None:
    station = Arrivals(most=2)
    station.put("web", {1: 5.0})
    station.put("db", {1: 5.0, 2: 6.0})
    assert {name: dict(came) for name, came in station.came.items()} == {"web": {1: 5.0}, "db": {1: 5.0}}
    station.put("web", {1: 4.0})
    station.put("web", {1: 6.0})
    assert station.take("web") == {1: 4.0}, "what waits already is no more by that"
    station.put("cache", {3: 7.0})
    assert "cache" in station.came
    assert station.take("nobody") == {}


def test_each_transaction_counts_for_itself_whatever_it_wrote() -> None:
    station = Arrivals()
    for zxid, at in ((7, 5.0), (8, 6.0)):
        station.tell("web", Data("/services/web/a", b"", Stat(1, zxid, 0.0, False), told_at=at))
    station.tell("web", Children("/services/web", ("a",), 9, told_at=7.0))
    assert station.take("web") == {7: 5.0, 8: 6.0, 9: 7.0}


@pytest.mark.parametrize("by", [3600.0, -3600.0])
def test_a_clock_that_is_set_changes_nothing_in_what_was_measured(by: float) -> None:
    from zkdns.pipeline.inputs import ClockSet

    there = timed()
    there.write(5.0, "/services/web/a", an_address(4))
    there.world.now = NOW + by
    there.world.pipeline.step(ClockSet(by), there.world.now)
    assert there.rest() == [5.0]

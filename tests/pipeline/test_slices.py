"""Much at once is done in several turns: what a service of thousands tells, and what threads bring."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from support.asking import respond
from support.stepping import CHECK, NOW, ROOTS, World, an_address, settings_of
from support.tables import query
from support.values import a_service, an_instance
from zkdns.answers.holders import MAX_ADDRESSES_IN_A_TURN
from zkdns.answers.service import ServiceAnswers
from zkdns.answers.table import Table
from zkdns.dns import names
from zkdns.dns.types import NOERROR, NXDOMAIN, SERVFAIL
from zkdns.health import judge, targets
from zkdns.model import Begin, Change, Children, Data, Event, Session, Stat, Whole
from zkdns.pipeline import gathering
from zkdns.pipeline.changes import Causes, Moment
from zkdns.pipeline.inputs import Ready
from zkdns.pipeline.telling import SLICE, Telling
from zkdns.registry.override_nodes import Overrides
from zkdns.roots import OVERRIDES
from zkdns.steps import SLICE as STEP
from zkdns.wall import Wall

MANY = 1500


def by_looks(world: World) -> World:
    """Each look at the clock takes a second: what looks often takes turns."""
    looks = count()
    world.pipeline._tick = world.pipeline._publisher._tick = lambda: float(next(looks))
    return world


def work_aside(world: World, ready: Ready) -> None:
    for compilation in ready.compile:
        world.pipeline.step(compilation.work(), world.now)


def changes_by_turn(world: World, budget: float) -> list[tuple[Change, ...]]:
    turns: list[tuple[Change, ...]] = []
    for _ in range(1000):
        ready = world.ready(budget)
        turns.append(ready.changes)
        work_aside(world, ready)
        if not ready.more and not ready.compile:
            return turns
    raise AssertionError("there is always more")


def test_what_a_service_of_thousands_tells_takes_turns_and_is_told_whole() -> None:
    world = by_looks(World(threads=True))
    world.register("web", **{f"i{n:04}": an_address(n) for n in range(MANY)})
    turns = changes_by_turn(world, budget=3.0)
    (told,) = [changes for changes in turns if changes]
    assert [change.id for change in told] == ["", *(f"i{n:04}" for n in range(MANY))]
    assert len(turns) > MANY // SLICE // 4
    assert world.pipeline.idle


def test_thousands_of_whom_nothing_is_to_be_told_take_turns_too() -> None:
    before = a_service(*(an_instance(f"i{n:04}") for n in range(MANY)))
    after = replace(before, instances=tuple(replace(i, zxid=9) for i in before.instances))
    telling, looks, turns = Telling(Causes(), Wall()), count(), 0
    telling.replaced("/web", before, after, Moment(NOW, 9))
    while telling.has_work:
        telling.work(lambda: float(next(looks)), 0.0)
        turns += 1
    assert turns > MANY // SLICE
    assert telling.take() == []


def test_what_changes_meanwhile_is_told_after_it() -> None:
    world = by_looks(World(threads=True))
    world.register("web", **{f"i{n:04}": an_address(n) for n in range(MANY)})
    while not world.pipeline._telling._untold:
        work_aside(world, world.ready(0.0))
    world.hear("/services", world.data("/services/web/i0000", an_address(9999)))
    told = [change for changes in changes_by_turn(world, 3.0) for change in changes]
    assert [change.id for change in told] == ["", *(f"i{n:04}" for n in range(MANY)), "i0000"]
    assert told[-1].was == "10.0.0.0 port 80"


def test_where_dozens_of_services_lose_some_at_once_a_small_one_waits_for_few_of_them() -> None:
    world = World()
    dozens = [f"s{n}" for n in range(40)]
    for name in dozens:
        world.register(name, a=an_address(1), b=an_address(2), c=an_address(3))
    world.publish("small", a=an_address(4))
    gone = [Children(f"/services/{name}", ("a", "b"), next(world.zxid)) for name in dozens]
    world.hear("/services", *gone, world.data("/services/small/a", an_address(5)))
    told = [*dict.fromkeys(change.service for change in world.ready().changes)]
    assert told.index("small") <= 1
    assert {*told} == {"small", *dozens}


def test_what_many_threads_bring_at_once_is_put_in_place_in_turns() -> None:
    world = by_looks(World(settings_of(), threads=True))
    large = {f"i{n:03}": an_address(n) for n in range(501)}
    names = [f"s{n}" for n in range(8)]
    for name in names:
        world.register(name, **large)
    compilations = []
    while len(compilations) < len(names):
        compilations += world.ready(0.0).compile
    for compilation in compilations:
        world.pipeline.step(compilation.work(), world.now)
    placed = []
    while world.ready(0.0).more:
        placed.append(sum(bool(world.addresses(name)) for name in names))
    assert placed == sorted(placed)
    assert len(set(placed)) > len(names) // 2, "a few at a time"
    assert all(world.addresses(name) for name in names)


def test_a_thread_that_compiled_a_large_service_is_the_one_that_prepares_it() -> None:
    prepared: list[ServiceAnswers] = []
    world = World(threads=True, prepare=prepared.append)
    world.register("small", a=an_address(1))
    world.register("web", **{f"i{n:04}": an_address(n) for n in range(MANY)})
    compilations = [compilation for _ in range(3) for compilation in world.ready().compile]
    assert prepared == []
    done = [compilation.work() for compilation in compilations]
    assert [answers.service.name for answers in prepared] == ["web"]
    for one in done:
        world.pipeline.step(one, world.now)
    world.rest()
    assert world.pipeline.builder.services["web"].entries == prepared[0].entries


def test_the_addresses_of_a_large_service_move_in_turns_and_before_it_is_idle() -> None:
    world = by_looks(World(threads=True))
    world.settle()
    number = 3 * MAX_ADDRESSES_IN_A_TURN
    world.register("web", **{f"i{n:04}": an_address(n) for n in range(number)})
    world.readies.clear()
    changes_by_turn(world, 3.0)
    moved = [len(ready.delta.holders) for ready in world.readies]
    assert max(moved) <= MAX_ADDRESSES_IN_A_TURN
    assert sum(moved) == number
    assert world.pipeline.idle
    assert all(ready.more or ready.compile for ready in world.readies[:-1])


@pytest.mark.parametrize(("services", "size"), [(400, 1), (1, 3 * MAX_ADDRESSES_IN_A_TURN)])
def test_what_is_there_at_the_start_is_put_in_force_in_parts_and_says_nothing_before_the_last(
    services: int, size: int
) -> None:
    world, table = by_looks(World(is_read=False, threads=True)), Table()
    for root in ROOTS:
        world.hear(root, Begin())
    for name in (f"s{n}" for n in range(services)):
        world.register(name, **{f"i{n:04}": an_address(n) for n in range(size)})
    for root in ROOTS:
        world.hear(root, Whole(), Session(True))
    asked = [names.wire("s0.svc.local"), names.wire("nope.svc.local"), names.reverse(bytes((10, 0, 0, 0)))]
    parts: list[int] = []
    ready = Ready(more=True)
    while ready.more or ready.compile:
        was_loading = world.pipeline.is_loading
        ready = world.ready(3.0)
        work_aside(world, ready)
        parts.append(len(ready.delta.names) + len(ready.delta.holders))
        table.apply(ready.delta)
        said = [respond(query(name, 12), table) for name in asked]
        rcodes = [reply[3] & 15 for reply in said if isinstance(reply, bytes)]
        if world.pipeline.is_loading:
            assert set(rcodes) == {SERVFAIL}
        elif was_loading:
            assert rcodes == [NOERROR, NXDOMAIN, NOERROR]
    assert not world.pipeline.is_loading
    assert len(table.services) == services
    assert len(table.holders) == size
    assert max(parts) <= max(sum(parts) / 10, MAX_ADDRESSES_IN_A_TURN + 10)


def test_what_is_ordered_is_read_in_parts_at_the_start_and_before_anything_is_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[int] = []
    take = Overrides.take

    def noted(self: Overrides, most: int | None) -> bool:
        standing = len(self._parsed)
        is_more = take(self, most)
        read.append(len(self._parsed) - standing)
        return is_more

    monkeypatch.setattr(Overrides, "take", noted)
    monkeypatch.setattr(gathering, "ORDERS", 4)
    world, services = by_looks(World(is_read=False)), [f"s{n:03}" for n in range(90)]
    told: dict[str, list[Event]] = {root: [] for root in ROOTS}
    told[OVERRIDES].append(Children(OVERRIDES, tuple(services), next(world.zxid)))
    for name in services:
        told["/services"] += world.told(name, a=an_address(1))
        told[OVERRIDES].append(Children(f"{OVERRIDES}/{name}", ("a",), next(world.zxid)))
        told[OVERRIDES].append(world.data(f"{OVERRIDES}/{name}/a", '{"drain": true}'))
    for root in ROOTS:
        world.hear(root, Begin(), *told[root], Whole(), Session(True))
    changes = [change for changes in changes_by_turn(world, 3.0) for change in changes]
    assert sum(read) == len(services)
    assert max(read) <= 4
    assert {change.now for change in changes if change.id} == {"drained"}, "and never anything else"


def test_a_service_of_many_thousands_that_changes_all_the_time_is_judged_all_the_same() -> None:
    world = by_looks(World(threads=True))
    world.settle()
    world.register("web", **{f"i{n:04}": an_address(n) for n in range(MANY)})
    for turn in range(80):
        world.ready(0.0)
        world.hear("/services", world.data("/services/web/i0001", an_address(9000 + turn)))
    assert len(world.pipeline._publisher.registered["web"].instances) == MANY


def test_what_many_thousands_tell_is_begun_in_the_turn_after_they_were_put_in_place() -> None:
    world = by_looks(World())
    world.settle()
    world.register("web", **{f"i{n:04}": an_address(n) for n in range(MANY)})
    turns = []
    for _ in range(1000):
        ready = world.ready(0.0)
        begun = [untold.changes for untold in world.pipeline._telling._untold]
        turns.append((bool(world.addresses("web")), bool(ready.changes) or any(begun)))
        if ready.changes:
            break
    assert (True, False) in turns, "in place, and nothing told yet"
    assert turns[-1] == (True, True), "and told all the same"


@pytest.mark.parametrize(
    ("status", "settings"),
    [("draining", "{}"), ("up", CHECK), ("up", '{"warm": 60}'), ("down", '{"fail_open": true, "hold": 9}')],
)
def test_thousands_of_whom_something_is_to_be_told_are_judged_in_steps_and_others_go_between(
    status: str, settings: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[str] = []
    for owner, name, at in ((judge._Verdicts, "judge", 1), (targets, "_target_of", 0)):
        real = getattr(owner, name)

        def noted(*args: Any, real: Any = real, at: int = at) -> Any:
            looked_at.append(args[at].id)
            return real(*args)

        monkeypatch.setattr(owner, name, noted)
    world = by_looks(World(threads=True))
    world.settle()
    one = f'{{"address": "10.0.0.1", "port": 80, "status": "{status}"}}'
    world.register("many", **{f"i{n:04}": one for n in range(MANY)})
    world.register("web", a=an_address(1))
    changes_by_turn(world, budget=3.0)
    looked_at.clear()
    world.hear("/services", world.data("/services/many", settings))
    world.hear("/services", world.data("/services/many/i0007", one.replace("10.0.0.1", "10.0.0.2")))
    while not world.pipeline._publisher._begun:
        world.ready(0.0)
    world.hear("/services", world.data("/services/web/a", an_address(2)))
    turns, most, waited = 0, 0, 0
    while (ready := world.ready(0.0)).more or ready.compile:
        work_aside(world, ready)
        turns, most = turns + 1, max(most, len(looked_at))
        waited = waited or (turns if "10.0.0.2" in world.addresses("web") else 0)
        looked_at.clear()
    assert turns > MANY // STEP
    assert most <= 2 * STEP
    assert waited <= 4
    assert world.pipeline.services["many"].instances[7].addresses == ("10.0.0.2",)


def test_who_changes_while_it_is_judged_is_judged_again_after_it() -> None:
    world = by_looks(World(threads=True))
    world.settle()
    world.register("many", **{f"i{n:04}": an_address(n) for n in range(MANY)})
    changes_by_turn(world, budget=3.0)
    settings = [f'{{"warm": 60, "ttl": {n}}}' for n in range(1, 9)]
    overtaken = 0
    for one in settings:
        world.hear("/services", world.data("/services/many", one))
        world.pipeline._gathering.work(world.now, lambda: False)
        for _ in range(MANY // STEP // 2):
            work_aside(world, world.ready(0.0))
            overtaken += bool(world.pipeline._publisher._overtaken)
    assert overtaken
    changes_by_turn(world, budget=3.0)
    many = world.pipeline.services["many"]
    assert many.settings.ttl == 8
    assert world.pipeline.idle


def test_a_change_waits_for_no_service_of_thousands_that_is_made_of_its_nodes_meanwhile() -> None:
    """Behind others that are told of the same."""
    world = by_looks(World(threads=True))
    world.settle()
    world.register("many", **{f"i{n:04}": an_address(n) for n in range(MANY)})
    world.register("web", a=an_address(1))
    changes_by_turn(world, budget=3.0)
    made = world.pipeline.catalog.services["many"]
    world.pipeline._hearing._tick = world.pipeline._tick
    for n in range(3):
        world.hear("/services", world.data("/services/many/i0007", an_address(9000 + n)))
        while not n and not world.pipeline.registries["r1"].in_part:
            world.ready(0.0)
    world.hear("/services", world.data("/services/web/a", an_address(2)))
    while world.addresses("web") != ["10.0.0.2"]:
        world.ready(0.0)
    assert world.pipeline.catalog.services["many"] is made
    changes_by_turn(world, budget=3.0)
    assert world.pipeline.services["many"].instances[7].addresses == ("10.0.36.2",)


def test_why_nodes_are_gone_is_told_of_what_their_session_held_in_a_service_of_thousands_too() -> None:
    world = by_looks(World(threads=True))
    world.settle()
    world.register("many", **{f"i{n:04}": an_address(n) for n in range(MANY)})
    stat = Stat(next(world.zxid), next(world.zxid), NOW, True, owner=0x55)
    world.register("web", a=an_address(1))
    for path in ("/services/many/i0007", "/services/web/a"):
        world.hear("/services", Data(path, an_address(2).encode(), stat))
    changes_by_turn(world, budget=3.0)
    left = tuple(f"i{n:04}" for n in range(MANY) if n != 7)
    gone = [
        Children("/services/web", (), next(world.zxid)),
        Children("/services/many", left, next(world.zxid)),
    ]
    world.hear("/services", *gone)
    told = [change for turn in changes_by_turn(world, budget=0.0) for change in turn if change.id]
    assert [change.why for change in told] == ["its session ended: all 2 nodes of it went at once"] * 2


@pytest.mark.parametrize(
    ("instances", "tags", "is_aside"), [(3, 0, False), (30, 0, True), (6, 6, True), (40, 0, True)]
)
def test_a_few_instances_of_ever_other_weights_are_compiled_aside_where_their_cycles_are_long(
    instances: int, tags: int, is_aside: bool
) -> None:
    world = World(threads=True)
    world.settle()
    about = [{"weight": 60_000 - 7 * n, "tags": [f"t{t}" for t in range(tags)]} for n in range(instances)]
    world.register("odd", **{f"i{n}": an_address(n, **one) for n, one in enumerate(about)})
    assert bool(world.ready().compile) is is_aside
    world.register("even", **{f"i{n}": an_address(n, weight=60_000) for n in range(instances)})
    assert not world.ready().compile

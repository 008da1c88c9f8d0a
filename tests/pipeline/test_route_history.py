"""What is told of routes: by each replica in the node's own transaction, and so by all of them once."""

from __future__ import annotations

import json
from typing import Any

from support.stepping import NOW, World, an_address
from zkdns.model import Begin, Change, Children, Data, Stat, Whole
from zkdns.pipeline.journal_merge import TOGETHER, merge
from zkdns.roots import OVERRIDES

NODE = f"{OVERRIDES}/web"
LATE = 20 * TOGETHER
"""Seconds by which a replica hears of a write that was away."""


def replica() -> World:
    world = World()
    world.register("web", a=an_address(1))
    world.register("db", a=an_address(2))
    world.settle()
    return world


def lay(world: World, zxid: int, fields: dict[str, Any] | None) -> None:
    """The override stands there since this transaction, or went with it."""
    names = ("web",) if fields is not None else ()
    world.hear(OVERRIDES, Children(OVERRIDES, names, zxid))
    if fields is not None:
        world.hear(
            OVERRIDES, Data(NODE, json.dumps(fields).encode(), Stat(zxid, zxid, NOW, False, mtime=NOW))
        )
    world.rest()


def wait(world: World, now: float) -> None:
    world.now = now
    world.rest()


def told(world: World) -> list[Change]:
    return [c for ready in world.readies for c in ready.changes if c.what == "route"]


def course(world: World) -> list[str]:
    """What it led to by and by; each line begins where the one before it ended."""
    lines = told(world)
    assert [c.was for c in lines] == ["", *(c.now for c in lines[:-1])]
    return [c.now for c in lines]


def texts(changes: list[Change]) -> list[tuple[str, str, int]]:
    return [(c.was, c.now, c.zxid) for c in changes]


TO_DB = {"to": [{"db": 1}], "who": "me@box"}


def test_a_route_that_replicas_hear_of_minutes_apart_is_told_once_and_so_is_its_end() -> None:
    quick, slow = replica(), replica()
    lay(quick, 0x100000100, TO_DB)
    slow.register("db", a=an_address(3))  # what else it knows of moves its largest transaction
    wait(slow, NOW + LATE)
    slow.hear("/services", slow.data("/services/web/a", an_address(9)))
    lay(slow, 0x100000100, TO_DB)
    wait(quick, NOW + 2 * LATE)
    lay(quick, 0x100000200, None)
    wait(slow, NOW + 3 * LATE)
    lay(slow, 0x100000200, None)
    both = [("", "db", 0x100000100), ("db", "", 0x100000200)]
    assert texts(told(quick)) == texts(told(slow)) == both
    once = merge([told(quick), told(slow)])
    assert texts(once) == both
    assert [c.at for c in once] == [NOW, NOW + 2 * LATE]


def test_a_route_that_a_node_tells_is_told_in_the_transaction_that_wrote_it() -> None:
    worlds = [replica(), replica()]
    for n, world in enumerate(worlds):
        wait(world, NOW + n * LATE)
        stat = Stat(0x100000001, 0x100000300, NOW, True, mtime=NOW)
        world.hear("/services", Data("/services/web", b'{"to": {"db": 1}}', stat))
        world.publish("other", a=an_address(n))
    assert texts(merge([told(world) for world in worlds])) == [("", "db", 0x100000300)]


def test_a_ramp_that_ended_is_told_once_with_the_same_words_and_moment_by_all() -> None:
    ramp = {**TO_DB, "from": [{"web": 1}], "over": 100}
    quick, slow = replica(), replica()
    for world in (quick, slow):
        lay(world, 0x100000100, ramp)
    wait(quick, NOW + 50)
    wait(quick, NOW + 100.3)
    wait(slow, NOW + 109)
    late = replica()
    late.now = NOW + 500
    lay(late, 0x100000100, ramp)  # it ended long before this one began
    for world in (quick, slow, late):
        wait(world, NOW + 1000)
    line = told(quick)[-1]
    assert (line.at, line.zxid, line.was, line.now) == (NOW + 100, 0x100000100, "db over 100 s", "db")
    assert line.why == "the ramp of web ended: now db"
    assert told(slow)[-1] == line
    assert texts(told(late)) == [("", "db", 0x100000100)]
    assert merge([told(quick), told(slow)]) == told(quick)


def test_a_ramp_that_another_route_takes_the_place_of_has_no_end() -> None:
    world = replica()
    lay(world, 0x100000100, {**TO_DB, "from": [{"web": 1}], "over": 100})
    wait(world, NOW + 10)
    lay(world, 0x100000200, {"to": [{"web": 1, "db": 1}]})
    wait(world, NOW + 500)
    lay(world, 0x100000300, None)
    assert course(world) == ["db over 100 s", "web=1 db=1", ""]


def test_a_ramp_that_ended_just_before_another_route_takes_its_place_is_told_all_the_same() -> None:
    world = replica()
    lay(world, 0x100000100, {**TO_DB, "from": [{"web": 1}], "over": 100})
    wait(world, NOW + 99.9)
    world.now = NOW + 100.003
    lay(world, 0x100000200, {"to": [{"web": 1, "db": 1}]})
    assert course(world) == ["db over 100 s", "db", "web=1 db=1"]


def test_each_line_begins_where_the_one_before_it_ended() -> None:
    world = replica()
    lay(world, 0x100000100, {**TO_DB, "from": [{"web": 1}], "over": 100, "until": NOW + 300})
    wait(world, NOW + 150)
    lay(world, 0x100000200, {"to": [{"web": 0}], "until": NOW + 200})
    wait(world, NOW + 201)
    assert course(world) == ["db over 100 s", "db", "web=0", ""]
    assert told(world)[-1].why == "the override's time is over"


def test_an_override_without_a_route_any_more_ends_it_in_its_own_transaction() -> None:
    world = replica()
    lay(world, 0x100000100, TO_DB)
    stat = Stat(0x100000100, 0x100000180, NOW, False, mtime=NOW)
    world.hear(OVERRIDES, Data(NODE, b"", stat))  # overrides of its instances stand below
    world.rest()
    assert texts(told(world))[-1] == ("db", "", 0x100000180)


def test_a_new_reading_tells_of_the_end_in_the_transaction_that_it_lists() -> None:
    world = replica()
    lay(world, 0x100000100, TO_DB)
    world.hear(OVERRIDES, Begin(), Children(OVERRIDES, (), 0x100000200), Whole())
    world.rest()
    assert texts(told(world))[-1] == ("db", "", 0x100000200)


def test_a_route_whose_time_is_over_uncovers_the_one_beneath_it_and_says_so() -> None:
    world = replica()
    lay(world, 11, {**TO_DB, "to": [{"web": 1}], "until": NOW + 10, "under": TO_DB})
    wait(world, NOW + 12)
    first, second = told(world)
    assert (first.now, first.by) == ("web", "me@box")
    assert (second.was, second.now, second.why, second.by) == ("web", "db", "the override's time is over", "")
    lay(world, 12, {**TO_DB, "to": [{"web": 9}]})
    assert told(world)[-1].why == "laid by me@box"

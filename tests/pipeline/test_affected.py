"""Whose names depend on what changed is found some at a time, one walk after another."""

from __future__ import annotations

from collections.abc import Iterator

from support.stepping import World, an_address
from zkdns.model import Children
from zkdns.pipeline.affected import Affected
from zkdns.steps import SLICE
from zkdns.wall import Wall


def walk(prefix: str, parts: int) -> Iterator[set[str]]:
    """Each part is as much as is found at a time."""
    for n in range(parts):
        yield {f"{prefix}{n}-{k}" for k in range(SLICE)}


def test_little_is_found_at_once_and_of_much_some_at_a_time() -> None:
    affected = Affected(Wall())
    affected.find("/small", iter([{"a"}, set(), {"b"}]))
    assert not affected.is_searching
    assert {*affected} == {"a", "b"}
    affected.find("/large", walk("x", 3))
    assert affected.is_searching
    assert len(affected) == 2 + SLICE
    for path in ("/more", "/and more"):
        affected.find(path, walk(path, 2))
        assert len(affected) == 2 + SLICE, "what is told meanwhile waits for its turn"
    turns = 0
    while affected.is_searching:
        before = len(affected)
        affected.search()
        turns += 1
        assert len(affected) - before <= SLICE
    assert len(affected) == 2 + 7 * SLICE
    assert turns > 6
    assert len({affected.take_next() for _ in range(2 + 7 * SLICE)}) == 2 + 7 * SLICE
    assert not affected


def test_walks_that_find_nobody_are_cut_into_parts_as_well() -> None:
    affected = Affected(Wall())
    affected.find("/empty", iter([set[str]()] * (3 * SLICE)))
    turns = 1
    while affected.is_searching:
        affected.search()
        turns += 1
    assert turns >= 3


def test_what_is_told_of_a_target_with_dots_is_so_whoever_comes_and_goes() -> None:
    """It names the label of a service that is called so, and was told of one that had gone."""
    world = World()
    world.publish("web", a=an_address(1))
    world.hear("/services", world.data("/services/web", '{"to": [{"a.b": 1}]}'))
    world.rest()
    told = [[p.what for p in world.pipeline.problems]]
    world.publish("a.b", x=an_address(2))
    told.append([p.what for p in world.pipeline.problems])
    world.names.discard("a.b")
    world.hear("/services", Children("/services", tuple(world.names), next(world.zxid)))
    world.rest()
    told.append([p.what for p in world.pipeline.problems])
    assert "it goes by its label, a-b" in told[1][0]
    assert told[0] == told[2] != told[1]

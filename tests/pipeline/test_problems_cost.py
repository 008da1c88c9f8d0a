"""What is wrong is written out when somebody reads it: a change among thousands of bad nodes copies none."""

from __future__ import annotations

import json

import pytest

from support.stepping import World
from zkdns.model import Children, Problem
from zkdns.problems import Problems, ours_of

BAD = 200


@pytest.fixture
def world() -> World:
    world = World()
    world.settle()
    world.names = {"web", "bad"}
    world.hear("/services", Children("/services", ("bad", "web"), next(world.zxid)))
    ids = tuple(f"i{n:03}" for n in range(BAD))
    world.hear("/services", Children("/services/bad", ids, next(world.zxid)))
    world.hear("/services", Children("/services/web", ("a",), next(world.zxid)))
    for id in ids:
        world.hear("/services", world.data(f"/services/bad/{id}", "{"))
    put(world, "web/a", 1)
    world.pipeline.ready(world.now)
    return world


def put(world: World, node: str, host: int) -> None:
    address = json.dumps({"address": f"10.0.0.{host}"})
    world.hear("/services", world.data(f"/services/{node}", address))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Problems]:
    """The lists that were written out."""
    lists: list[Problems] = []
    real = Problems._read

    def count(self: Problems) -> tuple[Problem, ...]:
        if self._rows is None:
            lists.append(self)
        return real(self)

    monkeypatch.setattr(Problems, "_read", count)
    return lists


def test_a_change_writes_out_no_list_of_problems(world: World, read: list[Problems]) -> None:
    for node in ("web/a", "bad/i007", "web/a"):
        put(world, node, 2)
        world.pipeline.ready(world.now)
        problems = world.pipeline.problems
    assert not read
    assert len(problems) == BAD - 1
    assert read


def test_what_was_taken_is_of_its_own_moment(world: World) -> None:
    before = world.pipeline.problems
    put(world, "bad/i007", 2)
    world.pipeline.ready(world.now)
    assert len(before) == BAD, "though it was not read until now"
    assert [p.path for p in before if p not in world.pipeline.problems] == ["/services/bad/i007"]
    assert before == tuple(before)
    assert before != world.pipeline.problems


def test_errors_of_ours_are_known_without_reading_the_rest() -> None:
    def spell() -> tuple[Problem, ...]:
        raise AssertionError("read")

    ours = Problem("/b", "an error of ours", "", ours=True)
    assert ours_of(Problems(spell, [ours])) == (ours,)
    assert ours_of((Problem("/a", "", ""), ours)) == (ours,)

"""What stands under /zkdns and may not be read: told by its path, since nothing of it counts."""

from __future__ import annotations

import pytest

from support.stepping import OWN, ROOTS, World
from zkdns.model import Begin, Children, Session, Unreadable, Whole
from zkdns.registry.znodes import MAX_REFUSED
from zkdns.roots import TOPOLOGY

WHY = "its ACL does not let us read it"


def told(world: World) -> list[tuple[str, str]]:
    world.rest()
    return [(problem.path, problem.what) for problem in world.pipeline.problems]


@pytest.mark.parametrize("root", OWN)
def test_a_root_that_may_not_be_read_is_a_problem_until_it_may(root: str) -> None:
    world = World(is_read=False)
    for each in ROOTS:
        refused = [Unreadable(each, WHY)] if each == root else []
        world.hear(each, Begin(), *refused, Whole(), Session(True))
    assert told(world) == [(root, f"it can't be read: {WHY}")]
    world.hear(root, world.data(root, ""), Children(root, (), 7))
    assert told(world) == []


@pytest.mark.parametrize("root", [root for root in OWN if root != TOPOLOGY])
def test_a_node_that_may_not_be_read_is_a_problem_until_it_may_or_goes(root: str) -> None:
    world = World()
    world.hear(root, Children(root, ("a", "b"), 7))
    for end in (Children(root, ("b",), 8), Begin()):
        world.hear(root, Unreadable(f"{root}/a", WHY))
        assert told(world) == [(f"{root}/a", f"it can't be read: {WHY}")]
        world.hear(root, end)
        assert told(world) == []
    world.hear(root, *(Unreadable(f"{root}/n{n}", WHY) for n in range(1000)))
    assert len(told(world)) == MAX_REFUSED

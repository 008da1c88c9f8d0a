"""Thousands of small worlds: whatever an ensemble does, the answers are in the end what stands in it."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from simulation import laws
from simulation.schedules import CHANCES, SCHEDULES, draw, play, shorten, sparing, tell
from simulation.world import Step, World
from zkdns.model import State

SHARE = 250
NICE = 5
EVERYBODY = 7
"""All replicas, as bits of their slots."""


def failures(first: int) -> list[str]:
    """What is broken in a share of the schedules; the first failure of it is shortened."""
    with sparing():
        for seed in range(first, first + SHARE):
            steps = draw(seed)
            if play(steps) is not None:
                return [tell(seed, steps)]
    return []


@pytest.mark.timeout(1800)  # a busy machine takes as long as it takes
def test_after_each_quiet_moment_the_answers_are_what_the_tree_says() -> None:
    # All of it is work: it takes the time that tests which wait for processes leave.
    with ProcessPoolExecutor(2, get_context("fork"), os.nice, (NICE,)) as pool:
        found = [text for texts in pool.map(failures, range(0, SCHEDULES, SHARE)) for text in texts]
    assert not found, "\n".join(found[:3])


@pytest.mark.parametrize("is_well", [True, False])
@pytest.mark.parametrize("first", [1, 2, 3])
def test_whose_door_moved_in_an_outage_is_as_it_was_found_whoever_is_back_first(
    first: int, is_well: bool
) -> None:
    """What the others had seen before stands in the ensemble when it is back."""
    ill, now_ill = (EVERYBODY, 0) if is_well else (0, EVERYBODY)
    world = World()
    world.run(
        [
            Step("shape", (0, 3)),
            Step("register", (0, 0, 0, 2)),
            Step("configure", (0, 0, 4)),
            Step("sicken", (0, 0, 0, ill)),
            Step("quiet", ()),
            Step("cut", (0,)),
            Step("sicken", (0, 0, 0, now_ill)),
            Step("quiet", ()),
            Step("heal", (0, first)),
        ]
    )
    found = State.HEALTHY if is_well else State.FAILING
    states = [set(laws.states(replica).values()) for replica in world.replicas]
    assert states == [{found}] * 3
    world.quiet()


def test_one_seed_is_one_world_to_the_byte() -> None:
    def end(seed: int) -> list[object]:
        one = World()
        one.run(draw(seed))
        parts: list[object] = [one.now]
        for replica in one.replicas:
            parts += [replica.pipeline.registries.serial, sorted(replica.table.entries)]
            parts += [(link.reads.count, link.ensemble.zxid) for link in replica.links.values()]
        for ensemble in one.ensembles.values():
            parts += sorted(ensemble.tree.nodes.items())
        return parts

    for seed in (1, 7, 42, 99):
        assert draw(seed) == draw(seed)
        assert end(seed) == end(seed)


def test_every_kind_of_step_is_drawn() -> None:
    met = {step.what for seed in range(300) for step in draw(seed)}
    assert met == {*CHANCES, "shape", "set_clock"}


def test_a_failing_schedule_is_told_with_what_cannot_be_left_out() -> None:
    steps = [Step("wait", (1,)), Step("register", (0, 0, 1)), Step("wait", (5,)), Step("fold", (0,))]
    shortest = shorten(steps, lambda some: Step("register", (0, 0, 1)) in some and Step("fold", (0,)) in some)
    assert shortest == [Step("register", (0, 0, 1)), Step("fold", (0,))]

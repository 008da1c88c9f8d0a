"""Thousands of small worlds: whatever an ensemble does, the answers are in the end what stands in it."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from simulation import world
from simulation.plants import PLANTS
from simulation.world import Step, draw, play, shorten, tell

SCHEDULES = int(os.environ.get("ZKDNS_SCHEDULES", "20000"))
SHARE = 500
ENOUGH = 6000
"""Schedules within which a planted bug must be seen: a third of what each run of the suite plays."""


def failures(first: int) -> list[str]:
    """What is broken in a share of the schedules; the first failure of it is shortened."""
    for seed in range(first, first + SHARE):
        steps = draw(seed)
        if play(steps) is not None:
            return [tell(seed, steps)]
    return []


@pytest.mark.timeout(600)
def test_after_each_quiet_moment_the_answers_are_what_the_tree_says() -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        found = [text for texts in pool.map(failures, range(0, SCHEDULES, SHARE)) for text in texts]
    assert not found, "\n".join(found[:3])


@pytest.mark.parametrize("name", PLANTS)
def test_a_bug_that_is_planted_is_found(name: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        PLANTS[name](patch)
        seed = next((seed for seed in range(ENOUGH) if play(draw(seed)) is not None), None)
        assert seed is not None, f"{ENOUGH} schedules did not see it"
        shortest = shorten(draw(seed))
        assert play(shortest) is not None
        assert all(play(shortest[:at] + shortest[at + 1 :]) is None for at in range(len(shortest)))
    assert play(shortest) is None, "what is shown is the bug, and not the simulator"


def test_one_seed_is_one_world_to_the_byte() -> None:
    def deltas(seed: int) -> list[object]:
        one = world.World()
        one.run(draw(seed))
        replica = one.replicas[0]
        return [
            replica.pipeline.registries.serial,
            replica.reads.count,
            sorted(replica.table.entries),
            one.now,
        ]

    for seed in (1, 7, 42):
        assert draw(seed) == draw(seed)
        assert deltas(seed) == deltas(seed)


def test_a_failing_schedule_is_told_with_what_cannot_be_left_out() -> None:
    steps = [Step("wait", (1,)), Step("register", (0, 0, 1)), Step("wait", (5,)), Step("fold", (0,))]
    shortest = shorten(steps, lambda some: Step("register", (0, 0, 1)) in some and Step("fold", (0,)) in some)
    assert shortest == [Step("register", (0, 0, 1)), Step("fold", (0,))]


def test_the_failure_names_the_seed_the_step_and_the_law() -> None:
    with pytest.MonkeyPatch.context() as patch:
        PLANTS["compare_no_epoch"](patch)
        text = tell(3, draw(3))
    assert text.startswith("seed 3: step 0, quiet(): replica 0: serial")
    assert text.endswith("\n    quiet()")

"""Bugs that are planted: what the simulator sees."""

from __future__ import annotations

import pytest

from simulation.plants import PLANTS
from simulation.schedules import SCHEDULES, draw, play, shorten, tell, theme_of


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PLANTS)
def test_a_bug_that_is_planted_is_found(name: str) -> None:
    """By a schedule that each run of the suite plays."""
    theme, bug, first = PLANTS[name]
    with pytest.MonkeyPatch.context() as patch:
        bug(patch)
        turn = (*range(first, SCHEDULES), *range(min(first, SCHEDULES)))
        seeds = (seed for seed in turn if theme_of(seed) == theme)
        seed = next((seed for seed in seeds if play(draw(seed)) is not None), None)
        assert seed is not None, "no schedule did see it"
        shortest = shorten(draw(seed))
        assert play(shortest) is not None
        assert all(play(shortest[:at] + shortest[at + 1 :]) is None for at in range(len(shortest)))
    assert play(shortest) is None, "what is shown is the bug, and not the simulator"


def test_the_failure_names_the_seed_the_step_and_the_law() -> None:
    with pytest.MonkeyPatch.context() as patch:
        PLANTS["compare_no_epoch"][1](patch)
        text = tell(3, draw(3))
    assert text.startswith("seed 3: step 0, quiet(): z1: serial")
    assert text.endswith("\n    quiet()")

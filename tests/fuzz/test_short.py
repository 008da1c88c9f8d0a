"""Each target with some thousands of made-up inputs. `make fuzz` runs the same targets for longer."""

from __future__ import annotations

import random

import pytest

from fuzz.mutate import NAMES, mutate
from fuzz.targets import targets

ROUNDS = {
    "zone": 400, "payload": 1200, "znode": 1200, "explain": 2000, "state": 2000, "registry-file": 2000,
    "settings": 3000, "reply": 3000,
}  # fmt: skip
"""Of those that take long: of guards that were taken out, which of them saw any saw it within so many."""

SEED = 20261124


@pytest.mark.parametrize("name", NAMES)
def test_no_bytes_get_more_out_of_it_than_it_allows(name: str) -> None:
    target = targets()[name]
    for seed in target.seeds:
        target.run(seed)
    for turn in range(ROUNDS.get(name, 6000)):
        data = mutate(random.Random(f"{SEED} {name} {turn}"), target.seeds, target.words)
        try:
            target.run(data)
        except Exception as error:
            raise AssertionError(f"{name}, turn {turn} of seed {SEED}: {data.hex()}") from error


def test_every_target_has_its_turn() -> None:
    assert set(NAMES) == set(targets())

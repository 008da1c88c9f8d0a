"""Benches run seldom, and what they share moves: that each can be loaded is seen at once."""

from __future__ import annotations

import importlib
import pkgutil
import time

import pytest

import bench
from bench import changes

MODULES = sorted(module.name for module in pkgutil.walk_packages(bench.__path__, "bench."))


@pytest.mark.parametrize("name", MODULES)
def test_a_bench_finds_all_that_it_takes_from_others(name: str) -> None:
    if not name.endswith("__main__"):
        assert importlib.import_module(name).__doc__


async def test_what_a_change_costs_is_measured_where_it_is_spent() -> None:
    """By the rooms' own names, which move with them: else nobody knows before the numbers are asked for."""
    stages = changes.Stages("127.0.0.1:1")
    assert not stages.spent
    stages.pipeline.ready(time.time())
    assert "ready" in stages.spent

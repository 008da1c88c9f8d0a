"""Benches run seldom, and what they share moves: that each can be loaded is seen at once."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import bench

MODULES = sorted(module.name for module in pkgutil.walk_packages(bench.__path__, "bench."))


@pytest.mark.parametrize("name", MODULES)
def test_a_bench_finds_all_that_it_takes_from_others(name: str) -> None:
    if not name.endswith("__main__"):
        assert importlib.import_module(name).__doc__

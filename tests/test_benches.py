"""Benches run seldom, and what they share moves: that each can be loaded is seen at once."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
import time
from pathlib import Path

import bench
from bench import changes

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(module.name for module in pkgutil.walk_packages(bench.__path__, "bench."))

LOAD = """
import importlib, os, sys
import zkdns.server.lifecycle
for name in sys.argv[1:]:
    if not os.fork():
        importlib.import_module(name)
        os._exit(0)
    if os.wait()[1]:
        print(name)
"""


def test_a_bench_finds_all_that_it_takes_from_others() -> None:
    """Each alone, as it is run: here the tests' own folder is on the path of all."""
    names = [name for name in MODULES if not name.endswith("__main__")]
    command = [sys.executable, "-c", LOAD, *names]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert not told.stdout, told.stderr


async def test_what_a_change_costs_is_measured_where_it_is_spent() -> None:
    """By the rooms' own names, which move with them: else nobody knows before the numbers are asked for."""
    stages = changes.Stages("127.0.0.1:1")
    assert not stages.spent
    stages.pipeline.ready(time.time())
    assert "ready" in stages.spent

"""A start that fails half way leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zkdns.serve import native

pytestmark = pytest.mark.skipif(native.WHY_NOT != "", reason="the native engine is not built")

SCRIPT = """
import pathlib, resource, time
from zkdns.serve import native

def threads():
    names = (each / "comm" for each in pathlib.Path("/proc/self/task").iterdir())
    return sorted(name.read_text().strip() for name in names if name.read_text().startswith("zkdns-"))

engine = native.Native()
held = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
for room in (1, 3):  # stacks for one of two threads of TCP; for those, and one of two of UDP
    resource.setrlimit(resource.RLIMIT_AS, (held + room * STACK + STACK // 2, resource.RLIM_INFINITY))
    try:
        engine.start([("127.0.0.1", 0)], workers=2)
        raise SystemExit("it started")
    except OSError as error:
        while threads():
            time.sleep(0.01)
        print(error.errno, engine.connections())
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
engine.start([("127.0.0.1", 0)], workers=2)
while len(threads()) < 4:  # each names itself
    time.sleep(0.01)
print(threads())
engine.close()
"""

STACK = 1 << 30
"""Bytes of a thread's, so that those that there is no room for are few."""


def test_where_a_thread_can_not_be_had_those_before_it_end_and_another_try_is_as_the_first() -> None:
    """They would keep their part of the port's queries, and nobody would know of them."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "RUST_MIN_STACK": str(STACK)}
    ran = subprocess.run(
        [sys.executable, "-c", f"STACK = {STACK}\n{SCRIPT}"],
        env=env, capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    assert ran.stdout.splitlines() == [
        "11 (0, 0)",
        "11 (0, 0)",
        "['zkdns-0', 'zkdns-1', 'zkdns-tcp-0', 'zkdns-tcp-1']",
    ], ran.stderr

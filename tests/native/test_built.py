"""A build that failed must not pass as so many skipped tests."""

from __future__ import annotations

from support.missing import demand_native
from zkdns.serve import native


def test_in_ci_the_native_engine_was_built() -> None:
    demand_native()
    made = native.Native()
    made.close()

"""The short form of `make soak`: a real ensemble with members killed and frozen under churn."""

from __future__ import annotations

import subprocess
import sys

import pytest

from support.server import REPOSITORY


@pytest.mark.zookeeper
@pytest.mark.timeout(240)
def test_no_wrong_answer_is_given_while_members_are_killed_and_frozen() -> None:
    words = ("--seconds", "25", "--calm", "6", "--replicas", "2", "--seed", "11")
    done = subprocess.run(
        [sys.executable, "-m", "bench.soak", *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=220,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "all held" in done.stdout

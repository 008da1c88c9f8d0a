"""The short form of `make soak`: a real ensemble with members frozen, killed and cut off under churn."""

from __future__ import annotations

import subprocess
import sys

import pytest

from support.server import REPOSITORY


@pytest.mark.zookeeper
@pytest.mark.timeout(240)
def test_no_wrong_answer_is_given_while_members_are_frozen_killed_and_cut_off() -> None:
    words = ("--seconds", "25", "--calm", "5", "--replicas", "2", "--seed", "18")
    faults = "freeze,kill,cut-member,cut-server,cut-peer,freeze-all,expire"
    done = subprocess.run(
        [sys.executable, "-m", "bench.soak", *words, "--faults", faults],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=220,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "all held" in done.stdout

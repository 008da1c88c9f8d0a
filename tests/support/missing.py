"""Judges that a machine need not have: where one is missing its tests are skipped, in CI they fail."""

from __future__ import annotations

import os
import shutil

import pytest


def demand(packages: str, *programs: str) -> None:
    """Skip the test where a program is missing, naming Debian's packages; in CI fail it."""
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        line = f"missing: {', '.join(missing)} (Debian: apt-get install {packages})"
        pytest.fail(line) if os.environ.get("CI") else pytest.skip(line)

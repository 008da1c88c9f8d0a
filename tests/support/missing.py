"""Judges that a machine need not have: where one is missing its tests are skipped, in CI they fail."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from zkdns.serve.native import WHY_NOT


def demand(packages: str, *programs: str) -> None:
    """Skip the test where a program is missing, naming Debian's packages; in CI fail it."""
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        line = f"missing: {', '.join(missing)} (Debian: apt-get install {packages})"
        pytest.fail(line) if os.environ.get("CI") else pytest.skip(line)


def demand_file(path: Path, target: str) -> None:
    """Skip the test where a file that is fetched is missing, naming what fetches it; in CI fail it."""
    if not path.exists():
        line = f"missing: {path.name} ({target})"
        pytest.fail(line) if os.environ.get("CI") else pytest.skip(line)


def demand_native() -> None:
    """Skip the test where the native engine was not built; in CI fail it."""
    if WHY_NOT:
        line = f"the native engine was not built: {WHY_NOT} (needs Rust 1.85; then: pip install -e .)"
        pytest.fail(line) if os.environ.get("CI") else pytest.skip(line)


ENGINES = [
    "python",
    pytest.param(
        "native",
        # In CI the test runs: `zkdns serve --engine native` ends with the reason, and that is the failure.
        marks=pytest.mark.skipif(
            bool(WHY_NOT) and not os.environ.get("CI"), reason=f"the native engine was not built: {WHY_NOT}"
        ),
    ),
]
"""Parameters of a fixture: both engines, the native one skipped where it is missing; in CI it fails."""

"""How many examples a law is tried on: as many as it wants, or a fifth where `make quick` is in a hurry."""

from __future__ import annotations

from hypothesis import settings

USUAL = 100
"""Hypothesis' own number, of which the profile says how much is wanted."""


def examples(wanted: int) -> int:
    assert settings.default is not None
    return max(1, wanted * settings.default.max_examples // USUAL)

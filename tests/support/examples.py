"""How many examples a law is tried on: as many as it wants, or a fifth where `make quick` is in a hurry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import settings

USUAL = 100
"""Hypothesis' own number, of which the profile says how much is wanted."""

T = TypeVar("T")


def examples(wanted: int) -> int:
    assert settings.default is not None
    return max(1, wanted * settings.default.max_examples // USUAL)


def some(every: Sequence[T]) -> Sequence[T]:
    """All of them; in a hurry each fifth, from all over."""
    return every[:: max(1, len(every) // examples(len(every)))]

"""The work on one service that is done in a thread: of values alone, and an error is what comes of it.

Rules: pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")
Outcome = TypeVar("Outcome")


def aside(
    outcome: Callable[[str, Answer | None, Exception | None], Outcome], name: str, work: Callable[[], Answer]
) -> Callable[[], Outcome]:
    """`outcome`: makes what is told of the service with this name, of what the work gave or ended with."""

    def attempt() -> Outcome:
        try:
            return outcome(name, work(), None)
        except Exception as error:
            return outcome(name, None, error)

    return attempt

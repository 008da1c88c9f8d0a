"""The wall clock, and whether somebody set it.

Rules: pure; both clocks come in. What is waited for goes by the steady clock, whatever the other one says;
what people wrote (an end, a time of writing) goes by the wall clock, however it was set.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

MIN_SET: Final = 0.1
"""Seconds. What goes by less between two looks is how NTP keeps it (500 ppm at most)."""

MAX_BETWEEN: Final = 0.01
"""Seconds between two looks at the steady clock that belong together."""


class Look(NamedTuple):
    """`now`: seconds since the epoch; `by`: how many of them it is ahead of what it would be, had it not been
    set since the last look."""

    now: float
    by: float


class WallClock:
    """`wall`: seconds since the epoch; `steady`: seconds on a clock that nobody sets."""

    def __init__(self, wall: Callable[[], float], steady: Callable[[], float]) -> None:
        self._wall, self._steady = wall, steady
        self._apart: float | None = None

    def look(self) -> Look:
        before, now, after = self._steady(), self._wall(), self._steady()
        if after - before > MAX_BETWEEN:
            return Look(now, 0.0)  # we did not run in between: the next look tells
        apart = now - after
        by = apart - self._apart if self._apart is not None else 0.0
        self._apart = apart
        return Look(now, by if abs(by) >= MIN_SET else 0.0)

"""How often something took how long.

Rules: pure.
"""

from __future__ import annotations

from bisect import bisect_left


class Histogram:
    """How often something took how long. `bounds`: upper ends of the buckets, seconds, ascending."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Something took so long."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def read(self) -> tuple[tuple[float, ...], tuple[int, ...], float]:
        """The bounds, the counts (one more: above them all), and the sum."""
        return self._bounds, tuple(self._counts), self._sum

"""Whose beat is kept: who was on time before there was too much to do stays so, whatever others ask for.

Rules: pure. Time comes in, in seconds of any clock that only grows. Nothing says who asks for too much, but
who was there before it is known: while nobody is late, each that was probed for a while has its beat kept
from then on, as long as there is room for what that costs. What comes later has what is left, and while
somebody is late nobody has it kept anew: thousands that come at once would be among these.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

T = TypeVar("T", bound=Hashable)

CALM: Final = 10.0
"""Seconds for which nobody was late, and for which one was probed, before its beat is kept."""


class Beats(Generic[T]):
    """`room`: what all that are kept may cost together; `cost`: what they do."""

    def __init__(self, room: float) -> None:
        self.cost = 0.0
        self._room = room
        self._kept: dict[T, float] = {}
        self._late_at = -math.inf

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, probe: object) -> bool:
        return probe in self._kept

    def note_late(self, now: float) -> None:
        """One of those whose beat is not kept was late."""
        self._late_at = now

    def keep(self, probe: T, cost: float, since: float, now: float) -> None:
        """It was on time, and costs this: keep its beat where that may be. `since`: when it was probed
        first. Who is kept and costs more than it did is kept where there is room for that."""
        known = self._kept.get(probe)
        if known == cost or (known is None and now - max(since, self._late_at) < CALM):
            return
        self.let_go(probe)
        if self.cost + cost <= self._room:
            self._kept[probe] = cost
            self.cost += cost

    def let_go(self, probe: T) -> None:
        """Its beat is kept no more, if it was."""
        if (cost := self._kept.pop(probe, None)) is not None:
            self.cost = self.cost - cost if self._kept else 0.0  # what floats leave behind ends here

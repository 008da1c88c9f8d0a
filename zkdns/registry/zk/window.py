"""How many services may be read before those that were told are in the answers.

Rules: pure. What waits to be read is in fair order, and what was read and told is not: a change that comes
among thousands waits for all of these. So no more are under way than keep whoever is told at work.
"""

from __future__ import annotations

from collections import deque
from typing import Final

MAX_SERVICES: Final = 16
"""Services that are being read, or were told and are not taken yet."""


class Window:
    """`is_awaited`: whether something would be read if more were taken."""

    def __init__(self) -> None:
        self.is_awaited = False
        self._is_bounded = False
        """Whether somebody tells what is taken."""
        self._under_way = 0
        """Services that are being read, or are told with what is told next."""
        self._next = 0
        """Those of them that are told next."""
        self._told: deque[tuple[int, int]] = deque()
        """What was told and is not taken: which time it was, and of how many services."""
        self._untaken = 0
        self._times = 0
        """How often something was told."""

    @property
    def room(self) -> int:
        """So many more may be read; below 0 where there is no bound."""
        if not self._is_bounded:
            return -1
        return max(0, MAX_SERVICES - self._under_way - self._untaken)

    def send(self, services: int) -> None:
        """So many are being read from now on."""
        self._under_way += services

    def read(self, services: int, is_told: bool) -> None:
        """They are read; whether there is anything to tell."""
        if is_told:
            self._next += services
        else:
            self._under_way -= services

    def tell(self, times: int) -> None:
        """What was read is told now, in so many parts."""
        self._times += times
        if self._next and self._is_bounded:
            self._told.append((self._times, self._next))
            self._untaken += self._next
        self._under_way -= self._next
        self._next = 0

    def take(self, times: int | None) -> None:
        """All that was told the first so many times is in the answers, or nearly; None where nobody tells of
        that, and nothing waits for it."""
        self._is_bounded = times is not None
        while self._told and (times is None or self._told[0][0] <= times):
            self._untaken -= self._told.popleft()[1]

    def clear(self) -> None:
        """Nothing is under way any more."""
        self._under_way = self._next

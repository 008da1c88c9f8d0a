"""What each service may take of the journal on disk, and what is made of changes beyond it: their sum.

Rules: pure. A share is so many bytes at once, and so many a second afterwards. It counts where there is
little room left: until then whoever changes much is written as it comes. Of a service whose changes are left
out nobody knows how it stands, until it is told anew.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from msgspec import Struct

from zkdns.lists import plural, some_of
from zkdns.model import Change

SUMMED_EVERY: Final = 60.0
"""Seconds."""
MAX_NAMED: Final = 3
"""Instances that a sum names."""
LEFT_OUT: Final = "left out: it changes too often"
MANY: Final = 4096
"""Services that are counted; beyond it those are forgotten that took next to nothing."""


class _Sum(Struct):
    last: Change
    count: int = 0
    ids: dict[str, None] = {}


class Shares:
    """`burst`: bytes at once; `rate`: bytes a second."""

    def __init__(self, burst: float, rate: float) -> None:
        self.left_out = 0
        self.lost: dict[str, None] = {}
        """Services of which the journal does not know how they stand."""
        self._burst = burst
        self._rate = rate
        self._taken: dict[str, tuple[float, float]] = {}
        """By service, how much of its share it has taken, and when that was reckoned."""
        self._sums: dict[tuple[str, str], _Sum] = {}
        self._summed_at = float("-inf")

    def fits(self, service: str, now: float) -> bool:
        """Whether something is left of its share."""
        return self._level(service, now) < self._burst

    def take(self, service: str, size: int, now: float) -> None:
        """So much of it is written. What is beyond the share is a debt."""
        self._taken[service] = self._level(service, now) + size, now
        if len(self._taken) > MANY:
            levels = ((name, self._level(name, now)) for name in self._taken)
            self._taken = {name: (level, now) for name, level in levels if level > self._burst / 100}

    def _level(self, service: str, now: float) -> float:
        level, at = self._taken.get(service, (0.0, now))
        return max(0.0, level - self._rate * max(0.0, now - at))

    def shift(self, by: float) -> None:
        """The clock was set."""
        self._taken = {name: (level, at + by) for name, (level, at) in self._taken.items()}
        self._summed_at += by

    def leave_out(self, change: Change) -> bool:
        """It is not written. Returns whether its service stood as the journal knows until now."""
        self.left_out += 1
        one = self._sums.setdefault((change.service, change.what), _Sum(change))
        one.last, one.count = change, one.count + 1
        if len(one.ids) <= MAX_NAMED:
            one.ids[change.id] = None
        return self.lose(change.service)

    def lose(self, service: str) -> bool:
        """How it stands is not known from here on; whether it was until now."""
        known = service not in self.lost
        self.lost[service] = None
        return known

    def sums(self, now: float, *, is_end: bool = False) -> list[Change]:
        """What was left out, where that is to be told now: a row for each service and kind of change."""
        if not self._sums or (now - self._summed_at < SUMMED_EVERY and not is_end):
            return []
        self._summed_at = now
        sums, self._sums = self._sums, {}
        return [_told(one) for one in sums.values()]


def is_sum(change: Change) -> bool:
    """Whether it tells of several that were left out."""
    return not change.id and change.why.startswith(LEFT_OUT)


def _told(one: _Sum) -> Change:
    named = [id for id in one.ids if id]
    names = some_of(named[:MAX_NAMED], MAX_NAMED) + (" and others" if len(named) > MAX_NAMED else "")
    why = f"{LEFT_OUT}{f' ({names})' if names else ''}"
    return replace(one.last, id="", was="", now=plural(one.count, "change"), why=why, by="", instance=None)

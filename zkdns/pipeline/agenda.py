"""Which services are to be judged now, and when each is to be judged again.

Rules: pure; time comes in as an argument. What is due is done in the order in which it came (`backlog`); a
service that is costly waits longer for what is not urgent. What registries tell and what is due for another
reason (verdicts, times, what operators ordered) have their turns, however many there are of either.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Final

from zkdns.backlog import Backlogs

PACE = 10
"""Verdicts alone make a service judged again at most one part in so many of the time."""

SOONEST = 0.001
"""Seconds after which a service is judged again at the earliest, whatever the judge says."""

SLOWEST = 1.0
"""Seconds that a verdict waits at most for its service's turn."""

MAX_LOOKED_AT: Final = 512
"""Among so many that registries told of the smallest is looked for: more come in parts."""

HEAP: Final = 64
"""So many alarms that were put off, and as many as count, are kept; then they are sorted out."""


class Agenda:
    """`queue`: what is due, by name, in order."""

    def __init__(self) -> None:
        self.queue: Backlogs[str] = Backlogs()
        self._alarms: list[tuple[float, str]] = []
        self._alarm_of: dict[str, float] = {}
        self._costs: dict[str, tuple[float, float]] = {}
        """When a service was published last, and what that cost, in seconds."""
        self._is_turn_of_smallest = False

    @property
    def wake(self) -> float | None:
        """When the next service is to be judged again."""
        while self._alarms and self._alarm_of.get(self._alarms[0][1]) != self._alarms[0][0]:
            heapq.heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else None

    @property
    def idle(self) -> bool:
        """Whether nothing is due, now or later."""
        return not self.queue and self.wake is None

    def tell(self, names: Iterable[str]) -> None:
        """These are due now, since a registry told of them."""
        for name in names:
            self.queue.put(name, False)

    def mark(self, names: Iterable[str]) -> None:
        """These are due now."""
        for name in names:
            self.queue.put(name, True)

    def mark_soon(self, names: Iterable[str], now: float) -> None:
        """The same at the pace that these services can bear: verdicts come in swarms, and a service of
        thousands that was compiled at each of them would take all the time there is."""
        for name in names:
            at, cost = self._costs.get(name, (float("-inf"), 0.0))
            due = at + min(PACE * cost, SLOWEST)
            if due <= now:
                self.queue.put(name, True)
            else:
                self._set_alarm(name, due)

    def again(self, name: str, at: float, now: float) -> None:
        """It is due then, if nothing makes it due before."""
        self._set_alarm(name, max(at, now + SOONEST))

    def _set_alarm(self, name: str, at: float) -> None:
        if self._alarm_of.get(name, float("inf")) > at:
            self._alarm_of[name] = at
            heapq.heappush(self._alarms, (at, name))
            # Some ring in a year, and are put off each time that their service changes.
            if len(self._alarms) > 2 * len(self._alarm_of) + HEAP:
                self._alarms = [(until, each) for each, until in self._alarm_of.items()]
                heapq.heapify(self._alarms)

    def ring(self, now: float) -> None:
        """What was to be judged again by now is due."""
        while (wake := self.wake) is not None and wake <= now:
            _, name = heapq.heappop(self._alarms)
            del self._alarm_of[name]
            self.queue.put(name, True)

    def begin(self, name: str) -> None:
        """It is judged now, whatever it waited for."""
        self._alarm_of.pop(name, None)

    def spend(self, name: str, now: float, cost: float) -> None:
        """It was done, and took so many seconds."""
        self._costs[name] = now, cost

    def take_next(self, size_of: Callable[[str], int]) -> str:
        """Takes what is next; KeyError where nothing is due. Of the services that registries told of, the
        smallest has every second turn: whoever changes dozens of services of a hundred instances delays
        somebody else's by no more than a few of them."""
        own = self.queue.own
        self._is_turn_of_smallest = not self._is_turn_of_smallest
        if not (self._is_turn_of_smallest and 1 < len(own) <= MAX_LOOKED_AT):
            return self.queue.take_next()[0]
        smallest = min(own, key=size_of)
        self.queue.take_out(smallest)
        return smallest

    def shift(self, by: float) -> None:
        """The clock was set, whichever way: what was to be judged again at some time is due, and that tells
        when next."""
        self.mark(self._alarm_of)
        self._alarms.clear()
        self._alarm_of.clear()
        self._costs.clear()

    def forget(self, name: str) -> None:
        self._costs.pop(name, None)

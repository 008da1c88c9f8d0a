"""Whose probe is next: services take turns, whatever one of them has waiting.

Rules: pure. Time comes in, in seconds of any clock that only grows. A service has a bounded share of the
places, and all together a bounded rate; a service with nothing under way is not kept waiting by those that
have much: it is told whose probe may be given up for it. Where a service comes but once, the newest may have
each second turn: however many came together, the next one waits for few.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Shares(Generic[T]):
    """`places`: probes under way at once, which may change; `each`: of one service; `rate`: starts a second,
    `burst` of them at once; `newest`: whether the newest service has each second turn."""

    def __init__(self, places: int, each: int, rate: float, burst: int, *, newest: bool = False) -> None:
        self.places = places
        self._each = each
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._refilled_at: float | None = None
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()
        """By service, in the order of their turns. Those whose share is taken stand in `_blocked`."""
        self._blocked: dict[str, deque[T]] = {}
        self._newest: OrderedDict[str, None] | None = OrderedDict() if newest else None
        """Those that had no turn since they began to wait."""
        self._turns = 0
        self._running: dict[str, OrderedDict[T, None]] = {}
        self._started: dict[T, None] = {}
        """All that have a place, the oldest first."""

    @property
    def taken(self) -> int:
        """Probes that have a place."""
        return len(self._started)

    def spend(self) -> None:
        """Another's start counts against the rate as well."""
        self._tokens -= 1

    def wait(self, service: str, probe: T) -> None:
        """This one is due."""
        if (line := self._blocked.get(service)) is None:
            if service not in self._waiting and self._newest is not None:
                self._newest[service] = None
            line = self._waiting.setdefault(service, deque())
        line.append(probe)

    def next(self, now: float) -> T | None:
        """Whose turn it is; None where nobody's may start now. What is given has a place until `done`."""
        self._refill(now)
        while self._waiting and self._tokens >= 1:
            service = self._next_service()
            running = self._running.get(service)
            if running is not None and len(running) >= self._each:
                self._blocked[service] = self._waiting.pop(service)
                self._served(service)
                continue
            if self.taken >= self.places:
                return None
            self._tokens -= 1
            self._turns += 1
            line = self._waiting.pop(service)
            probe = line.popleft()
            self._started[probe] = None
            self._served(service)
            if line:
                self._waiting[service] = line  # behind the others: they take turns
            self._running.setdefault(service, OrderedDict())[probe] = None
            return probe
        return None

    def _next_service(self) -> str:
        if self._newest and self._turns % 2:
            return next(reversed(self._newest))
        return next(iter(self._waiting))

    def _served(self, service: str) -> None:
        if self._newest is not None:
            self._newest.pop(service, None)

    @property
    def is_waiting(self) -> bool:
        """Whether a service does that is below its share."""
        return bool(self._waiting)

    def oldest(self) -> T | None:
        """The probe that has had its place the longest."""
        return next(iter(self._started), None)

    def to_give_up(self) -> T | None:
        """While all places are taken and a service waits that has none: the oldest probe of the service that
        has the most. It is for the caller to end it."""
        if (
            not self._running
            or self.taken < self.places
            or all(service in self._running for service in self._waiting)
        ):
            return None
        most = max(self._running.values(), key=len)
        return next(iter(most)) if len(most) > 1 else None

    def done(self, service: str, probe: T) -> None:
        """It is over: its place is free."""
        running = self._running.get(service)
        if running is None or probe not in running:
            return
        del running[probe], self._started[probe]
        if not running:
            del self._running[service]
        if (line := self._blocked.pop(service, None)) is not None:
            self._waiting[service] = line

    def ready_at(self, now: float) -> float | None:
        """When another may start, if that is a matter of time alone."""
        self._refill(now)
        if not self._waiting or self.taken >= self.places or self._tokens >= 1:
            return None
        return now + (1 - self._tokens) / self._rate

    def _refill(self, now: float) -> None:
        if self._refilled_at is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._refilled_at) * self._rate)
        self._refilled_at = now

"""Whose probe is next: services, sessions and registries take turns (`rounds`), whatever one of them has.

Rules: pure. Time comes in, in seconds of any clock that only grows. A service has a bounded share of the
places, and all together a bounded rate; a service with nothing under way is not kept waiting by those that
have much: it is told whose probe may be given up for it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from zkdns.rounds import Admission, Whose

T = TypeVar("T", bound=Hashable)


class Shares(Generic[T]):
    """`places`: probes under way at once, which may change; `each`: of one service; `rate`: starts a second,
    `burst` of them at once; `ways`: in how many one is told from others."""

    def __init__(self, places: int, each: int, rate: float, burst: int, *, ways: int = 1) -> None:
        self.places = places
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._refilled_at: float | None = None
        self._waiting: Admission[T] = Admission(each, ways)
        self._running: dict[Hashable, OrderedDict[T, None]] = {}
        self._started: dict[T, None] = {}
        """All that have a place, the oldest first."""

    @property
    def taken(self) -> int:
        """Probes that have a place."""
        return len(self._started)

    def spend(self) -> None:
        """Another's start counts against the rate as well."""
        self._tokens -= 1

    def wait(self, whose: Whose, probe: T, moment: float = 0) -> None:
        """This one is due. `moment`: of its registration."""
        self._waiting.put(whose, probe, moment)

    def leave(self, service: Hashable, probe: T) -> None:
        """It is not due any more, if it was."""
        self._waiting.leave(service, probe)

    def next(self, now: float) -> T | None:
        """Whose turn it is; None where nobody's may start now. What is given has a place until `done`."""
        if not self._waiting or self.taken >= self.places:
            return None
        self._refill(now)
        if self._tokens < 1:
            return None
        self._tokens -= 1
        (service, *_), probe = self._waiting.take_next()
        self._started[probe] = None
        self._running.setdefault(service, OrderedDict())[probe] = None
        return probe

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
        if not self._running or self.taken < self.places or self._waiting.services() <= self._running.keys():
            return None
        most = max(self._running.values(), key=len)
        return next(iter(most)) if len(most) > 1 else None

    def done(self, service: Hashable, probe: T) -> None:
        """It is over: its place is free."""
        running = self._running.get(service)
        if running is None or probe not in running:
            return
        del running[probe], self._started[probe]
        if not running:
            del self._running[service]
        self._waiting.done(service)

    def ready_at(self, now: float) -> float | None:
        """When another may start, if that is a matter of time alone."""
        if not self._waiting or self.taken >= self.places:
            return None
        self._refill(now)
        if self._tokens >= 1:
            return None
        return now + (1 - self._tokens) / self._rate

    def _refill(self, now: float) -> None:
        if self._refilled_at is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._refilled_at) * self._rate)
        self._refilled_at = now

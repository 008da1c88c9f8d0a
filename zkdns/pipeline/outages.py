"""Which services have no healthy instance: since when, by which change, and whether they ever had one here.

Rules: pure. A folder that never had an instance since the server began is no outage: somebody prepares it.
One that was emptied is, whether its instances are gone or out, until one is healthy or the folder goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from zkdns.model import SERVING, Change, Service
from zkdns.pipeline.journal import service_of


@dataclass(frozen=True, slots=True)
class Outage:
    """`at`: when its last healthy instance went, or when it was first seen like this (seconds since the
    epoch). `change`: what made it so, None where it was so from the start. `had`: it had an instance."""

    at: float
    change: Change | None
    had: bool


class Outages:
    """`services`: those that are answered now, by name."""

    def __init__(self, services: Mapping[str, Service]) -> None:
        self._services = services
        self._standing: dict[str, Outage] = {}
        """By name, those that last."""
        self._had: set[str] = set()
        """Services that had an instance."""
        self._healthy: set[str] = set()
        """Those that had a healthy one."""
        self._copy: dict[str, Outage] | None = {}
        """Of `standing`, for others; None where that has changed since."""

    def standing(self) -> Mapping[str, Outage]:
        """By name; never written again."""
        if self._copy is None:
            self._copy = dict(self._standing)
        return self._copy

    def take(self, changes: Iterable[Change]) -> None:
        """These are in the answers now."""
        last: dict[str, Change] = {}
        for name, those in groupby(changes, service_of):
            some = [*those]  # of a service of thousands all may be others at once
            # A folder that goes or comes says less than the instance that went with it.
            change = next((one for one in reversed(some) if one.id), some[0])
            if name and (change.id or name not in last):
                last[name] = change
        for name, change in last.items():
            self._see(name, self._services.get(name), change)

    def _see(self, name: str, service: Service | None, change: Change) -> None:
        if service is None:
            for known in (self._had, self._healthy):
                known.discard(name)
            self._end(name)
            return
        if service.instances:
            self._had.add(name)
        if any(i.state in SERVING for i in service.instances):  # mostly the first is
            self._healthy.add(name)
            self._end(name)
            return
        before = self._standing.get(name)
        had = name in self._had
        if before is None:
            self._put(name, Outage(change.at, change if name in self._healthy else None, had))
        elif had != before.had:
            self._put(name, Outage(change.at, change, had))

    def _put(self, name: str, outage: Outage) -> None:
        self._standing[name], self._copy = outage, None

    def _end(self, name: str) -> None:
        if self._standing.pop(name, None) is not None:
            self._copy = None

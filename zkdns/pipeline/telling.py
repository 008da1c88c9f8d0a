"""What is told of the services that changed: each one's changes together, in the order of the services.

Rules: pure; time comes in as an argument. Changes are told once the answers are in force. To tell of a
service of thousands takes several turns. An error of ours costs what is told of one service.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from zkdns.model import Change, Service
from zkdns.pipeline import changes
from zkdns.pipeline.changes import Causes, Moment
from zkdns.pipeline.compiler import LARGE
from zkdns.wall import Wall

SLICE: Final = 128
"""Instances that are told of between two looks at the clock, or of which nothing is to be told."""


class Untold(Struct, frozen=True):
    """One service's changes, as far as they are told, and the rest. `is_little`: that is a few."""

    path: str
    walk: Iterator[Change | None]
    is_little: bool
    changes: list[Change]


class Telling:
    """`causes`: why something changed, as far as that is known."""

    def __init__(self, causes: Causes, wall: Wall) -> None:
        self._causes = causes
        self._wall = wall
        self._changes: list[Change] = []
        self._untold: deque[Untold] = deque()
        self._holds_back = False

    @property
    def has_work(self) -> bool:
        """Whether something is not told yet."""
        return bool(self._untold)

    def add(self, change: Change) -> None:
        """It is told before all that waits."""
        self._changes.append(change)

    def replaced(self, path: str, before: Service | None, after: Service | None, moment: Moment) -> None:
        """A service has changed."""
        size = sum([len(service.instances) for service in (before, after) if service is not None])
        with self._wall.around(path, "told"):
            walk = changes.walk(before, after, moment, self._causes)
            self._untold.append(Untold(path, walk, size <= LARGE, []))

    def work(self, tick: Callable[[], float], until: float) -> None:
        """Tell of what waits until that moment of `tick`, and in any case of small services, which this turn
        put in place. Where the turn is late by then, thousands are told of in the next: they are sorted
        first."""
        while self._untold and self._untold[0].is_little:
            self._tell_first(lambda: 0.0, float("inf"))
        self._holds_back = bool(self._untold) and not self._holds_back and tick() > until
        while self._untold and not self._holds_back:
            if not self._tell_first(tick, until):
                break

    def _tell_first(self, tick: Callable[[], float], until: float) -> bool:
        """Go on with the first of them. Returns whether all of it is told."""
        untold = self._untold[0]
        with self._wall.around(untold.path, "told"):
            for at, change in enumerate(untold.walk, 1):
                if change is not None:
                    untold.changes.append(change)
                if not at % SLICE and tick() > until:
                    return False
        self._changes += untold.changes
        self._untold.popleft()
        return True

    def take(self) -> list[Change]:
        """What was told since the last call."""
        those, self._changes = self._changes, []
        return those

"""The services that a file holds, shown some at a time: of a file registry, or of the state directory.

Rules: pure. What the file says of thousands is no reason to hand them on in one go: they wait here as what an
ensemble tells waits in its tree (`service_tree`). The cost is that of what changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from zkdns.backlog import Backlog
from zkdns.model import EMPTY, Catalog, Service
from zkdns.persistent import PersistentMap, differing


class StoredServices:
    """Those of one registry."""

    own_backlog: Final = 0
    """None of them is told of by itself."""
    in_part: Final = 0
    """None of them is to be made."""

    def __init__(self) -> None:
        self._held = EMPTY
        self.services: PersistentMap[Service] = PersistentMap()
        """As far as they are shown."""
        self._shown = EMPTY
        self._waiting: Backlog[str] = Backlog()

    def take(self, catalog: Catalog) -> None:
        """This is what it holds now."""
        for name in differing(self._held.services, catalog.services):
            self._waiting[name] = None
        self._held = catalog
        self._shown = replace(catalog, services=self.services)

    @property
    def backlog(self) -> int:
        """Services that are not shown as they stand there."""
        return len(self._waiting)

    @property
    def stale_since(self) -> float | None:
        """Since when it is known to be old, seconds since the epoch."""
        return self._held.stale_since

    def shift(self, by: float) -> None:
        """The clock was set."""
        if self._held.stale_since is not None:
            since = self._held.stale_since + by
            self._held, self._shown = (replace(c, stale_since=since) for c in (self._held, self._shown))

    def work(self, is_late: Callable[[], bool], most: float) -> None:
        """There is nothing to make: they are as they were read."""

    def show(self, most: int) -> Catalog:
        """What it holds; of the services that changed so many at most."""
        if most and self._waiting:
            names = [self._waiting.take_next() for _ in range(min(most, self.backlog))]
            held = self._held.services
            self.services = self.services.changed({name: held.get(name) for name in names})
            self._shown = replace(self._held, services=self.services)
        return self._shown

    def show_more(self, most: int) -> int:
        """The same; how many services moved."""
        before = self.backlog
        self.show(most)
        return before - self.backlog

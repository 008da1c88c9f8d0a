"""When the changes came that are not in force yet: by service, and of each by transaction.

Rules: pure. What a change leads to goes from station to station, and takes with it when it came. Nobody may
fill them: what comes when so many wait is told of no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from zkdns.model import Data, OfNode

Came: TypeAlias = Mapping[int, float]
"""By transaction, when the first word of it came."""

NOTHING: Final[Came] = MappingProxyType({})

MAX_WAITING: Final = 32_768
"""Changes of services that wait at one station: some ten MiB."""


class Arrivals:
    """One station. `came`: what waits there, by service; to be looked at alone, so that a change asks no more
    than that where nothing waits."""

    def __init__(self, most: int = MAX_WAITING) -> None:
        self.came: dict[str, dict[int, float]] = {}
        self._most = most
        self._count = 0

    def tell(self, service: str, event: OfNode) -> None:
        """It is another by this, of which a watch event told."""
        zxid = event.stat.mzxid if isinstance(event, Data) else getattr(event, "zxid", 0)
        self.put(service, {zxid: event.told_at})

    def put(self, service: str, came: Came) -> None:
        """It waits here from now on."""
        for zxid, at in came.items():
            known = self.came.get(service, NOTHING).get(zxid)
            if known is None:
                if self._count >= self._most:
                    return
                self._count += 1
            self.came.setdefault(service, {})[zxid] = at if known is None else min(at, known)

    def take(self, service: str) -> Came:
        """All that waits of a service goes on."""
        came = self.came.pop(service, NOTHING)
        self._count -= len(came)
        return came


class Passage:
    """The stations from what a tree is told to what it shows: what is told of a service that is being made
    waits for its next turn."""

    def __init__(self) -> None:
        self.heard, self.made, self.shown = Arrivals(), Arrivals(), Arrivals()

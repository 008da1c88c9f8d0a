"""Who stood first, in answers of Entries that stand no more.

Rules: pure. An id keeps its count while it is registered, and for long after it went, since it may come
back; but ids that never come back (a new one at each start) don't fill the memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

MAX_GONE = 10_000
"""Ids that are registered no more and still have their count; then the longest gone is forgotten."""


class FirstPlaceCounts:
    """First places by service name and instance id."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}
        self._gone: dict[tuple[str, str], None] = {}

    def add(self, service: str, found: Mapping[str, int]) -> None:
        if found:
            self._counts.setdefault(service, Counter()).update(found)

    def of(self, service: str) -> Counter[str]:
        """A copy of what one service's instances have."""
        return Counter(self._counts.get(service, ()))

    def all(self) -> Counter[tuple[str, str]]:
        return Counter({(s, id): n for s, counts in self._counts.items() for id, n in counts.items()})

    def keep(self, service: str, registered: Collection[str]) -> None:
        """These ids are the service's now; the others that have a count are gone."""
        counts = self._counts.get(service)
        if counts is None:
            return
        for id in counts:
            if id in registered:
                self._gone.pop((service, id), None)
            else:
                self._gone.setdefault((service, id))
        while len(self._gone) > MAX_GONE:
            name, id = next(iter(self._gone))
            del self._gone[name, id], self._counts[name][id]
            if not self._counts[name]:
                del self._counts[name]

"""How much room the routes of services' nodes have together, and which of them have none.

Rules: pure. A node of sixty bytes may lead to all that is registered, and what comes of it is kept for each.
Who leads to the fewest instances has room first, so that those who lead to very many take it from each other;
of the same routes every replica says the same.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Set
from typing import Final

MAX_TOGETHER: Final = 400_000
"""Instances that they lead to together, each as often as one does: each takes some 1.5 KiB and 0.1 ms."""


class RouteRoom:
    def __init__(self, most: int = MAX_TOGETHER) -> None:
        self._most = most
        self._sizes: dict[str, int] = {}
        self._order: list[tuple[int, str]] = []
        """All of them, the smallest first; those that have room stand before `_end`, and take `_taken`."""
        self._end = 0
        self._taken = 0

    def has(self, name: str) -> bool:
        """Whether there is room for this one, or it is none that takes any."""
        size = self._sizes.get(name)
        return size is None or self._end == len(self._order) or (size, name) < self._order[self._end]

    def put(self, name: str, size: int | None) -> Set[str]:
        """It leads to so many instances from now on, None for no route. The others that have room now and had
        none, or the other way round."""
        known = self._sizes.get(name)
        if known == size:
            return frozenset()
        if known is not None:
            at = bisect_left(self._order, (known, name))
            del self._order[at], self._sizes[name]
            if at < self._end:
                self._end -= 1
                self._taken -= known
        if size is not None:
            at = bisect_left(self._order, (size, name))
            self._order.insert(at, (size, name))
            self._sizes[name] = size
            if at <= self._end:
                self._end += 1
                self._taken += size
        return {one for one in self._fill() if one != name}

    def _fill(self) -> list[str]:
        """As many as there is room for. Those for which that has changed."""
        moved = []
        while self._taken > self._most:
            self._end -= 1
            size, name = self._order[self._end]
            self._taken -= size
            moved.append(name)
        while self._end < len(self._order):
            size, name = self._order[self._end]
            if self._taken + size > self._most:
                break
            self._end += 1
            self._taken += size
            moved.append(name)
        return moved

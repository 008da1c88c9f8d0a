"""The services whose names depend on one that changed, found some at a time: thousands may lead to one.

Rules: pure. An error of ours costs those that depend on the service that it met.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator

from zkdns.backlog import Backlog
from zkdns.steps import SLICE
from zkdns.wall import Wall


class Affected(Backlog[str]):
    """Those that are found, to be compiled once all that they depend on is judged."""

    def __init__(self, wall: Wall) -> None:
        super().__init__()
        self._wall = wall
        self._walks: deque[tuple[str, Iterator[Collection[str]]]] = deque()

    @property
    def is_searching(self) -> bool:
        """Whether not all are found."""
        return bool(self._walks)

    def find(self, path: str, walk: Iterator[Collection[str]]) -> None:
        """What stands there has changed: `walk` tells what depends on it. At once, where that is little."""
        self._walks.append((path, walk))
        if len(self._walks) == 1:
            self.search()

    def search(self) -> None:
        """Find some more."""
        path, walk = self._walks[0]
        count = 0
        with self._wall.around(path, "users"):
            for some in walk:
                self.update(dict.fromkeys(some))
                count += 1 + len(some)
                if count >= SLICE:
                    return
        self._walks.popleft()

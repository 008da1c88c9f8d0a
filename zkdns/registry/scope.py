"""Which nodes below one watched path are read: those that some layouts fit, and no others.

Rules: pure. A node's data is read where a layout ends, its children are listed where one goes on, and of
the names that a list gives only those that fit count. What ZooKeeper and zkdns keep at the ensemble's own
root is no one's service.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, TypeAlias

from zkdns.registry.layout import Layout, Segment

SYSTEM: Final = frozenset({"zookeeper", "zkdns"})
"""What stands beside the services where the root is "/"."""

Rest: TypeAlias = tuple[Segment, ...]
"""What is left of a layout below some node."""


class Spot:
    """One node as the layouts see it. `data`: one of them fits it; `lists`: one goes on below it."""

    __slots__ = ("_any", "_rests", "_special", "data", "lists")

    def __init__(self, rests: tuple[Rest, ...]) -> None:
        ahead = tuple(rest for rest in rests if rest)
        self.data = len(ahead) < len(rests)
        self.lists = bool(ahead)
        self._rests = ahead
        holes = tuple(rest[1:] for rest in ahead if rest[0].hole and not rest[0].literal)
        self._any = spot(holes) if holes else None
        self._special = tuple(dict.fromkeys(rest[0].literal for rest in ahead if rest[0].literal))

    def next(self, name: str) -> Spot | None:
        """The spot of a child; None where no layout leads to it."""
        if not self._special or not name.startswith(self._special):
            return self._any
        rests = tuple(rest[1:] for rest in self._rests if rest[0].fits(name))
        return spot(rests) if rests else None


@lru_cache(maxsize=4096)
def spot(rests: tuple[Rest, ...]) -> Spot:
    return Spot(rests)


class Scope:
    """All that counts below `root`, the path that is watched."""

    __slots__ = ("_base", "_special", "_top", "root")

    def __init__(self, root: str, rests: Iterable[Rest]) -> None:
        self.root = root
        self._base = "/" if root == "/" else root + "/"
        every = tuple(dict.fromkeys(rests))
        self._top = spot(every)
        named = {rest[0].literal for rest in every if rest and not rest[0].hole}
        self._special = SYSTEM - named if root == "/" else frozenset[str]()

    def __repr__(self) -> str:
        return f"Scope({self.root!r})"

    def names(self, path: str) -> tuple[str, ...] | None:
        """The names from the root down to `path`; None for a path that is not below it."""
        if path.startswith(self._base):
            return tuple(path[len(self._base) :].split("/")) if len(path) > len(self._base) else ()
        return () if path == self.root else None

    def at(self, path: str) -> Spot | None:
        """What counts at `path`; None for what is no one's business."""
        if not path.startswith(self._base) or path == self._base:
            return self._top if path in (self.root, self._base) else None
        names = path[len(self._base) :].split("/")
        here = self._top if names[0] not in self._special else None
        for name in names:
            if here is None:
                return None
            here = here.next(name)
        return here

    def children(self, path: str, here: Spot, names: Iterable[str]) -> Iterator[tuple[str, Spot]]:
        """Of the names listed at `path`, those that count, each with its spot."""
        hidden = self._special if path == self.root else frozenset[str]()
        for name in names:
            below = here.next(name)
            if below is not None and name not in hidden:
                yield name, below


def scopes(base: str, layouts: Iterable[Layout]) -> tuple[Scope, ...]:
    """What is to be watched for layouts that start at `base`: their longest literal prefixes, none of which
    stands below another."""
    every = tuple(dict.fromkeys(layouts))
    prefixes = sorted({layout.prefix for layout in every})
    roots: list[tuple[str, ...]] = []
    for prefix in prefixes:
        if not any(prefix[: len(root)] == root for root in roots):
            roots.append(prefix)
    return tuple(
        Scope(
            "/".join((base.rstrip("/"), *root)) or "/",
            (layout.segments[len(root) :] for layout in every if layout.prefix[: len(root)] == root),
        )
        for root in roots
    )

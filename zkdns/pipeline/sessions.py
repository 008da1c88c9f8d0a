"""Which sessions hold how many of the registered nodes: why one that is gone went.

Rules: pure; time comes in as an argument. A registry tells that a node is gone, and not why. That others of
its session still stand, or that all of them went at once, says as much as can be known; where a session held
one node, both reasons are named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Final

from zkdns.identity import moved
from zkdns.model import Instance, Service
from zkdns.steps import Steps, walk

SESSION_END_SECONDS: Final = 1.0
"""Seconds within which the nodes of one session go when it ends: they end in one transaction, and are read
in a few replies."""

ENDED: Final = "its session ended"
DELETED: Final = "its node was deleted"


class Sessions:
    """Is shown every registered service that becomes another."""

    def __init__(self) -> None:
        self._nodes: Counter[int] = Counter()
        self._lost: Counter[int] = Counter()
        """By session, the nodes that went in the last moment."""
        self._lost_at = float("-inf")

    def take(self, old: Service | None, new: Service | None, now: float) -> Steps[None]:
        """A service is registered so from now on. Views of another service tell nothing more."""
        if (old or new or NOBODY).view_of:
            return
        gone, come = yield from moved(
            old.instances if old is not None else (), new.instances if new is not None else ()
        )
        before: dict[str, int] = {}
        after: dict[str, int] = {}
        for some, owners in ((gone, before), (come, after)):
            yield from walk(some, partial(_note_owners, owners))
        if before and after:
            for path, _ in before.items() & after.items():  # another word of the same node
                del before[path], after[path]
        if now - self._lost_at > SESSION_END_SECONDS:
            self._lost.clear()
        self._nodes.update(after.values())
        if before:
            self._lost_at = now
            yield from walk([*Counter(before.values()).items()], self._count_lost)

    def _count_lost(self, some: Sequence[tuple[int, int]]) -> None:
        for owner, lost in some:
            self._lost[owner] += lost
            self._nodes[owner] -= lost
            if not self._nodes[owner]:
                del self._nodes[owner]

    def shift(self, by: float) -> None:
        """The clock was set."""
        self._lost_at += by

    def why_gone(self, instance: Instance) -> str:
        """What is known of an instance's end."""
        if not instance.ephemeral:
            return DELETED if instance.zxid else f"removed from {file_of(instance.path)}"
        if left := self._nodes[instance.owner]:
            return f"{DELETED}: {left} more of its session {'stands' if left == 1 else 'stand'}"
        if (lost := self._lost[instance.owner]) > 1:
            return f"{ENDED}: all {lost} nodes of it went at once"
        return f"{ENDED}, or {DELETED}"


def _note_owners(owners: dict[str, int], some: Sequence[Instance]) -> None:
    for i in some:
        if i.owner:
            owners[i.path] = i.owner


def file_of(path: str) -> str:
    """The file that a path of a file registry (`FILE: SERVICE/ID`) begins with."""
    return path.partition(": ")[0]


NOBODY: Final = Service("", "", "")

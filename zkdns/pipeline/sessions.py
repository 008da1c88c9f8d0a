"""Which sessions hold how many of the registered nodes: why one that is gone went.

Rules: pure; time comes in as an argument. A registry tells that a node is gone, and not why. That others of
its session still stand, or that all of them went at once, says as much as can be known; where a session held
one node, both reasons are named. Both are named, too, where others of the session still stand but several
nodes went in one moment, or more went than is read yet: if the session ended, the rest is told later.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from zkdns.identity import moved
from zkdns.model import Instance, Service
from zkdns.steps import Steps, walk

SESSION_END_SECONDS: Final = 1.0
"""Seconds within which the nodes of one session go when it ends: they end in one transaction, and are read
in a few replies."""

ENDED: Final = "its session ended"
ENDING: Final = "its session is ending"
DELETED: Final = "its node was deleted"


class Lost(NamedTuple):
    """How many nodes of a session went, and when the last of them did. `is_all`: whether nothing else went
    that was not known when they did."""

    nodes: int
    at: float
    is_all: bool = True


NONE: Final = Lost(0, float("-inf"))


class Sessions:
    """Is shown every registered service that changes. `awaits_losses`: whether at that time more may
    have gone than it was shown."""

    def __init__(self, awaits_losses: Callable[[float], bool] = lambda now: False) -> None:
        self._awaits_losses = awaits_losses
        self._nodes: Counter[int] = Counter()
        self._lost: OrderedDict[int, Lost] = OrderedDict()
        """By session, the nodes that went in the last moment, in the order of their times."""

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
        self._nodes.update(after.values())
        if before:
            self._forget_lost(now)
            yield from walk([*Counter(before.values()).items()], partial(self._count_lost, now))

    def _forget_lost(self, now: float) -> None:
        while self._lost and now - next(iter(self._lost.values())).at > SESSION_END_SECONDS:
            self._lost.popitem(last=False)

    def _count_lost(self, now: float, some: Sequence[tuple[int, int]]) -> None:
        is_all = not self._awaits_losses(now)
        for owner, lost in some:
            known = self._lost.pop(owner, NONE)
            self._lost[owner] = Lost(known.nodes + lost, now, is_all and known.is_all)
            self._nodes[owner] -= lost
            if not self._nodes[owner]:
                del self._nodes[owner]

    def shift(self, by: float) -> None:
        """The clock was set."""
        self._lost = OrderedDict((owner, one._replace(at=one.at + by)) for owner, one in self._lost.items())

    def why_gone(self, instance: Instance) -> str:
        """What is known of an instance's end."""
        if not instance.ephemeral:
            return DELETED if instance.zxid else f"removed from {file_of(instance.path)}"
        lost, _, is_all = self._lost.get(instance.owner, NONE)
        if left := self._nodes[instance.owner]:
            stand = "stands" if left == 1 else "stand"
            if is_all and lost == len(self._lost) == 1:
                return f"{DELETED}: {left} more of its session {stand}"
            return f"{DELETED}, or {ENDING}: {left} more of it {stand}"
        if lost > 1:
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

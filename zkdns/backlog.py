"""What waits, in which order: what came first is first, and in a long queue the newest has each second turn.

Rules: pure. Whoever has thousands of things waiting keeps one thing of another's no longer than a few of them
take; the oldest go on all the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain
from typing import Final, Generic, TypeVar

K = TypeVar("K")

FEW: Final = 64
"""So many keep the order in which they came: it is that of the world."""


class Backlog(OrderedDict[K, None]):
    """Each thing once. A dict would look through all that was taken from it for its first."""

    def take_next(self) -> K:
        """Takes what is next; KeyError where nothing waits."""
        is_newest = len(self) > FEW and len(self) % 2 == 0
        return self.popitem(last=is_newest)[0]


class Lanes(Generic[K]):
    """Two backlogs, each thing in one of them: `own`, what came for a reason of its own, and `many`, what
    came with thousands of others. Few keep the order in which they came; of more each has its turns."""

    def __init__(self) -> None:
        self.own: Backlog[K] = Backlog()
        self.many: Backlog[K] = Backlog()
        self._came: dict[K, int] = {}
        self._count = 0
        self._is_turn_of_many = False

    def __len__(self) -> int:
        return len(self._came)

    def __iter__(self) -> Iterator[K]:
        return chain(self.own, self.many)

    def __contains__(self, key: object) -> bool:
        return key in self._came

    def put(self, key: K, is_one_of_many: bool) -> None:
        """It waits from now on; one of many that has a reason of its own is no more one of them."""
        if is_one_of_many and key in self.own:
            return
        (self.many if is_one_of_many else self.own)[key] = None
        if not is_one_of_many:
            self.many.pop(key, None)
        if key not in self._came:
            self._came[key] = self._count = self._count + 1

    def take_next(self) -> tuple[K, bool]:
        """Takes what is next, and whether it was one of many; KeyError where nothing waits."""
        if not (self.own and self.many):
            is_one_of_many = bool(self.many)
        elif len(self) <= FEW:
            is_one_of_many = self._came[next(iter(self.many))] < self._came[next(iter(self.own))]
        else:
            is_one_of_many = self._is_turn_of_many
        self._is_turn_of_many = not is_one_of_many
        key = (self.many if is_one_of_many else self.own).take_next()
        del self._came[key]
        return key, is_one_of_many

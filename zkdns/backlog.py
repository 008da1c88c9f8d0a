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
    """Two backlogs that have their turns, each thing in one of them: `own`, what came for a reason of its
    own, and `many`, what came with thousands of others."""

    def __init__(self) -> None:
        self.own: Backlog[K] = Backlog()
        self.many: Backlog[K] = Backlog()
        self._is_turn_of_many = False

    def __len__(self) -> int:
        return len(self.own) + len(self.many)

    def __iter__(self) -> Iterator[K]:
        return chain(self.own, self.many)

    def __contains__(self, key: object) -> bool:
        return key in self.own or key in self.many

    def put(self, key: K, is_one_of_many: bool) -> None:
        """It waits from now on; one of many that has a reason of its own is no more one of them."""
        if not is_one_of_many:
            self.many.pop(key, None)
            self.own[key] = None
        elif key not in self.own:
            self.many[key] = None

    def take_next(self) -> tuple[K, bool]:
        """Takes what is next, and whether it was one of many; KeyError where nothing waits."""
        is_one_of_many = bool(self.many) and (self._is_turn_of_many or not self.own)
        self._is_turn_of_many = not is_one_of_many
        return (self.many if is_one_of_many else self.own).take_next(), is_one_of_many

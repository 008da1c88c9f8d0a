"""What waits, in which order: what came first is first, and in a long queue the newest has each second turn.

Rules: pure. Whoever has thousands of things waiting keeps one thing of another's no longer than a few of them
take; the oldest go on all the same.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, TypeVar

K = TypeVar("K")

FEW: Final = 64
"""So many keep the order in which they came: it is that of the world."""


class Backlog(OrderedDict[K, None]):
    """Each thing once. A dict would look through all that was taken from it for its first."""

    def take_next(self) -> K:
        """Takes what is next; KeyError where nothing waits."""
        is_newest = len(self) > FEW and len(self) % 2 == 0
        return self.popitem(last=is_newest)[0]

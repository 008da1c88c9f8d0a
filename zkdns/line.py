"""Whose is next: clients take turns, however many one of them has waiting.

Rules: pure; bounded. When too many wait, a client that has more than an equal part gets no more in. Who has
nothing waiting comes before those that have (as "new" flows in RFC 8290, section 4.2): it asks little. Those
that wait still have one turn in a few: there may be as many newcomers as addresses.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")

FAVOURS = 3
"""Newcomers that are answered before the next of those that wait."""


class Line(Generic[T]):
    """`most`: how many wait before clients are held to their part; twice that many never do. A client is
    whoever is told from others: an address, or a network."""

    def __init__(self, most: float = math.inf) -> None:
        self._most = most
        self._new: OrderedDict[bytes, deque[T]] = OrderedDict()
        """By client what came since it had nothing waiting, in the order of their turns."""
        self._others: OrderedDict[bytes, deque[T]] = OrderedDict()
        """The same of those that had a turn since."""
        self._favours = 0
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def put(self, client: bytes, one: T) -> bool:
        """Whether there was room."""
        own = self._others.get(client)
        if own is None:
            own = self._new.get(client)
        if self._length >= self._most:
            part = max(1, self._most // max(1, len(self._others) + len(self._new)))
            if (own is not None and len(own) >= part) or self._length >= 2 * self._most:
                return False
        if own is None:
            self._new[client] = deque((one,))
        else:
            own.append(one)
        self._length += 1
        return True

    def take_few(self, most: int) -> list[T]:
        """The next, so many at most: newcomers by themselves, since what others are told with them would hold
        them up."""
        few: list[T] = []
        favours = self.favours_newcomers()
        while self._length and len(few) < most and self.favours_newcomers() == favours:
            few.append(self.take())
        return few

    def favours_newcomers(self) -> bool:
        """Whether a newcomer is next."""
        return bool(self._new) and (self._favours < FAVOURS or not self._others)

    def take(self) -> T:
        """The next. There is one."""
        if self.favours_newcomers():
            self._favours += 1
            client, own = self._new.popitem(last=False)
        else:
            self._favours = 0
            client, own = self._others.popitem(last=False)
        one = own.popleft()
        self._length -= 1
        if own:
            self._others[client] = own
        return one

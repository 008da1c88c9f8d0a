"""Whose datagram is next: clients take turns, however many one of them has waiting.

Rules: pure; bounded. When too many wait, who has more than a part as large as any other's gets no more in.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Line(Generic[T]):
    """`most`: how many wait before clients are held to their part; twice that many never do."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._of: OrderedDict[str, deque[T]] = OrderedDict()
        """By client, in the order of their turns."""
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def put(self, client: str, one: T) -> bool:
        """Whether there was room."""
        own = self._of.get(client)
        if self._length >= self._most:
            part = max(1, self._most // max(1, len(self._of)))
            if (own is not None and len(own) >= part) or self._length >= 2 * self._most:
                return False
        if own is None:
            own = self._of[client] = deque()
        own.append(one)
        self._length += 1
        return True

    def take(self) -> T:
        """The next. There is one."""
        client, own = next(iter(self._of.items()))
        one = own.popleft()
        self._length -= 1
        if own:
            self._of.move_to_end(client)
        else:
            del self._of[client]
        return one

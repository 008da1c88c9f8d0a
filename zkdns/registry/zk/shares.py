"""What waits to be read, by account: the accounts have their turns, and in each what came first is first.

Rules: no I/O, no clock, no chance. Round robin (Nagle, RFC 970): whoever has thousands waiting waits for
himself.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class Shares(Generic[T]):
    """Items of accounts, each once."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, OrderedDict[T, None]] = OrderedDict()
        """By account, whose turn is next first."""

    def __bool__(self) -> bool:
        return bool(self._queues)

    def put(self, account: str, item: T) -> None:
        queue = self._queues.get(account)
        if queue is None:
            queue = self._queues[account] = OrderedDict()
        queue[item] = None

    def pop(self) -> T:
        """The next one of the account whose turn it is; KeyError where nothing waits."""
        account, queue = self._queues.popitem(last=False)
        item, _ = queue.popitem(last=False)
        if queue:
            self._queues[account] = queue
        return item

    def clear(self) -> None:
        self._queues.clear()

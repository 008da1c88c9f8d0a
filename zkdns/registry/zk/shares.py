"""What waits to be read, by account: the accounts have their turns, and in each what came first is first.

Rules: no I/O, no clock, no chance. Round robin (Nagle, RFC 970): whoever has thousands waiting waits for
himself. Where thousands of accounts wait, each second turn is that of the one that came last and had none
yet.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from zkdns.backlog import FEW

T = TypeVar("T")


class Shares(Generic[T]):
    """Items of accounts, each once."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, OrderedDict[T, None]] = OrderedDict()
        """By account, whose turn is next first."""
        self._fresh: OrderedDict[str, None] = OrderedDict()
        """Accounts that had no turn yet."""
        self._is_turn_of_newest = False

    def __bool__(self) -> bool:
        return bool(self._queues)

    def put(self, account: str, item: T) -> None:
        queue = self._queues.get(account)
        if queue is None:
            queue = self._queues[account] = OrderedDict()
            self._fresh[account] = None
        queue[item] = None

    def pop(self) -> T:
        """The next one of the account whose turn it is; KeyError where nothing waits."""
        self._is_turn_of_newest = not self._is_turn_of_newest and len(self._fresh) > FEW
        if self._is_turn_of_newest:
            account, _ = self._fresh.popitem()
            queue = self._queues.pop(account)
        else:
            account, queue = self._queues.popitem(last=False)
            self._fresh.pop(account, None)
        item, _ = queue.popitem(last=False)
        if queue:
            self._queues[account] = queue
        return item

    def clear(self) -> None:
        self._queues.clear()
        self._fresh.clear()

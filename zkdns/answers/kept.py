"""Answers that are compiled when they are asked for, of names that are too many to keep ready.

Rules: pure; may be filled in any thread. What is kept is bounded by the records in it, and the oldest goes
first: with names for the asking a client could else fill our memory. A few instances are compiled at once,
more of them where a turn of the loop doesn't wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from zkdns.answers.table import Entry, Sections, Unready

MAX_INSTANCES_IN_LOOP = 64
"""Instances that are compiled in the loop: each costs some 20 microseconds."""

TIMES = 8
"""So many times the instances of a service are kept in all that was asked of it, whatever is asked."""

MIN_RECORDS = 4096
"""So many are kept of a small service."""

T = TypeVar("T")


class Kept(Generic[T]):
    """`account`: the service that it is of; `size`: its instances."""

    __slots__ = ("_account", "_found", "_left")

    def __init__(self, account: str, size: int) -> None:
        self._account = account
        self._found: dict[Hashable, tuple[T, int]] = {}
        self._left = max(TIMES * size, MIN_RECORDS)

    def __len__(self) -> int:
        return len(self._found)

    def get(self, key: Hashable, size: int, make: Callable[[], T]) -> T:
        """What was made for this key, of so many instances; Unready where that takes longer than a turn. What
        it holds counts: what a zone is given of thousands may be a few."""
        known = self._found.get(key)
        if known is not None:
            return known[0]
        if size > MAX_INSTANCES_IN_LOOP:
            raise Unready(self._account, (self, key), lambda: self._put(key, make(), size))
        return self._put(key, make(), size)

    def _put(self, key: Hashable, value: T, size: int) -> T:
        if key not in self._found:
            size = _records_in(value, size)
            self._left -= size + 1
            self._found[key] = value, size
            while self._left < 0 and len(self._found) > 1:
                oldest = next(iter(self._found))
                self._left += self._found.pop(oldest)[1] + 1
        return value


def _records_in(value: object, size: int) -> int:
    """How many records it holds; `size` where that can't be seen."""
    if isinstance(value, Entry):
        return sum(len(tier.records) for tier in value.tiers)
    return len(value.answer) if isinstance(value, Sections) else size

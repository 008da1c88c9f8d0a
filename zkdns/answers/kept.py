"""Answers that are compiled when they are asked for, of names that are too many to keep ready.

Rules: pure. What gives few instances is compiled in the loop, the rest where no turn of the loop waits for
it: each kind is filled by one thread. What is kept is bounded by records and not by names, of which a client
may ask for any number. When there is no room, the oldest answer goes of the size that holds the most records:
long answers make room for each other, and a short one, which costs as much to compile, stays.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from itertools import chain
from typing import Generic, TypeVar

from zkdns.answers.cycle_cost import cycles_of
from zkdns.answers.table import Entry, Sections, Unready
from zkdns.model import Instance

MAX_INSTANCES_IN_LOOP = 64
"""Instances that are compiled in the loop: each costs some 20 microseconds."""

MAX_CYCLE_IN_LOOP = 4 * MAX_INSTANCES_IN_LOOP
"""So many may be compiled while their cycle is made; where all weigh the same, others have it mostly."""

TIMES = 8
"""So many times the instances of a service are kept in all that was asked of it, whatever is asked."""

MIN_RECORDS = 4096
"""So many are kept of a small service."""

T = TypeVar("T")


class _Shelf(Generic[T]):
    """Those of one kind."""

    __slots__ = ("_found", "_held", "_left", "_sizes")

    def __init__(self, room: int) -> None:
        self._found: dict[Hashable, T] = {}
        self._left = room
        self._sizes: dict[int, OrderedDict[Hashable, int]] = {}
        """By the power of two that their records come to: each with its records, oldest first."""
        self._held: dict[int, int] = {}
        """The records of all of such a size."""

    def __len__(self) -> int:
        return len(self._found)

    def get(self, key: Hashable) -> T | None:
        return self._found.get(key)

    def values(self) -> Collection[T]:
        return self._found.values()

    def put(self, key: Hashable, value: T, records: int) -> None:
        if key in self._found:
            return
        while self._left < records and self._found:
            self._drop()
        size = records.bit_length()
        self._sizes.setdefault(size, OrderedDict())[key] = records
        self._held[size] = self._held.get(size, 0) + records
        self._left -= records
        self._found[key] = value

    def _drop(self) -> None:
        size = max(self._held, key=self._held.__getitem__)
        oldest, records = self._sizes[size].popitem(last=False)
        del self._found[oldest]
        self._left += records
        self._held[size] -= records
        if not self._sizes[size]:
            del self._sizes[size], self._held[size]


class Kept(Generic[T]):
    """`account`: the service that it is of; `size`: its instances. Each service has several, most of which
    nobody ever asks: until then they take next to no memory."""

    __slots__ = ("_account", "_few", "_many", "_size")

    def __init__(self, account: str, size: int) -> None:
        self._account, self._size = account, size
        self._few: _Shelf[T] | None = None
        self._many: _Shelf[T] | None = None

    def __len__(self) -> int:
        return sum(len(shelf) for shelf in (self._few, self._many) if shelf is not None)

    def values(self) -> Iterator[T]:
        """All that is kept."""
        return chain.from_iterable(
            [*shelf.values()] for shelf in (self._few, self._many) if shelf is not None
        )

    def get(self, key: Hashable, size: int, make: Callable[[], T], ranked: Sequence[Instance] = ()) -> T:
        """What was made for this key, of so many instances; Unready where that takes longer than a turn. What
        it holds counts: what a zone is given of thousands may be a few. `ranked`: those that a cycle is made
        for."""
        for shelf in (self._few, self._many):
            if shelf is not None and (known := shelf.get(key)) is not None:
                return known
        is_few = size <= MAX_INSTANCES_IN_LOOP and not _is_long([i.weight for i in ranked])
        shelf = self._few if is_few else self._many
        if shelf is None:
            shelf = _Shelf(max(TIMES * self._size, MIN_RECORDS))
            if is_few:
                self._few = shelf
            else:
                self._many = shelf
        if not is_few:
            raise Unready(self._account, (self, key), lambda: _make(shelf, key, size, make))
        return _make(shelf, key, size, make)


def _is_long(weights: Sequence[int]) -> bool:
    """Whether what cycles of these are made for takes a turn."""
    return len({*weights}) > 1 and cycles_of(weights) > MAX_CYCLE_IN_LOOP


def _make(shelf: _Shelf[T], key: Hashable, size: int, make: Callable[[], T]) -> T:
    value = make()
    shelf.put(key, value, 1 + _records_in(value, size))
    return value


def _records_in(value: object, size: int) -> int:
    """How many records it holds; `size` where that can't be seen."""
    if isinstance(value, Entry):
        return sum(len(tier.records) for tier in value.tiers)
    return len(value.answer) if isinstance(value, Sections) else size

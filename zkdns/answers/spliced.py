"""Orders of many places that share one array of indices: what a wide answer costs grows with its members.

Rules: pure. Kept one by one, the orders of 8,000 members that are all given would be 64 million places, and
one setting of one service would empty the machine. Each is a few spans of one array instead.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from operator import itemgetter
from typing import Any, TypeAlias, overload

MAX_RECORDS = 65_535 // 12
"""The most records that a message can hold: 65,535 bytes, and none is shorter than 12. What an order has
beyond is never sent."""

MIN_LENGTH = 64
MIN_PLACES = 65_536
"""Below these, orders are kept one by one: that is bounded too, and quicker to read."""

Span = tuple[int, int]


def is_wide(size: int, length: int) -> bool:
    """Whether the orders of so many members, each so long, are to share their places."""
    return length > MIN_LENGTH and size * length > MIN_PLACES


class Spliced(Sequence[tuple[int, ...]]):
    """Orders as runs of spans. `indices`: what the spans go over; `spans`: start and end, in turn; `ends`:
    for each order, where its last span ends in `spans`."""

    __slots__ = ("ends", "indices", "spans")

    def __init__(self, indices: Iterable[int]) -> None:
        self.indices = array("I", indices)
        self.spans = array("I")
        self.ends = array("I")

    def add(self, spans: Iterable[Span], length: int) -> None:
        """One more order: these spans one behind the other, cut to `length` places."""
        for start, end in spans:
            end = min(end, start + length)
            if end > start:
                self.spans.extend((start, end))
                length -= end - start
        self.ends.append(len(self.spans))

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, at: int) -> tuple[int, ...]: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[tuple[int, ...], ...]: ...
    def __getitem__(self, at: int | slice) -> tuple[int, ...] | tuple[tuple[int, ...], ...]:
        if isinstance(at, slice):
            return tuple(self[k] for k in range(*at.indices(len(self))))
        if not -len(self) <= at < len(self):
            raise IndexError(at)
        at %= len(self)
        spans, order = self.spans, array("I")
        for k in range(self.ends[at - 1] if at else 0, self.ends[at], 2):
            order += self.indices[spans[k] : spans[k + 1]]
        return tuple(order)

    def length(self, at: int) -> int:
        """How many places one order has."""
        start, end = self.ends[at - 1] if at else 0, self.ends[at]
        return sum(self.spans[start + 1 : end : 2]) - sum(self.spans[start:end:2])

    def head(self, at: int, most: int) -> Sequence[int]:
        """The first places of one order, so many at most: what that costs depends on no more."""
        spans, order = self.spans, array("I")
        for k in range(self.ends[at - 1] if at else 0, self.ends[at], 2):
            order += self.indices[spans[k] : min(spans[k + 1], spans[k] + most - len(order))]
            if len(order) == most:
                break
        return order

    def first(self, at: int) -> int:
        """The first place of one order."""
        return self.indices[self.spans[self.ends[at - 1] if at else 0]]

    def given(self) -> set[int]:
        """The members that any order has."""
        steps = [0] * (len(self.indices) + 1)
        for k in range(0, len(self.spans), 2):
            steps[self.spans[k]] += 1
            steps[self.spans[k + 1]] -= 1
        return {i for i, n in zip(self.indices, accumulate(steps), strict=False) if n}


Getter: TypeAlias = Callable[[Any], tuple[Any, ...]]


class Getters(dict[int, Getter]):
    """What takes an order's items out of a tuple, made when it is asked for: where the native engine answers
    few are. Those of wide orders are not kept."""

    __slots__ = ("_keeps", "_orders")

    def __init__(self, orders: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self._orders = orders
        self._keeps = not isinstance(orders, Spliced)

    def __missing__(self, at: int) -> Getter:
        one = getter(self._orders[at])
        if self._keeps:
            self[at] = one
        return one


def getter(order: Sequence[int]) -> Getter:
    if len(order) == 1:  # itemgetter of one index gives the bare item; of a slice, a tuple
        return itemgetter(slice(order[0], order[0] + 1))
    return itemgetter(*order)


def ring(start: int, size: int, begin: int, without: Iterable[int]) -> list[Span]:
    """The spans of a ring of `size` that stands twice from `start` on: once round from `begin`, leaving out
    the members at these places of it."""
    gaps = sorted((at - begin) % size for at in without)
    spans, at = [], 0
    for gap in gaps:
        spans.append((start + begin + at, start + begin + gap))
        at = gap + 1
    return [*spans, (start + begin + at, start + begin + size)]

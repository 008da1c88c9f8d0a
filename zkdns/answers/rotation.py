"""The orders that an RRset cycles through, which of them comes when, and how often each member stands first.

Rules: pure; frozen once made, but for the counter. The twin of native/src/rotation.rs.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from zkdns.answers.spliced import Getter, Getters, Spliced

FEW = 16
"""So few positions are looked up one by one."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Rotation:
    """The orders that an RRset cycles through.

    `orders`: each one the indices of the instances to give, first place first, already cut to the
    service's `answers`. `sequence`: which order comes at each position; its length is the cycle. Over
    it, first places are in exact proportion to the weights. Equal weights share one Rotation.
    """

    orders: Sequence[Sequence[int]]
    sequence: array[int]
    getters: Mapping[int, Getter] = field(default_factory=dict, repr=False)
    heads: array[int] = field(default_factory=lambda: array("I"), repr=False)
    """Which member stands first in each order."""
    _turns: list[dict[int, array[int]]] = field(default_factory=list, repr=False)
    """For each member, the positions of one cycle in which it stands first; once they were asked for."""

    @classmethod
    def of(cls, orders: Sequence[Sequence[int]], sequence: list[int]) -> Rotation:
        if isinstance(orders, Spliced):
            firsts = [orders.first(at) for at in range(len(orders))]
        else:
            firsts = [order[0] for order in orders]
            orders = _pack(orders)
        places = array("H" if len(orders) <= 1 << 16 else "I", sequence)
        return cls(orders, places, Getters(orders), array("I", firsts))

    def length(self, at: int) -> int:
        """How many places one order has."""
        return self.orders.length(at) if isinstance(self.orders, Spliced) else len(self.orders[at])

    def head(self, at: int, most: int) -> Sequence[int]:
        """The first places of one order, so many at most."""
        if isinstance(self.orders, Spliced):
            return self.orders.head(at, most)
        return self.orders[at][:most]

    def first(self, position: int) -> int:
        """Which member stands first at this position."""
        return self.heads[self.sequence[position % len(self.sequence)]]

    def firsts(self, start: int, end: int) -> dict[int, int]:
        """How often each member stands first from one position up to another: what that costs depends on
        neither."""
        cycle = len(self.sequence)
        if end - start <= FEW:
            counts: dict[int, int] = {}
            for position in range(start, end):
                first = self.first(position)
                counts[first] = counts.get(first, 0) + 1
            return counts
        if not self._turns:
            turns: dict[int, array[int]] = {}
            for position, at in enumerate(self.sequence):
                turns.setdefault(self.heads[at], array("I")).append(position)
            self._turns.append(turns)
        (begun, since), (ended, until) = divmod(start, cycle), divmod(end, cycle)
        return {
            member: n
            for member, own in self._turns[0].items()
            if (n := (ended - begun) * len(own) + bisect_left(own, until) - bisect_left(own, since))
        }


def _pack(orders: Sequence[Sequence[int]]) -> Sequence[Sequence[int]]:
    """The same, with a byte a place where there are few members: tuples are three times as large, and there
    are a thousand of them."""
    try:
        return tuple(map(bytes, orders))
    except ValueError:  # more than a byte can tell apart
        return orders


class RotationCounter(Struct, eq=False):
    """Where one owner and type stands in its rotation: the only thing in the table that moves."""

    position: int = 0

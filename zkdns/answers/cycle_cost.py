"""What the cycle of a name and its orders take to be made: in instances that are compiled in the same time.

Rules: pure; reckoned by the policy that takes the longest. What is compiled in the loop is chosen by it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import gcd
from typing import Final

from zkdns.answers.policies.weighted import FINENESS, SHORT, VARIETY
from zkdns.answers.proportions import MAX_CYCLE
from zkdns.answers.spliced import MIN_PLACES

TURNS: Final = 64
"""So many turns of a cycle take the time of an instance, each as often as the number of instances has
bits."""

ORDERS: Final = 5
"""So many orders that a cycle has take it as well."""

PLACES: Final = 350
"""So do so many places of these, where the cycle is a short one."""

PLACES_OF_LONG: Final = 40
"""And so many where it is long: it is walked anew for each order."""

DECIDED: Final = 3
"""Of so many instances there are a few orders, whatever the cycle."""


def cycles_of(weights: Sequence[int], sizes: Collection[int] = ()) -> int:
    """For a name and those below it, with so many instances each: each has a cycle, and orders for it. Names
    that give all of them share theirs, and where all weigh the same, so do names of as many."""
    count = len(weights)
    if len({*weights}) < 2:
        return sum([_cycle_of(size, size) for size in {count, *sizes}])
    of_some = sum([size < count for size in sizes])
    return _cycle_of(count, sum(weights) // gcd(*weights)) * (1 + of_some)


def _cycle_of(count: int, turns: int) -> int:
    """The same of one cycle of so many turns."""
    cycle = min(turns, MAX_CYCLE)
    orders = min(VARIETY, cycle * max(count, FINENESS)) if count > DECIDED else 0
    each = PLACES_OF_LONG if cycle > SHORT * count else PLACES
    return cycle * count.bit_length() // TURNS + orders // ORDERS + min(orders * count, MIN_PLACES) // each

"""What is left of a route's shares where only some of its instances are given, such as those of one zone.

Rules: pure. A tier keeps its part of the first places, and a target its share of that, as long as any of
their instances is given. The share of a target without any goes to the others of its tier, and the part of a
tier without any to the other tiers, in proportion. So a split of 90 to 10 holds in each zone that has both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple, TypeAlias

from msgspec import Struct

from zkdns.answers.proportions import cycle_counts
from zkdns.model import Instance


class Mark(NamedTuple):
    """Whose first places an instance has: the tier of the route, and the target by its number over all of
    them."""

    tier: int = 0
    target: int = 0


Marks: TypeAlias = Mapping[str, Mark]
"""By the key of an instance."""


class Parts(Struct, frozen=True):
    """Of a route's name: `first` for addresses, `levels` for each priority of SRV. `standing`: by tier, those
    that are registered where its targets serve, healthy or not."""

    first: Marks
    levels: tuple[Marks, ...]
    standing: Mapping[int, tuple[Instance, ...]]


NO_PARTS = Parts({}, (), {})


def keep(marks: Sequence[Mark], weights: Sequence[int], some: Sequence[int]) -> list[int]:
    """First places in a cycle for each of `some`, by index. All 0: they weigh nothing."""
    whole: dict[Mark, int] = {}
    for mark, weight in zip(marks, weights, strict=True):
        whole[mark] = whole.get(mark, 0) + weight
    given: dict[Mark, list[int]] = {}
    for at, n in enumerate(some):
        if weights[n]:
            given.setdefault(marks[n], []).append(at)
    parts: dict[int, int] = {}
    able: dict[int, int] = {}
    for mark, weight in whole.items():
        parts[mark.tier] = parts.get(mark.tier, 0) + weight
        if mark in given:
            able[mark.tier] = able.get(mark.tier, 0) + weight
    groups = [
        (Fraction(parts[mark.tier] * whole[mark], able[mark.tier]), [weights[some[at]] for at in own])
        for mark, own in given.items()
    ]
    counts = [0] * len(some)
    for own, cycle in zip(given.values(), cycle_counts(groups), strict=True):
        for at, count in zip(own, cycle, strict=True):
            counts[at] = count
    return counts

"""What is left of a route's shares where only some of its instances are given, such as those of one zone.

Rules: pure. A tier keeps its part of the first places, and a target its share of that, as long as any of
their instances is given; what several targets give has its places from each. The share of a target without
any goes to the others of its tier, and the part of a tier without any to the other tiers, in proportion. So a
split of 90 to 10 holds in each zone that has both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import chain
from typing import NamedTuple, TypeAlias, TypeVar

from msgspec import Struct

from zkdns.answers.proportions import cycle_counts, in_whole
from zkdns.model import Instance

N = TypeVar("N", Fraction, Fraction | int)


class Mark(NamedTuple):
    """Whose first places an instance has: the tier of the route, and the target by its number over all of
    them."""

    tier: int = 0
    target: int = 0


Shared: TypeAlias = tuple[tuple[Mark, Fraction], ...]
"""Of what one instance weighs, what part it has from each target that gives it; together 1."""

Marks: TypeAlias = Mapping[str, Shared]
"""By the key of an instance."""

Weighed: TypeAlias = tuple[tuple[Mark, Fraction | int], ...]
"""The same of one that weighs so much."""


class Parts(Struct, frozen=True):
    """Of a route's name: `first` for addresses, `levels` for each priority of SRV. `standing`: by tier, those
    that are registered where its targets serve, healthy or not."""

    first: Marks
    levels: tuple[Marks, ...]
    standing: Mapping[int, tuple[Instance, ...]]


NO_PARTS = Parts({}, (), {})


def add(parts: Iterable[tuple[Mark, N]]) -> dict[Mark, N]:
    """What comes from each target together."""
    together: dict[Mark, N] = {}
    for mark, part in parts:
        together[mark] = together[mark] + part if mark in together else part
    return together


def shared_by(marks: Mapping[Mark, Fraction]) -> Shared:
    """One that has so much from each target. Of nothing each has as much."""
    total = sum(marks.values())
    return tuple((mark, part / total if total else Fraction(1, len(marks))) for mark, part in marks.items())


def weighed(shared: Shared, weight: int) -> Weighed:
    """What one of this weight has from each target."""
    if len(shared) == 1:
        return ((shared[0][0], weight),)
    return tuple((mark, part * weight) for mark, part in shared)


def keep(every: Sequence[Weighed], given: Sequence[Weighed]) -> list[int]:
    """First places in a cycle for each of `given`; `every`: all that the route gives to all clients, `given`:
    of some of them what is given to these. All 0: they weigh nothing."""
    whole = add(chain.from_iterable(every))
    left = {mark: weight for mark, weight in add(chain.from_iterable(given)).items() if weight}
    parts: dict[int, Fraction | int] = {}
    able: dict[int, Fraction | int] = {}
    for mark, weight in whole.items():
        parts[mark.tier] = parts.get(mark.tier, 0) + weight
        if mark in left:
            able[mark.tier] = able.get(mark.tier, 0) + weight
    due = {
        mark: Fraction(parts[mark.tier] * whole[mark]) / (able[mark.tier] * weight)
        for mark, weight in left.items()
    }
    """Of each target, what a place of it is worth where these alone are given."""
    groups: dict[Mark, list[int]] = {}
    for at, one in enumerate(given):
        for mark, weight in one:
            if weight:  # the first of its targets: what is left over of a target's places goes to its own
                groups.setdefault(mark, []).append(at)
                break
    counts = [0] * len(given)
    nested = [_group([given[at] for at in own], mark, due) for mark, own in groups.items()]
    for own, cycle in zip(groups.values(), cycle_counts(nested), strict=True):
        for at, count in zip(own, cycle, strict=True):
            counts[at] = count
    return counts


def _group(
    some: Sequence[Weighed], mark: Mark, due: Mapping[Mark, Fraction]
) -> tuple[Fraction, Sequence[int]]:
    """The first places of those that have some from one target, together and in proportion."""
    if all(len(one) == 1 and isinstance(one[0][1], int) for one in some):
        weights = [int(one[0][1]) for one in some]
        return due[mark] * sum(weights), weights
    shares = [sum((due[m] * weight for m, weight in one if weight), Fraction(0)) for one in some]
    return sum(shares, Fraction(0)), in_whole(shares)

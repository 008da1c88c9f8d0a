"""Shares within shares -> how often each member stands first in one cycle, in whole numbers.

Rules: pure, and exact wherever a cycle of `longest` places allows it. Where it doesn't, the outer shares
(between groups) come before the inner ones (within a group): a split of 90 to 10 stays 90 to 10, whatever
the weights behind it are. What is left over goes by largest remainder (Hamilton's method), ties to
the first, so that all replicas agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import gcd, lcm

MAX_CYCLE = 10_000
"""Places of the longest cycle: no share is off by more than one place in so many, 0.01 %."""


def apportion(places: int, weights: Sequence[int | Fraction]) -> list[int]:
    """`places` shared out by weight, at least one of which is above 0; the sum is `places`."""
    scale = lcm(*(w.denominator for w in weights))  # whole numbers: a service has thousands of members
    whole = [int(w * scale) for w in weights]
    total = sum(whole)
    counts = [w * places // total for w in whole]
    by_remainder = sorted(range(len(whole)), key=lambda i: (-(whole[i] * places % total), i))
    for i in by_remainder[: places - sum(counts)]:
        counts[i] += 1
    return counts


def in_whole(shares: Sequence[Fraction]) -> list[int]:
    """The smallest whole numbers in these proportions."""
    scale = lcm(*(share.denominator for share in shares))
    whole = [int(share * scale) for share in shares]
    divisor = gcd(*whole) or 1
    return [share // divisor for share in whole]


def cycle_counts(
    groups: Sequence[tuple[Fraction, Sequence[int]]], longest: int = MAX_CYCLE
) -> list[list[int]]:
    """For each group (its share, its members' weights): how many first places each member has in a cycle.

    Shares need not sum to 1; a group of share 0, or without weight above 0, gets none, and what would be
    its own goes to the others in proportion. A member of weight 0 gets none beside one above 0."""
    usable = [s > 0 and any(w > 0 for w in weights) for s, weights in groups]
    total = sum((s for (s, _), u in zip(groups, usable, strict=True) if u), Fraction(0))
    if not total:
        return [[0] * len(weights) for _, weights in groups]
    shares = [s / total if u else Fraction(0) for (s, _), u in zip(groups, usable, strict=True)]
    longest = max(longest, 4 * sum(len(weights) for _, weights in groups))
    outer = lcm(*(s.denominator for s in shares))
    if outer > longest:
        counts = apportion(longest, shares)
    else:
        counts = _lengthen([int(s * outer) for s in shares], [weights for _, weights in groups], longest)
    return _reduced(
        [
            apportion(n, weights) if n else [0] * len(weights)
            for n, (_, weights) in zip(counts, groups, strict=True)
        ]
    )


def _lengthen(counts: list[int], weights: Sequence[Sequence[int]], longest: int) -> list[int]:
    """The groups' places, times what makes the places within each exact too, or as often as they fit."""
    needed = 1
    for n, own in zip(counts, weights, strict=True):
        if n:
            whole = sum(own) // gcd(*own)
            needed = lcm(needed, whole // gcd(whole, n))
    times = needed if needed * sum(counts) <= longest else longest // sum(counts)
    return [n * times for n in counts]


def _reduced(counts: list[list[int]]) -> list[list[int]]:
    divisor = gcd(*(n for own in counts for n in own)) or 1
    return [[n // divisor for n in own] for own in counts]

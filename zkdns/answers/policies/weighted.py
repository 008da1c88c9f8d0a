"""First places in exact proportion to the weights, spread evenly; the rest shuffled by weight.

The cycle is as long as the weights' sum after division by their greatest common divisor, at most
10,000 (or four times the number of instances, if more): beyond, places are shared out by largest
remainder, so that no share is off by more than one place of the cycle.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle as cycled
from math import gcd

MAX_CYCLE = 10_000
"""The longest cycle, in answers."""

VARIETY = 1024
"""About how many different orders a Rotation may hold: what the rest's shuffle costs in memory."""

FINENESS = 16
"""How many different rests even the rarest first should meet."""

GOLDEN = 0.6180339887498949
"""Its multiples stand as far from each other as numbers can (Knuth, TAOCP 3, section 6.4)."""

Orders = tuple[tuple[int, ...], ...]


def arrange(weights: Sequence[int], cut: int) -> tuple[Orders, list[int]]:
    counts = cycle_counts(weights, max(MAX_CYCLE, 4 * len(weights)))
    return dealt(spread(counts), counts, weights, cut)


def shares(weights: Sequence[int]) -> list[float]:
    total = sum(weights)
    return [w / total for w in weights]


def cycle_counts(weights: Sequence[int], longest: int) -> list[int]:
    """How many first places each gets in one cycle."""
    divisor = gcd(*weights)
    total = sum(weights) // divisor
    if total <= longest:
        return [w // divisor for w in weights]
    total *= divisor
    counts = [w * longest // total for w in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(weights[i] * longest % total), i))
    for i in by_remainder[: longest - sum(counts)]:
        counts[i] += 1
    return counts


def spread(counts: Sequence[int]) -> list[int]:
    """Each index as often as its count says, as far from itself as it gets."""
    return [i for _, i in sorted(((2 * k + 1) / (2 * n), i) for i, n in enumerate(counts) for k in range(n))]


def dealt(
    firsts: list[int], counts: Sequence[int], weights: Sequence[int], cut: int
) -> tuple[Orders, list[int]]:
    """Orders for a cycle of first places: each first meets several rests, so that the load of a
    dead one spreads over the others by their weights."""
    size = len(weights)
    length = min(cut, size)
    cycle = len(firsts)
    rarest = min(n for n in counts if n)
    rounds = max(min(_meetings(size - 1) // rarest, VARIETY // cycle), 1) if length > 1 else 1
    most = max(VARIETY // size, 1)
    by_index = sorted(firsts)
    small = size * cycle <= 200_000
    orders: dict[tuple[int, ...], int] = {}
    met_by: list[list[int]] = []
    before = 0
    for i, n in enumerate(counts):
        met_by.append([])
        if not n:
            continue
        rest = cycle - n
        others = [j for j in firsts if j != i] if small else firsts
        variants = min(n * rounds, most) if length > 1 else 1
        stride = _coprime(variants)
        for v in range(variants):
            # Systematic sampling: at even steps through all places but its own, from a point of its own;
            # in strides, so that the same second does not come many times in a row.
            step = v * stride % variants
            at = (round(i * GOLDEN * rest) + step * rest // variants) % rest if rest else 0
            second = by_index[at if at < before else at + n] if rest else None
            order = _order(i, second, others, v + i, length, weights)
            met_by[i].append(orders.setdefault(order, len(orders)))
        before += n
    turns = [cycled(found) for found in met_by]
    return tuple(orders), [next(turns[i]) for _ in range(rounds) for i in firsts]


def _meetings(others: int) -> int:
    """How many seconds the rarest first should meet: each other one equally often, and enough of them
    that unequal weights show."""
    return -(-FINENESS // others) * others


def _order(
    first: int, second: int | None, others: list[int], turn: int, length: int, weights: Sequence[int]
) -> tuple[int, ...]:
    """`first`, `second`, then what is met on a walk through `others` in wide strides (so that neighbours
    in the cycle are not neighbours here). What the walk misses follows in turn, and weight 0 last."""
    order = {first: None}
    if second is not None:
        order[second] = None
    if length <= 2 and len(order) >= length:
        return tuple(order)[:length]
    if others:
        n = len(others)
        stride = _coprime(n)
        at = turn * stride % n
        for _ in range(min(n, 4 * length)):
            order[others[at]] = None
            if len(order) >= length:
                return tuple(order)
            at = (at + stride) % n
    for group in ([i for i, w in enumerate(weights) if w], [i for i, w in enumerate(weights) if not w]):
        missed = [i for i in group if i not in order]
        at = turn % len(missed) if missed else 0
        order.update(dict.fromkeys(missed[at:] + missed[:at]))
    return tuple(order)[:length]


_strides: dict[int, int] = {}


def _coprime(n: int) -> int:
    """The step nearest to the golden section of n that visits every place."""
    if n not in _strides:
        step = max(1, round(n * 0.618))
        while gcd(step, n) != 1:
            step += 1
        _strides[n] = step
    return _strides[n]

"""First places in exact proportion to the weights, spread evenly; the rest shuffled by weight.

The cycle is as long as the weights' sum after division by their greatest common divisor, at most
10,000 (or four times the number of instances, if more): beyond, places are shared out by largest
remainder, so that no share is off by more than one place of the cycle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import cycle as cycled
from math import gcd

from zkdns.answers.spliced import MIN_PLACES, Spliced, is_wide, ring

MAX_CYCLE = 10_000
"""The longest cycle, in answers."""

VARIETY = 1024
"""About how many different orders a Rotation may hold: what the rest's shuffle costs in memory."""

FINENESS = 16
"""How many different rests even the rarest first should meet."""

GOLDEN = 0.6180339887498949
"""Its multiples stand as far from each other as numbers can (Knuth, TAOCP 3, section 6.4)."""

SHORT = 8
"""Times the places of an order that a short cycle has: it is walked once from each place, for all firsts."""

FINE = 1 << 40
"""Parts of a cycle that a place is reckoned in."""

Orders = Sequence[tuple[int, ...]]


def arrange(weights: Sequence[int], cut: int) -> tuple[Orders, list[int]]:
    counts = cycle_counts(weights, max(MAX_CYCLE, 4 * len(weights)))
    return orders_of(spread(counts), counts, weights, cut)


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
    size = len(counts)
    keys: list[int] = []
    for i, n in enumerate(counts):
        if n:
            # The k-th of n stands at (2k + 1) / 2n of the cycle; the index decides where two meet. Whole
            # numbers in even steps, since a cycle is ten thousand places and services are thousands.
            step = FINE // n * size
            first = FINE // n // 2 * size + i
            keys += range(first, first + n * step, step)
    keys.sort()
    return [key % size for key in keys]


def orders_of(
    firsts: list[int], counts: Sequence[int], weights: Sequence[int], cut: int
) -> tuple[Orders, list[int]]:
    """Orders for a cycle of first places: each first meets several rests, so that the load of a
    dead one spreads over the others by their weights."""
    size = len(weights)
    length = min(cut, size)
    cycle = len(firsts)
    rarest = min(n for n in counts if n)
    rounds = max(min(_meetings(size - 1) // rarest, VARIETY // cycle), 1) if length > 1 else 1
    most = max(min(VARIETY // size, MIN_PLACES // (size * length)), 1)
    rest_of = _Rests(weights, [i for i, n in enumerate(counts) for _ in range(n)], length)
    orders: dict[tuple[int, ...], int] = {}
    met_by: list[list[int]] = []
    before = 0
    for i, n in enumerate(counts):
        met_by.append([])
        if not n:
            continue
        rest = cycle - n
        variants = min(n * rounds, most) if length > 1 else 1
        stride = _coprime(variants)
        for v in range(variants):
            # Systematic sampling: at even steps through all places but its own, from a point of its own;
            # in strides, so that the same second does not come many times in a row.
            step = v * stride % variants
            at = (round(i * GOLDEN * rest) + step * rest // variants) % rest if rest else 0
            order = rest_of.order(i, at, before, n, v + i)
            met_by[i].append(orders.setdefault(order, len(orders)))
        before += n
    turns = [cycled(ids) for ids in met_by]
    sequence = list(map(next, map(turns.__getitem__, firsts * rounds)))
    return rest_of.spliced(orders) if rest_of.wide else tuple(orders), sequence


class _Rests:
    """What follows a first place. `by_index`: the cycle's first places, sorted. Where the orders are wide, an
    order is known by its first, its second and where in the ring its rest begins."""

    def __init__(self, weights: Sequence[int], by_index: list[int], length: int) -> None:
        self.live = [i for i, w in enumerate(weights) if w]
        self.idle = [i for i, w in enumerate(weights) if not w]
        self.by_index, self.length = by_index, length
        self.wide = is_wide(len(weights), length)
        self.decided = length <= 2 or len(weights) <= 3
        self._known: dict[tuple[int, int], tuple[int, ...]] = {}
        self._walks: dict[int, tuple[int, ...]] = {}

    def order(self, first: int, at: int, before: int, n: int, turn: int) -> tuple[int, ...]:
        """`first`, then who stands at `at` in the cycle without the `n` places of `first`, which begin at
        `before`; then the rest."""
        cycle = self.by_index
        rest = len(cycle) - n
        second = cycle[at if at < before else at + n] if rest else -1
        if self.wide:
            return first, second, turn * _coprime(len(self.live)) % len(self.live)
        if not self.decided:
            return self._walk(first, second, before, n, turn)
        order = self._known.get((first, second))
        if order is None:
            order = self._known[first, second] = self._walk(first, second, before, n, turn)
        return order

    def _walk(self, first: int, second: int, before: int, n: int, turn: int) -> tuple[int, ...]:
        """`first`, `second`, then what is met on a walk through the others in wide strides (so that
        neighbours in the cycle are not neighbours here). What the walk misses follows in turn, and weight
        0 last."""
        cycle, length = self.by_index, self.length
        rest = len(cycle) - n
        if not rest:
            order = {first: None}
        elif len(cycle) <= SHORT * length:
            met = self._met(turn % len(cycle))
            whole = (first, second, *[i for i in met if i != first and i != second])
            if len(whole) >= length:
                return whole[:length]
            order = dict.fromkeys(whole)
        else:
            order = {first: None, second: None}
            stride = _coprime(rest)
            at = turn * stride % rest
            for _ in range(min(rest, 4 * length)):
                if len(order) >= length:
                    break
                order[cycle[at if at < before else at + n]] = None
                at = (at + stride) % rest
        for group in (self.live, self.idle):
            if len(order) < length:
                begin = turn % len(group) if group else 0
                order.update(dict.fromkeys(group[begin:] + group[:begin]))
        return tuple(order)[:length]

    def _met(self, begin: int) -> tuple[int, ...]:
        """Who is met on a walk round a short cycle that begins there, as many as any order needs."""
        met = self._walks.get(begin)
        if met is None:
            cycle, stride = self.by_index, _coprime(len(self.by_index))
            steps = range(begin * stride, (begin + len(cycle)) * stride, stride)
            round_it = dict.fromkeys([cycle[at % len(cycle)] for at in steps])
            met = self._walks[begin] = tuple(round_it)[: self.length + 2]
        return met

    def spliced(self, keys: Iterable[tuple[int, ...]]) -> Spliced:
        """The orders that these keys stand for."""
        size = len(self.live)
        stride = _coprime(size)
        members = [self.live[k * stride % size] for k in range(size)]
        place = {i: at for at, i in enumerate(members)}
        orders = Spliced(members + members + self.idle)
        for first, second, begin in keys:
            ahead = [place[i] for i in (first, second) if i >= 0]
            spans = [(at, at + 1) for at in ahead] + ring(0, size, begin, ahead)
            orders.add([*spans, (2 * size, 2 * size + len(self.idle))], self.length)
        return orders


def _meetings(others: int) -> int:
    """How many seconds the rarest first should meet: each other one equally often, and enough of them
    that unequal weights show."""
    return -(-FINENESS // others) * others


_strides: dict[int, int] = {}


def _coprime(n: int) -> int:
    """The step nearest to the golden section of n that visits every place."""
    if n not in _strides:
        step = max(1, round(n * 0.618))
        while gcd(step, n) != 1:
            step += 1
        _strides[n] = step
    return _strides[n]

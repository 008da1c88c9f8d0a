"""Each in turn, in the order of ids, whatever the weights; those of weight 0 stay behind."""

from __future__ import annotations

from collections.abc import Sequence

from zkdns.answers.policies.weighted import Orders
from zkdns.answers.spliced import Spliced, is_wide


def arrange(weights: Sequence[int], cut: int) -> tuple[Orders, list[int]]:
    ring = [i for i, w in enumerate(weights) if w]
    last = [i for i, w in enumerate(weights) if not w]
    turned = ring + ring
    length, size = min(cut, len(weights)), len(ring)
    if is_wide(len(weights), length):
        windows = Spliced(turned + last)
        for k in range(size):
            windows.add([(k, k + size), (2 * size, 2 * size + len(last))], length)
        return windows, list(range(size))
    orders = tuple(tuple((turned[k : k + min(cut, len(ring))] + last)[:cut]) for k in range(len(ring)))
    return orders, list(range(len(ring)))


def shares(weights: Sequence[int]) -> list[float]:
    ring = sum(1 for w in weights if w)
    return [1 / ring if w else 0.0 for w in weights]

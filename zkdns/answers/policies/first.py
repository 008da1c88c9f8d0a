"""Always the same order, by id; those of weight 0 stay behind."""

from __future__ import annotations

from collections.abc import Sequence

from zkdns.answers.policies.weighted import Orders


def arrange(weights: Sequence[int], cut: int) -> tuple[Orders, list[int]]:
    order = sorted(range(len(weights)), key=lambda i: (not weights[i], i))
    return (tuple(order[:cut]),), [0]


def shares(weights: Sequence[int]) -> list[float]:
    first = next(i for i, w in enumerate(weights) if w)
    return [float(i == first) for i in range(len(weights))]

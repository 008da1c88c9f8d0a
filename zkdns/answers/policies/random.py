"""Each first equally often, in no order that a client could guess by counting; those of weight 0 stay behind.

The shuffle is the same on every replica (it comes from the numbers alone); replicas and restarts
differ by where in the cycle they stand.
"""

from __future__ import annotations

from collections.abc import Sequence

from zkdns.answers.policies import round_robin, weighted
from zkdns.answers.policies.weighted import Orders


def arrange(weights: Sequence[int], cut: int) -> tuple[Orders, list[int]]:
    equal = [1 if w else 0 for w in weights]
    orders, sequence = weighted.orders_of(weighted.spread(equal), equal, equal, cut)
    # Knuth's multiplicative hash as the sort key: a fixed permutation without visible order.
    shuffled = sorted(range(len(sequence)), key=lambda k: ((k + 1) * 2654435761) & 0xFFFFFFFF)
    return orders, [sequence[k] for k in shuffled]


shares = round_robin.shares

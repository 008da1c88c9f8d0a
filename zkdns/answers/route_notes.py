"""What people are told of a route whose first tier does not bear all: which tiers give, and why.

Rules: pure.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from zkdns.answers.routed import InForce
from zkdns.answers.routes import Composed
from zkdns.routes import Target


def tell_giving(in_force: InForce, composed: Composed, count: Callable[[Target], tuple[int, int]]) -> str:
    """`failed over to dc2 (0 of 3 healthy)`, `40 % spilled to dc2`, or nothing. `count`: how many of how many
    instances of a target are healthy."""
    asked = [n for n, tier in enumerate(in_force.tiers) if any(share for _, share in tier)]
    if not asked or not composed.pool.first:
        return ""
    giving = [n for n, part in enumerate(composed.parts) if part]
    beyond = [n for n in giving if n > asked[0]]
    if not beyond:
        return ""
    names = dict.fromkeys(
        target.registry or str(target) for n in beyond for target, share in composed.due[n] if share
    )
    where = " and ".join(names)
    if giving[0] == asked[0]:
        part = sum((composed.parts[n] for n in beyond), Fraction(0)) * 100
        return f"{round(float(part)) or '<1'} % spilled to {where}"
    counts = [count(target) for target, share in in_force.tiers[asked[0]] if share]
    return f"failed over to {where} ({sum(n for n, _ in counts)} of {sum(n for _, n in counts)} healthy)"

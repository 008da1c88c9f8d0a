"""A route's targets, each with the share that it is due and the one that it was given.

Rules: pure; told by the same arithmetic that the answers are compiled of.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from msgspec import Struct

from zkdns.answers.routed import Routed
from zkdns.routes import Target


class TargetShare(Struct, frozen=True):
    """One target of one tier (the first is 1). `share`: as it is written, within its tier; `due`, `given`:
    parts of all first places, 0 to 1; `answers`: how often one of it stood first since the shares changed
    last; `healthy` of `registered` instances."""

    tier: int
    target: Target
    share: float
    due: float
    given: float
    answers: int
    healthy: int
    registered: int

    def row(self) -> dict[str, Any]:
        """For the API."""
        return {
            "target": str(self.target),
            "tier": self.tier,
            "share": self.share,
            "due": round(self.due, 6),
            "given": round(self.given, 6),
            "first_answers": self.answers,
            "healthy": self.healthy,
            "instances": self.registered,
        }


def target_shares(route: Routed, answers: Mapping[str, int]) -> list[TargetShare]:
    """`answers`: how often each instance stood first, by its key. What two targets share counts for each
    as far as it has its places from that."""
    counts: dict[int, Fraction] = {}
    first = route.name.first[0] if route.name.first else ()
    for instance, shared in zip(first, route.composed.groups, strict=True):
        for mark, part in shared:
            counts[mark.target] = counts.get(mark.target, Fraction(0)) + part * answers.get(instance.key, 0)
    total = sum(answers.values())
    rows: list[TargetShare] = []
    for tier, (written, due) in enumerate(zip(route.in_force.tiers, route.composed.due, strict=True), 1):
        for (target, share), (_, part) in zip(written, due, strict=True):
            own = counts.get(len(rows), Fraction(0))
            healthy, registered = route.healthy.get(target, (0, 0))
            given = float(own / total) if total else 0.0
            row = TargetShare(tier, target, float(share), float(part), given, round(own), healthy, registered)
            rows.append(row)
    return rows

"""What part of first places each instance of a service should get.

Rules: pure; the same figures for page, API, explain and command line.
"""

from __future__ import annotations

from zkdns.answers import policies, records
from zkdns.model import Service


def shares_of(service: Service) -> dict[str, float]:
    """By id, 0 to 1; those of the lowest priority that is given out share 1 among them."""
    found = dict.fromkeys((i.id for i in service.instances), 0.0)
    serving = records.answered(service.instances)
    if serving:
        first = serving[0]
        parts = policies.shares(service.settings.policy, [i.weight for i in first])
        found.update((i.id, share) for i, share in zip(first, parts, strict=True))
    return found

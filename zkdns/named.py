"""Which service, and which instance, a person means by a name.

Rules: pure. What is registered so comes first, then what has it as its label, in any case, since DNS knows
none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zkdns.model import Instance, Service


def find_service(services: Mapping[str, Service], name: str) -> Service | None:
    if (service := services.get(name)) is not None:
        return service
    label = name.lower()
    return next((s for s in services.values() if s.label == label and not s.view_of), None)


def find_instance(instances: Iterable[Instance], id: str) -> Instance | None:
    label, named = id.lower(), None
    for instance in instances:
        if instance.id == id:
            return instance
        if instance.label == label and named is None:
            named = instance
    return named

"""Which DNS name a person means who asks why an answer is so.

Rules: pure. What is in a zone, or ends in a dot, or is an address, is a DNS name, whoever registered
something under it; else it may be a service's as registered or as in DNS, or SERVICE/ID, as the other
commands take them. ValueError, in words for people, where it is none of these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from zkdns.dns import names
from zkdns.explain.explain import read_name
from zkdns.model import Service
from zkdns.named import find_instance, find_service
from zkdns.registry.labels import to_label


def read_meant(
    text: str, zone: str, is_inside: Callable[[bytes], bool], services: Mapping[str, Service]
) -> bytes:
    """`zone`: the first of ours, in which names of services are meant; `is_inside` tells of a name whether it
    is in one of ours."""
    text = text.strip()
    try:
        qname = read_name(text)
    except ValueError:
        if (meant := _find(text, zone, services)) is None:
            raise
        return names.wire(meant)
    if text.endswith(".") or names.address_of(qname) is not None or is_inside(qname):
        return qname
    return names.wire(_find(text, zone, services) or whole(text, zone))


def _find(text: str, zone: str, services: Mapping[str, Service]) -> str | None:
    """The name of a service that there is, or below its own."""
    name, slash, id = text.partition("/")
    service = find_service(services, name) if name else None
    if service is None or bool(slash) != bool(id):
        return None
    if not slash:
        return f"{service.label}.{zone}"
    instance = find_instance(service.instances, id)
    return f"{instance.label if instance is not None else to_label(id)}.{service.label}.{zone}"


def whole(name: str, zone: str) -> str:
    """The same where nobody knows which services there are."""
    service, slash, id = name.strip().partition("/")
    if slash and service and id and "." not in service and not id.endswith("in-addr.arpa"):  # RFC 2317
        return f"{to_label(id)}.{to_label(service)}.{zone}"
    if not slash and service and not any(mark in service for mark in ".:"):
        return f"{service}.{zone}"
    return name

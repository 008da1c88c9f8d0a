"""Services that nobody has asked for: their names exist, and what they answer is compiled at the first
question.

Rules: pure. A registry of thousands has few services that anyone asks for, and what each says takes most of
the time of a start and most of its memory. What is compiled late is the same as what is compiled early (tests
hold it).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from zkdns.answers import records
from zkdns.answers.service import ServiceAnswers, readable
from zkdns.answers.table import Name, Position, Sections, Table, Zone
from zkdns.dns import names
from zkdns.model import Service

MAX_INSTANCES: Final = 100
"""A larger service is compiled at once: who asks first should wait for a millisecond or two at most."""


class Asleep(Exception):
    """The answer is of `service`, which is not compiled yet: have it compiled, and ask again."""

    def __init__(self, service: str) -> None:
        super().__init__(f"{service} is not compiled yet")
        self.service = service


class Deferred(Struct, frozen=True):
    """Stands at the names of a service that is not compiled, and for all that is below them."""

    service: str

    def answer(self, qname: bytes, qtype: int, table: Table, position: Position, room: int) -> Sections:
        raise Asleep(self.service)


def defer(service: Service, zones: Iterable[Zone], ttl: int, origin: int) -> ServiceAnswers | None:
    """What stands for a service until it is asked for; None where it is to be compiled at once: it is large,
    or what its names give depends on where clients stand or on other services."""
    settings = service.settings
    if len(service.instances) > MAX_INSTANCES or settings.near != "off" or service.view_of:
        return None
    ttl = ttl if settings.ttl is None else settings.ttl
    protocols = records.protocols(readable(service).instances)
    own, below = names.label(service.label), names.label(names.underscored(service.label))
    known: dict[bytes, Name] = {}
    for zone in zones:
        name = Name(zone.index, responder=Deferred(service.name), origin=origin)
        known[own + zone.apex] = name
        for protocol in protocols:
            known[below + names.label("_" + protocol) + zone.apex] = name
    return ServiceAnswers(service, ttl, {}, known, None, protocols, origin=origin, deferred=True)

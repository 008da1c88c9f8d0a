"""What a Builder held at one moment: for those who look while it goes on, from any thread.

Rules: pure; nothing of it is ever written again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from zkdns.answers.compilation import Surroundings, compile_service
from zkdns.answers.first_places import FirstPlaceCounts
from zkdns.answers.nested import zones_of
from zkdns.answers.routed import NOTHING, Beyond
from zkdns.answers.service import ServiceAnswers
from zkdns.answers.table import EVERY, Entry, Name, Staleness, Zone
from zkdns.client_map import NO_CLIENTS, ClientMap
from zkdns.dns import names
from zkdns.model import Service
from zkdns.topology import NO_TOPOLOGY, Topology


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """`files`: the names of zone files; `position_of` moves nothing."""

    zones: tuple[Zone, ...]
    zone_names: tuple[str, ...]
    addresses: tuple[str, ...]
    ttl: int
    serial: int
    staleness: Mapping[int, Staleness]
    services: Mapping[str, ServiceAnswers]
    files: Mapping[bytes, Name]
    position_of: Callable[[Entry], int]
    topology: Topology = NO_TOPOLOGY
    clients: ClientMap = NO_CLIENTS
    first_places: FirstPlaceCounts = field(default_factory=FirstPlaceCounts)

    def is_inside(self, qname: bytes) -> bool:
        """Whether a name is in a zone of ours, or of a zone file's."""
        above = (qname, *names.suffixes(qname))
        return bool(zones_of(qname, self.zones)) or any(name in self.files for name in above)

    def standing(self) -> dict[str, Service]:
        """The services, by name, as they stand in the answers."""
        return {name: answers.service for name, answers in self.services.items()}

    def recent_first_answers(self, service: str) -> dict[str, int]:
        """How often each instance stood first since the weights of the service's instances changed last."""
        answers = self.services.get(service)
        standing = answers.first_places.values() if answers is not None else ()
        return self.first_places.given(service, standing, self.position_of).recent()

    def compile(
        self, service: Service, beyond: Beyond | None = None, until: bytes | None = None
    ) -> ServiceAnswers:
        """What would stand for this service, had it been so at that moment; records of its names until
        this one."""
        old, beyond = self.services.get(service.name), beyond or self.beyond(service.name)
        counters, origin = (old.counters(), old.origin) if old else ({}, EVERY)
        around = Surroundings(self.zones, self.ttl, self.topology)
        return compile_service(service, around, counters, origin, beyond, until)

    def beyond(self, name: str) -> Beyond:
        """What a service's names give beside its own instances."""
        return self.services[name].beyond if name in self.services else NOTHING

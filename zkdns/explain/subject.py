"""Which service and which of its instances a name is about.

Rules: pure. It finds by the same `owners` that the table is compiled of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from zkdns.answers import records
from zkdns.answers.nested import zones_of
from zkdns.answers.owners import having_all, owners
from zkdns.answers.routed import NOTHING, Beyond, Routed
from zkdns.answers.table import Zone
from zkdns.answers.tag_names import MAX_TAGS
from zkdns.answers.zone_names import FOLDER, MODES
from zkdns.dns import names
from zkdns.dns.records import packed
from zkdns.model import Instance, Service, State

Kind: TypeAlias = Literal[
    "service", "protocol", "port", "tag", "instance", "reverse", "near", "below", "zone", "foreign"
]


@dataclass(frozen=True, slots=True)
class Subject:
    """`group`: the instances that the name is about; the others of the service are shown as out.

    `kind`: `protocol` is `_web._tcp`, `port` is `_http._tcp.web` (its name in `port`), `near` is
    `ZONE.MODE._zone.web` (its `mode`), `below` some other name under a service's, `zone` any other name in
    a zone of ours. `word`: the tag, the protocol, the port or the zone for people.
    """

    kind: Kind
    qname: bytes
    zone: Zone | None = None
    services: tuple[Service, ...] = ()
    group: tuple[Instance, ...] = ()
    port: str | None = None
    word: str = ""
    serving: Sequence[Sequence[Instance]] = ()
    levels: Sequence[Sequence[Instance]] | None = None
    """Who SRV gives, where the name is a route."""
    route: Routed | None = None
    mode: str = ""

    @property
    def service(self) -> Service | None:
        return self.services[0] if len(self.services) == 1 else None

    def shown(self) -> Iterator[tuple[Service, Instance]]:
        """The instances to tell about: all of the service, or those that the name alone is about."""
        if self.kind in ("instance", "reverse"):
            about = {id(i) for i in self.group}
            pairs = [(s, i) for s in self.services for i in s.instances if id(i) in about]
            yield from pairs or ((s, i) for s in self.services for i in self.group)
        elif self.route is not None:
            own = {i.path for i in self.group}
            own |= {path.partition(":")[2] for path in own}  # the same one, as its registry alone holds it
            yield from ((s, i) for s in self.services for i in s.instances if i.path not in own)
            yield from ((s, i) for s in self.services for i in self.group)
        elif self.kind != "below":
            yield from ((s, i) for s in self.services for i in s.instances)
            own = {i.path for s in self.services for i in s.instances}
            yield from ((s, i) for s in self.services for i in self.group if i.path not in own)


def locate(
    services: Mapping[str, Service], zones: Sequence[Zone], qname: bytes,
    beyond: Callable[[str], Beyond] = lambda name: NOTHING,
) -> Subject:  # fmt: skip
    """What the wire name `qname` (lower case) is about. `beyond`: what a service's names give beside its own
    instances."""
    inside = zones_of(qname, zones)
    if not inside:
        return _locate_reverse(services, qname)
    subject = Subject("zone", qname, inside[0])
    for zone in inside:  # the longest of which a service has the name
        labels = [label.decode("latin-1") for label in names.labels(qname[: -len(zone.apex)] + names.ROOT)]
        one = _locate_inside(services, zone, qname, labels, beyond) if labels else None
        if not labels or (one is not None and one.kind != "below"):
            return one or subject
        subject = one if one is not None and subject.kind == "zone" else subject
    return subject


def _locate_reverse(services: Mapping[str, Service], qname: bytes) -> Subject:
    address = names.address_of(qname)
    if address is None:
        return Subject("foreign", qname)
    pairs = [(s, i) for s in services.values() for i in s.instances if address in map(packed, i.addresses)]
    holders = {s.name: s for s, _ in pairs}
    return Subject("reverse", qname, None, tuple(holders.values()), tuple(i for _, i in pairs))


def _locate_inside(
    services: Mapping[str, Service], zone: Zone, qname: bytes, labels: list[str],
    beyond: Callable[[str], Beyond],
) -> Subject | None:  # fmt: skip
    """A name of a service, or below one; None for the zone's own."""
    by_label = {s.label: s for s in services.values() if not s.view_of}
    service = by_label.get(labels[-1])
    if service is None and len(labels) > 1 and labels[-1] in ("_tcp", "_udp"):
        service = next((s for s in by_label.values() if names.underscored(s.label) == labels[-2]), None)
    if service is None:
        return None
    more = beyond(service.name)
    for about in owners(service, zone.apex, more):
        if about.owner == qname:
            route = more.route if about.levels is not None else None
            described = _describe(service, zone, about, labels)
            return replace(described, serving=about.serving, levels=about.levels, route=route)
    own = labels[:-1] if labels[-1] == service.label else labels[:-2]
    if len(own) == 3 and own[1] in MODES and own[2] == FOLDER:
        named = Subject("near", qname, zone, (service,), service.instances, word=own[0], mode=own[1])
        if more.route is None:
            return replace(named, serving=records.answered(service.instances))
        given = more.route.name
        return replace(named, group=given.group, serving=given.first, levels=given.levels, route=more.route)
    if len(own) == 1:
        instance = next((i for i in (*service.instances, *more.guests) if i.label == own[0]), None)
        if instance is not None:
            return Subject("instance", qname, zone, (service,), (instance,))
    if 1 < len(own) <= MAX_TAGS and labels[-1] == service.label:
        every = (*service.instances, *more.guests)
        readable = (i for i in every if i.state is not State.UNREADABLE)
        having = having_all(readable, own, {i.key for i in more.guests})
        if having:
            serving = records.answered(having)
            return Subject("tag", qname, zone, (service,), having, word=".".join(own), serving=serving)
    return Subject("below", qname, zone, (service,))


def _describe(service: Service, zone: Zone, about: records.OwnerName, labels: list[str]) -> Subject:
    alone = (service,)
    if about.port is not None:
        return Subject("port", about.owner, zone, alone, about.group, about.port, labels[1].lstrip("_"))
    if not about.counted:
        return Subject("tag", about.owner, zone, alone, about.group, word=labels[0])
    if labels[0].startswith("_"):
        return Subject("protocol", about.owner, zone, alone, about.group, word=labels[1].lstrip("_"))
    return Subject("service", about.owner, zone, alone, about.group)

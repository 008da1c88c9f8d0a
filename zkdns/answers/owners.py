"""The names of one service, and which instances each is about.

Rules: pure. All names that can be enumerated cheaply; those of single instances, and of several tags at once,
are spelled when they are asked for.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import TypeAlias

from zkdns.answers import records
from zkdns.answers.late_names import NONE_LATE, Late, find_late
from zkdns.answers.ports import by_port, tag_labels
from zkdns.answers.records import OwnerName
from zkdns.answers.routed import NOTHING, Beyond, Given, Routed
from zkdns.dns import ede, names
from zkdns.dns.types import SRV
from zkdns.model import Instance, Service

SERVER = ("ns", "dns")
"""The labels of each zone's own server, below its apex."""

Tagged: TypeAlias = Mapping[str, Sequence[Instance]]
"""Who has each tag."""

WithPorts: TypeAlias = Mapping[tuple[str, str], tuple[Instance, ...]]
"""By protocol and port, who has it."""


def tags_of(instance: Instance) -> dict[str, None]:
    """Its tags as labels ("v1.0" and "v1-0" are one); its registry's name is one where there are several."""
    tags = instance.registration.tags
    words = (*tags, instance.registry) if instance.registry else tags
    return dict.fromkeys(chain.from_iterable(map(tag_labels, words)))


def taken_from_tags(service: Service, guests: Sequence[Instance] = ()) -> set[str]:
    """Labels below the service's own that are no tag's: instances have them, or the zone's own server."""
    taken = {i.label for i in (*service.instances, *guests)}
    return taken | {SERVER[0]} if service.label == SERVER[1] else taken


def by_tag(instances: Iterable[Instance]) -> dict[str, list[Instance]]:
    """Who has each tag."""
    tagged: dict[str, list[Instance]] = {}
    for i in instances:
        for tag in tags_of(i) if i.registration.tags or i.registry else ():
            tagged.setdefault(tag, []).append(i)
    return tagged


def having_tags(service: Service, guests: Sequence[Instance] = (), tagged: Tagged | None = None) -> Tagged:
    """By tag whom its name gives: the service's own instances, and as a registry's name those that this
    registry alone holds. `tagged`: which of its own have each tag, where that is known already."""
    tagged = by_tag(service.instances) if tagged is None else tagged
    if guests:
        alone: dict[str, list[Instance]] = {}
        for guest in guests:
            alone.setdefault(tag_labels(guest.registry)[0], []).append(guest)
        both = {tag: [*alone[tag], *own] for tag, own in tagged.items() if tag in alone}
        ordered = {tag: sorted(some, key=attrgetter("id")) for tag, some in both.items()}
        tagged = {**alone, **tagged, **ordered}
    return tagged


def having_all(
    some: Iterable[Instance], tags: Iterable[str], guests: Container[str] = ()
) -> tuple[Instance, ...]:
    """Those of them that have all of these tags; of guests, by their keys, where their registry's name is one
    of these: no other tag's name gives any."""
    wanted = set(tags)
    return tuple(
        [
            i
            for i in some
            if wanted <= tags_of(i).keys() and (i.key not in guests or tag_labels(i.registry)[0] in wanted)
        ]
    )


def having_ports(service: Service) -> WithPorts:
    """Whom the name of each port gives."""
    return {
        (protocol, port): having
        for protocol in records.protocols(service.instances)
        for port, having in by_port(records.of_protocol(service.instances, protocol)).items()
    }


def late_of(
    service: Service, having: Tagged, ports: WithPorts, guests: Sequence[Instance], zones: int,
    ready: int | None = None,
) -> Late:  # fmt: skip
    """The names that are too many to be ready in so many zones. `having`: whom each tag's name gives."""
    taken = taken_from_tags(service, guests) if having else ()
    tags = {tag: those for tag, those in having.items() if tag and tag not in taken}
    return Late(find_late(tags, zones, ready), find_late(ports, zones, ready))


def owners(
    service: Service, zone: bytes, beyond: Beyond = NOTHING, tagged: Tagged | None = None,
    late: Late = NONE_LATE, ports: WithPorts | None = None,
) -> Iterator[OwnerName]:  # fmt: skip
    """Every name of the service that can be enumerated cheaply: all but those of single instances, and those
    that are `late`. `tagged`, `ports`: whom each tag's name gives, and each port's, where that is known."""
    if beyond.route is None:
        yield from _own(service, zone, having_ports(service) if ports is None else ports, late)
    else:
        yield from _routed(service, zone, beyond.route)
    having = having_tags(service, beyond.guests) if tagged is None else tagged
    yield from _tags(service, zone, having, beyond.guests, late)


def _routed(service: Service, zone: bytes, route: Routed) -> Iterator[OwnerName]:
    """The names that a route gives others for."""
    label = service.label
    name = names.label(label) + zone
    whole = route.name
    yield _given(name, label, whole, records.DEALT)
    for protocol, given in route.protocols.items():
        below = names.label("_" + protocol)
        owner = names.label(names.underscored(label)) + below + zone
        yield _given(owner, label, given, (SRV,))
        for (of, port), having in route.ports.items():
            if of == protocol:
                owner = names.label("_" + port) + below + name
                yield _given(owner, f"{label}:{port}", having, (SRV,), port)


def _given(owner: bytes, about: str, of: Given, types: tuple[int, ...], port: str | None = None) -> OwnerName:
    return OwnerName(owner, about, of.group, of.first, types, port, levels=of.levels, parts=of.parts)


def _own(service: Service, zone: bytes, ports: WithPorts, late: Late) -> Iterator[OwnerName]:
    """The names of all instances, of those of a protocol, and of those with a port."""
    name = names.label(service.label) + zone
    everyone = service.instances
    serving = records.answered(everyone)
    yield OwnerName(name, service.label, everyone, serving, records.DEALT)
    for protocol in records.protocols(everyone):
        of_protocol = records.of_protocol(everyone, protocol)
        below = names.label("_" + protocol)
        given = serving if len(of_protocol) == len(everyone) else records.answered(of_protocol)
        owner = names.label(names.underscored(service.label)) + below + zone
        yield OwnerName(owner, service.label, of_protocol, given, (SRV,))
        for (of, port), having in ports.items():
            if of != protocol or (of, port) in late.ports:
                continue
            those = given if len(having) == len(of_protocol) else records.answered(having)
            owner = names.label("_" + port) + below + name
            yield OwnerName(owner, f"{service.label}:{port}", having, those, (SRV,), port)


def _tags(
    service: Service, zone: bytes, having: Tagged, guests: Sequence[Instance], late: Late
) -> Iterator[OwnerName]:
    """The names of tags and offices."""
    name = names.label(service.label) + zone
    taken = taken_from_tags(service, guests) if having or service.offices else ()
    for tag, those in having.items():
        if tag and tag not in taken and tag not in late.tags:
            yield records.of_tag(names.label(tag) + name, tag, service.label, those)
    leader = service.offices[0] if service.offices else ""
    for office in service.offices:
        if office not in having and office not in taken:
            # Without the first of them nobody leads; else the others' words alone are vacant.
            vacant = office if leader in having else leader
            nobody = ede.about(service.label, f"no {vacant}")
            about = f"{office}.{service.label}"
            yield OwnerName(names.label(office) + name, about, (), [], (), counted=False, nobody=nobody)

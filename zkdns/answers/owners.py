"""The names of one service, and which instances each is about.

Rules: pure. All names that can be enumerated cheaply; those of single instances, and of several tags at once,
are spelled when they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from zkdns.answers import records
from zkdns.answers.records import OwnerName
from zkdns.answers.routed import NOTHING, Beyond, Routed
from zkdns.dns import ede, names
from zkdns.dns.types import SRV
from zkdns.model import Instance, Service

SERVER = ("ns", "dns")
"""The labels of each zone's own server, below its apex."""


def tags_of(instance: Instance) -> dict[str, None]:
    """Its tags as labels ("v1.0" and "v1-0" are one); its registry's name is one where there are several."""
    tags = instance.registration.tags
    words = (*tags, instance.registry) if instance.registry else tags
    return dict.fromkeys(map(records.tag_label, words))


def taken_from_tags(service: Service, guests: Sequence[Instance] = ()) -> set[str]:
    """Labels below the service's own that are no tag's: instances have them, or the zone's own server."""
    taken = {i.label for i in (*service.instances, *guests)}
    return taken | {SERVER[0]} if service.label == SERVER[1] else taken


def by_tag(instances: Iterable[Instance]) -> dict[str, list[Instance]]:
    """Who has each tag."""
    tagged: dict[str, list[Instance]] = {}
    for i in instances:
        for tag in tags_of(i):
            tagged.setdefault(tag, []).append(i)
    return tagged


def owners(
    service: Service,
    zone: bytes,
    beyond: Beyond = NOTHING,
    tagged: Mapping[str, Sequence[Instance]] | None = None,
) -> Iterator[OwnerName]:
    """Every name of the service that can be enumerated cheaply: all but those of single instances. `tagged`:
    which of its instances have each tag, where that is known already."""
    if beyond.route is None:
        yield from _own(service, zone)
    else:
        yield from _routed(service, zone, beyond.route)
    yield from _tags(service, zone, by_tag(service.instances) if tagged is None else tagged, beyond.guests)


def _routed(service: Service, zone: bytes, route: Routed) -> Iterator[OwnerName]:
    """The names that a route gives others for."""
    label = service.label
    name = names.label(label) + zone
    whole = route.name
    yield OwnerName(name, label, whole.group, whole.first, records.DEALT, levels=whole.levels)
    for protocol, given in route.protocols.items():
        below = names.label("_" + protocol)
        owner = names.label(names.underscored(label)) + below + zone
        yield OwnerName(owner, label, given.group, given.first, (SRV,), levels=given.levels)
        for (of, port), having in route.ports.items():
            if of == protocol:
                owner = names.label("_" + port) + below + name
                about = f"{label}:{port}"
                yield OwnerName(owner, about, having.group, having.first, (SRV,), port, levels=having.levels)


def _own(service: Service, zone: bytes) -> Iterator[OwnerName]:
    """The names of all instances, of those of a protocol, and of those with a port."""
    name = names.label(service.label) + zone
    everyone = service.instances
    serving = records.answered(everyone)
    yield OwnerName(name, service.label, everyone, serving, records.DEALT)
    for protocol in records.protocols(everyone):
        of_protocol = tuple(i for i in everyone if i.registration.protocol == protocol)
        below = names.label("_" + protocol)
        given = serving if len(of_protocol) == len(everyone) else records.answered(of_protocol)
        owner = names.label(names.underscored(service.label)) + below + zone
        yield OwnerName(owner, service.label, of_protocol, given, (SRV,))
        for port, having in records.by_port(of_protocol).items():
            those = given if len(having) == len(of_protocol) else records.answered(having)
            owner = names.label("_" + port) + below + name
            yield OwnerName(owner, f"{service.label}:{port}", having, those, (SRV,), port)


def _tags(
    service: Service, zone: bytes, tagged: Mapping[str, Sequence[Instance]], guests: Sequence[Instance]
) -> Iterator[OwnerName]:
    """The names of tags and offices. Those that another registry alone holds have its name as a tag."""
    name = names.label(service.label) + zone
    taken = taken_from_tags(service, guests)
    if guests:
        alone: dict[str, list[Instance]] = {}
        for guest in guests:
            alone.setdefault(records.tag_label(guest.registry), []).append(guest)
        tagged = {**alone, **{tag: [*alone.get(tag, ()), *own] for tag, own in tagged.items()}}
    for tag, having in tagged.items():
        if tag and tag not in taken:
            about = f"{tag}.{service.label}"
            owner, group = names.label(tag) + name, tuple(having)
            yield OwnerName(
                owner, about, group, records.answered(group), records.DEALT, counted=False, tag=True
            )
    leader = service.offices[0] if service.offices else ""
    for office in service.offices:
        if office not in tagged and office not in taken:
            # Without the first of them nobody leads; else the others' words alone are vacant.
            vacant = office if leader in tagged else leader
            nobody = ede.about(service.label, f"no {vacant}")
            about = f"{office}.{service.label}"
            yield OwnerName(names.label(office) + name, about, (), [], (), counted=False, nobody=nobody)

"""RRsets -> the table: one service at a time, so that a change costs what changed.

Rules: pure; ServiceAnswers are never written after they are made. Compiling from nothing and replacing by
difference give the same table (tests hold it).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from zkdns.answers import records
from zkdns.answers.entries import rotated, single
from zkdns.answers.first_places import FirstPlaces
from zkdns.answers.on_demand import Browsing, InstanceNames
from zkdns.answers.records import SRV, TXT, InstanceRecords
from zkdns.answers.table import EVERY, Entries, InstanceAddresses, Name, RotationCounter, Zone
from zkdns.answers.variants import choose_near, class_key
from zkdns.answers.zone_names import ZoneNames
from zkdns.dns import ede, names
from zkdns.model import Instance, Service, State
from zkdns.topology import NO_TOPOLOGY, Topology


@dataclass(frozen=True, slots=True, eq=False)
class ServiceAnswers:
    """All that one service brings to the table, and what it was made of. `ttl`: seconds, of its records.
    `by_address`: the instances at each packed address; `protocols`: those that it has a `_service._proto`
    name for; `origin`: whose staleness it has."""

    service: Service
    ttl: int
    entries: Entries
    names: Mapping[bytes, Name]
    by_address: Mapping[bytes, Sequence[Instance]]
    protocols: Sequence[str]
    first_places: Mapping[bytes, FirstPlaces] = field(default_factory=dict)
    origin: int = EVERY
    near: bool = False
    """Whether it is given by where clients stand."""

    def counters(self) -> dict[bytes, RotationCounter]:
        """Those of all its Entries, and of what each client class is given instead."""
        found = {key: entry.counter for key, entry in self.entries.items()}
        for key, entry in self.entries.items():
            for number, one in (entry.variants or {}).items():
                found[class_key(key, number)] = one.counter
        return found

    @property
    def label(self) -> str:
        return self.service.label

    def shown(self, zone: Zone) -> list[str]:
        """Its names in one zone as text: those that are for asking, and no folder of named ports."""
        folders = [names.label("_" + protocol) for protocol in self.protocols]
        return [
            names.text(owner).rstrip(".")
            for owner, known in self.names.items()
            if known.zone == zone.index and not any(owner.startswith(folder) for folder in folders)
        ]


def compile_service(
    service: Service,
    zones: Iterable[Zone],
    ttl: int,
    counters: Mapping[bytes, RotationCounter],
    origin: int = EVERY,
    topology: Topology = NO_TOPOLOGY,
) -> ServiceAnswers:
    """What one service says in every zone. `ttl`: seconds, where the service sets none. `counters`:
    those of what stands in the table now, to be carried on. `topology`: where clients stand."""
    if service.settings.ttl is not None:
        ttl = service.settings.ttl
    whole, service = service, _readable(service)
    entries: Entries = {}
    known: dict[bytes, Name] = {}
    first_places: dict[bytes, FirstPlaces] = {}
    by_label = records.spell(service, ttl)
    protocols = records.protocols(service.instances)
    near = choose_near(service, topology)
    instances = {s.label[1:]: InstanceAddresses(b"".join(s.v4), b"".join(s.v6)) for s in by_label.values()}
    for zone in zones:
        apex, index = zone.apex, zone.index
        srv_records: dict[tuple[str, int], bytes] = {}
        for about in records.owners(service, apex):
            said = ede.option(ede.OTHER, about.nobody or records.counts(about.about, about.group))
            for rtype in about.types:
                if rtype == SRV:
                    tiers = records.srv_tiers(service, about, apex, ttl, by_label, srv_records)
                else:
                    tiers = records.address_tiers(about.serving, rtype, by_label)
                if not tiers:
                    continue
                key = about.owner + rtype.to_bytes(2, "big")
                note = ede.option(ede.OTHER, ede.about(about.about, service.note)) if service.note else b""
                counter = counters.get(key) or RotationCounter()
                entry = entries[key] = rotated(tiers, service, note, counter, origin)
                if near is not None and near.by_client:
                    variants, arranged = near.variants(about, rtype, tiers, entry, key, counters)
                    entry = entries[key] = replace(entry, variants=variants)
                    for number, one in variants.items() if about.counted else ():
                        place = topology.places[number - 1]
                        first_places[class_key(key, number)] = FirstPlaces(
                            one, arranged[number].ids, one.counter.position, place.zone, near.places
                        )
                if about.counted:
                    ids = tuple(m.id for m in tiers[0])
                    places = near.places if near is not None and near.by_client else None
                    first_places[key] = FirstPlaces(entry, ids, entry.counter.position, "", places)
            known[about.owner] = Name(index, said, origin=origin)
        name = names.label(service.label) + apex
        said = known[name].ede
        spell = InstanceNames(service, apex, ttl).spell
        known[name] = Name(index, said, instances, spell, origin=origin)
        if near is not None:
            zone_names = ZoneNames(near, apex, ttl, origin)
            known[zone_names.owner] = Name(index, responder=zone_names, origin=origin)
        strings = records.about_service(whole)
        entries[name + TXT.to_bytes(2, "big")] = single(records.txt(strings, ttl), origin)
        for protocol in protocols:
            owner = names.label(names.underscored(service.label)) + names.label("_" + protocol) + apex
            said = known[owner].ede
            browsing = Browsing(service, protocol, apex, ttl, said)
            known[owner] = Name(index, said, responder=browsing, origin=origin)
            # The folder of named ports is there before the first of them: a resolver that met NXDOMAIN
            # here would know of nothing below it (RFC 8020).
            known[names.label("_" + protocol) + name] = Name(index, origin=origin)
    by_address = _group_by_address(service, by_label)
    return ServiceAnswers(
        whole, ttl, entries, known, by_address, protocols, first_places, origin, near is not None
    )


def _readable(service: Service) -> Service:
    """Without the instances that nothing is known of but that they are registered: they have no names."""
    if all(i.state is not State.UNREADABLE for i in service.instances):
        return service
    instances = tuple(i for i in service.instances if i.state is not State.UNREADABLE)
    return replace(service, instances=instances)


def _group_by_address(
    service: Service, by_label: Mapping[str, InstanceRecords]
) -> dict[bytes, list[Instance]]:
    """The instances at each address: reverse names are asked for one by one, of services of any size."""
    found: dict[bytes, list[Instance]] = {}
    for i in service.instances:
        for tail in by_label[i.label].unowned:
            found.setdefault(tail[10:], []).append(i)
    return found

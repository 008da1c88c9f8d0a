"""One service -> what it says in every zone: its RRsets dealt, its names, and what counts them.

Rules: pure. Compiling from nothing and replacing by difference give the same table (tests hold it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

from msgspec import Struct, structs

from zkdns.answers import members, records, texts
from zkdns.answers.entries import rotated, single
from zkdns.answers.first_places import FirstPlaces
from zkdns.answers.kept import Kept
from zkdns.answers.late_names import NONE_LATE, Answering, LatePorts, LateTags
from zkdns.answers.nested import elsewhere_of
from zkdns.answers.notes import Notes, notes_on_names
from zkdns.answers.on_demand import Browsing, InstanceNames, find_folded, tell_apart
from zkdns.answers.owners import by_tag, having_ports, having_tags, late_of, owners
from zkdns.answers.records import OwnerName
from zkdns.answers.rotation import RotationCounter
from zkdns.answers.routed import NOTHING, Beyond, as_routed, tell_route
from zkdns.answers.service import FEW, ServiceAnswers, group_by_address, readable
from zkdns.answers.spelling import Spelling, spell
from zkdns.answers.table import EVERY, Entries, Name, Zone
from zkdns.answers.tag_names import TagNames
from zkdns.answers.variants import Near, RRset, choose_near, class_key
from zkdns.answers.zone_names import ZoneNames
from zkdns.dns import ede, names
from zkdns.dns.records import txt
from zkdns.dns.types import SRV, TXT
from zkdns.model import Instance, Service, State
from zkdns.topology import NO_TOPOLOGY, Topology


class Surroundings(Struct, frozen=True):
    """What all services are compiled for: our zones, the TTL where one sets none (seconds), where clients
    stand, and how many names of one's tags, and of its ports, are to be ready (None: as many as may be)."""

    zones: Sequence[Zone]
    ttl: int
    topology: Topology = NO_TOPOLOGY
    ready: int | None = None


def compile_service(
    service: Service,
    around: Surroundings,
    counters: Mapping[bytes, RotationCounter],
    origin: int = EVERY,
    beyond: Beyond = NOTHING,
    until: bytes | None = None,
) -> ServiceAnswers:
    """What one service says in every zone. `counters`: those of what stands in the table now, to be carried
    on. `beyond`: what its names give beside its own instances. `until`: the last name whose records are
    needed, where only one is asked for: with `near`, one name costs as much as all of them do without."""
    if service.view_of:  # its names are the other's to give
        by_address = group_by_address(replace(service, instances=beyond.guests))
        return ServiceAnswers(
            service,
            around.ttl,
            {},
            {},
            by_address,
            (),
            origin=origin,
            beyond=beyond,
            size=len(service.instances),
        )
    compilation = _Compilation(service, around, counters, origin, beyond)
    for zone in around.zones:
        compilation.add(zone, until)
    return compilation.answers()


class _Compilation:
    """What all zones share while one service is compiled, and what has come of it so far."""

    def __init__(
        self, service: Service, around: Surroundings, counters: Mapping[bytes, RotationCounter],
        origin: int, beyond: Beyond,
    ) -> None:  # fmt: skip
        route, topology = beyond.route, around.topology
        apexes = [zone.apex for zone in around.zones]
        self.whole, self.service = service, readable(service)
        self.unread = [i for i in service.instances if i.state is State.UNREADABLE] if route is None else []
        self.giver = self.service if route is None else as_routed(self.service, route)
        self.ttl = around.ttl if service.settings.ttl is None else service.settings.ttl
        self.counters, self.origin, self.topology, self.beyond = counters, origin, topology, beyond
        self.near = near_of(self.service, topology, beyond, self.giver)
        instances = self.service.instances
        self.notes = Notes(self.service.note, frozenset(), beyond.notes)
        if beyond.guests:
            self.notes = notes_on_names(self.service, beyond.guests, beyond.notes)
        self.named = self.service
        """With those whose names stand below its own."""
        if beyond.guests:
            self.named = replace(self.service, instances=_in_order((*instances, *beyond.guests)))
        self.browsed = self.service
        self.apart: Mapping[bytes, Instance] = {}
        self.protocols: Sequence[str] = records.protocols(instances)
        others = beyond.guests
        if route is not None:
            self.browsed = replace(self.service, instances=_in_order(route.name.group))
            self.apart = tell_apart(self.browsed.instances)
            self.protocols = list(route.protocols)
            # Of its own, and of guests, it may have been followed with others than there are now.
            known = {i.label for i in (*instances, *others)}
            others = (*others, *(i for i in route.name.group if i.home or i.label not in known))
        self.by_name = spell(self.service, self.ttl, others, apexes)
        tagged = by_tag(instances)
        self.tagged = having_tags(self.service, beyond.guests, tagged)
        self.tagged_beyond = by_tag(self.named.instances) if beyond.guests else tagged
        self.folded = find_folded(self.named)
        self.folded_browsed = self.folded if self.browsed is self.named else find_folded(self.browsed)
        own = names.label(self.service.label)
        self.elsewhere = elsewhere_of(own, apexes)
        self.addresses = {s.label[1:]: s.addresses for s in self.by_name.values() if s.home == own}
        self.ports = having_ports(self.service) if route is None else {}
        self.late = NONE_LATE
        if not self.elsewhere:  # else names of another zone stand among its own
            self.late = late_of(
                self.service, self.tagged, self.ports, beyond.guests, len(apexes), around.ready
            )
        self.entries: Entries = {}
        self.names: dict[bytes, Name] = {}
        self.first_places: dict[bytes, FirstPlaces] = {}
        self.kept: list[Kept[Any]] = []

    def answers(self) -> ServiceAnswers:
        grouped = group_by_address(self.service) if len(self.service.instances) > FEW else None
        near, alike = self.near, 0
        if near is not None:
            alike = near.left_out + (len(self.late.tags) + len(self.late.ports) if near.by_client else 0)
        return ServiceAnswers(
            self.whole, self.ttl, self.entries, self.names, grouped, self.protocols, self.first_places,
            self.origin, near is not None, self.beyond, alike,
            size=len(self.giver.instances), made=(self.by_name, self.folded, self.folded_browsed),
            kept=tuple(self.kept),
        )  # fmt: skip

    def add(self, zone: Zone, until: bytes | None) -> None:
        """All names in one zone; records of those until this one."""
        is_needed = until is None or until.endswith(zone.apex)
        if self.near is not None:
            self.near.begin()
        spelling = Spelling(zone.apex, self.ttl, self.by_name)
        kept = self._keep(self.named)
        tags = TagNames(self.service, self.tagged_beyond, spelling, self.origin, self.notes, kept)
        shared = records.Shared()
        service = self.service
        for about in owners(service, zone.apex, self.beyond, self.tagged, self.late, self.ports):
            serves = False
            for rtype in about.types if is_needed else ():
                tiers = records.tiers_of(self.giver, about, rtype, spelling, shared)
                if tiers:
                    serves = True
                    self._add_entry(about, rtype, tiers)
            counted = (*about.group, *self.unread) if about.about == service.label else about.group
            option = ede.option(ede.OTHER, about.nobody or texts.counts(about.about, counted))
            below, nobody_of = tags if about.tag else None, "" if serves else self.service.name
            self.names[about.owner] = Name(
                zone.index, option, below=below, origin=self.origin, service=nobody_of
            )
            is_needed = is_needed and about.owner != until
        answering = Answering(self.service, spelling, self.origin, self.notes, self._keep(self.named))
        self._add_own_name(zone, answering, tags)
        if self.near is not None:
            self._add_zone_names(zone, self.near, spelling)
        for protocol in self.protocols:
            self._add_browsing(zone, protocol, answering)

    def _add_entry(self, about: OwnerName, rtype: int, tiers: members.Tiers) -> None:
        """What is dealt for one name and type, to all clients and to those of each class."""
        key = about.owner + rtype.to_bytes(2, "big")
        by, origin = self.service, self.origin
        if about.levels is None:
            text = self.notes.on(about.serving) if self.notes.guests else by.note
        else:
            by, text = self.giver, self.giver.note
            route = self.beyond.route
            if rtype != SRV and route is not None and route.origin is not None:
                origin = route.origin
        note = ede.option(ede.OTHER, ede.about(about.about, text)) if text else b""
        counter = self.counters.get(key) or RotationCounter()
        entry = rotated(tiers, by, note, counter, origin, rtype == SRV)
        places = None
        if self.near is not None and self.near.by_client:
            places = self.near.places
            variants, arranged = self.near.variants(RRset(about, rtype, tiers, entry, text), self.counters)
            entry = structs.replace(entry, variants=variants)
            for number, one in variants.items() if about.counted else ():
                client = self.topology.places[number - 1].zone
                self.first_places[class_key(key, number)] = FirstPlaces(
                    one, arranged[number].ids, one.counter.position, client, places
                )
        self.entries[key] = entry
        if about.counted:
            self.first_places[key] = FirstPlaces(entry, entry.ids, counter.position, "", places)

    def _keep(self, service: Service) -> Kept[Any]:
        kept: Kept[Any] = Kept(service.name, len(service.instances))
        self.kept.append(kept)
        return kept

    def _home(self, zone: Zone) -> bytes:
        """The apex below which its instances have their names."""
        return self.elsewhere.get(zone.apex, zone.apex)

    def _add_own_name(self, zone: Zone, answering: Answering, several: TagNames) -> None:
        """The service's own name tells what it is, and holds those of its instances."""
        name = names.label(self.service.label) + zone.apex
        spell = InstanceNames(self.named, self._home(zone), self.ttl, self.folded).spell
        tags = self.late.tags
        below = LateTags(name, tags, answering, several) if tags else None
        self.names[name] = structs.replace(
            self.names[name], instances=self.addresses, spell=spell, below=below
        )
        route = self.beyond.route
        as_given = self.whole if route is None else replace(self.whole, settings=self.giver.settings)
        lines = [*texts.about_service(as_given), *(tell_route(route) if route else ())]
        self.entries[name + TXT.to_bytes(2, "big")] = single(txt(lines, self.ttl), self.origin)

    def _add_zone_names(self, zone: Zone, near: Near, spelling: Spelling) -> None:
        given = self.beyond.route.name if self.beyond.route is not None else None
        kept = self._keep(near.service), self._keep(near.service)
        zone_names = ZoneNames(near, spelling, self.origin, given, *kept)
        self.names[zone_names.owner] = Name(zone.index, responder=zone_names, origin=self.origin)

    def _add_browsing(self, zone: Zone, protocol: str, answering: Answering) -> None:
        """`_web._tcp` lists the instances, and holds the names of ports."""
        label = self.service.label
        below = names.label("_" + protocol)
        owner = names.label(names.underscored(label)) + below + zone.apex
        own = self.names[owner]
        home = self._home(zone)
        browsing = Browsing(
            self.browsed, protocol, zone.apex, home, self.ttl, own.ede, self.folded_browsed, self.apart
        )
        self.names[owner] = structs.replace(own, responder=browsing)
        # The folder of named ports is there before the first of them: a resolver that met NXDOMAIN
        # here would know of nothing below it (RFC 8020).
        folder, ports = below + names.label(label) + zone.apex, self.late.ports
        late = LatePorts(folder, protocol, ports, answering) if ports else None
        self.names[folder] = Name(zone.index, origin=self.origin, below=late)


def near_of(
    service: Service, topology: Topology, beyond: Beyond, giver: Service | None = None
) -> Near | None:
    """How its names are given by where clients stand; None where there are no zones to tell apart. `giver`:
    the service as its own name is dealt, where that is known already."""
    route, own = beyond.route, service.instances
    if giver is None:
        giver = service if route is None else as_routed(service, route)
    return choose_near(giver, topology, beyond.guests if route is None else (*own, *beyond.guests))


def _in_order(instances: tuple[Instance, ...]) -> tuple[Instance, ...]:
    return tuple(sorted(instances, key=attrgetter("id")))

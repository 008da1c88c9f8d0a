"""RRsets -> the table: one service at a time, so that a change costs what changed.

Rules: pure; ServiceAnswers are never written after they are made. Compiling from nothing and replacing by
difference give the same table (tests hold it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, Final

from zkdns.answers import records
from zkdns.answers.entries import rotated, single
from zkdns.answers.first_places import FirstPlaces, shares_of
from zkdns.answers.kept import Kept
from zkdns.answers.nested import elsewhere_of
from zkdns.answers.on_demand import Browsing, InstanceNames, find_folded
from zkdns.answers.owners import by_tag, owners
from zkdns.answers.routed import NOTHING, Beyond, Routed, tell_route
from zkdns.answers.table import EVERY, Entries, Name, RotationCounter, Zone
from zkdns.answers.tag_names import TagNames
from zkdns.answers.variants import choose_near, class_key
from zkdns.answers.zone_names import ZoneNames
from zkdns.dns import ede, names
from zkdns.dns.records import packed, txt
from zkdns.dns.types import SRV, TXT
from zkdns.model import Instance, Service, State
from zkdns.topology import NO_TOPOLOGY, Topology

FEW: Final = 64
"""Instances that are grouped by address each time that somebody asks: a map of each small service's took more
room than its addresses."""


@dataclass(frozen=True, slots=True, eq=False)
class ServiceAnswers:
    """All that one service brings to the table, and what it was made of. `ttl`: seconds, of its records.
    `grouped`: the instances at each packed address, None where they are few enough to be grouped when that is
    asked; `protocols`: those that it has a `_service._proto` name for; `origin`: whose staleness it has."""

    service: Service
    ttl: int
    entries: Entries
    names: Mapping[bytes, Name]
    grouped: Mapping[bytes, Sequence[Instance]] | None
    protocols: Sequence[str]
    first_places: Mapping[bytes, FirstPlaces] = field(default_factory=dict)
    origin: int = EVERY
    near: bool = False
    """Whether it is given by where clients stand."""
    beyond: Beyond = NOTHING
    """What its names give beside its own instances."""
    not_near: int = 0
    """Names that give all clients the same, for there was too much to arrange by where they stand."""
    deferred: bool = False
    """Whether all of this is compiled only once somebody asks for it."""

    @property
    def by_address(self) -> Mapping[bytes, Sequence[Instance]]:
        """The instances at each packed address."""
        return _group_by_address(readable(self.service)) if self.grouped is None else self.grouped

    def counters(self) -> dict[bytes, RotationCounter]:
        """Those of all its Entries, and of what each client class is given instead."""
        by_key = {key: entry.counter for key, entry in self.entries.items()}
        for key, entry in self.entries.items():
            for number, one in (entry.variants or {}).items():
                by_key[class_key(key, number)] = one.counter
        return by_key

    def shares(self) -> dict[str, float]:
        """What part of first places each instance should get, by its key, 0 to 1."""
        if self.beyond.route is None:
            return shares_of(self.service)
        given = self.beyond.route.name
        shares = dict.fromkeys((i.key for i in (*self.service.instances, *given.group)), 0.0)
        for tier in given.first:
            total = sum(i.weight for i in tier)
            for i in tier:
                shares[i.key] += i.weight / total if total else 1 / len(tier)
        return shares

    @property
    def label(self) -> str:
        return self.service.label

    def shown(self, zone: Zone) -> list[str]:
        """Its names in one zone as text: those that are for asking, and no folder of named ports."""
        name = names.label(self.label) + zone.apex
        folders = {names.label("_" + protocol) + name for protocol in self.protocols}
        if self.deferred:
            every = [about.owner for about in owners(readable(self.service), zone.apex)]
        else:
            every = [owner for owner, known in self.names.items() if known.zone == zone.index]
        return [names.text(owner).rstrip(".") for owner in every if owner not in folders]


def compile_service(
    service: Service,
    zones: Sequence[Zone],
    ttl: int,
    counters: Mapping[bytes, RotationCounter],
    origin: int = EVERY,
    topology: Topology = NO_TOPOLOGY,
    beyond: Beyond = NOTHING,
) -> ServiceAnswers:
    """What one service says in every zone. `ttl`: seconds, where the service sets none. `counters`:
    those of what stands in the table now, to be carried on. `topology`: where clients stand."""
    if service.view_of:  # its names are the other's to give
        by_address = _group_by_address(replace(service, instances=beyond.guests))
        return ServiceAnswers(service, ttl, {}, {}, by_address, (), origin=origin, beyond=beyond)
    if service.settings.ttl is not None:
        ttl = service.settings.ttl
    whole, service = service, readable(service)
    route = beyond.route
    giver = service if route is None else as_routed(service, route)
    addresses_origin = origin if route is None or route.origin is None else route.origin
    entries: Entries = {}
    known: dict[bytes, Name] = {}
    first_places: dict[bytes, FirstPlaces] = {}
    others = (*beyond.guests, *(i for i in route.name.group if i.home)) if route else beyond.guests
    by_label = records.spell(service, ttl, others, [zone.apex for zone in zones])
    protocols = records.protocols(service.instances) if route is None else list(route.protocols)
    near = choose_near(giver, topology)
    named = replace(service, instances=_in_order((*service.instances, *beyond.guests)))
    browsed = service if route is None else replace(service, instances=_in_order(route.name.group))
    folded = find_folded(named)
    folded_browsed = find_folded(browsed)
    own = names.label(service.label)
    elsewhere = elsewhere_of(own, [zone.apex for zone in zones])
    instances = {s.label[1:]: records.own_addresses(s) for s in by_label.values() if s.home == own}
    tagged = by_tag(service.instances)
    products = tagged if not beyond.guests else by_tag(named.instances)
    for zone in zones:
        apex, index = zone.apex, zone.index
        home = elsewhere.get(apex, apex)
        if near is not None:
            near.begin()
        tags = TagNames(service, products, by_label, apex, ttl, origin, _kept(named))
        srv_records: dict[tuple[str, int, int, int], bytes] = {}
        for about in owners(service, apex, beyond, tagged):
            option = ede.option(ede.OTHER, about.nobody or records.counts(about.about, about.group))
            serves = False
            for rtype in about.types:
                if rtype == SRV:
                    tiers = records.srv_tiers(giver, about, apex, ttl, by_label, srv_records)
                else:
                    tiers = records.address_tiers(about.serving, rtype, by_label)
                if not tiers:
                    continue
                key = about.owner + rtype.to_bytes(2, "big")
                by = service if about.levels is None else giver
                note = ede.option(ede.OTHER, ede.about(about.about, by.note)) if by.note else b""
                counter = counters.get(key) or RotationCounter()
                of = addresses_origin if about.levels is not None and rtype != SRV else origin
                entry = entries[key] = rotated(tiers, by, note, counter, of, rtype == SRV)
                if near is not None and near.by_client:
                    variants, arranged = near.variants(about, rtype, tiers, entry, key, counters)
                    entry = entries[key] = replace(entry, variants=variants)
                    for number, one in variants.items() if about.counted else ():
                        place = topology.places[number - 1]
                        first_places[class_key(key, number)] = FirstPlaces(
                            one, arranged[number].ids, one.counter.position, place.zone, near.places
                        )
                serves = True
                if about.counted:
                    places = near.places if near is not None and near.by_client else None
                    first_places[key] = FirstPlaces(entry, entry.ids, entry.counter.position, "", places)
            nobody_of = "" if serves else service.name
            below = tags if about.tag else None
            known[about.owner] = Name(index, option, below=below, origin=origin, service=nobody_of)
        name = names.label(service.label) + apex
        option, nobody_of = known[name].ede, known[name].service
        spell = InstanceNames(named, home, ttl, folded).spell
        known[name] = Name(index, option, instances, spell, origin=origin, service=nobody_of)
        if near is not None:
            given = route.name if route is not None else None
            zone_names = ZoneNames(
                near, by_label, apex, ttl, origin, given, _kept(near.service), _kept(near.service)
            )
            known[zone_names.owner] = Name(index, responder=zone_names, origin=origin)
        strings = [*records.about_service(whole), *(tell_route(route) if route else ())]
        entries[name + TXT.to_bytes(2, "big")] = single(txt(strings, ttl), origin)
        for protocol in protocols:
            owner = names.label(names.underscored(service.label)) + names.label("_" + protocol) + apex
            option = known[owner].ede
            browsing = Browsing(browsed, protocol, apex, home, ttl, option, folded_browsed)
            nobody_of = known[owner].service
            known[owner] = Name(index, option, responder=browsing, origin=origin, service=nobody_of)
            # The folder of named ports is there before the first of them: a resolver that met NXDOMAIN
            # here would know of nothing below it (RFC 8020).
            known[names.label("_" + protocol) + name] = Name(index, origin=origin)
    grouped = _group_by_address(service) if len(service.instances) > FEW else None
    return ServiceAnswers(
        whole, ttl, entries, known, grouped, protocols, first_places, origin, near is not None, beyond,
        near.left_out if near is not None else 0,
    )  # fmt: skip


def as_routed(service: Service, route: Routed) -> Service:
    """How a route's records are dealt: in their shares; an alias as the service that it stands for, where it
    says nothing itself. Its instances are those that stand behind it."""
    settings, of = service.settings, route.alone
    if of is not None:
        inherited = {
            name: getattr(of.settings, name)
            for name in ("policy", "answers", "srv_scale")
            if name not in settings.given
        }
        settings = replace(settings, **inherited)
    else:
        settings = replace(settings, policy="weighted")
    notes = [note for note in (route.note, service.note) if note]
    return replace(service, settings=settings, instances=route.name.group, note="; ".join(notes))


def _kept(service: Service) -> Kept[Any]:
    return Kept(service.name, len(service.instances))


def _in_order(instances: tuple[Instance, ...]) -> tuple[Instance, ...]:
    return tuple(sorted(instances, key=attrgetter("id")))


def readable(service: Service) -> Service:
    """Without the instances that nothing is known of but that they are registered: they have no names."""
    if all(i.state is not State.UNREADABLE for i in service.instances):
        return service
    instances = tuple(i for i in service.instances if i.state is not State.UNREADABLE)
    return replace(service, instances=instances)


def _group_by_address(service: Service) -> dict[bytes, list[Instance]]:
    """The instances at each address: reverse names are asked for one by one, of services of any size."""
    by_address: dict[bytes, list[Instance]] = {}
    for i in service.instances:
        for address in i.addresses:
            by_address.setdefault(packed(address), []).append(i)
    return by_address

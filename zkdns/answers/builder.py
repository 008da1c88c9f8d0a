"""The builder's ledger: what each service and each zone brings, which of two holds a name, and what moved.

Rules: no I/O, no clock; lives in the loop, save `compile`, which may run in a thread. It never sees the
table that answers are read from: it hands out a Delta of what moved since the last, and Snapshots of
one moment. Publishing by difference and from nothing come to the same table (tests hold it).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from zkdns.answers.deferred import defer
from zkdns.answers.entries import single
from zkdns.answers.first_places import FirstAnswers, FirstPlaceCounts, FirstPlaces, count
from zkdns.answers.nested import Claims
from zkdns.answers.own_names import browsing, own_names, server_entries, soa_of
from zkdns.answers.routed import NOTHING, Beyond
from zkdns.answers.service import ServiceAnswers, compile_service
from zkdns.answers.snapshot import Snapshot
from zkdns.answers.table import (
    EVERY,
    FRESH,
    OWN,
    Delta,
    Entries,
    Entry,
    Holder,
    Name,
    Staleness,
    Table,
    Zone,
    position_of,
)
from zkdns.client_map import NO_CLIENTS, ClientMap, client_map
from zkdns.dns import names
from zkdns.dns.records import OWNER
from zkdns.dns.types import AAAA, SOA, SRV, TXT, A
from zkdns.model import Service
from zkdns.topology import NO_TOPOLOGY, Topology


class Builder:
    """`services`: what stands, by name. `position_of`: where an Entry's rotation stands, as the engine in
    force counts it."""

    def __init__(
        self,
        zones: Sequence[str],
        addresses: Sequence[str] = ("127.0.0.1",),
        ttl: int = 5,
        position_of: Callable[[Entry], int] = position_of,
    ) -> None:
        self.zones = tuple(Zone(n, names.wire(z)) for n, z in enumerate(zones))
        self.zone_names = tuple(zones)
        self._apexes = frozenset(zone.apex for zone in self.zones)
        nested = any(not self._apexes.isdisjoint(names.suffixes(apex)) for apex in self._apexes)
        self._claims = Claims(self.zones) if nested else None
        self.ttl = ttl
        self.serial = -1
        self.services: dict[str, ServiceAnswers] = {}
        self.position_of = position_of
        self.topology = NO_TOPOLOGY
        self.clients = NO_CLIENTS
        self._staleness: dict[int, Staleness] = {}
        self._first_places = FirstPlaceCounts()
        self._addresses = tuple(addresses)
        self._entries: Entries = {}
        self._names: dict[bytes, Name] = {}
        self._holders: dict[bytes, tuple[str, ...]] = {}
        self._labels: Counter[str] = Counter()
        self._beneath: Mapping[bytes, Name] = {}
        self._beneath_of: dict[str, list[bytes]] = {}
        self._forget()
        for zone in self.zones:
            self._put_server(zone)
            for owner, known in own_names(zone, ttl):
                self._stand(owner, known)
        self._built_in = dict(self._names)
        self.set_serial(0)
        self._own_entries = frozenset(self._entries)
        """What no service takes the place of: each NS name keeps its address."""

    # --- out ------------------------------------------------------------------------------------------

    def take(self) -> Delta:
        """What moved since the last call; all there is at the first."""
        delta = Delta(
            self._moved_entries, self._moved_names, self._moved_zones, self._moved_staleness,
            self._moved_services, self._moved_holders, self._moved_serial, self._moved_clients,
        )  # fmt: skip
        self._forget()
        return delta

    def _forget(self) -> None:
        self._moved_entries: dict[bytes, Entry | None] = {}
        self._moved_names: dict[bytes, Name | None] = {}
        self._moved_zones: dict[int, Zone] = {}
        self._moved_staleness: dict[int, Staleness] = {}
        self._moved_services: dict[str, ServiceAnswers | None] = {}
        self._moved_holders: dict[bytes, tuple[str, ...]] = {}
        self._moved_serial: int | None = None
        self._moved_clients: ClientMap | None = None

    def snapshot(self) -> Snapshot:
        """What stands at this moment; nothing of it is ever written again."""
        return Snapshot(
            self.zones,
            self.zone_names,
            self._addresses,
            self.ttl,
            self.serial,
            dict(self._staleness),
            dict(self.services),
            self._beneath,
            self.position_of,
            self.topology,
            self.clients,
            self._first_places.copy(),
        )

    def holders(self, qname: bytes) -> tuple[str, ...]:
        """The services with an instance at the address of a reverse name."""
        address = names.address_of(qname)
        return self._holders.get(address, ()) if address is not None else ()

    def is_built_in(self, owner: bytes) -> bool:
        """Whether a name is there without any service or file."""
        return owner in self._built_in

    def first_answers(self, service: str) -> dict[str, int]:
        """How often each instance of the service stood first in an answer, by id."""
        return dict(self._first_places.ever(service, self._standing(service), self.position_of))

    def recent_first_answers(self, service: str) -> dict[str, int]:
        """The same since the weights of the service's instances changed last."""
        return self._first_places.recent(service, self._standing(service), self.position_of)

    def _standing(self, service: str) -> Iterable[FirstPlaces]:
        answers = self.services.get(service)
        return answers.first_places.values() if answers is not None else ()

    def walk_first_answers(self, of: str | None = None) -> Iterator[FirstAnswers]:
        """The same of all services, or of one, to be counted (`first_places.count`)."""
        if of is not None:
            return iter([self._first_places.given(of, self._standing(of), self.position_of)])
        return self._first_places.walk(list(self.services), self._standing, self.position_of)

    def near_answers(self, of: str | None = None) -> Counter[tuple[str, str, str]]:
        """How often clients of one zone were given an instance of another first: by service, clients' zone,
        instance's zone; "" is none."""
        return count(self.walk_first_answers(of))[1]

    # --- the zones' own ---------------------------------------------------------------------------------

    def _put_server(self, zone: Zone) -> None:
        for key, entry in server_entries(zone, self._addresses, self.ttl):
            self._put(key, entry)

    def set_ttl(self, ttl: int) -> None:
        """Seconds where a service sets none; a service has them once it is compiled again."""
        self.ttl = ttl
        for zone in self.zones:
            self._put_server(zone)
            owner, known = browsing(zone, ttl)
            stands = self._names.get(owner) is self._built_in[owner]
            self._built_in[owner] = known
            if stands:
                self._stand(owner, known)

    def set_serial(self, serial: int) -> None:
        """The serial of every zone's SOA (32 bits)."""
        if serial == self.serial:
            return
        self.serial = self._moved_serial = serial
        zones = [replace(zone, soa=soa_of(zone, serial)) for zone in self.zones]
        for zone in zones:
            self._moved_zones[zone.index] = zone
            self._put(zone.apex + SOA.to_bytes(2, "big"), single(OWNER + zone.soa, OWN))
        self.zones = tuple(zones)

    def set_topology(
        self, topology: Topology, ecs_from: Sequence[str] = (), clients: ClientMap | None = None
    ) -> None:
        """Where clients stand; a service knows of it once it is compiled again. `clients`: the same as it is
        searched, where that was made already."""
        self.topology = topology
        clients = clients or client_map(topology, ecs_from)
        if clients != self.clients:
            self.clients = self._moved_clients = clients

    def set_staleness(self, staleness: Staleness, origin: int = EVERY) -> None:
        """How old what this origin says is from now on."""
        if self._staleness.get(origin, FRESH) != staleness:
            self._staleness[origin] = self._moved_staleness[origin] = staleness

    def staleness(self, origin: int = EVERY) -> Staleness:
        return self._staleness.get(origin, FRESH)

    def put_beneath(self, files: Mapping[bytes, Name]) -> None:
        """The names of zone files, in place of those before. Each stands where no service has its label, and
        none of ours is, save an apex that the file shares."""
        files = {at: known for at, known in files.items() if at in self._apexes or at not in self._built_in}
        before = {owner: self._own(owner) for owner in (*self._beneath, *files)}
        self._beneath, self._beneath_of = files, {}
        for owner in files:
            label = self.label_of(owner)
            if label is not None:
                self._beneath_of.setdefault(label, []).append(owner)
        self._restand(before)

    def label_of(self, owner: bytes) -> str | None:
        """The label right below the apex of a zone of services, as text."""
        for suffix in (owner, *names.suffixes(owner)):
            if suffix[1 + suffix[0] :] in self._apexes:
                return suffix[1 : 1 + suffix[0]].decode("latin-1")
        return None

    # --- services ---------------------------------------------------------------------------------------

    def compile(self, service: Service, origin: int = EVERY, beyond: Beyond = NOTHING) -> ServiceAnswers:
        """The answers that would stand for this service now."""
        old = self.services.get(service.name)
        counters = old.counters() if old else {}
        return compile_service(service, self.zones, self.ttl, counters, origin, self.topology, beyond)

    def defer(self, service: Service, origin: int = EVERY) -> ServiceAnswers | None:
        """What stands for this service until somebody asks for it; None where that is to be compiled now: it
        was asked for, or a zone may begin below its name."""
        old = self.services.get(service.name)
        if self._claims is not None or (old is not None and not old.deferred):
            return None
        return defer(service, self.zones, self.ttl, origin)

    def replace(self, name: str, answers: ServiceAnswers | None) -> None:
        """Put `answers` where the service's old ones were; None takes the service out."""
        old = self.services.pop(name, None)
        labels = {a.label for a in (old, answers) if a is not None}
        before = {owner: self._own(owner) for label in labels for owner in self._beneath_of.get(label, ())}
        if old is not None:
            answers = self._carry_on(answers, self._count(old))
            self._labels[old.label] -= 1
            if not self._labels[old.label]:
                del self._labels[old.label]
        if self._first_places.knows(name):
            shares = [one.shares() if one is not None else None for one in (old, answers)]
            self._first_places.turn(name, *shares)
        if answers is not None:
            self.services[name] = answers
            self._labels[answers.label] += 1
        if old is not None or answers is not None:
            self._moved_services[name] = answers
        self._replace_holders(name, old, answers)
        if self._claims is None:
            self._put_in_place(old, answers)
        else:
            for owner in self._claims.move(name, old, answers):
                self._restand_at(owner, self._claims)
        self._restand(before)

    def _put_in_place(self, old: ServiceAnswers | None, answers: ServiceAnswers | None) -> None:
        """Where no zone lies inside another."""
        if old is not None:
            for key in old.entries.keys() - (answers.entries.keys() if answers else ()):
                self._drop(key, old.entries[key])
            for owner in old.names.keys() - (answers.names.keys() if answers else ()):
                if self._names.get(owner) is old.names[owner]:  # else another service took the name over
                    self._stand(owner, self._own(owner))
        if answers is not None:
            for key, entry in answers.entries.items():
                if key not in self._own_entries:
                    self._put(key, entry)
            for owner, known in answers.names.items():
                self._stand(owner, known)

    def _count(self, old: ServiceAnswers) -> dict[bytes, int]:
        """Whose first places were given until now; returns where each counter stands."""
        ends = {}
        for key, places in old.first_places.items():
            ends[key] = self.position_of(places.entry)
            self._first_places.close(old.service.name, places, ends[key])
        return ends

    @staticmethod
    def _carry_on(answers: ServiceAnswers | None, ends: Mapping[bytes, int]) -> ServiceAnswers | None:
        """Counted from where the old ones were: answering goes on while the new ones are compiled."""
        if answers is None:
            return None
        places = answers.first_places.items()
        return replace(
            answers,
            first_places={key: replace(one, start=ends.get(key, one.start)) for key, one in places},
        )

    def _replace_holders(self, name: str, old: ServiceAnswers | None, new: ServiceAnswers | None) -> None:
        if old and new and old.service is new.service and old.grouped is new.grouped is None:
            return
        gone = old.by_address.keys() if old else set[bytes]()
        come = new.by_address.keys() if new else set[bytes]()
        alone = (name,)  # one tuple for all addresses that only this service has
        for address in gone - come:
            left = tuple(other for other in self._holders[address] if other != name)
            self._put_holders(address, left)
        for address in come - gone:
            others = self._holders.get(address)
            self._put_holders(address, tuple(sorted({*others, name})) if others else alone)

    def _put_holders(self, address: bytes, holders: tuple[str, ...]) -> None:
        self._moved_holders[address] = holders
        if holders:
            self._holders[address] = holders
        else:
            del self._holders[address]

    # --- which of two stands ------------------------------------------------------------------------------

    def _restand_at(self, owner: bytes, claims: Claims) -> None:
        """What stands at a name that a service brings, or brought, where zones nest."""
        known = self._own(owner)
        holder, built_in = claims.holder(owner), self._built_in.get(owner)
        entries: Mapping[bytes, Entry] = {}
        if holder is not None:
            brought, zone = self.services[holder[0]], claims.zone_of(owner)
            if owner in self._apexes:  # the zone's own, and what is below it is there all the same
                known = replace(brought.names[owner], zone=zone, ede=b"", service="")
            elif built_in is None or holder[1] == built_in.zone:
                entries, known = brought.entries, replace(brought.names[owner], zone=zone)
        for rtype in (A, AAAA, SRV, TXT):
            key = owner + rtype.to_bytes(2, "big")
            if key in self._own_entries:
                continue
            if key in entries:
                self._put(key, entries[key])
            elif key in self._entries:
                self._drop(key, self._entries[key])
        self._stand(owner, known)

    def _own(self, owner: bytes) -> Name | None:
        """What stands at a name where no service has one of its own."""
        beneath = self._beneath.get(owner)
        if beneath is not None and self.label_of(owner) not in self._labels:
            return beneath
        return self._built_in.get(owner)

    def _restand(self, before: Mapping[bytes, Name | None]) -> None:
        """Files' names come forth or give way, where what stood was none of a service's."""
        for owner, known in before.items():
            if self._names.get(owner) is known:
                self._stand(owner, self._own(owner))

    def _stand(self, owner: bytes, known: Name | None) -> None:
        if self._names.get(owner) is known:
            return
        self._moved_names[owner] = known
        if known is None:
            del self._names[owner]
        else:
            self._names[owner] = known

    def _put(self, key: bytes, entry: Entry) -> None:
        self._entries[key] = self._moved_entries[key] = entry

    def _drop(self, key: bytes, entry: Entry) -> None:
        if self._entries.get(key) is entry:  # else another service took the name over
            del self._entries[key]
            self._moved_entries[key] = None


def build_table(snapshot: Snapshot, services: Iterable[ServiceAnswers]) -> Table:
    """What is answered from these services and the zones' own; all others are known by name alone."""
    builder = Builder(snapshot.zone_names, snapshot.addresses, snapshot.ttl, snapshot.position_of)
    builder.set_serial(snapshot.serial)
    for origin, staleness in snapshot.staleness.items():
        builder.set_staleness(staleness, origin)
    builder.put_beneath(snapshot.files)
    for answers in services:
        builder.replace(answers.service.name, answers)
    delta = builder.take()
    held: dict[str, Holder | None] = {**snapshot.services, **delta.services}
    return Table(replace(delta, services=held, clients=snapshot.clients))

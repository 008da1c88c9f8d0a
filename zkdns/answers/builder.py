"""Answers: the index from names to what is compiled; the one value that the serving half reads.

Rules: no I/O, no clock. ServiceAnswers are immutable; putting one in is a single step between two queries of
the same loop, so that no reader sees half of it. `changes` names what moved, for an engine that
keeps an index of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from zkdns.answers import records
from zkdns.answers.first_places import FirstPlaceCounts
from zkdns.answers.on_demand import Services
from zkdns.answers.records import AAAA, NS, PTR, SOA, A
from zkdns.answers.service import FirstPlaces, ServiceAnswers, compile_service, several, single
from zkdns.answers.table import OWNER, Entry, Name, Sections, Table, Zone
from zkdns.dns import names
from zkdns.model import Service

NEGATIVE_TTL = 2
"""The SOA's TTL and minimum, seconds: how long a client may believe that nothing is there (RFC 2308)."""


@dataclass(slots=True)
class Changes:
    """What an engine with its own index has to take over."""

    entries: list[tuple[bytes, Entry | None]] = field(default_factory=list)
    names: list[tuple[bytes, Name | None]] = field(default_factory=list)


class Answers:
    """`table` and `names` are read by `respond`; all else is for those who publish."""

    def __init__(self, zones: Sequence[str], addresses: Sequence[str] = ("127.0.0.1",), ttl: int = 5) -> None:
        self.zones = [Zone(n, names.wire(z)) for n, z in enumerate(zones)]
        self.zone_names = tuple(zones)
        self.ttl = ttl
        self.table: Table = {}
        self.names: dict[bytes, Name] = {}
        self._table, self._names = self.table, self.names
        self.parts: dict[str, ServiceAnswers] = {}
        self.stale = b""
        """A whole EDE option that every reply with EDNS carries while the registry is out of reach."""
        self.identity: dict[bytes, str] = {}
        """CHAOS TXT names (RFC 4892) on the wire, and what they say."""
        self.serial = -1
        self._tally = FirstPlaceCounts()
        self.drawn: Callable[[bytes, Entry], int] = lambda key, entry: entry.counter.position
        self.settled: Callable[[str], None] | None = None
        """Told the label of a service whose answers were put in or taken out (zone files give way to it)."""
        self._by_address: dict[bytes, tuple[str, ...]] = {}
        self._server_addresses = tuple(addresses)
        self._own: dict[bytes, Name] = {}
        self.changes = Changes()
        for zone in self.zones:
            self._open(zone)
        self._own = dict(self._names)
        self._built_in = frozenset(self._own)
        self.set_serial(0)
        self._own_entries = frozenset(self._table)
        """What no service takes the place of: each NS name keeps its address."""

    def _open(self, zone: Zone) -> None:
        """The names that a zone has without any service: the apex, its server, the folders."""
        server = names.label("ns") + names.label("dns") + zone.apex
        self._put_server(zone, server)
        for label in ("_tcp", "_udp", "dns"):
            self._name(names.label(label) + zone.apex, Name(zone))
        self._name(zone.apex, Name(zone))
        self._name(server, Name(zone))
        meta = names.label("_dns-sd") + names.label("_udp") + zone.apex
        owner = names.label("_services") + meta
        self._name(meta, Name(zone))
        self._name(owner, Name(zone, responder=Services(owner, zone, self._listed)))

    def _put_server(self, zone: Zone, server: bytes) -> None:
        self._put(zone.apex + NS.to_bytes(2, "big"), single(records.record(OWNER, NS, self.ttl, server)))
        for rtype in (A, AAAA):
            own = [a for a in self._server_addresses if (":" in a) == (rtype == AAAA)]
            if own:
                own_records = [records.addresses(OWNER, (a,), self.ttl)[0] for a in own]
                self._put(server + rtype.to_bytes(2, "big"), several(own_records))

    def _listed(self) -> tuple[list[tuple[str, Sequence[str]]], int]:
        return [(part.service.label, part.protocols) for _, part in sorted(self.parts.items())], self.ttl

    def set_ttl(self, ttl: int) -> None:
        """Seconds where a service sets none; a service has them once it is compiled again."""
        self.ttl = ttl
        for zone in self.zones:
            self._put_server(zone, names.label("ns") + names.label("dns") + zone.apex)

    def set_serial(self, serial: int) -> None:
        """The serial of every zone's SOA (32 bits)."""
        if serial == self.serial:
            return
        self.serial = serial
        for zone in self.zones:
            server = names.label("ns") + names.label("dns") + zone.apex
            mailbox = names.label("hostmaster") + zone.apex
            numbers = b"".join(n.to_bytes(4, "big") for n in (serial, 60, 10, 86400, NEGATIVE_TTL))
            zone.soa = records.record(b"", SOA, NEGATIVE_TTL, server + mailbox + numbers)
            self._put(zone.apex + SOA.to_bytes(2, "big"), single(OWNER + zone.soa))

    def identify(self, version: str, host: str) -> None:
        """What the CHAOS names say (RFC 4892), and NSID (RFC 5001)."""
        said = {"version.bind": version, "version.server": version, "id.server": host, "hostname.bind": host}
        self.identity = {names.wire(name): text for name, text in said.items()}

    def set_failure(self, option: bytes) -> None:
        """SERVFAIL with this EDE option for all that is in our zones, save what files hold; b"" ends it."""
        for zone in self.zones:
            zone.failure = option
        self.table = {} if option else self._table
        apexes = {zone.apex for zone in self.zones}
        files = {at: known for at, known in self._own.items() if at in apexes or at not in self._built_in}
        self.names = files if option else self._names

    def compile(self, service: Service) -> ServiceAnswers:
        """The answers that would stand for this service now."""
        old = self.parts.get(service.name)
        counter = {key: entry.counter for key, entry in old.entries.items()} if old else {}
        return compile_service(service, self.zones, self.ttl, counter)

    def replace(self, name: str, part: ServiceAnswers | None) -> None:
        """Put `part` where the service's old one was; None takes the service out."""
        old = self.parts.get(name)
        self._replace(name, part)
        if self.settled is not None:
            for label in {p.service.label for p in (old, part) if p is not None}:
                self.settled(label)

    def is_built_in(self, owner: bytes) -> bool:
        """Whether a name is there without any service or file."""
        return owner in self._built_in

    def put_name(self, owner: bytes, known: Name) -> None:
        """Put another Name where one of our own stands (an apex that a zone file shares)."""
        self._own[owner] = known
        self._name(owner, known)

    def put_beneath(self, owner: bytes, known: Name | None) -> None:
        """A name that stands wherever no service has one of its own; None takes it out."""
        under = self._own.get(owner)
        standing = self._names.get(owner)
        if known is None:
            self._own.pop(owner, None)
            if standing is not None and standing is under:
                self._unname(owner, standing)
            return
        self._own[owner] = known
        if standing is None or standing is under:
            self._name(owner, known)

    def _replace(self, name: str, part: ServiceAnswers | None) -> None:
        old = self.parts.get(name)
        if old is not None:
            part = self._carry_on(part, self._settle(old))
            self._tally.keep(name, {i.id for i in part.service.instances} if part is not None else ())
            if part is None or part.by_address.keys() != old.by_address.keys():
                self._unplace(old)
            for key in old.entries.keys() - (part.entries.keys() if part else ()):
                self._drop(key, old.entries[key])
            for owner in old.names.keys() - (part.names.keys() if part else ()):
                self._unname(owner, old.names[owner])
        if part is None:
            self.parts.pop(name, None)
            return
        if old is None or part.by_address.keys() != old.by_address.keys():
            self._place(part)
        self.parts[name] = part
        for key, entry in part.entries.items():
            if key not in self._own_entries:
                self._put(key, entry)
        for owner, known in part.names.items():
            self._name(owner, known)

    def take_changes(self) -> Changes:
        """What moved since the last call."""
        taken, self.changes = self.changes, Changes()
        return taken

    def holders(self, qname: bytes) -> tuple[str, ...]:
        """The services with an instance at the address of a reverse name."""
        address = names.address_of(qname)
        return self._by_address.get(address, ()) if address is not None else ()

    def reverse(self, qname: bytes, qtype: int) -> Sections | None:
        """The answer for a name under in-addr.arpa or ip6.arpa, None where it is not ours."""
        address = names.address_of(qname)
        holders = self.holders(qname)
        if address is None or not holders:
            return None
        if qtype != PTR:
            return Sections((records.RFC8482,) if qtype == records.ANY else ())
        parts = [self.parts[name] for name in holders]
        ends = [
            names.label(i.label) + names.label(part.service.label) + self.zones[0].apex
            for part in parts
            for i in part.by_address[address]
        ]
        # One RRset, one TTL (RFC 2181, section 5.2): the least of those that the services have.
        found = [part.service.settings.ttl for part in parts]
        ttl = min(self.ttl if own is None else own for own in found)
        return Sections(tuple(records.record(OWNER, PTR, ttl, end) for end in ends))

    def first_answers(self, service: str) -> dict[str, int]:
        """How often each instance of the service stood first in an answer, by id."""
        found = self._tally.of(service)
        part = self.parts.get(service)
        for key, first in part.first_places.items() if part else ():
            found.update(firsts_between(first, self.drawn(key, first.entry)))
        return dict(found)

    def all_first_answers(self) -> Counter[tuple[str, str]]:
        """The same for all services at once, by service and id; those that never stood first left out."""
        found = self._tally.all()
        for name, part in self.parts.items():
            for key, first in part.first_places.items():
                end = self.drawn(key, first.entry)
                if end != first.start:
                    for id, n in firsts_between(first, end).items():
                        found[name, id] += n
        return found

    def _settle(self, old: ServiceAnswers) -> dict[bytes, int]:
        """Whose first places were dealt until now; returns where each count stands."""
        ends = {}
        for key, first in old.first_places.items():
            ends[key] = self.drawn(key, first.entry)
            self._tally.add(old.service.name, firsts_between(first, ends[key]))
        return ends

    @staticmethod
    def _carry_on(part: ServiceAnswers | None, ends: Mapping[bytes, int]) -> ServiceAnswers | None:
        """The answers counted from where the old one was settled: answering goes on meanwhile."""
        if part is None:
            return None
        first_places = {
            key: replace(first, start=ends.get(key, first.start)) for key, first in part.first_places.items()
        }
        return replace(part, first_places=first_places)

    def _place(self, part: ServiceAnswers) -> None:
        alone = (part.service.name,)
        for address in part.by_address:
            others = self._by_address.get(address)
            self._by_address[address] = tuple(sorted({*others, *alone})) if others else alone

    def _unplace(self, part: ServiceAnswers) -> None:
        for address in part.by_address:
            left = tuple(name for name in self._by_address.get(address, ()) if name != part.service.name)
            if left:
                self._by_address[address] = left
            else:
                self._by_address.pop(address, None)

    def _put(self, key: bytes, entry: Entry) -> None:
        self._table[key] = entry
        self.changes.entries.append((key, entry))

    def _drop(self, key: bytes, entry: Entry) -> None:
        if self._table.get(key) is entry:  # else another service took the name over
            del self._table[key]
            self.changes.entries.append((key, None))

    def _name(self, owner: bytes, known: Name) -> None:
        self._names[owner] = known
        self.changes.names.append((owner, known))

    def _unname(self, owner: bytes, known: Name) -> None:
        if self._names.get(owner) is not known:
            return  # another service took the name over
        if owner in self._own:  # a service named "dns" was the server's folder as well
            self._name(owner, self._own[owner])
        else:
            del self._names[owner]
            self.changes.names.append((owner, None))


def firsts_between(first: FirstPlaces, end: int) -> Counter[str]:
    """Whose first places the draws from `first.start` up to `end` were. A record that several
    instances share counts for the first of them."""
    tier = first.entry.tiers[0]
    rotation, cycle = tier.rotation, len(tier.rotation.sequence)
    rounds, rest = divmod(end - first.start, cycle)
    found: Counter[str] = Counter()
    if rounds:
        for order in rotation.sequence:
            found[first.ids[rotation.orders[order][0]]] += rounds
    for k in range(first.start, first.start + rest):
        found[first.ids[rotation.orders[rotation.sequence[k % cycle]][0]]] += 1
    return found

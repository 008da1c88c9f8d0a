"""One zone's records and what they say to a question (RFC 1034, section 4.3.2; RFC 4592; RFC 6672).

Rules: pure; built once, never written after. Names are wire names in lower case; rdata keeps its
case. An empty non-terminal is a node without records.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from msgspec import structs

from zkdns.answers.table import EVERY, NO_ZONE, Position, Sections, Table
from zkdns.answers.zonefiles.nodes import Nodes, RRset
from zkdns.answers.zonefiles.services import Asked, find_service, is_held
from zkdns.dns import names
from zkdns.dns.rdata import offsets_of, pack, pack_name
from zkdns.dns.types import (
    AAAA,
    ANY,
    CNAME,
    DNAME,
    DS,
    HINFO,
    MX,
    NOERROR,
    NS,
    NXDOMAIN,
    SERVFAIL,
    SOA,
    SRV,
    YXDOMAIN,
    A,
)

MAX_CHAIN = 16
_IN = b"\0\1"
STAR = b"\1*"
_TARGET_OF = {NS: 1, MX: 1, SRV: 1}
"""Types whose targets' addresses go along, and which part of the rdata the target is."""

_REFUSED_ANY = RRset(HINFO, 3600, ((b"\7RFC8482\0",),))


class Kind(enum.Enum):
    """What one name comes to."""

    FOUND = enum.auto()
    ALIAS = enum.auto()
    REDIRECT = enum.auto()
    REFERRAL = enum.auto()
    NODATA = enum.auto()
    NXDOMAIN = enum.auto()


class Step(NamedTuple):
    """One step of a lookup. `owner`: whose `rrset` it is, in a reply."""

    kind: Kind
    owner: bytes = b""
    rrset: RRset | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ZoneData:
    """A zone file's records. `soa` goes with a negative answer; where the zone is shared with services it
    is that of the table's zone of the index `zone`. `family`: all zone files by apex, in which aliases are
    followed from this one."""

    apex: bytes
    nodes: Nodes
    soa: bytes
    path: str = ""
    shared: bool = False
    zone: int = NO_ZONE
    family: Mapping[bytes, ZoneData] = field(default_factory=dict, repr=False)

    def answer(self, qname: bytes, qtype: int, table: Table, position: Position, room: int) -> Sections:
        """The whole answer. That something is not there, beside services, only a catalog can tell."""
        failure = table.staleness[EVERY].failure
        sections = self._answer(Asked(qname, qtype, table, position, room), bool(failure))
        if failure and self.shared and sections.aa and not sections.answer:
            return Sections(rcode=SERVFAIL, aa=False, ede=failure)
        return sections

    def _answer(self, asked: Asked, failure: bool) -> Sections:
        """Aliases are followed as far as our data goes. AA is for the first name."""
        reply = _Reply(asked.qname, asked.room)
        name, qtype, table = asked.qname, asked.qtype, asked.table
        zone: ZoneData = self
        for _ in range(MAX_CHAIN):
            step = zone.lookup(name, qtype)
            if step.kind is Kind.FOUND:
                reply.put(reply.answer, step)
                reply.add_targets(step, zone, table)
                return reply.sections()
            if step.kind is Kind.REFERRAL:
                reply.put(reply.authority, step)
                reply.add_targets(step, zone, table)
                return reply.sections(aa=bool(reply.answer))
            if step.kind in (Kind.NODATA, Kind.NXDOMAIN):
                if step.kind is Kind.NXDOMAIN and reply.answer and zone.shared and failure:
                    return reply.sections(SERVFAIL)
                reply.authority.append(reply.owner(zone.apex) + zone.find_soa(table))
                return reply.sections(NXDOMAIN if step.kind is Kind.NXDOMAIN else NOERROR)
            assert step.rrset is not None  # noqa: S101
            reply.put(reply.answer, step)
            target = step.rrset.rdatas[0][1].lower()
            if step.kind is Kind.REDIRECT:
                moved = name[: len(name) - len(step.owner)] + target
                if len(moved) > 255:
                    return reply.sections(YXDOMAIN)
                reply.put(reply.answer, Step(step.kind, name, RRset(CNAME, step.rrset.ttl, ((b"", moved),))))
                if qtype == CNAME:
                    return reply.sections()
                target = moved
            if target in reply.visited:
                return reply.sections()
            reply.visited.add(target)
            name = target
            end = find_service(structs.replace(asked, qname=name))
            if end is not None:
                return reply.join(end)
            following = zone_of(name, self.family or {self.apex: self})
            if following is None:
                return reply.sections(outside=name)  # the rest is someone else's to tell
            zone = following
        return reply.sections()

    def find_soa(self, table: Table) -> bytes:
        """The SOA record after its owner: of a zone that is shared, that of the services."""
        return table.zones[self.zone].soa if self.shared else self.soa

    def lookup(self, name: bytes, qtype: int) -> Step:
        """What this zone has for a name in it."""
        nodes = self.nodes
        for owner in _ancestors(name, self.apex):
            node = nodes.get(owner)
            if node is None:
                break
            if owner != self.apex and NS in node and not (owner == name and qtype == DS):
                return Step(Kind.REFERRAL, owner, node[NS])
            if owner != name and DNAME in node:
                return Step(Kind.REDIRECT, owner, node[DNAME])
            encloser = owner
        node = nodes.get(name)
        if node is None:
            node = nodes.get(STAR + encloser)  # RFC 4592, section 3.3.2: the source of synthesis
            if node is None:
                return Step(Kind.NXDOMAIN)
        if qtype == ANY:
            return Step(Kind.FOUND, name, _REFUSED_ANY) if node else Step(Kind.NODATA)
        if qtype in node:
            return Step(Kind.FOUND, name, node[qtype])
        if CNAME in node:
            return Step(Kind.ALIAS, name, node[CNAME])
        return Step(Kind.NODATA)

    def address(self, name: bytes, rtype: int) -> RRset | None:
        """What a target's address is, be it glue below a delegation or from a wildcard."""
        if not _is_within(name, self.apex):
            return None
        node = self.nodes.get(name)
        if node is not None:
            return node.get(rtype)
        step = self.lookup(name, rtype)
        return step.rrset if step.kind is Kind.FOUND else None


def zone_of(name: bytes, zones: Mapping[bytes, ZoneData]) -> ZoneData | None:
    """The nearest of these zones, by their apexes, that the name is in."""
    return next((zones[above] for above in (name, *names.suffixes(name)) if above in zones), None)


def _is_within(name: bytes, apex: bytes) -> bool:
    return name == apex or apex in names.suffixes(name)


def _ancestors(name: bytes, apex: bytes) -> Iterator[bytes]:
    """From the apex down to the name itself."""
    chain = [name]
    while len(chain[-1]) > len(apex):
        chain.append(chain[-1][1 + chain[-1][0] :])
    return reversed(chain)


class _Reply:
    """The sections of a reply as they fill; names are compressed against the question alone. `left`: bytes
    that there is room for still. Once there is none the reply is cut, and nothing more is spelled: a file may
    have 50,000 records at one name, and 61 bytes ask for all of them."""

    def __init__(self, qname: bytes, room: int) -> None:
        self.qname = qname
        self.left = room
        self.offsets = offsets_of(qname)
        self.answer: list[bytes] = []
        self.authority: list[bytes] = []
        self.additional: list[bytes] = []
        self.visited = {qname}

    def owner(self, name: bytes) -> bytes:
        return pack_name(name, self.offsets)

    def put(self, section: list[bytes], step: Step) -> None:
        assert step.rrset is not None  # noqa: S101
        self.spell(section, step.owner, step.rrset)

    def spell(self, section: list[bytes], owner: bytes, rrset: RRset) -> None:
        head = self.owner(owner) + rrset.rtype.to_bytes(2, "big") + _IN + rrset.ttl.to_bytes(4, "big")
        for parts in rrset.rdatas:
            if self.left < 0:
                return
            rdata = pack(rrset.rtype, parts, self.offsets)
            section.append(head + len(rdata).to_bytes(2, "big") + rdata)
            self.left -= len(section[-1])

    def add_targets(self, step: Step, zone: ZoneData, table: Table) -> None:
        """The addresses of what NS, MX and SRV point at, glue among them, as far as this zone has them. Those
        of a name that the services hold are asked for: what the file says of it is answered to nobody."""
        assert step.rrset is not None  # noqa: S101
        part = _TARGET_OF.get(step.rrset.rtype)
        if part is None:
            return
        met: set[bytes] = set()
        for parts in step.rrset.rdatas:
            if self.left < 0:
                return
            target = parts[part].lower() if len(parts) > part else b""
            if not target or target in met:
                continue
            met.add(target)
            for rtype in () if is_held(target, table) else (A, AAAA):
                rrset = zone.address(target, rtype)
                if rrset is not None:
                    self.spell(self.additional, target, rrset)

    def join(self, end: Sections) -> Sections:
        """The end of the chain comes from the services."""
        if end.by_client is not None:
            ends = end.by_client
            return replace(self.sections(), by_client=lambda client_class: self.join(ends(client_class)))
        for section, more in (
            (self.answer, end.answer),
            (self.authority, end.authority),
            (self.additional, end.additional),
        ):
            section += more
        return self.sections(end.rcode, ede=end.ede)

    def sections(
        self, rcode: int = NOERROR, aa: bool = True, ede: bytes = b"", outside: bytes = b""
    ) -> Sections:
        answer, authority, additional = tuple(self.answer), tuple(self.authority), tuple(self.additional)
        return Sections(answer, authority, additional, rcode, aa, ede, outside)


def negative_soa(rrset: RRset) -> bytes:
    """The SOA record after its owner, with the TTL of a negative answer (RFC 2308, section 3)."""
    parts = rrset.rdatas[0]
    ttl = min(rrset.ttl, int.from_bytes(parts[4][16:20], "big"))
    rdata = b"".join(parts)
    return SOA.to_bytes(2, "big") + _IN + ttl.to_bytes(4, "big") + len(rdata).to_bytes(2, "big") + rdata

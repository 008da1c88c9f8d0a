"""What the services say of a name that an alias in a zone file leads to.

Rules: pure.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from zkdns.answers.table import FILES, Entry, Name, Position, Responder, Sections, Table
from zkdns.dns import names
from zkdns.dns.rdata import detach
from zkdns.dns.types import AAAA, NXDOMAIN, SERVFAIL, A


def find_service(qname: bytes, qtype: int, table: Table, position: Position) -> Sections | None:
    """The answer, whose owners are spelled out to stand behind another question; None where the name isn't
    theirs. SERVFAIL where nothing may be said of it now."""
    entry = table.entries.get(qname + qtype.to_bytes(2, "big"))
    if entry is not None:
        if table.stale[entry.origin] is None:
            return Sections(rcode=SERVFAIL)
        if entry.variants is None:
            return _give_behind(qname, entry, position)
        return Sections(by_client=partial(_give_near, qname, entry, table, position))
    for suffix in (qname, *names.suffixes(qname)):
        known = table.names.get(suffix)
        if known is None:
            continue
        if known.origin == FILES:
            return None
        if table.stale[known.origin] is None:
            return Sections(rcode=SERVFAIL)
        sections = _below(known, suffix, qname, qtype, table, position)
        if sections.answer or sections.authority:
            return replace(sections, answer=_detach(qname, sections.answer))
        zone = table.zones[known.zone]
        return replace(sections, authority=(zone.apex + zone.soa,))
    return None


def _give_behind(qname: bytes, entry: Entry, position: Position) -> Sections:
    sections = _give(entry, position)
    return replace(sections, answer=_detach(qname, sections.answer))


def _give_near(qname: bytes, entry: Entry, table: Table, position: Position, client_class: int) -> Sections:
    """What clients of one class are given."""
    own = (entry.variants or {}).get(client_class, entry)
    if own.tiers:
        return _give_behind(qname, own, position)
    known = table.names[qname]
    zone = table.zones[known.zone]
    return Sections(authority=(zone.apex + zone.soa,), ede=known.ede)


def _below(
    known: Name, suffix: bytes, qname: bytes, qtype: int, table: Table, position: Position
) -> Sections:
    """What a name of the services' says of itself, or of a name below it."""
    if known.responder is not None:
        return _ask(known.responder, qname, qtype, table, position)
    if suffix == qname:
        return Sections(ede=known.ede)
    label = qname[1 : 1 + qname[0]]
    instances = known.instances if qname == names.label(label) + suffix else None
    instance = instances.get(label) if instances else None
    if instance is None and known.below is not None:
        return _ask(known.below, qname, qtype, table, position)
    if instance is None:
        return Sections(rcode=NXDOMAIN)
    if qtype in (A, AAAA):
        run, size = (instance.a, 16) if qtype == A else (instance.aaaa, 28)
        return Sections(tuple(run[at : at + size] for at in range(0, len(run), size)))
    return known.spell(label, qtype) if known.spell else Sections()


def _ask(responder: Responder, qname: bytes, qtype: int, table: Table, position: Position) -> Sections:
    given = responder.answer(qname, qtype, table, position)
    return given if isinstance(given, Sections) else _give(given, position)


def _give(entry: Entry, position: Position) -> Sections:
    return Sections(_records_at(entry, position(entry)), ede=entry.ede)


def _records_at(entry: Entry, n: int) -> tuple[bytes, ...]:
    """The records of the n-th answer of this Entry."""
    rotations = ((tier.rotation, tier.records) for tier in entry.tiers)
    return tuple(
        record
        for rotation, records in rotations
        for record in rotation.getters[rotation.sequence[n % len(rotation.sequence)]](records)
    )


def _detach(qname: bytes, records: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Records that pointed at their question, spelled out to stand behind another."""
    spelled = []
    for record in records:
        read = detach(record, qname)
        if read is not None:
            owner, rtype, rclass, ttl, parts = read
            rdata = b"".join(parts)
            fixed = rtype.to_bytes(2, "big") + rclass.to_bytes(2, "big") + ttl.to_bytes(4, "big")
            spelled.append(owner + fixed + len(rdata).to_bytes(2, "big") + rdata)
    return tuple(spelled)

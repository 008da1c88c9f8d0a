"""What the services say of a name that an alias in a zone file leads to.

Rules: pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from msgspec import Struct

from zkdns.answers.table import FILES, Entry, Name, Position, Responder, Sections, Table
from zkdns.dns import names
from zkdns.dns.message import NUMBERS
from zkdns.dns.rdata import detach
from zkdns.dns.records import RECORD_BYTES
from zkdns.dns.types import AAAA, NXDOMAIN, SERVFAIL, A

_ADDRESSES = (b"\xc0\x0c\0\1", b"\xc0\x0c\0\x1c")
"""How records begin that point at their question with their owner alone, of which there are the most."""

_SRV = b"\xc0\x0c\0\x21"
"""The same of those whose target mostly points at nothing, since other names of a service share it."""

_TARGET = 18
"""Where in such a record that begins."""


class Asked(Struct, frozen=True):
    """What an alias leads to. `room`: bytes that the reply may have."""

    qname: bytes
    qtype: int
    table: Table
    position: Position
    room: int


def find_service(asked: Asked) -> Sections | None:
    """The answer, whose owners are spelled out to stand behind another question; None where the name isn't
    theirs. SERVFAIL where nothing may be said of it now."""
    qname, table = asked.qname, asked.table
    entry = table.entries.get(qname + asked.qtype.to_bytes(2, "big"))
    if entry is not None:
        if table.stale[entry.origin] is None:
            return Sections(rcode=SERVFAIL)
        if entry.variants is None:
            return _give_behind(asked, entry)
        return Sections(by_client=partial(_give_near, asked, entry))
    held = _holder_of(qname, table)
    if held is None:
        return None
    suffix, known = held
    if table.stale[known.origin] is None:
        return Sections(rcode=SERVFAIL)
    sections = _below(known, suffix, asked)
    if sections.answer or sections.authority:
        return replace(sections, answer=_detach(asked, sections.answer))
    zone = table.zones[known.zone]
    return replace(sections, authority=(zone.apex + zone.soa,))


def is_held(qname: bytes, table: Table) -> bool:
    """Whether what a file says of this name gives way to the services."""
    return _holder_of(qname, table) is not None


def _holder_of(qname: bytes, table: Table) -> tuple[bytes, Name] | None:
    """The nearest name at or above this one, where that is the services' and no file's."""
    for suffix in (qname, *names.suffixes(qname)):
        known = table.names.get(suffix)
        if known is not None:
            return (suffix, known) if known.origin != FILES else None
    return None


def _give_behind(asked: Asked, entry: Entry) -> Sections:
    sections = _give(asked, entry)
    return replace(sections, answer=_detach(asked, sections.answer))


def _give_near(asked: Asked, entry: Entry, client_class: int) -> Sections:
    """What clients of one class are given."""
    own = (entry.variants or {}).get(client_class, entry)
    if own.tiers:
        return _give_behind(asked, own)
    known = asked.table.names[asked.qname]
    zone = asked.table.zones[known.zone]
    return Sections(authority=(zone.apex + zone.soa,), ede=known.ede)


def _below(known: Name, suffix: bytes, asked: Asked) -> Sections:
    """What a name of the services' says of itself, or of a name below it."""
    qname, qtype = asked.qname, asked.qtype
    if known.responder is not None:
        return _ask(known.responder, asked)
    if suffix == qname:
        return Sections(ede=known.ede)
    label = qname[1 : 1 + qname[0]]
    instances = known.instances if qname == names.label(label) + suffix else None
    instance = instances.get(label) if instances else None
    if instance is None and known.below is not None:
        return _ask(known.below, asked)
    if instance is None:
        return Sections(rcode=NXDOMAIN)
    if qtype in (A, AAAA):
        run, size = (instance.a, 16) if qtype == A else (instance.aaaa, 28)
        return Sections(tuple(run[at : at + size] for at in range(0, len(run), size)))
    return known.spell(label, qtype) if known.spell else Sections()


def _ask(responder: Responder, asked: Asked) -> Sections:
    given = responder.answer(asked.qname, asked.qtype, asked.table, asked.position, asked.room)
    return given if isinstance(given, Sections) else _give(asked, given)


def _give(asked: Asked, entry: Entry) -> Sections:
    return Sections(tuple(_records_at(entry, asked.position(entry), asked.room)), ede=entry.ede)


def _records_at(entry: Entry, n: int, room: int) -> Iterator[bytes]:
    """The records of the n-th answer of this Entry, until these are more than there is room for."""
    for tier in entry.tiers:
        rotation = tier.rotation
        k = rotation.sequence[n % len(rotation.sequence)]
        for i in rotation.head(k, room // RECORD_BYTES + 1):
            yield tier.records[i]
            room -= len(tier.records[i])
            if room < 0:
                return


def _detach(asked: Asked, records: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Records that pointed at their question, spelled out to stand behind another, until these are more than
    there is room for."""
    spelled: list[bytes] = []
    left, qname = asked.room, asked.qname
    for record in records:
        if left < 0:
            break
        head = record[:4]
        if head in _ADDRESSES or (head == _SRV and _is_spelled_out(record, _TARGET)):
            spelled.append(qname + record[2:])
        elif (read := detach(record, qname)) is not None:
            owner, rtype, rclass, ttl, parts = read
            rdata = b"".join(parts)
            spelled.append(owner + NUMBERS.pack(rtype, rclass, ttl, len(rdata)) + rdata)
        else:
            continue
        left -= len(spelled[-1])
    return tuple(spelled)


def _is_spelled_out(record: bytes, at: int) -> bool:
    """Whether a name that ends a record points nowhere."""
    last = len(record) - 1
    while at < last:
        at += 1 + record[at]
    return at == last and not record[last]

"""One query in, one outcome out: the reply's bytes, FORWARD, or None (drop).

Rules: no I/O, no clock, no chance; never raises on any packet. The plain case is first and short;
everything else goes through `respond_general`, in the order of RFC 1035 and RFC 6891. The native engine is
this module's twin for the plain case, byte for byte.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TypeAlias

from zkdns.answers import records
from zkdns.answers.builder import Answers
from zkdns.answers.table import Entry, Name, Sections, Zone
from zkdns.dns import ede, names, packet
from zkdns.dns.packet import (
    BADVERS,
    FORMERR,
    HIGHEST_UDP,
    NOERROR,
    NOTIMP,
    NXDOMAIN,
    REFUSED,
    SERVFAIL,
    Edns,
    Query,
)


class Forward(enum.Enum):
    """Not ours: an upstream may know."""

    FORWARD = enum.auto()


FORWARD = Forward.FORWARD
Outcome: TypeAlias = bytes | Forward | None
Position: TypeAlias = Callable[[Entry], int]

IN, CH = 1, 3
_AA = 0x0400
_A, _TXT, _AAAA, _ANY = records.A, records.TXT, records.AAAA, records.ANY
_NO_DATA = frozenset({0, 41, 249, 250, 251, 252, 253, 254})
"""Types that name no data: OPT, TKEY, TSIG, IXFR, AXFR, MAILB, MAILA (RFC 6895, section 3.1)."""

_MANY = 100
_SHORTEST = 12
"""Bytes of a record without rdata: owner C00C, type, class, TTL, length."""

_OPTS: dict[bytes, Edns] = {}
"""OPT records of version 0 without options, as they came, read: few differ."""
_HEADS: dict[int, bytes] = {}
_TAILS: dict[tuple[bytes, bool], bytes] = {}


def next_position(entry: Entry) -> int:
    """The next number of this Entry's own counter: two services asked in turn don't resonate."""
    counter = entry.counter
    n = counter.position
    counter.position = n + 1
    return n


def respond(query: bytes, answers: Answers, limit: int, position: Position, ra: int = 0) -> Outcome:
    """`limit`: the most bytes that the transport carries (UDP: HIGHEST_UDP; TCP: 65535). `position`
    gives an Entry's turn. `ra`: 0x80 where this client may have names forwarded, else 0."""
    made = respond_fast(query, answers, limit, position, ra)
    return respond_general(query, answers, limit, position, ra) if made is None else made


def respond_fast(query: bytes, answers: Answers, limit: int, position: Position, ra: int = 0) -> bytes | None:
    """The plain case alone; None for all else."""
    if query[2:3] <= b"\1" and query[4:10] == b"\0\1\0\0\0\0":
        end = query.find(b"\0", 12) + 5
        entry = answers.table.get(query[12 : end - 4].lower() + query[end - 4 : end - 2])
        if entry is not None and query[end - 2 : end] == b"\0\1":
            more = query[end:]
            if not more:
                if query[10:12] == b"\0\0":
                    size = 512 if limit == HIGHEST_UDP else limit
                    return _deal(query, end, entry, position(entry), size, None, b"", ra)
            elif len(more) == 11 and more[:3] == b"\0\0\x29" and query[10:12] == b"\0\1":
                edns = _OPTS.get(more) or _opt(more)
                if edns is not None:
                    size = edns.room if limit == HIGHEST_UDP else limit
                    return _deal(
                        query, end, entry, position(entry), size, edns, answers.stale + entry.ede, ra
                    )
    return None


def _deal(
    query: bytes, end: int, entry: Entry, n: int, size: int, edns: Edns | None, options: bytes, ra: int
) -> bytes:
    """The n-th answer of this Entry."""
    tiers = entry.tiers
    tier = tiers[0]
    rotation = tier.rotation
    turn = rotation.getters[rotation.sequence[n % len(rotation.sequence)]]
    pieces = turn(tier.records)
    if len(tiers) > 1 or len(pieces) > _MANY:
        return _deal_tiers(query, end, entry, n, size, edns, options, ra)
    tail = _TAILS.get((options, edns.do)) or _tail(options, edns.do) if edns else b""
    if not tier.extras:
        body = b"".join(pieces)
        extra = 0
    elif not entry.repeats:
        body = b"".join(pieces) + b"".join(turn(tier.extras))
        extra = sum(turn(tier.extra_counts))
    else:
        return _deal_tiers(query, end, entry, n, size, edns, options, ra)
    if end + len(body) + len(tail) > size:
        extras = turn(tier.extras) if extra else ()
        return packet.reply(query, end, NOERROR, pieces, (), extras, edns, options, size, _AA | ra, (extra,))
    if edns is not None:
        extra += 1
    key = ((query[2] & 1) << 8 | ra) << 32 | len(pieces) << 16 | extra
    head = _HEADS.get(key) or _head(key)
    return b"".join((query[:2], head, query[12:end], body, tail))


def _opt(record: bytes) -> Edns | None:
    edns = packet.read_opt(record, 0, len(record))
    if edns is None or edns.version:
        return None
    if len(_OPTS) < 10_000:
        _OPTS[record] = edns
    return edns


def _tail(options: bytes, do: bool) -> bytes:
    """Our OPT record: few differ, so they are kept."""
    made = packet.opt(options, do)
    if len(_TAILS) < 10_000:
        _TAILS[options, do] = made
    return made


def _head(key: int) -> bytes:
    """Flags and counts (16 bits of each in `key`): few differ, so they are kept."""
    made = (0x8000 | _AA | key >> 32).to_bytes(2, "big") + b"\0\1" + (key >> 16 & 0xFFFF).to_bytes(2, "big")
    made += b"\0\0" + (key & 0xFFFF).to_bytes(2, "big")
    if len(_HEADS) < 10_000:
        _HEADS[key] = made
    return made


def _deal_tiers(
    query: bytes, end: int, entry: Entry, n: int, size: int, edns: Edns | None, options: bytes, ra: int
) -> bytes:
    """The n-th answer where there are several tiers, many records, or additional ones to be folded."""
    pieces: list[bytes] = []
    extras: list[tuple[bytes, int]] = []
    most = size // _SHORTEST + 1
    for tier in entry.tiers:
        rotation = tier.rotation
        k = rotation.sequence[n % len(rotation.sequence)]
        if len(pieces) + len(rotation.orders[k]) > most:
            # So many fill the reply, and the rest need not be dealt: thousands over UDP cost no more.
            pieces += [tier.records[i] for i in rotation.orders[k][: most - len(pieces)]]
            return packet.reply(query, end, NOERROR, pieces, (), (), edns, options, size, _AA | ra)
        turn = rotation.getters[k]
        pieces += turn(tier.records)
        if tier.extras:
            extras += zip(turn(tier.extras), turn(tier.extra_counts), strict=True)
    if entry.repeats:
        extras = list(dict.fromkeys(extras))
    more = [e for e, _ in extras]
    counts = [c for _, c in extras] or [0]
    return packet.reply(query, end, NOERROR, pieces, (), more, edns, options, size, _AA | ra, counts)


def respond_general(query: bytes, answers: Answers, limit: int, position: Position, ra: int) -> Outcome:
    """All that is not the plain case, and every miss."""
    if len(query) < 12 or query[2] & 0x80:
        return None  # nothing to answer to; a reply to a reply could go round for ever
    if query[2] & 0x78:
        return fail(query, NOTIMP, b"", limit, ra)
    asked = packet.read_query(query)
    if asked is None:
        return fail(query, FORMERR, b"", limit, ra)
    if asked.edns and asked.edns.version > 0:
        return fail(query, BADVERS, b"", limit, ra, asked)
    if asked.qclass == CH:
        return _chaos(query, asked, answers, limit, ra)
    if asked.qclass != IN:
        return fail(query, REFUSED, ede.option(ede.PROHIBITED, "class not served"), limit, ra, asked)
    if asked.qtype in _NO_DATA:
        return fail(query, REFUSED, ede.option(ede.PROHIBITED, "type not served"), limit, ra, asked)
    entry = answers.table.get(asked.qname + asked.qtype.to_bytes(2, "big"))
    size = packet.room(asked.edns, limit)
    if entry is not None:
        options = _nsid(asked, answers) + answers.stale + entry.ede
        return _deal(query, asked.end, entry, position(entry), size, asked.edns, options, ra)
    known = answers.names.get(asked.qname)
    if known is not None:
        return _known(query, asked, known, answers, size, ra)
    return _missing(query, asked, answers, size, ra)


def _known(query: bytes, asked: Query, known: Name, answers: Answers, size: int, ra: int) -> bytes:
    """The name is there; the table has nothing of this type for it."""
    if known.responder is not None:
        found = known.responder.answer(asked.qname, asked.qtype)
        if known.zone.failure and _is_negative(found):
            return _failed(query, asked, known.zone, answers, size, ra)
        return _spelled(query, asked, found, known.zone, answers, size, ra)
    if known.zone.failure:
        return _failed(query, asked, known.zone, answers, size, ra)
    if asked.qtype == _ANY:
        return _spelled(query, asked, Sections((records.RFC8482,)), known.zone, answers, size, ra)
    return _spelled(query, asked, Sections(ede=known.ede), known.zone, answers, size, ra)


def _missing(query: bytes, asked: Query, answers: Answers, size: int, ra: int) -> Outcome:
    """The name is not there: its closest encloser (RFC 4592, section 3.3.1) decides."""
    for suffix in names.suffixes(asked.qname):
        known = answers.names.get(suffix)
        if known is None:
            continue
        zone = known.zone
        if known.responder is not None:
            found = known.responder.answer(asked.qname, asked.qtype)
            if zone.failure and _is_negative(found):
                return _failed(query, asked, zone, answers, size, ra)
        elif zone.failure:
            return _failed(query, asked, zone, answers, size, ra)
        else:
            found = _kid(asked, suffix, known)
        return _spelled(query, asked, found, zone, answers, size, ra)
    reverse = answers.reverse(asked.qname, asked.qtype)
    if reverse is not None:
        if answers.zones[0].failure:
            return _failed(query, asked, answers.zones[0], answers, size, ra)
        return _spelled(query, asked, reverse, answers.zones[0], answers, size, ra)
    return FORWARD


def _is_negative(found: Sections) -> bool:
    """Whether it says that something is not there: only a catalog can tell, in a zone of services."""
    return found.aa and not found.answer


def _kid(asked: Query, suffix: bytes, known: Name) -> Sections:
    """A name one label below a known one: one of its kids, or nothing."""
    label = asked.qname[1 : 1 + asked.qname[0]]
    instance = (
        known.instances.get(label)
        if known.instances and len(asked.qname) == 1 + len(label) + len(suffix)
        else None
    )
    if instance is None:
        return Sections(rcode=NXDOMAIN)
    if asked.qtype == _A:
        return Sections(_slices(instance.a, 16))
    if asked.qtype == _AAAA:
        return Sections(_slices(instance.aaaa, 28))
    if asked.qtype == _ANY:
        return Sections((records.RFC8482,))
    return known.spell(label, asked.qtype) if known.spell else Sections()


def _slices(run: bytes, length: int) -> tuple[bytes, ...]:
    return tuple(run[k : k + length] for k in range(0, len(run), length))


def _spelled(
    query: bytes, asked: Query, found: Sections, zone: Zone, answers: Answers, size: int, ra: int
) -> bytes:
    """A reply of what was spelled on demand; where that is nothing, the zone's SOA (RFC 2308)."""
    authority = found.authority
    if not found.answer and not authority and found.rcode in (NOERROR, NXDOMAIN):
        inside = asked.qname.endswith(zone.apex)  # save for a reverse name: its SOA stands elsewhere
        authority = ((records.pointer(asked.qname, zone.apex) if inside else zone.apex) + zone.soa,)
    options = _nsid(asked, answers) + answers.stale + found.ede
    flags = ra | (_AA if found.aa else 0)
    return packet.reply(
        query,
        asked.end,
        found.rcode,
        found.answer,
        authority,
        found.additional,
        asked.edns,
        options,
        size,
        flags,
    )


def _failed(query: bytes, asked: Query, zone: Zone, answers: Answers, size: int, ra: int) -> bytes:
    """There is no catalog that could be answered from: never NXDOMAIN then."""
    options = _nsid(asked, answers) + zone.failure
    return packet.reply(query, asked.end, SERVFAIL, (), (), (), asked.edns, options, size, ra)


def _chaos(query: bytes, asked: Query, answers: Answers, limit: int, ra: int) -> bytes:
    """version.bind and its kin (RFC 4892); nothing else is served in this class."""
    said = answers.identity.get(asked.qname)
    size = packet.room(asked.edns, limit)
    if said is None:
        return fail(query, REFUSED, ede.option(ede.PROHIBITED, "name not served"), limit, ra, asked)
    piece = records.txt([said], 0)
    piece = piece[:4] + b"\0\3" + piece[6:]
    found = (piece,) if asked.qtype in (_TXT, _ANY) else ()
    options = _nsid(asked, answers)
    return packet.reply(query, asked.end, NOERROR, found, (), (), asked.edns, options, size, _AA | ra)


def fail(
    query: bytes, rcode: int, options: bytes, limit: int, ra: int = 0, asked: Query | None = None
) -> bytes:
    """A reply without records: the question comes back where it can be read. AA is clear."""
    if asked is None:
        asked = packet.read_query(query)
    if asked is None:
        return packet.reply(query, 12, rcode, (), (), (), None, b"", 512, ra)
    size = packet.room(asked.edns, limit)
    return packet.reply(query, asked.end, rcode, (), (), (), asked.edns, options, size, ra)


def _nsid(asked: Query, answers: Answers) -> bytes:
    """The NSID option where it was asked for (RFC 5001)."""
    if asked.edns is None or not asked.edns.nsid:
        return b""
    said = answers.identity.get(_ID_SERVER, "").encode()
    return b"\0\3" + len(said).to_bytes(2, "big") + said


_ID_SERVER = names.wire("id.server")

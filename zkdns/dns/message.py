"""DNS messages that anyone may have sent: queries on their way out, replies on their way in.

Rules: pure; every walk is bounded; what can't be read is None, never an exception.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from zkdns.dns import ede, packet
from zkdns.dns.rdata import Parts, read_name, read_rdata

OPT = 41
SOA = 6
CNAME = 5
DO = 1
CD = 2
_PLAIN = b"\0\1\0\0\0\0\0\0"
_PLAIN_OPT = b"\0\1\0\0\0\0\0\1"


Asked: TypeAlias = tuple[bytes, int, int]
"""A query in the terms of the cache. Its key: name in lower case, type, class, and one byte of `DO`
and `CD`; where its question ends; what its EDNS allows, 0 without EDNS."""

_FLAGS = (b"\0", b"\1", b"\2", b"\3")


def skim(query: bytes) -> Asked | None:
    """The plain case at speed: one question, and nothing or an OPT record after it.

    A label may hold a zero byte, and such a name ends too early here. That is safe to look up (no
    whole key begins with half a name) but not to go on with: what misses is read by `read_query`.
    """
    if query[2:3] > b"\1":
        return None
    counts = query[4:12]
    end = query.find(0, 12) + 5
    if counts == _PLAIN_OPT:
        more = query[end:]
        if len(more) == 11 and more[:3] == b"\0\0\x29" and more[5:7] == b"\0\0" and more[9:] == b"\0\0":
            flags = more[7] >> 7 | (query[3] & 0x10) >> 3
            size = more[3] << 8 | more[4]
            return query[12 : end - 4].lower() + query[end - 4 : end] + _FLAGS[flags], end, size or 512
    elif counts == _PLAIN and len(query) == end:
        return query[12 : end - 4].lower() + query[end - 4 : end] + _FLAGS[(query[3] & 0x10) >> 3], end, 0
    return None


def read_query(query: bytes) -> Asked | None:
    """The same of any query; None for what can't be read."""
    found = packet.read_query(query)
    if found is None:
        return None
    flags = CD if query[3] & 0x10 else 0
    size = 0
    if found.edns is not None:
        size = found.edns.size or 512
        flags |= DO if found.edns.do else 0
    end = found.end
    return found.qname + query[end - 4 : end] + _FLAGS[flags], end, size


class Record(NamedTuple):
    """One record, taken out of its message: no pointers left in what we can read."""

    owner: bytes
    rtype: int
    rclass: int
    ttl: int
    parts: Parts


class Message(NamedTuple):
    """A reply. `rcode` has the extended bits; `edns`: whether it carried an OPT record. `question`
    is the raw section. OPT and TSIG records are left out of the sections: they speak of one hop."""

    flags: int
    rcode: int
    question: bytes
    answer: tuple[Record, ...]
    authority: tuple[Record, ...]
    additional: tuple[Record, ...]
    edns: bool


_HOP = frozenset({OPT, 249, 250})  # and TKEY, TSIG
_MOST_RECORDS = 4096


def read_reply(reply: bytes) -> Message | None:
    """A whole reply to one question, or None."""
    if len(reply) < 17 or reply[4:6] != b"\0\1":
        return None
    found = read_name(reply, 12, len(reply))
    if found is None or found[1] + 4 > len(reply):
        return None
    at = found[1] + 4
    question = reply[12:at]
    counts = [reply[i] << 8 | reply[i + 1] for i in (6, 8, 10)]
    if sum(counts) > _MOST_RECORDS:
        return None
    sections: list[tuple[Record, ...]] = []
    rcode = reply[3] & 0x0F
    edns = False
    for count in counts:
        records = []
        for _ in range(count):
            found = read_name(reply, at, len(reply))
            if found is None:
                return None
            owner, at = found
            if at + 10 > len(reply):
                return None
            rtype = reply[at] << 8 | reply[at + 1]
            stop = at + 10 + (reply[at + 8] << 8 | reply[at + 9])
            if stop > len(reply):
                return None
            if rtype == OPT:
                edns = True
                rcode |= reply[at + 4] << 4
            elif rtype not in _HOP:
                ttl = int.from_bytes(reply[at + 4 : at + 8], "big")
                parts = read_rdata(reply, at + 10, stop, rtype)
                if parts is None:
                    return None
                # RFC 2181, section 8: a TTL with its highest bit set is zero.
                rclass = reply[at + 2] << 8 | reply[at + 3]
                records.append(Record(owner, rtype, rclass, 0 if ttl >> 31 else ttl, parts))
            at = stop
        sections.append(tuple(records))
    if at != len(reply):
        return None
    answer, authority, additional = sections
    return Message(reply[2] << 8 | reply[3], rcode, question, answer, authority, additional, edns)


def spell_query(ident: int, question: bytes, rd: bool, flags: int, edns: bool) -> bytes:
    """A query for an upstream; `flags` are `DO` and `CD`."""
    head = bytes((ident >> 8, ident & 0xFF, 1 if rd else 0, 0x10 if flags & CD else 0))
    if not edns:
        return head + b"\0\1\0\0\0\0\0\0" + question
    return head + b"\0\1\0\0\0\0\0\1" + question + packet.opt(b"", bool(flags & DO))


def failure(query: bytes, rcode: int, code: int, text: str, limit: int, ra: bool = True) -> bytes:
    """A reply without records that says why (RFC 8914)."""
    asked = packet.read_query(query)
    if asked is None:
        return packet.reply(query, 12, packet.FORMERR, (), (), (), None, b"", 512, 0)
    flags = (0x80 if ra else 0) | query[3] & 0x10
    size = packet.room(asked.edns, limit)
    return packet.reply(query, asked.end, rcode, (), (), (), asked.edns, ede.option(code, text), size, flags)

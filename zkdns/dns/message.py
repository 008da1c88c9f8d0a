"""DNS messages that anyone may have sent: queries on their way out, replies on their way in.

Rules: pure; every walk is bounded; what can't be read is None, never an exception.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from zkdns.dns.rdata import Names, Parts, read_rdata
from zkdns.dns.reply import opt
from zkdns.dns.types import OPT

ASK_DO, ASK_CD = 1, 2
"""What is asked of an upstream for its client, as one number: these are no bits of a header."""


class Record(NamedTuple):
    """One record, taken out of its message: no pointers left in what we can read."""

    owner: bytes
    rtype: int
    rclass: int
    ttl: int
    parts: Parts


class Message(NamedTuple):
    """A reply. `rcode` has the extended bits; `edns`: whether it carried an OPT record, and `options` its
    options. `question` is the raw section. OPT and TSIG records are left out of the sections: they speak
    of one hop. `plain`: the records as they came, where they can stand behind any question for the same
    name; empty where one of them bears another name, in its owner or in its rdata."""

    flags: int
    rcode: int
    question: bytes
    answer: tuple[Record, ...]
    authority: tuple[Record, ...]
    additional: tuple[Record, ...]
    edns: bool
    options: bytes = b""
    plain: bytes = b""


NUMBERS = Struct(">HHIH")
"""Of a record behind its owner: type, class, TTL, and the length of the rdata."""


def write(record: Record) -> bytes:
    """A record on its own: no name in it is compressed."""
    rdata = b"".join(record.parts)
    return record.owner + NUMBERS.pack(record.rtype, record.rclass, record.ttl, len(rdata)) + rdata


_HOP = frozenset({OPT, 249, 250})  # and TKEY, TSIG
_MAX_RECORDS = 4096
ADDITIONAL = 2
"""The third of the sections with records."""
_QUESTION = b"\xc0\x0c"
"""A pointer to the question."""


def read_reply(reply: bytes) -> Message | None:
    """A reply to one question, or None where it can't be read. What is left over behind its last record
    is nobody's: BIND (dns_message_parse) and unbound (parse_packet) take such replies, too. An additional
    record whose rdata is none of its type is left out (unbound: scrub_sanitize); OPT has its place there
    (RFC 6891, 6.1.1), and a reply that has it elsewhere is refused by both."""
    size = len(reply)
    names = Names(reply)
    begun = _read_head(reply, names)
    if begun is None:
        return None
    asked, first, counts = begun
    at = first
    sections: list[tuple[Record, ...]] = []
    rcode = reply[3] & 0x0F
    edns = False
    options = b""
    is_plain = len(asked) > 1  # the root is as short as a pointer to it would be long
    last = first
    """Where the last record ends that is kept."""
    for section, count in enumerate(counts):
        records = []
        for _ in range(count):
            begin = at
            if reply[at : at + 2] == _QUESTION:
                owner, at = asked, at + 2
                points = True
            else:
                read = names.read(at, size)
                if read is None:
                    return None
                owner, at = read
                points = False
            if at + 10 > size:
                return None
            rtype, rclass, ttl, length = NUMBERS.unpack_from(reply, at)
            stop = at + 10 + length
            if stop > size:
                return None
            if rtype == OPT:
                if section != ADDITIONAL:
                    return None
                edns = True
                options = reply[at + 10 : stop]
                rcode |= reply[at + 4] << 4
            elif rtype not in _HOP:
                if ttl >> 31:  # RFC 2181, section 8: a TTL with its highest bit set is zero
                    ttl, points = 0, False
                parts = read_rdata(reply, at + 10, stop, rtype, names)
                if parts is None:
                    if section != ADDITIONAL:
                        return None
                    at = stop
                    continue
                records.append(Record(owner, rtype, rclass, ttl, parts))
                is_plain = is_plain and points and len(parts) == 1 and begin == last
                last = stop
            at = stop
        sections.append(tuple(records))
    answer, authority, additional = sections
    flags, plain = reply[2] << 8 | reply[3], reply[first:last] if is_plain else b""
    return Message(flags, rcode, reply[12:first], answer, authority, additional, edns, options, plain)


def _read_head(reply: bytes, names: Names) -> tuple[bytes, int, list[int]] | None:
    """The name that was asked for, where the first record begins, and how many records each section has."""
    if len(reply) < 17 or reply[4:6] != b"\0\1":
        return None
    read = names.read(12, len(reply))
    if read is None or read[1] + 4 > len(reply):
        return None
    counts = [reply[i] << 8 | reply[i + 1] for i in (6, 8, 10)]
    return (read[0], read[1] + 4, counts) if sum(counts) <= _MAX_RECORDS else None


def spell_query(ident: int, question: bytes, rd: bool, flags: int, edns: bool, ad: bool = False) -> bytes:
    """A query for an upstream; `flags`: `ASK_DO` and `ASK_CD`. `ad`: it is to say whether it has validated
    (RFC 6840, section 5.7)."""
    low = (0x10 if flags & ASK_CD else 0) | (0x20 if ad else 0)
    head = bytes((ident >> 8, ident & 0xFF, 1 if rd else 0, low))
    if not edns:
        return head + b"\0\1\0\0\0\0\0\0" + question
    return head + b"\0\1\0\0\0\0\0\1" + question + opt(b"", bool(flags & ASK_DO))

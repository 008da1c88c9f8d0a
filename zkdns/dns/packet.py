"""Queries read and replies put together: the parts of RFC 1035 and RFC 6891 that a server needs.

Rules: pure; reading never raises (what can't be read is None); a reply never passes its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from zkdns.dns import ede

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16

HIGHEST_UDP = 1232
"""The longest UDP reply (DNS flag day 2020: it fits every path without fragments)."""

_OPT, _NSID = 41, 3


@dataclass(frozen=True, slots=True)
class Edns:
    """The OPT record of a query (RFC 6891, section 6.1)."""

    size: int
    version: int = 0
    do: bool = False
    nsid: bool = False
    room: int = field(init=False, compare=False)
    """How long a UDP reply may be."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "room", min(max(self.size, 512), HIGHEST_UDP))


@dataclass(frozen=True, slots=True)
class Query:
    """A whole query with one question. `end`: where the question ends in the packet."""

    qname: bytes
    qtype: int
    qclass: int
    end: int
    edns: Edns | None


def read_query(query: bytes) -> Query | None:
    """The question and OPT of a query; None where it can't be read: no single question, a broken
    or compressed name, records that overrun, two OPTs, bytes left over."""
    if query[4:6] != b"\0\1":
        return None
    at = 12
    size = len(query)
    while True:
        if at >= size:
            return None
        length = query[at]
        at += 1 + length
        if length > 63 or at - 12 > 255:
            return None
        if not length:
            break
    end = at + 4
    if end > size:
        return None
    edns: Edns | None = None
    left = sum(int.from_bytes(query[k : k + 2], "big") for k in (6, 8, 10))
    in_additional = int.from_bytes(query[10:12], "big")
    at = end
    while left:
        start = at
        at = _skip_name(query, at)
        if at < 0 or at + 10 > size:
            return None
        rtype = int.from_bytes(query[at : at + 2], "big")
        after = at + 10 + int.from_bytes(query[at + 8 : at + 10], "big")
        if after > size:
            return None
        if rtype == _OPT:
            if edns is not None or left > in_additional or at != start + 1:
                return None
            edns = read_opt(query, start, after)
            if edns is None:
                return None
        at = after
        left -= 1
    if at != size:
        return None
    qtype, qclass = (
        int.from_bytes(query[end - 4 : end - 2], "big"),
        int.from_bytes(query[end - 2 : end], "big"),
    )
    return Query(query[12 : end - 4].lower(), qtype, qclass, end, edns)


def _skip_name(query: bytes, at: int) -> int:
    """Where the name at `at` ends; below 0 where it doesn't."""
    while at < len(query):
        length = query[at]
        if length >= 0xC0:
            return at + 2
        if length > 63:
            return -1
        at += 1 + length
        if not length:
            return at
    return -1


def read_opt(query: bytes, at: int, end: int) -> Edns | None:
    """The OPT record between `at` and `end`; None where its options don't fill it exactly."""
    if at + 11 > end or end - at - 11 != int.from_bytes(query[at + 9 : at + 11], "big"):
        return None
    nsid = False
    k = at + 11
    while k < end:
        if k + 4 > end:
            return None
        nsid |= query[k : k + 2] == b"\0\3"
        k += 4 + int.from_bytes(query[k + 2 : k + 4], "big")
    if k != end:
        return None
    return Edns(query[at + 3] << 8 | query[at + 4], query[at + 6], query[at + 7] >= 0x80, nsid)


def opt(options: bytes, do: bool, version_rcode: int = 0) -> bytes:
    """Our OPT record. DO comes back as it was sent (RFC 3225, section 3)."""
    return (
        b"\0\0\x29\x04\xd0"
        + bytes((version_rcode, 0, 0x80 if do else 0, 0))
        + len(options).to_bytes(2, "big")
        + options
    )


def room(edns: Edns | None, limit: int) -> int:
    """How long the reply may be: over TCP `limit`, over UDP what the client can take of it."""
    if limit > HIGHEST_UDP:
        return limit
    return edns.room if edns else 512


def reply(
    query: bytes,
    end: int,
    rcode: int,
    answer: Sequence[bytes],
    authority: Sequence[bytes],
    additional: Sequence[bytes],
    edns: Edns | None,
    options: bytes,
    size: int,
    flags: int,
    counts: Sequence[int] = (),
) -> bytes:
    """A reply of at most `size` bytes. Where it would be longer, there go, in this order: the texts
    of Extended DNS Errors, these options whole, the additional section, and records from the end,
    with TC set. `flags`: AA and RA where they are due. `counts`: how many records each item of
    `additional` holds, one where not given."""
    question = query[12:end]
    records = b"".join(answer) + b"".join(authority)
    more = b"".join(additional)
    tail = opt(options, edns.do, rcode >> 4) if edns else b""
    total = 12 + len(question) + len(records) + len(more) + len(tail)
    an, ns = len(answer), len(authority)
    extra = sum(counts) if counts else len(additional)
    if total > size:
        if edns and options:
            errors = b"".join(o for o in ede.each(options) if o[:2] == b"\0\x0f")
            others = b"".join(o for o in ede.each(options) if o[:2] != b"\0\x0f")
            for kept in (others + ede.bare(errors), others):
                total -= len(tail)
                tail = opt(kept, edns.do, rcode >> 4)
                total += len(tail)
                if total <= size:
                    break
        if total > size:
            total -= len(more)
            more, extra = b"", 0
        if total > size:
            left = size - 12 - len(question) - len(tail)
            fitting = []
            for piece in (*answer, *authority):
                left -= len(piece)
                if left < 0:
                    break
                fitting.append(piece)
            an, ns = min(an, len(fitting)), max(0, len(fitting) - an)
            records = b"".join(fitting)
            flags |= 0x0200
    head = (
        query[:2]
        + (0x8000 | flags | (query[2] & 0x79) << 8 | rcode & 15).to_bytes(2, "big")
        + (b"\0\1" if question else b"\0\0")
        + an.to_bytes(2, "big")
        + ns.to_bytes(2, "big")
        + (extra + (edns is not None)).to_bytes(2, "big")
    )
    return head + question + records + more + tail

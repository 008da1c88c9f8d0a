"""Where names stand inside rdata, so that records can be moved from one message to another.

Rules: pure; anything may come, and rdata that can't be read is None, never an exception. A name
read from a message is uncompressed, its case kept. Pointers may only aim backwards, so no walk
can go round (RFC 1035, section 4.1.4; RFC 9267, section 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import NamedTuple

from zkdns.dns.types import AAAA, TXT, A

QUESTION = 12
"""Where the question begins, behind the header (RFC 1035, section 4.1)."""
POINTER = 0xC0
MAX_NAME = 255
"""Bytes of a name (RFC 1035, section 2.3.4)."""


class Layout(NamedTuple):
    """`lead` fixed bytes, then `strings` character strings, then `names` names; after them nothing,
    `rest` bytes, or (`rest` < 0) anything. `pack`: whether the names may be compressed again."""

    lead: int
    names: int
    rest: int = 0
    pack: bool = False
    strings: int = 0


# RFC 3597, section 4: names are uncompressed in the types of RFC 1035 and in those that RFC 2163,
# 1183, 2230, 2535, 2782, 2915 and 6672 define, and compressed again in RFC 1035's alone.
LAYOUTS: Mapping[int, Layout] = {
    2: Layout(0, 1, pack=True),  # NS
    3: Layout(0, 1, pack=True),  # MD
    4: Layout(0, 1, pack=True),  # MF
    5: Layout(0, 1, pack=True),  # CNAME
    6: Layout(0, 2, 20, pack=True),  # SOA
    7: Layout(0, 1, pack=True),  # MB
    8: Layout(0, 1, pack=True),  # MG
    9: Layout(0, 1, pack=True),  # MR
    12: Layout(0, 1, pack=True),  # PTR
    14: Layout(0, 2, pack=True),  # MINFO
    15: Layout(2, 1, pack=True),  # MX
    17: Layout(0, 2),  # RP
    18: Layout(2, 1),  # AFSDB
    21: Layout(2, 1),  # RT
    24: Layout(18, 1, -1),  # SIG
    26: Layout(2, 2),  # PX
    30: Layout(0, 1, -1),  # NXT
    33: Layout(6, 1),  # SRV
    35: Layout(4, 1, strings=3),  # NAPTR
    36: Layout(2, 1),  # KX
    39: Layout(0, 1),  # DNAME
}

Parts = tuple[bytes, ...]
"""Rdata cut at its names: plain bytes and names in turn, plain first (it may be empty)."""


class Names:
    """The names of one message. Each label is walked once, however many pointers lead to it: a reply of
    4,000 records that point at one name of 127 labels must not cost half a million steps."""

    __slots__ = ("_known", "_message")

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._known: dict[int, tuple[int, bytes]] = {}
        """By where a label starts: where its run of labels stops, and the name that follows there."""

    def read(self, at: int, end: int) -> tuple[bytes, int] | None:
        """The name at `at`, uncompressed, and where the next thing starts; its own bytes stay before
        `end`. None where it can't be read."""
        message, known = self._message, self._known
        if at + 2 <= end and message[at] >= POINTER:  # alone, as nearly all are
            target = (message[at] & 0x3F) << 8 | message[at + 1]
            read = known.get(target)
            if read is not None and read[0] <= at:
                return message[target : read[0]] + read[1], at + 2
        runs: list[tuple[int, int, list[int]]] = []
        after, begin, size = -1, at, 0
        labels: list[int] = []
        while True:
            if at >= end:
                return None
            length = message[at]
            if 0 < length < 64:
                size += 1 + length
                labels.append(at)
                at += 1 + length
                if size >= MAX_NAME:
                    return None
                continue
            runs.append((begin, at, labels))
            if length == 0:
                name, after = b"\0", after if after >= 0 else at + 1
                break
            if length < POINTER or at + 2 > end:
                return None  # 01 and 10 are label kinds that nobody speaks (RFC 6891, section 5)
            after = after if after >= 0 else at + 2
            target = (length & 0x3F) << 8 | message[at + 1]
            if target >= begin or target < 12:
                return None
            read = known.get(target)
            if read is not None:
                stop, rest = read
                if stop > at:
                    return None
                name = message[target:stop] + rest
                break
            end = at
            begin = at = target
            labels = []
        if size + len(name) > MAX_NAME:
            return None
        for begin, stop, starts in reversed(runs):
            for start in starts or (begin,):
                known[start] = (stop, name)
            name = message[begin:stop] + name
        return name, after


def read_name(message: bytes, at: int, end: int) -> tuple[bytes, int] | None:
    """One name of a message, as `Names.read`."""
    return Names(message).read(at, end)


def read_rdata(message: bytes, at: int, end: int, rtype: int, names: Names | None = None) -> Parts | None:
    """The rdata in message[at:end] in parts, or None where it doesn't fit its type. Bytes behind its last
    field are nobody's: unbound hands them on, and who reads a name there passes over them. `names`: of the
    message, where some were read before."""
    layout = LAYOUTS.get(rtype)
    if layout is None:
        return (message[at:end],) if _is_whole(message, at, end, rtype) else None
    start = at
    at += layout.lead
    for _ in range(layout.strings):
        if at >= end:
            return None
        at += 1 + message[at]
    if at > end:
        return None
    parts = [message[start:at]]
    for index in range(layout.names):
        if index:
            parts.append(b"")
        read = (names or Names(message)).read(at, end)
        if read is None:
            return None
        name, at = read
        parts.append(name)
    if layout.rest < 0:
        parts.append(message[at:end])
    elif end - at < layout.rest:
        return None
    elif layout.rest:
        parts.append(message[at : at + layout.rest])
    if sum(map(len, parts)) > 0xFFFF:  # its names taken out of their pointers, it may fit nowhere
        return None
    return tuple(parts)


def _is_whole(message: bytes, at: int, end: int, rtype: int) -> bool:
    """Whether rdata without names is what its type says (RFC 1035, 3.3.14 and 3.4.1; RFC 3596, 2.2): who
    reads an address takes as many bytes as that has."""
    if rtype == A:
        return end - at == 4
    if rtype == AAAA:
        return end - at == 16
    if rtype != TXT:
        return True
    is_empty = at == end
    while at < end:
        at += 1 + message[at]
    return at == end and not is_empty


def offsets_of(name: bytes) -> dict[bytes, int]:
    """Where each suffix of the name that is asked for stands in a message: lower case -> offset."""
    name = name.lower()
    offsets = {}
    step = 0
    while name[step]:
        offsets[name[step:]] = QUESTION + step
        step += 1 + name[step]
    return offsets


def pack_name(name: bytes, offsets: Mapping[bytes, int]) -> bytes:
    """The name with its longest suffix that `offsets` knows as a pointer."""
    low = name.lower()
    step = 0
    while low[step]:
        at = offsets.get(low[step:])
        if at is not None:
            return name[:step] + (0xC000 | at).to_bytes(2, "big")
        step += 1 + low[step]
    return name


def pack(rtype: int, parts: Parts, offsets: Mapping[bytes, int]) -> bytes:
    """Rdata from its parts, its names compressed where the type allows it."""
    layout = LAYOUTS.get(rtype)
    if layout is None or not layout.pack:
        return b"".join(parts)
    return b"".join(pack_name(part, offsets) if index & 1 else part for index, part in enumerate(parts))


_HEAD = Struct(">HHI")
"""Of a record behind its owner: type, class, TTL."""


def detach(wire: bytes, qname: bytes) -> tuple[bytes, int, int, int, Parts] | None:
    """A record that pointed at its question, taken out of it: owner, type, class, TTL, rdata."""
    message = b"\0" * 12 + qname + b"\0\0\0\0" + wire
    read = read_name(message, 16 + len(qname), len(message))
    if read is None or read[1] + 10 > len(message):
        return None
    owner, at = read
    rtype, rclass, ttl = _HEAD.unpack_from(message, at)
    parts = read_rdata(message, at + 10, len(message), rtype)
    if parts is None:
        return None
    return owner, rtype, rclass, ttl, parts


def cut_rdata(rdata: bytes, rtype: int) -> Parts:
    """Uncompressed rdata in parts."""
    parts = read_rdata(b"\0" * 12 + rdata, 12, 12 + len(rdata), rtype)
    return parts if parts is not None else (rdata,)


def read_hints(rdata: bytes) -> list[bytes] | None:
    """The addresses that an SVCB or HTTPS record hints at (RFC 9460, sections 2.2 and 7.3); None for what is
    no such record."""
    read = read_name(rdata, 2, len(rdata))
    if read is None:
        return None
    addresses: list[bytes] = []
    at = read[1]
    while at < len(rdata):
        key, end = rdata[at : at + 2], at + 4 + int.from_bytes(rdata[at + 2 : at + 4])
        if end > len(rdata):
            return None
        if size := _HINTS.get(key):
            addresses += (rdata[n : n + size] for n in range(at + 4, end, size))
        at = end
    return addresses


_HINTS = {b"\0\4": 4, b"\0\6": 16}
"""Bytes of an address, by the parameter's key: ipv4hint, ipv6hint."""

"""One reply of an upstream, as a body that is ready to be spliced behind any spelling of its question.

Rules: no I/O; the clock is an argument. A body is spelled once: pointers aim at the question or inside the
body, and a question's length is its key's. Each second that is asked for costs one pass over the TTLs, not
each reply. The native engine's `stored` is this module's twin, byte for byte.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from struct import Struct
from typing import NamedTuple, Protocol

from zkdns.dns import ede
from zkdns.dns.message import ASK_CD, ASK_DO, NUMBERS, Message, Record
from zkdns.dns.packet import HIGHEST_UDP, PLAIN_UDP, Query
from zkdns.dns.rdata import LAYOUTS, offsets_of
from zkdns.dns.reply import CD, QR, RA, TC, opt
from zkdns.dns.types import ANY, CNAME, NOERROR, NXDOMAIN, SOA
from zkdns.forward.eviction import FREQUENT

MAX_TTL = 86_400
MAX_NEGATIVE_TTL = 10_800  # RFC 2308, section 5
KEEP_EXPIRED = 86_400
"""How long an expired answer is kept (RFC 8767, section 5, suggests one to three days)."""
MAX_OTHER_BYTES = 4096
"""Of the names beside its own that a reply is kept with; one that speaks of more is not kept."""
MAX_ERROR_BYTES = 255
"""Of an upstream's Extended DNS Errors."""
AD = 0x20
"""In the second byte of the flags: the upstream says that it has validated (RFC 4035, section 3.2.3)."""
STALE_TTL = 30
"""RFC 8767, section 4."""
OFTEN = 3
"""Times an answer must have been asked for, to be fetched anew before it ends."""

_STALE = ede.option(ede.STALE_ANSWER, "no upstream answers")
_OPTS = {do: (opt(b"", do), opt(_STALE, do)) for do in (False, True)}
"""Our OPT record by DO: fresh, stale."""
_MARK = Struct("<III")
"""Of one record: where its TTL stands, where it ends, the TTL that it came with."""
OVERHEAD = 900
"""Bytes that an entry takes beside its key, body and marks: objects, its places in three dictionaries,
and a ghost to come (measured; a test holds it)."""


class Kept(Protocol):
    """A reply that is kept, by whichever engine."""

    @property
    def expires(self) -> float: ...
    def hit(self, now: float) -> bool:
        """Counts that it was given while it was fresh; whether it is time to fetch it anew, so that
        nobody waits for what is asked often. Told once."""

    def reply(self, query: bytes, end: int, size: int, limit: int, now: float) -> bytes:
        """The reply to this query, its question ending at `end`: whole records within `limit`.
        `size`: what its EDNS allows, 0 without EDNS."""


class _Heads(NamedTuple):
    """What replies of one kind begin with: few differ, so they are kept. `by_flags`: bytes 2 to 11, by
    EDNS and RD."""

    counts: tuple[int, int, int]
    flags: tuple[int, int]
    by_flags: tuple[bytes, ...]


_FLAGS = (b"\0", b"\1", b"\2", b"\3")


def key_of(query: Query) -> bytes:
    """Under which its answer is kept: name in lower case, type, class, a byte of `ASK_DO` and `ASK_CD`."""
    flags = ASK_CD if query.packet[3] & CD else 0
    if query.edns is not None and query.edns.do:
        flags |= ASK_DO
    return query.question.key + b"\0\1" + _FLAGS[flags]


def size_of(query: Query) -> int:
    """What its EDNS allows a reply over UDP; 0 without EDNS."""
    return 0 if query.edns is None else query.edns.size or PLAIN_UDP


class Wanted(NamedTuple):
    """What a wording asks of upstreams: under which key its answer is kept, where the question ends, and its
    `size_of`."""

    key: bytes
    end: int
    size: int
    rtype: int


def wanted_of(query: Query) -> Wanted:
    """What a query asks of upstreams."""
    return Wanted(key_of(query), query.end, size_of(query), query.question.rtype)


class Stored:
    """One reply body. `expires` is when it is given for stale only; `renew_at`, when an asked one is
    fetched anew, is math.inf for never. `others`: the names beside its own that it says something of, and
    that its aliases lead to, one behind the other in lower case."""

    __slots__ = (
        "age", "body", "errors", "expires", "frequency", "heads", "hits", "is_main", "is_stale", "marks",
        "opts", "others", "rcode", "renew_at", "share", "stored_at", "ttl", "weight",
    )  # fmt: skip

    def __init__(
        self, message: Message, key: bytes, now: float, cut: bool = False, trusted: bool = False
    ) -> None:
        """`trusted`: the upstream's word on DNSSEC (AD) and its Extended DNS Errors are passed on."""
        flags = key[-1]
        self.rcode = message.rcode
        negative = _negative_ttl(message, key)
        records = (*message.answer, *message.authority, *message.additional)
        least = min([record.ttl for record in records], default=0)
        self.others = b"" if message.plain else b"".join(_others(message, key[:-5]))
        lasts = not cut and len(self.others) <= MAX_OTHER_BYTES
        self.ttl = _lifetime(message.rcode, least, negative) if lasts else 0
        if message.plain and all(record.ttl <= MAX_TTL for record in records):
            body, marks = message.plain, _mark(records)
        else:
            body, marks = _spell(records, key[:-5], negative)
        self.body, self.marks = body, marks
        counts = (len(message.answer), len(message.authority), len(message.additional))
        ad = trusted and bool(message.flags & AD)
        self.heads = _heads(counts, message.rcode, flags, cut, ad)
        self.errors = ede.among(message.options, MAX_ERROR_BYTES) if trusted else b""
        self.opts = _OPTS[bool(flags & ASK_DO)]
        if self.errors:
            self.opts = (opt(self.errors, bool(flags & ASK_DO)), self.opts[1])
        self.is_stale = False
        self.stored_at = now
        self.age = 0
        self.expires = now + self.ttl
        self.renew_at = self.expires - max(1.0, self.ttl / 10) if self.ttl >= 5 else math.inf
        self.hits = 0
        self.frequency = 0
        self.share = 0
        self.is_main = False
        self.weight = OVERHEAD + len(key) + len(body) + len(marks) + len(self.others) + len(self.errors)

    def is_over(self, now: float) -> bool:
        return now >= self.expires + KEEP_EXPIRED

    def hit(self, now: float) -> bool:
        self.hits += 1
        if self.frequency < FREQUENT:
            self.frequency += 1
        if now >= self.renew_at and self.hits > OFTEN:
            self.renew_at = math.inf
            return True
        return False

    def reply(self, query: bytes, end: int, size: int, limit: int, now: float) -> bytes:
        is_stale = now >= self.expires and self.ttl > 0
        age = int(now - self.stored_at)
        if age != self.age or is_stale != self.is_stale:
            self._respell(max(age, 0), is_stale)
        head = self.heads.by_flags[(2 if size else 0) | query[2] & 1]
        if head[1] & AD and not (query[3] & AD or self.opts[0][7] & 0x80):  # RFC 6840, section 5.8
            head = head[:1] + bytes((head[1] & ~AD,)) + head[2:]
        tail = self.opts[is_stale] if size else b""
        whole = b"".join((query[:2], head, query[12:end], self.body, tail))
        if len(whole) <= PLAIN_UDP <= limit:
            return whole
        if limit <= HIGHEST_UDP:
            limit = min(limit, max(size, PLAIN_UDP))
        if len(whole) <= limit:
            return whole
        if size and self.errors and not is_stale:
            tail = opt(b"", bool(self.opts[0][7] & 0x80))  # what is said of it goes before any of it
            if end + len(self.body) + len(tail) <= limit:
                return b"".join((query[:2], head, query[12:end], self.body, tail))
        return self._cut(query, end, limit, head, tail)

    def _respell(self, age: int, is_stale: bool) -> None:
        body = bytearray(self.body)
        for at, _, ttl in _MARK.iter_unpack(self.marks):
            left = STALE_TTL if is_stale else max(ttl - age, 0)
            body[at : at + 4] = left.to_bytes(4, "big")
        self.body = bytes(body)
        self.age, self.is_stale = age, is_stale

    def _cut(self, query: bytes, end: int, limit: int, whole: bytes, tail: bytes) -> bytes:
        """Additional records go first, without TC (RFC 2181, section 9); then the rest, with it."""
        room = limit - end - len(tail)
        wanted = self.heads.counts[0] + self.heads.counts[1]
        every = len(self.marks) // _MARK.size
        kept = bisect_right(range(every), room, key=self._end_of)  # thousands fit a reply over TCP
        if wanted < kept < every:
            kept = wanted  # a cut RRset in the additional section would pass for a whole one
        counts = []
        left = kept
        for count in self.heads.counts:
            counts.append(min(count, left))
            left -= counts[-1]
        head = bytearray(whole)
        if kept < wanted:
            head[0] |= 0x02
        head[4:8] = counts[0].to_bytes(2, "big") + counts[1].to_bytes(2, "big")
        head[8:10] = (counts[2] + bool(tail)).to_bytes(2, "big")
        stop = self._end_of(kept - 1) if kept else 0
        return query[:2] + bytes(head) + query[12:end] + self.body[:stop] + tail

    def _end_of(self, n: int) -> int:
        """Where the record of this number ends."""
        end: int = _MARK.unpack_from(self.marks, n * _MARK.size)[1]
        return end

    # --- what the native engine reads, beside body, marks, others, errors and times --------------------

    @property
    def counts(self) -> tuple[int, int, int]:
        return self.heads.counts

    @property
    def flags(self) -> tuple[int, int]:
        """Bytes 2 and 3 of a reply, but for RD."""
        return self.heads.flags


@lru_cache(1024)
def _heads(counts: tuple[int, int, int], rcode: int, flags: int, cut: bool, ad: bool) -> _Heads:
    """QR, RA, CD as asked, AD as the upstream is trusted; AA clear."""
    low = RA | (AD if ad else 0) | (CD if flags & ASK_CD else 0) | rcode & 0x0F
    high = (QR | (TC if cut else 0)) >> 8
    heads = []
    for edns in (0, 1):
        numbers = b"\0\1" + b"".join(n.to_bytes(2, "big") for n in (counts[0], counts[1], counts[2] + edns))
        heads += [bytes((high, low)) + numbers, bytes((high | 1, low)) + numbers]
    return _Heads(counts, (high, low), tuple(heads))


def _others(message: Message, own: bytes) -> Iterable[bytes]:
    others = dict.fromkeys(
        r.owner.lower()
        for section in (message.answer, message.authority, message.additional)
        for r in section
    )
    others |= dict.fromkeys(r.parts[1].lower() for r in message.answer if r.rtype == CNAME)
    others.pop(own, None)
    return others


def _lifetime(rcode: int, least: int, negative: int | None) -> int:
    """Seconds to keep a reply for; 0: not at all. `least` of its TTLs."""
    if negative is None or rcode not in (NOERROR, NXDOMAIN):
        return 0
    return min(least, negative, MAX_TTL)


def _negative_ttl(message: Message, key: bytes) -> int | None:
    """RFC 2308, sections 3 and 5: the lesser of the SOA's TTL and its minimum. MAX_TTL for what is no
    negative answer, None for one that mustn't be kept (no SOA)."""
    rtype = key[-5] << 8 | key[-4]
    if message.rcode == NOERROR:
        for record in message.answer:
            if rtype in (record.rtype, ANY):
                return MAX_TTL
    for record in message.authority:
        if record.rtype == SOA and len(record.parts) == 5:
            return min(record.ttl, int.from_bytes(record.parts[4][16:20], "big"), MAX_NEGATIVE_TTL)
    return None


def _mark(records: Iterable[Record]) -> bytes:
    """A mark for each record of a message that is plain."""
    marks = []
    end = 0
    for record in records:
        at, end = end + 6, end + 12 + len(record.parts[0])
        marks.append(_MARK.pack(at, end, record.ttl))
    return b"".join(marks)


def _spell(records: Iterable[Record], name: bytes, negative: int | None) -> tuple[bytes, bytes]:
    """The records behind a question for `name`: the body, and a mark for each record."""
    base = 12 + len(name) + 4
    offsets = offsets_of(name)
    body = bytearray()
    marks = bytearray()
    for owner, rtype, rclass, ttl, parts in records:
        _put(body, base, owner, offsets)
        if rtype == SOA and negative is not None:
            ttl = min(ttl, negative)
        ttl = min(ttl, MAX_TTL)
        at = len(body) + 4
        body += NUMBERS.pack(rtype, rclass, ttl, 0)
        start = len(body)
        layout = LAYOUTS.get(rtype)
        if layout is not None and layout.pack:
            for index, part in enumerate(parts):
                if index & 1:
                    _put(body, base, part, offsets)
                else:
                    body += part
        else:
            for part in parts:
                body += part
        body[start - 2 : start] = (len(body) - start).to_bytes(2, "big")
        marks += _MARK.pack(at, len(body), ttl)
    return bytes(body), bytes(marks)


def _put(body: bytearray, base: int, name: bytes, offsets: dict[bytes, int]) -> None:
    """The name, its longest suffix that was written before as a pointer."""
    low = name.lower()
    here, last, step = base + len(body), len(low) - 1, 0
    while step < last:
        suffix = low[step:]
        at = offsets.get(suffix)
        if at is not None:
            body += name[:step]
            body += (0xC000 | at).to_bytes(2, "big")
            return
        if here + step < 0x4000:
            offsets[suffix] = here + step
        step += 1 + low[step]
    body += name

"""What upstreams answered, kept as reply bodies that are ready to be spliced.

Rules: no I/O; the clock is an argument. A body is spelled once and stands behind any spelling of
its question: pointers aim at the question or inside the body, and a question's length is its
key's. Each second that is asked for costs one pass over the TTLs, not each reply.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from cachetools import TLRUCache

from zkdns.dns import ede, packet
from zkdns.dns.message import CD, DO, SOA, Message, Record
from zkdns.dns.rdata import LAYOUTS, offsets_of, pack_name

MAX_ENTRIES = 10_000
MAX_TTL = 86_400
MAX_NEGATIVE_TTL = 10_800  # RFC 2308, section 5
MAX_BODY_BYTES = 8192
"""Bytes of the largest body that is kept: what bounds the memory of MAX_ENTRIES of them."""
KEEP_EXPIRED = 86_400
"""How long an expired answer is kept (RFC 8767, section 5, suggests one to three days)."""
STALE_TTL = 30
"""RFC 8767, section 4."""

NXDOMAIN = 3
_STALE = ede.option(3, "no upstream answers")


class Stored:
    """One reply body. `expires` is math.inf for none; `renew_at` is when an asked one is fetched anew."""

    __slots__ = (
        "age", "authority_end", "body", "counts", "ends", "expires", "fresh_opt", "heads", "hits", "rcode",
        "renew_at", "stale", "stored_at", "ttl", "ttls",
    )  # fmt: skip

    def __init__(self, message: Message, key: bytes, now: float, cut: bool = False) -> None:
        flags = key[-1]
        self.rcode = message.rcode
        sections = (message.answer, message.authority, message.additional)
        self.ttl = 0 if cut else lifetime(message, key)
        negative = _negative_ttl(message, key)
        body, self.ends, self.ttls = _spell(sections, key[:-5], negative)
        self.body = bytes(body)
        self.counts = tuple(map(len, sections))
        self.authority_end = self.counts[0] + self.counts[1]
        self.heads = _heads(self.counts, message.rcode, flags, cut)
        self.fresh_opt = packet.opt(b"", bool(flags & DO))
        self.stale = False
        self.stored_at = now
        self.age = 0
        self.expires = now + self.ttl
        self.renew_at = self.expires - max(1.0, self.ttl / 10) if self.ttl >= 5 else math.inf
        self.hits = 0

    def reply(self, query: bytes, end: int, size: int, limit: int, now: float) -> bytes:
        """The reply to this query, its question ending at `end`: whole records within `limit`."""
        stale = now >= self.expires and self.ttl > 0
        age = int(now - self.stored_at)
        if age != self.age or stale != self.stale:
            self._turn(age, stale)
        if limit <= packet.HIGHEST_UDP and limit > (size or 512):
            limit = max(size, 512)
        if size:
            tail = packet.opt(_STALE, self.fresh_opt[7] >= 0x80) if stale else self.fresh_opt
            made = query[:2] + self.heads[2 | query[2] & 1] + query[12:end] + self.body + tail
        else:
            tail = b""
            made = query[:2] + self.heads[query[2] & 1] + query[12:end] + self.body
        if len(made) > limit:
            return self._cut(query, end, limit, tail)
        return made

    def _turn(self, age: int, stale: bool) -> None:
        body = bytearray(self.body)
        for at, ttl in self.ttls:
            left = STALE_TTL if stale else max(ttl - age, 0)
            body[at : at + 4] = left.to_bytes(4, "big")
        self.body = bytes(body)
        self.age, self.stale = age, stale

    def _cut(self, query: bytes, end: int, limit: int, tail: bytes) -> bytes:
        """Additional records go first, without TC (RFC 2181, section 9); then the rest, with it."""
        room = limit - end - len(tail)
        ends = self.ends
        kept = len(ends)
        while kept and ends[kept - 1] > room:
            kept -= 1
        if kept < len(ends) and kept > self.authority_end:
            kept = self.authority_end  # a cut RRset in the additional section would pass for a whole one
        counts = []
        left = kept
        for count in self.counts:
            counts.append(min(count, left))
            left -= counts[-1]
        whole = kept >= self.authority_end
        head = bytearray(self.heads[(2 if tail else 0) | query[2] & 1])
        if not whole:
            head[0] |= 0x02
        head[4:8] = counts[0].to_bytes(2, "big") + counts[1].to_bytes(2, "big")
        head[8:10] = (counts[2] + bool(tail)).to_bytes(2, "big")
        return query[:2] + bytes(head) + query[12:end] + self.body[: ends[kept - 1] if kept else 0] + tail


def _heads(counts: tuple[int, ...], rcode: int, flags: int, cut: bool) -> tuple[bytes, ...]:
    """Bytes 2 to 11 of a reply, by RD and EDNS: QR, RA, CD as asked; AA and AD clear."""
    low = 0x80 | (0x10 if flags & CD else 0) | rcode & 0x0F
    high = 0x82 if cut else 0x80
    heads = []
    for edns in (0, 1):
        numbers = b"\0\1" + b"".join(n.to_bytes(2, "big") for n in (counts[0], counts[1], counts[2] + edns))
        heads += [bytes((high, low)) + numbers, bytes((high | 1, low)) + numbers]
    return tuple(heads)


def lifetime(message: Message, key: bytes) -> int:
    """Seconds to keep a reply for; 0: not at all."""
    if message.rcode not in (0, NXDOMAIN):
        return 0
    records = message.answer + message.authority + message.additional
    least = min((record.ttl for record in records), default=0)
    negative = _negative_ttl(message, key)
    if negative is None:
        return 0
    return min(least, negative, MAX_TTL)


def _negative_ttl(message: Message, key: bytes) -> int | None:
    """RFC 2308, sections 3 and 5: the lesser of the SOA's TTL and its minimum. MAX_TTL for what is no
    negative answer, None for one that mustn't be kept (no SOA)."""
    rtype = key[-5] << 8 | key[-4]
    if message.rcode == 0 and any(rtype in (record.rtype, 255) for record in message.answer):
        return MAX_TTL
    for record in message.authority:
        if record.rtype == SOA and len(record.parts) == 5:
            return min(record.ttl, int.from_bytes(record.parts[4][16:20], "big"), MAX_NEGATIVE_TTL)
    return None


def _spell(
    sections: tuple[tuple[Record, ...], ...], name: bytes, negative: int | None
) -> tuple[bytearray, list[int], list[tuple[int, int]]]:
    """The records behind a question for `name`: body, where each ends, where TTLs stand and what they are."""
    base = 12 + len(name) + 4
    offsets = offsets_of(name)
    body = bytearray()
    ends = []
    ttls = []
    for section in sections:
        for owner, rtype, rclass, ttl, parts in section:
            _put(body, base, owner, offsets)
            if rtype == SOA and negative is not None:
                ttl = min(ttl, negative)
            ttl = min(ttl, MAX_TTL)
            ttls.append((len(body) + 4, ttl))
            body += rtype.to_bytes(2, "big") + rclass.to_bytes(2, "big") + ttl.to_bytes(4, "big") + b"\0\0"
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
            ends.append(len(body))
    return body, ends, ttls


def _put(body: bytearray, base: int, name: bytes, offsets: dict[bytes, int]) -> None:
    packed = pack_name(name, offsets)
    here = base + len(body)
    for suffix, at in offsets_of(name, here).items():
        if at >= here + len(packed) - 2 or at >= 0x4000 or suffix in offsets:
            break
        offsets[suffix] = at
    body += packed


class Cache:
    """Replies by key: the newest of each, the least asked go first, expired ones KEEP_EXPIRED later."""

    def __init__(self, clock: Callable[[], float], size: int = MAX_ENTRIES) -> None:
        self._items: TLRUCache[bytes, Stored] = TLRUCache(
            size, lambda _key, stored, _now: stored.expires + KEEP_EXPIRED, clock
        )
        self.find = self._items.__getitem__
        """The answer of a key, expired or not; KeyError where there is none."""

    def get(self, key: bytes) -> Stored | None:
        try:
            return self.find(key)
        except KeyError:
            return None

    def put(self, key: bytes, stored: Stored) -> None:
        """Keep an answer; one that mustn't be kept does not push out what stands there."""
        if stored.ttl > 0 and len(stored.body) <= MAX_BODY_BYTES:
            self._items[key] = stored

    def clear(self) -> None:
        self._items.clear()

    def __len__(self) -> int:
        return len(self._items)

"""A reply put together: opened, filled with whole records within its room, closed with its OPT record.

Rules: pure; a reply never passes its room. Where it would, there go, in this order: the texts of Extended
DNS Errors, their options whole, the additional section, and records from the end, with TC set. The twin of
`Reply` in native/src/respond.rs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from struct import Struct

from zkdns.dns import ede
from zkdns.dns.packet import HIGHEST_UDP, MAX_REMEMBERED, Query

QR, AA, TC, RA, CD = 0x8000, 0x0400, 0x0200, 0x80, 0x10
"""Bits of the header's flags (RFC 1035, section 4.1.1)."""
_OPCODE_RD = 0x79
MIN_OPT = 11
"""Bytes of an OPT record without options."""

pack_head = Struct("!2sHHHHH").pack
"""Id, flags, and the counts of the four sections."""

_CLOSED: dict[tuple[bytes, bool], bytes] = {}
"""OPT records of replies, by their options and DO."""
_EDE = b"\0\x0f"
"""The code of the option for Extended DNS Errors (RFC 8914, section 2)."""


def opt(options: bytes, do: bool, high_rcode: int = 0) -> bytes:
    """Our OPT record. DO comes back as it was sent (RFC 3225, section 3)."""
    size = HIGHEST_UDP.to_bytes(2, "big")
    fixed = bytes((high_rcode, 0, 0x80 if do else 0, 0))
    return b"\0\0\x29" + size + fixed + len(options).to_bytes(2, "big") + options


def close(options: bytes, do: bool) -> bytes:
    """The same of a plain rcode: few differ, so they are kept."""
    record = _CLOSED.get((options, do))
    if record is None:
        record = opt(options, do)
        if len(_CLOSED) < MAX_REMEMBERED:
            _CLOSED[options, do] = record
    return record


class Reply:
    """One reply to one query. `flags`: AA, RA and CD where they are due."""

    __slots__ = ("_flags", "_query", "room")

    def __init__(self, query: Query, flags: int) -> None:
        self._query = query
        self._flags = QR | flags | (query.packet[2] & _OPCODE_RD) << 8
        self.room = query.room - query.end - (MIN_OPT if query.edns is not None else 0)
        """Bytes that are left for records and options."""

    def write(
        self,
        rcode: int,
        answer: Sequence[bytes] = (),
        authority: Sequence[bytes] = (),
        additional: Sequence[bytes] = (),
        options: bytes = b"",
        counts: Sequence[int] = (),
    ) -> bytes:
        """The whole, as far as there is room. `counts`: how many records each item of `additional` holds,
        one where not given."""
        if self._query.edns is None:
            options = b""
        records, more = b"".join((*answer, *authority)), b"".join(additional)
        extra = sum(counts) if counts else len(additional)
        left = self.room - len(records) - len(more)
        if left < len(options):
            kept = shorten(options, max(left, 0))
            if left < len(kept):
                more, extra = b"", 0
                if self.room < len(records) + len(kept):
                    return self.cut(rcode, answer, authority, kept)
            options = kept
        opened = self.open(rcode, len(answer), len(authority), extra)
        return opened + records + more + self.close(rcode, options)

    def open(self, rcode: int, answer: int, authority: int, additional: int, flags: int = 0) -> bytes:
        """Header and question; the counts of the sections that follow, OPT left out."""
        query = self._query
        additional += query.edns is not None
        flags |= self._flags | rcode & 15
        head = pack_head(query.packet[:2], flags, query.end > 12, answer, authority, additional)
        return head + query.packet[12 : query.end]

    def close(self, rcode: int, options: bytes) -> bytes:
        """The OPT record, where the query had one (RFC 6891, section 6.1.1)."""
        edns = self._query.edns
        if edns is None:
            return b""
        if rcode < 16 and edns.subnet is None:  # those with a client's subnet are too many to be kept
            return close(options, edns.do)
        return opt(options, edns.do, rcode >> 4)

    def cut(self, rcode: int, answer: Sequence[bytes], authority: Sequence[bytes], options: bytes) -> bytes:
        """As many whole records as fit, and the sign that there are more."""
        records = (*answer, *authority)
        fitting = bisect_right(list(accumulate(map(len, records))), self.room - len(options))
        answers = min(len(answer), fitting)
        opened = self.open(rcode, answers, fitting - answers, 0, TC)
        return opened + b"".join(records[:fitting]) + self.close(rcode, options)


def shorten(options: bytes, room: int) -> bytes:
    """Options within `room`: without the texts of errors, or without errors. What was asked for (NSID)
    stays."""
    each = ede.each(options)
    others = b"".join(option for option in each if option[:2] != _EDE)
    bare = others + ede.bare(b"".join(option for option in each if option[:2] == _EDE))
    return bare if len(bare) <= room else others


def fail(query: Query, rcode: int, options: bytes = b"", flags: int = 0) -> bytes:
    """A reply without records: the question comes back where it could be read. AA is clear."""
    return Reply(query, flags).write(rcode, options=options)

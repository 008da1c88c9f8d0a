"""Questions that were asked before, word for word: a packet is read once, and those like it are recalled.

Rules: pure. Most clients ask the same again and again, and of such packets nothing differs but the id. Kept
is what asks for data that we have, in one bare question: names that are made up, and options, which differ in
each packet (RFC 7873), would crowd out all else.
"""

from __future__ import annotations

from typing import NamedTuple

from zkdns.dns.packet import HIGHEST_UDP, MAX_REMEMBERED, Edns
from zkdns.dns.reply import AA, MIN_OPT, QR, close
from zkdns.serve.request import Request


class Asked(NamedTuple):
    """What a wording asks. `words`: the question as it came; `flags`: those of a positive reply; `room`:
    bytes that it may take over UDP; `edns` has no options; `opt`: the OPT record of a reply that has none
    either, b"" without EDNS."""

    key: bytes
    words: bytes
    rtype: int
    flags: int
    room: int
    opt: bytes
    edns: Edns | None


class Wordings:
    """Those of clients that may have names forwarded, or of those that may not."""

    def __init__(self, limit: int = MAX_REMEMBERED) -> None:
        self._asked: dict[bytes, Asked] = {}
        self._limit = limit
        self.recall = self._asked.get
        """By all that follows a packet's id."""

    def remember(self, request: Request) -> None:
        """Have packets like this one recalled, where it is one of those that are kept."""
        packet, end = request.packet, request.end
        if not request.key or request.limit != HIGHEST_UDP or len(packet) > end + MIN_OPT:
            return
        if len(self._asked) >= self._limit:
            self._asked.clear()
        edns, flags = request.edns, QR | AA | request.ra | (packet[2] & 1) << 8
        opt = close(b"", edns.do) if edns is not None else b""
        words, rtype = packet[12:end], request.question.rtype
        self._asked[packet[2:]] = Asked(request.key, words, rtype, flags, request.room, opt, edns)

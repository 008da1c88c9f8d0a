"""Questions that were asked before in the same words: a packet is read once, and those like it are recalled.

Rules: pure. Most clients ask the same again and again, and of such packets nothing differs but the id, the
case of letters, which resolvers leave to chance, and a cookie (RFC 7873). Kept is what asks for data that is
at hand: names that are made up would crowd out all else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from zkdns.dns.packet import ALONE, HIGHEST_UDP, MAX_REMEMBERED, NSID, SUBNET, WITH_OPT, Edns
from zkdns.dns.reply import AA, MIN_OPT, QR, close
from zkdns.dns.types import NOERROR
from zkdns.serve.request import Request

T = TypeVar("T")

_OPT_HEAD = MIN_OPT - 2
"""Bytes of an OPT record before its length."""


class Asked(NamedTuple):
    """What a wording asks of us. `key`: as the table is asked for it; `end`: where the question ends; `kind`
    and `flags`: type and rcode of a positive reply, and its flags; `room`: bytes that it may take over UDP;
    `edns` has no options; `opt`: the OPT record of a reply that has none either, b"" without EDNS."""

    key: bytes
    end: int
    kind: tuple[int, int]
    flags: int
    room: int
    opt: bytes
    edns: Edns | None


def asked_of(request: Request) -> Asked:
    """What a request asks, its options left out."""
    edns, flags = request.edns, QR | AA | request.ra | (request.packet[2] & 1) << 8
    opt = close(b"", edns.do) if edns is not None else b""
    return Asked(request.key, request.end, (request.question.rtype, NOERROR), flags, request.room, opt, edns)


class Wordings(Generic[T]):
    """What the wordings ask of one kind of clients."""

    def __init__(self, limit: int = MAX_REMEMBERED) -> None:
        self._asked: dict[bytes, T] = {}
        self._limit = limit
        self.recall = self._asked.get
        """By all that follows a packet's id, in lower case."""

    def recall_with_option(self, packet: bytes) -> T | None:
        """The same of a packet with one option that asks for nothing that we give, as a cookie does."""
        if packet[4:12] != WITH_OPT:
            return None
        at = packet.find(0, 12) + 5 + _OPT_HEAD
        options = packet[at:]
        size = len(options) - 2
        if size < 4 or options[0] << 8 | options[1] != size or options[4] << 8 | options[5] != size - 4:
            return None
        if options[2:4] in (NSID, SUBNET):
            return None
        return self._asked.get(packet[2:at].lower() + b"\0\0")

    def remember(self, request: Request, read: Callable[[Request], T]) -> None:
        """Have what this one asks, which `read` tells, recalled of packets like it, where it may be kept."""
        words = _words_of(request)
        if words is not None:
            if len(self._asked) >= self._limit:
                self._asked.clear()
            self._asked[words] = read(request)


def _words_of(request: Request) -> bytes | None:
    """What `recall` is asked with; None where it may not be kept: in lower case, a type or a size whose bytes
    are letters would pass for another."""
    packet, end, edns = request.packet, request.end, request.edns
    if not request.key or request.limit != HIGHEST_UDP:
        return None
    if edns is None:
        stop = end
        whole = packet[4:12] == ALONE
    else:
        stop = end + _OPT_HEAD
        whole = packet[4:12] == WITH_OPT and not edns.nsid and edns.subnet is None
    fixed = packet[2:12] + packet[end - 4 : stop]
    if not whole or fixed.lower() != fixed.upper():
        return None
    return packet[2:stop].lower() + (b"\0\0" if edns is not None else b"")

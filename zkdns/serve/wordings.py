"""Questions that were asked before in the same words: a packet is read once, and those like it are recalled.

Rules: pure. Most clients ask the same again and again, and of such packets nothing differs but the id, the
case of letters, which resolvers leave to chance, and a cookie (RFC 7873). Kept is what asks for data that is
at hand: names that are made up would crowd out all else. Over UDP and TCP the same is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Generic, TypeVar

from msgspec import Struct

from zkdns.answers.table import Entry
from zkdns.dns.packet import ALONE, MAX_REMEMBERED, NSID, PLAIN_UDP, SUBNET, WITH_OPT, Edns
from zkdns.dns.reply import AA, MIN_OPT, QR, close
from zkdns.dns.types import HTTPS, NOERROR
from zkdns.serve.request import Request

T = TypeVar("T")

_OPT_HEAD = MIN_OPT - 2
"""Bytes of an OPT record before its length."""

_NO_OPTIONS = b"\0\0"
"""That length, where no options follow."""

_HTTPS = HTTPS.to_bytes(2, "big")


class Manner(Struct, frozen=True):
    """How a reply is to be: one value for many wordings, for what each has of its own is cold memory when it
    comes again. `kind` and `flags`: type and rcode of a reply that is no error, and its flags; `room`: bytes
    that it may take over UDP; `edns` has no options, nor has `opt`, a reply's OPT record, b"" without
    EDNS."""

    kind: tuple[int, int]
    flags: int
    room: int
    opt: bytes
    edns: Edns | None


class Asked(Struct):
    """What a wording asks of us. `key`: as the table is asked for it; `end`: where the question ends;
    `entry`: what the table had for it at that `moment` of its; one that is gone since is held until somebody
    asks again."""

    key: bytes
    end: int
    manner: Manner
    moment: object = None
    entry: Entry | None = None


def asked_of(request: Request) -> Asked:
    """What a request asks, its options left out."""
    flags = QR | AA | request.ra | (request.packet[2] & 1) << 8
    return Asked(request.key, request.end, _manner(request.question.rtype, flags, request.edns))


@lru_cache(1000)
def _manner(rtype: int, flags: int, edns: Edns | None) -> Manner:
    opt, room = (close(b"", edns.do), edns.room) if edns is not None else (b"", PLAIN_UDP)
    return Manner((rtype, NOERROR), flags, room, opt, edns)


class Wordings(Generic[T]):
    """What the wordings ask of one kind of clients."""

    def __init__(self, limit: int = MAX_REMEMBERED) -> None:
        self._asked: dict[bytes, T] = {}
        self._limit = limit
        self.recall = self._asked.get
        """By all that follows a packet's id, in lower case."""

    def remember(self, request: Request, read: Callable[[Request], T]) -> None:
        """Have what this one asks, which `read` tells, recalled of packets like it, where it may be kept."""
        words = _words_of(request)
        if words is not None:
            if len(self._asked) >= self._limit:
                self._asked.clear()
            self._asked[words] = read(request)


def other_words(packet: bytes) -> bytes | None:
    """What a packet is recalled by, where that is not simply what follows its id in lower case: it has one
    option that asks for nothing that we give, as a cookie does, or is for HTTPS, whose number would pass for
    another's."""
    end = packet.find(0, 12) + 5
    stop, no_options = len(packet), b""
    if packet[4:12] == WITH_OPT and _is_idle(packet[end + _OPT_HEAD :]):
        stop, no_options = end + _OPT_HEAD, _NO_OPTIONS
    if packet[end - 4 : end - 2] == _HTTPS:
        return packet[2 : end - 4].lower() + packet[end - 4 : stop] + no_options
    return packet[2:stop].lower() + no_options if no_options else None


def _is_idle(options: bytes) -> bool:
    """Whether these, with the length before them, are one option that asks for nothing that we give."""
    size = len(options) - 2
    if size < 4 or options[0] << 8 | options[1] != size or options[4] << 8 | options[5] != size - 4:
        return False
    return options[2:4] not in (NSID, SUBNET)


def _words_of(request: Request) -> bytes | None:
    """What `recall` is asked with; None where it may not be kept: in lower case, a type or a size whose bytes
    are letters would pass for another."""
    packet, end, edns = request.packet, request.end, request.edns
    if not request.key:
        return None
    if edns is None:
        stop, tail = end, b""
        whole = packet[4:12] == ALONE
    else:
        stop, tail = end + _OPT_HEAD, _NO_OPTIONS
        whole = packet[4:12] == WITH_OPT and not edns.nsid and edns.subnet is None
    fixed = packet[end - 4 : stop]
    numbers = packet[2:12] + fixed.removeprefix(_HTTPS)
    if not whole or numbers.lower() != numbers.upper():
        return None
    return packet[2 : end - 4].lower() + fixed + tail

"""Records as they stand on the wire, and the pointers in them (RFC 1035, sections 3.2.1 and 4.1.4).

Rules: pure. A, AAAA and SRV are packed by hand, because a large registry spells them by the hundred thousand.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable
from functools import lru_cache
from itertools import accumulate
from typing import Final

from zkdns.dns.types import AAAA, HINFO, IN, SRV, TXT, A

OWNER: Final = b"\xc0\x0c"
"""A pointer to the question's name, which begins at offset 12."""

RECORD_BYTES: Final = len(OWNER) + struct.calcsize("!HHIH")
"""What a record takes beside its rdata, its owner a pointer: type, class, TTL and length follow."""

MAX_TXT_BYTES = 64_000
"""Bytes of a TXT record's rdata: its registration may hold a megabyte of meta."""

_HEAD = struct.Struct("!HHIH").pack
_SRV = struct.Struct("!HHIHHHH").pack


@lru_cache(4096)  # one instance that changes has those of all its service spelled
def packed(address: str) -> bytes:
    """An address in text as its 4 or 16 bytes."""
    if ":" in address:
        return ipaddress.IPv6Address(address).packed
    return bytes(map(int, address.split(".")))


def head(rtype: int, ttl: int, length: int) -> bytes:
    """What stands between the owner of a record of class IN and its rdata."""
    return _HEAD(rtype, IN, ttl, length)


def record(owner: bytes, rtype: int, ttl: int, rdata: bytes) -> bytes:
    """One wire record of class IN (RFC 1035, section 3.2.1)."""
    return owner + head(rtype, ttl, len(rdata)) + rdata


RFC8482 = record(OWNER, HINFO, 3600, b"\7RFC8482\0")
"""The answer to ANY (RFC 8482, section 4.2): one HINFO that names the reason."""


def addresses(owner: bytes, held: Iterable[str], ttl: int) -> tuple[bytes, int]:
    """The A and AAAA records of these addresses in one run, and how many they are."""
    run = [record(owner, AAAA if ":" in a else A, ttl, packed(a)) for a in held]
    return b"".join(run), len(run)


@lru_cache(1024)  # as `packed`
def srv(priority: int, weight: int, port: int, target: bytes, ttl: int) -> bytes:
    """An SRV record (RFC 2782) of the name that is asked for. `target`: a wire name; `ttl`: seconds."""
    return OWNER + _SRV(SRV, IN, ttl, 6 + len(target), priority, weight, port) + target


def txt(strings: Iterable[str], ttl: int) -> bytes:
    """One TXT record; a string past 255 bytes is cut there (RFC 1035, section 3.3.14), and the list of
    them where a message over TCP would have no room for more."""
    kept = [s.encode()[:255] for s in strings] or [b""]
    if sum(map(len, kept)) + len(kept) > MAX_TXT_BYTES:
        lengths = accumulate(len(s) + 1 for s in kept)
        kept = [s for s, end in zip(kept, lengths, strict=True) if end <= MAX_TXT_BYTES]
    return record(OWNER, TXT, ttl, b"".join([bytes((len(s),)) + s for s in kept]))


def pointer(owner: bytes, suffix: bytes) -> bytes:
    """A compression pointer to `suffix`, which `owner`, the name asked, ends with."""
    return (0xC000 | 12 + len(owner) - len(suffix)).to_bytes(2, "big")

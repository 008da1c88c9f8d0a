"""What of an upstream's answer is passed on: what answers the question and the aliases on the way there,
nothing about names of ours, nothing of another class than was asked for, and no private address where the
settings deny them.

Rules: pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import lru_cache

from zkdns.dns.message import Message, Record
from zkdns.dns.rdata import read_hints
from zkdns.dns.types import AAAA, ANY, CNAME, DNAME, HTTPS, IN, RRSIG, SVCB, A

_NAT64, _COMPATIBLE = ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96")
"""Whose last four bytes are an IPv4 address (RFC 6052; RFC 4291, section 2.5.5.1)."""
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
"""RFC 8215: each network's own."""

MAX_ALIASES = 64
"""One behind the other in a reply; more lead nowhere. BIND ends at 16, unbound at 11, each asked for anew."""


def believe(message: Message, is_ours: Callable[[bytes], bool], deny_private: bool) -> tuple[Message, bool]:
    """The message without what is not to be believed, and whether a private address was among that."""
    owners: dict[bytes, bool] = {}
    blocked = False

    def keep(record: Record) -> bool:
        nonlocal blocked
        ours = owners.get(record.owner)
        if ours is None:
            ours = owners[record.owner] = is_ours(record.owner.lower())
        if ours or record.rclass != IN:
            return False
        if deny_private and names_private(record):
            blocked = True
            return False
        return True

    sections = (message.answer, message.authority, message.additional)
    answer, authority, additional = (tuple(filter(keep, section)) for section in sections)
    if len(answer) + len(authority) + len(additional) == sum(map(len, sections)):
        return message, False
    rest = message._replace(answer=answer, authority=authority, additional=additional, plain=b"")
    return rest, blocked


def follow(message: Message, question: bytes) -> Message | None:
    """The message with what of its answer is about the question, in the order in which its aliases lead
    there (old resolvers pass over an address that comes before its alias); None where they go round or never
    end, which unbound and BIND tell as SERVFAIL. `question`: name in lower case, type, class."""
    name, rtype = question[:-4], question[-4] << 8 | question[-3]
    answer = message.answer
    if rtype == ANY or all(r.rtype == rtype and r.owner.lower() == name for r in answer):
        return message
    by_owner: dict[bytes, list[Record]] = {}
    for record in answer:
        by_owner.setdefault(record.owner.lower(), []).append(record)
    kept: dict[int, Record] = {}
    met: set[bytes] = set()
    while name not in met and len(met) <= MAX_ALIASES:
        met.add(name)
        own = by_owner.get(name, [])
        alias = next((r for r in own if r.rtype == CNAME), None) if rtype != CNAME else None
        if alias is None:
            kept |= {id(r): r for r in _of_type(own, rtype)}
            return message._replace(answer=tuple(kept.values()), plain=b"")
        above = name
        while above != b"\0":  # what the alias may have been made by (RFC 6672, section 3.1)
            above = above[1 + above[0] :]
            kept |= {id(r): r for r in _of_type(by_owner.get(above, []), DNAME)}
        kept |= {id(r): r for r in _of_type(own, CNAME) if r.rtype != CNAME or r is alias}
        name = alias.parts[1].lower()
    return None


def leads_to(message: Message, question: bytes) -> bytes:
    """The name that its last alias leads to without saying more of it, in lower case; b"" for none."""
    rtype = question[-4] << 8 | question[-3]
    last = next((r for r in reversed(message.answer) if r.rtype != RRSIG), None)
    if last is None or last.rtype != CNAME or rtype in (CNAME, ANY):
        return b""
    return last.parts[1].lower()


def _of_type(records: list[Record], rtype: int) -> list[Record]:
    """Those of a type, with their signatures."""
    covered = rtype.to_bytes(2, "big")
    return [r for r in records if r.rtype == rtype or (r.rtype == RRSIG and r.parts[0][:2] == covered)]


def names_private(record: Record) -> bool:
    """Whether it leads to a private address, or may: a browser connects to what an HTTPS record hints at."""
    if record.rtype in (SVCB, HTTPS):
        return hints_private(b"".join(record.parts))
    return record.rtype in (A, AAAA) and is_private(b"".join(record.parts))


def hints_private(rdata: bytes) -> bool:
    """The same of a record that tells how a service is reached; one that can't be read may as well."""
    addresses = read_hints(rdata)
    return addresses is None or any(map(is_private, addresses))


@lru_cache(4096)
def is_private(packed: bytes) -> bool:
    """Whether an address leads to this machine or to a network that is nobody's on the Internet: what a
    page from outside must not be able to name (RFC 1918, 4193, 6598, 6890; unbound's private-address)."""
    if len(packed) not in (4, 16):
        return False
    address = ipaddress.ip_address(packed)
    if isinstance(address, ipaddress.IPv6Address):
        if address.is_site_local or address in _LOCAL_NAT64:
            return True
        if address in _NAT64 or address in _COMPATIBLE:
            address = ipaddress.IPv4Address(packed[12:])
        else:
            address = address.ipv4_mapped or address.sixtofour or address
    return not address.is_global and not address.is_multicast

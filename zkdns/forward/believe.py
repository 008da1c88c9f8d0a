"""What of an upstream's answer is passed on: nothing about names of ours, nothing of another class than was
asked for, and no private address where the settings deny them.

Rules: pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import lru_cache

from zkdns.dns.message import Message, Record
from zkdns.dns.types import AAAA, IN, A

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


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
        if deny_private and record.rtype in (A, AAAA) and is_private(b"".join(record.parts)):
            blocked = True
            return False
        return True

    sections = (message.answer, message.authority, message.additional)
    answer, authority, additional = (tuple(filter(keep, section)) for section in sections)
    if len(answer) + len(authority) + len(additional) == sum(map(len, sections)):
        return message, False
    return message._replace(answer=answer, authority=authority, additional=additional), blocked


@lru_cache(4096)
def is_private(packed: bytes) -> bool:
    """Whether an address leads to this machine or to a network that is nobody's on the Internet: what a
    page from outside must not be able to name (RFC 1918, 4193, 6598, 6890; unbound's private-address)."""
    if len(packed) not in (4, 16):
        return False
    address = ipaddress.ip_address(packed)
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            address = ipaddress.IPv4Address(packed[12:])
        address = getattr(address, "ipv4_mapped", None) or address
    return not address.is_global and not address.is_multicast

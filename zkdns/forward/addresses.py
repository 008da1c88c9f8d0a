"""The addresses that a reply holds for a name.

Rules: pure. Addresses are canonical text, in the order of the answer.
"""

from __future__ import annotations

import ipaddress

from msgspec import Struct

from zkdns.dns.message import Message
from zkdns.dns.types import CNAME, A


class Unresolved(Exception):
    """A name has no addresses now; the text says why."""


class Lacking(Exception):
    """What it takes to ask for a name is lacking here, which says nothing of the name; the text says what."""


class Resolved(Struct, frozen=True):
    """Addresses in text, and for how many seconds they are true."""

    addresses: tuple[str, ...]
    ttl: int


def addresses_in(message: Message, owner: bytes, rtype: int) -> Resolved:
    """The addresses at the end of the alias chain from `owner`, wherever its links stand (RFC 1034,
    section 3.6.2: their order means nothing)."""
    name = owner.lower()
    ttl = 0x7FFFFFFF
    aliases = {r.owner.lower(): r for r in message.answer if r.rtype == CNAME and len(r.parts) > 1}
    for _ in range(len(aliases) + 1):
        records = [r for r in message.answer if r.rtype == rtype and r.owner.lower() == name]
        if records:
            packed = [b"".join(r.parts) for r in records]
            size = 4 if rtype == A else 16
            texts = dict.fromkeys(str(ipaddress.ip_address(raw)) for raw in packed if len(raw) == size)
            return Resolved(tuple(texts), min([ttl, *(r.ttl for r in records)]))
        alias = aliases.get(name)
        if alias is None:
            break
        ttl = min(ttl, alias.ttl)
        name = alias.parts[1].lower()
    return Resolved((), 0)

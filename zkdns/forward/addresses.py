"""The addresses that a reply holds for a name.

Rules: pure. Addresses are canonical text, in the order of the answer.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import TypeVar

from msgspec import Struct

from zkdns.dns.message import Message, Record
from zkdns.dns.types import CNAME, A

MAX_TOLD = 256
"""Addresses of a name: who owns it may tell thousands, and each is looked at by those who hear of them. More
than an instance may have, for some of them may be none that a client can reach."""


T = TypeVar("T", str, bytes)


class Unresolved(Exception):
    """A name has no addresses now; the text says why."""


class Lacking(Exception):
    """What it takes to ask for a name is lacking here, which says nothing of the name; the text says what."""


class Resolved(Struct, frozen=True):
    """Addresses in text, and for how many seconds they are true."""

    addresses: tuple[str, ...]
    ttl: int


def few(addresses: Collection[T]) -> Collection[T]:
    """Of too many the same ones, in whichever order they come."""
    return addresses if len(addresses) <= MAX_TOLD else sorted(addresses)[:MAX_TOLD]


def addresses_in(message: Message, owner: bytes, rtype: int) -> Resolved:
    """The addresses at the end of the alias chain from `owner`, wherever its links stand (RFC 1034,
    section 3.6.2: their order means nothing)."""
    name = owner.lower()
    ttl = 0x7FFFFFFF
    aliases = {r.owner.lower(): r for r in message.answer if r.rtype == CNAME and len(r.parts) > 1}
    by_owner: dict[bytes, list[Record]] = {}
    for record in message.answer:
        if record.rtype == rtype:
            by_owner.setdefault(record.owner.lower(), []).append(record)
    for _ in range(len(aliases) + 1):
        records = by_owner.get(name)
        if records:
            size = 4 if rtype == A else 16
            packed = dict.fromkeys(raw for r in records if len(raw := b"".join(r.parts)) == size)
            texts = tuple(str(ipaddress.ip_address(raw)) for raw in few(packed))
            return Resolved(texts, min([ttl, *(r.ttl for r in records)]))
        alias = aliases.get(name)
        if alias is None:
            break
        ttl = min(ttl, alias.ttl)
        name = alias.parts[1].lower()
    return Resolved((), 0)

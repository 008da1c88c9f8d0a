"""The addresses that zone files give a host name, for the instances that registered it.

Rules: pure. An alias is followed within the files alone, never to a service: two could keep each other's dead
addresses alive by it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import NamedTuple

from zkdns.answers.zonefiles.lookup import MAX_CHAIN, Kind, ZoneData, zone_of
from zkdns.answers.zonefiles.nodes import RRset
from zkdns.dns import names
from zkdns.dns.types import AAAA, A

_MAX_TTL = 0x7FFFFFFF


class FiledHost(NamedTuple):
    """`outside`: where an alias leads, whose addresses others know; "" for nowhere."""

    addresses: tuple[str, ...] = ()
    ttl: int = 0
    outside: str = ""


def find_host(files: Mapping[bytes, ZoneData], host: str) -> FiledHost | None:
    """None for a name of which no file says anything."""
    try:
        name = names.wire(host).lower()
    except ValueError:
        return None
    ttl = _MAX_TTL
    for n in range(MAX_CHAIN):
        zone = zone_of(name, files)
        if zone is None:
            return FiledHost(outside=names.text(name)) if n else None
        steps = [zone.lookup(name, rtype) for rtype in (A, AAAA)]
        if not n and any(step.kind in (Kind.NXDOMAIN, Kind.REFERRAL) for step in steps):
            return None
        alias = steps[0].rrset if steps[0].kind is Kind.ALIAS else None
        if alias is None:
            return _addresses_of(
                [step.rrset for step in steps if step.kind is Kind.FOUND and step.rrset], ttl
            )
        ttl = min(ttl, alias.ttl)
        name = alias.rdatas[0][1].lower()
    return FiledHost()


def _addresses_of(rrsets: list[RRset], ttl: int) -> FiledHost:
    packed = [b"".join(parts) for rrset in rrsets for parts in rrset.rdatas]
    addresses = tuple(str(ipaddress.ip_address(raw)) for raw in packed)
    return FiledHost(addresses, min([ttl, *(rrset.ttl for rrset in rrsets)]) if rrsets else 0)

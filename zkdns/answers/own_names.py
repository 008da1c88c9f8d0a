"""What each zone of services has without any service: its apex, its server, and the folders.

Rules: pure. No service takes the place of these entries, so that each NS name keeps its address.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from zkdns.answers.entries import several, single
from zkdns.answers.on_demand import Services
from zkdns.answers.owners import SERVER
from zkdns.answers.table import OWN, Entry, Name, Zone
from zkdns.dns import names
from zkdns.dns.records import OWNER, addresses, record
from zkdns.dns.types import AAAA, NS, SOA, A

NEGATIVE_TTL = 2
"""The SOA's TTL and minimum, seconds: how long a client may believe that nothing is there (RFC 2308)."""


def own_names(zone: Zone, ttl: int) -> Iterator[tuple[bytes, Name]]:
    """The names that stand in a zone as it is."""
    for label in ("_tcp", "_udp", "dns"):
        yield names.label(label) + zone.apex, Name(zone.index)
    yield zone.apex, Name(zone.index)
    yield server_of(zone), Name(zone.index)
    yield names.label("_dns-sd") + names.label("_udp") + zone.apex, Name(zone.index)
    yield browsing(zone, ttl)


def browsing(zone: Zone, ttl: int) -> tuple[bytes, Name]:
    """The name that lists the services (RFC 6763, section 9)."""
    owner = b"".join(map(names.label, ("_services", "_dns-sd", "_udp"))) + zone.apex
    return owner, Name(zone.index, responder=Services(owner, zone.apex, ttl), origin=OWN)


def server_entries(zone: Zone, own: Sequence[str], ttl: int) -> Iterator[tuple[bytes, Entry]]:
    """The zone's NS record, and where that server is: at these addresses."""
    server = server_of(zone)
    yield zone.apex + NS.to_bytes(2, "big"), single(record(OWNER, NS, ttl, server), OWN)
    for rtype in (A, AAAA):
        wires = [addresses(OWNER, (a,), ttl)[0] for a in own if (":" in a) == (rtype == AAAA)]
        if wires:
            yield server + rtype.to_bytes(2, "big"), several(wires, OWN)


def soa_of(zone: Zone, serial: int) -> bytes:
    """The zone's SOA record after its owner (RFC 1035, section 3.3.13)."""
    numbers = b"".join(n.to_bytes(4, "big") for n in (serial, 60, 10, 86400, NEGATIVE_TTL))
    mailbox = names.label("hostmaster") + zone.apex
    return record(b"", SOA, NEGATIVE_TTL, server_of(zone) + mailbox + numbers)


def server_of(zone: Zone) -> bytes:
    return b"".join(map(names.label, SERVER)) + zone.apex

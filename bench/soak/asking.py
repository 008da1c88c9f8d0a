"""One question to one server, and its reply taken apart; and what the server says of itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
from dns.edns import EDEOption

from bench.soak.cast import Replica

ZONE: Final = "svc.local"
EDE, STALE = 15, 3
UDP_BYTES: Final = 1232
EDE_BYTES: Final = 6
"""Of an Extended DNS Error without text (RFC 8914, section 2)."""
PATIENCE: Final = 5.0


@dataclass(frozen=True, slots=True)
class Reply:
    """`asked` and `told`: monotonic seconds. `stale`: what EDE 3 says; None where there was no EDNS to
    say it in, or no room for it: what is cut is to be asked again over TCP."""

    name: str
    type: str
    message: dns.message.Message
    asked: float
    told: float
    stale: bool | None

    @property
    def rcode(self) -> str:
        return dns.rcode.to_text(self.message.rcode())

    @property
    def cut(self) -> bool:
        return bool(self.message.flags & dns.flags.TC)

    def records(self, type: str = "") -> list[tuple[str, Any]]:
        """Owner and rdata of each answer of the asked type."""
        wanted = dns.rdatatype.from_text(type or self.type)
        return [
            (rrset.name.to_text(), rdata)
            for rrset in self.message.answer
            if rrset.rdtype == wanted
            for rdata in rrset
        ]

    def texts(self) -> set[str]:
        return {rdata.to_text() for _, rdata in self.records()}

    def told_why(self) -> list[str]:
        """The texts of its Extended DNS Errors, but for the one that says that it is stale; "" for none."""
        whys = [o.text or "" for o in self.message.options if isinstance(o, EDEOption) and o.code != STALE]
        return whys or [""]

    def extras(self) -> list[tuple[str, str]]:
        """Owner and address of each additional record."""
        kinds = (dns.rdatatype.A, dns.rdatatype.AAAA)
        found = (rrset for rrset in self.message.additional if rrset.rdtype in kinds)
        return [(rrset.name.to_text(), rdata.to_text()) for rrset in found for rdata in rrset]

    def __str__(self) -> str:
        said = sorted(self.texts()) or self.rcode
        return (
            f"{self.name} {self.type}: {said}{', stale' if self.stale else ''}{', cut' if self.cut else ''}"
        )


def ask(replica: Replica, name: str, type: str, *, tcp: bool = False, edns: bool = True) -> Reply | None:
    """None where no reply came in time."""
    query = dns.message.make_query(name, type, use_edns=0 if edns else -1, payload=UDP_BYTES)
    send = dns.query.tcp if tcp else dns.query.udp
    asked = time.monotonic()
    try:
        message = send(query, replica.host, port=replica.port, timeout=PATIENCE)
    except (dns.exception.Timeout, OSError):
        return None
    return Reply(name, type, message, asked, time.monotonic(), read_stale(message, edns, tcp=tcp))


def read_stale(message: dns.message.Message, edns: bool, *, tcp: bool = False) -> bool | None:
    """Whether it says so; None where it could not: records come before that, and those of a whole answer may
    leave no room for it over UDP."""
    if message.options or not edns:
        says_so = any(o.otype == EDE and o.code == STALE for o in message.options)
        return says_so if edns else None
    is_full = not tcp and len(message.wire or b"") + EDE_BYTES > UDP_BYTES
    return None if is_full or message.flags & dns.flags.TC else False


def describe(replica: Replica, service: str) -> Iterator[str]:
    """What the server itself says of one service, and its last words, for a judge."""
    try:
        said = replica.json("/api/v1/services")
        yield f"serial {said['serial']}, stale {said['stale']}, age {said['age_seconds']:.1f} s"
        for name, value in replica.metrics().items():
            if name.startswith("zkdns_registry"):
                yield f"{name} {value:g}"
        if service:
            for type in ("A", "SRV"):
                yield f"answers {ask(replica, f'{service}.{ZONE}', type, tcp=True)}"
            view = replica.json(f"/api/v1/services/{service}")
            yield f"/api/v1/services/{service}: {view['settings']} {view['note']}"
            for i in view["instances"]:
                state = f"{i['state']}, {'in' if i['in'] else 'out'}"
                yield f"  {i['id']}: {state}, weight {i['weight']}, {i['address']} {i['reason']}"
    except (AssertionError, OSError) as error:
        yield f"can't be asked: {error!r}"
    yield from (f"log: {line}" for line in replica.log.splitlines()[-12:])

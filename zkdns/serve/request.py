"""A Request: a query, who asks it, by which way, and what its reply may be like.

Rules: pure. Made once for each packet by whoever received it; nobody downstream reads the packet again,
or asks again whether this client may have names forwarded.
"""

from __future__ import annotations

from typing import Final

from zkdns.client_map import ClientMap
from zkdns.dns.packet import HIGHEST_UDP, Query
from zkdns.dns.reply import RA
from zkdns.dns.subnet import Subnet


class Request(Query):
    """`client`: its address in text; `transport`: `udp` or `tcp`; `limit`: bytes that it carries. `ra`:
    RA's bit where the client may have names forwarded, else 0. `subnet`: whom it speaks for, where it may,
    set by `respond`, and `scope` for how many bits of that the answer holds (RFC 7871)."""

    __slots__ = ("client", "ra", "scope", "subnet", "transport")

    def __init__(
        self,
        packet: bytes,
        client: str = "",
        transport: str = "udp",
        limit: int = HIGHEST_UDP,
        forwards: bool = False,
    ) -> None:
        Query.__init__(self, packet, limit)  # half the price of super(), once for each packet
        self.client: Final = client
        self.transport: Final = transport
        self.ra: Final = RA if forwards else 0
        self.subnet: Subnet | None = None
        self.scope = 0

    def client_class(self, clients: ClientMap) -> int:
        """Where its client stands, or whom it speaks for; notes for how much of them that holds."""
        subnet = self.subnet
        if subnet is None or not subnet.bits:
            return clients.class_of(self.client)
        number, self.scope = clients.locate(subnet.family, subnet.number)
        return number

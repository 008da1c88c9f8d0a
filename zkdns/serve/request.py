"""A Request: a query, who asks it, by which way, and what its reply may be like.

Rules: pure. Made once for each packet by whoever received it; nobody downstream reads the packet again,
or asks again whether this client may have names forwarded.
"""

from __future__ import annotations

from typing import Final

from zkdns.dns.packet import HIGHEST_UDP, Query
from zkdns.dns.reply import RA

MAX_TCP_BYTES = 65_535
"""What the two bytes of a message's length can say (RFC 1035, section 4.2.2)."""


class Request(Query):
    """`client`: its address in text; `transport`: `udp` or `tcp`; `limit`: bytes that it carries. `ra`:
    RA's bit where the client may have names forwarded, else 0."""

    __slots__ = ("client", "ra", "transport")

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

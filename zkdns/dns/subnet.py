"""The client's network as a resolver tells it: EDNS Client Subnet (RFC 7871).

Rules: pure; a malformed option is None, and FORMERR to who sent it (section 6, and 7.1.2). The twin of
native/src/subnet.rs.
"""

from __future__ import annotations

from dataclasses import dataclass

from zkdns.dns.packet import SUBNET

_BITS = {0: 0, 1: 32, 2: 128}
"""By FAMILY. 0 goes with no address at all: `dig +subnet=0` sends it so."""


@dataclass(frozen=True, slots=True)
class Subnet:
    """`bits` of `number` count (0: the client wants to be unknown); `family`: 1 for IPv4, 2 for IPv6."""

    family: int
    bits: int
    number: int
    data: bytes

    def option(self, scope: int) -> bytes:
        """What the reply bears: the same with the SCOPE PREFIX-LENGTH."""
        length = len(self.data).to_bytes(2, "big")
        return SUBNET + length + self.data[:3] + bytes((scope,)) + self.data[4:]


def read(data: bytes) -> Subnet | None:
    """The option's data; None where it is malformed."""
    if len(data) < 4:
        return None
    family, bits, scope, address = data[0] << 8 | data[1], data[2], data[3], data[4:]
    size = _BITS.get(family, -1)
    if scope or bits > size or len(address) != (bits + 7) // 8:
        return None
    number = int.from_bytes(address, "big") << size - 8 * len(address)
    if number & (1 << size - bits) - 1:
        return None
    return Subnet(family, bits, number, data)

"""Whose a client is: who may have names forwarded, and which network shares its part with it.

Rules: pure; an address that can't be read may not, and is of no network.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from functools import lru_cache

from zkdns.model import ConfigError

REMEMBERED = 4096
"""Clients whose network is remembered."""


@lru_cache(REMEMBERED)
def network_of(client: str) -> bytes:
    """What an address has in common with those of its household: a /24, of IPv6 a /56 (what one customer
    is given: RFC 6177). b"" where there is none."""
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return b""
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    return address.packed[: 3 if address.version == 4 else 7]


def permit(networks: Iterable[str]) -> Callable[[str], bool]:
    """Whether a client's address is within one of the networks; each is worked out once."""
    allowed = []
    for each in networks:
        try:
            allowed.append(ipaddress.ip_network(each, strict=False))
        except ValueError:
            raise ConfigError(f"forward_allow {each!r}", "expected a network such as 10.0.0.0/8") from None

    @lru_cache(REMEMBERED)
    def permits(client: str) -> bool:
        try:
            address = ipaddress.ip_address(client.partition("%")[0])
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return any((mapped or address) in network for network in allowed)

    return permits

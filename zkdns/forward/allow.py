"""Who may have names forwarded: networks in text -> a quick yes or no.

Rules: pure; an address that can't be read may not.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from functools import lru_cache

from zkdns.model import ConfigError

REMEMBERED = 4096


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

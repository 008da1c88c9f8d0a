"""Whose a client is: who may have names forwarded, and which network shares its part with it.

Rules: pure; an address that can't be read may not, and is of no network.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TypeAlias

from zkdns.client_map import Prefix, parse_client, spans_of
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


Permits: TypeAlias = Callable[[str], bool]
"""Whether the client with this address may."""


def permit(networks: Iterable[str]) -> Permits:
    """Whether a client's address is within one of the networks. However many there are, a client whom nobody
    saw before costs the same: addresses of datagrams can be made up."""
    allowed = []
    for each in networks:
        try:
            network = ipaddress.ip_network(each, strict=False)
        except ValueError:
            raise ConfigError(f"forward_allow {each!r}", "expected a network such as 10.0.0.0/8") from None
        allowed.append(Prefix(str(network.network_address), network.prefixlen, 1))
    spans = spans_of(allowed)

    @lru_cache(REMEMBERED)
    def permits(client: str) -> bool:
        parsed = parse_client(client)
        return parsed is not None and spans[parsed[0]].find(parsed[1])[0] is not None

    return permits

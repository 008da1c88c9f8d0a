"""The places that TCP connections take: who has one, who must go for another.

Rules: no I/O, no clock. Full, the network with the most connections gives one up, its idlest, be it the
newcomer's own: so one network cannot take the places of all. When too many bytes wait, the network that
has the most of them waiting gives up its largest. `native/src/places.rs` is the same for its threads.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """What TCP may take. `connections` and `bytes` are for all clients together, and bytes those that wait,
    in and out; `idle`: seconds (RFC 7766, section 6.2.3)."""

    connections: int = 1000
    bytes: int = 64 << 20
    idle: float = 10.0


def network_of(client: str) -> bytes:
    """The client's /24, or its /56 in IPv6; all without an address are one."""
    try:
        ip = ip_address(client.partition("%")[0])
    except ValueError:
        return b""
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is None:
            return ip.packed[:7]
        ip = ip.ipv4_mapped
    return ip.packed[:3]


class Place:
    """What is known of one connection: when it was last used, as a number that only grows, and the bytes
    that wait for it."""

    __slots__ = ("active", "held", "network")

    def __init__(self, network: bytes) -> None:
        self.network = network
        self.active = 0
        self.held = 0


class Places(Generic[T]):
    """`held`: the bytes that wait now."""

    def __init__(self, limits: Limits) -> None:
        self.held = 0
        self._limits = limits
        self._turn = 0
        self._places: dict[T, Place] = {}
        self._networks: dict[bytes, OrderedDict[T, None]] = {}
        """Of each network its connections, idlest first."""

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[T]:
        return iter(self._places)

    def __contains__(self, connection: T) -> bool:
        return connection in self._places

    def take(self, connection: T, client: str) -> T | None:
        """A place for `connection`; who loses it, where all are taken."""
        network = network_of(client)
        loser = self._idlest_of_most(network) if len(self._places) >= self._limits.connections else None
        if loser is not None:
            self.release(loser)
        self._places[connection] = Place(network)
        self._networks.setdefault(network, OrderedDict())[connection] = None
        self.touch(connection)
        return loser

    def _idlest_of_most(self, newcomer: bytes) -> T | None:
        """Of equals the newcomer's network pays."""
        sizes = {network: len(those) + (network == newcomer) for network, those in self._networks.items()}
        most = max(sizes.values(), default=0)
        paying = (
            [newcomer] if sizes.get(newcomer) == most else [n for n, size in sizes.items() if size == most]
        )
        idlest = [next(iter(self._networks[network])) for network in paying]
        return min(idlest, key=lambda one: self._places[one].active, default=None)

    def touch(self, connection: T) -> None:
        """It asked something."""
        place = self._places.get(connection)
        if place is not None:
            self._turn += 1
            place.active = self._turn
            self._networks[place.network].move_to_end(connection)

    def weigh(self, connection: T, held: int) -> T | None:
        """So many bytes wait for it now. Who must go, where that is too much in all."""
        place = self._places.get(connection)
        if place is None:
            return None
        self.held += held - place.held
        grown = held > place.held
        place.held = held
        return self._largest_of_most() if grown and self.held > self._limits.bytes else None

    def _largest_of_most(self) -> T | None:
        def held(one: T) -> int:
            return self._places[one].held

        paying = max(self._networks.values(), key=lambda those: sum(map(held, those)))
        loser = max(paying, key=held)
        self.release(loser)
        return loser

    def release(self, connection: T) -> None:
        """It was closed, or is about to be."""
        place = self._places.pop(connection, None)
        if place is not None:
            self.held -= place.held
            those = self._networks[place.network]
            del those[connection]
            if not those:
                del self._networks[place.network]

"""The places that TCP connections take: who has one, who must go for another.

Rules: no I/O, no clock. Full, the network with the most connections gives one up, and in it the client with
the most, its idlest, be it the newcomer's own: so nobody can take the places of others. When too many bytes
wait, the network that has the most of them waiting gives up its largest. `native/src/places.rs` is the same.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Container, Iterator, Mapping, Set
from ipaddress import IPv6Address, ip_address
from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class Limits(Struct, frozen=True):
    """What TCP may take. `connections` and `bytes` are for all clients together, and bytes those that wait,
    in and out; `idle`: seconds (RFC 7766, section 6.2.3)."""

    connections: int = 1000
    bytes: int = 64 << 20
    idle: float = 10.0


def shares_of(client: str) -> tuple[bytes, bytes]:
    """Whose share a client takes from: its network's (/24, or /56 in IPv6), and its own (in IPv6 that of its
    /64, of which it may have every address). All without an address are one."""
    try:
        ip = ip_address(client.partition("%")[0])
    except ValueError:
        return b"", b""
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is None:
            return ip.packed[:7], ip.packed[:8]
        ip = ip.ipv4_mapped
    return ip.packed[:3], ip.packed


class Place:
    """What is known of one connection: whose it is, and the bytes that wait for it."""

    __slots__ = ("client", "held", "network")

    def __init__(self, network: bytes, client: bytes) -> None:
        self.network = network
        self.client = client
        self.held = 0


class Places(Generic[T]):
    """`held`: the bytes that wait now."""

    def __init__(self, limits: Limits) -> None:
        self.held = 0
        self._limits = limits
        self._places: OrderedDict[T, Place] = OrderedDict()
        """Idlest first."""
        self._sizes: Counter[bytes] = Counter()
        """Of each network, how many it has."""
        self._clients: dict[bytes, Counter[bytes]] = {}
        """And of each client in it."""

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[T]:
        return iter(self._places)

    def __contains__(self, connection: T) -> bool:
        return connection in self._places

    def take(self, connection: T, client: str, *, is_short: bool = False) -> T | None:
        """A place for `connection`; who loses it, where all are taken, or where descriptors are short."""
        network, one = shares_of(client)
        is_full = len(self._places) >= self._limits.connections or (is_short and self._places)
        loser = self._idlest_of_most(network, one) if is_full else None
        if loser is not None:
            self.release(loser)
        self._places[connection] = Place(network, one)
        self._sizes[network] += 1
        self._clients.setdefault(network, Counter())[one] += 1
        return loser

    def _idlest_of_most(self, network: bytes, client: bytes) -> T:
        # Walked, and not gathered by network: a thousand of them may have one connection each.
        paying = _largest(self._sizes, network)
        clients: dict[bytes, Container[bytes]] = {}
        for connection, place in self._places.items():
            if place.network in paying:
                if place.network not in clients:
                    clients[place.network] = _largest(self._clients[place.network], client)
                if place.client in clients[place.network]:
                    return connection
        raise AssertionError("who has the most has one")

    def whose(self, connection: T) -> bytes:
        """Its client, as far as shares go."""
        place = self._places.get(connection)
        return place.client if place is not None else b""

    def touch(self, connection: T) -> None:
        """It asked something."""
        if connection in self._places:
            self._places.move_to_end(connection)

    def weigh(self, connection: T, held: int) -> T | None:
        """So many bytes wait for it now. Who must go, where that is too much in all."""
        place = self._places.get(connection)
        if place is None:
            return None
        self.held += held - place.held
        grown = held > place.held
        place.held = held
        return self._largest_of_most() if grown and self.held > self._limits.bytes else None

    def _largest_of_most(self) -> T:
        held: Counter[bytes] = Counter()
        for place in self._places.values():
            held[place.network] += place.held
        paying = max(held, key=lambda network: held[network])
        those = (one for one, place in self._places.items() if place.network == paying)
        loser = max(those, key=lambda one: self._places[one].held)
        self.release(loser)
        return loser

    def release(self, connection: T) -> None:
        """It was closed, or is about to be."""
        place = self._places.pop(connection, None)
        if place is None:
            return
        self.held -= place.held
        clients = self._clients[place.network]
        clients[place.client] -= 1
        if not clients[place.client]:
            del clients[place.client]
        self._sizes[place.network] -= 1
        if not self._sizes[place.network]:
            del self._sizes[place.network], self._clients[place.network]


def _largest(sizes: Mapping[bytes, int], newcomer: bytes) -> Set[bytes]:
    """Those that have the most once the newcomer is in; of equals the newcomer's own pays."""
    own = sizes.get(newcomer, 0) + 1
    most = max(*sizes.values(), own) if own > 1 else max(sizes.values())
    return {newcomer} if own == most > 1 else {one for one, size in sizes.items() if size == most}

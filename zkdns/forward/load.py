"""How many questions are under way, and for whom: who may have one more.

Rules: pure. A client has a tenth of the room; a network of clients that has that much already gets more
only while it has less than `FREE` times what is left: however greedy, it leaves the others room (Choudhury,
Hahne: Dynamic queue length thresholds for shared-memory packet switches, 1998). Where so many networks have
their tenth that nothing is left, one that has less than its share has one from the network that has the most.
What the server asks for itself is bounded by those who ask (`pipeline/lookups`), and no client can take its
place.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import TypeVar

from zkdns.forward.allow import network_of

MAX_IN_FLIGHT = 1000
MAX_IN_FLIGHT_OF_CLIENT = MAX_IN_FLIGHT // 10
"""Questions to upstreams that are under way."""
MAX_WAITERS = 1000
MAX_ALL_WAITERS = 16_384
"""Clients that wait for one and the same question, and for all of them: until they are told, for that may
take longer than to ask. A network of them leaves others room."""
FREE = 3
"""A network may have so many times what is left."""

K = TypeVar("K")


class Full(Enum):
    """What there is too much of."""

    ALL = "too many forwarded queries in flight"
    CLIENT = "too many forwarded queries of this client in flight"
    NETWORK = "too many forwarded queries of this client's network in flight"


class Room:
    """Room for `most`, whoever they are; a network that has `sure` of them gets more only while it leaves
    others room. `taken`: how many there are, those of no network included."""

    def __init__(self, most: int, sure: int = 0) -> None:
        self.taken = 0
        self._most = most
        self._sure = sure
        self._by_network: Counter[bytes] = Counter()

    @property
    def left(self) -> int:
        return self._most - self.taken

    def is_for(self, network: bytes) -> bool:
        """Whether this network may have one more."""
        return self.left > 0 and self._by_network[network] < max(self._sure, FREE * self.left)

    def giver(self, network: bytes) -> bytes | None:
        """Who is to let this network have one; None where that has its share, or nobody has more."""
        own = self._by_network[network]
        networks = len(self._by_network) + (own == 0)
        if (own + 1) * networks > self._most:
            return None
        most = max(self._by_network, key=self._by_network.__getitem__, default=network)
        return most if self._by_network[most] > own + 1 else None

    def has_none_but(self, network: bytes) -> bool:
        """Whether all that is taken is this network's."""
        return self._by_network[network] == self.taken

    def take(self, network: bytes | None) -> None:
        self.taken += 1
        if network is not None:
            self._by_network[network] += 1

    def leave(self, network: bytes | None) -> None:
        self.taken -= 1
        if network is not None:
            _less(self._by_network, network)


class Load:
    """Who has how many of the questions that are under way."""

    def __init__(self) -> None:
        self._room = Room(MAX_IN_FLIGHT, MAX_IN_FLIGHT_OF_CLIENT)
        self._by_client: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """All of them, those that are nobody's (prefetches, host names of ours) too."""
        return self._room.taken

    def hindrance(self, client: str | None) -> Full | None:
        """What keeps this client, None for ourselves, from having one more."""
        if client is None:
            return None
        if self._room.left <= 0:
            return Full.ALL
        if self._by_client[client] >= MAX_IN_FLIGHT_OF_CLIENT:
            return Full.CLIENT
        return None if self._room.is_for(network_of(client)) else Full.NETWORK

    def giver(self, client: str) -> bytes | None:
        """The network that is to let this client have one of its own, where all of the room is taken."""
        return self._room.giver(network_of(client))

    def start(self, client: str | None) -> None:
        self._room.take(network_of(client) if client is not None else None)
        if client is not None:
            self._by_client[client] += 1

    def end(self, client: str | None) -> None:
        self._room.leave(network_of(client) if client is not None else None)
        if client is not None:
            _less(self._by_client, client)


def _less(counter: Counter[K], key: K) -> None:
    """One less; what has none left costs no memory: clients come and go."""
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]

"""How many questions are under way, and for whom: who may have one more.

Rules: pure. A client has a tenth of the room; a network of clients that has that much already gets more
only while it has less than `FREE` times what is left: however greedy, it leaves the others room (Choudhury,
Hahne: Dynamic queue length thresholds for shared-memory packet switches, 1998).
"""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import TypeVar

from zkdns.forward.allow import network_of

MAX_IN_FLIGHT = 1000
MAX_IN_FLIGHT_OF_CLIENT = MAX_IN_FLIGHT // 10
FREE = 3

K = TypeVar("K")


class Full(Enum):
    """What there is too much of."""

    ALL = "too many forwarded queries in flight"
    CLIENT = "too many forwarded queries of this client in flight"
    NETWORK = "too many forwarded queries of this client's network in flight"


class Load:
    """`total`: all of them, those that are nobody's (prefetches, host names of ours) too."""

    def __init__(self) -> None:
        self.total = 0
        self._by_client: Counter[str] = Counter()
        self._by_network: Counter[bytes] = Counter()

    def hindrance(self, client: str | None) -> Full | None:
        """What keeps this client, None for ourselves, from having one more."""
        if self.total >= MAX_IN_FLIGHT:
            return Full.ALL
        if client is None:
            return None
        if self._by_client[client] >= MAX_IN_FLIGHT_OF_CLIENT:
            return Full.CLIENT
        most = max(MAX_IN_FLIGHT_OF_CLIENT, FREE * (MAX_IN_FLIGHT - self.total))
        return Full.NETWORK if self._by_network[network_of(client)] >= most else None

    def start(self, client: str | None) -> None:
        self.total += 1
        if client is not None:
            self._by_client[client] += 1
            self._by_network[network_of(client)] += 1

    def end(self, client: str | None) -> None:
        self.total -= 1
        if client is not None:
            _less(self._by_client, client)
            _less(self._by_network, network_of(client))


def _less(counter: Counter[K], key: K) -> None:
    """One less; what has none left costs no memory: clients come and go."""
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]

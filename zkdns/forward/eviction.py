"""What goes when there is no more room: S3-FIFO, with a share for each of the clients' networks.

Rules: pure; the clock is an argument; the native engine's twin, step for step. What is new stands in the
small queue, a tenth of the room, and goes from there unless it is asked for again; what was goes to the
main queue, where each time round costs it one of the times that it was asked (Yang, Zhang, Qiu, Yue,
Rashmi: FIFO queues are all you need for cache eviction, SOSP 2023). Where something must go, it is the
oldest of the share that holds most: who asks for a flood of names pushes out his own (McKenney:
Stochastic fairness queueing, INFOCOM 1990).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from functools import lru_cache
from itertools import count
from typing import Protocol, TypeVar

from cachetools import Cache

from zkdns.forward.allow import network_of

SHARES = 64
SMALL = 10
"""The small queue's part of the room."""
AGAIN = 2
"""How often something must have been asked for while it was new, to be kept longer."""
FREQUENT = 3
"""As high as a frequency counts."""
MAX_SPARED = 128
"""So many are looked at and spared; then the next one goes, however often it was asked for."""
MIN_GHOSTS = 16
"""The fewest that were pushed out and are remembered; else as many as are kept."""


class Aged(Protocol):
    """What is kept. `frequency`: how often it was asked for lately, `FREQUENT` at most; `share` and
    `is_main` are kept here."""

    frequency: int
    share: int
    is_main: bool

    @property
    def weight(self) -> int: ...
    def is_over(self, now: float) -> bool:
        """Whether it is past keeping, however often it was asked for."""


V = TypeVar("V", bound=Aged)


@lru_cache(4096)
def share_of(client: str | None) -> int:
    """The share of a client's network: a /24, of IPv6 a /56. None: what is asked for the server itself.
    bytes hash by a secret of the process (PYTHONHASHSEED), so nobody can choose to be in another's."""
    network = network_of(client) if client is not None else b""
    return hash(network) % SHARES if network else 0


class _Queue:
    """One of the two queues: for each share its keys, oldest first, and what they cost."""

    __slots__ = ("chains", "cost", "costs")

    def __init__(self) -> None:
        self.chains: list[OrderedDict[bytes, None]] = [OrderedDict() for _ in range(SHARES)]
        self.costs = [0] * SHARES
        self.cost = 0

    def oldest(self) -> bytes | None:
        """The oldest key of the first of the shares that hold most."""
        return next(iter(self.chains[self.costs.index(max(self.costs))]), None)


class _Ghosts:
    """Who was pushed out of the small queue lately: if he comes again, he was worth keeping."""

    __slots__ = ("known", "number", "order")

    def __init__(self) -> None:
        self.known: dict[int, int] = {}
        self.order: deque[tuple[int, int]] = deque()
        self.number = 0

    def add(self, ghost: int, most: int) -> None:
        self.number += 1
        self.known[ghost] = self.number
        self.order.append((ghost, self.number))
        while len(self.order) > max(most, MIN_GHOSTS):
            first, number = self.order.popleft()
            if self.known.get(first) == number:
                del self.known[first]


class FairCache(Cache[bytes, V]):
    """Values by key. `limit` bounds what all of them cost; each costs its weight, and never less than its
    part of the room by number, so that one sum bounds both."""

    def __init__(self, limit: int, entries: int) -> None:
        self._least = -(-limit // max(entries, 1))
        super().__init__(limit, self._cost)
        self._small = _Queue()
        self._main = _Queue()
        self._ghosts = _Ghosts()
        self._now = 0.0

    def _cost(self, value: V) -> int:
        return max(self._least, value.weight, 1)

    def put(self, key: bytes, value: V, share: int, now: float) -> None:
        """Keep this, in place of what has its key; what is larger than all the room is not kept."""
        if self._cost(value) > self.maxsize:
            return
        self._now = now
        old = self.pop(key, None)
        if old is not None:
            value.frequency, value.share, value.is_main = old.frequency, old.share, old.is_main
        else:
            value.share = share % SHARES
        self[key] = value  # makes room by `popitem`
        if old is None:
            value.is_main = self._ghosts.known.pop(hash(key), None) is not None
        self._link(key, value)

    def popitem(self) -> tuple[bytes, V]:
        """What goes next."""
        for looked in count():
            small = self._small.cost > self.maxsize // SMALL or not self._main.cost
            key = (self._small if small else self._main).oldest()
            if key is None:
                break
            value = self[key]
            frequency = 0 if value.is_over(self._now) else value.frequency
            if looked >= MAX_SPARED or frequency < (AGAIN if small else 1):
                if small:
                    self._ghosts.add(hash(key), len(self) - 1)
                return key, self.pop(key)
            self._unlink(key, value)
            value.frequency, value.is_main = 0 if small else frequency - 1, True
            self._link(key, value)
        raise KeyError("nothing is kept")

    def __delitem__(self, key: bytes) -> None:
        self._unlink(key, self[key])
        super().__delitem__(key)

    def _link(self, key: bytes, value: V) -> None:
        queue = self._main if value.is_main else self._small
        queue.chains[value.share][key] = None
        cost = self._cost(value)
        queue.costs[value.share] += cost
        queue.cost += cost

    def _unlink(self, key: bytes, value: V) -> None:
        queue = self._main if value.is_main else self._small
        del queue.chains[value.share][key]
        cost = self._cost(value)
        queue.costs[value.share] -= cost
        queue.cost -= cost

"""How much is asked, a second: in all over the last hour, of each service, and by the clients that ask most.

Rules: pure; time comes in. A sample is the difference of two counts; what is new since the last one began at
nothing, and a client whose last count is unknown has none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from heapq import nlargest
from typing import NamedTuple

from msgspec import Struct

from zkdns.serve.clients import Demand

SAMPLE_EVERY = 10.0
SAMPLES = 360
"""An hour."""

MAX_CLIENTS = 1000
"""Clients whose counts are kept from one sample to the next: those that asked most in all."""

MAX_REMEMBERED = 10_000
"""Of those that asked before, and not in the last sample."""

TOP = 10
"""Clients that are told."""


class ClientRate(NamedTuple):
    """`rate`: queries a second in the last sample; `queries`: in all, since it was seen first."""

    client: str
    rate: float
    queries: int


class Load(Struct, frozen=True):
    """`total`: queries a second, a sample each, the newest last. `services`, `clients`: of the last one;
    `is_kept`: whether these two are noted at all."""

    total: Sequence[float] = ()
    services: Mapping[str, float] = {}
    clients: Sequence[ClientRate] = ()
    is_kept: bool = False


class Rates:
    """What the last samples said."""

    def __init__(self) -> None:
        self.load = Load()
        self._total: deque[float] = deque(maxlen=SAMPLES)
        self._before: tuple[int, Demand, float] | None = None
        self._counts: dict[str, int] = {}

    def take(self, queries: int, demand: Demand, at: float) -> None:
        """So much was asked until now (seconds since the epoch)."""
        before, self._before = self._before, (queries, demand, at)
        if before is None or at <= before[2]:
            return
        seconds = at - before[2]
        self._total.append(max(0.0, queries - before[0]) / seconds)
        services = {
            name: rate
            for name, n in demand.services.items()
            if (rate := (n - before[1].services.get(name, 0)) / seconds) > 0
        }
        counted = {asker.client: asker.queries for asker in before[1].clients}
        if (
            len(counted) < MAX_CLIENTS
        ):  # all that were seen then: who was not has asked nothing since he was known
            counted = self._counts | counted
        clients = [
            ClientRate(asker.client, (asker.queries - counted.get(asker.client, 0)) / seconds, asker.queries)
            for asker in demand.clients
            if asker.client in counted or asker.first >= before[2]
        ]
        self._remember(counted, demand)
        top = nlargest(TOP, (one for one in clients if one.rate > 0), key=lambda one: one.rate)
        self.load = Load(tuple(self._total), services, top, demand.is_kept)

    def _remember(self, counted: Mapping[str, int], demand: Demand) -> None:
        """The counts of those that may ask again after a while."""
        now = {asker.client: asker.queries for asker in demand.clients}
        kept = [pair for pair in counted.items() if pair[0] not in now]
        self._counts = dict(kept[max(0, len(kept) - MAX_REMEMBERED) :]) | now

    @property
    def since(self) -> float:
        """When the last sample was taken; clients that were not seen since then ask nothing now."""
        return self._before[2] if self._before is not None else 0.0

"""How far a start has come: registries first, then host names, then the first round of probes.

Rules: pure. It only goes forward; each wait has its end.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

from zkdns.health.health import Health
from zkdns.pipeline.hostnames import Hostnames
from zkdns.pipeline.registry import Registry

FIRST_HOSTS = 3.0
"""Seconds that a start waits for host names at most."""

FIRST_ROUTES = FIRST_HOSTS
"""The same for routes that are followed in threads: whoever registers many that lead to thousands keeps
nobody's server from its start. Until it is followed, a route's own name is not there."""


class Stage(enum.Enum):
    """What a start waits for."""

    LOADING = "nothing is known yet"
    SETTLING = "host names and first probes are waited for"
    READY = "answers are in force"


class Start:
    """`stage`: where it is."""

    def __init__(self, registries: Iterable[Registry]) -> None:
        self.stage = Stage.LOADING
        self._registries = tuple(registries)
        self._settling_since = 0.0
        self._probing_until: float | None = None
        self._withheld: set[str] = set()
        """Services with verdicts of the first round, which are published together when it is over."""

    def withhold(self, names: Iterable[str]) -> None:
        """Verdicts of the first round are about these services."""
        self._withheld.update(names)

    def load(self, now: float) -> bool:
        """Whether the registries have just become known, as far as they can be: each was read whole, or is
        out of reach for long enough, and one of them at least can be answered from."""
        if self.stage is not Stage.LOADING:
            return False
        known = any(r.is_known for r in self._registries) or not self._registries
        if not known or any(r.settles_at(now) > now for r in self._registries):
            return False
        self.stage = Stage.SETTLING
        self._settling_since = now
        for registry in self._registries:
            registry.recall()
        return True

    def is_settled(self, hostnames: Hostnames, health: Health, now: float) -> bool:
        """Whether there is nothing to wait for any more. Asked once all that is known is in the answers."""
        if self._probing_until is None:
            if not hostnames.all_heard and now < self._settling_since + FIRST_HOSTS:
                return False
            self._probing_until = now + health.first_round
        return health.all_probed or now >= self._probing_until

    def waits_no_more(self, now: float) -> bool:
        """Whether routes that are still followed were waited for long enough."""
        return now >= self._settling_since + FIRST_ROUTES

    def shift(self, by: float) -> None:
        """The clock was set: what is waited for is so much later by it."""
        self._settling_since += by
        if self._probing_until is not None:
            self._probing_until += by

    def finish(self) -> set[str]:
        """All was waited for: the services that are to be published before it is over; it is where there are
        none."""
        withheld, self._withheld = self._withheld, set()
        if not withheld:
            self.stage = Stage.READY
        return withheld

    def wakes(self, now: float) -> list[float]:
        """When waiting may be over."""
        if self.stage is Stage.LOADING:
            return [at for r in self._registries if (at := r.settles_at(now)) > now]
        if self.stage is Stage.SETTLING:
            ends = [
                self._settling_since + FIRST_HOSTS,
                self._settling_since + FIRST_ROUTES,
                self._probing_until,
            ]
            return [at for at in ends if at is not None and at > now]
        return []

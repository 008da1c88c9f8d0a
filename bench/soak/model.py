"""What was ever registered, and since when it must not be answered: the judge of every answer.

Rules: knows no clock (times come in as monotonic seconds) and asks nobody. Where a write failed half way
the model takes neither side until the next quiet moment tells. One lock, since clients and watchers are
threads of their own.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

BOUND: Final = 2.0
"""Seconds after which what is gone must be out of the answers, while the registry is within reach."""

INTERVAL: Final = 1.0
FALL: Final = 2
"""The checks of the soak's checked services; FALL bad probes put an instance out."""

FOREVER: Final = float("inf")

HOME, FAR = "home", "far"
"""The two ensembles: at home stands what is ordered, too."""

Key = tuple[str, str]
"""Service and instance id."""


@dataclass(frozen=True, slots=True)
class Made:
    """What never changes of an instance that was ever registered."""

    service: str
    id: str
    v4: str
    v6: str
    port: int
    http: int
    tag: str
    registry: str = "dc1"

    @property
    def ensemble(self) -> str:
        return HOME if self.registry == "dc1" else FAR

    @property
    def key(self) -> Key:
        return self.service, self.id

    @property
    def addresses(self) -> tuple[str, ...]:
        return (self.v4, self.v6) if self.v6 else (self.v4,)


@dataclass(frozen=True, slots=True)
class Out:
    """Out of the answers for as long as this lasts, though registered."""

    since: float
    until: float = FOREVER


class Model:
    """`slack`: by ensemble, seconds more than usual, while a fault makes it hard to know that one is cut off.
    `touched`: the ensembles that something befell since the last quiet moment."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.made: dict[Key, Made] = {}
        self.by_address: dict[str, Made] = {}
        self.services: dict[str, None] = {}
        self.recent: deque[Made] = deque(maxlen=200)
        self.slack: dict[str, float] = {}
        self.touched: frozenset[str] = frozenset()
        self.broken: list[str] = []
        self._gone: dict[Key, float] = {}
        self._out: dict[Key, dict[str, Out]] = {}
        self._dissolved: dict[str, float] = {}
        self._away: dict[tuple[int, str], float] = {}

    def blame(self, what: str) -> None:
        with self.lock:
            self.broken.append(what)

    # --- what clients do -----------------------------------------------------------------------------

    def coming(self, made: Made) -> None:
        """It is about to be registered: from now on it may be answered."""
        with self.lock:
            if made.key not in self.made:
                self.made[made.key] = made
                self.recent.append(made)
            self.by_address.update(dict.fromkeys(made.addresses, made))
            self._gone.pop(made.key, None)

    def went(self, key: Key, now: float) -> None:
        with self.lock:
            self._gone.setdefault(key, now)

    def unsure(self, key: Key) -> None:
        """It may be there or not until the next quiet moment."""
        with self.lock:
            self._gone.pop(key, None)

    def out(self, key: Key, why: str, now: float, until: float = FOREVER) -> None:
        """It is registered, and must not be answered."""
        with self.lock:
            self._out.setdefault(key, {})[why] = Out(now, until)

    def back(self, key: Key, why: str) -> None:
        with self.lock:
            self._out.get(key, {}).pop(why, None)

    def founding(self, service: str) -> None:
        with self.lock:
            self.services[service] = None
            self._dissolved.pop(service, None)

    def dissolved(self, service: str, now: float) -> None:
        with self.lock:
            self._dissolved.setdefault(service, now)

    # --- what befalls servers -----------------------------------------------------------------------

    def away(self, server: int, since: float, ensemble: str = HOME) -> None:
        """This ensemble is out of the server's reach, and it must know that from `since` on."""
        with self.lock:
            self._away[server, ensemble] = since

    def near(self) -> None:
        """From now on every server may be back."""
        with self.lock:
            self._away.clear()

    # --- quiet moments ---------------------------------------------------------------------------------

    def forget(self) -> None:
        """Nothing is known of what stands there (the registry was set back): nothing can be late."""
        with self.lock:
            self._gone.clear()
            self._out.clear()
            self._dissolved.clear()

    def reset(self, standing: Mapping[Key, Collection[str]], services: Collection[str], now: float) -> None:
        """What ZooKeeper holds, and why each that is out of the answers is: all servers agreed on it."""
        with self.lock:
            for key in self.made:
                if key not in standing:
                    self._gone.setdefault(key, now)
                    self._out.pop(key, None)
                    continue
                self._gone.pop(key, None)
                known = self._out.get(key, {})
                self._out[key] = {why: known.get(why, Out(now)) for why in standing[key]}
            for service in self.services:
                if service in services:
                    self._dissolved.pop(service, None)
                else:
                    self._dissolved.setdefault(service, now)

    # --- judging -----------------------------------------------------------------------------------------

    def late(self, key: Key, asked: float, told: float, *, registered: bool = False) -> str:
        """Why this instance had no place in an answer that was asked for and told then; "" where it had.
        `registered`: the name is there for as long as the instance is registered, healthy or not."""
        with self.lock:
            gone = self._gone.get(key)
            made = self.made.get(key)
            # What is ordered stands at home, whatever the ensemble.
            slack = max(self._slack(e) for e in {HOME, made.ensemble if made is not None else HOME})
            if gone is not None and asked - gone > BOUND + slack:
                return f"went {asked - gone:.1f} s before"
            if registered:
                return ""
            for why, out in self._out.get(key, {}).items():
                bound = BOUND + slack + (FALL * INTERVAL if why == "check" else 0.0)
                if asked - out.since > bound and told < out.until:
                    return f"out ({why}) {asked - out.since:.1f} s before"
            return ""

    def must_be_stale(self, server: int, asked: float, needed: Collection[str] = (HOME,)) -> bool:
        """Whether what comes from all of these ensembles can't have been fresh then. Asked once the reply is
        there: `near` is told before the registry is given back, so that one that is back in time is not
        blamed."""
        with self.lock:
            since = [self._away[server, e] for e in needed if (server, e) in self._away]
            return bool(since) and asked > min(since)

    def must_be_fresh(self, ensembles: Collection[str]) -> bool:
        """Whether nothing befell any of these since all servers agreed with it. Asked once the reply is
        there; `touched` is told before anything begins."""
        return not self.touched & frozenset(ensembles)

    def _slack(self, ensemble: str) -> float:
        return self.slack.get(ensemble, 0.0)

    def late_service(self, service: str, asked: float) -> str:
        with self.lock:
            gone = self._dissolved.get(service)
            if gone is not None and asked - gone > BOUND + self._slack(HOME):
                return f"removed {asked - gone:.1f} s before"
            return ""

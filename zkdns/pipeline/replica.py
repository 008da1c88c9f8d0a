"""This server as one of its replicas: the node that it keeps under /zkdns/servers, the others', and the lag.

Rules: pure; the writing itself is the mirror's. Where it may not write, it serves all the same.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from zkdns import __version__
from zkdns.model import Problem
from zkdns.roots import SERVERS

TELL_EVERY = 5.0
"""Seconds between two writes of our node when the serial moves: twenty replicas that wrote at each
change would be most of the ensemble's load."""

MAX_BYTES = 4096
"""Of a replica's node: ours have a tenth of that."""

TELL_AT_LEAST = 30.0
"""Seconds after which it is written in any case: its way back is the lag."""


MAX_APART = 5.0
"""Seconds that our clock may be apart from the ensemble's."""

MAX_LAG = 2.0
"""Seconds: what took longer to be written tells nothing of clocks."""


class ServerNode(msgspec.Struct, omit_defaults=True):
    """The data of /zkdns/servers/<id>. `at`: when it was written (seconds since the epoch); `lag`:
    how long the write before took to come back through the writer's own watch, seconds; `rate`: queries a
    second since the write before; `failover`: the registries that stand behind the others."""

    address: str = ""
    version: str = ""
    serial: int = 0
    at: float = 0.0
    lag: float | None = None
    http: str = ""
    rate: float | None = None
    failover: tuple[str, ...] = ()


class Replica:
    """`id`: the name of our nodes. `address`, `http`: where others and people reach us, "" where that is not
    known (yet). `answered`: how many queries were answered until now. `failover`: which registries stand
    behind here."""

    def __init__(
        self, id: str, address: str = "", http: str = "", answered: Callable[[], int] = lambda: 0,
        failover: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self.id = id
        self.lag: float | None = None
        self.problem: Problem | None = None
        """That our clock and the ensemble's are apart."""
        self.address = address
        self._http = http
        self._told = ServerNode()
        self._told_at = 0.0
        """When that was: what it says of it is by the clock as it stood then."""
        self._back = 0.0
        self._answered = answered
        self._failover = failover
        self._count = 0
        self._is_away = False
        self._is_due = False
        """Whether it is to be told at once, whatever was told a moment ago."""

    def lose(self) -> None:
        """Nobody can read us."""
        self._is_away = True

    def find(self) -> None:
        """Others can read us again. Told at once: until then what we have seen counts for nothing to them."""
        self._is_away, self._is_due = False, True

    def shift(self, by: float) -> None:
        """The clock was set."""
        self._told_at += by

    def move(self, address: str, http: str) -> None:
        """Where others reach us. Told at once where it is another place: until then nobody finds us there."""
        self._is_due |= (address, http) != (self.address, self._http)
        self.address, self._http = address, http

    def see(self, own: bytes | None, now: float, written: float | None = None) -> None:
        """What our own node holds now, and when it was written by the ensemble's clock: from its way back the
        lag is known, and how far the clocks are apart."""
        if own is not None and self._told.at != self._back and self._told.at == read_node(own).at:
            self._back = self._told.at
            self.lag = max(0.0, now - self._told_at)
            if self.lag < MAX_LAG:
                ahead = self._told.at - (self._told.at if written is None else written)
                self.problem = _are_apart(self.id, ahead) if abs(ahead) > MAX_APART else None

    def due(self, serial: int) -> float | None:
        """When our node is to be written next; None while nobody could read it."""
        if self._is_away:
            return None
        if self._is_due:
            return self._told_at
        return self._told_at + (TELL_EVERY if serial != self._told.serial else TELL_AT_LEAST)

    def tell(self, serial: int, now: float) -> bytes | None:
        """Our node's new data, where it is due."""
        due = self.due(serial)
        if due is None or due > now:
            return None
        self._is_due = False
        before, self._count = self._count, self._answered()
        seconds = now - self._told_at
        rate = round((self._count - before) / seconds, 3) if self._told.at and seconds > 0 else None
        self._told_at = now
        self._told = ServerNode(
            self.address, __version__, serial, now, self.lag, self._http, rate, self._failover
        )
        return msgspec.json.encode(self._told)


def tell_ahead(seconds: float) -> str:
    """How much a clock is before the ensemble's, or behind it."""
    return f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} ZooKeeper's"


def _are_apart(id: str, ahead: float) -> Problem:
    what = f"our clock is {tell_ahead(ahead)}"
    cure = "have NTP set both: by ours drains and weights end, routes move and new instances warm up"
    return Problem(f"{SERVERS}/{id}", what, cure)


def read_node(data: bytes) -> ServerNode:
    """What another version of us may have written; what can't be read says nothing."""
    if len(data) > MAX_BYTES:
        return ServerNode()
    try:
        return msgspec.json.decode(data, type=ServerNode)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ServerNode()

"""This server as one of its replicas: what stands under /zkdns, what it writes there, and the lag.

Rules: lives in the loop; the writing itself is the mirror's. It writes under /zkdns only, and where it
may not, serves all the same.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping

import msgspec

from zkdns import __version__
from zkdns.health.health import Health
from zkdns.model import Problem
from zkdns.registry.overrides import Overrides
from zkdns.registry.source import HEALTH, OVERRIDES, SERVERS, OwnReducer
from zkdns.registry.znodes import Nodes

TELL_EVERY = 5.0
"""Seconds between two writes of our node when the serial moves: twenty replicas that wrote at each
change would be most of the ensemble's load."""

TELL_AT_LEAST = 30.0
"""Seconds after which it is written in any case: its way back is the lag."""


class ServerNode(msgspec.Struct, omit_defaults=True):
    """The data of /zkdns/servers/<id>. `at`: when it was written (seconds since the epoch); `lag`:
    how long the write before took to come back through the writer's own watch, seconds."""

    address: str = ""
    version: str = ""
    serial: int = 0
    at: float = 0.0
    lag: float | None = None
    http: str = ""


class Replica:
    """`hold(path, data)` keeps an ephemeral node of ours."""

    def __init__(self, address: str, http: str, clock: Callable[[], float] = time.time) -> None:
        # Containers share process ids, and with the host's network its name as well: chance tells them apart.
        self.id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.address = address
        self.http = http
        self.lag: float | None = None
        self.overrides = Overrides(OVERRIDES)
        self.ballots = Nodes(HEALTH)
        self.servers = Nodes(SERVERS)
        self.hold: Callable[[str, bytes], None] = lambda path, data: None
        self._clock = clock
        self._told = ServerNode()
        self._back = 0.0

    @property
    def reducers(self) -> Mapping[str, OwnReducer]:
        """Who takes the events of which root."""
        return {OVERRIDES: self.overrides, HEALTH: self.ballots, SERVERS: self.servers}

    @property
    def zxid(self) -> int:
        """The largest zxid of what has a part in the answers."""
        return max(self.overrides.zxid, self.ballots.zxid)

    @property
    def problems(self) -> tuple[Problem, ...]:
        return tuple(self.overrides.problems())

    def changed(self, root: str, health: Health) -> None:
        """The nodes under `root` moved: pass them on."""
        if root == OVERRIDES:
            health.override(self.overrides.by_instance())
        elif root == HEALTH:
            health.ballots({names[-1]: data for names, data in self.ballots.nodes().items()})
        elif root == SERVERS:
            nodes = self.servers.nodes()
            health.replicas(names[-1] for names in nodes)
            own = nodes.get((self.id,))
            if own is not None and self._told.at > self._back and self._told.at == _read(own).at:
                self._back = self._told.at
                self.lag = max(0.0, self._clock() - self._told.at)

    def move(self, address: str, http: str) -> None:
        """Where others reach us, from the next time on that we tell."""
        self.address, self.http = address, http

    def vote(self, data: bytes) -> None:
        """Publish our verdicts."""
        self.hold(f"{HEALTH}/{self.id}", data)

    def tell(self, serial: int) -> None:
        """Write our node, where it is due. Called every second or so."""
        now = self._clock()
        waited = now - self._told.at
        if waited < TELL_EVERY or (serial == self._told.serial and waited < TELL_AT_LEAST):
            return
        self._told = ServerNode(self.address, __version__, serial, now, self.lag, self.http)
        self.hold(f"{SERVERS}/{self.id}", msgspec.json.encode(self._told))

    def all(self) -> dict[str, ServerNode]:
        """The live replicas by id."""
        return {names[-1]: _read(data) for names, data in sorted(self.servers.nodes().items())}


def _read(data: bytes) -> ServerNode:
    try:
        return msgspec.json.decode(data, type=ServerNode)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ServerNode()

"""What this server and its replicas tell each other under /zkdns: their ballots, and that they are there.

Rules: pure; the reading and the writing are the mirror's. A process that only looks writes nothing.
"""

from __future__ import annotations

from zkdns.health.health import Health
from zkdns.pipeline.registry import Registry
from zkdns.pipeline.replica import Replica
from zkdns.roots import HEALTH, SERVERS


class OwnNodes:
    """`writes`: whether this server keeps nodes of its own."""

    def __init__(self, replica: Replica, health: Health, *, writes: bool) -> None:
        self._replica = replica
        self._health = health
        self._writes = writes
        self._is_within = False

    def take(self, root: str, own: Registry, now: float) -> None:
        """What stands under one of these roots now."""
        if self._is_within or not own.current.issuperset((HEALTH, SERVERS)):
            self._read(root, own, now)
            return
        # What one of them says is held against what the other does: both must be of this connection.
        for each in (HEALTH, SERVERS):
            self._read(each, own, now)
        self._is_within = True
        self._health.find(now)
        self._replica.find()

    def shift(self, by: float) -> None:
        """The clock was set."""
        self._replica.shift(by)

    def lose(self, own: Registry, now: float) -> None:
        """The ensemble is out of reach."""
        if self._is_within:
            self._read(SERVERS, own, now)  # all that was told is heard, and may wait for its turn
            self._is_within = False
            self._health.lose()
            self._replica.lose()

    def _read(self, root: str, own: Registry, now: float) -> None:
        if root == HEALTH:
            self._health.ballots(own.ballots.by_name())
        elif root == SERVERS:
            own.read_servers()  # whether somebody asks for them or not: what waits to be read is bounded so
            self._health.replicas(own.servers.times(), own.servers.made_by())
            us = (self._replica.id,)
            self._replica.see(own.servers.data(us), now, own.servers.written(us).at)

    def write(self, serial: int, now: float, *, serves: bool) -> dict[str, bytes]:
        """The nodes whose data is due, by path. `serves`: whether this server answers already."""
        due: dict[str, bytes] = {}
        if not self._writes:
            return due
        if (ballot := self._health.take_ballot(now)) is not None:
            due[f"{HEALTH}/{self._replica.id}"] = ballot
        if serves and (node := self._replica.tell(serial, now)) is not None:
            due[f"{SERVERS}/{self._replica.id}"] = node
        return due

    def wakes(self, serial: int, *, serves: bool) -> list[float | None]:
        """When something of that is due next."""
        if not self._writes:
            return [self._health.wake]
        node_due = self._replica.due(serial) if serves else None
        return [self._health.wake, self._health.ballot_due, node_due]

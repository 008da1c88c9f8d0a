"""This server as one of its replicas: the node that it keeps under /zkdns/servers, the others', and the lag.

Rules: pure; the writing itself is the mirror's. Where it may not write, it serves all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from zkdns import __version__

TELL_EVERY = 5.0
"""Seconds between two writes of our node when the serial moves: twenty replicas that wrote at each
change would be most of the ensemble's load."""

MAX_BYTES = 4096
"""Of a replica's node: ours have a tenth of that."""

TELL_AT_LEAST = 30.0
"""Seconds after which it is written in any case: its way back is the lag."""


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
    """`id`: the name of our nodes. `address`, `http`: where others and people reach us. `answered`: how many
    queries were answered until now. `failover`: which registries stand behind here."""

    def __init__(
        self, id: str, address: str = "", http: str = "", answered: Callable[[], int] = lambda: 0,
        failover: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self.id = id
        self.lag: float | None = None
        self.address = address
        self._http = http
        self._told = ServerNode()
        self._back = 0.0
        self._answered = answered
        self._failover = failover
        self._count = 0
        self._is_away = self._is_back = False

    def lose(self) -> None:
        """Nobody can read us."""
        self._is_away = True

    def find(self) -> None:
        """Others can read us again. Told at once: until then what we have seen counts for nothing to them."""
        self._is_away, self._is_back = False, True

    def move(self, address: str, http: str) -> None:
        """Where others reach us, from the next time on that we tell."""
        self.address, self._http = address, http

    def see(self, nodes: Mapping[tuple[str, ...], bytes], now: float) -> None:
        """What stands under /zkdns/servers now: our own node on its way back tells the lag."""
        own = nodes.get((self.id,))
        if own is not None and self._told.at > self._back and self._told.at == read_node(own).at:
            self._back = self._told.at
            self.lag = max(0.0, now - self._told.at)

    def due(self, serial: int) -> float | None:
        """When our node is to be written next; None while nobody could read it."""
        if self._is_away:
            return None
        if self._is_back:
            return self._told.at
        return self._told.at + (TELL_EVERY if serial != self._told.serial else TELL_AT_LEAST)

    def tell(self, serial: int, now: float) -> bytes | None:
        """Our node's new data, where it is due."""
        due = self.due(serial)
        if due is None or due > now:
            return None
        self._is_back = False
        before, self._count = self._count, self._answered()
        seconds = now - self._told.at
        rate = round((self._count - before) / seconds, 3) if self._told.at and seconds > 0 else None
        self._told = ServerNode(
            self.address, __version__, serial, now, self.lag, self._http, rate, self._failover
        )
        return msgspec.json.encode(self._told)


def read_node(data: bytes) -> ServerNode:
    """What another version of us may have written; what can't be read says nothing."""
    if len(data) > MAX_BYTES:
        return ServerNode()
    try:
        return msgspec.json.decode(data, type=ServerNode)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ServerNode()

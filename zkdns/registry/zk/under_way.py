"""Requests under way on one connection: which are sent, and what each reply is for.

Rules: no I/O, no clock, no chance. They stand in the order in which they were sent, and end with the
connection.
"""

from __future__ import annotations

from msgspec import Struct

from zkdns.registry.zk.audit import NEVER
from zkdns.registry.zk.read_plan import ReadRequest
from zkdns.registry.zk.root_reads import RootReads
from zkdns.registry.zk.wire import AddWatch, Reply, Request, What


class Batch(Struct, eq=False):
    """Some reads under way: one MultiRead, or as many WatchedReads. `times`: when watch events asked for
    them; `services`: as how many services they count."""

    root: RootReads
    requests: list[ReadRequest]
    replies: list[Reply]
    left: int
    times: list[float]
    services: int


class Asked(Struct, eq=False):
    """A request under way. `at`: which of the batch's replies it brings, -1 for all. `root`: the one that
    was missing, and whose coming is watched for. `of_list`: it only leaves a watch on a list."""

    what: What
    sent: float
    batch: Batch | None = None
    at: int = -1
    root: RootReads | None = None
    of_list: bool = False


class UnderWay:
    """By numbers of our own, which no two requests share: a late reply finds nothing."""

    def __init__(self) -> None:
        self._asked: dict[int, Asked] = {}
        self._outbox: list[Request] = []
        self._last_id = 0

    def __bool__(self) -> bool:
        return bool(self._asked)

    @property
    def oldest(self) -> float:
        """When what is longest under way was sent."""
        for asked in self._asked.values():
            return asked.sent
        return NEVER

    @property
    def is_adding_watches(self) -> bool:
        return any(isinstance(asked.what, AddWatch) for asked in self._asked.values())

    def ask(self, asked: Asked) -> None:
        self._last_id += 1
        self._asked[self._last_id] = asked
        self._outbox.append(Request(self._last_id, asked.what))

    def end(self, id: int) -> Asked | None:
        """The request that this number is of, which has its reply; None for one that counts no more."""
        return self._asked.pop(id, None)

    def clear(self) -> None:
        """The connection is gone, and all that was asked with it."""
        self._asked.clear()
        self._outbox.clear()

    def take_outbox(self) -> list[Request]:
        """What is to be sent since the last call."""
        outbox, self._outbox = self._outbox, []
        return outbox

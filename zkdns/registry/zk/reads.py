"""Reads of one ZooKeeper client: many at once, by multiRead or, on servers before 3.6, with one-shot watches.

Rules: used by the mirror's thread alone. Every wait ends: with the reply, with `Lost` or a kazoo error
where the connection is the trouble, with `Stopped` where we are.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import (
    APIError,
    BadArgumentsError,
    MarshallingError,
    UnimplementedError,
    ZookeeperError,
)

from zkdns.model import Event
from zkdns.registry.zk.ephemerals import NOT_REFUSALS
from zkdns.registry.zk.read_plan import ReadPlan, ReadRequest
from zkdns.registry.zk.wire import (
    EXISTS,
    GET_CHILDREN,
    GET_DATA,
    AddWatch,
    MultiRead,
    Op,
    Reply,
    WatchedRead,
    decode,
    decode_all,
    send,
    size,
)

log = logging.getLogger("zkdns.registry.zk")

BATCH = 100
"""Reads in one request: 100,000 nodes in 1.4 s, while asyncio beside it is late by a few ms at most."""

BATCH_BYTES = 256 * 1024
"""A request of 1 MiB and more makes the server drop the connection (jute.maxbuffer)."""

IN_FLIGHT = 2
"""Requests under way; the server's globalOutstandingLimit (1000) is shared by all its clients."""

MOST_TRIES = 5

OLD = (UnimplementedError, MarshallingError, BadArgumentsError, APIError)
"""How servers before 3.6 refuse AddWatch and multiRead."""


class Stopped(Exception):
    """The mirror is to end."""


class Lost(Exception):
    """The connection that a reading began with is no longer there."""


class Reads:
    """`patience`: seconds after which a reply will not come. `count`: single reads so far."""

    def __init__(self, stopping: threading.Event, patience: float, one_shot: bool) -> None:
        self.client: KazooClient = None
        self.one_shot = one_shot
        self.count = 0
        self._stopping = stopping
        self._patience = patience
        self._failed_watches = 0

    def wait(self, result: Any) -> Any:
        """The value of a kazoo AsyncResult, or what it raises."""
        deadline = time.monotonic() + self._patience
        while not result.wait(0.25):
            if self._stopping.is_set():
                raise Stopped
            if time.monotonic() > deadline:
                raise Lost("no reply")
        return result.get(block=False)

    def watch(self, roots: Iterable[str]) -> None:
        """One watch on each root and all below it, for as long as the connection lasts."""
        if self.one_shot:
            return
        for root in roots:
            try:
                if not self.wait(send(self.client, AddWatch(root))):
                    raise UnimplementedError("an empty reply")
                self._failed_watches = 0
            except OLD as why:
                raise self._fall_back(why) from why
            except ZookeeperError as why:
                # Proxies and other makes of server drop the connection at a request they don't know.
                self._failed_watches += 1
                if self._failed_watches >= MOST_TRIES:
                    raise self._fall_back(why) from why
                raise

    def appeared(self, root: str) -> bool:
        """Leave a one-shot watch on a root that is not there; was it made in between?"""
        return self.wait(send(self.client, WatchedRead(Op(EXISTS, root)))) is not None

    def read(
        self, plan: ReadPlan, requests: Iterable[ReadRequest], take: Callable[[list[Event]], None]
    ) -> None:
        """Read what is wanted, and what those replies ask for, handing on the events of each batch."""
        waiting = deque(requests)
        queued = set(waiting)
        tries: dict[ReadRequest, int] = {}
        flying: deque[tuple[list[ReadRequest], list[Op], Any]] = deque()
        while waiting or flying:
            while waiting and len(flying) < IN_FLIGHT:
                batch, ops = _pack(waiting, queued)
                flying.append((batch, ops, self._send(ops)))
            batch, ops, under_way = flying.popleft()
            replies: Iterator[Any] = iter(self._receive(ops, under_way))
            self.count += len(ops)
            events: list[Event] = []
            for request in batch:
                found, more = plan.take(request, next(replies), next(replies) if request.listing else None)
                events += found
                for again in more:
                    if again.listing:
                        tries[again] = tries.get(again, 0) + 1
                    # A server whose listing and data disagree for ever must not hold us for ever.
                    if again not in queued and tries.get(again, 0) < MOST_TRIES:
                        queued.add(again)
                        # First a service's instances, then the next service: less to remember.
                        waiting.appendleft(again)
            if events:
                take(events)

    def _send(self, ops: list[Op]) -> Any:
        if self.one_shot:
            return [send(self.client, WatchedRead(op)) for op in ops]
        return send(self.client, MultiRead(tuple(ops)))

    def _receive(self, ops: list[Op], under_way: Any) -> list[Reply]:
        if not self.one_shot:
            try:
                return decode_all(self.wait(under_way))
            except OLD as why:
                raise self._fall_back(why) from why
        replies: list[Reply] = []
        for op, result in zip(ops, under_way, strict=True):
            try:
                replies.append(decode(op, self.wait(result)))
            except NOT_REFUSALS:
                raise
            except ZookeeperError as why:
                replies.append(why.code)
        return replies

    def _fall_back(self, why: Exception) -> Lost:
        name = type(why).__name__
        log.warning("this ZooKeeper knows no persistent watches (%s): using one-shot watches", name)
        self.one_shot = True
        return Lost("an old server")


def _pack(waiting: deque[ReadRequest], queued: set[ReadRequest]) -> tuple[list[ReadRequest], list[Op]]:
    """The next request's share of what waits, and the reads it takes."""
    batch: list[ReadRequest] = []
    ops: list[Op] = []
    length = 0
    while waiting and len(ops) < BATCH and length < BATCH_BYTES:
        request = waiting.popleft()
        queued.discard(request)
        batch.append(request)
        length += size(request.path)
        # The data comes first: names that are newer than the pzxid beside them are put right by the
        # event that is on its way, older ones would stay.
        ops.append(Op(GET_DATA, request.path))
        if request.listing:
            ops.append(Op(GET_CHILDREN, request.path))
    return batch, ops

"""One root of the mirror: what of it waits to be read, and what the replies tell.

Rules: no I/O, no clock, no chance. One piece of work at a time: the whole root from nothing, what watch
events marked, or a portion of the audit. While the whole is read, what stood before it stands on.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Final, cast

from zkdns.model import OF_NODES, Begin, Event, Unreadable, Whole
from zkdns.registry.scope import Scope
from zkdns.registry.zk.ahead import Ahead
from zkdns.registry.zk.portion import BATCH_BYTES, Portion
from zkdns.registry.zk.read_plan import ReadPlan, ReadRequest, lineage, mark
from zkdns.registry.zk.wire import (
    CHANGED,
    CHILD,
    DELETED,
    GET_CHILDREN,
    GET_DATA,
    PERSISTENT,
    AddWatch,
    Node,
    Op,
    Reply,
    WatchedRead,
    size,
)

SHORT: Final = 500
"""Names of a list that is read within less than a millisecond."""

MAX_SERVICES: Final = 16
"""Services of which one request reads what watch events marked. Whose is read next is chosen fairly here,
and all that was read before is published before: two requests of a hundred took a tenth of a second."""

MAX_TRIES: Final = 5
"""A server whose listing and data disagree for ever must not hold us for ever."""

LONG_DRAIN: Final = 0.005
"""Seconds. Listing 50,000 names at each of many changes would take the whole machine: long work is followed
by a pause as long, in which what comes falls together."""

MAX_PAUSE_SECONDS: Final = 0.25
"""The longest of these."""


class Work(enum.Enum):
    NONE = "none"
    WHOLE = "whole"
    DRAIN = "drain"
    AUDIT = "audit"


class RootReads:
    """`plan`: what stands. `anew`: the root came or went since."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.plan = ReadPlan(scope)
        self.work = Work.NONE
        self.anew = False
        self.missed: list[str] = []
        """What the audit's latest batch found that no event had told."""
        self.in_flight = 0
        self.not_before = 0.0
        self._portion = Portion()
        self._next: ReadPlan | None = None
        self._dirty: dict[ReadRequest, None] = {}
        self._ahead = Ahead()
        """What watch events marked and is short: it waits for no end of what is long."""
        self._waiting: deque[ReadRequest] = deque()
        self._queued: set[ReadRequest] = set()
        """What is to be sent, each wherever it comes first."""
        self._tries: dict[ReadRequest, int] = {}
        self._announced: set[str] = set()
        self._watched_lists: set[str] = set()
        self._went_from: set[str] = set()
        """Lists that something went from, as watch events told, and that were not read since."""
        self._told_at: dict[ReadRequest, float] = {}
        """When a watch event asked first for what is not sent yet."""
        self._was_missing = False
        self._began = 0.0

    @property
    def due(self) -> bool:
        """Whether a watch event asked for something that is not begun."""
        # Between two pieces of work what is queued is what is ahead.
        return self.anew or bool(self._dirty or (self._queued and self.work is Work.NONE))

    @property
    def begins_at(self) -> float:
        """When what is due may be begun."""
        return 0.0 if self._queued and not self.anew else self.not_before

    @property
    def more_went(self) -> bool:
        """Whether more went than is read."""
        return self.anew or bool(self._went_from)

    @property
    def waits(self) -> bool:
        """Whether there is something to send."""
        return bool(self._queued) and self.work is not Work.NONE

    @property
    def missing(self) -> bool:
        """Whether the root was not there, in what is under way."""
        return self._current.missing

    @property
    def _current(self) -> ReadPlan:
        return self.plan if self._next is None else self._next

    def drop(self) -> None:
        """The connection is gone, and whatever is under way with it."""
        self._finish()
        if self.in_flight:
            self._portion.lose()
        self.in_flight = 0
        self._watched_lists.clear()
        self.anew = False
        self.not_before = 0.0
        self._dirty.clear()
        self._ahead.clear()
        self._went_from.clear()
        self._told_at.clear()

    # --- work ---------------------------------------------------------------------------------------

    def read_whole(self, now: float) -> list[Event]:
        """Everything from nothing."""
        self.anew = False
        self._dirty.clear()
        self._ahead.clear()
        self._queued.clear()
        self._went_from.clear()
        self._told_at.clear()
        self._next = ReadPlan(self.scope)
        self._begin(Work.WHOLE, [ReadRequest(self.scope.root, True)], now)
        return [Begin()]

    def favour(self, paths: Iterable[str]) -> None:
        """Somebody asks for the service that these nodes are of: what is told of it is read first."""
        for path in paths:
            if names := self.scope.names(path):
                self._ahead.favour(names[0], self.plan.made_by(names[0]))

    def read_again(self) -> None:
        """The root that was missing has appeared: on with the whole."""
        self._queue(ReadRequest(self.scope.root, True))

    def drain(self, now: float) -> None:
        """What watch events marked; during a pause what of it is short."""
        self._begin(Work.DRAIN, self._take_dirty() if now >= self.not_before else (), now)

    def _take_dirty(self) -> list[ReadRequest]:
        """What is marked and long. What is short goes ahead, though it came while something else was read:
        among thousands that did, one would wait for all before it."""
        dirty, self._dirty = self._dirty, {}
        long = []
        for request in dirty:
            if self._is_short(request):
                self._put_ahead(request)
            else:
                long.append(request)
        return long

    def audit(self, requests: Iterable[ReadRequest], now: float) -> None:
        """A portion of what is known."""
        self._begin(Work.AUDIT, requests, now)

    def end(self, now: float) -> list[Event]:
        """All that the work asked for is read: what it makes known as a whole."""
        work, whole = self.work, self._next
        events: list[Event] = []
        if work is Work.WHOLE and whole is not None:
            self.plan = whole
            self._portion.end()
            events = [Whole()]
        elif self.plan.missing and not self._was_missing:
            self.anew = True
        if (took := now - self._began) > LONG_DRAIN and work is Work.DRAIN:
            self.not_before = now + min(took, MAX_PAUSE_SECONDS)
        self._finish()
        return events

    def _begin(self, work: Work, requests: Iterable[ReadRequest], now: float) -> None:
        self.work, self._began = work, now
        self._was_missing = self.plan.missing
        self._announced.clear()
        self._waiting.extend(requests)
        self._queued.update(self._waiting)

    def _finish(self) -> None:
        self.work, self._next = Work.NONE, None
        self._ahead.clear()
        self._waiting.clear()
        self._queued.clear()
        self._tries.clear()
        if not self._dirty:
            self._went_from.clear()
            self._told_at.clear()

    # --- watch events and replies ---------------------------------------------------------------------

    def watched(self, kind: int, path: str, one_shot: bool, at: float = 0.0) -> None:
        """A watch event, and when it came."""
        requests = mark(self.scope, kind, path, one_shot)
        if requests is None:
            self.anew = True
        elif requests:
            if path == self.scope.root and kind == CHANGED and self.work is Work.NONE and not self.due:
                self.plan.suspect()
            self._announced.update(request.path for request in requests)
            if kind == DELETED and (names := self.scope.names(path)) is not None and len(names) == 1:
                self._ahead.forget(names[0])
            may_overtake = self.work in (Work.NONE, Work.DRAIN)
            if kind == DELETED and may_overtake and not one_shot:
                self._forget(path)
            if kind == DELETED or (one_shot and kind == CHILD):
                self._went_from.update(request.path for request in requests if request.listing)
            is_told_by_list = False
            for request in requests:
                if at:
                    self._told_at.setdefault(request, at)
                if may_overtake and self._is_short(request):
                    self._put_ahead(request)
                    is_told_by_list = True
                elif not (is_told_by_list and self.plan.length(request.path) is None):
                    self._dirty[request] = None

    def _forget(self, path: str) -> None:
        """A node is gone, as its parent's list is to tell: what it holds is no more to be read."""
        for request in (ReadRequest(path, True), ReadRequest(path, False)):
            self._queued.discard(request)
            self._dirty.pop(request, None)
            self._told_at.pop(request, None)
        self._went_from.discard(path)
        if self.work is Work.DRAIN and not (self._queued or self.in_flight):
            self.end(self._began)  # nothing is left of it, so that no reply would end it

    def _is_short(self, request: ReadRequest) -> bool:
        """Whether it is read at little cost. A node that was not listed yet is not read before its list."""
        length = self.plan.length(request.path)
        return length is not None and (not request.listing or 0 <= length <= SHORT)

    def _put_ahead(self, request: ReadRequest) -> None:
        self._queued.add(request)
        service = self._service_of(request)
        self._ahead.put(service, self.plan.made_by(service), request)

    def _service_of(self, request: ReadRequest) -> str:
        """The name of the node right below the root that it is, or is below; "" for the root itself."""
        names = self.scope.names(request.path)
        return names[0] if names else ""

    def next_batch(self, now: float) -> list[ReadRequest]:
        """The next request's share of what waits: half of it for what is short, the services in turn, and of
        what watch events marked no more than of `MAX_SERVICES`. A long read that was told of meanwhile joins
        in after a while, so that short ones without end don't keep it waiting."""
        if self.work is Work.DRAIN and self._dirty and now > self._began + MAX_PAUSE_SECONDS:
            self._began = now
            long = self._take_dirty()
            self._waiting.extend(long)
            self._queued.update(long)
        batch: list[ReadRequest] = []
        reads = length = 0
        most = self._portion.reads
        are_many = self.work is Work.DRAIN and len(self._queued) > MAX_SERVICES
        services: set[str] = set()
        while self._queued and reads < most and length < BATCH_BYTES and len(services) < MAX_SERVICES:
            is_half = 2 * reads >= most or 2 * len(services) >= MAX_SERVICES
            is_ahead = self._ahead and not (is_half and self._waiting)
            request = self._ahead.take_next() if is_ahead else self._waiting.popleft()
            if request not in self._queued:
                continue  # it was read since, from the other queue
            self._queued.discard(request)
            batch.append(request)
            if are_many:
                services.add(self._service_of(request))
            length += size(request.path)
            reads += 1 + request.listing
        self.in_flight += 1
        return batch

    def take_times(self, batch: Iterable[ReadRequest]) -> list[float]:
        """When watch events asked for what is sent now; 0 where none did."""
        if not self._told_at:
            return []
        return [self._told_at.pop(request, 0.0) for request in batch]

    def list_watches(self, batch: Iterable[ReadRequest]) -> list[AddWatch | WatchedRead]:
        """What is sent before these are read: since 3.8.4 and 3.9.2 a server tells nothing of a node that we
        may not read (CVE-2024-23944), but those who watch a list are told that it changed."""
        watches: list[AddWatch | WatchedRead] = []
        for path, listing in batch:
            if listing and path == self.scope.root:
                # Before 3.9 a persistent watch would end the recursive one of the same path
                # (ZOOKEEPER-4466). That of getChildren stands in another table, and fires once.
                watches.append(WatchedRead(Op(GET_CHILDREN, path)))
            elif listing and path not in self._watched_lists:
                self._watched_lists.add(path)
                watches.append(AddWatch(path, PERSISTENT))
        return watches

    def take(
        self, batch: Sequence[ReadRequest], replies: Iterable[Reply], times: Sequence[float] = ()
    ) -> list[Event]:
        """The replies to the `reads` of a batch: the events that they make. What they ask for is queued.
        `times`: when watch events asked for each, where one did for any."""
        self.in_flight -= 1
        events: list[Event] = []
        each = iter(replies)
        plan = self._current
        coming = set(batch)
        bytes_read = 0
        for request, told_at in zip(batch, times or repeat(0.0), strict=False):
            coming.discard(request)
            # `decode` saw to it that each reply is of the kind that was asked for.
            data = cast("Node | int", next(each))
            names = cast("tuple[str, ...] | int", next(each)) if request.listing else None
            if isinstance(names, tuple):
                bytes_read += sum(map(len, names))
            if isinstance(data, Node):
                bytes_read += len(data.data)
                if plan.is_refused(request.path) and not isinstance(names, int):
                    self._announced.add(request.path)  # its ACL has changed, which no event ever tells
                    if request.path == self.scope.root:
                        self.anew = True  # what is below it counts once all of it is read, as at a start
                        continue
            if self._went_from and request not in self._queued and request not in self._dirty:
                self._went_from.discard(request.path)  # else something went since it was sent
            news, more = plan.take(request, data, names, told_at)
            events += news
            is_ahead = self.work is Work.DRAIN and len(more) <= SHORT and self._is_short(request)
            for again in more:
                if again not in coming:  # else its reply is here, and not older than this one
                    self._queue(again, is_ahead, told_at)
        self._portion.took(bytes_read)
        self.missed = []
        if self.work is Work.AUDIT and not self.anew:
            # A difference that no event announced by now is one that the watch missed.
            paths = (e.path for e in events if isinstance(e, OF_NODES) and not isinstance(e, Unreadable))
            self.missed = [path for path in paths if self._announced.isdisjoint(lineage(path))]
        return events

    def _queue(self, request: ReadRequest, is_ahead: bool = False, told_at: float = 0.0) -> None:
        if request.listing:
            self._tries[request] = self._tries.get(request, 0) + 1
        if request in self._queued or self._tries.get(request, 0) > MAX_TRIES:
            return
        if told_at:
            self._told_at.setdefault(request, told_at)
        if is_ahead:
            self._put_ahead(request)
        else:
            self._queued.add(request)
            # First a service's instances, then the next service: less to remember.
            self._waiting.appendleft(request)


def reads(batch: Iterable[ReadRequest]) -> list[Op]:
    """What is read for these, in order."""
    ops: list[Op] = []
    for request in batch:
        # The data comes first: names that are newer than the pzxid beside them are put right by the
        # event that is on its way, older ones would stay.
        ops.append(Op(GET_DATA, request.path))
        if request.listing:
            ops.append(Op(GET_CHILDREN, request.path))
    return ops


def one_by_one(batch: Iterable[ReadRequest]) -> list[int]:
    """The order in which `reads` are asked for one by one, each leaving a watch: a node's names before its
    data. What changes in between is told by the watch that the names left; the other way round a child that
    comes in between would be told by none, and its list's pzxid would stay behind."""
    order: list[int] = []
    for request in batch:
        at = len(order)
        order += [at + 1, at] if request.listing else [at]
    return order

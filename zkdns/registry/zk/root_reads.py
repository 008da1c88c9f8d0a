"""One root of the mirror: what it is read for, and what the replies tell.

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
from zkdns.registry.zk.heard import WatchEvent
from zkdns.registry.zk.marks import Marks
from zkdns.registry.zk.portion import Portion
from zkdns.registry.zk.read_plan import SHORT, ReadPlan, ReadRequest, lineage, mark
from zkdns.registry.zk.window import MAX_SERVICES
from zkdns.registry.zk.wire import (
    CHANGED,
    CHILD,
    DELETED,
    GET_CHILDREN,
    PERSISTENT,
    AddWatch,
    Node,
    Op,
    Reply,
    WatchedRead,
)

LONG_DRAIN: Final = 0.005
"""Seconds. Listing 50,000 names at each of many changes would take the whole machine: long work is followed
by a pause as long, in which what comes falls together."""

MAX_PAUSE_SECONDS: Final = 0.25
"""The longest of these."""


AS_SERVICES: Final = MAX_SERVICES // 4
"""A request for what no watch event told of counts as so many: while few are taken, no more are told."""


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
        self.services_sent = 0
        """As how many services the latest batch counts."""
        self._one_shot = False
        """Whether what is heard comes of watches that fire once."""
        self._marks = Marks(scope, self.plan, self._tell)
        self._portion = Portion()
        self._sent: deque[Sequence[ReadRequest]] = deque()
        """What is under way, in order."""
        self._next: ReadPlan | None = None
        self._announced: set[str] = set()
        self._watched_lists: set[str] = set()
        self._was_missing = False
        self._began = 0.0

    @property
    def due(self) -> bool:
        """Whether a watch event asked for something that is not begun."""
        # Between two pieces of work what is queued is what is ahead.
        return self.anew or bool(self._marks.long or (self._marks and self.work is Work.NONE))

    @property
    def begins_at(self) -> float:
        """When what is due may be begun."""
        return 0.0 if self._marks and not self.anew else self.not_before

    @property
    def more_went(self) -> bool:
        """Whether more went than is read."""
        return self.anew or bool(self._marks.went_from) or self._marks.heard.more_went

    @property
    def waits(self) -> bool:
        """Whether there may be something to send."""
        return self.work is not Work.NONE and bool(self._marks)

    @property
    def missing(self) -> bool:
        """Whether the root was not there, in what is under way."""
        return self._current.missing

    @property
    def _current(self) -> ReadPlan:
        return self.plan if self._next is None else self._next

    def drop(self) -> None:
        """The connection is gone, and whatever is under way with it."""
        self._marks.clear()
        self._finish()
        if self.in_flight:
            self._portion.lose()
        self.in_flight = 0
        self._sent.clear()
        self._watched_lists.clear()
        self.anew = False
        self.not_before = 0.0

    # --- work ---------------------------------------------------------------------------------------

    def read_whole(self, now: float) -> list[Event]:
        """Everything from nothing."""
        self.anew = False
        self._marks.clear()
        self._next = ReadPlan(self.scope)
        self._begin(Work.WHOLE, [ReadRequest(self.scope.root, True)], now)
        return [Begin()]

    def favour(self, paths: Iterable[str]) -> None:
        """Somebody asks for the service that these nodes are of: what is told of it is read first."""
        for path in paths:
            if names := self.scope.names(path):
                self._marks.ahead.favour(names[0], self.plan.made_by(names[0]))

    def read_again(self) -> None:
        """The root that was missing has appeared: on with the whole."""
        self._marks.queue_again(ReadRequest(self.scope.root, True))

    def drain(self, now: float) -> None:
        """What watch events marked; during a pause what of it is short."""
        self._begin(Work.DRAIN, (), now)
        if now >= self.not_before:
            self._marks.queue_long()

    def audit(self, requests: Iterable[ReadRequest], now: float) -> None:
        """A portion of what is known."""
        self._begin(Work.AUDIT, requests, now)

    def end(self, now: float) -> list[Event]:
        """All that the work asked for is read: what it makes known as a whole."""
        work, whole = self.work, self._next
        events: list[Event] = []
        if work is Work.WHOLE and whole is not None:
            self.plan = self._marks.plan = whole
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
        self._marks.queue(requests)

    def _finish(self) -> None:
        self.work, self._next = Work.NONE, None
        self._marks.end()

    # --- watch events and replies ---------------------------------------------------------------------

    def hear(self, events: Sequence[WatchEvent], one_shot: bool, at: float = 0.0) -> None:
        """Watch events, in order, and when they came."""
        self._one_shot = one_shot
        if self._may_overtake:
            self._marks.hear(events, one_shot, at)
        else:
            for event in events:
                self._tell(event, at, False)

    @property
    def _may_overtake(self) -> bool:
        """Whether what watch events ask for is read before what is queued."""
        return self.work in (Work.NONE, Work.DRAIN)

    def _tell(self, event: WatchEvent, at: float, is_list_marked: bool) -> None:
        self.watched(*event, at, is_list_marked)

    def watched(self, kind: int, path: str, at: float, is_list_marked: bool) -> None:
        """What one watch event asks for, and when it came. `is_list_marked`: whether the list of services is,
        or was read since."""
        requests = mark(self.scope, kind, path, self._one_shot, self.plan.is_long)
        if requests is None:
            self.anew = True
            return
        if path == self.scope.root and kind == CHANGED and self.work is Work.NONE and not self.due:
            self.plan.suspect()
        self._announced.update(request.path for request in requests)
        marks, may_overtake = self._marks, self._may_overtake
        if kind == DELETED:
            if (names := self.scope.names(path)) is not None and len(names) == 1:
                marks.ahead.forget(names[0])
            if may_overtake and not self._one_shot:
                marks.forget(path)
        if is_list_marked:
            was = requests
            requests = [one for one in requests if one not in (marks.list, marks.stat)]
            if kind == DELETED and was == [marks.list] and marks.list not in marks:
                # Its list was long when this came, and is not any more.
                requests = [ReadRequest(path, False)]
        if kind == DELETED or (self._one_shot and kind == CHILD):
            marks.went_from.update(one.path for one in requests if one.listing or one.path == path)
        (marks.mark if may_overtake else marks.mark_for_later)(requests, at)

    def next_batch(self, now: float, services: int = -1) -> list[ReadRequest]:
        """The next request's share of what waits; none where nothing is to be sent. `services`: of so many
        at most, where that is not below 0. A long read that was told of meanwhile joins in after a while, so
        that short ones without end don't keep it waiting."""
        is_draining = self.work is Work.DRAIN
        if is_draining and self._marks.long and now > self._began + MAX_PAUSE_SECONDS:
            self._began = now
            self._marks.queue_long()
        batch = self._marks.take(self._portion.reads, is_draining, services)
        self.services_sent = self._marks.services_taken if is_draining else AS_SERVICES
        if batch:
            self.in_flight += 1
            self._sent.append(batch)
        return batch

    def take_times(self, batch: Iterable[ReadRequest]) -> list[float]:
        """When watch events asked for what is sent now; 0 where none did."""
        return self._marks.take_times(batch)

    def list_watches(self, batch: Iterable[ReadRequest]) -> list[AddWatch | WatchedRead]:
        """What is sent before these are read: since 3.8.4 and 3.9.2 a server tells nothing of a node that we
        may not read (CVE-2024-23944), but those who watch a list are told that it changed."""
        watches: list[AddWatch | WatchedRead] = []
        for path, listing in batch:
            if listing and path == self.scope.root:
                # Before 3.9 a persistent watch would end the recursive one of the same path
                # (ZOOKEEPER-4466). That of getChildren stands in another table, and fires once.
                watches.append(WatchedRead(Op(GET_CHILDREN, path), False))
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
        if self._sent:
            self._sent.popleft()
        events: list[Event] = []
        each = iter(replies)
        plan, marks = self._current, self._marks
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
            if marks.went_from and request not in marks:
                marks.went_from.discard(request.path)  # else something went since it was sent
            news, more = plan.take(request, data, names, told_at)
            events += news
            is_ahead = self.work is Work.DRAIN and len(more) <= SHORT and marks.is_short(request)
            if more and self._sent:
                coming.update(*self._sent)
            for again in more:
                if again not in coming:  # else its reply is here or on its way, and not older than this one
                    marks.queue_again(again, is_ahead, told_at)
        self._portion.took(bytes_read)
        self.missed = []
        if self.work is Work.AUDIT and not self.anew:
            # A difference that no event announced by now is one that the watch missed.
            paths = (e.path for e in events if isinstance(e, OF_NODES) and not isinstance(e, Unreadable))
            self.missed = [path for path in paths if self._announced.isdisjoint(lineage(path))]
        return events

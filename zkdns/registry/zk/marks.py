"""What of one root is to be read, as watch events and lists ask for it, and what of it is next.

Rules: no I/O, no clock, no chance. A node is read after the list that names it, or with it. What is short
goes ahead, services in turn (`ahead`); what thousands of watch events ask for is told in their turns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from zkdns.registry.scope import Scope
from zkdns.registry.zk.ahead import Ahead
from zkdns.registry.zk.heard import Heard, WatchEvent
from zkdns.registry.zk.portion import BATCH_BYTES
from zkdns.registry.zk.read_plan import SHORT, ReadPlan, ReadRequest, child_of, parent_of
from zkdns.registry.zk.wire import size

MAX_SERVICES: Final = 16
"""Services of which one request reads what watch events marked. Whose is read next is chosen fairly here,
and all that was read before is published before: two requests of a hundred took a tenth of a second."""

TURN: Final = 4
"""Reads of what watch events said of one service that go into one request, before others have their turn."""

READS: Final = 6
"""So many reads of one service count as another one where it is told how much may be under way."""

EVENTS, ALL_EVENTS = 64, 256
"""So many watch events are told in a service's turn, and for one request: a millisecond."""

MAX_TRIES: Final = 5
"""A server whose listing and data disagree for ever must not hold us for ever."""

Tell: TypeAlias = Callable[[WatchEvent, float, bool], None]
"""Marks what a watch event asks for, which came at this time, and whether the list of services was marked."""


class Marks:
    """`plan`: what stands. `tell`: is given what was heard, as its turn comes."""

    def __init__(self, scope: Scope, plan: ReadPlan, tell: Tell) -> None:
        self.plan = plan
        self.long: dict[ReadRequest, None] = {}
        """What watch events marked and is long, or came while it could not be queued."""
        self.heard = Heard(child_of(scope.root, ""))
        """What watch events said, and is not told yet."""
        self.ahead = Ahead()
        """What they marked and is short, and whose they are: it waits for no end of what is long."""
        here = scope.at(scope.root)
        self.list = ReadRequest(scope.root, here is not None and here.lists)
        """What tells which services there are."""
        self.stat = ReadRequest(scope.root, False)
        """What tells when that changed, where its list is long and each of them is read by itself."""
        self.went_from: set[str] = set()
        """Lists that something went from, as watch events told, and that were not read since."""
        self.services_taken = 0
        """Of about how many services the latest batch is."""
        self._scope = scope
        self._tell = tell
        self._waiting: deque[ReadRequest] = deque()
        self._queued: set[ReadRequest] = set()
        """What is to be sent, each wherever it comes first."""
        self._tries: dict[ReadRequest, int] = {}
        self._told_at: dict[ReadRequest, float] = {}
        """When a watch event asked first for what is not sent yet."""

    def __bool__(self) -> bool:
        """Whether something is queued."""
        return bool(self._queued or self.heard)

    def __contains__(self, request: ReadRequest) -> bool:
        """Whether it is still to be read."""
        return request in self._queued or request in self.long

    def clear(self) -> None:
        """All is read anew, or nothing."""
        self.long.clear()
        self.heard.clear()
        self.end()

    def end(self) -> None:
        """All that was queued is read: what is left is for another time."""
        self.ahead.clear()
        self._waiting.clear()
        self._queued.clear()
        self._tries.clear()
        if not self.long:
            self.went_from.clear()
            self._told_at.clear()

    # --- in ---------------------------------------------------------------------------------------

    def queue(self, requests: Iterable[ReadRequest]) -> None:
        """These wait behind what does."""
        more = list(requests)
        self._waiting.extend(more)
        self._queued.update(more)

    def queue_long(self) -> None:
        """What is marked and long. What is short goes ahead, though it came while something else was read:
        among thousands that did, one would wait for all before it."""
        marked, self.long = self.long, {}
        long = []
        for request in marked:
            if self.is_short(request):
                self._put_ahead(request)
            else:
                long.append(request)
        self.queue(long)

    def queue_again(self, request: ReadRequest, is_ahead: bool = False, told_at: float = 0.0) -> None:
        """A reply asks for it."""
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

    def hear(self, events: Sequence[WatchEvent], one_shot: bool, at: float) -> None:
        """Watch events, in order, and when they came. What they ask for is told when their services have
        their turns; that a service came or went at once, for one list tells it of all of them."""
        news = self.heard.put(events, one_shot, at)
        for event in news.others:
            self._tell(event, at, False)
        for service in news.services:
            self._await(service)
        if news.comes or news.goes:
            is_long = self.plan.is_long and not one_shot
            self.mark([self.stat if is_long else self.list], at)
            if news.goes and not is_long:
                self.went_from.add(self.list.path)

    def mark(self, requests: Iterable[ReadRequest], at: float) -> None:
        """These are to be read as a watch event tells: a list before what is on it."""
        is_told_by_list = False
        for request in requests:
            self._tries.pop(request, None)  # it has a reason to be another
            if at:
                self._told_at.setdefault(request, at)
            length = self.plan.length(request.path)
            if self.is_short(request) or (length == -1 and request in self._queued):
                self._put_ahead(request)
                is_told_by_list = length != -1
            elif length is not None:
                self.long[request] = None
            elif not is_told_by_list:
                self._mark_unlisted(request)

    def _mark_unlisted(self, request: ReadRequest) -> None:
        """It is read with the list that is to tell of it, or is told by the one that is under way."""
        above = parent_of(request.path)
        while self.plan.length(above) is None:
            above = parent_of(above)
        listing = ReadRequest(above, True)
        if listing in self.long:
            self.long[request] = None
        elif listing in self._queued or above == self._scope.root:
            self._put_ahead(request)

    def mark_for_later(self, requests: Iterable[ReadRequest], at: float) -> None:
        """The same while nothing may overtake what is read."""
        for request in requests:
            if at:
                self._told_at.setdefault(request, at)
            self.long[request] = None

    def forget(self, path: str) -> None:
        """A node is gone, as its parent's list is to tell: what it holds is no more to be read."""
        for request in (ReadRequest(path, True), ReadRequest(path, False)):
            self._queued.discard(request)
            self.long.pop(request, None)
            self._told_at.pop(request, None)
        self.went_from.discard(path)

    def is_short(self, request: ReadRequest) -> bool:
        """Whether it is read at little cost. A node that was not listed yet is not read before its list."""
        length = self.plan.length(request.path)
        if length is None:
            return self.plan.is_apart(request.path)
        return (
            not request.listing or 0 <= length <= SHORT or (length == -1 and self.plan.is_apart(request.path))
        )

    def _await(self, service: str) -> None:
        self.ahead.put(service, self.plan.made_by(service), None)

    def _put_ahead(self, request: ReadRequest) -> None:
        self._queued.add(request)
        service = self._service_of(request)
        self.ahead.put(service, self.plan.made_by(service), request)

    def _service_of(self, request: ReadRequest) -> str:
        """The name of the node right below the root that it is, or is below; "" for the root itself."""
        names = self._scope.names(request.path)
        return names[0] if names else ""

    # --- out --------------------------------------------------------------------------------------

    def take(self, most: int, is_draining: bool, room: int = -1) -> list[ReadRequest]:
        """So many reads of what is next: half of them of what is short, the services in turn, and of what
        watch events marked no more than of `MAX_SERVICES`. None where what was heard asks for nothing, as far
        as it was told by now."""
        batch: list[ReadRequest] = []
        turn: deque[ReadRequest] = deque()
        """What waits of the service whose turn it is."""
        reads = length = events = 0
        are_many = is_draining and len(self._queued) + len(self.heard) > MAX_SERVICES
        services: set[str] = set()
        most_services = min(room, MAX_SERVICES) if room > 0 else MAX_SERVICES
        while self and reads < most and length < BATCH_BYTES:
            if not turn:
                if len(services) >= most_services or events >= ALL_EVENTS:
                    break
                is_half = 2 * reads >= most or 2 * len(services) >= most_services
                events += self._begin_turn(turn, bool(self.ahead) and not (is_half and self._waiting))
                continue
            request = turn.popleft()
            if request not in self._queued:
                continue  # it was read since, from the other queue
            self._queued.discard(request)
            batch.append(request)
            if are_many:
                services.add(self._service_of(request))
            length += size(request.path)
            reads += 1 + request.listing
        for request in turn:
            if request in self._queued:
                self._put_ahead(request)
        self.services_taken = max(len(services) or min(len(batch), MAX_SERVICES), len(batch) // READS)
        return batch

    def _begin_turn(self, turn: deque[ReadRequest], is_ahead: bool) -> int:
        """Whose turn it is, and what of that service goes into one request; how many events that told."""
        if is_ahead:
            service, request = self.ahead.take_next()
        else:
            request = self._waiting.popleft()
            service = self._service_of(request) if self.heard else ""
        if request is not None:
            turn.append(request)
        if service not in self.heard:
            return 0
        events = self.heard.take(service, EVENTS)
        for event, at in events:
            self._tell(event, at, True)
        if service in self.heard:
            self._await(service)
        turn.extend(self.ahead.take_of(service, TURN))
        if self.plan.is_long:
            if self.stat in self._queued and turn:
                turn.appendleft(self.stat)
        elif self.list in self._queued and any(self.plan.length(one.path) is None for one in turn):
            turn.appendleft(self.list)
        return len(events)

    def take_times(self, batch: Iterable[ReadRequest]) -> list[float]:
        """When watch events asked for what is sent now; 0 where none did."""
        if not self._told_at:
            return []
        return [self._told_at.pop(request, 0.0) for request in batch]

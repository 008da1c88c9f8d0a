"""What is asked of ZooKeeper, in which order, so that a copy of some subtrees stays true: the mirror's mind.

Rules: no I/O, no clock, no chance: connections, watch events and replies come in (`connected`, `lost`,
`watched`, `take`), requests and Events go out (`requests`, `events`), and `wake` says when to ask again.
What comes in must come in the connection's order: a client gets a watch event before it gets a reply that
shows the change (ZooKeeper Programmer's Guide, "Consistency Guarantees"). What goes out is in order, too:
the last word on each path is the truth.

Each connection starts anew: sync, one persistent recursive watch a root, read everything by multiRead, and
only then `Whole`; what the old reading said stands until then. A watch event marks a path dirty, and dirty
paths are read until none is left, so an event during a read forces another (kazoo #645). Servers before
3.6, and those whose events don't name the node, get one-shot watches. Now and then all is read again, and
what no event had told is counted as repaired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from zkdns.model import Event, Session
from zkdns.registry.scope import Scope
from zkdns.registry.zk.audit import NEVER, Audit
from zkdns.registry.zk.heard import WatchEvent
from zkdns.registry.zk.read_plan import one_by_one, reads
from zkdns.registry.zk.root_reads import RootReads, Work
from zkdns.registry.zk.under_way import Asked, Batch, UnderWay
from zkdns.registry.zk.window import Window
from zkdns.registry.zk.wire import (
    API_ERROR,
    BAD_ARGUMENTS,
    EXISTS,
    MARSHALLING,
    NO_CONNECTION,
    NO_NODE,
    UNIMPLEMENTED,
    AddWatch,
    MultiRead,
    Op,
    Request,
    Sync,
    WatchedRead,
)

IN_FLIGHT: Final = 2
"""Batches under way; the server's globalOutstandingLimit (1000) is shared by all its clients."""

MAX_FAILED_WATCHES: Final = 5
"""In a row, after which lists are watched one by one, as of a server that knows no recursive watch."""

MIN_RETRY_SECONDS: Final = 0.05
MAX_RETRY_SECONDS: Final = 1.0
"""Between two tries: each pause is twice the one before."""

OLD: Final = frozenset({UNIMPLEMENTED, MARSHALLING, BAD_ARGUMENTS, API_ERROR})
"""How servers before 3.6 refuse AddWatch and multiRead."""


class Reads:
    """`scopes`: what is followed. `chance`: 0 to 1. `warn`: told what an operator should know. `audit`: about
    how often, in seconds, all is read again at least. `patience`: seconds after which a reply will not come.
    `one_shot`: don't try persistent watches at all. `now` is seconds of any steady clock."""

    def __init__(
        self,
        scopes: Iterable[Scope],
        *,
        chance: Callable[[], float],
        warn: Callable[[str], None] = lambda text: None,
        audit: float = 300.0,
        patience: float = 20.0,
        one_shot: bool = False,
    ) -> None:
        self.one_shot = one_shot
        self.window = Window()
        """What waits here is in fair order, and what was told is not: no more is told than is taken."""
        self.count = self.repairs = self.resyncs = 0
        self._warn = warn
        self._audit = Audit(audit, chance)
        self._patience = patience
        self._roots = [RootReads(scope) for scope in scopes]
        self._is_told: dict[Scope, bool] = {}
        self._events: list[tuple[Scope, list[Event]]] = []
        self._under_way = UnderWay()
        self._batches = 0
        self._is_connected = False
        self._is_open = False
        """Whether the watches are set, and reading may go on."""
        self._unread: set[Scope] = set()
        """What is not whole yet on this connection."""
        self._retry_at = NEVER
        self._pause = 0.0
        self._failed_watches = 0
        self._tell_session(False)

    def follow(self, scopes: Iterable[Scope]) -> None:
        """These as well; before anything is connected."""
        more = [RootReads(scope) for scope in scopes]
        self._roots += more
        for root in more:
            self._tell_session(False, root)

    @property
    def nodes(self) -> int:
        return sum(len(root.plan) for root in list(self._roots))

    @property
    def more_went(self) -> bool:
        """Whether more went than was told of, as watch events say."""
        return any(root.more_went for root in self._roots)

    @property
    def audits(self) -> int:
        return self._audit.count

    @property
    def idle(self) -> bool:
        """Whether all that was told is read: nothing is under way or due but the next audit."""
        are_due = any(root.due or root.waits for root in self._roots)
        return self._is_open and not self._under_way and not are_due

    @property
    def is_current(self) -> bool:
        """Whether all was read on this connection."""
        return self._is_connected and not self._unread

    @property
    def wake(self) -> float:
        """When `requests` is to be asked even if nothing comes in."""
        due = min(self._retry_at, self._under_way.oldest + self._patience)
        is_idle = self._is_open
        for root in self._roots if self._is_open else ():
            if root.work is not Work.NONE:
                is_idle = False  # a reply wakes us, where there is room for no more
                if root.waits and self._batches < IN_FLIGHT and self.window.room:
                    due = 0.0
            elif root.due:
                due = min(due, root.begins_at)
        return min(due, self._audit.due) if is_idle else due

    # --- what comes in ------------------------------------------------------------------------------

    def connected(self, now: float) -> None:
        """There is a session, and a connection that knows no watches of ours yet."""
        self._is_connected = True
        self._start(now)

    def lost(self, now: float) -> None:
        """The connection is gone, and all that was asked with it."""
        opening = not self._is_open and self._under_way.is_adding_watches
        self._is_connected = False
        self._stop()
        if opening:
            # Proxies and other makes of server drop the connection at a request they don't know.
            self._count_failed_watch("connections are dropped")
        self._tell_session(False)

    def again(self, now: float) -> None:
        """Begin anew on this connection, after a pause that grows: what was read counts for nothing."""
        self._stop()
        if self._is_connected:
            self._pause = min(MAX_RETRY_SECONDS, 2 * self._pause + MIN_RETRY_SECONDS)
            self._retry_at = now + self._pause

    def watched(self, kind: int, path: str, at: float = 0.0) -> None:
        """A watch event: its type and path, and when it came, for those who ask how late what it tells of is
        told."""
        self.hear(((kind, path),), at)

    def hear(self, events: Sequence[WatchEvent], at: float = 0.0) -> None:
        """The same of some that came together, in order."""
        for root in self._roots:
            of_root = root.scope.root
            if own := [event for event in events if event[1].startswith(of_root)]:
                root.hear(own, self.one_shot, at)

    def favour(self, paths: Iterable[str]) -> None:
        """Somebody asks for the service that these nodes are of: what is told of it is read first."""
        for root in self._roots:
            root.favour(paths)

    def take(self, id: int, outcome: Any, now: float) -> None:
        """What came of a request (see `Request`). Of one of an earlier connection or beginning: nothing."""
        asked = self._under_way.end(id)
        if asked is None:
            return
        if (code := outcome if type(outcome) is int else 0) in NO_CONNECTION:
            self.again(now)
        elif asked.of_list:
            pass  # where it failed, the recursive watch and the audit tell
        elif isinstance(asked.what, AddWatch):
            self._take_watch(outcome, code, now)
        elif asked.root is not None:
            self._take_appearance(asked.root, code, now)
        elif asked.batch is not None and asked.at >= 0:
            asked.batch.replies[asked.at] = outcome
            asked.batch.left -= 1
            if not asked.batch.left:
                self._take_batch(asked.batch, now)
        elif asked.batch is not None and not code:
            asked.batch.replies = outcome
            self._take_batch(asked.batch, now)
        elif asked.batch is not None and code in OLD:
            self._fall_back(f"error {code} of multiRead", now)
        elif code:
            self.again(now)
        elif not self._is_open:
            self._open()

    # --- what goes out ------------------------------------------------------------------------------

    def events(self) -> list[tuple[Scope, list[Event]]]:
        """What was told since the last call."""
        events, self._events = self._events, []
        if events:
            self.window.tell(len(events))
        return events

    def requests(self, now: float) -> list[Request]:
        """What is to be sent now. To be asked after each thing that came in, and at `wake`."""
        if now >= self._retry_at:
            self._start(now)
        elif now - self._under_way.oldest >= self._patience:
            self.again(now)
        if self._is_open:
            for root in self._roots:
                if root.work is Work.NONE and root.due and now >= root.begins_at:
                    self._begin_work(root, now)
            self._begin_audit(now)
            waiting = [root for root in self._roots if root.waits]
            while waiting and self._batches < IN_FLIGHT and self.window.room:
                # In turns: a large root keeps nobody's change waiting.
                root = min(waiting, key=lambda r: r.in_flight)
                if not (self._send_batch(root, now) and root.waits):
                    waiting.remove(root)
            self.window.is_awaited = bool(waiting) and not self.window.room
        return self._under_way.take_outbox()

    # --- a connection -------------------------------------------------------------------------------

    def _start(self, now: float) -> None:
        self._stop()
        for root in self._roots:
            self._unread.add(root.scope)
            if not self.one_shot:
                self._under_way.ask(Asked(AddWatch(root.scope.root), now))
        self._under_way.ask(Asked(Sync(self._roots[0].scope.root if self._roots else "/"), now))

    def _stop(self) -> None:
        self._under_way.clear()
        self._batches = 0
        self.window.clear()
        self._is_open = False
        self._retry_at = NEVER
        self._audit.stop()
        for root in self._roots:
            root.drop()

    def _open(self) -> None:
        """The watches are set, and what is read from now on is not older than this moment."""
        self._is_open = True
        for root in self._roots:
            root.anew = True

    def _take_watch(self, outcome: Any, code: int, now: float) -> None:
        if outcome is True:
            self._failed_watches = 0
        elif not code or code in OLD:
            self._fall_back(f"error {code} of AddWatch" if code else "an empty reply to AddWatch", now)
        else:
            self._count_failed_watch(f"error {code} of AddWatch")
            self.again(now)

    def _count_failed_watch(self, why: str) -> None:
        self._failed_watches += 1
        if self._failed_watches >= MAX_FAILED_WATCHES:
            self._use_one_shot(f"this ZooKeeper knows no persistent watches ({why})")

    def _fall_back(self, why: str, now: float) -> None:
        self._use_one_shot(f"this ZooKeeper knows no persistent watches ({why})")
        self.again(now)

    def _use_one_shot(self, why: str) -> None:
        if not self.one_shot:
            self._warn(f"{why}: using one-shot watches")
        self.one_shot = True

    # --- work ---------------------------------------------------------------------------------------

    def _begin_work(self, root: RootReads, now: float) -> None:
        if root.anew:
            self._tell(root, root.read_whole(now))
        else:
            root.drain(now)

    def _send_batch(self, root: RootReads, now: float) -> bool:
        """Whether there was anything to send."""
        requests = root.next_batch(now, self.window.room)
        if not requests:
            if not (root.waits or root.in_flight):
                self._end_work(root, now)
            return False
        ops = reads(requests)
        self.count += len(ops)
        self._batches += 1
        batch = Batch(root, requests, [], len(ops), root.take_times(requests), root.services_sent)
        self.window.send(batch.services)
        if not self.one_shot:
            for what in root.list_watches(requests):
                self._under_way.ask(Asked(what, now, of_list=True))
            self._under_way.ask(Asked(MultiRead(tuple(ops)), now, batch))
            return True
        batch.replies = [NO_NODE] * len(ops)
        for at in one_by_one(requests):
            self._under_way.ask(Asked(WatchedRead(ops[at]), now, batch, at))
        return True

    def _take_batch(self, batch: Batch, now: float) -> None:
        root = batch.root
        self._batches -= 1
        events = root.take(batch.requests, batch.replies, batch.times)
        self.window.read(batch.services, bool(events))
        self._tell(root, events)
        if root.missed:
            self.repairs += len(root.missed)
            summary = f"the audit found {len(root.missed)} changes that no watch told"
            self._warn(f"{summary}, {root.missed[0]} first")
        if root.waits or root.in_flight:
            return
        if root.work is Work.WHOLE and root.missing and self.one_shot:
            # Nothing that was read left a watch; was it made in between?
            self._under_way.ask(Asked(WatchedRead(Op(EXISTS, root.scope.root)), now, root=root))
            return
        self._end_work(root, now)

    def _take_appearance(self, root: RootReads, code: int, now: float) -> None:
        if code:
            self._end_work(root, now)
        else:
            root.read_again()

    def _end_work(self, root: RootReads, now: float) -> None:
        work = root.work
        self._tell(root, root.end(now))
        if work is Work.AUDIT:
            self._audit.rest(now, self.nodes)
        if root.plan.masked and not self.one_shot:
            # ClickHouse Keeper does so (ClickHouse #115475): no event says what changed.
            self._use_one_shot("this ensemble's watch events name the watch and not the node")
            self.again(now)
        elif work is Work.WHOLE and root.scope in self._unread:
            self._unread.discard(root.scope)
            self._tell_session(True, root)
            if not self._unread:
                self.resyncs += 1
                self._pause = 0.0
                self._audit.plan(now, self.nodes)

    def _begin_audit(self, now: float) -> None:
        audit = self._audit
        if now < audit.due or any(root.work is not Work.NONE or root.due for root in self._roots):
            return
        if not audit.is_under_way:
            audit.begin(self._roots)
            if not self.one_shot:
                # Adding a watch that is there changes nothing; one that got lost is there again.
                for root in self._roots:
                    self._under_way.ask(Asked(AddWatch(root.scope.root), now))
        if (portion := audit.next(now, self.nodes)) is not None:
            root, requests = portion
            root.audit(requests, now)

    # --- events -------------------------------------------------------------------------------------

    def _tell(self, root: RootReads, events: list[Event]) -> None:
        if not events:
            return
        # What was read whole and that it is within reach are heard at once: between them it is out of reach.
        if self._events and self._events[-1][0] is root.scope:
            self._events[-1][1].extend(events)
        else:
            self._events.append((root.scope, [*events]))

    def _tell_session(self, is_connected: bool, only: RootReads | None = None) -> None:
        for root in self._roots if only is None else [only]:
            if self._is_told.get(root.scope) is not is_connected:
                self._is_told[root.scope] = is_connected
                self._tell(root, [Session(is_connected)])

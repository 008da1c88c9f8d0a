"""A live copy of some ZooKeeper subtrees, as a stream of events: the mirror.

Rules: a thread of its own does all the waiting and calls `emit`; kazoo's threads only put a note into
the inbox and never wait (kazoo #356, #381). One persistent recursive watch a root, all reads by
multiRead. Each connection starts anew: sync, watch, read everything, and only then `Whole`; what the
old reading said stands until then. An event marks a path dirty, and dirty paths are read until none is
left, so an event during a read forces another (kazoo #645). Servers before 3.6 get one-shot watches.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeAlias

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import KazooState, KeeperState

from zkdns.config import ZooKeeperSettings
from zkdns.model import Begin, Children, Data, Event, Session, Unreadable, Whole
from zkdns.registry.zk.acl import own_acl
from zkdns.registry.zk.connect import Reasons, close, complain, open_client
from zkdns.registry.zk.ephemerals import Ephemerals
from zkdns.registry.zk.read_plan import ReadPlan, ReadRequest, lineage, mark
from zkdns.registry.zk.reads import BATCH, Lost, Reads, Stopped
from zkdns.registry.zk.wire import adopt

log = logging.getLogger("zkdns.registry.zk")

Emit = Callable[[str, list[Event]], None]

Note: TypeAlias = tuple[int, str]
"""A watch event's type and path."""

WAKE: Note = (0, "")
CLOSE_WITHIN = 1.5
LONG_DRAIN = 0.005
DEAD_AFTER = 5.0


@dataclass(frozen=True, slots=True)
class Status:
    """How the mirror stands. `one_shot`: the server knows no persistent watches. `trouble`: kazoo's
    latest complaint, empty while connected. `refused`: a login failed, and is tried again seldom."""

    connected: bool
    session_id: int
    epoch: int
    reads: int
    audits: int
    audit_repairs: int
    resyncs: int
    restarts: int
    nodes: int
    last_zxid: int
    one_shot: bool
    trouble: str
    refused: bool = False


def take(inbox: queue.SimpleQueue[Note], timeout: float) -> list[Note]:
    """The notes that are there now, in order, waiting for the first at most `timeout` seconds.

    What comes while we look stays for the next time: a flood can't hold us here.
    """
    try:
        first = inbox.get(timeout=timeout) if timeout > 0 else inbox.get_nowait()
    except queue.Empty:
        return []
    return [first, *(inbox.get_nowait() for _ in range(inbox.qsize()))]


class Mirror:
    """`watchdog`: seconds without a connection after which kazoo's client is replaced (one that meets
    an ensemble with smaller zxids never connects again, kazoo #42). `audit`: about how often, in
    seconds, all is read again and compared. `one_shot`: don't try persistent watches at all."""

    def __init__(
        self,
        hosts: str,
        roots: tuple[str, ...],
        settings: ZooKeeperSettings,
        emit: Emit,
        *,
        watchdog: float = 30.0,
        audit: float = 300.0,
        one_shot: bool = False,
    ) -> None:
        self._hosts = hosts
        self._settings = settings
        self._emit = emit
        self._watchdog = watchdog
        self._audit_every = audit
        self._plans = {root: ReadPlan(root, one_shot) for root in roots}
        self._noticed: float | None = None
        self._inbox: queue.SimpleQueue[Note] = queue.SimpleQueue()
        self._dirty: dict[str, dict[ReadRequest, None]] = {root: {} for root in roots}
        self._anew: set[str] = set()
        self._told: dict[str, bool] = {}
        self._ephemerals = Ephemerals()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="zkdns-zookeeper", daemon=True)
        # Written by kazoo's connection thread alone; a reading compares `epoch` with its own.
        self._connected = False
        self._epoch = 0
        self._away_since = time.monotonic()
        self._client: KazooClient = None
        self._reasons = Reasons()
        self._reads = Reads(self._stopping, max(15.0, 2 * settings.session_timeout), one_shot)
        self._audit_at = float("inf")
        self._auditing: Iterator[tuple[str, list[ReadRequest]]] | None = None
        self._audits = self._repairs = self._resyncs = self._restarts = 0
        self._open()

    # --- what others call ---------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect and to follow; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """End the session (our held nodes go with it); takes about two seconds at most."""
        self._stopping.set()
        self._inbox.put(WAKE)
        if self._thread.is_alive():
            self._thread.join(CLOSE_WITHIN + 0.5)

    def hold(self, path: str, data: bytes) -> None:
        """Keep an ephemeral node with this data for as long as this runs; call again to change it."""
        self._ephemerals.hold(path, data)
        self._inbox.put(WAKE)

    def release(self, path: str) -> None:
        self._ephemerals.release(path)
        self._inbox.put(WAKE)

    def status(self) -> Status:
        client = self._client
        session = client.client_id if self._connected else None
        return Status(
            connected=self._connected,
            session_id=session[0] if session else 0,
            epoch=self._epoch,
            reads=self._reads.count,
            audits=self._audits,
            audit_repairs=self._repairs,
            resyncs=self._resyncs,
            restarts=self._restarts,
            nodes=sum(map(len, list(self._plans.values()))),
            last_zxid=client.last_zxid,
            one_shot=self._reads.one_shot,
            trouble="" if self._connected else self._reasons.latest,
            refused=self._reasons.refused,
        )

    def take_noticed(self) -> float:
        """When the first watch event came since the last call (perf_counter); now, where none did."""
        noticed, self._noticed = self._noticed, None
        return time.perf_counter() if noticed is None else noticed

    # --- kazoo's side: notes only -------------------------------------------------------------------

    def _note(self, kind: int, path: str) -> None:
        if self._noticed is None:
            self._noticed = time.perf_counter()
        self._inbox.put((kind, path))

    def _open(self) -> None:
        client, self._reasons = open_client(self._hosts, self._settings, self._reasons)
        client.default_acl = own_acl(self._settings)
        adopt(client, self._note)

        def listen(state: str) -> None:
            if client is not self._client:
                return
            self._epoch += 1
            if state != KazooState.CONNECTED and self._connected:
                self._away_since = time.monotonic()
            self._connected = state == KazooState.CONNECTED
            self._inbox.put(WAKE)

        client.add_listener(listen)
        self._client = self._reads.client = client
        self._connected = False
        self._epoch += 1
        self._away_since = time.monotonic()

    # --- the thread ---------------------------------------------------------------------------------

    def _work(self) -> None:
        pause = 0.0
        try:
            self._tell_session(False)
            self._client.start_async()
            while True:
                try:
                    self._sleep(pause)
                    pause = min(1.0, pause * 2 + 0.05)
                    epoch = self._reach()
                    self._resync(epoch)
                    self._reasons.latest = ""
                    pause = 0.0
                    self._follow(epoch)
                except (Lost, KazooException, KazooTimeoutError) as why:
                    log.debug("the reading ends: %r", why)
                    complain(self._client, why)
                    if not self._connected:
                        self._tell_session(False)
                except Stopped:
                    raise
                except Exception:
                    log.exception("the mirror of %s starts anew after an error of its own", self._hosts)
                    pause = 1.0
        except Stopped:
            pass
        finally:
            close(self._client, CLOSE_WITHIN)

    def _tell_session(self, connected: bool) -> None:
        for root in self._plans:
            if self._told.get(root) != connected:
                self._told[root] = connected
                self._emit(root, [Session(connected, time.time())])

    def _sleep(self, seconds: float) -> None:
        if self._stopping.wait(seconds) if seconds else self._stopping.is_set():
            raise Stopped

    def _reach(self) -> int:
        """Wait for a connection, whatever it takes; gives its epoch."""
        while True:
            epoch = self._epoch
            if self._connected:
                return epoch
            self._tell_session(False)
            away = time.monotonic() - self._away_since
            # A refused authentication, or an error in kazoo's own thread, ends its client for good.
            dead = self._client.client_state in (KeeperState.AUTH_FAILED, KeeperState.CLOSED)
            outrun = self._reasons.is_outrun(self._client, away, self._settings.session_timeout)
            if outrun or away > self._watchdog or (dead and away > min(self._watchdog, DEAD_AFTER)):
                if not self._reasons.refused:  # that was said already
                    log.warning("no ZooKeeper at %s for %.0f s: %s; trying with a new client",
                                self._hosts, away, self._reasons.latest or "no answer")  # fmt: skip
                close(self._client, CLOSE_WITHIN)
                self._sleep(0)
                self._restarts += 1
                self._open()
                self._client.start_async()
            self._gather(min(0.5, self._watchdog))

    def _gather(self, timeout: float) -> None:
        """Take what is in the inbox, waiting for the first note at most `timeout` seconds."""
        for kind, path in take(self._inbox, timeout):
            if kind:
                self._mark(kind, path)
        if self._stopping.is_set():
            raise Stopped

    def _mark(self, kind: int, path: str) -> None:
        self._ephemerals.notice(path)
        for root, dirty in self._dirty.items():
            requests = mark(root, kind, path, self._reads.one_shot)
            if requests is None:
                self._anew.add(root)
            else:
                dirty.update(dict.fromkeys(requests))

    # --- a connection -------------------------------------------------------------------------------

    def _same(self, epoch: int) -> None:
        if self._epoch != epoch:
            raise Lost("the connection changed")

    def _resync(self, epoch: int) -> None:
        self._reads.wait(self._client.sync_async(next(iter(self._plans), "/")))
        self._same(epoch)
        self._reads.watch(self._plans)
        self._same(epoch)
        self._gather(0)
        for dirty in self._dirty.values():
            dirty.clear()
        self._anew.clear()
        for root in self._plans:
            self._read_whole(root, epoch)
        self._resyncs += 1
        self._plan_audit()
        self._ephemerals.renew()

    def _read_whole(self, root: str, epoch: int) -> None:
        """One root from nothing. The old reading stands, here and in the fold, until the end."""
        self._emit(root, [Begin()])
        plan = ReadPlan(root, self._reads.one_shot)
        while True:
            self._reads.read(plan, [ReadRequest(root, True)], partial(self._emit, root))
            if not (plan.missing and self._reads.one_shot and self._reads.appeared(root)):
                break
        self._same(epoch)
        self._plans[root] = plan
        events: list[Event] = [Whole()]
        if not self._told.get(root):
            self._told[root] = True
            events.append(Session(True, time.time()))
        self._emit(root, events)

    def _follow(self, epoch: int) -> None:
        """Keep up, for as long as this connection lasts."""
        while True:
            self._same(epoch)
            now = time.monotonic()
            if self._ephemerals.next_due() <= now:
                self._ephemerals.keep(self._client, self._reads.wait, now)
            if now >= self._audit_at:
                self._audit()
            began = time.monotonic()
            if self._drain(epoch):
                # Listing 50,000 names at each of many changes would take the whole machine: a long
                # drain is followed by a pause as long, in which what comes falls together.
                if (took := time.monotonic() - began) > LONG_DRAIN:
                    self._sleep(min(took, 0.25))
            else:
                due = min(self._audit_at, self._ephemerals.next_due(), now + 10.0)
                self._gather(due - time.monotonic())

    def _drain(self, epoch: int) -> bool:
        """Read what is dirty now. False: nothing was."""
        self._gather(0)
        work = False
        for root in list(self._anew):
            self._anew.discard(root)
            self._dirty[root].clear()
            self._read_whole(root, epoch)
            work = True
        for root, dirty in list(self._dirty.items()):
            if dirty:
                self._dirty[root] = {}
                self._read_some(root, dirty, partial(self._emit, root))
                work = True
        return work

    def _read_some(
        self, root: str, requests: Iterable[ReadRequest], take: Callable[[list[Event]], None]
    ) -> None:
        plan = self._plans[root]
        was_missing = plan.missing
        self._reads.read(plan, requests, take)
        if plan.missing and not was_missing:
            self._anew.add(root)

    # --- the audit ----------------------------------------------------------------------------------

    def _plan_audit(self) -> None:
        self._auditing = None
        self._audit_at = time.monotonic() + self._audit_every * random.uniform(0.75, 1.25)

    def _audit(self) -> None:
        """Read one portion of everything again, and plan the next one."""
        if self._auditing is None:
            # Adding a watch that is there changes nothing; one that got lost is there again.
            self._reads.watch(self._plans)
            self._auditing = self._portions()
        portion = next(self._auditing, None)
        if portion is None:
            self._audits += 1
            self._plan_audit()
            return
        root, requests = portion
        self._read_some(root, requests, partial(self._repair, root))
        portions = sum(map(len, self._plans.values())) / len(requests) + 1
        self._audit_at = time.monotonic() + min(0.25, self._audit_every / 2 / portions)

    def _portions(self) -> Iterator[tuple[str, list[ReadRequest]]]:
        for root in self._plans:
            everything = self._plans[root].everything()
            while requests := list(islice(everything, BATCH // 2)):
                yield root, requests

    def _repair(self, root: str, events: list[Event]) -> None:
        # A client gets a watch event before it gets a reply that shows the change (ZooKeeper's ordering
        # guarantees), so a difference that no event announces by now is one that the watch missed.
        self._gather(0)
        announced = {request.path for request in self._dirty[root]}
        told = (event.path for event in events if isinstance(event, Children | Data | Unreadable))
        missed = [path for path in told if announced.isdisjoint(lineage(path))]
        if missed and root not in self._anew:
            self._repairs += len(missed)
            log.warning("the audit found %d changes that no watch told, %s first", len(missed), missed[0])
        self._emit(root, events)

"""A live copy of some ZooKeeper subtrees, as a stream of events: the mirror.

Rules: a thread of its own takes what kazoo's connection thread notes down, has `Reads` decide, sends what
that asks for and calls `emit`; kazoo's threads only put a note into the inbox and never wait (kazoo #356,
#381). Nobody waits for a single reply: what is under way is in `Reads`, and this thread sleeps until there
is a note or something is due.
"""

from __future__ import annotations

import logging
import queue
import random
import struct
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeAlias, TypeVar

from kazoo.client import KazooClient
from kazoo.protocol.states import KazooState, KeeperState
from msgspec import Struct

from zkdns.model import Event
from zkdns.registry.access import ZooKeeperSettings
from zkdns.registry.scope import Scope
from zkdns.registry.zk.acl import own_acl
from zkdns.registry.zk.adopt import adopt, cut, send
from zkdns.registry.zk.connect import Reasons, close, demand_login, hush, open_client
from zkdns.registry.zk.ephemerals import AWAY, Ephemerals, Kept
from zkdns.registry.zk.heard import WatchEvent
from zkdns.registry.zk.reads import Reads
from zkdns.registry.zk.wire import (
    CONNECTION_LOSS,
    LOGIN_REQUIRED,
    NO_NODE,
    MultiRead,
    Request,
    WatchedRead,
    decode,
    decode_all,
)

log = logging.getLogger("zkdns.registry.zk")

T = TypeVar("T")

Emit = Callable[[Scope, list[Event]], None]

Note: TypeAlias = Callable[[], None]
"""What is to be done on the mirror's thread."""

NOTES = 8
"""So many are taken before what is due is sent: a flood of watch events, some hundreds in each, keeps nothing
waiting."""

SILENT = 2.0
NO_ANSWER = "nothing answers there"
"""What is told of who accepts connections and says nothing, after so many seconds."""

CLOSE_WITHIN = 1.5
DEAD_AFTER = 5.0
LOOK_EVERY = 0.5
"""Seconds between two looks at a connection that is not there."""


class Status(Struct, frozen=True):
    """How the mirror stands. `one_shot`: the server knows no persistent watches. `trouble`: kazoo's
    latest complaint, empty while connected and let in. `refused`: a login failed, and is tried again
    seldom."""

    connected: bool
    session_id: int
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


def take(inbox: queue.SimpleQueue[T], timeout: float) -> list[T]:
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
    seconds, all is read again and compared at least. `one_shot`: don't try persistent watches at all.
    `for_people`: the nodes that it keeps are theirs, and so are its complaints."""

    def __init__(
        self,
        hosts: str,
        scopes: Iterable[Scope],
        settings: ZooKeeperSettings,
        emit: Emit,
        *,
        watchdog: float = 30.0,
        audit: float = 300.0,
        one_shot: bool = False,
        for_people: bool = False,
    ) -> None:
        self._hosts = hosts
        self._for_people = for_people
        self._settings = settings
        self._emit = dict.fromkeys(scopes, emit)
        self._watchdog = watchdog
        self._inbox: queue.SimpleQueue[Note] = queue.SimpleQueue()
        patience = max(15.0, 2 * settings.session_timeout)
        self._reads = Reads(
            self._emit,
            chance=random.random,
            warn=log.warning,
            audit=audit,
            patience=patience,
            one_shot=one_shot,
        )
        self._ephemerals = Ephemerals(hosts, log.warning, patience)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="zkdns-zookeeper", daemon=True)
        self.heard = 0
        """How often those who are told heard something."""
        self.taken: int | None = None
        """How much of that is in the answers, or nearly; None where nobody tells, and nothing waits."""
        self.is_awaiting = False
        """Whether more would be read if more were taken."""
        self._is_started = False
        self._connected = False
        self._away_since = time.monotonic()
        self._restarts = 0
        self._client: KazooClient = None
        self._reasons = Reasons(hosts)
        self._open()

    # --- what others call ---------------------------------------------------------------------------

    def follow(self, scopes: Iterable[Scope], emit: Emit) -> None:
        """Read these as well, for someone else, before it is started: one session carries all."""
        more = dict.fromkeys(scopes, emit)
        self._emit |= more
        self._reads.follow(more)

    def start(self) -> None:
        """Begin to connect and to follow; returns at once. Everyone for whom it reads may call it."""
        if not self._is_started:
            self._is_started = True
            self._thread.start()

    def stop(self) -> None:
        """End the session (our held nodes go with it); takes about two seconds at most."""
        self._stopping.set()
        self._inbox.put(_nothing)
        if self._thread.is_alive():
            self._thread.join(CLOSE_WITHIN + 0.5)

    def keep(self, path: str, data: bytes) -> None:
        """Keep an ephemeral node with this data for as long as this runs; call again to change it."""
        self.keep_as(Kept(path, data))

    def keep_as(self, kept: Kept) -> None:
        """The same, in someone's own way."""
        self._inbox.put(partial(self._ephemerals.keep, kept))

    def give_up(self, path: str) -> None:
        """Remove a node that was kept."""
        self._inbox.put(partial(self._ephemerals.give_up, path))

    def take(self) -> None:
        """All that was `heard` is in the answers, or nearly: more may be read. To be called by those who are
        told, at each of their turns."""
        self.taken = self.heard
        if self.is_awaiting:
            self._inbox.put(_nothing)

    def favour(self, paths: Iterable[str]) -> None:
        """Read first what is told of the service that these nodes are of: somebody asks for it."""
        self._inbox.put(partial(self._reads.favour, paths))

    def status(self) -> Status:
        client, mind = self._client, self._reads
        session = client.client_id if self._connected else None
        return Status(
            connected=self._connected,
            session_id=session[0] if session else 0,
            reads=mind.count,
            audits=mind.audits,
            audit_repairs=mind.repairs,
            resyncs=mind.resyncs,
            restarts=self._restarts,
            nodes=mind.nodes,
            last_zxid=client.last_zxid,
            one_shot=mind.one_shot,
            trouble="" if mind.is_current and not self._reasons.refused else self._trouble,
            refused=self._reasons.refused,
        )

    @property
    def _trouble(self) -> str:
        away = time.monotonic() - self._away_since
        return self._reasons.latest or (NO_ANSWER if not self._connected and away > SILENT else "")

    @property
    def more_went(self) -> bool:
        """Whether more went than was told of; to be asked by whom it tells."""
        return self._reads.more_went

    # --- kazoo's connection thread: notes only --------------------------------------------------------

    def _open(self) -> None:
        client, self._reasons = open_client(self._hosts, self._settings, self._reasons)
        if self._for_people:
            hush(client)
        else:
            client.default_acl = own_acl(self._settings)

        def note(events: list[WatchEvent]) -> None:
            self._inbox.put(partial(self._watched, client, events, time.perf_counter()))

        adopt(client, note)
        client.add_listener(lambda state: self._inbox.put(partial(self._turned, client, state)))
        self._client = client

    def _send(self, part: Reads | Ephemerals, request: Request) -> None:
        client = self._client

        def done(outcome: Any) -> None:
            # Decoding is for our own thread: kazoo's would answer its pings late.
            self._inbox.put(partial(self._replied, client, part, request, outcome))

        send(client, request.what, done)

    # --- the mirror's own thread ----------------------------------------------------------------------

    def _work(self) -> None:
        try:
            self._flush()
            self._client.start_async()
            while not self._stopping.is_set():
                self._take_notes(take(self._inbox, self._due() - time.monotonic()))
        finally:
            close(self._client, CLOSE_WITHIN)

    def _take_notes(self, notes: list[Note]) -> None:
        for first in range(0, len(notes) or 1, NOTES):
            for note in notes[first : first + NOTES]:
                self._guard(note)
            self._guard(self._look_after)
            self._guard(self._flush)

    def _guard(self, act: Note) -> None:
        """An error of ours costs what was read so far, and no more."""
        try:
            act()
        except Exception:
            log.exception("the mirror of %s starts anew after an error of its own", self._hosts)
            self._reads.again(time.monotonic())

    def _due(self) -> float:
        if not self._connected:
            return time.monotonic() + min(LOOK_EVERY, self._watchdog)
        return min(self._reads.wake, self._ephemerals.wake, time.monotonic() + 10.0)

    def _flush(self) -> None:
        """Send what is due and tell what came of the rest."""
        now = time.monotonic()
        window = self._reads.window
        taken = self.taken
        window.take(taken)
        for part in (self._reads, self._ephemerals):
            for request in part.requests(now):
                self._send(part, request)
        for scope, events in self._reads.events():
            self._emit[scope](scope, events)
        self.is_awaiting = window.is_awaited
        if window.is_awaited and self.taken != taken:  # in between, by somebody who saw that nothing waits
            self._inbox.put(_nothing)

    def _watched(self, client: KazooClient, events: list[WatchEvent], at: float) -> None:
        if client is self._client:
            self._ephemerals.watched([path for _, path in events])
            self._reads.hear(events, at)

    def _replied(self, client: KazooClient, part: Reads | Ephemerals, request: Request, outcome: Any) -> None:
        if client is not self._client:
            return
        if outcome == LOGIN_REQUIRED:
            demand_login(client)
        try:
            outcome = _decode(request.what, outcome)
        except struct.error as error:
            log.warning("%s sent a reply that is none (%s): connecting anew", self._hosts, error)
            cut(client)
            outcome = CONNECTION_LOSS
        resyncs = self._reads.resyncs
        part.take(request.id, outcome, time.monotonic())
        if self._reads.resyncs != resyncs:
            self._reasons.latest = ""

    def _turned(self, client: KazooClient, state: str) -> None:
        """The connection came or went."""
        if client is not self._client:
            return
        now = time.monotonic()
        if state == KazooState.CONNECTED:
            self._connected = True
            self._reads.connected(now)
            self._ephemerals.connected(client.client_id[0] if client.client_id else 0)
            return
        if self._connected:
            self._away_since = now
        self._connected = False
        self._reads.lost(now)
        self._ephemerals.lost()

    def _look_after(self) -> None:
        """Where there is no connection: that there will be one."""
        if self._connected:
            return
        away = time.monotonic() - self._away_since
        if away > AWAY:
            self._ephemerals.away(self._reasons.latest)
        # A refused authentication, or an error in kazoo's own thread, ends its client for good.
        dead = self._client.client_state in (KeeperState.AUTH_FAILED, KeeperState.CLOSED)
        outrun = self._reasons.is_outrun(self._client, away, self._settings.session_timeout)
        if outrun or away > self._watchdog or (dead and away > min(self._watchdog, DEAD_AFTER)):
            if not (self._reasons.refused or self._for_people):  # that was said already
                log.warning("no ZooKeeper at %s for %.0f s: %s; trying with a new client",
                            self._hosts, away, self._reasons.latest or "no answer")  # fmt: skip
            close(self._client, CLOSE_WITHIN)
            if not self._stopping.is_set():
                self._restarts += 1
                self._open()
                self._away_since = time.monotonic()
                self._client.start_async()


def _decode(what: Any, outcome: Any) -> Any:
    """What came of a request, as `Reads` and `Ephemerals` take it. `struct.error` where that is nothing."""
    if type(outcome) is int:
        return outcome
    match what:
        case WatchedRead(op, is_read):
            if not is_read:
                return True
            return NO_NODE if outcome is None else decode(op, outcome)  # kazoo's answer to EXISTS of nothing
        case MultiRead(ops):
            return decode_all(ops, outcome)
    return outcome


def _nothing() -> None:
    """A note that only wakes the thread."""

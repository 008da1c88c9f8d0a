"""The mirror's thread with a client of a few lines in kazoo's place: what a client says whose place another
has taken is for nobody, and what ends a connection."""

from __future__ import annotations

import logging
import struct
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from kazoo.protocol.states import KazooState, KeeperState

from support.mirrored import three_deep
from support.waiting import PATIENCE, eventually
from zkdns.model import Begin, Children, Event, Session, Whole
from zkdns.registry.access import ZooKeeperSettings
from zkdns.registry.scope import Scope
from zkdns.registry.zk import mirror
from zkdns.registry.zk.connect import TURNED_AWAY, Reasons, open_client
from zkdns.registry.zk.ephemerals import AWAY, Kept
from zkdns.registry.zk.heard import WatchEvent
from zkdns.registry.zk.window import MAX_SERVICES
from zkdns.registry.zk.wire import (
    CHANGED,
    CHILD,
    CREATED,
    DELETED,
    GET_DATA,
    LOGIN_REQUIRED,
    NO_NODE,
    MultiRead,
    Op,
    Sync,
    WatchedRead,
    What,
)

ROOT = "/services"
NODE = "/zkdns/servers/one"
WATCHDOG = 30.0
SESSION = 10.0
STAT = struct.Struct("!qqqqiiiqiiq")


class Client:
    """What the mirror uses of kazoo's. `sent`: what was asked, and who is told what comes of it."""

    default_acl = None
    last_zxid = 0

    def __init__(self, session: int) -> None:
        self.client_id = session, b""
        self.client_state = KeeperState.CONNECTING
        self.sent: list[tuple[What, Callable[[Any], None]]] = []
        self.note: Callable[[list[WatchEvent]], None] = lambda events: None
        self.tell: Callable[[str], None] = lambda state: None
        self.is_started = self.is_cut = False
        self.logger = logging.getLogger(f"test.client.{session}")

    def add_listener(self, tell: Callable[[str], None]) -> None:
        self.tell = tell

    def start_async(self) -> None:
        self.is_started = True

    def asked(self) -> list[What]:
        return [what for what, _ in self.sent]


def reply(what: What) -> Any:
    """What ZooKeeper says where no node is."""
    if isinstance(what, MultiRead):
        return b"".join(struct.pack("!iBii", -1, 0, NO_NODE, NO_NODE) for _ in what.ops), 0
    return NO_NODE if isinstance(what, WatchedRead) else True


class World:
    """The mirror of one root that is not there. `clients`: those that it had, the last is the one it has."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.clients: list[Client] = []
        self.closed: list[Client] = []
        self.events: list[Event] = []
        patch.setattr(mirror, "LOOK_EVERY", 0.005)
        patch.setattr(mirror, "time", SimpleNamespace(
            monotonic=lambda: self.now, time=time.time, perf_counter=lambda: self.now))  # fmt: skip
        patch.setattr(mirror, "open_client", self.open)
        patch.setattr(mirror, "adopt", lambda client, note: setattr(client, "note", note))
        patch.setattr(mirror, "send", lambda client, what, done: client.sent.append((what, done)))
        patch.setattr(mirror, "cut", lambda client: setattr(client, "is_cut", True))
        patch.setattr(mirror, "close", lambda client, within: self.closed.append(client))
        self.mirror = mirror.Mirror(
            "zk:2181",
            [three_deep(ROOT)],
            ZooKeeperSettings(session_timeout=SESSION),
            self.take,
            watchdog=WATCHDOG,
        )
        self.mirror.start()

    def open(self, hosts: str, settings: ZooKeeperSettings, reasons: Reasons) -> tuple[Client, Reasons]:
        reasons.begin()
        client = Client(len(self.clients) + 1)
        client.logger.filters[:] = [reasons]
        self.clients.append(client)
        return client, reasons

    def take(self, scope: Scope, events: list[Event]) -> None:
        self.events += events

    @property
    def client(self) -> Client:
        return self.clients[-1]

    def answer(self) -> None:
        """All that is asked now."""
        for what, done in [*self.client.sent]:
            self.client.sent.remove((what, done))
            done(reply(what))

    def wait(self, kind: type) -> Callable[[Any], None]:
        """Answer all but the first such request: who is told what comes of it."""

        def find() -> Callable[[Any], None] | None:
            for what, done in [*self.client.sent]:
                if isinstance(what, kind):
                    self.client.sent.remove((what, done))
                    return done
            self.answer()
            return None

        return eventually(find, pause=0.001)  # type: ignore[return-value]

    def connect(self) -> None:
        """A connection, and all that is asked on it read."""
        wholes = self.wholes
        self.client.tell(KazooState.CONNECTED)

        def is_whole() -> bool:
            self.answer()
            return self.wholes > wholes and not self.client.sent

        eventually(is_whole, pause=0.001)
        self.settle()

    def replace_client(self) -> None:
        """The connection goes, and none comes until the watchdog has another client."""
        before = self.client
        before.tell(KazooState.LOST)
        eventually(lambda: not self.mirror.status().connected, pause=0.001)
        self.now += WATCHDOG + 1
        eventually(lambda: self.client is not before and self.client.is_started, pause=0.001)

    def settle(self) -> None:
        """All that was noted until now has been looked at, and what came of it sent."""
        for _ in range(2):
            done = threading.Event()
            self.mirror._inbox.put(done.set)
            assert done.wait(PATIENCE)

    @property
    def wholes(self) -> int:
        return self.events.count(Whole())


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World(monkeypatch)
    yield world
    world.mirror.stop()


def test_a_root_that_is_not_there_is_whole(world: World) -> None:
    world.connect()
    kinds = [type(event) for event in world.events]
    assert kinds[:4] == [Session, Begin, Children, Whole]
    assert world.mirror.status().connected


def test_what_an_earlier_client_says_is_for_nobody(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Its end is told late, and so are events and replies that were under way: its watches are not those of
    the client that has its place."""
    world.connect()
    first = world.client
    first.note([(CHILD, ROOT)])
    late = world.wait(MultiRead)
    world.replace_client()
    world.connect()
    told = len(world.events)
    first.note([(CHANGED, ROOT)])
    first.tell(KazooState.LOST)
    late(LOGIN_REQUIRED)
    late((b"", 0))
    world.settle()
    assert world.events[told:] == []
    assert world.client.sent == []
    assert world.mirror.status().connected
    assert not first.is_cut
    assert "login" not in caplog.text
    assert "is none" not in caplog.text


def test_a_client_that_took_anothers_place_has_as_long_as_that_had(world: World) -> None:
    world.connect()
    world.replace_client()
    for seconds, clients in ((0, 2), (WATCHDOG - 1, 2), (2, 3), (WATCHDOG - 1, 3)):
        world.now += seconds
        world.settle()
        assert len(world.clients) == clients
        assert world.mirror.status().restarts == clients - 1
        assert world.closed == world.clients[:-1]


def test_an_end_that_is_told_twice_is_as_old_as_the_first_word_of_it(world: World) -> None:
    """kazoo tells that a connection is suspended, and later that its session is lost."""
    world.connect()
    world.client.tell(KazooState.SUSPENDED)
    world.settle()
    world.now += WATCHDOG - 1
    world.client.tell(KazooState.LOST)
    world.settle()
    assert len(world.clients) == 1
    world.now += 2
    world.settle()
    assert len(world.clients) == 2


@pytest.mark.parametrize("state", [KeeperState.AUTH_FAILED, KeeperState.CLOSED])
def test_a_client_that_is_dead_is_replaced_before_the_watchdogs_time_but_not_at_once(
    world: World, state: str
) -> None:
    """A login that is refused would be tried without a pause."""
    world.client.client_state = state
    for seconds, clients in ((0, 1), (mirror.DEAD_AFTER - 0.5, 1), (1, 2)):
        world.now += seconds
        world.settle()
        assert len(world.clients) == clients


def test_a_reply_is_waited_for_as_long_as_two_sessions(world: World) -> None:
    world.connect()
    world.client.note([(CHANGED, f"{ROOT}/web")])
    world.client.note([(CREATED, f"{ROOT}/web")])
    world.wait(MultiRead)
    for seconds, asked in ((2 * SESSION - 1, False), (2, False), (2, True)):
        world.now += seconds
        world.settle()
        assert (Sync(ROOT) in world.client.asked()) is asked


def test_people_are_told_that_nobody_is_within_reach_after_a_while(world: World) -> None:
    lines: list[str] = []
    world.mirror.keep_as(Kept(NODE, b"1", standby=True, said=lines.append))
    world.now += AWAY
    world.settle()
    assert lines == []
    world.now += 0.5
    world.settle()
    assert lines == ["ZooKeeper at zk:2181 is out of reach, trying on"]


def test_stopping_wakes_the_thread_that_waits_for_nothing(world: World) -> None:
    world.connect()
    world.mirror.stop()
    assert world.closed == [world.client]


def test_a_session_that_is_not_there_has_no_number(world: World) -> None:
    world.connect()
    assert world.mirror.status().session_id == 1
    world.client.tell(KazooState.SUSPENDED)
    world.settle()
    assert world.mirror.status().session_id == 0


def test_a_node_of_ours_is_looked_at_as_soon_as_a_watch_tells_of_it(world: World) -> None:
    world.connect()
    world.mirror.keep(NODE, b"1")
    session, _ = world.client.client_id
    world.wait(WatchedRead)(((b"\0\0\0\1" + b"1" + STAT.pack(1, 1, 0, 0, 0, 0, 0, session, 1, 0, 1)), 0))
    world.settle()
    assert world.client.sent == []
    world.client.note([(DELETED, NODE)])
    world.settle()
    assert world.client.asked() == [WatchedRead(Op(GET_DATA, NODE))]


def test_a_reply_that_is_none_ends_the_connection(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """What comes behind it can not be read either."""
    world.client.tell(KazooState.CONNECTED)
    world.wait(MultiRead)((b"\0\0\0", 0))
    eventually(lambda: world.client.is_cut, pause=0.001)
    assert caplog.text.count("a reply that is none") == 1
    assert world.wholes == 0


def test_an_old_trouble_is_not_told_of_a_new_loss(world: World) -> None:
    world.client.logger.warning("Connection refused")
    assert world.mirror.status().trouble == "Connection refused"
    world.connect()
    world.client.tell(KazooState.SUSPENDED)
    eventually(lambda: not world.mirror.status().connected, pause=0.001)
    assert world.mirror.status().trouble == ""


def test_a_trouble_is_told_until_all_is_read(world: World) -> None:
    """A member that is reached and answers nothing, or demands a login, is there for moments alone."""
    world.client.logger.warning("a login is demanded")
    world.client.tell(KazooState.CONNECTED)
    eventually(lambda: world.mirror.status().connected, pause=0.001)
    assert world.mirror.status().trouble == "a login is demanded"


def test_who_accepts_connections_and_says_nothing_is_told_of_after_a_while(world: World) -> None:
    assert world.mirror.status().trouble == ""
    world.now += mirror.SILENT + 1
    assert world.mirror.status().trouble == mirror.NO_ANSWER


def test_the_session_is_as_long_as_it_is_set() -> None:
    client, _ = open_client("127.0.0.1:1", ZooKeeperSettings(session_timeout=7.0))
    assert client._session_timeout == 7000


@pytest.mark.parametrize(
    ("away", "zxid", "turned", "is_outrun"),
    [(11, 1, TURNED_AWAY, True), (10, 1, TURNED_AWAY, False), (11, 0, TURNED_AWAY, False),
     (11, 1, TURNED_AWAY - 1, False)],
)  # fmt: skip
def test_a_client_is_outrun_that_is_turned_away_for_longer_than_its_session(
    away: float, zxid: int, turned: int, is_outrun: bool
) -> None:
    reasons = Reasons("zk:2181")
    for _ in range(turned):
        reasons.opened(False)
    client: Any = SimpleNamespace(last_zxid=zxid)
    assert reasons.is_outrun(client, away, 10.0) is is_outrun
    reasons.opened(True)
    reasons.opened(False)
    assert not reasons.is_outrun(client, away, 10.0)  # one answered: it was chance


def test_an_error_of_ours_has_all_read_anew(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """What it kept from being taken would be missed until the audit."""
    world.connect()
    broken = iter([True])
    take = world.take

    def raising(scope: Scope, events: list[Event]) -> None:
        if Whole() in events and next(broken, False):
            raise ZeroDivisionError("ours")
        take(scope, events)

    world.mirror._emit = dict.fromkeys(world.mirror._emit, raising)
    world.client.note([(CREATED, ROOT)])

    def is_whole() -> bool:
        world.now += 1.0
        world.mirror._inbox.put(lambda: None)
        world.answer()
        return world.wholes > 1

    eventually(is_whole, pause=0.001)
    assert "ZeroDivisionError" in caplog.text


def test_kazoos_equal_warnings_are_said_once_and_so_many_texts_are_remembered() -> None:
    reasons = Reasons("zk:2181")

    def passes(text: str) -> bool:
        return reasons.filter(logging.LogRecord("kazoo", logging.WARNING, "", 0, text, None, None))

    assert passes("refused")
    assert not passes("refused")
    for n in range(101):  # texts that name a moment, as some do, must not be kept for ever
        assert passes(f"refused at {n}")
    assert passes("refused")


def test_what_was_said_of_one_client_is_not_held_against_the_next() -> None:
    reasons = Reasons("zk:2181")
    for _ in range(TURNED_AWAY):
        reasons.opened(False)
    text = "AUTH_FAILED closing: the login was refused"
    reasons.filter(logging.LogRecord("kazoo", logging.WARNING, "", 0, text, None, None))
    client: Any = SimpleNamespace(last_zxid=1)
    assert (reasons.latest, reasons.refused) == ("the login was refused", True)
    assert reasons.is_outrun(client, 11.0, 10.0)
    reasons.begin()
    assert not reasons.refused
    assert not reasons.is_outrun(client, 11.0, 10.0)


def test_a_flood_of_watch_events_keeps_nothing_from_being_sent(world: World) -> None:
    """What is due goes out while many of them wait to be looked at."""
    world.connect()
    world.settle()
    sent: list[int] = []
    notes: list[Callable[[], None]] = [lambda: sent.append(len(world.client.sent))] * (5 * mirror.NOTES)
    notes[0] = partial(world.mirror._watched, world.client, [(CREATED, ROOT)], 0.0)  # type: ignore[arg-type]
    world.mirror._take_notes(notes)
    assert sent[0] == 0
    assert sent[mirror.NOTES] > 0


def test_while_nothing_of_much_that_was_told_is_taken_a_mirror_reads_nothing(world: World) -> None:
    world.connect()
    world.settle()
    window = world.mirror._reads.window
    world.mirror.take()
    window.take(0)
    window.send(MAX_SERVICES)
    window.read(MAX_SERVICES, True)
    world.client.note([(CREATED, ROOT)])
    window.tell(1)
    world.settle()
    assert not any(isinstance(what, MultiRead) for what, _ in world.client.sent)
    assert world.mirror.is_awaiting
    world.mirror.heard = 100
    world.mirror.take()
    world.settle()
    assert any(isinstance(what, MultiRead) for what, _ in world.client.sent)


def test_numbers_of_errors_are_left_out_of_what_is_told() -> None:
    reasons = Reasons("zk:2181")
    text = "Cannot resolve zk1: [Errno -2] Name or service not known"
    reasons.filter(logging.LogRecord("kazoo", logging.WARNING, "", 0, text, None, None))
    assert reasons.latest == "Cannot resolve zk1: Name or service not known"

"""The mirror's mind against an ensemble of a few lines: what it asks for, in which order, and what it does
when connections, replies and watches fail it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from support.mirrored import Reading, three_deep
from zkdns.model import OF_NODES, Begin, Children, Data, Event, Session, Unreadable, Whole
from zkdns.registry.scope import Scope
from zkdns.registry.zk import window
from zkdns.registry.zk.audit import Audit
from zkdns.registry.zk.marks import ALL_EVENTS, EVENTS, MAX_SERVICES, MAX_TRIES
from zkdns.registry.zk.portion import BATCH_BYTES, MAX_PATH_CHARACTERS, stand_in
from zkdns.registry.zk.portion import MAX_READS as BATCH
from zkdns.registry.zk.read_plan import SHORT, ReadRequest
from zkdns.registry.zk.reads import IN_FLIGHT, MAX_FAILED_WATCHES, Reads
from zkdns.registry.zk.root_reads import MAX_PAUSE_SECONDS, RootReads
from zkdns.registry.zk.wire import (
    CHANGED,
    CHILD,
    CONNECTION_LOSS,
    CREATED,
    DELETED,
    EXISTS,
    GET_CHILDREN,
    NO_AUTH,
    NO_NODE,
    UNIMPLEMENTED,
    AddWatch,
    MultiRead,
    Node,
    Op,
    Request,
    Sync,
    WatchedRead,
    size,
)

ROOT = "/services"


def watched_list(request: Request) -> str:
    """The path whose children's coming and going this asks to be told, "" for none."""
    match request.what:
        case AddWatch(path, 0) | WatchedRead(Op(8, path)):
            return path
    return ""


class World:
    """Nodes by path, an inbox of watch events, and the mind. `serve` answers what is asked, in order."""

    def __init__(self, *roots: str, size: int = 0, **options: Any) -> None:
        self.size = size
        """Of what a node holds, in bytes, at least."""
        self.now = 100.0
        self.zxid = 1
        self.nodes: dict[str, list[int]] = {}
        self.names: dict[str, dict[str, None]] = {}
        """By path, what stands right below."""
        self.told: list[tuple[str, Event]] = []
        self.heard: list[list[type]] = []
        self.sent: list[Request] = []
        self.warned: list[str] = []
        self.refused: set[str] = set()
        self.lists: list[str] = []
        self.scopes = [three_deep(root) for root in roots or (ROOT,)]
        self.reads = Reads(self.scopes, chance=lambda: 0.5, warn=self.warned.append, **options)
        self.views = {scope.root: Reading() for scope in self.scopes}
        self.next: dict[str, Reading] = {}

    def tell_list(self, path: str) -> None:
        """As servers do that hide what may not be read: those who watch the list are told, and none else."""
        if path in self.lists:
            self.reads.watched(CHILD, path)

    def put(self, path: str, *, tell: bool = True) -> None:
        parent, _, name = path.rpartition("/")
        if parent and parent not in self.nodes:
            self.put(parent, tell=tell)
        self.zxid += 1
        kind = CHANGED if path in self.nodes else CREATED
        if kind == CREATED:
            self.nodes[path] = [self.zxid, self.zxid, self.zxid]
            self.names.setdefault(parent, {})[name] = None
            if parent in self.nodes:
                self.nodes[parent][2] = self.zxid
        self.nodes[path][1] = self.zxid
        if tell:
            self.reads.watched(kind, path)

    def drop(self, path: str, *, tell: bool = True) -> None:
        self._lose(path)
        self.zxid += 1
        parent, _, name = path.rpartition("/")
        del self.names[parent][name]
        if parent in self.nodes:
            self.nodes[parent][2] = self.zxid
        if tell:
            self.reads.watched(DELETED, path)

    def _lose(self, path: str) -> None:
        for name in self.names.pop(path, ()):
            self._lose(f"{path}/{name}")
        del self.nodes[path]

    def poll(self) -> list[Request]:
        """What is asked now; what was told is kept. Watches of lists are set at once, where the mind has
        others beside them."""
        requests = []
        for request in self.reads.requests(self.now):
            if not self.reads.one_shot and (path := watched_list(request)):
                self.lists.append(path)
                self.give(request)
            else:
                requests.append(request)
        self.sent += requests
        for scope, events in self.reads.events():
            self.heard.append([type(event) for event in events])
            for event in events:
                self.told.append((scope.root, event))
                self._take(scope, event)
        return requests

    def _take(self, scope: Scope, event: Event) -> None:
        if isinstance(event, Begin):
            self.next[scope.root] = Reading()
        elif isinstance(event, Whole):
            self.views[scope.root] = self.next.pop(scope.root)
        elif not isinstance(event, Session):
            self.next.get(scope.root, self.views[scope.root]).fold(event)

    def answer(self, request: Request) -> Any:
        what = request.what
        if isinstance(what, AddWatch):
            return True
        if isinstance(what, Sync):
            return what.path
        if isinstance(what, MultiRead):
            return [self.read(op) for op in what.ops]
        assert isinstance(what, WatchedRead)
        return self.read(what.op)

    def give(self, *requests: Request) -> None:
        """What each asks for comes, as it stands now."""
        for request in requests:
            self.reads.take(request.id, self.answer(request), self.now)

    def read(self, op: Op) -> Any:
        if op.path in self.refused:
            return NO_AUTH
        if op.path not in self.nodes:
            return NO_NODE
        names = self.names.get(op.path, {})
        if op.type == GET_CHILDREN:
            return tuple(names)
        if op.type == EXISTS:
            return True
        czxid, mzxid, pzxid = self.nodes[op.path]
        return Node((b"%d" % mzxid).rjust(self.size), czxid, mzxid, pzxid, 0.0, 0, len(names))

    def serve(self, *, seconds: float = 0.0) -> None:
        """Answer all, at once, until nothing is asked any more."""
        self.now += seconds
        waiting = self.poll()
        for _ in range(10_000):
            if waiting:
                self.give(waiting.pop(0))
            elif self.reads.wake > self.now:
                return
            waiting += self.poll()
        raise AssertionError("it never ends")

    def connect(self) -> None:
        self.reads.connected(self.now)
        self.serve()

    @property
    def truth(self) -> dict[str, bytes | None]:
        return {
            path: (b"%d" % zxids[1]).rjust(self.size)
            for path, zxids in self.nodes.items()
            if path.startswith(ROOT)
        }

    @property
    def view(self) -> dict[str, bytes | None]:
        return self.views[ROOT].data

    def kinds(self) -> list[type]:
        return [type(event) for _, event in self.told]


def world_of_one(*roots: str, **options: Any) -> World:
    """One that is connected, and has read the one node `web/a`."""
    world = World(*roots, **options)
    world.put(f"{ROOT}/web/a")
    world.connect()
    return world


def test_a_connection_begins_with_watch_and_sync_and_is_whole_only_when_all_is_read() -> None:
    world = World()
    for n in range(150):
        world.put(f"{ROOT}/web/i{n}")
    world.reads.connected(world.now)
    first = world.poll()
    assert [type(request.what) for request in first] == [AddWatch, Sync]
    world.reads.take(first[0].id, True, world.now)
    assert world.poll() == []  # without the sync a member that lags would show the past
    world.reads.take(first[1].id, ROOT, world.now)
    world.serve()
    assert world.kinds()[:2] == [Session, Begin]
    assert world.kinds()[-2:] == [Whole, Session]
    assert world.kinds().count(Whole) == 1
    assert world.view == world.truth


def test_whole_and_within_reach_are_told_as_one() -> None:
    """Whoever hears them apart looks, in between, at a registry that is read and out of reach."""
    world = World(ROOT, "/other")
    world.put(f"{ROOT}/web/a")
    world.put("/other/db/a")
    world.connect()
    world.reads.lost(world.now)
    world.connect()
    ends = [kinds[-2:] for kinds in world.heard if Whole in kinds]
    assert ends == [[Whole, Session]] * 4


def test_changes_during_the_reading_are_read_after_it() -> None:
    world = World()
    world.put(f"{ROOT}/web/a")
    world.reads.connected(world.now)
    world.give(*world.poll())
    (batch,) = world.poll()
    old = world.answer(batch)
    world.put(f"{ROOT}/web/b")
    world.reads.take(batch.id, old, world.now)
    world.serve()
    assert world.view == world.truth


def test_replies_of_a_connection_that_is_gone_count_for_nothing() -> None:
    world = world_of_one()
    world.put(f"{ROOT}/web/a")
    (late,) = world.poll()
    stale = world.answer(late)
    world.reads.lost(world.now)
    world.poll()
    assert world.told[-1][1] == Session(False)
    world.put(f"{ROOT}/web/a", tell=False)
    world.reads.connected(world.now)
    world.reads.take(late.id, stale, world.now)
    world.serve()
    assert world.view == world.truth
    assert world.reads.resyncs == 2


def test_a_reading_that_a_reconnect_cuts_is_never_whole() -> None:
    world = World()
    for n in range(300):
        world.put(f"{ROOT}/web/i{n}")
    world.reads.connected(world.now)
    world.give(*world.poll())
    requests = world.poll()
    for _ in range(2):
        world.give(requests[0])
        requests = world.poll()
    world.reads.lost(world.now)
    world.drop(f"{ROOT}/web/i7", tell=False)
    world.reads.connected(world.now)
    first = world.poll()
    world.give(*requests)  # they come after all, and say how it stood before
    assert world.poll() == []
    assert Whole not in world.kinds()
    assert [type(request.what) for request in first] == [AddWatch, Sync]
    world.give(*first)
    world.serve()
    assert world.view == world.truth


def test_no_request_passes_the_size_that_a_server_takes() -> None:
    world = World()
    long = "x" * 8_000
    for n in range(200):
        world.put(f"{ROOT}/web/{long}{n}")
    world.connect()
    reads = [request.what for request in world.sent if isinstance(request.what, MultiRead)]
    assert all(sum(size(op.path) for op in what.ops[:-2]) <= 2 * BATCH_BYTES for what in reads)
    assert all(len(what.serialize()) < 512 * 1024 for what in reads)
    assert world.view == world.truth


def test_a_node_whose_name_a_server_takes_and_no_request_has_room_for_is_told_and_never_asked_for() -> None:
    world = World()
    room = MAX_PATH_CHARACTERS - len(f"{ROOT}/")
    last, beyond = "\uffee" * room, "\uffee" * (room + 1)
    fillers = [f"{'x' * (room - 3)}{n}" for n in range(BATCH_BYTES // room)]
    for filler in fillers:
        world.put(f"{ROOT}/{filler}")
    world.put(f"{ROOT}/{last}")
    world.put(f"{ROOT}/{beyond}/a")
    world.connect()
    told = f"{ROOT}/{stand_in(beyond)}"
    assert world.view[told] is None
    assert len(told) < 100
    assert world.view[f"{ROOT}/{last}"] is not None
    assert len(world.view) == 1 + len(fillers) + 1 + 1
    world.put(f"{ROOT}/{beyond}/a")  # written, and a node that comes below
    world.put(f"{ROOT}/{beyond}/b")
    world.put(f"{ROOT}/{beyond}")
    world.serve()
    asked = [what for request in world.sent if isinstance(what := request.what, MultiRead)]
    assert all(len(what.serialize()) < 1_000_000 for what in asked)
    paths = {op.path for what in asked for op in what.ops}
    assert max(map(len, paths)) == MAX_PATH_CHARACTERS
    assert told not in paths
    assert told not in {path for path, _ in world.reads._roots[0].plan.everything()}
    world.drop(f"{ROOT}/{beyond}")
    world.serve()
    assert told not in world.view


def test_what_is_told_of_names_that_no_system_makes_is_as_long_as_of_others() -> None:
    world = World()
    long = "N_x" * 30_000
    for n in range(50):
        world.put(f"{ROOT}/{n}{long}/a")
        world.put(f"{ROOT}/web/{n}{long}")
    world.connect()
    assert len(world.view) == 2 + 50 + 50
    assert max(map(len, world.view)) < 100


def test_no_request_has_many_more_reads_than_a_batch_where_each_node_has_a_list() -> None:
    world = World()
    for n in range(3 * BATCH):
        world.put(f"{ROOT}/s{n}/a")
    world.connect()
    reads = [request.what for request in world.sent if isinstance(request.what, MultiRead)]
    assert max(len(what.ops) for what in reads) <= BATCH + 1


def test_a_root_that_a_plain_read_finds_gone_is_read_whole_when_it_is_back() -> None:
    world = world_of_one()
    world.drop(ROOT, tell=False)
    world.reads.watched(CHANGED, f"{ROOT}/web")
    world.reads.watched(CHANGED, ROOT)
    before = world.kinds().count(Whole)
    world.serve()
    assert world.kinds().count(Whole) > before
    assert world.view == {}
    world.put(f"{ROOT}/web/b")
    world.serve()
    assert world.view == world.truth


def test_a_root_that_comes_and_goes_is_followed() -> None:
    world = World()
    world.connect()
    assert world.view == {}
    for _ in range(3):
        world.put(f"{ROOT}/web/a")
        world.serve(seconds=1)
        assert world.view == world.truth
        world.drop(ROOT)
        world.serve(seconds=1)
        assert world.view == {}


def test_a_service_deleted_and_made_again_at_once_has_its_new_data() -> None:
    world = world_of_one()
    world.drop(f"{ROOT}/web")
    (batch,) = world.poll()
    gone = world.answer(batch)
    world.put(f"{ROOT}/web/a")
    world.reads.take(batch.id, gone, world.now)
    world.serve(seconds=1)
    assert world.view == world.truth


def test_the_pzxid_of_a_list_is_told_although_its_names_are_the_same() -> None:
    world = world_of_one()
    world.put(f"{ROOT}/web/short", tell=False)
    world.drop(f"{ROOT}/web/short")
    told = len(world.told)
    world.serve(seconds=1)
    lists = [event for _, event in world.told[told:] if isinstance(event, Children)]
    assert lists == [Children(f"{ROOT}/web", ("a",), world.zxid)]


def test_two_roots_are_read_in_turns_and_a_large_one_keeps_nobody_waiting() -> None:
    world = World(ROOT, "/other")
    for n in range(2_000):
        world.put(f"{ROOT}/web/i{n}")
    world.put("/other/db/a")
    world.connect()
    wholes = [root for root, event in world.told if isinstance(event, Whole)]
    assert wholes == ["/other", ROOT]


def test_the_audit_finds_what_no_watch_told_and_counts_it_once() -> None:
    world = world_of_one(audit=100.0)
    world.put(f"{ROOT}/web/b", tell=False)
    world.serve(seconds=200)
    for _ in range(20):
        world.serve(seconds=1)
    assert world.view == world.truth
    assert world.reads.repairs > 0
    assert "no watch told" in world.warned[0]
    repairs = world.reads.repairs
    for _ in range(500):
        world.serve(seconds=1)
    assert world.reads.audits >= 3
    assert world.reads.repairs == repairs


def test_what_is_not_there_is_no_repair() -> None:
    """An ensemble that is new to us has no /zkdns/overrides and /zkdns/health."""
    world = world_of_one(ROOT, "/zkdns/overrides", audit=100.0)
    for _ in range(500):
        world.serve(seconds=1)
    assert world.reads.audits >= 3
    assert world.reads.repairs == 0
    assert world.warned == []


def test_a_change_that_a_watch_tells_while_the_audit_reads_is_no_repair() -> None:
    world = world_of_one(audit=100.0)
    world.now += 200
    requests = world.poll()
    (portion,) = [request for request in requests if isinstance(request.what, MultiRead)]
    world.put(f"{ROOT}/web/a")
    world.give(*requests)
    assert portion in requests
    world.serve(seconds=1)
    assert world.reads.repairs == 0
    assert world.view == world.truth


def test_a_root_that_went_and_came_while_the_audit_reads_is_no_repair() -> None:
    world = world_of_one(audit=100.0)
    world.now += 200
    requests = world.poll()
    world.drop(ROOT, tell=False)
    world.reads.watched(DELETED, ROOT)
    world.give(*requests)
    world.put(f"{ROOT}/web/b")
    world.serve(seconds=1)
    assert world.reads.repairs == 0
    assert world.view == world.truth


def test_what_comes_below_a_list_that_a_watch_told_of_while_the_audit_reads_is_no_repair() -> None:
    """A one-shot watch tells that a list is another, and not which of its nodes came."""
    world = world_of_one(audit=100.0, one_shot=True)
    world.now += 200
    requests = world.poll()
    world.put(f"{ROOT}/web/b", tell=False)
    world.reads.watched(CHILD, f"{ROOT}/web")
    world.give(*requests)
    world.serve(seconds=1)
    assert world.view == world.truth
    assert world.reads.repairs == 0


def test_an_audit_takes_about_half_of_the_time_until_the_next() -> None:
    audit = Audit(100.0, lambda: 0.5)
    nodes = 100_000
    audit.plan(0.0, nodes)
    portions = 2 * nodes / BATCH
    audit.rest(0.0, nodes)
    assert 0.4 * 100 < audit.due * portions <= 0.5 * 100


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    ("nodes", "every"), [(0, 30), (20, 30), (3_000, 30), (15_000, 150), (30_000, 300), (500_000, 300)]
)
def test_an_audit_is_planned_for_about_its_time_and_what_is_small_is_read_more_often(
    nodes: int, every: int, chance: float
) -> None:
    audit = Audit(300.0, lambda: chance)
    audit.plan(1000.0, nodes)
    assert 0.75 * every <= audit.due - 1000 <= 1.25 * every


def test_a_connection_that_swallows_watch_events_and_nothing_else_costs_no_more_than_its_audit() -> None:
    world = world_of_one(audit=300.0)
    for n in range(40):
        world.put(f"{ROOT}/web/n{n}", tell=False)
        late = 0
        while world.view != world.truth:
            world.serve(seconds=1)
            late += 1
        assert late <= 40
    assert world.reads.repairs >= 40


def test_a_reply_that_never_comes_has_everything_read_anew() -> None:
    world = world_of_one(patience=20.0)
    world.put(f"{ROOT}/web/a")
    assert len(world.poll()) == 1
    assert world.reads.wake <= world.now + 20
    world.now += 20
    assert world.poll() == []  # a pause first
    world.serve(seconds=1)
    assert world.reads.resyncs == 2
    assert world.view == world.truth


def told_one_shot(world: World) -> str:
    """What was warned of where it went over to one-shot watches, and has read all."""
    assert world.reads.one_shot
    assert world.view == world.truth
    (warning,) = world.warned
    return warning


@pytest.mark.parametrize("how", ["refused", "empty", "multiread", "dropped"])
def test_servers_that_know_no_persistent_watches_get_one_shot_ones(how: str) -> None:
    world = World()
    world.put(f"{ROOT}/web/a")
    plain = world.answer

    def old(request: Request) -> Any:
        if isinstance(request.what, AddWatch) and how in ("refused", "empty"):
            return UNIMPLEMENTED if how == "refused" else False
        if isinstance(request.what, MultiRead):
            return UNIMPLEMENTED
        return plain(request)

    world.answer = old  # type: ignore[method-assign]
    world.reads.connected(world.now)
    if how == "dropped":
        for _ in range(MAX_FAILED_WATCHES):
            world.poll()
            world.reads.lost(world.now)
            world.reads.connected(world.now)
    for _ in range(10):
        world.serve(seconds=1)
    assert "one-shot" in told_one_shot(world)
    tries = [request.what for request in world.sent if request.what == AddWatch(ROOT)]
    assert len(tries) == (MAX_FAILED_WATCHES if how == "dropped" else 1), "who says so is believed at once"


def test_a_child_that_comes_while_its_list_is_read_by_one_shot_watches_leaves_no_change_to_the_audit() -> (
    None
):
    world = World(one_shot=True)
    world.put(f"{ROOT}/web/a")
    world.reads.connected(world.now)
    watched: set[str] = set()
    came = False
    for _ in range(40):
        world.now += 1
        for request in world.poll():
            world.give(request)
            if not isinstance(request.what, WatchedRead):
                continue
            op = request.what.op
            if op.type == GET_CHILDREN:
                watched.add(op.path)  # the watch of a list fires once, for what comes after it was set
            if op.path == f"{ROOT}/web" and not came:
                came = True
                world.put(f"{ROOT}/web/b", tell=False)
                if op.path in watched:
                    watched.discard(op.path)
                    world.reads.watched(CHILD, op.path)
    assert came
    assert world.view == world.truth
    while not world.reads.audits:
        world.serve(seconds=100)
    assert world.reads.repairs == 0
    assert world.warned == []


def test_watch_events_that_name_the_watch_and_not_the_node_are_found_out() -> None:
    """ClickHouse Keeper (ClickHouse #115475)."""
    world = world_of_one()
    world.put(f"{ROOT}/web/b", tell=False)
    world.reads.watched(CHANGED, ROOT)
    for _ in range(5):
        world.serve(seconds=1)
    assert "name the watch" in told_one_shot(world)


def test_a_root_that_is_read_alone_may_be_written_twice_in_one_transaction() -> None:
    """As `/zookeeper/config` is by a reconfiguration: both events are its own."""
    world = World()
    world.scopes = [Scope(ROOT, [()])]
    world.reads = Reads(world.scopes, chance=lambda: 0.5, warn=world.warned.append)
    world.put(ROOT)
    world.connect()
    world.put(ROOT)
    world.serve(seconds=1)
    world.reads.watched(CHANGED, ROOT)
    world.serve(seconds=1)
    assert not world.reads.one_shot
    assert world.view == world.truth


def test_a_root_whose_data_really_changes_unmasks_nobody() -> None:
    world = world_of_one()
    for _ in range(3):
        world.put(ROOT)
        world.put(ROOT)
        world.serve(seconds=1)
        world.put(ROOT)
        world.serve(seconds=1)
    assert not world.reads.one_shot


def test_what_may_not_be_read_is_told_and_no_reason_to_ask_for_ever() -> None:
    world = World()
    world.put(f"{ROOT}/web/a")
    world.refused.add(f"{ROOT}/web")
    world.connect()
    assert [event for _, event in world.told if isinstance(event, Unreadable)] == [
        Unreadable(f"{ROOT}/web", "its ACL does not let us read it")
    ]
    world.refused.clear()
    world.put(f"{ROOT}/web")
    world.serve(seconds=1)
    assert world.view == world.truth


def test_what_may_be_read_again_or_no_more_is_no_change_that_a_watch_missed() -> None:
    """No event tells of another ACL: the audit does, and its count is for watches that got lost."""
    world = world_of_one()
    for path in (f"{ROOT}/web/a", f"{ROOT}/web", ROOT):
        for refused in ({path}, set()):
            world.refused = refused
            world.serve(seconds=400)
            world.serve(seconds=400)
            assert {one for one, data in world.view.items() if data is None} == refused
    assert world.view == world.truth
    assert world.reads.repairs == 0
    assert not world.warned


def test_a_root_that_may_be_read_again_is_read_whole_before_anything_of_it_counts() -> None:
    """Else what is read first would be served without the rest."""
    world = World()
    for n in range(300):
        world.put(f"{ROOT}/web/i{n}")
    world.refused.add(ROOT)
    world.connect()
    world.refused.clear()
    told = len(world.told)
    world.serve(seconds=400)
    assert [type(event) for _, event in world.told[told : told + 2]] == [Begin, Data]
    assert world.kinds()[-1] is Whole
    assert world.view == world.truth


def test_however_much_nodes_hold_a_reply_is_soon_through() -> None:
    """A reply of a hundred of them would be too much: here the connection ends in what is above a few."""
    mib = 1024 * 1024
    world = World(size=mib)
    for n in range(60):
        world.put(f"{ROOT}/web/i{n}")
    world.reads.connected(world.now)
    losses = most = 0
    while Whole not in world.kinds():
        world.now += 1
        for request in world.poll():
            reply = world.answer(request)
            held = sum(len(one.data) for one in reply if isinstance(one, Node)) if type(reply) is list else 0
            if held > 4 * mib:
                losses += 1
                assert losses <= 3, "what is asked next is less"
                world.reads.lost(world.now)
                world.reads.connected(world.now)
                break
            most = max(most, held)
            world.reads.take(request.id, reply, world.now)
    assert most <= 4 * mib


def test_a_lost_connection_that_one_reply_tells_is_tried_again_with_growing_pauses() -> None:
    world = World()
    world.put(f"{ROOT}/web/a")
    world.reads.connected(world.now)
    pauses = []
    for _ in range(6):
        (_, sync) = world.poll()
        world.reads.take(sync.id, CONNECTION_LOSS, world.now)
        assert world.poll() == []
        pauses.append(world.reads.wake - world.now)
        world.now = world.reads.wake
    assert pauses == sorted(pauses)
    assert pauses[0] < 0.1
    assert pauses[-1] == 1.0
    world.serve()
    assert world.view == world.truth


def test_while_nothing_happens_nothing_is_asked_before_the_audit() -> None:
    world = world_of_one(audit=100.0)
    assert world.reads.idle
    assert world.poll() == []
    assert world.now + 7.5 <= world.reads.wake <= world.now + 12.5


def test_events_of_data_are_told_once_for_each_change() -> None:
    world = world_of_one()
    told = len(world.told)
    for _ in range(3):
        world.reads.watched(CHANGED, f"{ROOT}/web/a")
        world.serve(seconds=1)
    assert world.told[told:] == []
    world.put(f"{ROOT}/web/a")
    world.serve(seconds=1)
    assert [type(event) for _, event in world.told[told:]] == [Data]


@pytest.mark.parametrize("service", ["web", "db"])
def test_what_may_not_be_read_comes_and_goes_without_an_event_of_its_own(service: str) -> None:
    world = world_of_one(audit=1e9)
    path = f"{ROOT}/{service}/secret"
    for _ in range(2):
        world.lists.clear()
        world.connect()  # another connection knows no watches
        world.refused.add(path)
        world.put(path, tell=False)
        world.tell_list(ROOT)
        world.tell_list(f"{ROOT}/{service}")
        world.serve(seconds=1)
        assert world.view == world.truth | {path: None}
        world.lists.remove(ROOT)  # what fires once is set again by whoever reads the list
        world.drop(path, tell=False)
        world.tell_list(f"{ROOT}/{service}")
        world.serve(seconds=1)
        assert world.view == world.truth
    world.drop(f"{ROOT}/{service}", tell=False)
    world.lists.append(ROOT)
    world.tell_list(ROOT)
    world.serve(seconds=1)
    assert world.view == world.truth
    assert ROOT in world.lists[world.lists.index(ROOT) + 1 :]


def test_a_list_whose_watch_is_refused_is_read_all_the_same() -> None:
    world = World()
    world.put(f"{ROOT}/web/a")
    world.reads.connected(world.now)
    for _ in range(20):
        for request in world.reads.requests(world.now):
            refused = isinstance(request.what, AddWatch) and watched_list(request)
            world.reads.take(request.id, UNIMPLEMENTED if refused else world.answer(request), world.now)
    assert world.reads.resyncs == 1
    assert not world.reads.one_shot


def test_what_was_asked_on_a_connection_that_went_is_not_asked_on_the_next() -> None:
    world = World()
    world.put(f"{ROOT}/web/a")
    world.reads.connected(world.now)
    world.reads.lost(world.now)  # before anything of it was sent
    world.reads.connected(world.now)
    assert [type(request.what) for request in world.poll()] == [AddWatch, Sync]


def test_after_a_reading_that_came_to_its_end_the_next_loss_is_tried_again_at_once() -> None:
    world = World()
    world.put(f"{ROOT}/web/a")
    pauses = []
    for losses in (4, 1):
        world.reads.connected(world.now)
        for _ in range(losses):
            (_, sync) = world.poll()
            world.reads.take(sync.id, CONNECTION_LOSS, world.now)
            pauses.append(world.reads.wake - world.now)
            world.now = world.reads.wake
        world.serve()
        assert world.view == world.truth
    assert pauses[3] > 5 * pauses[0]
    assert pauses[4] == pytest.approx(pauses[0])


def test_watches_that_fail_now_and_then_are_no_sign_of_an_old_server() -> None:
    """Only so many in a row are."""
    world = World()
    world.put(f"{ROOT}/web/a")
    for _ in range(4):
        for _ in range(MAX_FAILED_WATCHES - 1):
            world.reads.connected(world.now)
            (watch, _) = world.poll()
            world.reads.take(watch.id, -999, world.now)
        world.connect()
        assert world.view == world.truth
    assert not world.reads.one_shot


def test_each_read_and_each_repair_is_counted() -> None:
    world = World(audit=100.0)
    for n in range(5):
        world.put(f"{ROOT}/web/i{n}")
    world.connect()
    asked = sum(len(request.what.ops) for request in world.sent if isinstance(request.what, MultiRead))
    assert world.reads.count == asked >= 7
    for n in range(3):
        world.put(f"{ROOT}/web/i{n}", tell=False)
    for _ in range(200):
        world.serve(seconds=1)
    assert world.view == world.truth
    assert world.reads.repairs == 3


def test_the_audit_sets_the_watches_again_one_of_which_may_be_lost() -> None:
    world = world_of_one(audit=100.0)
    world.sent.clear()
    world.serve(seconds=200)
    assert AddWatch(ROOT) in [request.what for request in world.sent]


def test_connections_that_break_later_are_no_sign_of_an_old_server() -> None:
    """Lists are watched, too, all the time."""
    world = World()
    world.put(f"{ROOT}/web/a")
    for n in range(MAX_FAILED_WATCHES + 1):
        world.connect()
        world.put(f"{ROOT}/web{n}/a")
        requests = world.reads.requests(world.now)
        assert any(isinstance(request.what, AddWatch) for request in requests)
        world.reads.lost(world.now)
    assert not world.reads.one_shot
    assert world.warned == []


def test_connections_that_are_dropped_at_a_watch_are_those_of_an_old_server() -> None:
    """A proxy, or another make of server, says no more to a request that it doesn't know."""
    world = World()
    world.put(f"{ROOT}/web/a")
    for n in range(MAX_FAILED_WATCHES):
        assert not world.reads.one_shot, n
        world.reads.connected(world.now)
        assert world.poll()
        world.reads.lost(world.now)
    assert world.reads.one_shot
    world.connect()
    assert world.view == world.truth


def test_a_root_that_is_not_there_is_waited_for_by_a_one_shot_watch() -> None:
    world = World(one_shot=True)
    world.connect()
    assert WatchedRead(Op(EXISTS, ROOT)) in [request.what for request in world.sent]
    assert world.view == {}
    world.put(f"{ROOT}/web/a")
    world.serve()
    assert world.view == world.truth


def after_long_work(seconds: float, instances: int = 1) -> World:
    """One whose last reply took so long to be taken in."""
    world = World()
    for n in range(instances):
        world.put(f"{ROOT}/web/i{n}")
    world.put(f"{ROOT}/web/a")
    world.put(f"{ROOT}/small/a")
    world.connect()
    world.put(f"{ROOT}/web/a")
    (request,) = world.poll()
    world.now += seconds
    world.give(request)
    return world


def read_all_at_the_end_of_the_pause(world: World) -> None:
    assert world.poll() == []
    assert world.reads.wake == pytest.approx(world.now + 0.1)
    world.now = world.reads.wake
    world.serve()
    assert world.view == world.truth


def test_after_long_work_there_is_a_pause_and_its_end_is_a_moment_to_ask_at() -> None:
    world = after_long_work(0.1, SHORT)
    world.put(f"{ROOT}/web/b")
    read_all_at_the_end_of_the_pause(world)


def test_what_is_short_waits_for_no_pause_after_long_work_and_ends_none() -> None:
    world = after_long_work(0.1, SHORT)
    world.put(f"{ROOT}/web/b")
    assert world.poll() == []
    pause_ends = world.reads.wake
    world.put(f"{ROOT}/small/a")
    world.put(f"{ROOT}/small/b")
    assert world.reads.wake <= world.now
    world.serve()
    assert world.view == {p: d for p, d in world.truth.items() if p != f"{ROOT}/web/b"}
    assert world.reads.wake == pytest.approx(pause_ends)
    world.now = pause_ends
    world.serve()
    assert world.view == world.truth


def test_what_goes_in_a_pause_before_it_was_read_again_is_missed_at_its_end() -> None:
    """The list that tells of it is too long to be read in the pause."""
    world = after_long_work(0.1, SHORT)
    world.put(f"{ROOT}/web/a")
    world.drop(f"{ROOT}/web/a")
    read_all_at_the_end_of_the_pause(world)


def test_what_goes_while_it_waits_for_others_requests_leaves_no_reading_without_an_end() -> None:
    world = World("/a", "/b", ROOT)
    for n in range(SHORT + 1):
        world.put(f"{ROOT}/web/i{n}")
    world.put("/a/web/i")
    world.put("/b/web/i")
    world.connect()
    world.put("/a/web/i")
    world.put("/b/web/i")
    under_way = world.poll()
    assert len(under_way) == IN_FLIGHT
    world.put(f"{ROOT}/web/i0")
    assert world.poll() == []
    world.drop(f"{ROOT}/web/i0")
    world.give(*under_way)
    world.serve()
    assert world.view == world.truth


def of_batches(world: World, requests: list[Request]) -> list[str]:
    """The paths of the nodes that these read."""
    whats = [request.what for request in requests]
    return [op.path for what in whats if isinstance(what, MultiRead) for op in what.ops]


@pytest.mark.parametrize("is_new", [True, False])
def test_a_change_overtakes_what_is_left_to_read_of_a_large_service(is_new: bool) -> None:
    world = world_of_one()
    if not is_new:
        for n in range(10 * BATCH):
            world.put(f"{ROOT}/big/i{n}", tell=False)
        world.connect()
    for n in range(10 * BATCH):
        world.put(f"{ROOT}/big/i{n}")
    waiting = world.poll()
    while f"{ROOT}/big/i0" not in of_batches(world, world.sent):  # its list is read
        request = waiting.pop(0)
        world.give(request)
        waiting += world.poll()
    world.put(f"{ROOT}/web/a")
    world.put(f"{ROOT}/web/b")
    asked: list[str] = []
    for _ in range(4):
        request = waiting.pop(0)
        world.give(request)
        more = world.poll()
        asked += of_batches(world, more)
        waiting += more
    assert {f"{ROOT}/web/a", f"{ROOT}/web/b"} <= set(asked)
    assert len([path for path in asked if "/big/" in path]) >= BATCH, "the large one goes on meanwhile"
    world.give(*waiting)
    world.serve()
    assert world.view == world.truth


def services(number: int) -> World:
    """Read whole, with an instance each, and one called `web`."""
    world = world_of_one()
    for n in range(number):
        world.put(f"{ROOT}/s{n}/a", tell=False)
    world.connect()
    return world


def requests_until(world: World, path: str, waiting: list[Request]) -> int:
    """Requests that are answered before this is asked for, beside those that wait."""
    for count in range(1000):
        waiting += world.poll()
        if path in of_batches(world, waiting):
            return count
        world.give(waiting.pop(0))
    raise AssertionError(f"{path} is not read")


@pytest.mark.parametrize("number", [10 * BATCH, 40 * BATCH])
def test_a_change_amid_thousands_of_services_that_change_waits_for_none_of_them(number: int) -> None:
    world = services(number)
    waiting: list[Request] = []
    for n in range(number):
        world.put(f"{ROOT}/s{n}/a")
        if n == number // 2:
            waiting = world.poll()
    world.put(f"{ROOT}/web/a")
    assert requests_until(world, f"{ROOT}/web/a", waiting) <= 3


def hold(world: World) -> None:
    """As many services are under way as may be: nothing is read."""
    world.reads.window.take(0)
    world.reads.window.send(window.MAX_SERVICES)


def let_go(world: World) -> None:
    world.reads.window.read(window.MAX_SERVICES, False)
    world.reads.window.take(None)


def storm(world: World, number: int, asked_for: str = "") -> list[str]:
    """The data of so many services changes while nothing can be read, that of `web` in their midst; of which
    nodes is read, in which order, once it can."""
    hold(world)
    for n in range(number):
        if n == number // 2:
            world.put(f"{ROOT}/web/a")
        world.put(f"{ROOT}/s{n}/a")
    if asked_for:
        world.reads.favour([f"{ROOT}/{asked_for}"])
    let_go(world)
    before = len(world.sent)
    world.serve()
    assert world.view == world.truth
    return [op.path for request in world.sent[before:] for op in getattr(request.what, "ops", ())]


def test_of_thousands_of_services_that_change_in_one_moment_those_that_are_asked_for_are_read_first() -> None:
    number = 10 * BATCH
    world = services(number)
    assert storm(world, number).index(f"{ROOT}/web/a") > 0
    assert storm(world, number, asked_for="web")[0] == f"{ROOT}/web/a", "though it was asked for afterwards"
    assert storm(world, number)[0] == f"{ROOT}/web/a"
    world.drop(f"{ROOT}/web/a")
    world.drop(f"{ROOT}/web")
    world.put(f"{ROOT}/web/a")
    world.serve()
    assert storm(world, number).index(f"{ROOT}/web/a") > 0, "it is another one"


def test_services_that_one_transaction_made_wait_as_one_beside_another() -> None:
    """Whoever changes thousands at once made them by transactions of hundreds."""
    world = world_of_one()
    number, made_by = 20 * BATCH, 200
    for n in range(number):
        world.put(f"{ROOT}/s{n}/a", tell=False)
        world.nodes[f"{ROOT}/s{n}"][1] = 1000 + n // made_by
    world.connect()
    for _ in range(2):  # that their instances changed makes them no others
        assert storm(world, number).index(f"{ROOT}/web/a") <= 2 * number // made_by


def test_services_that_were_made_one_by_one_wait_as_a_few_beside_one_of_another_time() -> None:
    world = world_of_one()
    number = 40 * BATCH
    world.zxid = 10_000
    for n in range(number):
        world.put(f"{ROOT}/s{n}/a", tell=False)
    world.connect()
    assert storm(world, number).index(f"{ROOT}/web/a") <= number // 100


def told_apart(world: World, patch: pytest.MonkeyPatch) -> list[str]:
    """The paths of watch events as what they ask for is told."""
    paths: list[str] = []
    real = RootReads.watched

    def watched(self: Any, kind: int, path: str, *rest: Any) -> None:
        paths.append(path)
        real(self, kind, path, *rest)

    patch.setattr(RootReads, "watched", watched)
    return paths


def test_what_thousands_of_events_ask_for_is_told_in_their_services_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A change of somebody else's waits for what a few of them ask for, whether they are of one service or of
    many."""
    world = services(10 * BATCH)
    for n in range(10 * BATCH):
        world.put(f"{ROOT}/big/i{n}", tell=False)
    world.connect()
    world.reads.favour([f"{ROOT}/web"])
    told = told_apart(world, monkeypatch)
    for n in range(10 * BATCH):
        world.drop(f"{ROOT}/big/i{n}")
        world.drop(f"{ROOT}/s{n}/a")
        world.drop(f"{ROOT}/s{n}")
    world.put(f"{ROOT}/web/a")
    assert told == []
    waiting = world.poll()
    assert f"{ROOT}/web/a" in of_batches(world, waiting)
    assert len(told) <= 2 * (ALL_EVENTS + EVENTS)
    world.give(*waiting)
    world.serve()
    assert world.view == world.truth
    assert world.reads.idle


def test_what_goes_without_an_end_in_one_service_keeps_no_other_root_from_being_read() -> None:
    world = World(ROOT, "/other")
    for n in range(20 * ALL_EVENTS):
        world.put(f"{ROOT}/big/i{n}")
    world.put("/other/web/a")
    world.connect()
    for n in range(20 * ALL_EVENTS):
        world.drop(f"{ROOT}/big/i{n}")
    assert world.poll() == [], "its list is long"
    world.put("/other/web/a")
    waiting = world.poll()
    assert "/other/web/a" in of_batches(world, waiting)
    assert world.reads.wake <= world.now, "what is left of the events goes on"
    world.give(*waiting)
    world.serve()
    assert world.view == world.truth


def test_it_is_not_idle_while_events_are_left_to_be_told() -> None:
    world = world_of_one()
    for n in range(2 * ALL_EVENTS):
        world.reads.watched(CHANGED, f"{ROOT}/web/gone{n}")
    assert world.poll() == []
    assert not world.reads.idle
    world.serve()
    assert world.reads.idle


@pytest.mark.parametrize("number", [2 * BATCH, 2 * SHORT])
def test_what_thousands_register_is_read_once(number: int) -> None:
    world = services(number)
    world.sent.clear()
    for n in range(number):
        world.put(f"{ROOT}/new{n}/a")
    world.serve()
    assert world.view == world.truth
    often = [op.path for op, count in Counter(read_ops(world)).items() if count > 1]
    assert often in ([], [ROOT] * 2)


def test_what_came_and_went_as_often_as_a_list_is_read_is_read_when_it_comes_again() -> None:
    """An event is a reason of its own; what has none may be a list and data that disagree for ever."""
    world = world_of_one()
    names = [f"{ROOT}/new{n}" for n in range(2 * BATCH)]
    world.reads._roots[0]._marks._tries.update((ReadRequest(name, True), MAX_TRIES) for name in names)
    for name in names:
        world.put(f"{name}/a")
    world.serve()
    assert world.view == world.truth


def test_what_changes_amid_thousands_while_something_else_is_read_goes_before_them_as_well() -> None:
    number = 10 * BATCH
    world = services(number)
    world.reads.favour([f"{ROOT}/web"])
    world.now += 1000
    waiting = world.poll()
    assert of_batches(world, waiting), "a portion of the audit is under way"
    for n in range(number):
        world.put(f"{ROOT}/s{n}/a")
    world.put(f"{ROOT}/web/a")
    assert requests_until(world, f"{ROOT}/web/a", waiting) <= 3


def test_of_thousands_that_change_one_request_reads_some_services_and_all_instances_of_few() -> None:
    number = 10 * BATCH
    world = services(number)
    before = len(world.sent)
    storm(world, number)
    assert max(len(of_batches(world, [request])) for request in world.sent[before:]) == MAX_SERVICES
    for n in range(number):
        world.put(f"{ROOT}/web/i{n}", tell=False)
    world.connect()
    for n in range(number):
        world.put(f"{ROOT}/web/i{n}")
    before = len(world.sent)
    world.serve()
    assert max(len(of_batches(world, [request])) for request in world.sent[before:]) == BATCH


def test_a_list_is_read_amid_thousands_that_change() -> None:
    number = 10 * BATCH
    world = services(number)
    hold(world)
    for n in range(number):
        world.put(f"{ROOT}/s{n}/a")
    world.put(f"{ROOT}/new/a")
    let_go(world)
    assert requests_until(world, f"{ROOT}/new/a", []) <= 4


def test_those_that_are_asked_for_take_turns_and_keep_no_others_from_being_read() -> None:
    number = 2 * BATCH
    world = services(number)
    many = {f"{ROOT}/s{n}/a" for n in range(0, number, 2)}
    world.reads.favour([*many, "/elsewhere/web", ROOT])
    order = storm(world, number)
    begun = [path in many for path in order[:40]]
    assert 0 < begun.count(False) < begun.count(True)


def test_what_is_left_to_read_of_nodes_that_are_gone_is_not_read() -> None:
    world = services(10 * BATCH)
    before = world.reads.count
    for n in range(10 * BATCH):
        world.drop(f"{ROOT}/s{n}/a")
        world.drop(f"{ROOT}/s{n}")
    world.serve()
    assert world.view == world.truth
    assert world.reads.count - before <= 11 * BATCH, "each of them, and nothing that stood below"


@pytest.mark.parametrize("left", [SHORT // 2, 3 * SHORT])
def test_of_a_long_list_each_that_comes_or_goes_is_told_by_its_own_reading(left: int) -> None:
    """Of a list that is long still when that is read, or is not any more."""
    number = 4 * SHORT
    world = services(number)
    told = len(world.told)
    hold(world)
    for n in range(left, number):
        world.drop(f"{ROOT}/s{n}/a")
        world.drop(f"{ROOT}/s{n}")
        world.put(f"{ROOT}/n{n}/a")
        world.drop(f"{ROOT}/n{n}/a")
        world.drop(f"{ROOT}/n{n}")
    for n in range(left // 2):
        world.put(f"{ROOT}/more{n}/a")
    world.tell_list(ROOT)
    let_go(world)
    world.serve()
    assert world.view == world.truth
    lists = [e for _, e in world.told[told:] if isinstance(e, Children) and e.path == ROOT]
    assert all(len(e.names) <= SHORT for e in lists)
    assert world.reads.idle
    assert not world.reads.repairs


@pytest.mark.parametrize(("of", "most"), [("s{}/a", 2 * window.MAX_SERVICES), ("big/i{}", 3 * BATCH)])
def test_of_what_changes_no_more_is_read_than_the_answers_take_in(of: str, most: int) -> None:
    """Of one service more than of many."""
    world = services(10 * BATCH)
    for n in range(10 * BATCH):
        world.put(f"{ROOT}/big/i{n}", tell=False)
    world.connect()
    world.serve()
    before = len(world.told)
    hold(world)
    for n in range(10 * BATCH):
        world.put(f"{ROOT}/{of.format(n)}")
    world.reads.window.read(window.MAX_SERVICES, False)
    world.give(*world.poll())
    world.reads.window.take(len(world.told))
    while waiting := world.poll():
        world.give(*waiting)
    assert 0 < len(world.told) - before <= most
    world.reads.window.take(len(world.told))
    assert world.poll(), "what was told is taken"


def test_short_changes_that_never_end_do_not_keep_a_long_list_from_being_read() -> None:
    world = World()
    for n in range(SHORT + 1):
        world.put(f"{ROOT}/web/i{n}")
    world.put(f"{ROOT}/small/a")
    world.connect()
    world.put(f"{ROOT}/small/a")
    waiting = world.poll()
    world.put(f"{ROOT}/web/b")
    for _ in range(20):
        world.put(f"{ROOT}/small/a")
        request = waiting.pop(0)
        world.now += MAX_PAUSE_SECONDS / 5
        waiting += world.poll()
        world.give(request)
        waiting += world.poll()
    assert waiting, "there was always something to read"
    assert f"{ROOT}/web/b" in world.view


def test_while_as_many_are_under_way_as_may_be_no_more_is_read_and_afterwards_all() -> None:
    world = world_of_one()
    hold(world)
    world.put(f"{ROOT}/web/b")
    assert world.poll() == []
    let_go(world)
    world.serve()
    assert world.view == world.truth


def test_the_pause_after_long_work_has_a_bound_and_a_new_connection_waits_for_none() -> None:
    world = after_long_work(10.0)
    world.put(f"{ROOT}/web/b")
    assert world.reads.wake <= world.now + MAX_PAUSE_SECONDS
    world.reads.lost(world.now)
    world.connect()
    assert world.view == world.truth


def test_without_a_connection_nothing_is_asked_whatever_goes_wrong() -> None:
    world = world_of_one()
    world.reads.lost(world.now)
    world.reads.again(world.now)
    world.sent.clear()
    world.serve(seconds=100)
    assert world.sent == []
    world.connect()
    assert world.view == world.truth


def test_it_is_idle_only_when_all_that_was_told_is_read() -> None:
    world = World()
    world.put(f"{ROOT}/web/a")
    world.reads.connected(world.now)
    assert not world.reads.idle
    world.serve()
    assert world.reads.idle
    world.put(f"{ROOT}/web/a")
    assert not world.reads.idle, "it is due"
    (request,) = world.poll()
    assert not world.reads.idle, "it is under way"
    world.give(request)
    assert world.reads.idle


def test_a_server_whose_list_and_data_disagree_for_ever_is_not_asked_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.put(f"{ROOT}/web/a")
    real = world.read

    def read(op: Op) -> Any:
        reply = real(op)
        return (*reply, "ghost") if (op.type, op.path) == (GET_CHILDREN, f"{ROOT}/web") else reply

    monkeypatch.setattr(world, "read", read)
    world.connect()
    assert world.reads.idle
    assert f"{ROOT}/web/a" in world.view


def read_ops(world: World) -> list[Op]:
    return [op for request in world.sent if isinstance(request.what, MultiRead) for op in request.what.ops]


def test_what_comes_is_read_once_though_its_list_and_an_event_name_it() -> None:
    world = world_of_one()
    world.sent.clear()
    world.put(f"{ROOT}/web/b")
    world.put(f"{ROOT}/db/a")
    world.serve()
    assert world.view == world.truth
    ops = read_ops(world)
    assert len(ops) == len(set(ops))


def test_what_was_told_before_all_is_read_is_not_read_again() -> None:
    world = World()
    world.put(f"{ROOT}/web/a")
    world.reads.connected(world.now)
    waiting = world.poll()
    world.put(f"{ROOT}/web/b")
    world.give(*waiting)
    world.serve()
    assert world.view == world.truth
    ops = read_ops(world)
    assert len(ops) == len(set(ops))


def test_until_each_list_that_something_went_from_is_read_more_went_than_is_told() -> None:
    world = world_of_one()
    for name in ("web/b", "db/a"):
        world.put(f"{ROOT}/{name}")
    world.serve()
    assert not world.reads.more_went, "nothing went"
    world.drop(f"{ROOT}/web/a")
    (first,) = world.poll()
    world.drop(f"{ROOT}/web/b")
    world.drop(f"{ROOT}/db/a")
    world.give(first)
    (second,) = world.poll()
    assert world.heard[-1] == [Children]
    assert world.reads.more_went
    world.drop(f"{ROOT}/db")
    world.give(second)
    assert world.reads.more_went, "it went after that was sent"
    world.serve()
    assert not world.reads.more_went


def test_a_server_that_tells_lists_alone_tells_by_these_that_more_went() -> None:
    world = world_of_one(one_shot=True)
    world.drop(f"{ROOT}/web/a", tell=False)
    world.reads.watched(CHILD, f"{ROOT}/web")
    assert world.reads.more_went
    world.serve()
    assert not world.reads.more_went


def test_a_connection_that_is_lost_tells_nothing_of_what_went() -> None:
    world = world_of_one()
    world.drop(f"{ROOT}/web/a")
    world.reads.lost(world.now)
    assert not world.reads.more_went


def test_what_is_read_bears_when_a_watch_event_told_of_it_first() -> None:
    world = world_of_one()
    assert {event.told_at for _, event in world.told if isinstance(event, OF_NODES)} == {0.0}, "none told"
    world.told.clear()
    world.put(f"{ROOT}/web/a", tell=False)
    for at in (5.0, 6.0):
        world.reads.watched(CHANGED, f"{ROOT}/web/a", at)
    (first,) = world.poll()
    world.put(f"{ROOT}/web/a", tell=False)
    world.reads.watched(CHANGED, f"{ROOT}/web/a", 7.0)  # that was sent already
    (second,) = world.poll()
    world.put(f"{ROOT}/web/b", tell=False)
    world.reads.watched(CREATED, f"{ROOT}/web/b", 8.0)
    world.give(first, second)
    world.put(f"{ROOT}/web/a")  # when, nobody says
    world.serve()
    told = [(event.path.removeprefix(ROOT), event.told_at) for _, event in world.told]  # type: ignore[union-attr]
    assert told == [("/web/a", 5.0), ("/web", 8.0), ("/web/a", 0.0), *[("/web/b", 8.0)] * 2]


def test_what_is_told_while_all_is_read_waits_for_that_and_after_a_loss_nothing_is_told_of() -> None:
    world = world_of_one()
    world.reads.again(world.now)
    world.now += 1.0
    world.told.clear()
    world.poll()
    world.put(f"{ROOT}/web/b", tell=False)
    world.reads.watched(CREATED, f"{ROOT}/web/b", 5.0)
    world.reads.lost(world.now)
    world.connect()
    assert world.view == world.truth
    assert not any(event.told_at for _, event in world.told if isinstance(event, OF_NODES))
    assert not any(root._marks._told_at for root in world.reads._roots)

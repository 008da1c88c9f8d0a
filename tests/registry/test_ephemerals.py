"""Nodes of ours, kept against expiries, deletions and rivals, over an ensemble in memory."""

from __future__ import annotations

import pytest

from simulation.ensemble import EVENT, Connection, Ensemble
from zkdns.registry.zk.ephemerals import (
    LOOK_AGAIN,
    MAX_PAUSE_SECONDS,
    MIN_PAUSE_SECONDS,
    STEADY,
    Ephemerals,
    Kept,
)
from zkdns.registry.zk.wire import (
    CONNECTION_LOSS,
    NO_AUTH,
    NO_NODE,
    PERSISTENT,
    Create,
    Node,
    Request,
    SetData,
)

PATH = "/zkdns/servers/me"


class World:
    """One client that keeps nodes, and its clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.ensemble = Ensemble(members=1)
        self.warnings: list[str] = []
        self.ephemerals = Ephemerals("zk:2181", self.warnings.append)
        self.connection: Connection | None = None
        self.session = 0

    def connect(self) -> None:
        self.session = self.ensemble.session()
        self.ensemble.apply(0, len(self.ensemble.log))
        self.connection = self.ensemble.connect(0, self.session)
        self.ephemerals.connected(self.session)
        self.run()

    def run(self) -> None:
        """All that is due now, and what comes of it."""
        assert self.connection is not None
        for _ in range(50):
            for request in self.ephemerals.requests(self.now):
                self.connection.up.append((0, request))
            self.ensemble.serve(self.connection, len(self.connection.up))
            self.ensemble.apply(0, len(self.ensemble.log))
            if not self.connection.down:
                return
            while self.connection.down:
                part, number, rest = self.connection.down.popleft()
                if part == EVENT:
                    self.ephemerals.watched([str(rest)])
                else:
                    self.ephemerals.take(number, rest, self.now)
        raise AssertionError("it asks without end")

    def wait(self, seconds: float) -> None:
        """Time passes, and nothing is done before it is due."""
        until = self.now + seconds
        while (due := self.ephemerals.wake) <= until:
            self.now = max(self.now, due)
            self.run()
        self.now = until

    @property
    def node(self) -> Node | None:
        found: Node | None = self.ensemble.tree.nodes.get(PATH)
        return found

    def time_until_made(self) -> float:
        began = self.now
        while self.node is None:
            self.now = max(self.now, self.ephemerals.wake)
            self.run()
        return self.now - began


@pytest.fixture
def world() -> World:
    one = World()
    one.ephemerals.keep(Kept(PATH, b"1"))
    one.connect()
    return one


def test_a_node_is_made_with_those_above_it_and_is_ours(world: World) -> None:
    assert world.node is not None
    assert (world.node.data, world.node.owner) == (b"1", world.session)
    assert world.ensemble.tree.nodes["/zkdns/servers"].owner == PERSISTENT


def test_what_keeps_vanishing_is_made_again_with_pauses_that_double_up_to_the_longest(world: World) -> None:
    pauses = []
    for _ in range(12):
        world.ensemble.delete(PATH)
        world.run()
        pauses.append(world.time_until_made())
    doubled = [min(MIN_PAUSE_SECONDS * 2**n, MAX_PAUSE_SECONDS) for n in range(12)]
    assert pauses == pytest.approx(doubled)


def test_a_reply_that_never_comes_is_not_waited_for_for_ever(world: World) -> None:
    """A connection that lost one has lost others: asking on is what finds that out."""
    world.ephemerals.keep(Kept(PATH, b"2"))
    (look,) = world.ephemerals.requests(world.now)
    lost_at = world.now
    assert world.ephemerals.wake == lost_at + 20.0
    assert not world.ephemerals.requests(lost_at + 19.9)
    (again,) = world.ephemerals.requests(lost_at + 20.0)
    assert (again.what, again.id) == (look.what, look.id + 1)
    world.ephemerals.take(look.id, world.node, world.now)  # a late one is of no use any more
    assert not world.ephemerals.requests(lost_at + 20.0)
    world.ephemerals.take(again.id, world.node, lost_at + 20.0)
    (write,) = world.ephemerals.requests(lost_at + 20.0)
    assert write.what == SetData(PATH, b"2")


def test_one_that_stood_for_long_is_made_again_at_once(world: World) -> None:
    for _ in range(8):
        world.ensemble.delete(PATH)
        world.run()
        world.time_until_made()
    world.wait(STEADY + 1)
    world.ensemble.delete(PATH)
    world.run()
    world.time_until_made()
    world.ensemble.delete(PATH)
    world.run()
    assert world.time_until_made() <= MIN_PAUSE_SECONDS + 1e-6


def test_new_data_is_written_over_the_old_in_the_same_node(world: World) -> None:
    before = world.node
    world.ephemerals.keep(Kept(PATH, b"2"))
    world.run()
    assert world.node is not None
    assert before is not None
    assert (world.node.data, world.node.czxid) == (b"2", before.czxid)


def test_after_an_expiry_it_stands_in_the_new_session(world: World) -> None:
    world.ephemerals.lost()
    world.ensemble.expire(world.session)
    assert world.node is None
    world.connect()
    world.wait(1)
    assert world.node is not None
    assert world.node.owner == world.session


def test_a_deletion_that_no_event_told_is_found_within_the_time_of_a_look(world: World) -> None:
    assert world.connection is not None
    world.connection.data_watches.clear()
    world.ensemble.delete(PATH)
    world.wait(LOOK_AGAIN + 1)
    assert world.node is not None


def test_an_earlier_runs_node_is_replaced_once_and_then_left_to_who_fights_for_it() -> None:
    world = World()
    other = world.ensemble.session()
    world.ensemble.create(PATH, b"theirs", other)
    world.ephemerals.keep(Kept(PATH, b"ours"))
    world.connect()
    assert world.node is not None
    assert world.node.owner == world.session
    world.ensemble.delete(PATH)
    world.ensemble.create(PATH, b"theirs", other)
    world.wait(60)
    assert world.node.owner == other
    assert [w for w in world.warnings if "is held by session" in w] == world.warnings
    assert len(world.warnings) == 1


def test_one_that_stands_by_takes_nobodys_place_until_it_is_free() -> None:
    world = World()
    said: list[str] = []
    other = world.ensemble.session()
    world.ensemble.create(PATH, b"theirs", other)
    world.ephemerals.keep(Kept(PATH, b"ours", standby=True, said=said.append))
    world.connect()
    world.wait(30)
    assert world.node is not None
    assert world.node.owner == other
    world.ensemble.expire(other)
    world.wait(LOOK_AGAIN + 1)
    assert world.node.owner == world.session
    assert said[-1] == f"registered {PATH}"


def test_what_is_given_up_goes_and_what_is_not_ours_stays(world: World) -> None:
    world.ephemerals.give_up(PATH)
    world.run()
    assert world.node is None
    world.wait(60)
    assert world.node is None
    other = World()
    other.ensemble.create(PATH, b"theirs", other.ensemble.session())
    gone: list[bool] = []
    other.ephemerals.keep(Kept(PATH, None, gone=lambda: gone.append(True)))
    other.connect()
    assert other.node is not None
    assert gone == [True]


@pytest.mark.parametrize(("code", "again"), [(NO_AUTH, float("inf")), (CONNECTION_LOSS, MIN_PAUSE_SECONDS)])
def test_a_refusal_ends_it_and_a_lost_connection_does_not(code: int, again: float) -> None:
    world = World()
    world.ephemerals.keep(Kept(PATH, b"1"))
    world.ephemerals.connected(1)
    (request,) = world.ephemerals.requests(world.now)
    world.ephemerals.take(request.id, code, world.now)
    assert world.ephemerals.wake - world.now == pytest.approx(again)
    assert bool(world.warnings) is (code == NO_AUTH)


def test_a_reply_of_an_earlier_connection_counts_for_nothing() -> None:
    world = World()
    world.ephemerals.keep(Kept(PATH, b"1"))
    world.ephemerals.connected(1)
    (old,) = world.ephemerals.requests(world.now)
    world.ephemerals.lost()
    world.ephemerals.connected(2)
    (new,) = world.ephemerals.requests(world.now)
    world.ephemerals.take(old.id, Node(b"1", 1, 1, 1, 0.0, 1, 0), world.now)
    assert new.id != old.id
    assert world.ephemerals.requests(world.now) == []


def refused() -> World:
    """One whose first look was refused."""
    world = World()
    world.ephemerals.keep(Kept(PATH, b"1"))
    world.ephemerals.connected(1)
    (request,) = world.ephemerals.requests(world.now)
    world.ephemerals.take(request.id, NO_AUTH, world.now)
    return world


def test_what_was_refused_is_not_asked_for_again_until_there_is_another_connection() -> None:
    """Its ACL may be another then; each event beside it would be a request in vain."""
    world = refused()
    world.ephemerals.watched([PATH])
    assert world.ephemerals.requests(world.now) == []
    world.ephemerals.connected(2)
    assert len(world.ephemerals.requests(world.now)) == 1
    world.ephemerals.watched([PATH])
    assert world.ephemerals.requests(world.now) == [], "it is under way"


def test_what_was_given_up_and_is_wanted_again_is_made_at_once(world: World) -> None:
    for _ in range(8):
        world.ensemble.delete(PATH)
        world.run()
        world.time_until_made()
    world.ephemerals.give_up(PATH)
    world.ephemerals.keep(Kept(PATH, b"2"))
    world.ensemble.delete(PATH)
    world.run()
    assert world.time_until_made() == 0.0


def test_what_is_given_up_without_a_connection_is_gone_as_far_as_we_can_tell() -> None:
    world = World()
    gone: list[bool] = []
    world.ephemerals.keep(Kept(PATH, b"1", gone=lambda: gone.append(True)))
    world.ephemerals.give_up(PATH)
    assert gone == [True]


def test_what_is_wanted_while_a_look_is_under_way_is_done_after_it() -> None:
    world = World()
    world.ephemerals.keep(Kept(PATH, b"1"))
    world.ephemerals.connected(1)
    (look,) = world.ephemerals.requests(world.now)
    world.ephemerals.keep(Kept(PATH, b"2"))
    world.ephemerals.take(look.id, Node(b"1", 1, 1, 1, 0.0, 1, 0), world.now)
    assert len(world.ephemerals.requests(world.now)) == 1, "and not after the usual time between two looks"


def test_the_session_that_a_node_was_made_in_is_told() -> None:
    world = World()
    made: list[int] = []
    world.ephemerals.keep(Kept(PATH, b"1", made=made.append))
    world.connect()
    assert set(made) == {world.session}


def first_look(there: Node | int) -> tuple[list[int], list[Request]]:
    """What was told of session 7, which looks for its node and finds this, and what it asks for next."""
    world = World()
    made: list[int] = []
    world.ephemerals.keep(Kept(PATH, b"1", made=made.append))
    world.ephemerals.connected(7)
    (look,) = world.ephemerals.requests(world.now)
    assert not made
    world.ephemerals.take(look.id, there, world.now)
    return made, world.ephemerals.requests(world.now)


def test_the_session_is_told_before_the_node_is_made_in_it() -> None:
    """Who is killed between the two would not know its own node when it is started again."""
    made, requests = first_look(NO_NODE)
    assert [type(request.what) for request in requests] == [Create]
    assert made == [7]


def test_the_session_is_told_though_the_reply_was_lost() -> None:
    made, _ = first_look(Node(b"1", 1, 1, 1, 0.0, 7, 0))
    assert made == [7]


def test_one_that_was_refused_before_heeds_events_of_another_connection() -> None:
    world = refused()
    world.ephemerals.connected(2)
    (look,) = world.ephemerals.requests(world.now)
    world.ephemerals.take(look.id, Node(b"1", 1, 1, 1, 0.0, 2, 0), world.now)
    assert world.ephemerals.requests(world.now) == []
    world.ephemerals.watched([PATH])
    assert len(world.ephemerals.requests(world.now)) == 1


def test_what_is_wanted_again_while_it_is_removed_is_made_again(world: World) -> None:
    assert world.node is not None
    assert world.connection is not None
    world.ephemerals.give_up(PATH)
    (look,) = world.ephemerals.requests(world.now)
    world.ephemerals.keep(Kept(PATH, b"2"))
    world.connection.up.append((0, look))
    world.run()
    world.wait(MAX_PAUSE_SECONDS)
    assert world.node is not None
    assert world.node.data == b"2"

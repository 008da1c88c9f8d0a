"""Whose ballots are read, and how many at a time, whatever stands under /zkdns/health."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable

import pytest

from support.steps import steps
from zkdns.health import ballots, consensus
from zkdns.health.ballots import MAX_REPLICAS, SESSION, Ballots
from zkdns.health.consensus import hash_pair
from zkdns.health.health import CHUNK, Health
from zkdns.health.thresholds import CheckState
from zkdns.model import Check, Instance, Registration, Service, ServiceSettings
from zkdns.steps import Steps, finish

NOW = 1_700_000_000.0
BAD = CheckState(False, "refused")
GOOD = CheckState(True)


class Read:
    """Ballots for one checked path, and what was read of them."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.moved: list[str] = []
        self.ballots = Ballots("me", self._read, {"/s/web/a": None}, self._note)

    def _read(self, replica: str, data: bytes) -> Steps[dict[str, CheckState]]:
        self.read.append(replica)
        return (yield from consensus.reading(data))

    def _note(self, paths: Iterable[str]) -> None:
        self.moved += paths

    def all(self) -> None:
        while self.ballots.has_unread:
            self.ballots.read_some()


def good(*paths: str) -> bytes:
    return json.dumps({"good": paths or ["/s/web/a"]}).encode()


def test_one_ballot_is_read_at_a_time_and_those_that_did_not_change_not_again() -> None:
    world = Read()
    world.ballots.take({"r1": good(), "r2": good()})
    world.ballots.read_some()
    assert world.read == ["r1"]
    world.ballots.take({"r1": good(), "r2": good("/s/web/b")})
    world.all()
    assert world.read == ["r1", "r2"]
    world.ballots.take({"r1": good(), "r2": good("/s/web/b")})
    assert not world.ballots.has_unread


def test_one_that_changes_at_each_step_keeps_no_other_from_being_read() -> None:
    world = Read()
    world.ballots.see({"a": 0, "real": 0})
    for at in range(10):
        world.ballots.take({"a": good(f"/s/web/{at}"), "real": good()})
        world.ballots.read_some()
    assert world.read.count("real") == 1
    assert world.read.count("a") > 1
    assert world.ballots.votes("/s/web/a", None) == [GOOD]


def many(count: int, path: str) -> bytes:
    return consensus.write_ballot({path: GOOD} | {f"/s/db/{n:05}": GOOD for n in range(count)})


def test_a_long_ballot_counts_when_it_is_read_whole_and_one_that_goes_meanwhile_for_nothing() -> None:
    world = Read()
    world.ballots.see({"a": 0})
    world.ballots.take({"a": many(5000, "/s/web/a")})
    world.ballots.read_some()
    world.ballots.take({"a": many(5000, "/s/web/b")})
    world.ballots.read_some()
    assert not world.moved
    assert not world.ballots.votes("/s/web/a", None)
    while world.read == ["a"]:
        world.ballots.read_some()
    assert world.moved == ["/s/web/a"], "as it stood when it was begun"
    world.all()
    assert world.moved == ["/s/web/a", "/s/web/a"]
    assert not world.ballots.votes("/s/web/a", None)
    world.ballots.take({"a": many(5000, "/s/web/a")})
    world.ballots.read_some()
    world.ballots.take({})
    assert not world.ballots.has_unread
    world.ballots.take({"b": good()})
    world.all()
    assert world.read == ["a", "a", "a", "b"]


def test_so_many_ballots_are_read_and_no_more_and_the_living_come_first() -> None:
    world = Read()
    strangers = {f"a{n:03}": good() for n in range(3 * MAX_REPLICAS)}
    world.ballots.see({"real": 0})
    world.ballots.take({**strangers, "real": good()})
    world.all()
    assert "real" in world.read
    assert len(world.read) == MAX_REPLICAS
    assert world.ballots.left_out == 2 * MAX_REPLICAS + 1
    assert world.ballots.voters == {"me", "real"}
    world.ballots.see(dict.fromkeys(["real", *strangers], 0))
    assert len(world.ballots.voters) == MAX_REPLICAS + 1


def test_what_we_wrote_ourselves_tells_us_nothing() -> None:
    world = Read()
    world.ballots.see({"me": 0})
    world.ballots.take({"me": good()})
    assert not world.ballots.has_unread
    assert world.ballots.votes("/s/web/a", None) == []


def test_of_many_paths_that_nobody_checks_nothing_is_told() -> None:
    world = Read()
    world.ballots.see({"r1": 0})
    world.ballots.take({"r1": good("/s/web/a", *(f"/none/{n}" for n in range(1000)))})
    world.all()
    assert world.moved == ["/s/web/a"]
    assert world.ballots.votes("/s/web/a", None) == [GOOD]
    world.ballots.take({})
    assert world.moved == ["/s/web/a"] * 2
    assert world.ballots.votes("/s/web/a", None) == []


def test_a_replica_that_comes_or_goes_moves_what_its_ballot_says() -> None:
    world = Read()
    world.ballots.take({"r1": good()})
    world.all()
    assert world.ballots.votes("/s/web/a", None) == []
    world.moved.clear()
    world.ballots.see({"r1": 0})
    assert world.moved == ["/s/web/a"]
    assert world.ballots.votes("/s/web/a", None) == [GOOD]


def checked(size: int) -> Service:
    made = tuple(
        Instance(f"i{n}", f"i{n}", f"/services/web/i{n}", Registration(("10.0.0.1",), port=80), 0)
        for n in range(size)
    )
    settings = ServiceSettings(check=Check("tcp"))
    return Service("web", "web", "/services/web", settings, made)


def test_what_a_crowd_of_replicas_moves_is_done_a_few_instances_at_a_time() -> None:
    health = Health("me")
    service = checked(10 * CHUNK)
    health.judge(service, NOW)
    health.work(NOW)
    assert len(health.take_probes()) == 10 * CHUNK
    nodes = {f"liar{n}": good(*(i.path for i in service.instances)) for n in range(5)}
    health.replicas(dict.fromkeys(nodes, 0.0))
    health.ballots(nodes)
    turns, names = 0, set[str]()
    while health.has_work:
        names |= health.work(NOW, lambda: 1.0, 0.0)
        turns += 1
    assert turns == 5 + 10 + 10  # the ballots, who probes what, and what they say
    assert names == {"web"}
    assert 0 < sum(target is None for target in health.take_probes().values()) < 10 * CHUNK


def test_ballots_beyond_those_that_are_read_are_a_problem_for_as_long_as_they_are_there() -> None:
    health = Health("me")
    health.ballots({f"liar{n:03}": good() for n in range(MAX_REPLICAS + 7)})
    (problem,) = health.problems.values()
    assert problem.path == "/zkdns/health"
    assert "7 ballots" in problem.what
    health.ballots({})
    assert not health.problems


def large(name: str, votes: int) -> bytes:
    paths = [f"/services/{name}/{n:060}" for n in range(votes)]
    return consensus.write_ballot(dict.fromkeys(["/s/web/a", *paths], BAD))


LARGE = 7000
"""Votes of a ballot that takes more than any may."""


def fill_with_large(monkeypatch: pytest.MonkeyPatch, room: int) -> Read:
    """Five replicas with large ballots, of which so many find room, and one with a small one."""
    size = finish(ballots._weigh(consensus.read_ballot(large("a", LARGE))))
    assert size > ballots.SMALL
    monkeypatch.setattr(ballots, "ROOM", room * size + 1000)
    world = Read()
    world.ballots.see(dict.fromkeys("abcdef", 0.0), dict(zip("abcdef", (9, 8, 3, 4, 5, 99), strict=True)))
    world.ballots.take({name: large(name, LARGE) for name in "abcde"} | {"f": good()})
    world.all()
    return world


def count_kept(world: Read) -> int:
    return sum(len(votes) for _, votes in world.ballots._known.values())


def test_of_large_ballots_those_of_whoever_came_first_are_kept_and_the_others_say_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever may write there has ten thousands of votes in each of 64; those of some bytes count always."""
    world = fill_with_large(monkeypatch, room=2)
    assert world.ballots.crowded == ["e", "b", "a"]
    assert world.ballots.votes("/s/web/a", None).count(BAD) == 2
    assert world.ballots.votes("/s/web/a", None).count(GOOD) == 1
    assert count_kept(world) == 2 * (LARGE + 1) + 1


def test_a_large_ballot_is_read_again_when_there_is_room_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = fill_with_large(monkeypatch, room=2)
    nodes = {name: large(name, LARGE) for name in "abcde"}
    del nodes["d"]
    world.read.clear()
    world.ballots.take(nodes)
    world.all()
    assert (world.read, world.ballots.crowded) == (["e"], ["b", "a"])
    world.ballots.take(nodes | {"c": good()})
    world.all()
    assert (world.read, world.ballots.crowded) == (["e", "c", "b"], ["a"])
    assert len(world.ballots.votes("/s/web/a", None)) == 3


def test_a_large_ballot_of_one_that_came_before_takes_the_room_of_the_youngest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = fill_with_large(monkeypatch, room=2)
    world.moved.clear()
    known = dict(world.ballots._written) | {"g": 0.0}
    world.ballots.see(known, dict(world.ballots._made_by) | {"g": 1})
    world.ballots.take({**world.ballots._nodes, "g": large("g", LARGE)})
    world.all()
    assert (world.ballots.crowded, world.moved) == (["d", "e", "b", "a"], ["/s/web/a", "/s/web/a"])
    assert count_kept(world) == 2 * (LARGE + 1) + 1


def test_large_ballots_that_say_nothing_are_a_problem_until_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ballots, "ROOM", 0)
    health = Health("me")
    health.replicas({"r1": 0, "r2": 0})
    health.ballots({"r1": large("r1", LARGE), "r2": good()})
    work(health)
    assert "nothing that r1 told counts" in health.problems[""].what
    health.ballots({"r1": good()})
    work(health)
    assert not health.problems


def work(health: Health) -> None:
    while health.has_work:
        health.work(NOW)


def test_the_oldest_of_the_living_are_read_whatever_the_others_are_called() -> None:
    world = Read()
    names = [f"r{n:03}" for n in range(2 * MAX_REPLICAS)]
    world.ballots.see(dict.fromkeys(names, 0.0), {name: -n for n, name in enumerate(names)})
    world.ballots.take({name: good() for name in names})
    world.all()
    assert sorted(world.read) == names[MAX_REPLICAS:]


def test_the_oldest_are_known_however_they_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ballots, "RESERVE", MAX_REPLICAS + 9)
    monkeypatch.setattr(ballots, "MAX_CAME", 20)
    chance = random.Random(5)
    world = Read()
    age = {f"r{n:03}": chance.randrange(150) for n in range(300)}
    standing: set[str] = set()
    for at in range(200):
        standing ^= {*chance.sample([*age], chance.choice([1, 3, 40]))}
        living = {r for r in standing if hash_pair(r, "") % 5}
        world.ballots.see(dict.fromkeys(living, 0.0), {r: age[r] for r in living})
        world.ballots.take(dict.fromkeys(standing, b"{}"))
        oldest = sorted(living, key=lambda r: (age[r], r))[:MAX_REPLICAS]
        assert world.ballots.voters == {"me", *oldest}, at
        world.all()


def test_of_nodes_without_number_each_is_looked_at_once() -> None:
    def cost(number: int) -> int:
        ballots = Ballots("me", lambda _, data: consensus.reading(data), {}, lambda paths: None)
        nodes = {f"r{n:04}": b"" for n in range(number)}
        written = dict.fromkeys(nodes, 1.0)
        ballots.take(nodes)
        ballots.see(written)
        while ballots.has_unread:
            ballots.read_some()
        return steps(lambda: ballots.take(nodes)) + steps(lambda: ballots.see(written))

    assert cost(2000) - cost(1000) < 1.2 * 1000


def test_what_one_of_thousands_writes_has_not_all_of_them_looked_through() -> None:
    """Which are read is another only where one came or went."""

    def compared(count: int) -> int:
        world = Read()
        ids = [f"a{n:05}" for n in range(count)]
        world.ballots.see(dict.fromkeys(ids, NOW))
        world.ballots.take(dict.fromkeys(ids, good()))
        world.all()
        return steps(
            lambda: (
                world.ballots.see({**dict.fromkeys(ids, NOW), ids[7]: NOW + 1}),
                world.ballots.take({**dict.fromkeys(ids, good()), ids[7]: good("/s/web/b")}),
            ),
            ours="",
        )

    assert compared(4000) == compared(400)


def test_of_the_same_ballots_the_one_that_was_written_is_read_again() -> None:
    world = Read()
    world.ballots.see({"r1": NOW, "r2": NOW})
    world.ballots.take({"r1": good(), "r2": good()})
    world.all()
    world.read.clear()
    world.ballots.see({"r1": NOW, "r2": NOW + 1})
    world.ballots.take({"r1": good(), "r2": good("/s/web/b"), "me": good()})
    world.all()
    assert world.read == ["r2"]
    assert world.ballots.voters == {"me", "r1", "r2"}


def back_after_an_outage() -> Read:
    """Where r1 had said that all is well before it."""
    world = Read()
    world.ballots.see({"r1": 1.0})
    world.ballots.take({"r1": good()})
    world.all()
    world.ballots.find(NOW)
    world.ballots.lose()
    world.ballots.find(NOW + 100)
    return world


def test_who_was_written_again_is_believed_once_what_it_says_now_is_read() -> None:
    world = back_after_an_outage()
    assert world.ballots._doubtful == {"r1"}
    world.ballots.take({"r1": json.dumps({"bad": {"/s/web/a": "refused"}}).encode()})
    world.ballots.see({"r1": 2.0})
    assert world.ballots._doubtful == {"r1"}, "what it said before the outage counts for no more by that"
    world.all()
    assert world.ballots._doubtful == set()
    assert world.ballots.votes("/s/web/a", None) == [BAD]


def test_while_it_is_out_of_reach_again_no_time_ends_the_doubts() -> None:
    world = back_after_an_outage()
    assert world.ballots.believed_at == NOW + 100 + SESSION
    world.ballots.lose()
    assert world.ballots.believed_at is None
    world.ballots.end_doubts(NOW + 3600)
    assert world.ballots._doubtful == {"r1"}
    world.ballots.find(NOW + 3600)
    assert world.ballots.believed_at == NOW + 3600 + SESSION


def test_who_wrote_while_we_were_away_is_believed_from_the_moment_we_are_back() -> None:
    world = back_after_an_outage()
    world.ballots.lose()
    world.ballots.see({"r1": 2.0})
    world.ballots.take({"r1": json.dumps({"bad": {"/s/web/a": "refused"}}).encode()})
    world.all()
    assert world.ballots._doubtful == {"r1"}, "both kinds of nodes are not read again yet"
    world.ballots.find(NOW + 200)
    assert world.ballots._doubtful == set()
    assert world.ballots.votes("/s/web/a", None) == [BAD]

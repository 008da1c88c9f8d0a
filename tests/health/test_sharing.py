"""Whatever the other replicas are, each instance that is checked is probed by somebody who tells of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from support.values import a_service, an_instance
from zkdns.health import consensus
from zkdns.health.ballots import Ballots
from zkdns.health.consensus import assign
from zkdns.health.health import Health
from zkdns.health.sharing import HEAP, KNOWN, NEW, Sharing
from zkdns.health.targets import Target
from zkdns.model import Check, Service, Verdict

NOW = 1_700_000_000.0
CHECK = Check("tcp", interval=5, timeout=2, rise=2, fall=1)
PATHS = [f"/services/web/i{n}" for n in range(24)]


def web() -> Service:
    return a_service(*(an_instance(f"i{n}", since=NOW) for n in range(24)), check=CHECK)


class Fleet:
    """Replicas of ours, which probe what is theirs to probe and find it well or not, beside others that say
    what they like. Time passes only in `wait`."""

    finds_well = True

    def __init__(self, ours: Collection[str], others: Mapping[str, bytes]) -> None:
        self.now = 0.0
        self.ours = {name: Health(name) for name in ours}
        self.nodes = {**dict.fromkeys(ours, b"{}"), **others}
        self.probed: dict[str, set[str]] = {name: set() for name in ours}
        for health in self.ours.values():
            health.replicas(dict.fromkeys(self.nodes, 0.0))
            health.ballots(self.nodes)
            health.judge(web(), NOW)
        self.turn()

    def turn(self) -> None:
        for name, health in self.ours.items():
            health.work(self.now)
            for path, target in health.take_probes().items():
                if target is None:
                    self.probed[name].discard(path)
                    continue
                self.probed[name].add(path)
                health.take(target, Verdict(path, self.finds_well), self.now)

    def share_ballots(self) -> None:
        for name, health in self.ours.items():
            self.nodes[name] = health.take_ballot(self.now) or self.nodes[name]
        for health in self.ours.values():
            health.ballots(self.nodes)

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            wakes = [at for health in self.ours.values() if (at := health.wake) is not None]
            self.now = min([end, *(max(at, self.now + 0.01) for at in wakes), self.now + 0.25])
            self.share_ballots()
            self.turn()

    @property
    def by_anybody(self) -> set[str]:
        return set().union(*self.probed.values())


SILENT = [b"{}", b"", b"\xff", b'{"good": ["/other/x/y"]}']


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(0, 12), st.sampled_from(SILENT))
def test_each_instance_is_probed_whatever_the_others_are_that_say_nothing_of_it(
    ours: int, others: int, ballot: bytes
) -> None:
    fleet = Fleet([f"our{n}" for n in range(ours)], {f"other{n}": ballot for n in range(others)})
    fleet.wait(NEW + 0.5)
    assert fleet.by_anybody == {*PATHS}
    for health in fleet.ours.values():
        assert all(i.state == "healthy" for i in health.judge(web(), NOW)[0].instances)


def test_those_of_whom_others_tell_are_left_to_them_and_taken_back_when_they_fall_silent() -> None:
    told = json.dumps({"good": PATHS}).encode()
    silent = {f"other{n}": b"{}" for n in range(9)}
    fleet = Fleet(["me"], silent)
    mine = {path for path in PATHS if "me" in assign(path, {"me", *silent})}
    assert fleet.by_anybody == mine < {*PATHS}
    fleet.wait(NEW + 0.5)
    assert fleet.by_anybody == {*PATHS}
    fleet.nodes |= dict.fromkeys(silent, told)
    fleet.wait(0.1)
    assert fleet.by_anybody == mine
    fleet.nodes |= silent
    fleet.wait(CHECK.interval + CHECK.timeout)
    assert fleet.by_anybody == mine
    fleet.wait(KNOWN + 0.5)
    assert fleet.by_anybody == {*PATHS}


def test_our_vote_on_what_others_tell_of_again_counts_no_more() -> None:
    """It stood in what we answered, though in nobody's ballot: one replica said failing where all others, of
    whom as many found it well as not, said healthy."""
    fleet = Fleet(["me"], dict.fromkeys(("a", "b", "c"), b"{}"))
    theirs = {path for path in PATHS if "me" not in assign(path, fleet.nodes)}
    fleet.finds_well = False
    fleet.wait(NEW + 0.5)
    health = fleet.ours["me"]
    assert {i.state for i in health.judge(web(), NOW)[0].instances if i.path in theirs} == {"failing"}
    fleet.nodes["a"] = json.dumps({"good": PATHS}).encode()
    fleet.nodes["b"] = json.dumps({"bad": dict.fromkeys(PATHS, "says b")}).encode()
    fleet.share_ballots()
    assert health.work(fleet.now) == {"web"}, "it is to be judged again"
    fleet.turn()
    assert not theirs & fleet.probed["me"]
    assert {i.state for i in health.judge(web(), NOW)[0].instances if i.path in theirs} == {"healthy"}


def test_who_is_told_of_in_time_is_not_taken_over() -> None:
    silent = {f"other{n}": b"{}" for n in range(9)}
    fleet = Fleet(["me"], silent)
    mine = fleet.by_anybody
    fleet.nodes |= dict.fromkeys(silent, json.dumps({"good": PATHS}).encode())
    fleet.wait(NEW + 0.5)
    assert fleet.by_anybody == mine < {*PATHS}


def test_among_replicas_that_all_tell_each_is_probed_by_three_and_nobody_takes_over() -> None:
    fleet = Fleet([f"our{n}" for n in range(7)], {})
    for _ in range(40):
        fleet.wait(0.25)
        assert sum(map(len, fleet.probed.values())) == 3 * len(PATHS)


def test_what_is_gone_while_it_waits_is_probed_by_nobody() -> None:
    fleet = Fleet(["me"], {f"other{n}": b"{}" for n in range(9)})
    fleet.ours["me"].judge(a_service(), NOW)
    fleet.turn()
    fleet.wait(NEW + 1)
    assert fleet.by_anybody == set()
    assert fleet.ours["me"].wake is None


class Said:
    """Ballots of many that live: whether those who are to probe say anything."""

    voters = frozenset({"me", *(f"r{n}" for n in range(20))})
    is_told = False

    def tell_of(self, path: str, replicas: object) -> bool:
        return self.is_told


def a_strangers() -> tuple[Sharing, Said, Target]:
    """One instance that others are to probe."""
    said = Said()
    path = next(path for path in PATHS if "me" not in assign(path, said.voters))
    return Sharing("me", True, said), said, Target(path, "a", "10.0.0.1", 80, 0.0, CHECK)  # type: ignore[arg-type]


def shared(sharing: Sharing, target: Target, now: float) -> bool:
    """It is shared anew."""
    sharing.again(target.path)
    assert sharing.take(now) == [target.path]
    return sharing.share(target, now, is_known=False)


def test_who_is_shared_again_while_it_waits_does_not_wait_anew() -> None:
    sharing, _, target = a_strangers()
    assert not shared(sharing, target, 0.0)
    assert not shared(sharing, target, NEW / 2)
    assert sharing.take(NEW - 0.01) == []
    assert sharing.take(NEW) == [target.path]
    assert sharing.share(target, NEW, is_known=False)


def test_whose_word_came_and_went_waits_for_its_whole_time_again() -> None:
    sharing, said, target = a_strangers()
    assert not shared(sharing, target, 0.0)
    said.is_told = True
    assert not shared(sharing, target, 0.1)
    said.is_told = False
    assert not shared(sharing, target, 0.2)
    assert sharing.take(NEW) == []
    assert sharing.take(NEW + 0.2) == [target.path]


def test_what_is_waited_for_no_more_stays_in_no_queue_until_its_time() -> None:
    """Of a check that is made once a day that would be a day."""
    others = [f"other{n}" for n in range(9)]
    ballots = Ballots("me", lambda _, data: consensus.reading(data), {}, lambda paths: None)
    ballots.see(dict.fromkeys(others, 0.0))
    ballots.take(dict.fromkeys(others, b"{}"))
    sharing = Sharing("me", True, ballots)
    for n in range(2000):
        path = f"/services/web/{n}"
        sharing.share(Target(path, str(n), "127.0.0.1", 80, 0.0, Check("tcp", interval=86_400)), 0.0, True)
        sharing.end(path)
    assert len(sharing._queue) <= 2 * HEAP

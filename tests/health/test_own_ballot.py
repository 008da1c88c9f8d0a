"""What a replica has seen itself, and when it writes that for the others."""

from __future__ import annotations

import pytest

from support.values import a_service, an_instance
from zkdns.health import consensus
from zkdns.health.own_ballot import GATHER, WRITE_EVERY, OwnBallot
from zkdns.health.targets import Target
from zkdns.health.thresholds import CheckState, LastProbe
from zkdns.model import Check, Verdict
from zkdns.wall import Wall

A, B = "/services/web/a", "/services/web/b"
NOW = 1000.0


def target(path: str) -> Target:
    return Target(path, path.rpartition("/")[2], "127.0.0.1", 80, 0.0, Check("tcp", rise=2, fall=2))


class Own(OwnBallot):
    def __init__(self) -> None:
        super().__init__("z1", Wall())

    def see(self, path: str, why: str = "", now: float = NOW) -> bool:
        return self.take(target(path), Verdict(path, not why, why), now)

    def votes(self, now: float) -> dict[str, CheckState] | None:
        data = self.write(now)
        return dict(consensus.read_ballot(data)) if data is not None else None


def test_a_verdict_is_told_where_it_changes_the_vote_and_nowhere_else() -> None:
    own = Own()
    assert own.due is None
    assert own.see(A)
    assert own.write(NOW + 1) is not None
    assert not own.see(A)
    assert not own.see(A, "refused"), "one bad probe of two"
    assert own.due is None, "so nothing is to be written"
    assert own.see(A, "refused")
    assert own.vote(A) == CheckState(False, "refused")
    assert own.votes(NOW + 9) == {A: CheckState(False, "refused")}


def test_the_first_write_waits_for_others_of_the_same_moment_and_the_next_for_a_second() -> None:
    own = Own()
    own.see(A)
    own.see(B, now=NOW + GATHER / 2)
    assert own.due == NOW + GATHER, "the first change counts"
    assert own.write(NOW + GATHER / 2) is None
    assert own.votes(own.due) == {A: CheckState(True), B: CheckState(True)}
    assert own.due is None
    written = NOW + GATHER
    own.discount(B, written + 0.1)
    assert own.due == written + WRITE_EVERY
    assert own.write(written + 0.5) is None
    assert own.votes(written + WRITE_EVERY) == {A: CheckState(True)}
    own.see(B, now=NOW + 100)
    assert own.due == NOW + 100 + GATHER


def test_what_is_discounted_is_no_vote_any_more_and_the_others_are_told() -> None:
    own = Own()
    own.see(A)
    assert own.write(NOW + 1) is not None
    assert own.discount(A, NOW + 5)
    assert own.vote(A) is None
    assert own.last_probes(a_service(an_instance("a"))) == {}
    assert own.votes(NOW + 10) == {}
    assert not own.discount(A, NOW + 10), "there was none"
    assert own.due is None


def test_what_says_the_same_as_before_is_not_written() -> None:
    own = Own()
    own.see(A)
    assert own.write(NOW + 1) is not None
    own.discount(A, NOW + 2)
    own.see(A, now=NOW + 2)
    assert own.write(NOW + 3) is None
    own.see(B, now=NOW + 3)
    assert own.due == NOW + 3 + GATHER, "and keeps nothing waiting that comes next"


def test_one_of_thousands_of_votes_is_spelled_a_little_at_a_time_as_it_was() -> None:
    own = Own()
    for n in range(10_000):
        own.see(f"/services/web/{n}")
    at = NOW + GATHER
    assert own.write(at) is None
    own.see("/services/web/0", "refused", at)
    own.see("/services/web/0", "refused", at)
    calls, data = 1, None
    while data is None:
        assert own.due == at, "there is more to do at once"
        data, calls = own.write(at + 0.01 * calls), calls + 1
    assert calls > 8
    assert set(consensus.read_ballot(data).values()) == {CheckState(True)}
    assert own.due == at + 0.01 * (calls - 1) + WRITE_EVERY, "the rest has its time"


@pytest.mark.parametrize("by", [3600.0, -3600.0])
def test_where_the_clock_is_set_what_waits_and_what_was_seen_goes_with_it(by: float) -> None:
    own = Own()
    own.see(A)
    assert own.write(NOW + 1) is not None
    own.see(B, "refused", NOW + 1)
    due = own.due
    assert due is not None
    own.shift(by)
    assert own.due == due + by
    assert own.last_probes(a_service(an_instance("a"), an_instance("b"))) == {
        "a": LastProbe(NOW + by, ""),
        "b": LastProbe(NOW + 1 + by, "refused"),
    }


def test_an_error_of_ours_leaves_what_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Own()
    own.see(A)
    assert own.write(NOW + 1) is not None
    with monkeypatch.context() as patch:
        patch.setattr(consensus, "writing", lambda votes: 1 // 0)
        own.see(B, now=NOW + 2)
        assert own.write(NOW + 3) is None
    own.discount(A, NOW + 4)
    assert own.votes(NOW + 5) == {B: CheckState(True)}

"""What several replicas tell of one world is told once, however each of them read it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from support.drawing import pick
from zkdns.model import Change
from zkdns.pipeline.journal_merge import TOGETHER, merge
from zkdns.pipeline.journal_resume import MEANWHILE


@dataclass(frozen=True)
class Write:
    """A weight that was written, when, and in which transaction."""

    at: float
    zxid: int
    id: str
    weight: int


@st.composite
def writes(draw: st.DrawFn) -> list[Write]:
    at, weights, found = 1000.0, {"a": 1, "b": 1}, []
    for zxid in range(10, 10 + draw(st.integers(1, 12))):
        at += draw(pick(0.0, 0.01, 1.0, 20.0))
        id = draw(pick("a", "b"))
        weights[id] = draw(pick(*(n for n in (1, 2, 3) if n != weights[id])))
        found.append(Write(at, zxid, id, weights[id]))
    return found


@st.composite
def accounts(draw: st.DrawFn, world: list[Write]) -> list[Change]:
    """What one replica tells: it may have read several writes at once, and its clock may be off."""
    skew = draw(st.floats(-TOGETHER / 3, TOGETHER / 3))
    stands = {"a": 1, "b": 1}
    told: list[Change] = []
    batch: dict[str, Write] = {}
    for n, write in enumerate(world):
        batch.pop(write.id, None)
        batch[write.id] = write
        if n < len(world) - 1 and draw(st.booleans()):
            continue
        for id, latest in sorted(batch.items()):
            if latest.weight != stands[id]:
                was, now = str(stands[id]), str(latest.weight)
                told.append(
                    Change(write.at + skew, latest.zxid, "web", id, "weight", was, now, "registered so")
                )
            stands[id] = latest.weight
        batch = {}
    return told


@given(st.data())
def test_replicas_that_read_in_different_steps_tell_each_write_once(data: st.DataObject) -> None:
    world = data.draw(writes())
    told = [data.draw(accounts(world)) for _ in range(data.draw(st.integers(2, 3)))]
    merged = merge(told)
    assert {c.zxid for c in merged} == {c.zxid for one in told for c in one}
    assert len({c.zxid for c in merged}) == len(merged), "each transaction once"
    assert [c.at for c in merged] == sorted(c.at for c in merged)


@given(st.data())
def test_one_replica_beside_itself_says_no_more(data: st.DataObject) -> None:
    told = data.draw(accounts(data.draw(writes())))
    assert merge([told, told]) == merge([told]) == sorted(told, key=lambda c: (c.at, c.zxid))


def state(at: float, was: str, now: str, zxid: int = 7) -> Change:
    return Change(at, zxid, "web", "a", "state", was, now, "check: refused")


def test_what_no_node_tells_goes_by_its_time() -> None:
    here = [state(10.0, "healthy", "failing"), state(12.0, "failing", "healthy")]
    there = [replace(c, at=c.at + 0.4, zxid=9) for c in here]
    assert merge([here, there]) == here
    later = [replace(c, at=c.at + 60) for c in there]
    assert merge([here, later]) == [*here, *later]


def test_what_is_of_no_transaction_goes_by_its_time_too() -> None:
    away = Change(10.0, 0, "", "dc2", "registry", "within reach", "out of reach")
    later = replace(away, at=10.0 + 60)
    assert merge([[away], [later]]) == [away, later]
    assert merge([[away], [replace(away, at=10.5)]]) == [away]


def test_what_one_learned_late_since_it_was_away_is_told_once() -> None:
    gone = Change(10.0, 7, "web", "a", "gone", "healthy", "", "its session ended")
    late = replace(gone, at=500.0, zxid=9, why=MEANWHILE)
    assert merge([[gone], [late]]) == merge([[late], [gone]]) == [gone]
    assert len(merge([[gone], [replace(late, why="its session ended")]])) == 2


def test_flaps_of_one_transaction_are_as_many_as_the_one_saw_who_saw_most() -> None:
    here = [
        state(10.0 + n, *(("healthy", "failing") if n % 2 == 0 else ("failing", "healthy"))) for n in range(6)
    ]
    there = [replace(c, at=c.at + 0.1) for c in here[:4]]
    assert merge([here, there]) == here


def test_of_two_writes_the_finer_account_is_told_and_leads_on() -> None:
    def weight(at: float, zxid: int, was: str, now: str) -> Change:
        return Change(at, zxid, "web", "a", "weight", was, now, "registered so")

    coarse = [weight(1.0, 11, "1", "3"), weight(2.0, 13, "3", "5")]
    fine = [
        weight(1.1, 10, "1", "2"),
        weight(1.2, 11, "2", "3"),
        weight(1.9, 12, "3", "4"),
        weight(2.1, 13, "4", "5"),
    ]
    told = [(c.zxid, c.now) for c in merge([coarse, fine])]
    assert sorted(told) == [(10, "2"), (11, "3"), (12, "4"), (13, "5")]


def test_one_that_comes_is_told_once_though_one_replica_knows_of_its_probe_already() -> None:
    def comes(at: float, now: str) -> Change:
        return Change(
            at, 5, "web", "a", "registered", "", now, "no probe yet" if now == "starting" else "registered so"
        )

    good = Change(1.5, 6, "web", "a", "state", "starting", "healthy", "its first check is good")
    slow, quick = [comes(1.0, "starting"), good], [comes(1.1, "healthy")]
    assert merge([slow, quick]) == merge([quick, slow]) == slow
    early = [comes(0.9, "healthy")]
    assert merge([slow, early]) == merge([early, slow]) == early


def test_what_a_server_reads_again_when_it_begins_is_no_change() -> None:
    def registered(at: float, zxid: int) -> Change:
        return Change(at, zxid, "web", "a", "registered", "", "healthy", "registered so")

    gone = Change(3.0, 9, "web", "a", "gone", "healthy", "")
    assert merge([[registered(1.0, 5), registered(2.0, 5)]]) == [registered(1.0, 5)]
    assert merge([[registered(1.0, 5), gone, registered(4.0, 5)]]) == [
        registered(1.0, 5),
        gone,
        registered(4.0, 5),
    ]
    assert merge([[registered(1.0, 0), registered(2.0, 0)]]) == [registered(1.0, 0), registered(2.0, 0)]
    whole = replace(registered(1.0, 5), id="")
    assert merge([[whole, replace(whole, at=9.0, zxid=8)]]) == [whole]
    other = [registered(1.1, 5), registered(9.0, 5)]
    assert merge([[registered(1.0, 5)], other]) == [registered(1.0, 5)]

"""Whose beat is kept, and for how long."""

from __future__ import annotations

from zkdns.health.beats import CALM, Beats
from zkdns.health.lanes import KEPT_PLACES, Lane, Lanes


def test_it_is_kept_of_who_was_there_for_a_while_and_only_while_nobody_is_late() -> None:
    beats: Beats[str] = Beats(10.0)
    beats.keep("new", 1.0, since=0.0, now=CALM - 1)
    assert "new" not in beats
    beats.keep("web", 1.0, since=0.0, now=CALM)
    assert "web" in beats
    beats.note_late(CALM)
    beats.keep("flood", 1.0, since=0.0, now=2 * CALM - 1)
    beats.keep("web", 2.0, since=0.0, now=2 * CALM - 1)
    assert ("flood" in beats, "web" in beats, beats.cost) == (False, True, 2.0)
    beats.keep("flood", 1.0, since=0.0, now=2 * CALM)
    assert "flood" in beats


def test_there_is_room_for_so_much_and_who_comes_to_cost_more_than_that_loses_it() -> None:
    beats: Beats[str] = Beats(10.0)
    for name, cost in (("a", 6.0), ("b", 5.0), ("c", 4.0)):
        beats.keep(name, cost, since=0.0, now=CALM)
    assert [name for name in "abc" if name in beats] == ["a", "c"]
    beats.keep("a", 7.0, since=0.0, now=CALM)
    assert (len(beats), beats.cost) == (1, 4.0)
    beats.let_go("c")
    beats.let_go("c")
    assert (len(beats), beats.cost) == (0, 0.0)


def test_what_slow_targets_need_whose_beat_is_kept_is_free_whoever_else_answers_late() -> None:
    lanes: Lanes[int] = Lanes(512, 512)
    ours, theirs = range(64), range(100, 1000)
    for n in ours:
        lanes.keep(n, Lane.SLOW, 512 / KEPT_PLACES / len(ours), -CALM, 0.0)
    for lane in (Lane.SLOW, Lane.NEW, Lane.MUTE):
        for n in theirs:
            lanes.wait(lane, (n, 1, ""), n + 1000 * lane)
    begun = 0
    while lanes.next(0.0) is not None:
        begun += 1
    assert begun >= 256 // 2
    for n in ours:
        lanes.wait(lanes.lane_of(n, Lane.SLOW), ("web", 2, ""), n)
    assert sum(lanes.next(0.0) is not None for _ in ours) == len(ours)

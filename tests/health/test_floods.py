"""Services whose checks ask for far more probes than there are: who is not theirs is probed on time all the
same, and so is who was on time before they came. Time is only counted here."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import pairwise

import pytest

from zkdns.health.beats import CALM
from zkdns.health.lanes import KEPT_PLACES, KEPT_STARTS, RATE, Lane, Lanes, cost_in
from zkdns.health.prober import BEHIND
from zkdns.health.targets import WAYS
from zkdns.rounds import Whose

QUICK, SLACK = 0.1, 0.5
"""Seconds between two probes of theirs; by which ours may be later than its interval and a half."""

STEP = 0.004
WEB = -1
"""Ours is this one, and what is below."""

FLOODS: dict[str, tuple[Callable[[int], Whose], Whose, int]] = {
    "what one session registered": (lambda n: (n, "theirs", "r1"), ("web", "ours", "r1"), 0),
    "of as many sessions, in another registry": (lambda n: (n, n, "r1"), ("web", "ours", "r2"), 0),
    "of as many sessions, registered before": (lambda n: (n, n, "r1"), ("web", "ours", "r1"), 99_999),
    "of as many sessions, registered later": (lambda n: (n, n, "r1"), ("web", "ours", "r1"), -1),
    "what our session registered later": (lambda n: (n, "ours", "r1"), ("web", "ours", "r1"), -1),
    "of one service that has a session for each": (lambda n: ("many", n, "r1"), ("web", "ours", "r1"), 0),
    "of our service that has a session for each": (lambda n: ("web", n, "r1"), ("web", "ours", "r1"), -1),
}
"""Whose the n-th of them is, whose ours, and when that was registered; the n-th of them at n."""


class World:
    """Targets that take so long to answer, 0 for at once, each due again an interval after its start.
    `begun`: when ours were."""

    def __init__(self) -> None:
        self.lanes: Lanes[int] = Lanes(512, 128)
        self.begun: dict[int, list[float]] = {}
        self._targets: dict[int, tuple[Whose, float, float, float]] = {}
        self._due: list[tuple[float, int]] = []
        self._over: list[tuple[float, int, float, bool]] = []
        self._waiting: dict[int, tuple[float, Lane]] = {}
        self._since: dict[int, float] = {}
        self._now = 0.0

    def add(self, n: int, whose: Whose, moment: float, interval: float, took: float = 0.0) -> None:
        """`moment`: of its registration."""
        self._targets[n] = whose, moment, interval, took
        heapq.heappush(self._due, (self._now, n))

    def run(self, until: float) -> None:
        while self._now < until:
            while self._over and self._over[0][0] <= self._now:
                self._end(*heapq.heappop(self._over)[1:])
            while self._due and self._due[0][0] <= self._now:
                due, n = heapq.heappop(self._due)
                whose, moment, _, took = self._targets[n]
                lane = self.lanes.lane_of(n, Lane.SLOW if took else Lane.QUICK)
                self._waiting[n] = due, lane
                self.lanes.wait(lane, whose, n, moment)
            while (begun := self.lanes.next(self._now)) is not None:
                self._begin(begun)
            self._now += STEP

    def _begin(self, n: int) -> None:
        due, lane = self._waiting[n]
        interval, took = self._targets[n][2:]
        if n < 0:
            self.begun.setdefault(n, []).append(self._now)
        if is_late := self._now - due > max(interval, BEHIND):
            self.lanes.note_late(lane, self._now)
        if took:
            heapq.heappush(self._over, (self._now + took, n, self._now, is_late))
        else:
            self._end(n, self._now, is_late)

    def _end(self, n: int, started: float, is_late: bool) -> None:
        whose, _, interval, took = self._targets[n]
        self.lanes.done(self._waiting[n][1], whose[0], n)
        kind = Lane.SLOW if took else Lane.QUICK
        since = self._since.setdefault(n, self._now)
        if not is_late:
            self.lanes.keep(n, kind, cost_in(kind, interval, took), since, self._now)
        heapq.heappush(self._due, (started + max(interval, took), n))


@pytest.mark.parametrize("flood", FLOODS)
def test_who_is_not_theirs_is_on_time_beside_ten_thousand_probed_ten_times_a_second(flood: str) -> None:
    theirs, ours, moment = FLOODS[flood]
    world = World()
    for n in range(10_000):
        world.add(n, theirs(n), n, QUICK)
    world.add(WEB, ours, moment, 1.0)
    world.run(12.0)
    assert max(after - before for before, after in pairwise([*world.begun[WEB], 12.0])) <= 1.5 + SLACK


def test_who_is_as_they_are_and_came_between_them_is_late_and_not_left_out() -> None:
    world = World()
    for n in range(2000):
        world.add(n, (n, "theirs", "r1"), n, QUICK)
    world.add(WEB, ("web", "theirs", "r1"), 1000, 1.0)
    world.run(12.0)
    turns = RATE * WAYS / (WAYS + 2)
    assert max(after - before for before, after in pairwise(world.begun[WEB])) <= 1.0 + 2000 / turns


@pytest.mark.parametrize("took", [0.0, 0.8])
def test_who_was_on_time_before_thousands_came_stays_so_whoever_they_are(took: float) -> None:
    """As many as half of the probes are for, or of those that answer late an eighth of the places: were they
    all known before, these thousands would be older and newer than they are."""
    world = World()
    ours = int(RATE / KEPT_STARTS if not took else 512 // KEPT_PLACES / took)
    for n in range(ours):
        world.add(WEB - n, (n, "one", "r1"), 5000, 1.0, took)
    world.run(2.5 * CALM)
    for n in range(10_000):
        world.add(n, (n, "one", "r1"), n, QUICK, 9 * bool(took))
    begun, end = world._now, world._now + 12
    world.run(end)
    late = [
        max(after - before for before, after in pairwise([*(at for at in mine if at >= begun - 1), end]))
        for mine in world.begun.values()
    ]
    assert (len(late), max(late) <= 1.5 + SLACK) == (ours, True), max(late)

"""Services whose checks ask for far more probes than there are: who is not theirs is probed on time all the
same. Time is only counted here."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import pairwise

import pytest

from zkdns.health.lanes import RATE, Lane, Lanes
from zkdns.rounds import Whose

QUICK, SLACK = 0.1, 0.5
"""Seconds between two probes of theirs; by which ours may be later than its interval and a half."""

STEP = 0.004
WEB = -1

FLOODS: dict[str, tuple[Callable[[int], Whose], Whose, int]] = {
    "what one session registered": (lambda n: (n, "theirs", "r1"), ("web", "ours", "r1"), 0),
    "of as many sessions, in another registry": (lambda n: (n, n, "r1"), ("web", "ours", "r2"), 0),
    "of as many sessions, registered before": (lambda n: (n, n, "r1"), ("web", "ours", "r1"), 99_999),
    "of one service that has a session for each": (lambda n: ("many", n, "r1"), ("web", "ours", "r1"), 0),
}
"""Whose the n-th of them is, whose ours, and when that was registered; the n-th of them at n."""


def probed(lanes: Lanes[int], whose: dict[int, Whose], web: tuple[float, float], until: float) -> list[float]:
    """When ours was; `web`: its interval, and when it was registered. Each answers at once, and is due again
    an interval after that."""
    due, begun, now = [(0.0, n) for n in whose], [], 0.0
    heapq.heapify(due)
    interval, moment = web
    while now < until:
        while due and due[0][0] <= now:
            n = heapq.heappop(due)[1]
            lanes.wait(Lane.QUICK, whose[n], n, moment if n == WEB else n)
        while (n := lanes.next(now)) is not None:  # type: ignore[assignment]
            if n == WEB:
                begun.append(now)
            lanes.done(Lane.QUICK, whose[n][0], n)
            heapq.heappush(due, (now + (interval if n == WEB else QUICK), n))
        now += STEP
    return begun


@pytest.mark.parametrize("flood", FLOODS)
def test_who_is_not_theirs_is_on_time_beside_ten_thousand_probed_ten_times_a_second(flood: str) -> None:
    theirs, ours, moment = FLOODS[flood]
    whose = {n: theirs(n) for n in range(10_000)} | {WEB: ours}
    begun = probed(Lanes(512, 128), whose, (1.0, moment), 12.0)
    assert max(after - before for before, after in pairwise([*begun, 12.0])) <= 1.5 + SLACK


def test_who_is_as_they_are_is_late_and_not_left_out() -> None:
    whose: dict[int, Whose] = {n: (n, "theirs", "r1") for n in range(2000)} | {WEB: ("web", "theirs", "r1")}
    begun = probed(Lanes(512, 128), whose, (1.0, -1), 12.0)
    assert max(after - before for before, after in pairwise(begun)) <= 1.0 + 1.5 * 2000 / RATE

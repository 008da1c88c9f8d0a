"""Whose probe is next, by how targets answer: time is only counted here."""

from __future__ import annotations

import heapq
from collections import Counter
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdns.health.beats import CALM
from zkdns.health.lanes import BURST, FREE, KEPT, QUICK, UNSURE_STARTS, Lane, Lanes
from zkdns.rounds import Whose

Probe = tuple[str, int]


def of(service: str) -> Whose:
    """All that share one session and one registry."""
    return service, 1, "dc1"


class World:
    """Targets that take so long to answer; each is due again an interval after its start. `late`: by service,
    by how much the latest probe was."""

    def __init__(self, places: int = 512, each: int = 128) -> None:
        self.lanes: Lanes[Probe] = Lanes(places, each)
        self.now = 0.0
        self.late: Counter[str] = Counter()
        self.begun: Counter[str] = Counter()
        self._events: list[tuple[float, int, str, Lane, Probe, float, float]] = []
        self._waiting: dict[Probe, tuple[float, Lane, float, float]] = {}
        self._order = count()

    def add(self, lane: Lane, probe: Probe, took: float, interval: float, at: float = 0.0) -> None:
        self._put(at, "due", lane, probe, took, interval)

    def _put(self, at: float, what: str, lane: Lane, probe: Probe, took: float, interval: float) -> None:
        heapq.heappush(self._events, (at, next(self._order), what, lane, probe, took, interval))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, what, lane, probe, took, interval = heapq.heappop(self._events)
            if what == "due":
                self._waiting[probe] = (self.now, lane, took, interval)
                self.lanes.wait(lane, of(probe[0]), probe)
            else:
                self.lanes.done(lane, probe[0], probe)
            while (begun := self.lanes.next(self.now)) is not None:
                due, lane, took, interval = self._waiting.pop(begun)
                self.late[begun[0]] = max(self.late[begun[0]], self.now - due)  # type: ignore[assignment]
                self.begun[begun[0]] += 1
                self._put(self.now + took, "over", lane, begun, took, interval)
                if interval:
                    self._put(self.now + max(took, interval), "due", lane, begun, took, interval)
            if (at := self.lanes.ready_at(self.now)) is not None:
                self._put(at, "over", Lane.QUICK, ("", 0), 0, 0)


@pytest.mark.parametrize("lane", [Lane.QUICK, Lane.SLOW])
def test_who_answers_is_on_time_beside_twelve_hundred_services_that_never_do(lane: Lane) -> None:
    world = World()
    for n in range(1200):
        world.add(Lane.MUTE, (f"mute{n}", 0), 10.0, 5.0)
    for n in range(20):
        world.add(lane, ("web", n), 1.8 if lane is Lane.SLOW else 0.01, 5.0, 20 + n / 4)
    world.run(119.9)
    assert world.begun["web"] == 20 * 20
    assert world.late["web"] < 0.5
    assert all(world.begun[f"mute{n}"] for n in range(1200)), "none is left out"


def test_a_new_one_that_is_slow_waits_for_few_of_twelve_hundred_that_came_at_once() -> None:
    world = World()
    for n in range(1200):
        world.add(Lane.NEW, (f"mute{n}", 0), 10.0, 0.0)
    world.add(Lane.NEW, ("web", 0), 1.0, 0.0, 1.0)
    world.run(10)  # when the first of them have had their time
    assert world.begun["web"] == 1
    world.run(120)
    assert world.begun.total() == 1201


def test_those_that_answer_no_more_have_most_of_half_of_the_places_while_nobody_else_needs_them() -> None:
    world = World(512, 512)
    for n in range(1200):
        world.add(Lane.MUTE, ("mute", n), 10.0, 5.0)
    world.run(5)
    assert world.begun["mute"] == 256 * FREE // (FREE + 1)


@pytest.mark.parametrize("waits", [Lane.QUICK, Lane.SLOW])
def test_who_has_had_a_place_gives_it_up_for_whoever_waits_though_no_other_of_its_lane_does(
    waits: Lane,
) -> None:
    lanes: Lanes[Probe] = Lanes(4, 4)
    for n in range(4):
        lanes.wait(Lane.QUICK, of(f"s{n}"), (f"s{n}", 0))
        assert lanes.next(0.0) is not None
    assert not list(lanes.to_give_up())
    lanes.wait(waits, of("web"), ("web", 0))
    assert lanes.next(0.0) is None
    assert list(lanes.to_give_up()) == [("s0", 0)]
    lanes.done(Lane.QUICK, "s0", ("s0", 0))
    assert lanes.next(0.0) == ("web", 0)


PLAIN = [lane for lane in Lane if lane not in KEPT.values()]
lives = st.lists(
    st.tuples(st.sampled_from(["ends", "waits", "is kept"]), st.sampled_from(PLAIN), st.integers(0, 7)),
    max_size=200,
)


@given(lives, st.integers(1, 12))
def test_places_are_never_exceeded_and_none_that_waits_is_left_out(
    life: list[tuple[str, Lane, int]], places: int
) -> None:
    lanes: Lanes[Probe] = Lanes(places, places)
    running: list[tuple[Lane, Probe]] = []
    lane_of: dict[Probe, Lane] = {}
    begun: list[Probe] = []

    def begin(now: float) -> None:
        while (probe := lanes.next(now)) is not None:
            running.append((lane_of[probe], probe))
            begun.append(probe)
        unsure = sum(lane not in QUICK for lane, _ in running)
        assert len(running) <= places
        assert unsure <= max(1, places // 2)

    for n, (what, lane, k) in enumerate(life):
        if what == "ends" and running:
            ended, probe = running.pop(k % len(running))
            lanes.done(ended, probe[0], probe)
            lanes.let_go(probe)
        else:
            probe = (f"s{k}", n)
            if what == "is kept":
                lanes.keep(probe, lane, (1 + k) / 8, -CALM, float(n))
            lane_of[probe] = lanes.lane_of(probe, lane)
            lanes.wait(lane_of[probe], of(f"s{k}"), probe)
        begin(float(n))
    while running:
        ended, probe = running.pop()
        lanes.done(ended, probe[0], probe)
        begin(1e6)
    assert sorted(begun) == sorted(lane_of)


def starts(lanes: Lanes[Probe], number: int) -> Counter[str]:
    """So many at one moment, by service."""
    begun = [lanes.next(0.0) for _ in range(number)]
    return Counter(probe[0] for probe in begun if probe is not None)


def test_of_each_few_starts_one_is_of_those_that_do_not_answer_soon_whichever_way() -> None:
    lanes: Lanes[Probe] = Lanes(1000, 1000)
    for lane in PLAIN:
        for n in range(100):
            lanes.wait(lane, of(lane.name), (lane.name, n))
    begun = starts(lanes, 12 * UNSURE_STARTS)
    assert {lane: begun[lane.name] for lane in PLAIN} == {
        Lane.QUICK: 12 * (UNSURE_STARTS - 1), Lane.SLOW: 4, Lane.NEW: 4, Lane.MUTE: 4,
    }  # fmt: skip


def test_after_a_quiet_time_so_many_start_at_once_whatever_lanes_they_are_of() -> None:
    for chosen in ([Lane.QUICK], [Lane.QUICK, Lane.SLOW]):
        lanes: Lanes[Probe] = Lanes(3 * BURST, 3 * BURST)
        for lane in chosen:
            for n in range(2 * BURST):
                lanes.wait(lane, of("web"), ("web", n))
        assert starts(lanes, 2 * BURST).total() == BURST


def test_while_there_are_places_nobody_who_answers_gives_up_his() -> None:
    """Who waits then waits for the rate alone."""
    lanes: Lanes[Probe] = Lanes(BURST + 1, 2 * BURST)
    for n in range(2 * BURST):
        lanes.wait(Lane.QUICK, of("web"), ("web", n))
    assert starts(lanes, 2 * BURST).total() == BURST
    assert [*lanes.to_give_up()] == []
    assert lanes.next(1.0) is not None
    assert len([*lanes.to_give_up()]) == 1, "now its place is wanted"

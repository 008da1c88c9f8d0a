"""Whose probe is next, by how targets answer: those that do never wait for those that don't.

Rules: pure. Time comes in, in seconds of any clock that only grows. In each lane services, sessions and
registries take turns (`shares`); all lanes together have one rate. The lanes of targets that don't answer
soon have half of the places at most. How many of these one lane may take depends on how many are free (as in
`forward/load`): alone it has most of them, and the others' next probe starts soon all the same. Who was on
time keeps its beat (`beats`) and waits for nobody else: of both kinds that answer such targets have a lane of
their own.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Hashable, Iterator
from itertools import chain
from typing import Final, Generic, TypeVar

from zkdns.health.beats import Beats
from zkdns.health.shares import Shares
from zkdns.health.targets import WAYS
from zkdns.rounds import Whose

T = TypeVar("T", bound=Hashable)

RATE, BURST = 1000.0, 2000
"""Probes that start in a second, and as soon as there are places after a quiet time: a probe costs some
0.15 ms of the loop."""

KEPT_STARTS: Final = 2
"""One start in so many is of a target whose beat is kept, and so many of those that may start in a second are
kept for them at most."""

KEPT_PLACES: Final = 8
"""One place in so many is kept at most for slow targets whose beat is kept."""

SPARE: Final = 1.5
"""Times the places that they take on the average there are for these."""

UNSURE_STARTS = 4
"""Of the others' starts one in so many is of a target that does not answer soon, where those and others
wait."""

FREE = 3
"""A lane of those has at most so many times the places that are free for all of them."""


class Lane(enum.IntEnum):
    """How a target answers, as far as it is known."""

    QUICK = 0
    SLOW = 1
    """It answers, but not soon; or it did until a few probes ago."""
    NEW = 2
    """It had no answer soon, and no time for a verdict yet."""
    MUTE = 3
    """It answers no more."""
    KEPT_QUICK = 4
    KEPT_SLOW = 5
    """As the first two, and its beat is kept."""


QUICK: Final = Lane.QUICK, Lane.KEPT_QUICK
"""The lanes of targets that answer soon."""

KEPT: Final = {Lane.QUICK: Lane.KEPT_QUICK, Lane.SLOW: Lane.KEPT_SLOW}
"""Where those of a lane wait whose beat is kept."""


def cost_in(lane: Lane, interval: float, took: float) -> float:
    """What it costs to probe one of this lane so often that answers after so long: starts in a second, of one
    that answers late places on the average."""
    return 1 / interval if lane is Lane.QUICK else took / max(interval, took)


class Lanes(Generic[T]):
    """`places`: probes under way at once; `each`: of one service, in a lane."""

    def __init__(self, places: int, each: int) -> None:
        self._places = places
        self._lanes: dict[Lane, Shares[T]] = {
            lane: Shares(places, places if lane in KEPT.values() else each, RATE, BURST, ways=WAYS)
            for lane in Lane
        }
        self._unsure = [self._lanes[lane] for lane in (Lane.SLOW, Lane.NEW, Lane.MUTE)]
        self._kept = [self._lanes[lane] for lane in KEPT.values()]
        self._beats: dict[Lane, Beats[T]] = {
            Lane.QUICK: Beats(RATE / KEPT_STARTS), Lane.SLOW: Beats(places // KEPT_PLACES)
        }  # fmt: skip
        self._starts = 0
        self._is_for_kept = False

    def note_late(self, lane: Lane, now: float) -> None:
        """One that waited here was late by more than its interval."""
        if (beats := self._beats.get(lane)) is not None:
            beats.note_late(now)

    def keep(self, probe: T, lane: Lane, cost: float, since: float, now: float) -> None:
        """It was on time, and waits in this lane from now on. `cost`: of its beat there (`cost_in`); `since`:
        when it was probed first."""
        for kind, beats in self._beats.items():
            if kind is lane:
                beats.keep(probe, cost, since, now)
            else:
                beats.let_go(probe)

    def lane_of(self, probe: T, lane: Lane) -> Lane:
        """Where it waits, of those that answer so."""
        return KEPT[lane] if lane in KEPT and probe in self._beats[lane] else lane

    def let_go(self, probe: T) -> None:
        """It is probed no more."""
        for beats in self._beats.values():
            beats.let_go(probe)

    def wait(self, lane: Lane, whose: Whose, probe: T, moment: float = 0) -> None:
        """This one is due. `moment`: of its registration."""
        self._lanes[lane].wait(whose, probe, moment)

    def next(self, now: float) -> T | None:
        """Whose turn it is; None where nobody's may start now. What is given has a place until `done`."""
        self._share_places()
        self._is_for_kept = not self._is_for_kept
        kept, others = iter(self._kept), self._others()
        for lane in chain(kept, others) if self._is_for_kept else chain(others, kept):
            if (probe := lane.next(now)) is not None:
                for other in self._lanes.values():
                    if other is not lane:
                        other.spend()
                return probe
        return None

    def _others(self) -> Iterator[Shares[T]]:
        """The lanes of those whose beat is not kept, in the order of this turn."""
        self._starts += 1
        turn = self._starts // UNSURE_STARTS % len(self._unsure)
        unsure = self._unsure[turn:] + self._unsure[:turn]
        quick = self._lanes[Lane.QUICK]
        is_theirs = self._starts % UNSURE_STARTS == 0
        yield from [*unsure, quick] if is_theirs else [quick, *unsure]

    def _share_places(self) -> None:
        is_full = self._taken() >= self._places
        unsure = self._taken_unsure()
        for kind, lane in self._lanes.items():
            if lane.is_waiting:
                lane.places = lane.taken + (not is_full and self._may_have(kind, unsure))

    def _taken(self) -> int:
        return sum([lane.taken for lane in self._lanes.values()])

    def _taken_unsure(self) -> int:
        return sum([lane.taken for lane in self._unsure])

    @property
    def _kept_places(self) -> int:
        """Those that are nobody else's. As many as slow targets whose beat is kept take on the average would
        keep some of these waiting for the others."""
        beats = self._beats[Lane.SLOW]
        return math.ceil(beats.cost * SPARE) + 1 if beats else 0

    def _may_have(self, kind: Lane, unsure: int) -> bool:
        """Whether this lane may have another place, where one is free. `unsure`: how many those have whose
        targets don't answer soon."""
        if kind in QUICK:
            return True
        taken, room = self._lanes[kind].taken, max(1, self._places // 2)
        if kind is Lane.KEPT_SLOW:
            return taken < self._kept_places and taken + unsure < room
        return taken < FREE * (max(1, room - self._kept_places) - unsure)

    def done(self, lane: Lane, service: Hashable, probe: T) -> None:
        """It is over: its place is free."""
        self._lanes[lane].done(service, probe)

    def leave(self, lane: Lane, service: Hashable, probe: T) -> None:
        """It is wanted no more, whether it waits or not."""
        self._lanes[lane].leave(service, probe)

    def to_give_up(self) -> Iterator[T]:
        """Whose place is wanted: it is for the caller to end them, where they have had it for long enough."""
        unsure = self._taken_unsure()
        wanted = any(lane.is_waiting and self._may_have(kind, unsure) for kind, lane in self._lanes.items())
        if wanted and self._taken() >= self._places:
            for kind in QUICK:
                if (oldest := self._lanes[kind].oldest()) is not None:
                    yield oldest
        for lane in self._unsure:
            if (one := lane.to_give_up()) is not None:
                yield one

    def ready_at(self, now: float) -> float | None:
        """When another may start, if that is a matter of time alone."""
        moments = [at for lane in self._lanes.values() if (at := lane.ready_at(now)) is not None]
        return min(moments, default=None)

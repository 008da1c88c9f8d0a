"""Whose probe is next, by how targets answer: those that do never wait for those that don't.

Rules: pure. Time comes in, in seconds of any clock that only grows. In each lane services, sessions and
registries take turns (`shares`); all lanes together have one rate. The lanes of targets that don't answer
soon have half of the places at most. How many of these one lane may take depends on how many are free (as in
`forward/load`): alone it has most of them, and the others' next probe starts soon all the same.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from zkdns.health.shares import Shares
from zkdns.health.targets import WAYS
from zkdns.rounds import Whose

T = TypeVar("T", bound=Hashable)

RATE, BURST = 1000.0, 2000
"""Probes that start in a second, and as soon as there are places after a quiet time: a probe costs some
0.15 ms of the loop."""

UNSURE_STARTS = 4
"""One start in so many is of a target that does not answer soon, where those and others wait."""

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


class Lanes(Generic[T]):
    """`places`: probes under way at once; `each`: of one service, in a lane."""

    def __init__(self, places: int, each: int) -> None:
        self._places = places
        self._lanes: tuple[Shares[T], ...] = tuple(Shares(places, each, RATE, BURST, ways=WAYS) for _ in Lane)
        self._starts = 0

    def wait(self, lane: Lane, whose: Whose, probe: T, moment: float = 0) -> None:
        """This one is due. `moment`: of its registration."""
        self._lanes[lane].wait(whose, probe, moment)

    def next(self, now: float) -> T | None:
        """Whose turn it is; None where nobody's may start now. What is given has a place until `done`."""
        self._share_places()
        self._starts += 1
        quick, *unsure = self._lanes
        turn = self._starts // UNSURE_STARTS % len(unsure)
        unsure = unsure[turn:] + unsure[:turn]
        is_theirs = self._starts % UNSURE_STARTS == 0
        for lane in [*unsure, quick] if is_theirs else [quick, *unsure]:
            if (probe := lane.next(now)) is not None:
                for other in self._lanes:
                    if other is not lane:
                        other.spend()
                return probe
        return None

    def _share_places(self) -> None:
        quick, *unsure = self._lanes
        taken = sum(lane.taken for lane in unsure)
        quick.places = self._places - taken
        is_full = quick.taken >= quick.places
        for lane in unsure:
            lane.places = lane.taken + (not is_full and self._may_have(lane, taken))

    def _may_have(self, lane: Shares[T], taken: int) -> bool:
        """Whether one of those lanes may have another place, of `taken` that they have."""
        return lane.taken < FREE * (max(1, self._places // 2) - taken)

    def done(self, lane: Lane, service: Hashable, probe: T) -> None:
        """It is over: its place is free."""
        self._lanes[lane].done(service, probe)

    def leave(self, lane: Lane, service: Hashable, probe: T) -> None:
        """It is wanted no more, whether it waits or not."""
        self._lanes[lane].leave(service, probe)

    def to_give_up(self) -> Iterator[T]:
        """Whose place is wanted: it is for the caller to end them, where they have had it for long enough."""
        quick, *unsure = self._lanes
        taken = sum(lane.taken for lane in unsure)
        wanted = quick.is_waiting or any(lane.is_waiting and self._may_have(lane, taken) for lane in unsure)
        if wanted and quick.taken + taken >= self._places and (oldest := quick.oldest()) is not None:
            yield oldest
        for lane in unsure:
            if (one := lane.to_give_up()) is not None:
                yield one

    def ready_at(self, now: float) -> float | None:
        """When another may start, if that is a matter of time alone."""
        moments = [at for lane in self._lanes if (at := lane.ready_at(now)) is not None]
        return min(moments, default=None)

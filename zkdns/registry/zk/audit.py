"""When all is read again, to see whether a change was never told: in portions, with pauses between them.

Rules: no I/O, no clock; chance comes in as an argument. Replicas start at moments of their own, so that an
ensemble isn't read by all of them at once. A connection that is well in all but its watch events is found out
by this alone, so what is small is read often: that costs an ensemble the same as what is large now and then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

from zkdns.registry.zk.portion import MAX_READS
from zkdns.registry.zk.read_plan import ReadRequest
from zkdns.registry.zk.root_reads import RootReads

PAUSE: Final = 0.25
"""Seconds between two portions at most."""

RATE: Final = 100
"""Nodes that are read in a second on average, where the whole is neither small nor large."""

OFTEN: Final = 10
"""However small it is, it is read so many times as often as what is large, and no more."""

NEVER: Final = float("inf")


class Audit:
    """`every`: about how often, in seconds, at least. `due`: when the next portion is. `count`: how many are
    over."""

    def __init__(self, every: float, chance: Callable[[], float]) -> None:
        self.due = NEVER
        self.count = 0
        self._every = self._interval = every
        self._chance = chance
        self._portions: Iterator[tuple[RootReads, list[ReadRequest]]] | None = None

    @property
    def is_under_way(self) -> bool:
        return self._portions is not None

    def stop(self) -> None:
        """None, until one is planned."""
        self.due, self._portions = NEVER, None

    def plan(self, now: float, nodes: int) -> None:
        """The next one, of about so many, some time from now."""
        self._portions = None
        self._interval = min(self._every, max(self._every / OFTEN, nodes / RATE))
        self.due = now + self._interval * (0.75 + self._chance() / 2)

    def begin(self, roots: Sequence[RootReads]) -> None:
        """Of all that these have read so far."""
        self._portions = _divide(roots)

    def next(self, now: float, nodes: int) -> tuple[RootReads, list[ReadRequest]] | None:
        """What to read now; None where it is over, and the next one planned."""
        portion = next(self._portions, None) if self._portions is not None else None
        if portion is None:
            self.count += 1
            self.plan(now, nodes)
        else:
            self.due = NEVER  # until this one is read
        return portion

    def rest(self, now: float, nodes: int) -> None:
        """A portion is read: wait, so that all of `nodes` takes half of the time there is."""
        portions = 2 * nodes / MAX_READS + 1
        self.due = now + min(PAUSE, self._interval / 2 / portions)


def _divide(roots: Sequence[RootReads]) -> Iterator[tuple[RootReads, list[ReadRequest]]]:
    for root in roots:
        everything = root.plan.everything()
        while requests := list(islice(everything, MAX_READS // 2)):
            yield root, requests

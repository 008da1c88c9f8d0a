"""Which instances this replica probes: its part by the hash, and those that nobody else tells of.

Rules: pure. Who is to probe an instance may read another root, may not be allowed its check, or may only pose
as a replica: what those say nothing of is ours too once their time is over, until they do. The cost is that
of what is shared anew and of those whose time is over, however many wait.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from itertools import islice
from typing import Final

from zkdns.health.ballots import Ballots
from zkdns.health.consensus import assign
from zkdns.health.targets import Target

NEW: Final = 0.75
"""Seconds that an instance of which nobody has said anything waits for those who are to probe it: until then
it is in no answer, and a start waits for it a second longer than its probe may take."""

KNOWN: Final = 1.0
"""Seconds beyond a whole interval and its timeout, for one of which something is known."""

HEAP: Final = 64
"""So many of the queue may be waited for no more, and as many again as are."""

CHUNK: Final = 16
"""Instances that are shared between two looks at the clock."""


class Sharing:
    """`me`: our id among the voters of `ballots`; `probes`: whether we probe at all."""

    def __init__(self, me: str, probes: bool, ballots: Ballots) -> None:
        self._me = me
        self._probes = probes
        self._ballots = ballots
        self._voters = ballots.voters
        self._unshared: dict[str, None] = {}
        """Those of which it is not said yet who is to probe them, as things stand now."""
        self._taken_over: set[str] = set()
        """Those that we probe though others should."""
        self._until: dict[str, float] = {}
        """Those that wait for the word of others."""
        self._queue: list[tuple[float, str]] = []
        """The same by time; one that is waited for no more stays here until its own."""
        self._moved: dict[str, Target | None] = {}

    @property
    def has_work(self) -> bool:
        return bool(self._unshared)

    @property
    def wake(self) -> float | None:
        """When somebody's time is over, or would have been."""
        return self._queue[0][0] if self._queue else None

    def elect(self, paths: Iterable[str]) -> None:
        """Ballots or replicas came or went: where the voters have changed, all paths are shared anew."""
        if self._ballots.voters != self._voters:
            self._voters = self._ballots.voters
            self._unshared.update(dict.fromkeys(paths))

    def again(self, path: str) -> None:
        """This one is shared anew."""
        self._unshared[path] = None

    def heed(self, path: str, is_told_of: bool) -> None:
        """Something was said of it, or is said no more."""
        if self._probes and (not is_told_of or path in self._taken_over):
            self.again(path)

    def take(self, now: float) -> list[str]:
        """Some of those that are to be shared now."""
        some = list(islice(self._unshared, CHUNK))
        for path in some:
            del self._unshared[path]
        while len(some) < CHUNK and self._queue and self._queue[0][0] <= now:
            until, path = heapq.heappop(self._queue)
            if self._until.get(path) == until:
                del self._until[path]
                self._taken_over.add(path)
                some.append(path)
        return some

    def share(self, target: Target, now: float, is_known: bool) -> bool:
        """Whether it is ours to probe. `is_known`: something was said of it before."""
        path, assigned = target.path, assign(target.registered_at, self._voters)
        is_assigned = self._me in assigned
        is_left = not is_assigned and self._ballots.tell_of(path, assigned)
        if is_assigned or is_left:
            self._forget(path)
        if self._probes and (is_assigned or path in self._taken_over):
            self._moved[path] = target
            return True
        if self._probes and not is_left and path not in self._until:
            check = target.check
            until = now + (check.interval + check.timeout + KNOWN if is_known else NEW)
            self._until[path] = until
            heapq.heappush(self._queue, (until, path))
            if len(self._queue) > 2 * len(self._until) + HEAP:
                self._queue = [(until, path) for path, until in self._until.items()]
                heapq.heapify(self._queue)
        self._drop(path)
        return False

    def shift(self, by: float) -> None:
        """The clock was set."""
        self._until = {path: until + by for path, until in self._until.items()}
        self._queue = sorted((until, path) for path, until in self._until.items())

    def end(self, path: str) -> None:
        """It is there no more."""
        self._forget(path)
        self._drop(path)

    def is_ours(self, target: Target) -> bool:
        if not self._probes:
            return False
        return target.path in self._taken_over or self._me in assign(target.registered_at, self._voters)

    def take_moved(self) -> dict[str, Target | None]:
        """What is to be probed from now on, by path, None for no more: what changed since the last call."""
        moved, self._moved = self._moved, {}
        return moved

    def _forget(self, path: str) -> None:
        self._taken_over.discard(path)
        self._until.pop(path, None)

    def _drop(self, path: str) -> None:
        if self._probes:
            self._moved[path] = None

"""When each target is probed: spread over its interval, a bounded number at once.

Rules: one asyncio loop; nothing here judges. A new target is probed at once, and from then on at a
moment of its interval that hangs on `salt` and its path, so that neither the targets of one replica
nor the replicas of one target fire together. Where there is more to do than sockets, probes come late
and none is left out. A probe that raises is a bad one.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass

from zkdns.health import checks
from zkdns.health.consensus import hash_pair
from zkdns.health.targets import Target
from zkdns.model import Verdict

log = logging.getLogger("zkdns.health")

SOCKETS = 256
"""Probes under way at once; the limit of open files is often 1,024."""


@dataclass(slots=True, eq=False)
class _Scheduled:
    target: Target
    due: float


class Prober:
    """`told` gets each verdict, in the loop, with the target that it is of."""

    def __init__(
        self,
        told: Callable[[Target, Verdict], None],
        salt: str = "",
        sockets: int = SOCKETS,
        named: Callable[[str], checks.Probe] = checks.named,
    ) -> None:
        self._told = told
        self._salt = salt
        self._free = sockets
        self._named = named
        self._scheduled: dict[str, _Scheduled] = {}
        self._queue: list[tuple[float, int, _Scheduled]] = []
        self._queued = 0
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def schedule(self, target: Target) -> None:
        """Probe this, at once where it is new or has moved."""
        known = self._scheduled.get(target.path)
        if known is not None and known.target == target:
            return
        scheduled = self._scheduled[target.path] = _Scheduled(target, asyncio.get_running_loop().time())
        self._enqueue(scheduled)

    def drop(self, path: str) -> None:
        self._scheduled.pop(path, None)

    async def stop(self) -> None:
        """End all probes under way, and start no more."""
        self._scheduled.clear()
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _enqueue(self, scheduled: _Scheduled) -> None:
        self._queued += 1
        heapq.heappush(self._queue, (scheduled.due, self._queued, scheduled))
        self._arm()

    def _arm(self) -> None:
        if not self._queue or not self._free:
            return
        due = self._queue[0][0]
        if self._timer is not None:
            if self._timer.when() <= due and not self._timer.cancelled():
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._fire)

    def _fire(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        while self._queue and self._free and self._queue[0][0] <= loop.time():
            _, _, scheduled = heapq.heappop(self._queue)
            if self._scheduled.get(scheduled.target.path) is not scheduled:
                continue
            self._free -= 1
            task = loop.create_task(self._probe(scheduled))
            self._tasks.add(task)
            task.add_done_callback(self._done)
        self._arm()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._free += 1
        self._arm()

    async def _probe(self, scheduled: _Scheduled) -> None:
        target = scheduled.target
        started = asyncio.get_running_loop().time()
        why = target.unprobeable or await self._ask(target)
        if self._scheduled.get(target.path) is not scheduled:
            return
        scheduled.due = self._next(target, max(started, scheduled.due))
        self._enqueue(scheduled)
        self._told(target, Verdict(target.path, not why, why))

    async def _ask(self, target: Target) -> str:
        try:
            async with asyncio.timeout(target.check.timeout):
                return await self._named(target.check.type)(target)
        except TimeoutError:
            return f"no answer within {target.check.timeout:g} s"
        except OSError as error:
            return _say(error)
        except Exception as error:
            log.exception("the %s check of %s broke", target.check.type, target.path)
            return f"the check itself broke: {type(error).__name__}"

    def _next(self, target: Target, started: float) -> float:
        """The target's own moment in the interval, at least half of one away."""
        interval = target.check.interval
        phase = hash_pair(self._salt, target.path) / 2**64 * interval
        earliest = started + interval / 2
        return earliest + (phase - earliest) % interval


def _say(error: OSError) -> str:
    # asyncio gives several addresses' errors as one without a number; resolving gives negative ones.
    if error.errno is None or error.errno < 0:
        return (error.strerror or str(error))[:80].lower() or type(error).__name__
    return os.strerror(error.errno).lower()

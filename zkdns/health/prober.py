"""When each target is probed: spread over its interval, a bounded number at once.

Rules: one asyncio loop; nothing here judges. A new target is probed at once, and from then on at a moment of
its interval that depends on `salt` and its path, so that neither the targets of one replica nor the replicas
of one target fire together. Where there is more to do than places, services and those who registered them
take turns (`lanes`), and who was on time before keeps its beat: probes come late, which is told, and none is
left out; nobody who answers waits for those who don't, however many services they are of. A probe that raises
is a bad one, but for what is lacking here, time too: that says nothing of the target, and is told as ours.
What is registered once is probed once: a service's instances and those of its views share their verdicts.
"""

from __future__ import annotations

import asyncio
import errno
import heapq
import logging
import math
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from msgspec import Struct

from zkdns.health import checks
from zkdns.health.consensus import hash_pair
from zkdns.health.lanes import RATE, Lane, Lanes, cost_in
from zkdns.health.targets import Target
from zkdns.lack import HELD_UP, NO_PORT, Lack, is_local_lack, reason
from zkdns.model import Problem, Verdict

log = logging.getLogger("zkdns.health")

SOCKETS = 512
"""Probes under way at once."""

OF_ALL = 4
"""Where descriptors are few one in so many is for probes; the others are clients', upstreams'."""

EACH = 128
"""Probes of one service under way at once."""

A_TURN = 4
"""Probes that start in one turn of the loop: what comes of them meets in another one's turn."""

DUE = 256
"""Targets that come to wait in one turn of the loop, each for some microseconds."""

PATIENCE = 0.5
"""Seconds that a probe has before another may have its place. A target that needs more is a slow one."""

AGAIN = 1.0
"""Seconds until a probe is tried again that failed for want of our own."""

HEAP = 64
"""So many of those that are to be probed at a later time may be wanted no more, and as many again as are."""

LATE = 0.25
"""Seconds by which the loop itself may be late at the end of a probe's time. A process that was stopped, or
had no CPU, for longer can't tell who is silent."""


BEHIND = 1.0
"""Seconds by which a probe may be late, or an interval where that is longer, and is still on time."""


class _Lacking(Exception):
    """It says nothing of the target."""


class _Scheduled(Struct, eq=False):
    """`asking`: by path, the targets that what is found here is told of; `verdict`: the last one; `is_slow`:
    it had no answer for long; `silences`: how often in a row it had none at all; `lane`: where it waits, or
    has its place; `probed_since`: when it had its first verdict; `is_over`: nobody asks any more."""

    target: Target
    due: float
    asking: dict[str, Target]
    verdict: Verdict | None = None
    task: asyncio.Task[None] | None = None
    started: float = 0.0
    is_slow: bool = False
    silences: int = 0
    lane: Lane = Lane.QUICK
    probed_since: float = math.inf
    is_over: bool = False

    @property
    def service(self) -> str:
        """Whose share it counts against, wherever its instances stand."""
        return self.target.service

    def choose_lane(self) -> Lane:
        if not self.is_slow:
            return Lane.QUICK
        if self.verdict is None:
            return Lane.NEW
        return Lane.SLOW if self.silences < self.target.check.fall else Lane.MUTE

    def answer(self, took: float) -> None:
        """It was heard of, or not, after so long."""
        self.is_slow = took > PATIENCE
        if took < self.target.check.timeout:
            self.silences = 0
        elif self.verdict is None:
            self.silences = self.target.check.fall  # it never answered
        else:
            self.silences += 1


def places(descriptors: int) -> int:
    """Probes that may be under way at once where there are so many descriptors."""
    return max(1, min(SOCKETS, descriptors // OF_ALL))


class Prober:
    """`tell` gets each verdict, in the loop, with the target that it is of. `salt`: as above; `sockets`: how
    many probes may be under way; `named`: gives the probe of a kind of check."""

    def __init__(
        self,
        tell: Callable[[Target, Verdict], None],
        salt: str = "",
        sockets: int = SOCKETS,
        named: Callable[[str], checks.Probe] = checks.named,
    ) -> None:
        self.faults = 0
        """Errors of ours, each of which costs one probe."""
        self._tell = tell
        self._salt = salt
        self._lack, self._lack_of_ports = Lack(), Lack()
        self._lanes: Lanes[_Scheduled] = Lanes(sockets, min(EACH, sockets))
        self._late: dict[_Scheduled, float] = {}
        """Those whose latest probe was late, by how much: who was so last is the last."""
        self._named = named
        self._scheduled: dict[Target, _Scheduled] = {}
        self._by_path: dict[str, _Scheduled] = {}
        self._queue: list[tuple[float, int, _Scheduled]] = []
        self._queued = 0
        self._timer: asyncio.TimerHandle | None = None
        self._running: set[_Scheduled] = set()

    @property
    def lacks(self) -> tuple[str, ...]:
        """What is lacking here for probes: for all, and for some."""
        now = asyncio.get_running_loop().time()
        return tuple(why for lack in (self._lack, self._lack_of_ports) if (why := lack.why(now)))

    @property
    def late(self) -> Problem | None:
        """Where probes come late: of how many, and one of them."""
        if not self._late:
            return None
        one, seconds = next(reversed(self._late.items()))
        what = f"checked less often than asked for, {seconds:.0f} s late; so are {len(self._late) - 1} more"
        cure = f"set a longer check.interval where instances are many: a server probes {RATE:.0f} in a second"
        return Problem(one.target.path, what, cure)

    def schedule(self, target: Target) -> None:
        """Probe this, at once where it is new or has moved."""
        known = self._by_path.get(target.path)
        if known is not None and known.asking[target.path] == target:
            return
        self.drop(target.path)
        loop, place = asyncio.get_running_loop(), target.place()
        scheduled = self._scheduled.get(place)
        if scheduled is None:
            scheduled = self._scheduled[place] = _Scheduled(place, loop.time(), {})
            self._enqueue(scheduled)
        elif scheduled.verdict is not None:
            loop.call_soon(self._tell_one, scheduled, target)
        scheduled.asking[target.path] = target
        self._by_path[target.path] = scheduled

    def drop(self, path: str) -> None:
        scheduled = self._by_path.pop(path, None)
        if scheduled is None:
            return
        del scheduled.asking[path]
        if not scheduled.asking:
            del self._scheduled[scheduled.target]
            scheduled.is_over = True
            self._lanes.leave(scheduled.lane, scheduled.service, scheduled)
            self._lanes.let_go(scheduled)
            self._late.pop(scheduled, None)
            if len(self._queue) > 2 * len(self._scheduled) + HEAP:
                self._queue = [one for one in self._queue if not one[2].is_over]
                heapq.heapify(self._queue)

    async def stop(self) -> None:
        """End all probes under way, and start no more."""
        self._scheduled.clear()
        self._by_path.clear()
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
        tasks = [one.task for one in self._running if one.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _enqueue(self, scheduled: _Scheduled) -> None:
        self._queued += 1
        heapq.heappush(self._queue, (scheduled.due, self._queued, scheduled))
        self._arm()

    def _arm(self, at: float | None = None) -> None:
        moments = [self._queue[0][0]] if self._queue else []
        moments += [at] if at is not None else []
        if not moments:
            return
        due = min(moments)
        if self._timer is not None:
            if self._timer.when() <= due and not self._timer.cancelled():
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        try:
            self._start_some(now)
        except Exception as error:  # ours: it costs the one that it met, and the others are probed
            self._note(error)
            self._arm(now)

    def _note(self, error: BaseException) -> None:
        log.error("a health check met an error of our own", exc_info=error)
        self.faults += 1

    def _start_some(self, now: float) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(DUE):
            if not self._queue or self._queue[0][0] > now:
                break
            _, _, scheduled = heapq.heappop(self._queue)
            if self._is_wanted(scheduled):
                scheduled.lane = self._lanes.lane_of(scheduled, scheduled.choose_lane())
                target = scheduled.target
                self._lanes.wait(scheduled.lane, target.whose, scheduled, target.since)
        starts = 0
        while starts < A_TURN and (scheduled := self._lanes.next(now)) is not None:  # type: ignore[assignment]
            if not self._is_wanted(scheduled):
                self._lanes.done(scheduled.lane, scheduled.service, scheduled)
                continue
            starts += 1
            self._note_start(scheduled, now)
            scheduled.task = loop.create_task(self._probe(scheduled))
            self._running.add(scheduled)
            scheduled.task.add_done_callback(partial(self._done, scheduled))
        if starts == A_TURN:
            self._arm(now)
            return
        moments = [self._lanes.ready_at(now)]
        for one in self._lanes.to_give_up():
            if one.task is None:
                continue
            if now - one.started >= PATIENCE:
                one.is_slow = True
                one.task.cancel()
            else:
                moments.append(one.started + PATIENCE)
        self._arm(min((at for at in moments if at is not None), default=None))

    def _note_start(self, scheduled: _Scheduled, now: float) -> None:
        late, scheduled.started = now - scheduled.due, now
        self._late.pop(scheduled, None)
        if late > max(scheduled.target.check.interval, BEHIND):
            self._late[scheduled] = late
            self._lanes.note_late(scheduled.lane, now)

    def _done(self, scheduled: _Scheduled, task: asyncio.Task[None]) -> None:
        self._running.discard(scheduled)
        self._lanes.done(scheduled.lane, scheduled.service, scheduled)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._note(error)
        if (error is not None or task.cancelled()) and self._is_wanted(scheduled):
            self._postpone(scheduled)  # where it gave its place to another's it says nothing either
        self._arm(asyncio.get_running_loop().time())

    def _is_wanted(self, scheduled: _Scheduled) -> bool:
        return self._scheduled.get(scheduled.target) is scheduled

    def _postpone(self, scheduled: _Scheduled) -> None:
        scheduled.due = asyncio.get_running_loop().time() + AGAIN
        self._enqueue(scheduled)

    async def _probe(self, scheduled: _Scheduled) -> None:
        target = scheduled.target
        loop = asyncio.get_running_loop()
        try:
            why = target.unprobeable or await self._ask(target)
        except _Lacking as lacking:
            why = str(lacking)
            lack = self._lack_of_ports if why.startswith(NO_PORT) else self._lack
            if lack.meet(why, loop.time()):
                log.warning("health checks can't be made: %s; what was known of the instances holds", why)
            if self._is_wanted(scheduled):
                self._postpone(scheduled)
            return
        if not self._is_wanted(scheduled):
            return
        now = loop.time()
        took = now - scheduled.started
        scheduled.answer(took)
        scheduled.probed_since = min(scheduled.probed_since, now)
        if scheduled not in self._late:
            lane, interval, since = scheduled.choose_lane(), target.check.interval, scheduled.probed_since
            self._lanes.keep(scheduled, lane, cost_in(lane, interval, took), since, now)
        scheduled.due = self._next(target, max(scheduled.started, scheduled.due))
        self._enqueue(scheduled)
        scheduled.verdict = Verdict(target.path, not why, why)
        for one in list(scheduled.asking.values()):
            try:
                self._tell_one(scheduled, one)
            except Exception as error:
                self._note(error)

    def _tell_one(self, scheduled: _Scheduled, target: Target) -> None:
        verdict = scheduled.verdict
        if verdict is not None and scheduled.asking.get(target.path) is target:
            self._tell(target, replace(verdict, path=target.path))

    async def _ask(self, target: Target) -> str:
        """What is wrong, "" for nothing. `_Lacking` where something is lacking here."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + target.check.timeout
        try:
            async with asyncio.timeout(target.check.timeout):
                return await self._named(target.check.type)(target)
        except TimeoutError:
            if loop.time() > deadline + LATE:  # an answer may have come meanwhile, and nobody looked
                raise _Lacking(HELD_UP) from None
            return f"no answer within {target.check.timeout:g} s"
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise _Lacking(f"{NO_PORT} {target.authority}") from None
            if is_local_lack(error):
                raise _Lacking(_say(error)) from None
            return _say(error)
        except Exception as error:
            if is_local_lack(error):
                raise _Lacking(reason(error)) from None
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

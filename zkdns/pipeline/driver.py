"""Drives one Pipeline in this process's loop: registries, host names, probes, threads and timers around it.

Rules: one asyncio loop. What happens becomes a step; what is due is done, in one turn of the loop for all
that came in the one before. The pipeline knows none of this.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from typing import TypeVar

from zkdns.answers.table import Delta
from zkdns.forward.addresses import Resolved, Unresolved
from zkdns.forward.sockets import allow_many_sockets
from zkdns.health.prober import Prober, places
from zkdns.health.targets import Target
from zkdns.model import Event, Problem, Verdict
from zkdns.pipeline.hostnames import Account
from zkdns.pipeline.inputs import (
    ClockSet,
    Compilation,
    Done,
    FileRead,
    Happened,
    Heard,
    HostResolved,
    Probed,
    Ready,
)
from zkdns.pipeline.lookups import Lookups
from zkdns.pipeline.pipeline import Pipeline
from zkdns.pipeline.registry import Registry
from zkdns.pipeline.wall_clock import WallClock
from zkdns.registry.access import ZooKeeperSettings
from zkdns.registry.file import FileSource
from zkdns.registry.source import Source, ZooKeeperSource
from zkdns.registry.zk.mirror import Mirror

log = logging.getLogger("zkdns.pipeline")

T = TypeVar("T")

SLICE, SLICE_OF_START = 0.0005, 0.004
"""Seconds of work before queries have their turn, and before there is anything to answer from."""

THREADS = 2
YIELDS = 0.0005
"""Seconds, for each of its instances, in which a service that waits for a thread lets later ones go before
it: whoever has a thousand large services delays others' small ones by no more than the one that is under
way."""

PAUSE = 1.0
"""Seconds before a turn is tried again that ended with an error of ours."""


class Driver:
    """`publish` is given what moves in the answers, before anything else is looked at; `due` is told each
    Ready, before anything else is done with it. `observe`: how long a change took, from its watch event to
    the answers, in seconds. `replica`: the salt of the times at which we probe, None for not at all. Files
    are read at once (ConfigError)."""

    def __init__(
        self,
        pipeline: Pipeline,
        zookeeper: ZooKeeperSettings,
        resolve: Callable[[str], Awaitable[Resolved]],
        due: Callable[[Ready], None],
        *,
        publish: Callable[[Delta], None] = lambda delta: None,
        observe: Callable[[float], None] = lambda seconds: None,
        replica: str | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.heard: Callable[[str, str, list[Event]], None] | None = None
        """Is shown all that registries tell as well (registry, root, events)."""
        self.sources: dict[str, Source] = {}
        self.clock = WallClock(time.time, time.monotonic)
        self.errors = 0
        """Errors of ours in what was due."""
        self._publish = publish
        self._due = due
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._resolve_outside = resolve
        self._lookups = Lookups(self._resolve, self._host_changed)
        self._wanted: Mapping[str, Account] = {}
        self._prober: Prober | None = None
        if replica is not None:
            self._prober = Prober(self._probed, replica, places(allow_many_sockets()))
        self._threads = ThreadPoolExecutor(THREADS, "zkdns-compile")
        self._running = 0
        self._waiting: list[tuple[float, int, Compilation]] = []
        """What waits for a thread: by when its turn comes, and in the order in which it came."""
        self._came = count()
        self._turn: asyncio.Handle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._wakes_at: float | None = None
        self._answered = 0.0
        """When what moved was put in force last (perf_counter)."""
        self._stopped = False
        self._mirrors: dict[frozenset[str], Mirror] = {}
        for name, registry in pipeline.registries.items():
            self.sources[name] = self._open(name, registry, zookeeper)

    async def _resolve(self, host: str) -> Resolved:
        filed = self.pipeline.overlay.find_host(host)
        if filed is None or filed.outside:
            return await self._resolve_outside(host if filed is None else filed.outside)
        if not filed.addresses:
            raise Unresolved(f"{host} has no address in the zone files")
        return Resolved(filed.addresses, filed.ttl)

    @property
    def faults(self) -> int:
        """Errors of ours in what was due, and over probes."""
        return self.errors + (self._prober.faults if self._prober is not None else 0)

    @property
    def mirrors(self) -> tuple[Mirror, ...]:
        """One for each ensemble."""
        return tuple(self._mirrors.values())

    @property
    def lacks(self) -> tuple[str, ...]:
        """What is lacking here for health checks."""
        return self._prober.lacks if self._prober is not None else ()

    @property
    def late_checks(self) -> Problem | None:
        """Where there is more to check than time."""
        return self._prober.late if self._prober is not None else None

    @property
    def lack_of_lookups(self) -> str:
        """What is lacking here for looking up host names; "" for nothing."""
        return self._lookups.lack

    @property
    def zookeepers(self) -> dict[str, ZooKeeperSource]:
        """Those of the registries that are ensembles, by name."""
        return {name: s for name, s in self.sources.items() if isinstance(s, ZooKeeperSource)}

    def start(self) -> None:
        for source in self.sources.values():
            source.start()
        self._soon()

    async def stop(self) -> None:
        self._stopped = True
        for handle in (self._turn, self._alarm):
            if handle is not None:
                handle.cancel()
        stops: list[Awaitable[None]] = [source.stop() for source in self.sources.values()]
        if self._prober is not None:
            stops.append(self._prober.stop())
        # At once: each may take its seconds (a frozen ensemble), and all have five.
        await asyncio.gather(self._lookups.stop(), *stops)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def step(self, happened: Happened) -> None:
        """This happened. What is due then is done at the loop's next turn."""
        self.pipeline.step(happened, self.look())
        self._soon()

    def look(self) -> float:
        """Seconds since the epoch. Where somebody set the clock, what waits is moved along with it first. To
        be called now and then: what ends at a time of that clock may be over though nothing happens."""
        now, by = self.clock.look()
        if by:
            log.warning("the clock was set %s by %.1f s", "forward" if by > 0 else "back", abs(by))
            self.pipeline.step(ClockSet(by), now)
            self._set_alarm(now, None)
            self._soon()
        return now

    def compile_now(self, service: str) -> Delta:
        """Somebody asks for a service that was deferred: what that moves in the answers, at once. From now on
        its changes go before those of the thousands that nobody asks for."""
        delta = self.pipeline.compile_now(service, self.look())
        if (asked := self.pipeline.services.get(service)) is not None:
            paths = (asked.path, *[i.path for i in asked.instances])  # it may be of several registries
            for mirror in self.mirrors:
                mirror.favour(paths)
        self._soon()
        return delta

    # --- what happens -----------------------------------------------------------------------------

    def _open(self, name: str, registry: Registry, zookeeper: ZooKeeperSettings) -> Source:
        url = registry.url
        if url.scheme == "file":
            file = FileSource(url.path, lambda: self.step(FileRead(name, file.catalog)))
            self.pipeline.step(FileRead(name, file.load()), self.look())
            return file
        return ZooKeeperSource(
            url, zookeeper, registry.scopes, partial(self._hear, name), self._mirrors,
        )  # fmt: skip

    def _hear(self, name: str, root: str, events: list[Event], more_went: bool) -> None:
        if self.heard is not None:
            self.heard(name, root, events)
        self.step(Heard(name, root, tuple(events), more_went))

    def _host_changed(self, host: str, addresses: tuple[str, ...]) -> None:
        self.step(HostResolved(host, addresses, self._lookups.problems.get(host, "")))

    def _probed(self, target: Target, verdict: Verdict) -> None:
        self.step(Probed(target, verdict))

    # --- what is due ------------------------------------------------------------------------------

    def _soon(self) -> None:
        if self._turn is None and not self._stopped:
            self._turn = self._loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._turn = None
        if self._stopped:
            return
        now = self.look()
        try:
            delta = self.pipeline.publish(now, SLICE_OF_START if self.pipeline.is_loading else SLICE)
            if delta:  # who asks waits for this, and for nothing of the rest
                self._attempt(self._publish, delta)
            self._answered = time.perf_counter()
            ready = self.pipeline.rest(now)
        except Exception:
            log.exception("the pipeline goes on after an error of our own")
            self._set_alarm(now, now + PAUSE)
            return
        # What is due is told once: what fails of it costs nothing else of it.
        self._attempt(self._due, ready)
        self._attempt(self._do, ready)
        if ready.more:
            self._soon()
        else:
            self._set_alarm(now, ready.wake)

    def _set_alarm(self, now: float, at: float | None) -> None:
        """Have a turn then, and at no other time of those that were told before: mostly it is the same."""
        if at == self._wakes_at:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._wakes_at = at
        self._alarm = self._loop.call_later(max(0.0, at - now), self._ring) if at is not None else None

    def _ring(self) -> None:
        self._alarm = self._wakes_at = None
        self._soon()

    def _do(self, ready: Ready) -> None:
        for came in ready.served if not self.pipeline.is_loading else ():
            self._observe(self._answered - came)
        if not ready.is_behind:
            for mirror in self._mirrors.values():
                mirror.take()
        for compilation in ready.compile:
            self._attempt(self._compile, compilation)
        if self._prober is not None:
            for path, target in ready.probe.items():
                if target is None:
                    self._prober.drop(path)
                else:
                    self._attempt(self._prober.schedule, target)
        if ready.resolve is not self._wanted:
            self._wanted = ready.resolve
            self._attempt(self._lookups.want, ready.resolve)
        if ready.write:
            keep = next(iter(self.zookeepers.values())).mirror.keep
            for path, data in ready.write.items():
                keep(path, data)

    def _attempt(self, act: Callable[[T], None], what: T) -> None:
        try:
            act(what)
        except Exception:
            self.errors += 1
            log.exception("the pipeline goes on after an error of our own")

    def _compile(self, compilation: Compilation) -> None:
        turn = self._loop.time() + compilation.size * YIELDS
        heapq.heappush(self._waiting, (turn, next(self._came), compilation))
        self._begin_next()

    def _begin_next(self) -> None:
        while self._waiting and self._running < THREADS and not self._stopped:
            _, _, compilation = heapq.heappop(self._waiting)
            self._attempt(_freeze, compilation)
            self._running += 1
            self._loop.run_in_executor(self._threads, compilation.work).add_done_callback(self._end_one)

    def _end_one(self, future: asyncio.Future[Done]) -> None:
        self._running -= 1
        if not future.cancelled() and not self._stopped:
            self._begin_next()
            self.step(future.result())


def _freeze(compilation: Compilation) -> None:
    compilation.freeze()

"""One process from start to end: who is started, who tells whom, and the phase that it is in.

Rules: one asyncio loop. A part that fails to start is the operator's error and ends the start; a part
that fails later is logged and costs only itself. What is answered is the pipeline's; this only drives it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from zkdns import __version__
from zkdns.answers.service import ServiceAnswers
from zkdns.answers.table import Delta, Table, position_of
from zkdns.answers.zonefiles.folder import ZoneFiles
from zkdns.config import RESTART_ONLY, Settings
from zkdns.forward.addresses import Resolved
from zkdns.forward.allow import Permits, permit
from zkdns.forward.forwarder import Forwarder
from zkdns.forward.machine import ask_machine
from zkdns.model import Change, ConfigError
from zkdns.pipeline.driver import Driver
from zkdns.pipeline.inputs import Ready, ZoneFilesRead
from zkdns.pipeline.journal import OUT_OF_REACH
from zkdns.pipeline.pipeline import Pipeline
from zkdns.pipeline.registry import STATE_WAIT
from zkdns.pipeline.replica import Replica
from zkdns.pipeline.start import Stage
from zkdns.registry.nothing import tell_missing
from zkdns.serve import engine
from zkdns.serve.aside import Aside, run_in
from zkdns.serve.dispatch import Dispatcher
from zkdns.serve.histogram import Histogram
from zkdns.serve.listen.bind import is_shared, reached_at
from zkdns.serve.listen.neighbour import find_stranger
from zkdns.serve.respond import identity, is_ours, next_position
from zkdns.server import advertised, collector
from zkdns.server.lack import Shortage
from zkdns.server.notify import Notifier
from zkdns.server.recorder import Recorder
from zkdns.server.rereading import Rereading
from zkdns.server.state_directory import StateDirectory
from zkdns.server.status import Observer, Phase, count_held
from zkdns.web.http import Web

log = logging.getLogger("zkdns")

CHANGE_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

SWITCH_SECONDS = 0.0001
"""After which one thread of Python's gives way to another once we answer: the mirror reads on a thread of its
own, and large services are compiled on others. Neither should a query wait the usual 5 ms for its turn, nor a
change while the loop answers a flood. Until then nobody waits, and turns so short are a tenth of a start."""

DEFERS = 1000
"""From so many services on those that nobody asks for are not compiled: with fewer a start takes a second
whatever they say, and nobody's first question should wait."""


def new_id() -> str:
    """How the other replicas know this process. Containers share process ids, and with the host's network its
    name as well: chance tells them apart."""
    return f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"


class Server:
    """`run` serves until it is told to stop. `reload`: reads the settings again (ConfigError)."""

    def __init__(self, settings: Settings, reload: Callable[[], Settings]) -> None:
        self.settings = settings
        self.phase = Phase.LOADING
        self.started = time.time()
        self.change_seconds = Histogram(CHANGE_BOUNDS)
        self.lack = Shortage()
        self._reload = reload
        self._loop = asyncio.get_running_loop()
        self._stop_asked = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._joining: asyncio.Task[None] | None = None
        """Waits for our turn on addresses where another server still answers."""
        self._listens = asyncio.Event()
        self._mistake: ConfigError | None = None
        """The operator's error that came up after the start, and ends us."""
        id = new_id()
        self.replica = Replica(
            id, *advertised.at_start(settings), answered=lambda: sum(self.engine.counts().values()),
            failover=settings.failover,
        )  # fmt: skip
        cache = engine.choose_cache(settings)
        native = engine.open_native(settings.engine, cache, client_table=settings.client_table)
        self.pipeline = Pipeline(
            settings, time.time(), addresses=reached_at(settings.listen), replica=self.replica,
            position_of=native.position_of if native is not None else position_of,
            tick=time.perf_counter, threads=True, defers=DEFERS, prepare=self._prepare,
        )  # fmt: skip
        table = Table(identity=identity(f"zkdns {__version__}", socket.gethostname()))
        self.forwarder = Forwarder(settings, cache=cache, is_ours=lambda name: is_ours(name, table))
        self._threads = ThreadPoolExecutor(1, "zkdns-names")
        self.dispatcher = Dispatcher(
            table,
            self.forwarder,
            native.take_position if native is not None else next_position,
            Aside(run_in(self._threads)),
        )
        self.dispatcher.compile_now = self._compile_now
        self.engine = engine.choose(self.dispatcher, native)
        self.zone_files = ZoneFiles(settings.zones, [zone.apex for zone in self.pipeline.builder.zones])
        self.state_directory = StateDirectory(settings.state, self.pipeline)
        self.recorder = Recorder(
            settings,
            self.pipeline.services,
            lambda: self.pipeline.builder.topology,
            lambda: self.pipeline.stage is Stage.READY,
            lambda: [r.name for r in self.pipeline.registries.values() if r.is_whole],
            known=lambda: self.pipeline.known,
        )
        self.notifier = Notifier()
        self.rereading = Rereading(self._read_again, self._take_settings, self.notifier)
        self.driver = Driver(
            self.pipeline, settings.zookeeper, self._resolve, self._take_ready,
            publish=self._publish, observe=self.change_seconds.observe, replica=id,
        )  # fmt: skip
        self.web = Web(
            Observer(
                self, self.pipeline, self.driver, self.engine, self.forwarder, self.zone_files,
                self.state_directory, self.recorder,
            )
        )  # fmt: skip

    # --- life ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Start, serve until SIGTERM or SIGINT, stop."""
        for sig in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(sig, self._ask_stop)
        self._loop.add_signal_handler(signal.SIGHUP, self.reload)
        # One may have come before there was a handler.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        self._loop.set_exception_handler(self.lack.handle)
        await self.start()
        try:
            await self._stop_asked.wait()
        finally:
            await self.stop()
        if self._mistake is not None:
            raise self._mistake

    def _ask_stop(self) -> None:
        self._stop_asked.set()
        if not self._listens.is_set():
            self.zone_files.stop()  # a start waits for them

    async def start(self) -> None:
        """Listens and begins to read; ConfigError where it may not listen so."""
        telling = self._spawn(self._tell_reading(), "tell")
        try:
            await self._load_zone_files()
        finally:
            telling.cancel()
        if self._stop_asked.is_set():
            return
        if self._is_shared():
            log.info("another server answers on our addresses: this one joins it once its catalog is loaded")
            self._joining = self._spawn(self._join(), "join")
        else:
            await self._listen()
        await self.forwarder.start()
        self.driver.start()
        self._spawn(self._remember(), "state")
        self._spawn(advertised.follow(self.settings, self.driver.step), "advertise")
        self._spawn(self._tick(), "tick")
        self._spawn(collector.follow(), "collect")
        self._spawn(self._look_at(self.recorder.write, "the journal"), "journal")
        self._spawn(self._look_at(self._follow_zone_files, "zone files"), "follow zone files")

    async def _tell_reading(self) -> None:
        """A start with zone files of a million lines takes a minute or more: systemd would end it, and the
        next one as well."""
        while True:
            self.notifier.wait("reads zone files", prolongs=True)
            await asyncio.sleep(1.0)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = self._loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, ConfigError):
            self._mistake = error
            self._stop_asked.set()
        elif error is not None:
            log.error("%s ended: %r", task.get_name(), error, exc_info=error)

    def _is_shared(self) -> bool:
        http = self.settings.http
        return any(map(is_shared, (*self.settings.listen, *([http] if http else []))))

    async def _join(self) -> None:
        """A restart by overlap: SERVFAIL until we are ready would lose what the other can answer."""
        while self.phase in (Phase.LOADING, Phase.SETTLING) and self._is_shared():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await self._listen()

    async def _listen(self) -> None:
        self.engine.configure(self.settings)
        strangers = [await asyncio.to_thread(find_stranger, address) for address in self.settings.listen]
        await self.engine.start(self.settings.listen, self.settings.workers)
        for address, what in zip(self.settings.listen, strangers, strict=True):
            if what:
                log.warning(
                    "another program shares %s with us and %s: a part of the queries goes there; "
                    "stop it, or listen elsewhere", address, what,
                )  # fmt: skip
        if self.settings.http is not None:
            await self.web.start(self.settings.http, self.settings.http_hosts)
        self._listens.set()

    async def _remember(self) -> None:
        """What is not read soon is answered from what the state directory holds."""
        await asyncio.sleep(STATE_WAIT)
        if self.pipeline.stage is not Stage.LOADING:
            return
        remembered = await self.state_directory.load()
        for one in remembered:
            self.driver.step(one)
        if self.pipeline.stage is Stage.LOADING and not remembered:
            log.warning("not read yet: %s: SERVFAIL with EDE 14 until it is", self._unread)

    @property
    def _unread(self) -> str:
        """The registries that were not read whole so far, with what keeps us from it where that is told."""
        unread = [r for r in self.pipeline.registries.values() if not r.is_whole]
        return ", ".join(
            r.url.text + "".join(f" ({one.path}: {one.what})" for one in r.refusals) for r in unread
        )

    async def _tick(self) -> None:
        """What is looked at every second: the clock, the state directory, systemd."""
        while True:
            await asyncio.sleep(1.0)
            try:
                self.driver.look()
                joining = self._joining is not None and not self._joining.done()
                self.notifier.wait("waits for the registry to be read", prolongs=joining)
                self.state_directory.look()
                self.state_directory.keep()
            except Exception:
                log.exception("the server goes on after an error of its own")

    async def _look_at(self, look: Callable[[], Awaitable[None]], what: str) -> None:
        """Look after something every second, by itself: zone files may take minutes, and a disk may hang."""
        while True:
            await asyncio.sleep(1.0)
            try:
                await look()
            except Exception:
                log.exception("%s could not be looked at", what)

    async def _follow_zone_files(self) -> None:
        if await self.zone_files.changed():
            await self._load_zone_files()

    async def stop(self) -> None:
        """Lameduck, then take no more, answer what is here, end."""
        self.phase = Phase.LAMEDUCK
        self.notifier.stopping(f"answers on for {self.settings.lameduck:g} s, then stops")
        if self.settings.lameduck:
            log.info("lameduck for %g s: answers go on, health checks are told 503", self.settings.lameduck)
            self._stop_asked.clear()
            try:
                await asyncio.wait_for(self._stop_asked.wait(), self.settings.lameduck)
            except TimeoutError:
                pass
        self.zone_files.stop()
        for task in list(self._tasks):
            task.cancel()
        await self.engine.stop()
        await self.forwarder.stop(1.0)
        self.engine.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.gather(self.driver.stop(), self.web.stop())
        await self.state_directory.stop()
        await self.recorder.close()
        self.phase = Phase.STOPPED
        log.info("stopped")

    def reload(self) -> None:
        """SIGHUP: settings and zone files again; what is wrong is told, and the old stays in force."""
        if self.rereading.ask():
            self._spawn(self.rereading.work(), "settings")

    def _read_again(self) -> tuple[Settings, Permits]:
        settings = self._reload()
        self.pipeline.check(settings)
        return settings, permit(settings.forward_allow)

    def _take_settings(self, read: tuple[Settings, Permits]) -> None:
        settings, allows = read
        self.forwarder.reload(settings, allows)
        for name in RESTART_ONLY:
            if getattr(settings, name) != getattr(self.settings, name):
                log.warning("reload: %s needs a restart; the old one stays in force", name)
        settings = replace(settings, **{name: getattr(self.settings, name) for name in RESTART_ONLY})
        self.settings = settings
        self.driver.step(settings)
        self.engine.configure(settings)
        self._spawn(self._load_zone_files(anew=True), "zone files")

    async def _load_zone_files(self, *, anew: bool = False) -> None:
        zones = await self.zone_files.load(anew=anew)
        if zones is not None:
            self.driver.step(ZoneFilesRead(zones))

    # --- from the pipeline ------------------------------------------------------------------------------

    async def _resolve(self, host: str) -> Resolved:
        return await (self.forwarder.resolve(host) if self.forwarder.enabled else ask_machine(host))

    def _prepare(self, answers: ServiceAnswers) -> None:
        """A service of many was compiled, in the thread that did so."""
        self.engine.prepare(answers.entries, answers.names)

    def _compile_now(self, service: str) -> None:
        """Somebody asks for a service that is not compiled yet."""
        self.engine.apply(self.driver.compile_now(service))

    def _publish(self, delta: Delta) -> None:
        """What moved in the answers."""
        self.engine.apply(delta)

    def _take_ready(self, ready: Ready) -> None:
        """They are in force: tell."""
        was = self.phase
        self._follow_stage()
        if ready.more:
            collector.look()
        if ready.changes:
            self._tell(ready.changes)
        elif self.phase is not was:
            self.recorder.begin()  # all of the start is told: what comes next is a change

    def _tell(self, changes: tuple[Change, ...]) -> None:
        wall = self.pipeline.wall
        with wall.around("the journal", "written"):
            self.recorder.take(changes)
        with wall.around("/api/v1/events", "told"):
            self.web.tell(changes)
        for change in changes:
            if change.what == "registry":
                self._tell_reach(change)

    def _tell_reach(self, change: Change) -> None:
        which = f"the registry {change.id}" if len(self.settings.registry) > 1 else "the registry"
        if change.now == OUT_OF_REACH:
            log.warning("%s is out of reach: answers go on from what was last known (EDE 3)", which)
        else:
            log.info("%s is back", which)

    def _follow_stage(self) -> None:
        if self.phase in (Phase.LAMEDUCK, Phase.STOPPED):
            return
        was = self.phase
        if was in (Phase.LOADING, Phase.SETTLING):
            collector.leave()
        if self.pipeline.stage is Stage.LOADING:
            self.phase = Phase.LOADING
        elif self.pipeline.stage is Stage.SETTLING:
            self.phase = Phase.SETTLING
        else:
            self.phase = Phase.READY if self.pipeline.registries.is_live else Phase.FROM_STATE
        if was in (Phase.LOADING, Phase.SETTLING) and self.phase in (Phase.READY, Phase.FROM_STATE):
            sys.setswitchinterval(SWITCH_SECONDS)
            if self.phase is Phase.FROM_STATE:
                what = "answers are those that the state directory holds"
                log.warning("not read yet: %s: %s", self._unread, what)
            self._spawn(self._say_ready(), "ready")

    async def _say_ready(self) -> None:
        await self._listens.wait()  # all may be read before: registry files and zone files
        zones, addresses = (", ".join(map(str, many)) for many in (self.settings.zone, self.settings.listen))
        held = await asyncio.to_thread(count_held, dict(self.pipeline.services))
        status = f"ready: engine {self.engine.name}, zones {zones}, {held}, on {addresses}"
        log.info("%s", status)
        self.notifier.ready(status)
        for missing in (tell_missing(r.url) for r in self.pipeline.registries.values() if r.is_missing):
            log.warning("%s: %s; %s", missing.path, missing.what, missing.cure)

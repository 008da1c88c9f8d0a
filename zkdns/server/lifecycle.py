"""The loop and the wiring: who is started, who tells whom, and the only references that change.

Rules: one asyncio loop. A part that fails to start is the operator's error and ends the start; a part
that fails later is logged and costs only itself.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from zkdns import __version__
from zkdns.answers.builder import Builder
from zkdns.answers.table import Table, position_of
from zkdns.answers.zonefiles.folder import ZoneFiles
from zkdns.config import FIXED, Settings
from zkdns.forward.forwarder import Forwarder
from zkdns.health.health import Health
from zkdns.model import Catalog, ConfigError, Problem, serial_of
from zkdns.pipeline.hostnames import Hostnames
from zkdns.pipeline.publisher import Publisher
from zkdns.pipeline.replica import Replica
from zkdns.pipeline.staleness import Staleness
from zkdns.registry.source import OVERRIDES, Source, ZooKeeperSource, is_read, open_sources
from zkdns.registry.state import InstanceOverrides
from zkdns.serve import engine
from zkdns.serve.dispatch import Dispatcher, Histogram
from zkdns.serve.listen.bind import is_shared, reached_at
from zkdns.serve.respond import identity, is_ours, next_position
from zkdns.server import advertised
from zkdns.server.notify import Notifier
from zkdns.server.state_directory import StateDirectory
from zkdns.web.http import Web

log = logging.getLogger("zkdns")

FIRST_HOSTS = 3.0
"""Seconds that `ready` waits for host names at most."""
PATIENCE = 2.0
"""Seconds that a start waits for a registry that is being read before it answers from the state that
was kept; and GLANCE for one that can't be reached."""
GLANCE = 0.5

CHANGE_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Server:
    """`run` serves until it is told to stop. `reload`: reads the settings again (ConfigError)."""

    def __init__(self, settings: Settings, reload: Callable[[], Settings]) -> None:
        self.settings = settings
        self.ready = False
        self.lameduck = False
        self.reload_failed = False
        self.started = time.time()
        self.changes = Histogram(CHANGE_BOUNDS)
        self._reload = reload
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._loaded = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._joining: asyncio.Task[None] | None = None
        """Waits for our turn on addresses where another server still answers."""
        self._mistake: ConfigError | None = None
        """The operator's error that came up after the start, and ends us."""

        cache = engine.choose_cache(settings)
        native = engine.open_native(settings.engine, cache)
        self.builder = Builder(
            settings.zone,
            reached_at(settings.listen),
            settings.ttl,
            native.position_of if native is not None else position_of,
        )
        self._taking = False
        self._live = False
        """Whether what is served was read by this process (and is not what a former one left)."""
        self.notifier = Notifier()
        self.replica = Replica(str(settings.listen[0]), str(settings.http or ""))
        self.health = Health(
            self.replica.id,
            lambda names: self.publisher.mark(names),
            self.replica.vote,
            allow_command_checks=settings.allow_command_checks,
        )
        table = Table(identity=identity(f"zkdns {__version__}", socket.gethostname()))
        self.forwarder = Forwarder(settings, cache=cache, is_ours=lambda name: is_ours(name, table))
        self.hostnames = Hostnames(settings.zone, self.forwarder, lambda names: self.publisher.mark(names))
        self.publisher = Publisher(
            self.builder, self.health.judge, self.hostnames.resolve, self._loop.call_later, aside=self._aside
        )
        self.hostnames.services = self.publisher.services
        self.publisher.published = self._published
        self.publisher.changed.append(self.hostnames.changed)
        self.dispatcher = Dispatcher(
            table,
            self.forwarder,
            native.take_position if native is not None else next_position,
        )
        self.engine = engine.choose(self.dispatcher, native)
        self.staleness = Staleness(self.builder, self.engine, self.publisher)
        self.state_directory = StateDirectory(settings.state)
        self.sources: list[Source] = []
        self.zone_files = ZoneFiles(settings.zones, self.builder)
        self.web = Web(self)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All that is wrong with the data now, wherever it comes from."""
        found = [*self.publisher.problems, *self.replica.problems, *self.health.problems.values()]
        found += self.zone_files.problems
        if self.state_directory.problem is not None:
            found.append(self.state_directory.problem)
        if self.forwarder.problem:
            found.append(Problem("--forward", self.forwarder.problem, "name an upstream that answers"))
        return tuple(found)

    @property
    def is_ready(self) -> bool:
        """Whether /ready says so: a catalog is loaded, and we are not about to go."""
        return self.ready and not self.lameduck

    # --- life ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Start, serve until SIGTERM or SIGINT, stop."""
        for sig in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(sig, self._stopping.set)
        self._loop.add_signal_handler(signal.SIGHUP, self.reload)
        await self.start()
        try:
            await self._stopping.wait()
        finally:
            await self.stop()
        if self._mistake is not None:
            raise self._mistake

    async def start(self) -> None:
        await self._load_zone_files()
        self._open_sources()
        if self._is_shared():
            log.info("another server answers on our addresses: this one joins it once its catalog is loaded")
            self._joining = self._spawn(self._join(), "join")
        else:
            await self._listen()
        await self.forwarder.start()
        for source in self.sources:
            source.start()
        self._spawn(self._get_ready(), "ready")
        self._spawn(advertised.follow(self.settings, self.replica.move), "advertise")
        self._spawn(self._tick(), "tick")

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
            self._stopping.set()
        elif error is not None:
            log.error("%s ended: %r", task.get_name(), error, exc_info=error)

    def _is_shared(self) -> bool:
        http = self.settings.http
        return any(map(is_shared, (*self.settings.listen, *([http] if http else []))))

    async def _join(self) -> None:
        """A restart by overlap: SERVFAIL until we are ready would lose what the other can answer."""
        while not self.ready and self._is_shared():  # noqa: ASYNC110  (nobody tells us)
            await asyncio.sleep(0.05)
        await self._listen()

    async def _listen(self) -> None:
        self.engine.configure(self.settings)
        await self.engine.start(self.settings.listen, self.settings.workers)
        if self.settings.http is not None:
            await self.web.start(self.settings.http)

    def _open_sources(self) -> None:
        self.sources = open_sources(
            self.settings.registry,
            self.settings.zookeeper,
            self._sources_changed,
            self._root_changed,
            self.replica.reducers,
        )
        for source in self.sources:
            if isinstance(source, ZooKeeperSource):
                self.replica.hold = source.mirror.keep
                break

    async def _get_ready(self) -> None:
        self._sources_changed()
        for _ in range(int(PATIENCE / GLANCE)):
            try:
                await asyncio.wait_for(self._loaded.wait(), GLANCE)
                break
            except TimeoutError:
                if not any(s.connected for s in self.sources if isinstance(s, ZooKeeperSource)):
                    break  # nobody is there to wait for
        if not self._loaded.is_set():
            await self._answer_from_memory()
            await self._loaded.wait()
        await self._settle()  # host names may lead to services of ours
        try:
            await asyncio.wait_for(self.hostnames.settled(), FIRST_HOSTS)
        except TimeoutError:
            pass
        await self._settle()
        await self.health.first_round()
        self.ready = True
        gc.freeze()  # most of what was loaded stays: the collector need not walk it again
        self._tell_age()
        if self._joining is not None:
            await self._joining
        services = self.publisher.services.values()
        zones, addresses = (", ".join(map(str, many)) for many in (self.settings.zone, self.settings.listen))
        held = f"{len(services)} services, {sum(len(s.instances) for s in services)} instances"
        status = f"ready: engine {self.engine.name}, zones {zones}, {held}, on {addresses}"
        log.info("%s", status)
        self.notifier.ready(status)

    async def _settle(self) -> None:
        while not self.publisher.idle:  # noqa: ASYNC110  (a few turns of the loop, twice)
            await asyncio.sleep(0.005)

    async def _answer_from_memory(self) -> None:
        remembered, overrides = await asyncio.to_thread(self.state_directory.load)
        if remembered is None:
            log.warning("the registry is not read yet: SERVFAIL with EDE 14 until it is")
        elif not self._loaded.is_set():
            log.warning("the registry is not read yet: answers are those that the state directory holds")
            if not is_read(OVERRIDES, self.sources):
                self.health.override(overrides)
            self.publisher.take([remembered])
            self.hostnames.follow(self.publisher.registered)
            self._loaded.set()

    async def _tick(self) -> None:
        """What is looked at every second: ages, zone files, our own node, the state directory."""
        while True:
            await asyncio.sleep(1.0)
            try:
                self._tell_age()
                joining = self._joining is not None and not self._joining.done()
                self.notifier.wait("waits for the registry to be read", joining=joining)
                if self.ready:
                    self.replica.tell(self.builder.serial)
                if self._live:
                    self.state_directory.keep(*self._known())
                if await self.zone_files.changed():
                    await self._load_zone_files()
            except Exception:
                log.exception("the server goes on after an error of its own")

    async def stop(self) -> None:
        """Lameduck, then take no more, answer what is here, end."""
        self.lameduck = True
        self.notifier.stopping(f"answers on for {self.settings.lameduck:g} s, then stops")
        if self.settings.lameduck:
            log.info("lameduck for %g s: answers go on, health checks are told 503", self.settings.lameduck)
            self._stopping.clear()
            try:
                await asyncio.wait_for(self._stopping.wait(), self.settings.lameduck)
            except TimeoutError:
                pass
        for task in list(self._tasks):
            task.cancel()
        await self.engine.stop()
        await self.forwarder.stop(1.0)
        self.engine.close()
        # At once: each may take its seconds (a frozen ensemble, a slow browser), and all have five.
        stops = [part.stop() for part in (self.health, self.hostnames, self.web, *self.sources)]
        await asyncio.gather(*stops)
        if self._live:
            await self.state_directory.stop(*self._known())
        log.info("stopped")

    def reload(self) -> None:
        """SIGHUP: settings and zone files again; what is wrong is told, and the old stays in force."""
        self.notifier.reloading()
        try:
            settings = self._reload()
            self.forwarder.reload(settings)
        except ConfigError as error:
            self.reload_failed = True
            log.error("reload: %s; the old settings stay in force", error)
            self.notifier.reloaded(f"the last reload failed: {error}; the old settings stay in force")
            return
        self.reload_failed = False
        for name in FIXED:
            if getattr(settings, name) != getattr(self.settings, name):
                log.warning("reload: %s needs a restart; the old one stays in force", name)
        settings = replace(settings, **{name: getattr(self.settings, name) for name in FIXED})
        if settings.ttl != self.settings.ttl:
            self.builder.set_ttl(settings.ttl)
            self.publisher.respell()
        self.settings = settings
        self.engine.configure(settings)
        self._spawn(self._load_zone_files(), "zone files")
        log.info("reload: done")
        self.notifier.reloaded()

    async def _load_zone_files(self) -> None:
        if not await self.zone_files.load():
            return
        self.forwarder.forget(self.zone_files.apexes, below=True)
        self.engine.apply(self.builder.take())

    # --- from the world to the answers -----------------------------------------------------------------

    def _aside(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        async def wait() -> None:
            done(await self._loop.run_in_executor(None, work))

        self._spawn(wait(), "compile")

    def _known(self) -> tuple[Catalog, InstanceOverrides, int]:
        """What the state directory is to hold."""
        return self.publisher.registered, self.replica.overrides.by_instance(), self._serial

    def _root_changed(self, root: str) -> None:
        if root in self.replica.reducers and is_read(root, self.sources):
            self.replica.changed(root, self.health)
        self._sources_changed()

    def _sources_changed(self) -> None:
        """Take what the sources hold at the loop's next turn: once, however much comes in this one."""
        if not self._taking:
            self._taking = True
            self._loop.call_soon(self._take)

    def _take(self) -> None:
        self._taking = False
        complete = all(s.complete if isinstance(s, ZooKeeperSource) else True for s in self.sources)
        zookeepers = [s for s in self.sources if isinstance(s, ZooKeeperSource)]
        if zookeepers:
            self.health.connected(zookeepers[0].connected)
        if not complete:
            return  # nothing is known, or what was remembered answers until all is whole
        self._live = True
        self.publisher.take([s.catalog for s in self.sources])
        self.hostnames.follow(self.publisher.registered)
        if self._serial != self.builder.serial and self.publisher.idle:
            self._published()  # a ballot that changed no standing has its part in the serial all the same
        self._tell_age()
        self._loaded.set()

    def _tell_age(self) -> None:
        self.staleness.tell(self.ready, self.settings.stale_max)

    @property
    def _serial(self) -> int:
        return max(self.publisher.registered.serial, serial_of(self.replica.zxid))

    def _observe_change(self) -> None:
        """How long the change took that is in the answers now."""
        now = time.perf_counter()
        for source in self.sources:
            if isinstance(source, ZooKeeperSource) and source.noticed is not None:
                self.changes.observe(now - source.noticed)
                source.noticed = None

    def _published(self) -> None:
        self.builder.set_serial(self._serial)
        if self.publisher.idle:
            self._observe_change()
        self.staleness.publish()

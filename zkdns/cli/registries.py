"""The registries as a server sees them, for commands that show or explain them: read once, or followed.

Rules: it only reads. Overrides and the verdicts of the servers' probes come from /zkdns, so states are
those that servers answer by; nothing is probed from here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

from zkdns.answers.builder import Builder
from zkdns.answers.service import ServiceAnswers
from zkdns.answers.table import EVERY, Staleness
from zkdns.answers.zonefiles.overlay import Overlay
from zkdns.answers.zonefiles.reader import Loaded, ZoneFolder
from zkdns.cli import Failure
from zkdns.cli.waiting import Headway, Phase, Waiting
from zkdns.config import Settings
from zkdns.dns import ede
from zkdns.explain.subject import locate
from zkdns.explain.what_if import list_near
from zkdns.forward.forwarder import Forwarder
from zkdns.health.health import Health
from zkdns.model import Catalog, Override, Problem, Service, State, serial_of
from zkdns.pipeline.hostnames import Hostnames
from zkdns.pipeline.publisher import Publisher
from zkdns.pipeline.replica import Replica
from zkdns.registry.source import HEALTH, OVERRIDES, SERVERS, ZooKeeperSource, open_sources

T = TypeVar("T")

CONNECT: Final = 10.0
"""Seconds to wait for a session."""

SILENT: Final = 30.0
"""Seconds for which a reading may make no headway."""

HOSTS: Final = 3.0
"""Seconds to wait for host names."""

STALE: Final = ede.option(ede.STALE_ANSWER, "the registry is out of reach")

NOT_PROBED: Final = "not probed: no server is registered under /zkdns/servers"


class Uncompiled(Builder):
    """Stands where a server compiles its answers: most commands need none, or few."""

    def compile(self, service: Service, origin: int = EVERY) -> ServiceAnswers:
        return ServiceAnswers(service, self.ttl, {}, {}, {}, (), origin=origin)


class Registries:
    """What all `--registry` hold together; `publisher.services` by name, with their states, and
    `publisher.changed` for those who follow."""

    def __init__(self, settings: Settings) -> None:
        loop = asyncio.get_running_loop()
        self.settings = settings
        self.waiting = Waiting()
        uncompiled = Uncompiled(settings.zone, (), settings.ttl)
        self._replica = Replica("", "")
        # Without a socket it takes the verdicts of others, and probes nothing itself.
        self._health = Health("", self._mark, sockets=0, allow_command_checks=settings.allow_command_checks)
        self._forwarder = Forwarder(settings)
        self._hostnames = Hostnames(settings.zone, self._forwarder, self._mark)
        self.publisher = Publisher(uncompiled, self._judge, self._hostnames.resolve, loop.call_later)
        self._hostnames.services = self.publisher.services
        self._overlay: Overlay | None = None
        self._zone_files = Loaded()
        if settings.zones:
            apexes = [zone.apex for zone in uncompiled.zones]
            self._zone_files = ZoneFolder(Path(settings.zones), apexes).load()
        self._taking = False
        self._loaded = asyncio.Event()
        with self.waiting.phase("reading"):
            self.sources = open_sources(
                settings.registry,
                settings.zookeeper,
                self._sources_changed,
                self._root_changed,
                self._replica.reducers,
            )

    # --- what is there --------------------------------------------------------------------------------

    @property
    def catalog(self) -> Catalog:
        return replace(self.publisher.catalog, serial=self.serial)

    @property
    def serial(self) -> int:
        return max(self.publisher.registered.serial, serial_of(self._replica.zxid))

    @property
    def problems(self) -> tuple[Problem, ...]:
        found = [*self.publisher.problems, *self._replica.problems, *self._health.problems.values()]
        found += self._zone_files.problems
        if self._overlay is not None:
            found += self._overlay.problems()
        return tuple(found)

    @property
    def overrides(self) -> Mapping[tuple[str, str], Override]:
        """All overrides, by service and instance id."""
        return self._replica.overrides.by_instance()

    @property
    def is_stale(self) -> bool:
        """Whether a registry is out of reach."""
        return self.publisher.registered.stale_since is not None

    @property
    def probed(self) -> bool:
        """Whether there is a server that probes."""
        return bool(self._replica.servers.nodes())

    def forwards(self, client: str) -> bool:
        """Whether a server with these settings would ask upstream for this client."""
        return bool(self._forwarder.allows(client))

    def compile(self, services: Iterable[Service]) -> Builder:
        """The answers that a server gives for these services, beside those of zone files."""
        builder = Builder(self.settings.zone, (), self.settings.ttl)
        self._overlay = Overlay(builder)
        self._overlay.put(self._zone_files.zones)
        for service in self.waiting.each(list(services), "compiling"):
            builder.replace(service.name, builder.compile(service))
        builder.set_serial(self.serial)
        builder.set_staleness(Staleness(STALE if self.is_stale else b""))
        return builder

    def compile_for(self, qname: bytes) -> Builder:
        """Those that a question for this name is about: of a large registry the rest costs seconds, and is
        there without its answers."""
        services = self.publisher.services
        subject = locate(services, self.publisher.builder.zones, qname)
        if subject.services:
            builder = self.compile(subject.services)
        else:
            # An alias in a zone file may lead anywhere, and browsing lists all.
            everything = subject.kind == "zone" or bool(self._zone_files.zones)
            builder = self.compile(services.values() if everything else ())
        for name, answers in self.publisher.builder.services.items():
            if name not in builder.services:
                builder.replace(name, answers)
        return builder

    def find(self, name: str) -> Service:
        """A service by its name or its label; Failure names what exists."""
        services = self.publisher.services
        found = services.get(name) or next((s for s in services.values() if s.label == name.lower()), None)
        if found is None:
            raise Failure(f"no service {name!r}; {list_near(name, services)}")
        return found

    # --- life -------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Returns when all is read; Failure where it can't be."""
        for source in self.sources:
            source.start()
        self._sources_changed()
        zookeepers = [s for s in self.sources if isinstance(s, ZooKeeperSource)]
        headways = [Headway(s.url.root) for s in zookeepers]
        for source, headway in zip(zookeepers, headways, strict=True):
            source.observe = headway.take
        with self.waiting.phase("connecting" if zookeepers else "reading") as phase:
            await self._wait(phase, zookeepers, headways)
            for source in zookeepers:
                source.observe = None
            phase.tell("resolving host names")
            try:
                await asyncio.wait_for(self._hostnames.settled(), HOSTS)
            except TimeoutError:
                pass
            while not self.publisher.idle:  # noqa: ASYNC110  (a few turns of the loop, once)
                await asyncio.sleep(0.002)

    async def _wait(
        self, phase: Phase, zookeepers: Sequence[ZooKeeperSource], headways: Sequence[Headway]
    ) -> None:
        started = moved = time.monotonic()
        reads = 0
        while not self._loaded.is_set():
            try:
                await asyncio.wait_for(self._loaded.wait(), 0.05)
                return
            except TimeoutError:
                pass
            now = time.monotonic()
            statuses = [(s.url.hosts, s.mirror.status()) for s in zookeepers]
            read = sum(status.reads for _, status in statuses)
            if read != reads:
                reads, moved = read, now
            for hosts, status in statuses:
                limit, since = (SILENT, moved) if status.connected else (CONNECT, started)
                if now - since > limit or status.refused:
                    raise Failure(f"ZooKeeper at {hosts}: {status.trouble or f'no answer in {limit:g} s'}")
            if read:
                shares = [headway.share for headway in headways]
                done = None if None in shares else sum(filter(None, shares)) / len(shares)
                phase.tell(f"reading: {sum(h.read for h in headways):,} nodes", done)

    async def stop(self) -> None:
        await self._health.stop()
        await self._hostnames.stop()
        await self._forwarder.stop()
        await asyncio.gather(*(source.stop() for source in self.sources))

    # --- from the sources -------------------------------------------------------------------------------

    def _mark(self, names: Iterable[str]) -> None:
        self.publisher.mark(names)

    def _judge(self, service: Service, now: float, previous: Service | None) -> tuple[Service, float | None]:
        judged, again = self._health.judge(service, now, previous)
        if service.settings.check is None or self.probed:
            return judged, again
        # Nobody can say how they stand; to show all as out would be the greater lie.
        instances = tuple(
            replace(i, state=State.HEALTHY, reason=NOT_PROBED, answered=True)
            if i.state is State.STARTING and i.registration.status == "up"
            else i
            for i in judged.instances
        )
        return replace(judged, instances=instances), again

    def _root_changed(self, root: str) -> None:
        if root in (OVERRIDES, HEALTH, SERVERS):
            self._replica.changed(root, self._health)
        if root == SERVERS and self._loaded.is_set():
            self._mark(s.name for s in self.publisher.services.values() if s.settings.check is not None)
        self._sources_changed()

    def _sources_changed(self) -> None:
        if not self._taking:
            self._taking = True
            asyncio.get_running_loop().call_soon(self._take)

    def _take(self) -> None:
        self._taking = False
        if not all(s.complete for s in self.sources if isinstance(s, ZooKeeperSource)):
            return
        self.publisher.take([s.catalog for s in self.sources])
        self._hostnames.follow(self.publisher.registered)
        self._loaded.set()


def run(settings: Settings, work: Callable[[Registries], Coroutine[Any, Any, T]]) -> T:
    """Load the registries, do the work on them, and close them."""
    # What the mirror logs would stand among what we print; failures are told by `load`.
    logging.getLogger("zkdns").addHandler(logging.NullHandler())

    async def do() -> T:
        registries = Registries(settings)
        try:
            await registries.load()
            return await work(registries)
        finally:
            await registries.stop()

    return asyncio.run(do())

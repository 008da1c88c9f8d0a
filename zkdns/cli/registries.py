"""The registries as a server sees them, for commands that show or explain them: read once, or followed.

Rules: it only reads. Overrides and the verdicts of the servers' probes come from /zkdns, so states are
those that servers answer by; nothing is probed from here. Of several registries those within reach are told
of, as servers go on with these, and the others are named at the end, which is a failure.
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
from zkdns.answers.routed import Beyond
from zkdns.answers.service import ServiceAnswers
from zkdns.answers.table import OWN
from zkdns.answers.zonefiles.overlay import Overlay
from zkdns.answers.zonefiles.reader import Loaded, ZoneFolder
from zkdns.cli import Failure, failover
from zkdns.cli.waiting import Headway, Phase, Waiting
from zkdns.config import Settings
from zkdns.dns import names
from zkdns.explain.follow import Follower
from zkdns.explain.subject import locate
from zkdns.forward.addresses import Resolved
from zkdns.forward.forwarder import Forwarder
from zkdns.forward.machine import ask_machine
from zkdns.lists import list_near
from zkdns.model import Catalog, Change, Override, Problem, Service, State
from zkdns.named import find_service
from zkdns.pipeline.driver import Driver
from zkdns.pipeline.inputs import Ready, ZoneFilesRead
from zkdns.pipeline.pipeline import Pipeline
from zkdns.pipeline.staleness import of_answers
from zkdns.registry.nothing import nothing_in
from zkdns.registry.override_nodes import flat
from zkdns.registry.source import ZooKeeperSource
from zkdns.registry.url import RegistryURL
from zkdns.roots import SERVERS

T = TypeVar("T")

CONNECT: Final = 10.0
"""Seconds to wait for a session."""

SILENT: Final = 30.0
"""Seconds for which a reading may make no headway."""

NOT_PROBED: Final = "not probed: no server is registered under /zkdns/servers"


class Registries:
    """What all `--registry` hold together, as a server's pipeline sees it; `follow` for those who stay."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.waiting = Waiting()
        self._forwarder = Forwarder(settings)
        # Compiles nothing: most commands need no answers, or few.
        self.pipeline = Pipeline(settings, time.time(), tick=time.perf_counter, compiles=False)
        self._overlay: Overlay | None = None
        self._zone_files = Loaded()
        if settings.zones:
            apexes = [zone.apex for zone in self.pipeline.builder.zones]
            self._zone_files = ZoneFolder(Path(settings.zones), apexes).load()
        self.away: dict[str, str] = {}
        """Registries that could not be read, by name, and why."""
        self.meant: Settings | None = None
        """These settings as the registered servers have them, once it is known which there are."""
        self._followers: list[Callable[[Sequence[Change]], None]] = []
        self._loaded = asyncio.Event()
        with self.waiting.phase("reading"):
            self.driver = Driver(self.pipeline, settings.zookeeper, self._resolve, self._take_ready)
        if self._zone_files.zones:
            self.driver.step(ZoneFilesRead(self._zone_files.zones))  # host names may be theirs

    # --- what is there --------------------------------------------------------------------------------

    @property
    def services(self) -> Mapping[str, Service]:
        """By name, with their states."""
        return {name: self._as_told(service) for name, service in self.pipeline.services.items()}

    @property
    def catalog(self) -> Catalog:
        return replace(self.pipeline.catalog, services=self.services, serial=self.pipeline.registries.serial)

    @property
    def problems(self) -> tuple[Problem, ...]:
        problems = [*self.pipeline.problems, *self._zone_files.problems]
        if self._overlay is not None:
            problems += self._overlay.problems()
        return tuple(dict.fromkeys(problems))

    @property
    def overrides(self) -> Mapping[tuple[str, str], Override]:
        """All overrides, by service and instance id."""
        return flat(self.pipeline.registries.overrides)

    @property
    def stale_since(self) -> float | None:
        """Since when a registry has been out of reach."""
        return self.pipeline.catalog.stale_since

    @property
    def probed(self) -> bool:
        """Whether there is a server that probes."""
        return bool(self.pipeline.registries.servers)

    def follow(self, tell: Callable[[Sequence[Change]], None]) -> None:
        """From now on tell this of the changes of each moment."""
        self._followers.append(tell)

    def forwards(self, client: str) -> bool:
        """Whether a server with these settings would ask upstream for this client."""
        return bool(self._forwarder.allows(client))

    def compile(self, services: Iterable[Service]) -> Builder:
        """The answers that a server gives for these services, beside those of zone files."""
        builder = Builder(self.settings.zone, (), self.settings.ttl)
        builder.set_topology(self.pipeline.builder.topology, self.settings.ecs_from)
        self._overlay = Overlay(builder)
        self._overlay.put(self._zone_files.zones)
        beyond = self.beyond()
        for service in self.waiting.each(list(services), "compiling"):
            more = beyond(service.name)
            if more.route is not None:
                more = replace(more, route=replace(more.route, origin=OWN))
            builder.replace(service.name, builder.compile(service, OWN, more))
        builder.set_serial(self.pipeline.registries.serial)
        builder.set_staleness(self.pipeline.staleness)
        # What is told comes from those that were read, whatever another would say.
        read = self.pipeline.registries.values()
        builder.set_staleness(of_answers(read, self.settings.stale_max, time.time()), OWN)
        return builder

    def compile_for(self, qname: bytes) -> Builder:
        """Those that a question for this name is about: of a large registry the rest costs seconds, and is
        there without its answers."""
        services = self.services
        subject = locate(services, self.pipeline.builder.zones, qname, self.beyond())
        if subject.services:
            builder = self.compile(subject.services)
        else:
            # An alias in a zone file may lead anywhere, and browsing lists all.
            everything = subject.kind == "zone" or bool(self._zone_files.zones)
            builder = self.compile(services.values() if everything else ())
        for name, service in services.items():
            if name not in builder.services:
                builder.replace(name, ServiceAnswers(service, builder.ttl, {}, {}, {}, ()))
        return builder

    def beyond(self) -> Callable[[str], Beyond]:
        """Tells what a service's names give beside its own instances, of these as they are told."""
        routes = self.pipeline.routes
        return Follower(self.services, routes.in_force).beyond if routes.in_force else routes.beyond

    def read_name(self, text: str) -> bytes:
        """The DNS name that is meant; ValueError where it is none."""
        from zkdns.web.meant import read_meant  # and dnspython, which other commands have no need of

        apexes = {*(zone.apex for zone in self.pipeline.builder.zones), *self._zone_files.zones}

        def is_inside(qname: bytes) -> bool:
            return any(name in apexes for name in (qname, *names.suffixes(qname)))

        return read_meant(text, self.settings.zone[0], is_inside, self.services)

    def find(self, name: str) -> Service:
        """A service by its name or its label; Failure names what exists."""
        services = self.services
        named = find_service(services, name)
        if named is None:
            self.demand_read()
            if self.away:
                raise Failure(f"no service {name!r} in the registries within reach; {self.tell_away()}")
            raise Failure(f"no service {name!r}; {list_near(name, services) if services else self.nothing}")
        return named

    def tell_away(self) -> str:
        """Which registries could not be read."""
        return "; ".join(f"the registry {name} is not read: {why}" for name, why in self.away.items())

    @property
    def nothing(self) -> str:
        """What is said where no service is registered."""
        return nothing_in([registry.url for registry in self.pipeline.registries.values()], self.missing)

    @property
    def missing(self) -> list[RegistryURL]:
        """Those whose nodes are not there."""
        return [registry.url for registry in self.pipeline.registries.values() if registry.is_missing]

    def demand_read(self) -> None:
        """Failure where there is nothing only because nothing may be read."""
        for registry in self.pipeline.registries.values():
            for one in registry.refusals:
                raise Failure(f"{registry.url.text}: {one.path}: {one.what}; {one.cure}")

    # --- life -------------------------------------------------------------------------------------------

    async def load(self, *, ask_servers: bool = False) -> None:
        """Returns when all is read; Failure where it can't be. `ask_servers`: or as soon as it is known that
        other settings are `meant`."""
        zookeepers = self.driver.zookeepers
        headways = {name: Headway(source.url.root) for name, source in zookeepers.items()}
        self.driver.heard = lambda name, root, events: headways[name].take(root, events)
        self.driver.start()
        hosts = ", ".join(dict.fromkeys(source.url.hosts for source in zookeepers.values()))
        with self.waiting.phase(f"connecting to {hosts}" if zookeepers else "reading") as phase:
            await self._wait(phase, list(zookeepers.values()), list(headways.values()), ask_servers)
            self.driver.heard = None
            if ask_servers and self._mean_others():
                return
            phase.tell("resolving host names")
            sources = [r for name, r in self.pipeline.registries.items() if name not in self.away]
            # Where none may be read there is nothing to load: the problems tell.
            while self.pipeline.is_loading and not all(r.refusals for r in sources):  # noqa: ASYNC110
                await asyncio.sleep(0.002)

    def _mean_others(self) -> bool:
        """Whether the servers that are registered have other settings."""
        if self.meant is None:
            servers = self.pipeline.registries.servers.values()
            self.meant = failover.as_servers_have_it(self.settings, servers)
        return self.meant is not self.settings

    async def _wait(
        self, phase: Phase, zookeepers: Sequence[ZooKeeperSource], headways: Sequence[Headway],
        ask_servers: bool,
    ) -> None:  # fmt: skip
        started = moved = time.monotonic()
        names = list(self.pipeline.registries)
        reads = 0
        while not self._loaded.is_set():
            try:
                await asyncio.wait_for(self._loaded.wait(), 0.05)
                return
            except TimeoutError:
                pass
            own = self.pipeline.registries.own
            # They are read first, so that a large registry is not read twice.
            if ask_servers and own is not None and SERVERS in own.wholes and self._mean_others():
                return
            now = time.monotonic()
            statuses = [(s.url, s.mirror.status()) for s in zookeepers if s.url.name not in self.away]
            read = sum(status.reads for _, status in statuses)
            if read != reads:
                reads, moved = read, now
            for url, status in statuses:
                limit, since = (SILENT, moved) if status.connected else (CONNECT, started)
                if not self._is_read(url.name) and (now - since > limit or status.refused):
                    why = status.trouble or f"no answer in {limit:g} s"
                    self.away[url.name] = f"ZooKeeper at {url.hosts}: {why}"
            if self.away and all(name in self.away or self._is_read(name) for name in names):
                if len(self.away) == len(names):
                    raise Failure("; ".join(dict.fromkeys(self.away.values())))
                return
            trouble = next(((url.hosts, s.trouble) for url, s in statuses if s.trouble), None)
            if trouble is not None:
                phase.complain(f"connecting to {trouble[0]}", trouble[1])
            elif read:
                shares = [headway.share for headway in headways]
                done = None if None in shares else sum(filter(None, shares)) / len(shares)
                phase.tell(f"reading: {sum(h.read for h in headways):,} nodes", done)

    async def stop(self) -> None:
        await asyncio.gather(self.driver.stop(), self._forwarder.stop())

    # --- from the pipeline --------------------------------------------------------------------------------

    async def _resolve(self, host: str) -> Resolved:
        return await (self._forwarder.resolve(host) if self._forwarder.enabled else ask_machine(host))

    def _is_read(self, name: str) -> bool:
        """Whether there is no more to come of this registry's start."""
        registry = self.pipeline.registries[name]
        return registry.is_whole or bool(registry.refusals)

    def _take_ready(self, ready: Ready) -> None:
        if all(map(self._is_read, self.pipeline.registries)):
            self._loaded.set()
        if ready.changes:
            for tell in self._followers:
                tell(ready.changes)

    def _as_told(self, service: Service) -> Service:
        if service.settings.check is None or self.probed:
            return service
        # Nobody can say how they stand; to show all as out would be the greater lie.
        instances = tuple(
            replace(i, state=State.HEALTHY, reason=NOT_PROBED, answered=True)
            if i.state is State.STARTING and i.registration.status == "up"
            else i
            for i in service.instances
        )
        return replace(service, instances=instances)


def run(settings: Settings, work: Callable[[Registries], Coroutine[Any, Any, T]]) -> T:
    """Load the registries, do the work on them, and close them."""
    # What the mirror logs would stand among what we print; failures are told by `load`.
    logging.getLogger("zkdns").addHandler(logging.NullHandler())

    async def do() -> T:
        registries = Registries(settings)
        try:
            await registries.load(ask_servers=True)
            if registries.meant is not None and registries.meant is not settings:
                await registries.stop()
                registries = Registries(registries.meant)
                await registries.load()
            done = await work(registries)
            if registries.away:
                raise Failure(registries.tell_away())
            return done
        finally:
            await registries.stop()

    return asyncio.run(do())

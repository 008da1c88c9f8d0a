"""A running server as the values that people look at.

Rules: reads only, in the loop; what it gives is frozen, so that a thread may make a page of it. `explain` is
imported by who asks first: a start has no use for it, and it is a good part of all that there is to import.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, Final, Protocol

from msgspec import Struct

from zkdns import __version__
from zkdns.answers.first_places import FirstAnswers
from zkdns.answers.routed import InForce, Routed
from zkdns.answers.zonefiles.folder import ZoneFiles
from zkdns.config import Settings
from zkdns.dns import names
from zkdns.forward.forwarder import Forwarder
from zkdns.forward.upstreams import loop_at
from zkdns.lack import problem_of
from zkdns.model import Problem, Service
from zkdns.pipeline.driver import Driver
from zkdns.pipeline.journal import History, OutOfReach, Query
from zkdns.pipeline.pipeline import Pipeline
from zkdns.problems import Problems
from zkdns.serve.clients import Demand, Told
from zkdns.serve.engine import PythonEngine
from zkdns.serve.histogram import Histogram
from zkdns.server.lack import Shortage
from zkdns.server.recorder import Recorder
from zkdns.server.rereading import Rereading
from zkdns.server.state_directory import StateDirectory
from zkdns.topology import Topology
from zkdns.web.http import Web
from zkdns.web.shapes import Firsts
from zkdns.web.status import Beside, Counters, RegistryStatus, Status

MAX_AHEAD: Final = 60.0
"""Seconds by which the clock of who asks may be before ours: a moment further ahead is still to come."""


class Phase(enum.Enum):
    """The one way through life, each with what keeps /ready from being 200; from READY and FROM_STATE back
    and forth as registries come and go."""

    LOADING = "the first catalog is not loaded yet"
    SETTLING = "host names and first probes are waited for"
    FROM_STATE = "answers are those that the state directory held"
    READY = ""
    LAMEDUCK = "lameduck"
    STOPPED = "stopped"

    @property
    def is_ready(self) -> bool:
        """Whether /ready is 200."""
        return self in (Phase.READY, Phase.FROM_STATE)


class Life(Protocol):
    """What the process as a whole knows of itself."""

    settings: Settings
    phase: Phase
    started: float
    rereading: Rereading[Any]
    change_seconds: Histogram
    lack: Shortage
    web: Web


class Observer(Struct, frozen=True):
    """The parts of one server, for those who look at it."""

    life: Life
    pipeline: Pipeline
    driver: Driver
    engine: PythonEngine
    forwarder: Forwarder
    zone_files: ZoneFiles
    state_directory: StateDirectory
    recorder: Recorder

    def status(self) -> Status:
        """What page, API and /ready say of the process now."""
        pipeline, now, phase = self.pipeline, time.time(), self.life.phase
        stale = pipeline.registries.stale_seconds(now)
        forwarding = self.forwarder.status()
        return Status(
            version=__version__,
            engine=self.engine.name,
            phase=phase.name.lower(),
            ready=phase.is_ready,
            loaded=not pipeline.is_loading,
            why="stale" if phase.is_ready and stale else phase.value,
            serial=pipeline.builder.serial,
            stale_seconds=stale,
            started=self.life.started,
            zones=self.life.settings.zone,
            zone_files=tuple(self.zone_files.paths),
            registries=tuple(self._registries(now)),
            replica=pipeline.replica.id,
            lag_seconds=pipeline.replica.lag,
            replicas=pipeline.registries.servers,
            search_misses=dict(self.engine.search_misses().most_common(10)),
            upstreams=tuple(forwarding.upstreams),
            forward={
                "cached": forwarding.cached,
                "in_flight": forwarding.in_flight,
                "cache_bytes": self.forwarder.cache.used,
            },
            problems=self._problems(),
            services=dict(pipeline.services),
            ttl=self.life.settings.ttl,
            outages=self.recorder.outages.standing(),
            address=pipeline.replica.address or str(self.life.settings.listen[0]),
        )

    def _registries(self, now: float) -> list[RegistryStatus]:
        rows = []
        zookeepers = self.driver.zookeepers
        for name, registry in self.pipeline.registries.items():
            since = registry.stale_since
            row = RegistryStatus(
                name,
                registry.url.text,
                registry.connected,
                registry.is_whole,
                max(0.0, now - since) if since is not None else 0.0,
            )
            if name in zookeepers:
                status = zookeepers[name].mirror.status()
                row = replace(
                    row,
                    nodes=status.nodes,
                    reads=status.reads,
                    resyncs=status.resyncs,
                    audit_repairs=status.audit_repairs,
                    zxid=f"{status.last_zxid:#x}",
                    trouble=status.trouble,
                )
            rows.append(row)
        return rows

    def _problems(self) -> Problems:
        """All that is wrong with the data now, wherever it comes from."""
        beside = [*self.zone_files.problems]
        beside += self.state_directory.problems
        beside += filter(None, (self.driver.late_checks,))
        for why in dict.fromkeys((self.life.lack.why, self.engine.lack, self.life.web.lack)):
            if why:
                beside.append(problem_of(why, "new connections wait"))
        for why in self.driver.lacks:
            beside.append(problem_of(why, "health checks wait; what was known of the instances holds"))
        if why := self.driver.lack_of_lookups:
            beside.append(problem_of(why, "host names wait; what they were known for holds"))
        if why := self.forwarder.lack:
            beside.append(problem_of(why, "names are not forwarded"))
        beside += self.recorder.problems
        upstreams = self.forwarder.status().upstreams
        beside += [loop_at(upstream.address) for upstream in upstreams if upstream.state == "loop"]
        if self.forwarder.problem:
            beside.append(Problem("--forward", self.forwarder.problem, "name an upstream that answers"))
        standing = self.pipeline.problems
        return Problems(lambda: chain(standing, beside))

    def counters(self) -> Counters:
        """What /metrics says, each count since the start."""
        engine, forwarder = self.engine, self.forwarder
        connections, waiting = engine.connections()
        mirrors = [mirror.status() for mirror in self.driver.mirrors]
        return Counters(
            queries=engine.counts(),
            query_seconds=engine.latency(),
            dropped=engine.dropped(),
            search_misses=engine.search_misses().total(),
            errors=engine.dispatcher.errors,
            faults=self.pipeline.wall.errors
            + self.driver.faults
            + engine.faults
            + self.forwarder.faults
            + self.state_directory.errors,
            tcp_open=connections,
            tcp_waiting=waiting,
            tcp_closed=engine.closed(),
            settings_read=self.life.rereading.is_good and not self.zone_files.broken,
            change_seconds=self.life.change_seconds.read(),
            registry_reads=sum(m.reads for m in mirrors),
            registry_resyncs=sum(m.resyncs for m in mirrors),
            registry_audit_repairs=sum(m.audit_repairs for m in mirrors),
            forward_queries=dict(forwarder.queries),
            forward_cache_hits=engine.cache_hits(),
            forward_limited=forwarder.limited,
            forward_forgeries=forwarder.forgeries,
            forward_stale=forwarder.stale_hits,
            forward_blocked=forwarder.blocked,
            history_left_out=self.recorder.left_out,
        )

    def firsts(self, service: str) -> Callable[[], Firsts]:
        """How often each instance of the service stood first, by id; may be called in a thread."""
        builder = self.pipeline.builder
        answers = builder.services.get(service)
        is_routed = answers is not None and answers.beyond.route is not None
        given = builder.given(service)

        def work() -> Firsts:
            due = answers.shares() if answers is not None and is_routed else None
            sums = given.add_up()
            return Firsts(dict(sums.counts), sums.recent(), due)

        return work

    def walk_first_answers(self) -> Iterator[FirstAnswers]:
        """The same for all services, one after another."""
        return self.pipeline.builder.walk_first_answers()

    def given_instead(self) -> Callable[[str], int]:
        """How many instances are given for a service, or for the one that it is a view of; may be called in a
        thread."""
        services = dict(self.pipeline.builder.services)

        def count(name: str) -> int:
            answers = services.get(name)
            if answers is not None and answers.service.view_of:
                answers = services.get(answers.service.view_of)
            if answers is None:
                return 0
            if (route := answers.beyond.route) is not None:
                return sum(map(len, route.name.first))
            return sum(i.answered for i in answers.service.instances)

        return count

    def topology(self) -> Topology:
        """Where clients stand."""
        return self.pipeline.builder.topology

    def routes(self) -> Mapping[str, InForce]:
        """The routes in force, by service."""
        return dict(self.pipeline.routes.in_force)

    def routed(self) -> Mapping[str, Routed]:
        """The same, followed to what they give now."""
        services = self.pipeline.builder.services
        pairs = ((name, services.get(name)) for name in self.pipeline.routes.in_force)
        return {
            name: route
            for name, answers in pairs
            if answers is not None and (route := answers.beyond.route) is not None
        }

    def beside(self, service: str) -> Callable[[], Beside]:
        """What stands beside its instances; may be called in a thread."""
        builder = self.pipeline.builder
        answers = builder.services.get(service)
        rows = self.engine.told(service, None)
        if answers is None:
            return lambda: Beside(told=rows())
        route, given, topology = answers.beyond.route, builder.given(service), builder.topology

        def work() -> Beside:
            from zkdns.explain.locality import crossings
            from zkdns.explain.routing import target_shares

            sums = given.add_up()
            return Beside(
                route,
                target_shares(route, sums.recent()) if route is not None else (),
                crossings(answers.service, topology, sums.crossings, route),
                rows(),
                self.pipeline.last_probes(service),
            )

        return work

    def names(self) -> Callable[[], Mapping[str, list[str]]]:
        """Spells the names of each service in the first zone."""
        services, zone = dict(self.pipeline.builder.services), self.pipeline.builder.zones[0]
        return lambda: {name: answers.shown(zone) for name, answers in services.items()}

    def explain(
        self, name: str, qtype: str, client: str | None, changes: list[str], at: float | None
    ) -> Callable[[], dict[str, Any]]:
        """Says why an answer is what it is, at this moment or at another (OutOfReach)."""
        from zkdns.explain.what_if import targets_in, undrained_in

        if at is not None and at > time.time() + MAX_AHEAD:
            raise OutOfReach("that moment is still to come")
        snapshot, forwards = self.pipeline.builder.snapshot(), self.forwarder.allows
        then = self.recorder.world_at(at) if at is not None else None
        now = time.time()
        routes, preview = self.routes(), self.pipeline.preview(targets_in(changes), now)
        lifted = self.pipeline.undrained(undrained_in(changes), now) if at is None else {}

        def work() -> dict[str, Any]:
            from zkdns.explain.explain import Then, Unknown, explain
            from zkdns.web.meant import read_meant

            past = None
            if at is not None and then is not None:
                world = then()
                past = Then(at, world.services(), world.topology, frozenset(world.unknown))
            standing = past.services if past is not None else snapshot.standing()
            meant = read_meant(name, snapshot.zone_names[0], snapshot.is_inside, standing)
            try:
                return explain(
                    snapshot, names.text(meant), qtype,
                    client=client, changes=changes, forwards=forwards, routes=routes, more=preview(),
                    lifted=lifted, then=past,
                )  # fmt: skip
            except Unknown as error:
                raise OutOfReach(f"{error}: it changed too often for all of it to be kept") from None

        return work

    def told(self, service: str | None, client: str | None) -> Callable[[], Told]:
        """Who was told what, of one service, of one client, or all."""
        return self.engine.told(service, client)

    def demand(self, since: float, most: int) -> Callable[[], Demand]:
        """How often each service was asked for, and by whom of those seen since."""
        return self.engine.demand(since, most)

    async def recorded(self) -> None:
        """Return once the journal has what is in the answers now."""
        await self.recorder.write()

    def history(self, query: Query) -> Callable[[], History]:
        """Reads what changed, oldest first, and how far back that is known."""
        return self.recorder.history(query)


def count_held(services: Mapping[str, Service]) -> str:
    """What is held, for people: a view is no service, and what it shares with its service is there once."""
    own = {name: s for name, s in services.items() if not s.view_of}
    instances = sum(len(s.instances) for s in own.values())
    for view in services.values():
        if view.view_of:
            base = own.get(view.view_of)
            known = {(i.registry, i.id) for i in base.instances} if base is not None else set()
            instances += sum((i.registry, i.id) not in known for i in view.instances)
    return f"{len(own)} service{'s' * (len(own) != 1)}, {instances} instance{'s' * (instances != 1)}"

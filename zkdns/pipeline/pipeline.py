"""The left half as one object: `step` takes what happened, `ready` gives what is due.

Rules: pure: no socket, no loop, no clock of its own; whoever drives it (the server, a command, a transcript,
the simulator) brings the time, and does what `Ready` says in the order in which it says it. A server takes
`ready` in two parts: `publish` gives what moves in the answers, `rest` what can wait for that. Registries go
by their names, each with its own age. An error of ours costs the item that it meets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from zkdns.answers.builder import Builder
from zkdns.answers.first_places import Counted
from zkdns.answers.holders import MAX_ADDRESSES_IN_A_TURN
from zkdns.answers.service import ServiceAnswers
from zkdns.answers.table import EVERY, Delta, Entry, Staleness, position_of
from zkdns.answers.zonefiles.overlay import Overlay
from zkdns.config import Settings
from zkdns.health.health import Health
from zkdns.health.targets import CheckPolicy
from zkdns.health.thresholds import LastProbe
from zkdns.model import Catalog, Instance, Service
from zkdns.pipeline.changes import Causes, Known, Moment
from zkdns.pipeline.compiler import Compiler
from zkdns.pipeline.defaults import ServiceDefaults
from zkdns.pipeline.gather import Gatherer
from zkdns.pipeline.gathering import AT_A_TIME, AT_A_TIME_OF_START, Gathering
from zkdns.pipeline.hearing import Hearing
from zkdns.pipeline.hostnames import Hostnames
from zkdns.pipeline.inputs import (
    NOTHING,
    Advertised,
    ClockSet,
    Compilation,
    Compiled,
    FileRead,
    Followed,
    Happened,
    Heard,
    HostResolved,
    Judgement,
    MapRead,
    Probed,
    Ready,
    Remembered,
    ZoneFilesRead,
    subject,
)
from zkdns.pipeline.judging import Judging, undrained
from zkdns.pipeline.latency import Latency
from zkdns.pipeline.locality import Localities
from zkdns.pipeline.own_nodes import OwnNodes
from zkdns.pipeline.own_roots import OwnRoots
from zkdns.pipeline.publisher import Publisher
from zkdns.pipeline.registries import Registries
from zkdns.pipeline.replica import Replica
from zkdns.pipeline.routes import RouteBook
from zkdns.pipeline.sessions import Sessions
from zkdns.pipeline.staleness import Origins
from zkdns.pipeline.start import Stage, Start
from zkdns.pipeline.telling import Telling
from zkdns.pipeline.wrong import Wrong
from zkdns.problems import Problems
from zkdns.routes import Target
from zkdns.steps import Steps
from zkdns.wall import Wall


class Pipeline:
    """`addresses`: of this server, in answers about itself. `replica`: how it is known to the others; None
    for one that neither probes nor writes. `tick`: seconds on any clock, for the budget. `threads`: whether
    the driver compiles large services aside. `compiles`: whether answers are wanted at all. `defers`: from
    how many services on those that nobody asked for are compiled by `compile_now` alone. `prepare`: is shown
    what a thread compiled, in that thread."""

    def __init__(
        self,
        settings: Settings,
        now: float,
        *,
        addresses: Sequence[str] = ("127.0.0.1",),
        replica: Replica | None = None,
        position_of: Callable[[Entry], int] = position_of,
        tick: Callable[[], float] = lambda: 0.0,
        threads: bool = False,
        compiles: bool = True,
        defers: float = float("inf"),
        prepare: Callable[[ServiceAnswers], object] = lambda answers: None,
    ) -> None:
        self.settings = settings
        self.wall = Wall()
        self._tick, self._threads = tick, threads
        self._until, self._is_told = 0.0, False
        """Of a turn: when it has had its time, and whether all was handed on that was heard."""
        # what registries, replicas and checks say
        self.replica = replica or Replica("")
        self.registries = Registries(settings, now, self.wall)
        self._start = Start(self.registries.values())
        self._hearing = Hearing(self.registries, self.wall, tick, self._heard_out)
        self._hearing.grace = settings.grace
        self._gatherer = Gatherer(settings.failover, self.wall, self.registries)
        policy = CheckPolicy.of(settings.allow_command_checks, settings.check_targets)
        self._health = Health(self.replica.id, probes=replica is not None, policy=policy, wall=self.wall)
        # what is answered: zones, the map, host names, routes
        self.services: dict[str, Service] = {}
        """As they are answered, with their states."""
        self.builder = Builder(settings.zone, addresses, settings.ttl, position_of, aside=threads)
        self.overlay = Overlay(self.builder)
        self._localities = Localities(settings)
        self._localities.put_in_force(self.builder, now)
        self._origins = Origins(self.registries)
        self._hostnames = Hostnames(
            settings.zone, self.services, self.wall, lambda host: self.overlay.find_host(host) is not None
        )
        several = len(settings.registry) > 1
        self.routes = RouteBook(self.services, self._gatherer.views, settings.failover, self.wall, several)
        # from one to the other, service by service
        self._compiler = Compiler(
            self.builder, self.routes, self._origins.number,
            threads=threads, compiles=compiles, defers=defers, prepare=prepare,
        )  # fmt: skip
        judge = Judging(
            self._judge, self._health, self._complete, self._compiler.attempt, self.wall,
            lambda one: self._hostnames.as_known(self._gathering.defaults.complete(one, False)),
        )  # fmt: skip
        sessions = Sessions(lambda now: self._hearing.awaits_losses(now) or self.registries.has_work)
        causes = Causes(sessions.why_gone, self._health.override_of, self.registries.lifted_by)
        self._telling = Telling(causes, self.wall)
        self._latency = Latency(self._gatherer.views.of)
        for registry in self.registries.values():
            if registry.tree is not None:
                registry.tree.passage.shown = self._latency.shown
        self._publisher = Publisher(
            self.services, routes=self.routes, judging=judge, compiler=self._compiler, sessions=sessions,
            telling=self._telling, latency=self._latency, moved=self._hostnames.changed,
            followers=self._hostnames.followers, wall=self.wall, tick=tick,
        )  # fmt: skip
        self._gathering = Gathering(
            self.registries, self._gatherer, self._publisher,
            routes=self.routes, hostnames=self._hostnames, health=self._health, latency=self._latency,
            wall=self.wall, defaults=ServiceDefaults(settings.service_defaults, settings.file),
        )  # fmt: skip
        # what stands under /zkdns, and what is wrong
        writes = replica is not None and self.registries.own is not None
        self._own_nodes = OwnNodes(self.replica, self._health, writes=writes)
        self._own_roots = OwnRoots(
            self.registries.own, self._own_nodes,
            override=self._gathering.override, take_map=self._take_map, wall=self.wall,
        )  # fmt: skip
        self._wrong = Wrong(
            self.wall, registries=self.registries, gatherer=self._gatherer, hostnames=self._hostnames,
            localities=self._localities, health=self._health, routes=self.routes, compiler=self._compiler,
            publisher=self._publisher, builder=self.builder, overlay=self.overlay, replica=self.replica,
        )  # fmt: skip

    # --- in ---------------------------------------------------------------------------------------

    def step(self, happened: Happened, now: float) -> None:
        """Take one thing that happened. What it leads to is told by `ready`. Raises for settings alone."""
        if isinstance(happened, Settings):
            self._take_settings(happened, now)
        else:
            with self.wall.around(subject(happened), "taken"):
                self._take(happened, now)

    def _take(self, happened: Happened, now: float) -> None:
        match happened:
            case Heard():
                self._hearing.take(happened, now)
            case ClockSet():
                parts = self.registries, self._hearing, self._start, self._health
                for part in (*parts, self._own_nodes, self._own_roots, self._publisher):
                    part.shift(happened.by)
            case Advertised():
                self.replica.move(happened.address, happened.http)
            case Probed():
                names = self._health.take(happened.target, happened.verdict, now)
                if self.stage is Stage.SETTLING:
                    self._start.withhold(names)
                else:
                    self._publisher.mark_soon(names, now)
            case HostResolved():
                self._hostnames.take(happened.host, happened.addresses, happened.why)
            case Compiled() | Followed():
                self._publisher.finish(happened, Moment(now, self.registries.zxid))
                self._gathering.is_due = True
            case Counted():
                self._compiler.finish(happened)
            case MapRead():
                self._localities.take_read(happened)
                self._relocate(now)
                self._gathering.is_due = True
            case FileRead():
                self.registries[happened.registry].read_file(happened.catalog)
                self._gathering.is_due = True
            case Remembered():
                self.registries.remember(happened.registry, happened.catalog, happened.overrides)
                if happened.topology is not None:
                    self._localities.take_node(happened.topology)
                    self._relocate(now)
            case ZoneFilesRead():
                self.overlay.put(happened.zones, in_turns=True)
                self._hostnames.take_files()
                self._gathering.is_due = True

    def _heard_out(self, heard: Heard, now: float) -> None:
        """All that a registry told at once is taken."""
        self._gathering.is_due = True
        if self.registries[heard.registry] is self.registries.own:
            self._own_roots.hear(heard.root, now)

    def _take_map(self, data: bytes | None, now: float) -> None:
        """What stands in the node of the map of networks; a large one is read in a thread."""
        if not self._reads_aside(lambda: self._localities.take_aside(data)):
            self._localities.take_node(data)
            self._relocate(now)

    def _reads_aside(self, take: Callable[[], Callable[[], MapRead] | None]) -> bool:
        work = take() if self._threads and self.stage is not Stage.LOADING else None
        self._compiler.aside += [] if work is None else [Compilation("", work)]
        return work is not None

    def _relocate(self, now: float) -> None:
        """Clients stand elsewhere now, by the map."""
        self.wall.count("topology", self._localities.problems)
        change = self._localities.put_in_force(self.builder, now)
        if change is not None:
            if self.stage is not Stage.LOADING:
                self._telling.add(change)
            self._publisher.respell()  # all of them: each is asked for by zone too

    @property
    def known(self) -> Known:
        """What operators ordered, as far as it is a cause, and the newest transaction. For a thread, too."""
        orders, registries = self._health.override_of, self.registries
        return Causes(override=orders, lifted_by=registries.lifted_by), registries.zxid

    def check(self, settings: Settings) -> None:
        """ConfigError where these settings can't be taken."""
        ServiceDefaults(settings.service_defaults, settings.file)

    def _take_settings(self, settings: Settings, now: float) -> None:
        old, self.settings = self.settings, settings
        self._hearing.grace = settings.grace
        if settings.ttl != old.ttl:
            self.builder.set_ttl(settings.ttl)
            self._publisher.respell()
        if settings.service_defaults != old.service_defaults:
            self._gathering.defaults = ServiceDefaults(settings.service_defaults, settings.file)
            self._publisher.mark(self._publisher.registered)
        if not self._reads_aside(lambda: self._localities.take_settings_aside(settings)):
            self._localities.take_settings(settings)
            self._relocate(now)
        self._gathering.is_due = True

    # --- out --------------------------------------------------------------------------------------

    def ready(self, now: float, budget: float = float("inf")) -> Ready:
        """What is due now. `budget`: seconds of work, after which the rest is left for another call."""
        return self.rest(now, self.publish(now, budget))

    def publish(self, now: float, budget: float = float("inf")) -> Delta:
        """Do what is due, for so many seconds: what moves in the answers by it."""
        self._until = until = self._tick() + budget
        hearing, publisher, health, gathering = self._hearing, self._publisher, self._health, self._gathering
        if hearing.has_work:
            self._gathering.hurry()
        # Each batch that was heard out is shown before the next one is begun.
        if hearing.is_within or not self._gathering.is_within:
            hearing.work(now, until)
        self._own_roots.work(now, self._tick)
        if not hearing.is_within and self._start.load(now):  # from now on there is something to answer from
            self._gathering.override()
            self._gathering.is_due = True
        while True:
            if self._gathers:
                most = AT_A_TIME_OF_START if self.is_loading else AT_A_TIME
                gathering.work(now, lambda: self._tick() > until, 0 if hearing.is_within else most)
            publisher.mark_soon(health.work(now, self._tick, until), now)
            if not gathering.is_within or (hearing.is_within and not gathering.is_taking):
                # Half of the time is its own: else who tells without end would have nothing published.
                spare = max(until - self._tick(), budget / 2)
                publisher.work(Moment(now, self.registries.zxid), spare)
            if self.is_loading:
                self._telling.work(self._tick, until)  # nobody asks yet, and a start is told before its end
            is_gathered = hearing.is_within or not (self._gathers and gathering.has_work)
            if (is_gathered and not health.has_work) or self._tick() > until:
                break
        is_in_parts = False
        if self.stage is Stage.SETTLING:
            # In one go a large registry would be a turn of its own: all but the last part is in force first.
            is_in_parts = self.builder.has_more
            if is_gathered and not (is_in_parts or hearing.is_within or health.has_work):
                self._finish_start(now)
        self._is_told = is_gathered and not (is_in_parts or hearing.has_work)
        if self._is_told and not publisher.has_work and self.stage is not Stage.LOADING:
            self.builder.set_serial(self.registries.serial)
        self._origins.tell(self.builder, self.is_loading, self.settings.stale_max, now)
        # While nothing is answered each origin fails, whatever is in force already.
        return self.builder.take(MAX_ADDRESSES_IN_A_TURN if budget < float("inf") else None)

    def rest(self, now: float, delta: Delta = NOTHING) -> Ready:
        """What is due beside that, once it is in force. `delta`: where it is not, to go with the rest."""
        publisher, health, is_loading = self._publisher, self._health, self.is_loading
        self._telling.work(self._tick, self._until)
        changes = (*self._gathering.take_changes(), *self._telling.take())
        is_done = self._is_told and not (publisher.has_work or self._telling.has_work or health.has_work)
        return Ready(
            delta,
            changes,
            health.take_probes(),
            self._hostnames.outside,
            self._own_nodes.write(self.builder.serial, now, serves=not is_loading),
            self._compiler.take_aside(),
            self._wake(now),
            not is_done or self.builder.has_more,
            self._hearing.is_behind or (self._gathering.is_behind and not is_loading),
            self._latency.take(),
        )  # fmt: skip

    def _finish_start(self, now: float) -> None:
        if not self._publisher.is_done(self._start.waits_no_more(now)) or self._telling.has_work:
            return
        if self._start.is_settled(self._hostnames, self._health, now):
            self._publisher.mark(self._start.finish())

    def _wake(self, now: float) -> float | None:
        due = [self._publisher.wake, self._own_roots.wake, *self._start.wakes(now)]
        due += self._own_nodes.wakes(self.builder.serial, serves=not self.is_loading)
        due += self._origins.wakes(self.settings.stale_max, now)
        return min((at for at in due if at is not None), default=None)

    def compile_now(self, service: str, now: float) -> Delta:
        """Somebody asks for a service that was deferred: what that moves in the answers."""
        self._publisher.compile_now(service, Moment(now, self.registries.zxid))
        return self.builder.take(MAX_ADDRESSES_IN_A_TURN)

    # --- how it stands ----------------------------------------------------------------------------

    @property
    def catalog(self) -> Catalog:
        """What the registries hold together."""
        return self._gatherer.catalog

    @property
    def stage(self) -> Stage:
        """How far its start has come."""
        return self._start.stage

    @property
    def idle(self) -> bool:
        """Whether all that is known is in the answers."""
        is_read = self._own_roots.idle and not (self._health.has_work or self._hearing.has_work)
        is_shown = not (self._gathers and self._gathering.has_work)
        is_told = self._publisher.idle and not self._telling.has_work
        return is_read and is_shown and is_told and not self.builder.has_more

    @property
    def _gathers(self) -> bool:
        """Whether what registries hold is taken: before that it is not known whole."""
        return self._start.stage is not Stage.LOADING  # asked at every turn, as what follows

    @property
    def is_loading(self) -> bool:
        """Whether there is nothing to answer from yet."""
        return self._start.stage is not Stage.READY

    @property
    def staleness(self) -> Staleness:
        """What names that are not there tell of the registries."""
        return self.builder.staleness(EVERY)

    @property
    def problems(self) -> Problems:
        """What is wrong with what is registered, ordered, and laid beside it."""
        return self._wrong.tell()

    def preview(self, targets: Iterable[Target], now: float) -> Callable[[], dict[str, Service]]:
        """Judge what these lead to and no route does yet, by name; may be called in a thread."""
        return self._publisher.preview(targets, now)

    def undrained(self, those: Iterable[tuple[str, str]], now: float) -> dict[str, Instance]:
        """By path, how these would stand, by service and id, if nothing were ordered for them."""
        return undrained(self._health.trial, self.services, those, now)

    def last_probes(self, name: str) -> dict[str, LastProbe]:
        """What this server's own probes of a service's instances said last, by id; in any thread."""
        service = self.services.get(name)
        return self._health.last_probes(service) if service is not None else {}

    # --- what the publisher asks ------------------------------------------------------------------

    def _judge(self, service: Service, now: float, previous: Service | None) -> Judgement:
        return self._health.steps(service, now, previous, self.registries.grace(now, self.settings.grace))

    def _complete(self, service: Service) -> Steps[Service]:
        """With the server's defaults for what it doesn't set, and host names with their addresses."""
        is_registered = service.name in self._publisher.registered
        return self._hostnames.complete(self._gathering.defaults.complete(service, is_registered))

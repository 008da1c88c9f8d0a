"""What is registered -> what is answered, service by service: judged, compiled, and put in place.

Rules: pure; clocks come in as arguments. Only what changed is done again, and no more at once than the
budget allows. A service of thousands is compiled elsewhere, and put in place when that is done. An error of
ours costs the instance that it meets, or the service where no single one is to blame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from zkdns.answers.builder import Builder
from zkdns.answers.routed import NOTHING, Beyond, Routed
from zkdns.answers.service import ServiceAnswers
from zkdns.model import Change, Override, Problem, Service
from zkdns.persistent import differing
from zkdns.pipeline import changes
from zkdns.pipeline.agenda import Agenda
from zkdns.pipeline.aside import compiling, following
from zkdns.pipeline.inputs import Compilation, Compiled, Followed, Judge
from zkdns.pipeline.judging import Judging
from zkdns.pipeline.lost_names import tell_lost
from zkdns.pipeline.routes import RouteBook
from zkdns.pipeline.sessions import Sessions
from zkdns.pipeline.views import Views
from zkdns.pipeline.wall import Wall
from zkdns.routes import Target

LARGE = 500
"""Instances above which a service is compiled in a thread: at 50,000 that takes a second or two, which
nobody's query should wait for."""


class Publisher:
    """`registered`: what the registries hold. `services`: the same with states, as it is answered. `threads`:
    whether there are any for large services. `compiles`: whether answers are wanted at all. `defers`: from
    how many services on those that nobody asked for are not compiled."""

    def __init__(
        self,
        builder: Builder,
        judge: Judge,
        trial: Callable[[Service, float], Service],
        complete: Callable[[Service], Service],
        moved: Callable[[Service | None, Service | None], Iterable[str]],
        origin_of: Callable[[Sequence[str]], int],
        wall: Wall,
        tick: Callable[[], float],
        *,
        threads: bool,
        compiles: bool,
        views: Views | None = None,
        failover: Sequence[str] = (),
        override: Callable[[str, str], Override | None] = lambda service, id: None,
        lifted_by: Callable[[str], int] = lambda service: 0,
        defers: float = float("inf"),
    ) -> None:
        self._sessions = Sessions()
        self._causes = changes.Causes(self._sessions.why_gone, override, lifted_by)
        self.registered: Mapping[str, Service] = {}
        self.services: dict[str, Service] = {}
        self.changes: list[Change] = []
        self.limits: dict[str, Problem] = {}
        """By service, what of its settings goes beyond what is done for one."""
        self.lost_names: dict[str, tuple[Problem, ...]] = {}
        """By service, the names that others have."""
        self.compilations: list[Compilation] = []
        self.routes = RouteBook(self.services, views or Views(failover), failover)
        self._builder = builder
        self._origin_of = origin_of
        self._judging = Judging(judge, trial, complete, self._try_to_compile, wall)
        self._moved = moved
        self._wall = wall
        self._tick = tick
        self._threads = threads
        self._compiles = compiles
        self._defers = defers
        self._asked: set[str] = set()
        """Services that were asked for before they were compiled."""
        self._agenda = Agenda()
        self._respelled: set[str] = set()
        self._composed: dict[str, None] = {}
        """Services whose names give more than their own instances, to be compiled once all that they depend
        on is judged."""
        self._under_way: dict[str, tuple[Service | None, Service, bool]] = {}
        """Services that are compiled elsewhere: before, after, and whether they changed again meanwhile."""

    @property
    def idle(self) -> bool:
        """Whether all that is known is in the answers."""
        return not self._agenda.queue and not self._composed and not self._under_way

    @property
    def has_work(self) -> bool:
        """Whether `work` has anything to do now."""
        return bool(self._agenda.queue or self._composed)

    @property
    def wake(self) -> float | None:
        """When the next service is to be judged again."""
        return self._agenda.wake

    # --- in ---------------------------------------------------------------------------------------

    def take(self, registered: Mapping[str, Service], now: float) -> None:
        """These are the services now."""
        old, self.registered = self.registered, registered
        changed = differing(old, registered)
        for name in changed:
            self._sessions.take(old.get(name), registered.get(name), now)
        self.mark(changed)

    def mark(self, names: Iterable[str]) -> None:
        """These services must be judged and compiled again."""
        self._agenda.mark(names)

    def mark_soon(self, names: Iterable[str], now: float) -> None:
        """The same at the pace that these services can bear."""
        self._agenda.mark_soon(names, now)

    def respell(self, names: Iterable[str] | None = None) -> None:
        """Compile services (all, where none are named) as they stand: what they are spelled with (the TTL,
        the map of networks) has changed."""
        every = list(self.services if names is None else names)
        self._respelled.update(every)
        self.mark(every)

    def compile_now(self, name: str, now: float, zxid: int) -> None:
        """Somebody asks for a service that was deferred: it is compiled now, and whenever it changes."""
        answers = self._builder.services.get(name)
        if answers is None or not answers.deferred or name in self._asked:
            return
        self._asked.add(name)
        try:
            self._builder.replace(name, self._compile_one(answers.service))
        except Exception as error:
            self._recover(name, answers.service, answers.service, error, now, zxid)

    def finish(self, done: Compiled | Followed, now: float, zxid: int) -> None:
        """What came of a service that was compiled elsewhere, or whose route was followed there."""
        if done.name not in self._under_way:
            return
        before, after, changed_again = self._under_way.pop(done.name)
        try:
            if done.error is not None:
                self._recover(done.name, before, after, done.error, now, zxid)
            elif isinstance(done, Followed):
                # Though it changed again: else what changes faster than it is followed would never be given.
                self._compile(done.name, before, after, now, zxid, done.routed)
            elif done.answers is not None:
                self._put(done.name, before, after, done.answers, now, zxid)
        except Exception as error:
            self._wall.note(after.path, error)
        if changed_again:
            self.mark([done.name])

    def preview(self, targets: Iterable[Target], now: float) -> dict[str, Service]:
        """What these lead to and no route does yet, as it would be judged, by name."""
        views = [view for target in targets if (view := self.routes.views.preview(target)) is not None]
        return {view.name: self._judging.preview(view, now) for view in views}

    # --- out --------------------------------------------------------------------------------------

    def work(self, now: float, budget: float, zxid: int) -> bool:
        """Do what is queued, for so many seconds. Whether anything was put in place."""
        self._agenda.ring(now)
        until = self._tick() + budget
        done = False
        while self._agenda.queue or self._composed:
            began = self._tick()
            queue, act = (
                (self._agenda.queue, self._publish) if self._agenda.queue else (self._composed, self._compose)
            )
            name = next(iter(queue))
            del queue[name]
            try:
                done = act(name, now, zxid) or done
            except Exception as error:  # ours: it costs this service, and the others go on
                known = self.registered.get(name) or self.services.get(name)
                self._wall.note(known.path if known is not None else name, error)
            ended = self._tick()
            self._agenda.spend(name, now, ended - began)
            if ended > until:
                break
        return done

    def _publish(self, name: str, now: float, zxid: int) -> bool:
        if name in self._under_way:
            before, after, _ = self._under_way[name]
            self._under_way[name] = before, after, True
            return False
        self._agenda.begin(name)
        registered = self.registered.get(name)
        standing = self.services.get(name)
        # A service that is gone may still have instances that the loss guard keeps: the judge says.
        asked = registered or (replace(standing, instances=()) if standing is not None else None)
        judged: Service | None = None
        if asked is not None:
            asked = self.routes.choose(asked, now)
            judged, again = self._judging.judge(asked, now, standing)
            if again is not None:
                self._agenda.again(name, again, now)
            if not judged.instances and (registered is None or self.routes.is_over(judged)):
                judged = None
        respelled = name in self._respelled
        self._respelled.discard(name)
        was_moving = self.routes.is_moving(name)
        rerouted, due = self.routes.update(judged, name, now)
        if was_moving and standing is not None:
            self._end_ramp(standing, now)
        if due is not None:
            self._agenda.again(name, due, now)
        if judged is None:
            self._agenda.forget(name)
            if standing is None:
                return False
            self._put(name, standing, None, None, now, zxid)
            return True
        if self.routes.is_composed(name) or judged.view_of:
            if rerouted or respelled or judged is not standing:
                self._composed[name] = None
                self._stand(name, standing, judged, now, zxid)
            return False
        if judged is standing and not respelled and not rerouted and not self._stands_composed(name):
            return False
        return self._compile(name, standing, judged, now, zxid)

    def _end_ramp(self, standing: Service, now: float) -> None:
        """Told of what moved until now, even where something else takes its place in the same moment."""
        stands_for = standing.stands_for
        if stands_for is not None and not stands_for.route.moves(now):
            self.changes.append(changes.ramp_end(standing, stands_for))

    def _stands_composed(self, name: str) -> bool:
        answers = self._builder.services.get(name)
        return answers is not None and answers.beyond is not NOTHING

    def _compose(self, name: str, now: float, zxid: int) -> bool:
        """Compile a service whose names give more than its own instances, as all of it stands now."""
        if name in self._under_way:
            before, after, _ = self._under_way[name]
            self._under_way[name] = before, after, True
            self._respelled.add(name)  # what it leads to is another: judging it again tells nothing of that
            return False
        service = self.services.get(name)
        return service is not None and self._compile(name, service, service, now, zxid)

    # --- compiling --------------------------------------------------------------------------------

    def _compile(
        self, name: str, before: Service | None, after: Service, now: float, zxid: int,
        routed: Routed | None = None,
    ) -> bool:  # fmt: skip
        if not self._compiles:
            self._beyond(name)  # its problems are told all the same
            self._put(name, before, after, None, now, zxid)
            return True
        try:
            if routed is None and self._threads and self.routes.is_heavy(name, LARGE):
                self._under_way[name] = before, after, False
                self.compilations.append(Compilation(name, following(name, self.routes.follow_aside(name))))
                return False
            beyond = self._beyond(name, routed)
            if beyond is NOTHING and (deferred := self._defer(after)) is not None:
                self._put(name, before, after, deferred, now, zxid)
                return True
            size = len(after.instances) + (len(beyond.route.name.group) if beyond.route is not None else 0)
            if after.settings.near != "off":
                size *= 1 + len(self._builder.topology.places)
            if self._threads and size > LARGE:
                self._under_way[name] = before, after, False
                origin = self._origin_of(self.routes.registries(after))
                work = compiling(name, self._builder.compile, after, origin, beyond)
                self.compilations.append(Compilation(name, work))
                return False
            answers = self._compile_one(after, beyond)
        except Exception as error:
            return self._recover(name, before, after, error, now, zxid)
        self._put(name, before, after, answers, now, zxid)
        return True

    def _defer(self, service: Service) -> ServiceAnswers | None:
        if len(self.registered) < self._defers or service.name in self._asked:
            return None
        return self._builder.defer(service, self._origin_of(self.routes.registries(service)))

    def _beyond(self, name: str, routed: Routed | None = None) -> Beyond:
        if name not in self.services or not (self.routes.is_composed(name) or self.services[name].view_of):
            return NOTHING
        beyond = self.routes.beyond(name, routed)
        if beyond.route is None:
            return beyond
        origin = self._origin_of(self.routes.relied_on(name, beyond.route))
        return replace(beyond, route=replace(beyond.route, origin=origin))

    def _compile_one(self, service: Service, beyond: Beyond = NOTHING) -> ServiceAnswers:
        return self._builder.compile(service, self._origin_of(self.routes.registries(service)), beyond)

    def _try_to_compile(self, service: Service) -> None:
        if self._compiles:
            self._compile_one(service)

    def _recover(
        self, name: str, before: Service | None, after: Service, error: Exception, now: float, zxid: int
    ) -> bool:
        """We are wrong: the service goes on without the instances that are to blame, and where none is, with
        what stood there before."""
        registered = self.registered.get(name)
        if registered is not None and self._judging.shut_out(after, registered, error, now):
            self._agenda.mark((name,))
        else:
            self._wall.note(after.path, error)
        return False

    def _put(
        self, name: str, before: Service | None, after: Service | None,
        answers: ServiceAnswers | None, now: float, zxid: int,
    ) -> None:  # fmt: skip
        if self._compiles:
            self._builder.replace(name, answers)
            if answers is not None and answers.not_near:
                what = f"{answers.not_near} of its names give all clients the same: too many for its zones"
                self.limits[name] = Problem(answers.service.path, what, "use fewer tags, ports or zones")
            else:
                self.limits.pop(name, None)
        if before is not after:
            self._stand(name, before, after, now, zxid)
        else:
            self._judging.forgive(before, after, self.registered.get(name))

    def _stand(self, name: str, before: Service | None, after: Service | None, now: float, zxid: int) -> None:
        """A service is judged so from now on."""
        if after is None:
            self._asked.discard(name)
            self.services.pop(name, None)
            self.lost_names.pop(name, None)
            if before is not None and before.view_of:
                self.mark([before.view_of])  # what it was kept for may stand behind nobody any more
        else:
            self.services[name] = after
            self.lost_names.pop(name, None)
            if not after.view_of and (lost := tuple(tell_lost(after))):
                self.lost_names[name] = lost
        self._judging.forgive(before, after, self.registered.get(name))
        changed = after or before
        if changed is None:
            return
        self._composed.update(dict.fromkeys(self.routes.users(changed)))
        self.mark(self._moved(before, after))
        self.changes += changes.between(before, after, now, zxid, self._causes)

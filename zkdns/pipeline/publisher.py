"""What is registered -> what is answered, service by service: which is next, and what is due for it.

Rules: pure; clocks come in as arguments. Only what changed is done again, and no more at once than the
budget allows. What is judged here is put in place by `placement`. An error of ours costs the service that it
meets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from zkdns.model import Problem, Service
from zkdns.persistent import differing
from zkdns.pipeline.affected import Affected
from zkdns.pipeline.agenda import Agenda
from zkdns.pipeline.changes import Moment, ramp_end
from zkdns.pipeline.compiler import Compiler
from zkdns.pipeline.followers import Followers
from zkdns.pipeline.inputs import Compiled, Followed
from zkdns.pipeline.judging import Judging
from zkdns.pipeline.latency import Latency
from zkdns.pipeline.placement import Placement, Replacement
from zkdns.pipeline.routes import RouteBook
from zkdns.pipeline.sessions import NOBODY, Sessions
from zkdns.pipeline.telling import Telling
from zkdns.roots import OVERRIDES
from zkdns.routes import Target
from zkdns.steps import Steps
from zkdns.wall import Wall

COMPOSED_EVERY: Final = 4
"""While others wait to be judged, one turn in so many is for a service whose names give others' instances."""

FOLLOWERS_EVERY: Final = 8
"""The same for those whose host names lead to what changed: tens of thousands may, and one more of them is
judged then."""


class Publisher:
    """`registered`: what the registries hold. `services`: the same with states, as it is answered: written
    here, and read by all others. `moved`: is told what changes, to which host names may lead; `followers`:
    the services that have such names."""

    def __init__(
        self,
        services: dict[str, Service],
        *,
        routes: RouteBook,
        judging: Judging,
        compiler: Compiler,
        sessions: Sessions,
        telling: Telling,
        latency: Latency,
        moved: Callable[[Service | None, Service | None], None],
        followers: Followers,
        wall: Wall,
        tick: Callable[[], float],
    ) -> None:
        self.registered: Mapping[str, Service] = {}
        self.services = services
        self._routes = routes
        self._judging = judging
        self._compiler = compiler
        self._sessions = sessions
        self._telling = telling
        self._latency = latency
        self._wall = wall
        self._tick = tick
        self._followers = followers
        self._agenda = Agenda()
        self._respelled: set[str] = set()
        """Services that are to be compiled though they are judged as before."""
        self._composed = Affected(wall)
        """Services whose names give more than their own instances, to be compiled once all that they depend
        on is judged."""
        self._placement = Placement(
            services, agenda=self._agenda, composed=self._composed, routes=routes, judging=judging,
            compiler=compiler, telling=telling, moved=moved, wall=wall,
        )  # fmt: skip
        self._under_way = self._placement.under_way
        self._overtaken: set[str] = set()
        """Those that changed again while they are compiled elsewhere, or judged in part."""
        self._done: deque[tuple[Compiled | Followed, Moment]] = deque()
        """What came of services compiled elsewhere, and is not put in place yet."""
        self._begun: dict[str, Steps[None]] = {}
        """Services that are judged in part, whose turn is next first: one of thousands takes several."""
        self._costs: dict[str, float] = {}
        """What each of them took so far, in seconds."""
        self._turn = 0
        self._turn_of_followers = 0
        self._has_finished = False
        """Whether something was put in place since `work` was called."""

    @property
    def idle(self) -> bool:
        """Whether all that is known is in the answers."""
        return not self.has_work and not self._under_way

    @property
    def has_work(self) -> bool:
        """Whether `work` has anything to do now."""
        is_searching = self._composed.is_searching or self._followers.has_work
        return bool(self._agenda.queue or self._composed or self._begun or self._done or is_searching)

    @property
    def lost_names(self) -> dict[str, tuple[Problem, ...]]:
        """By service, the names that others have."""
        return self._placement.lost_names

    @property
    def backlog(self) -> int:
        """Services that registries told of, and that are not judged yet."""
        return len(self._agenda.queue.own)

    def is_done(self, but_routes: bool) -> bool:
        """The same as `idle`; with `but_routes`, but for routes that are followed elsewhere."""
        if self.has_work or not but_routes:
            return self.idle
        return all(one.after.stands_for is not None for one in self._under_way.values())

    @property
    def wake(self) -> float | None:
        """When the next service is to be judged again."""
        return self._agenda.wake

    # --- in ---------------------------------------------------------------------------------------

    def take(self, registered: Mapping[str, Service], now: float) -> Steps[list[str]]:
        """These are the services now. Returns those that have changed."""
        old = self.registered
        changed = differing(old, registered)
        of_registries: list[str] = []
        of_routes: list[str] = []
        """What a route alone makes. Thousands may be laid at once, and registries are not read while so many
        of theirs wait."""
        for name in changed:
            before, after = old.get(name), registered.get(name)
            path = (after or before or NOBODY).path
            of_its_kind = of_routes if path.startswith(OVERRIDES) else of_registries
            of_its_kind.append(name)
            with self._wall.around(path, "sessions"):
                yield from self._sessions.take(before, after, now)
        self.registered = self._placement.registered = registered
        if of_routes:
            self._agenda.mark(of_routes)
        self._agenda.tell(of_registries)
        return changed

    def is_to_judge(self, name: str) -> bool:
        """Whether it is due."""
        return name in self._agenda.queue

    def mark(self, names: Iterable[str]) -> None:
        """These services must be judged and compiled again."""
        self._agenda.mark(names)

    def mark_soon(self, names: Iterable[str], now: float) -> None:
        """The same at the pace that these services can bear."""
        self._agenda.mark_soon(names, now)

    def shift(self, by: float) -> None:
        """The clock was set: what operators ordered, what warms and what moves goes by it, and each service
        may change."""
        self._sessions.shift(by)
        self._begun.clear()  # they were begun at a moment of the clock as it was
        self.mark({**self.registered, **self.services})

    def respell(self, names: Iterable[str] | None = None) -> None:
        """Compile services (all, where none are named) as they stand: what they are spelled with (the TTL,
        the map of networks) has changed."""
        every = list(self.services if names is None else names)
        self._respelled.update(every)
        self.mark(every)

    def compile_now(self, name: str, moment: Moment) -> None:
        """Somebody asks for a service that was deferred: it is compiled now, and whenever it changes."""
        service = self._compiler.ask(name)
        if service is None:
            return
        try:
            if self._compiler.put_deferred(service):
                self.respell([name])
        except Exception as error:
            self._placement.recover(Replacement(service, service), error, moment)

    def finish(self, done: Compiled | Followed, moment: Moment) -> None:
        """What came of a service that was compiled elsewhere, or whose route was followed there. Of many that
        are done at once one is put in place now, and the others when their turn comes."""
        if self._has_finished:
            self._done.append((done, moment))
        else:
            self._has_finished = True
            self._finish(done, moment)

    def _finish(self, done: Compiled | Followed, moment: Moment) -> None:
        if self._placement.finish(done, moment) and done.name in self._overtaken:
            self._overtaken.discard(done.name)
            self.mark([done.name])
        if self._latency.judged.came:
            self._count_served(done.name)

    def _count_served(self, name: str) -> None:
        """What was told of it is in force, unless it is to go on being judged or compiled."""
        if not (name in self._begun or name in self._under_way or name in self._composed):
            self._latency.end(name)

    def preview(self, targets: Iterable[Target], now: float) -> Callable[[], dict[str, Service]]:
        """Judge what these lead to and no route does yet, by name; may be called in a thread."""
        every = [*self._routes.views.previews(targets)]

        def work() -> dict[str, Service]:
            pairs = [make() for make in every]
            return {view.name: self._judging.preview(view, now, ordered) for view, ordered in pairs}

        return work

    # --- out --------------------------------------------------------------------------------------

    def work(self, moment: Moment, budget: float) -> None:
        """Do what is queued, for so many seconds."""
        self._agenda.ring(moment.at)
        until = self._tick() + budget
        self._has_finished = False
        while self.has_work:
            began = self._tick()
            if self._done or self._composed.is_searching:
                if self._done:
                    self._finish(*self._done.popleft())
                else:
                    self._composed.search()
                if self._tick() > until:
                    break
                continue
            if self._followers.has_work and self._is_turn_of_followers():
                if (name := self._followers.take_next()) is not None:
                    self.mark([name])
                elif self._tick() > until:
                    break
                continue
            name, act = self._take_next()
            try:
                act(name, moment)
            except Exception as error:  # ours: it costs this service, and the others go on
                self._begun.pop(name, None)
                known = self.registered.get(name) or self.services.get(name)
                self._wall.note(known.path if known is not None else name, error)
            if self._latency.judged.came:
                self._count_served(name)
            ended = self._tick()
            cost = self._costs.pop(name, 0.0) + ended - began
            if name in self._begun:
                self._costs[name] = cost
            elif name in self.services:
                self._agenda.spend(name, moment.at, cost)
            else:
                self._agenda.forget(name)
            if ended > until:
                break

    def _is_turn_of_followers(self) -> bool:
        """As soon as nothing else is due; while others wait, each of so many times."""
        if not (self._agenda.queue or self._begun or self._composed):
            return True
        self._turn_of_followers = (self._turn_of_followers + 1) % FOLLOWERS_EVERY
        return not self._turn_of_followers

    def _take_next(self) -> tuple[str, Callable[[str, Moment], None]]:
        """The next service, and what is due for it. Those whose names give others' instances are compiled
        once nothing else is due, and some of them while thousands wait to be judged; a service that is judged
        in part has every second turn."""
        self._turn += 1
        queue = self._agenda.queue
        if self._begun and (self._turn % 2 or not (queue or self._composed)):
            return next(iter(self._begun)), self._go_on
        if queue and (self._turn % COMPOSED_EVERY or not self._composed):
            if len(queue) == 1:  # a lone change goes through as little as it can
                return queue.take_next()[0], self._publish
            registered = self.registered
            name = self._agenda.take_next(lambda name: len(registered.get(name, NOBODY).instances))
            return name, self._publish
        return self._composed.take_next(), self._compose_if_ripe

    def _compose_if_ripe(self, name: str, moment: Moment) -> None:
        """Unless it, or something that its names depend on directly, is still to be judged."""
        queue, begun = self._agenda.queue, self._begun
        if any(one in queue or one in begun for one in (name, *self._routes.needs(name))):
            self._composed[name] = None
        else:
            self._compose(name, moment)

    def _publish(self, name: str, moment: Moment) -> None:
        if name in self._under_way or name in self._begun:
            self._overtaken.add(name)
            return
        if (due := self._latency.due).came:
            self._latency.judged.put(name, due.take(name))
        self._begun[name] = self._judge_and_publish(name, moment)
        self._go_on(name, moment)

    def _go_on(self, name: str, moment: Moment) -> None:
        """One step with a service; those that are not done after it have their turns."""
        steps = self._begun.pop(name)
        try:
            next(steps)
            self._begun[name] = steps
        except StopIteration:
            pass
        finally:
            if name in self._overtaken and name not in self._begun and name not in self._under_way:
                self._overtaken.discard(name)
                self.mark([name])

    def _judge_and_publish(self, name: str, moment: Moment) -> Steps[None]:
        now = moment.at
        self._agenda.begin(name)
        registered = self.registered.get(name)
        standing = self.services.get(name)
        # A service that is gone may still have instances that the loss guard keeps: the judge says.
        asked = registered or (replace(standing, instances=()) if standing is not None else None)
        judged: Service | None = None
        if asked is not None:
            asked = self._routes.choose(asked, now)
            judged, again = yield from self._judging.judge(asked, now, standing)
            if again is not None:
                self._agenda.again(name, again, now)
            if not judged.instances and (registered is None or self._routes.is_over(judged)):
                judged = None
        respelled = name in self._respelled
        self._respelled.discard(name)
        was_moving = self._routes.is_moving(name)
        rerouted, due = self._routes.update(judged, name, now)
        if self._routes.shifted:
            self._composed.update(self._routes.take_shifted())
        if was_moving and standing is not None:
            self._end_ramp(standing, now)
        if due is not None:
            self._agenda.again(name, due, now)
        if judged is None:
            if standing is not None:
                self._placement.take_out(standing, moment)
            return
        if self._routes.is_composed(name) or judged.view_of:
            if rerouted or respelled or judged is not standing:
                self._composed[name] = None
                self._placement.stand(standing, judged, moment)
        elif judged is not standing or respelled or rerouted or self._compiler.is_composed(name):
            self._placement.compile(Replacement(standing, judged), moment)

    def _end_ramp(self, standing: Service, now: float) -> None:
        """Told of what moved until now, even where something else takes its place in the same moment."""
        stands_for = standing.stands_for
        if stands_for is not None and not stands_for.route.moves(now):
            self._telling.add(ramp_end(standing, stands_for))

    def _compose(self, name: str, moment: Moment) -> None:
        """Compile a service whose names give more than its own instances, as all of it stands now."""
        if name in self._under_way or name in self._begun:
            self._overtaken.add(name)
            self._respelled.add(name)  # what it leads to has changed: judging it again tells nothing of that
        elif (service := self.services.get(name)) is not None:
            self._placement.compile(Replacement(service, service), moment)

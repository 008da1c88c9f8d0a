"""A judged service in place of what stood by its name: compiled, put in force, and told of.

Rules: pure; clocks come in as arguments. A service of thousands is compiled elsewhere, and put in place when
that is done. An error of ours costs the instance that it meets, or the service where no single one is to
blame: that goes on as it stood.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct, structs

from zkdns.answers.routed import Routed
from zkdns.answers.service import ServiceAnswers
from zkdns.answers.sifting import Sifted
from zkdns.model import Problem, Service, fault
from zkdns.pipeline.affected import Affected
from zkdns.pipeline.agenda import Agenda
from zkdns.pipeline.changes import Moment
from zkdns.pipeline.compiler import Compiler
from zkdns.pipeline.inputs import Compilation, Compiled, Followed
from zkdns.pipeline.judging import Judging
from zkdns.pipeline.lost_names import tell_lost
from zkdns.pipeline.routes import RouteBook
from zkdns.pipeline.telling import Telling
from zkdns.wall import Wall


class Replacement(Struct, frozen=True):
    """A service that is to stand as `after`, and what stands there until then."""

    before: Service | None
    after: Service
    error: Exception | None = None
    """Of ours: what it is about is looked for in what its names give of others, or is left out already."""

    @property
    def name(self) -> str:
        return self.after.name


class Placement:
    """`services`: with states, as they are answered: written here, and read by all others. `agenda` and
    `composed`: what is to be judged, and to be compiled, because of what is put in place. `moved`: is told
    what changes, to which host names may lead."""

    def __init__(
        self,
        services: dict[str, Service],
        *,
        agenda: Agenda,
        composed: Affected,
        routes: RouteBook,
        judging: Judging,
        compiler: Compiler,
        telling: Telling,
        moved: Callable[[Service | None, Service | None], None],
        wall: Wall,
    ) -> None:
        self.registered: Mapping[str, Service] = {}
        """What the registries hold."""
        self.under_way: dict[str, Replacement] = {}
        """Services that are compiled elsewhere."""
        self.lost_names: dict[str, tuple[Problem, ...]] = {}
        """By service, the names that others have."""
        self._services = services
        self._agenda = agenda
        self._composed = composed
        self._routes = routes
        self._judging = judging
        self._compiler = compiler
        self._telling = telling
        self._moved = moved
        self._wall = wall

    def compile(
        self, replacement: Replacement, moment: Moment, routed: Routed | Sifted | None = None
    ) -> None:
        """Compile it and put it in place; what is large is compiled elsewhere first. `routed`: its route,
        where that was followed already."""
        try:
            answers = self._compiler.compile(replacement.after, len(self.registered), routed)
        except Exception as error:
            self.recover(replacement, error, moment)
            return
        finally:
            if self._routes.shifted:
                self._composed.update(self._routes.take_shifted())
        if isinstance(answers, Compilation):
            self.under_way[replacement.name] = replacement
            self._compiler.aside.append(answers)
        else:
            self._put(replacement, answers, moment)

    def finish(self, done: Compiled | Followed, moment: Moment) -> bool:
        """What came of a service that was compiled elsewhere, or whose route was followed there. Returns
        whether it was waited for."""
        replacement = self.under_way.pop(done.name, None)
        if replacement is None:
            return False
        try:
            if done.error is not None:
                self.recover(replacement, done.error, moment)
            elif isinstance(done, Followed):
                # Though it changed again: else what changes faster than it is followed would never be given.
                routed = done.routed
                if isinstance(routed, Sifted) and not routed.faults and replacement.error is not None:
                    problem = fault(replacement.after.path, replacement.error)
                    routed = structs.replace(routed, faults=(problem,))
                self.compile(replacement, moment, routed)
            elif done.answers is not None:
                self._put(replacement, done.answers, moment)
                self._put_lost_names(replacement.after, done.lost)
        except Exception as error:
            self._wall.note(replacement.after.path, error)
        return True

    def recover(self, replacement: Replacement, error: Exception, moment: Moment) -> None:
        """We are wrong: the service goes on without the instances that are to blame, without that of its
        route and of its guests which is, and where nothing is, with what stood there before."""
        service = replacement.after
        registered = self.registered.get(service.name)
        if registered is not None and self._judging.shut_out(service, registered, error, moment.at):
            self._agenda.mark((service.name,))
        elif self._routes.is_composed(service.name) and replacement.error is None:
            self._sift(structs.replace(replacement, error=error), moment)
        else:
            self._wall.note(service.path, error)

    def _sift(self, replacement: Replacement, moment: Moment) -> None:
        sifting = self._compiler.sift(replacement.after)
        self.under_way[replacement.name] = replacement
        if self._compiler.threads:
            self._compiler.aside.append(sifting)
        else:
            self.finish(sifting.work(), moment)  # type: ignore[arg-type]

    def stand(self, before: Service | None, after: Service, moment: Moment) -> None:
        """A service is judged so from now on."""
        self._services[after.name] = after
        if not self._compiler.is_large(after):
            self._put_lost_names(after, tell_lost(after))
        self._tell(before, after, moment)

    def take_out(self, service: Service, moment: Moment) -> None:
        """Nothing of it is registered or kept any more."""
        self._compiler.put(service.name, None)
        self._compiler.forget(service.name)
        del self._services[service.name]
        self.lost_names.pop(service.name, None)
        if service.view_of:
            self._agenda.mark((service.view_of,))  # what it was kept for may stand behind nobody any more
        self._tell(service, None, moment)

    def _put(self, replacement: Replacement, answers: ServiceAnswers | None, moment: Moment) -> None:
        before, after = replacement.before, replacement.after
        self._compiler.put(after.name, answers)
        if before is not after:
            self.stand(before, after, moment)
        else:
            self._judging.forgive(before, after, self.registered.get(after.name))

    def _put_lost_names(self, service: Service, lost: Iterable[Problem]) -> None:
        self.lost_names.pop(service.name, None)
        if not service.view_of and (those := tuple(lost)):
            self.lost_names[service.name] = those

    def _tell(self, before: Service | None, after: Service | None, moment: Moment) -> None:
        """All whose answers depend on this service, and tell what has changed in it."""
        changed = after or before
        if changed is None:
            return
        self._judging.forgive(before, after, self.registered.get(changed.name))
        self._composed.find(changed.path, self._routes.users(changed))
        self._moved(before, after)
        self._telling.replaced(changed.path, before, after, moment)

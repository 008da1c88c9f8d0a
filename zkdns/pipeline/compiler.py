"""What the names of one service give: compiled at once, aside, or not before somebody asks.

Rules: pure; what is large becomes a `Compilation`, which whoever drives us does in a thread. May raise: an
error of ours is walled in by who asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from zkdns.answers.builder import Builder
from zkdns.answers.cycle_cost import cycles_of
from zkdns.answers.first_places import Counted, FirstAnswers, Sums
from zkdns.answers.routed import NOTHING, Beyond, Routed, as_routed
from zkdns.answers.service import ServiceAnswers
from zkdns.answers.sifting import Sifted
from zkdns.answers.table import EVERY
from zkdns.model import Instance, Problem, Service
from zkdns.pipeline.aside import aside
from zkdns.pipeline.inputs import Compilation, Compiled, Followed
from zkdns.pipeline.lost_names import tell_lost
from zkdns.pipeline.routes import RouteBook

LARGE: Final = 400
"""Instances above which a service is compiled in a thread: at 50,000 that takes a second or two, which
nobody's query should wait for."""

ROUTED: Final = 8
"""Such instances take the time of one that a route gives: its shares are fractions, which are made whole
for each of its names."""

SAYS: Final = 5
"""So many tags, ports and addresses take the time of an instance."""

NAMES: Final = 3
"""The name of a tag or a port takes the time of so many: each has records of its own."""

ROUTED_PORTS: Final = 4
"""So many ports of an instance that a route gives take the time of one: it is composed anew for each of their
names."""


class Compiler:
    """`origin_of`: the number of the origin that some registries are. `threads`: whether there are any for
    large services. `compiles`: whether answers are wanted at all. `defers`: from how many services on those
    that nobody asked for are not compiled. `prepare`: is shown what a thread compiled, in that thread."""

    def __init__(
        self,
        builder: Builder,
        routes: RouteBook,
        origin_of: Callable[[Sequence[str]], int],
        *,
        threads: bool = False,
        compiles: bool = True,
        defers: float = float("inf"),
        prepare: Callable[[ServiceAnswers], object] = lambda answers: None,
    ) -> None:
        self.aside: list[Compilation] = []
        """What is to be done in threads."""
        self.limits: dict[str, Problem] = {}
        """By service, what of its settings goes beyond what is done for one."""
        self._builder = builder
        self._routes = routes
        self._origin_of = origin_of
        self.threads = threads
        self._compiles = compiles
        self._defers = defers
        self._prepare = prepare
        self._sized: tuple[Service | None, int] = None, 0
        """The service that was sized last: it is asked for twice."""
        self._asked: set[str] = set()
        """Services that were asked for before they were compiled."""

    def compile(
        self, service: Service, among: int, routed: Routed | Sifted | None = None
    ) -> ServiceAnswers | Compilation | None:
        """Its answers, or the work that they take; None where answers aren't wanted. `among`: how many
        services there are; `routed`: its route, where that was followed already."""
        name = service.name
        is_sifted = isinstance(routed, Sifted)
        met = self._routes.count(name) if routed is None and name in self._routes.in_force else 0
        if not self._compiles:
            self._beyond(name)  # its problems are told all the same
            return None
        if self.threads and met and self._is_long(name, met):
            following = self._routes.follow_aside(name)
            return Compilation(name, aside(Followed, name, following), met, following.freeze)
        beyond = self._beyond(name, routed)
        origin = self._origin_of(service.registries if is_sifted else self._routes.registries(service))
        if beyond is NOTHING and among >= self._defers and name not in self._asked:
            # Whoever asks for it first waits in the loop for all that it says to be read.
            deferred = self._builder.defer(service, origin) if self._says(service)[0] <= LARGE else None
            if deferred is not None:
                return deferred
        if self.threads and (size := self._size(service, beyond)) > LARGE:
            return Compilation(name, self._compile_aside(service, origin, beyond), size)
        return self._builder.compile(service, origin, beyond)

    def _is_long(self, name: str, met: int) -> bool:
        """Whether a route that leads to so many instances is followed in a thread."""
        most = LARGE // ROUTED
        return met > most or self._routes.meets(name, most, _size_routed) > most

    def _compile_aside(self, service: Service, origin: int, beyond: Beyond) -> Callable[[], Compiled]:
        lost: list[Problem] = []

        def work() -> ServiceAnswers:
            answers = self._builder.compile(service, origin, beyond)
            lost.extend(tell_lost(service))
            self._prepare(answers)
            return answers

        def outcome(name: str, answers: ServiceAnswers | None, error: Exception | None) -> Compiled:
            return Compiled(name, answers, error, tuple(lost))

        return aside(outcome, service.name, work)

    def take_aside(self) -> tuple[Compilation, ...]:
        """What is to be done in threads since the last call."""
        those, self.aside = self.aside, []
        return (*those, *[_count_aside(given) for given in self._builder.take_uncounted()])

    def finish(self, counted: Counted) -> None:
        """What a large service gave was counted. Raises where that failed: it is left out then."""
        self._builder.take_counted(counted)
        if counted.error is not None:
            raise counted.error

    def is_large(self, service: Service) -> bool:
        """Whether it is always compiled in a thread, which tells as well what names it loses."""
        return self._compiles and self.threads and self._own_size(service) > LARGE

    def attempt(self, service: Service) -> None:
        """Raises where a service can't be compiled."""
        if self._compiles:
            self._compile_alone(service)

    def put(self, name: str, answers: ServiceAnswers | None) -> None:
        """These stand for the service from now on; None takes it out."""
        if not self._compiles:
            return
        self._builder.replace(name, answers)
        if answers is not None and answers.not_near:
            what = f"{answers.not_near} of its names give all clients the same: too many for its zones"
            self.limits[name] = Problem(answers.service.path, what, "use fewer tags, ports or zones")
        else:
            self.limits.pop(name, None)

    def is_composed(self, name: str) -> bool:
        """Whether what stands gives more than the service's own instances."""
        answers = self._builder.services.get(name)
        return answers is not None and answers.beyond is not NOTHING

    # --- what was deferred ------------------------------------------------------------------------

    def ask(self, name: str) -> Service | None:
        """Somebody asks for it: it is compiled now, and whenever it changes. None where it is compiled."""
        answers = self._builder.services.get(name)
        if answers is None or not answers.deferred or name in self._asked:
            return None
        self._asked.add(name)
        return answers.service

    def put_deferred(self, service: Service) -> bool:
        """All its answers stand from now on. Whether it is to be compiled again, in a thread: where it says
        much, the names of its tags and ports are not ready yet, for who asks for one waits in the loop; and
        none is where its own name takes long."""
        is_hurried = self.threads and self._own_size(service) > LARGE
        if is_hurried and self._says(service)[0] + cycles_of([i.weight for i in service.instances]) > LARGE:
            return True
        self._builder.replace(service.name, self._compile_alone(service, 0 if is_hurried else None))
        return is_hurried

    def forget(self, name: str) -> None:
        """The service is gone, and with it that somebody asked."""
        self._asked.discard(name)

    # --- one service ------------------------------------------------------------------------------

    def _compile_alone(self, service: Service, ready: int | None = None) -> ServiceAnswers:
        origin = self._origin_of(self._routes.registries(service))
        return self._builder.compile(service, origin, NOTHING, ready)

    def sift(self, service: Service) -> Compilation:
        """The search for what its names may give beside its own instances, after an error of ours."""
        sifting = self._routes.sift_aside(
            service, lambda beyond: self._builder.compile(service, EVERY, beyond)
        )
        return Compilation(service.name, aside(Followed, service.name, sifting), LARGE, sifting.freeze)

    def _beyond(self, name: str, routed: Routed | Sifted | None = None) -> Beyond:
        beyond = self._routes.beyond(name, routed)
        if beyond.route is None or isinstance(routed, Sifted):
            return beyond
        origin = self._origin_of(self._routes.relied_on(name, beyond.route))
        return replace(beyond, route=replace(beyond.route, origin=origin))

    def _size(self, service: Service, beyond: Beyond) -> int:
        """Instances that records are spelled of, each as often as client classes differ."""
        size = self._own_size(service)
        if beyond.route is not None:
            given = beyond.route.name
            size += ROUTED * _size_routed(given.group)
            if size <= LARGE:
                weights = [[i.weight for i in tier] for tier in given.first]
                names = len(beyond.route.ports)
                size += sum([cycles_of(each) * (1 + names) for each in weights])
        giver = service if beyond.route is None else as_routed(service, beyond.route)
        return size if giver.settings.near == "off" else size * (1 + len(self._builder.topology.places))

    def _own_size(self, service: Service) -> int:
        """Its instances, and more where they have many tags, ports and addresses."""
        known, size = self._sized
        if known is not service:
            size, names = self._says(service)
            if size <= LARGE:
                size += NAMES * len(names) + cycles_of([i.weight for i in service.instances], names.values())
            self._sized = service, size
        return size

    @staticmethod
    def _says(service: Service) -> tuple[int, Counter[object]]:
        """Its instances, with what each says; its names of tags and ports, and how many have each. Of a large
        one no more is looked at."""
        items, names = 0, Counter[object]()
        if len(service.instances) <= LARGE:
            for instance in service.instances:
                read = instance.registration
                items += len(read.tags) + len(read.ports) + len(read.addresses)
                names.update((*read.tags, *read.ports))
        return len(service.instances) + items // SAYS, names


def _size_routed(group: Sequence[Instance]) -> int:
    """So many instances a group counts as where a route gives it; of a large one no more is looked at."""
    if len(group) > LARGE:
        return len(group)
    return len(group) + sum([len(i.registration.ports) for i in group]) // ROUTED_PORTS


def _count_aside(given: FirstAnswers) -> Compilation:
    def outcome(name: str, sums: Sums | None, error: Exception | None) -> Counted:
        return Counted(name, given.closed, sums, error)

    return Compilation(
        given.name, aside(outcome, given.name, given.add_up), sum([one.size for one in given.closed])
    )

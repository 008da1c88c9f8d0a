"""What a service's names give beside its own instances, without that which an error of ours is about.

Rules: pure; tried only after an error, in whichever thread. Who is to blame is found by halving: guests
first, then the targets of its route, and of one that is to blame the instances. Where none is, the route is
left out as if it could not be read, and the service's own instances are answered.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from msgspec import Struct

from zkdns.answers.notes import notes_of
from zkdns.answers.route_resolver import Resolver
from zkdns.answers.routed import NOTHING, Beyond, InForce, Routed, guests_of, targets_of
from zkdns.model import Instance, Problem, Service, fault
from zkdns.routes import Target
from zkdns.wall import blame, error_of


class Sifted(Struct, frozen=True):
    """What may be given; `faults`: what was left out, and why."""

    beyond: Beyond
    faults: tuple[Problem, ...]


class Sifter:
    """Of one service. `views`: of it, by registry; `find`: the name of the service that a target names.
    `attempt` raises where such can't be compiled."""

    def __init__(
        self,
        service: Service,
        views: Collection[Service],
        services: Mapping[str, Service],
        routes: Mapping[str, InForce],
        find: Callable[[str], str | None],
        attempt: Callable[[Beyond], object],
    ) -> None:
        self._service = service
        self._views = views
        self._services = services
        self._routes = routes
        self._find = find
        self._attempt = attempt
        self._left_out: dict[str, set[int]] = {}
        """By the service or view that they are of, instances that are to blame, by the object."""

    def sift(self, path: str) -> Sifted:
        """`path`: where its route is written."""
        faults: list[Problem] = []
        beyond = self._sift_guests(faults)
        in_force = self._routes.get(self._service.name)
        if in_force is not None:
            beyond = self._sift_route(in_force, beyond, faults, path)
        return Sifted(beyond, tuple(dict.fromkeys(faults)))

    def _sift_guests(self, faults: list[Problem]) -> Beyond:
        try:
            guests, notes = guests_of(self._service, self._views), notes_of(self._views)
        except Exception as error:
            faults.append(fault(self._service.path, error))
            return NOTHING
        blamed = blame(guests, lambda some: self._attempt(Beyond(tuple(some), notes=notes)))
        faults += [fault(guests[n].path, error) for n, error in blamed.items()]
        beyond = Beyond(tuple(i for n, i in enumerate(guests) if n not in blamed), notes=notes)
        if failed := error_of(self._attempt, beyond):
            faults.append(fault(self._service.path, failed))
            return NOTHING
        return beyond

    def _sift_route(self, in_force: InForce, beyond: Beyond, faults: list[Problem], path: str) -> Beyond:
        targets = targets_of(in_force)
        blamed = blame(targets, lambda some: self._try_route(in_force, some, beyond))
        rest = [target for n, target in enumerate(targets) if n not in blamed]
        each: list[Problem] = []
        for n, error in blamed.items():
            mended = self._sift_target(in_force, targets[n], beyond)
            each += mended or [_about(self._service, path, f"its target {targets[n]}", error)]
            rest += [targets[n]] if mended else []
        try:
            routed = self._try_route(in_force, rest, beyond)
        except Exception as error:
            faults.append(_about(self._service, path, "all of it", next(iter(blamed.values()), error)))
            return beyond
        faults += each
        return Beyond(beyond.guests, routed, beyond.notes)

    def _sift_target(self, in_force: InForce, target: Target, beyond: Beyond) -> list[Problem]:
        """Leaves out those of its instances that are to blame; none where that is not all."""
        key = self._resolver({}).key_of(target)
        service = self._services.get(key) if key is not None else None
        is_route = key in self._routes and key != self._service.name and not target.tag
        if key is None or service is None or is_route:
            return []
        instances = service.instances

        def attempt(some: Sequence[Instance]) -> object:
            only = {key: replace(service, instances=tuple(some))}
            return self._try_route(in_force, (target,), beyond, only)

        blamed = blame(instances, attempt)
        rest = [i for n, i in enumerate(instances) if n not in blamed]
        if not blamed or error_of(attempt, rest) is not None:
            return []
        self._left_out.setdefault(key, set()).update(id(instances[n]) for n in blamed)
        return [fault(instances[n].path, error) for n, error in blamed.items()]

    def _try_route(
        self,
        in_force: InForce,
        targets: Collection[Target],
        beyond: Beyond,
        services: Mapping[str, Service] | None = None,
    ) -> Routed:
        """The route with these targets alone; raises where it can't be followed, or be compiled."""
        if not targets:
            raise ValueError("no target is left")
        tiers = tuple(tuple(one for one in tier if one[0] in targets) for tier in in_force.tiers)
        routed = self._resolver({self._service.name: in_force._replace(tiers=tiers)}, services).follow(
            self._service.name
        )
        self._attempt(Beyond(beyond.guests, routed, beyond.notes))
        return routed

    def _resolver(
        self, routes: Mapping[str, InForce], services: Mapping[str, Service] | None = None
    ) -> Resolver:
        rest = {key: self._without(self._services[key], out) for key, out in self._left_out.items()}
        return Resolver(
            ChainMap({**rest, **(services or {})}, self._services),  # type: ignore[arg-type]
            ChainMap({**routes}, self._routes),  # type: ignore[arg-type]
            self._find,
        )

    @staticmethod
    def _without(service: Service, out: set[int]) -> Service:
        return replace(service, instances=tuple(i for i in service.instances if id(i) not in out))


def _about(service: Service, path: str, what: str, error: Exception) -> Problem:
    problem = fault(path, error)
    text = f"{problem.what}; it was about the route of {service.name}: {what} is left out"
    return replace(problem, what=text)

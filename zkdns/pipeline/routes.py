"""Which routes are in force, whom their answers depend on, and what each of them gives.

Rules: pure; time comes in as an argument. A route that an operator laid over a service counts before the one
in the service's own node, and that before failover. A service that changes marks the routes that lead to it,
however far, and no others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Generic, TypeVar

from zkdns.answers.notes import notes_of
from zkdns.answers.route_resolver import MAX_FOLLOWED_INSTANCES, Resolver
from zkdns.answers.routed import (
    NOTHING,
    Beyond,
    InForce,
    Routed,
    guests_of,
    in_force_at,
    targets_of,
    view_key,
)
from zkdns.answers.routes import MAX_DEPTH
from zkdns.answers.sifting import Sifted, Sifter
from zkdns.model import Instance, Override, Problem, Service, fault
from zkdns.overrides import in_force
from zkdns.persistent import PersistentMap
from zkdns.pipeline.route_room import MAX_TOGETHER, RouteRoom
from zkdns.pipeline.users import Users
from zkdns.pipeline.views import Views
from zkdns.registry.overrides import node
from zkdns.routes import Route, StandsFor, Target
from zkdns.wall import Wall

T = TypeVar("T")

ONE = Fraction(1)
NODE = "node"
"""The source of a route that a service's own node has."""
MAX_LOOKS = 2_000
"""Targets that are looked at before a route is followed elsewhere: some milliseconds."""

MAX_REACHED = 4096
"""Services of one depth that a route is thought to lead to: 64 routes of 64 targets."""

CURE = "mend the route, or register what it leads to"
CROWDED = (
    f"all routes in services' nodes lead to more than {MAX_TOGETHER} instances together, and it is one of "
    "those that lead to the most"
)


class Following(Generic[T]):
    """A route that is followed in a thread, over all services as they stand at `freeze`, which `begin` takes
    hold of. Taken earlier, each of ten thousand routes that wait for their turn would hold a list of them."""

    def __init__(self, begin: Callable[[], Callable[[], T]]) -> None:
        self._begin = begin
        self._work: Callable[[], T] | None = None

    def freeze(self) -> None:
        self._work = self._begin()

    def __call__(self) -> T:
        work, self._work = self._work or self._begin(), None
        return work()


class RouteBook:
    """`services`: as they are judged, views with them. `failover`: the registries that stand behind.
    `are_several`: whether there are several registries, and services say which of them have them."""

    def __init__(
        self,
        services: Mapping[str, Service],
        views: Views,
        failover: Sequence[str],
        wall: Wall,
        are_several: bool = True,
    ) -> None:
        self.problems: dict[str, tuple[Problem, ...]] = {}
        """By service, what is wrong with its route."""
        self.faults: dict[str, tuple[Problem, ...]] = {}
        """By service, what of its route and its guests is left out for an error of ours."""
        self._wall = wall
        self.in_force: dict[str, InForce] = {}
        self.laid: PersistentMap[Override] = PersistentMap()
        """What operators laid over services, by their names."""
        self._services = services
        self.views = views
        self._failover = tuple(failover)
        self._are_several = are_several
        self._resolver = Resolver(services, self.in_force, views.find)
        self._judged_views: dict[str, dict[str, None]] = {}
        """By service, the views that stand: one that is registered no more may have instances that are
        kept."""
        self._led: dict[str, frozenset[Target]] = {}
        """By the services whose routes do, where they lead to, whichever tag they name: a web of hundreds is
        walked for each of them."""
        self._users = Users()
        """By the names and views that they lead to, the services whose routes do."""
        self._room = RouteRoom()
        self.shifted: dict[str, None] = {}
        """The services whose routes have room since they were taken from here and had none, or the other way
        round."""

    def lay(self, changes: Mapping[str, Override | None]) -> list[str]:
        """These are laid over services now, None where nothing is. The names of those for which that is
        a change."""
        moved = [name for name, override in changes.items() if self.laid.get(name) != override]
        self.laid = self.laid.changed(changes)
        return moved

    def choose(self, service: Service, now: float) -> Service:
        """The service with the route that counts for it at this moment."""
        chosen = self._choose(service, now)
        return service if service.stands_for == chosen else replace(service, stands_for=chosen)

    def update(self, service: Service | None, name: str, now: float) -> tuple[bool, float | None]:
        """What is in force for a service at this moment: whether that has changed, and when it moves next."""
        is_plain = service is not None and service.stands_for is None and not service.view_of
        if is_plain and not (self._users.needs(name) or self.is_composed(name)):  # as most of them
            return False, None
        self._note_view(service, name)
        in_force: InForce | None = None
        due: float | None = None
        ours: tuple[Problem, ...] = ()
        if service is not None and (chosen := service.stands_for) is not None:
            due = chosen.until
            try:
                in_force, moves = in_force_at(chosen, now)
                due = _sooner(moves, due)
            except Exception as error:  # as if it could not be read
                ours = (fault(self._path_of(service), error),)
        self._users.put(name, self._needs_of(in_force, name))
        moved = self.in_force.get(name) != in_force
        if in_force is None:
            self.in_force.pop(name, None)
            self._led.pop(name, None)
            self.problems.pop(name, None)
            self._give_room(name, None)
            if ours:
                self.problems[name] = ours
                self._wall.count(f"the route of {name}", ours)
        elif moved:
            self.in_force[name] = in_force
            self._led[name] = frozenset([Target(t.service, "", t.registry) for t in targets_of(in_force)])
        return moved, due

    def is_moving(self, name: str) -> bool:
        """Whether the shares of its route move."""
        in_force = self.in_force.get(name)
        return in_force is not None and in_force.over is not None

    def is_over(self, service: Service) -> bool:
        """Whether nothing but a route made its name, and that has ended."""
        return service.stands_for is None and service.path == node(service.name)

    def users(self, service: Service) -> Iterator[Set[str]]:
        """The services whose names give something else where this one changes, some at a time: routes are
        followed so deep and no deeper."""
        met = {service.name}
        left = deque([(service, 0)] if self._users.names() or service.view_of else [])
        while left:
            one, depth = left.popleft()
            _, at, registry = one.name.rpartition("@") if one.view_of else (one.name, "", "")
            keys = {one.name, view_key(one.label, registry) if at else one.label}
            users = {user for key in keys for user in self._users.of(key)}
            if one.view_of:
                users.add(one.view_of)  # its names are the other's to give, as soon as there are any
            users -= met
            met |= users
            yield users
            if depth < MAX_DEPTH:
                left.extend((user, depth + 1) for name in users if (user := self._services.get(name)))

    def needs(self, name: str) -> Set[str]:
        """The services and views that its names depend on directly, as it names them."""
        return self._users.needs(name)

    def is_composed(self, name: str) -> bool:
        """Whether its names give more than its own instances."""
        return name in self.in_force or bool(self._views_of(name))

    def count(self, name: str) -> int:
        """How many instances its route leads to, 0 where there is no room for so many: what operators order
        has room, and so have services that stand behind others."""
        count = self.meets(name, MAX_FOLLOWED_INSTANCES)
        in_force = self.in_force.get(name)
        self._give_room(name, max(count, 1) if in_force is not None and in_force.source == NODE else None)
        return count if self._room.has(name) else 0

    def take_shifted(self) -> dict[str, None]:
        """What is in `shifted`, which is empty then."""
        shifted, self.shifted = self.shifted, {}
        return shifted

    def _give_room(self, name: str, size: int | None) -> None:
        self.shifted |= dict.fromkeys(self._room.put(name, size))

    def meets(self, name: str, most: int, size_of: Callable[[Sequence[Instance]], int] = len) -> int:
        """How many instances its route leads to, each as often as it is met; those beyond `most` are not
        counted. Where very many targets must be looked at for that, those that were looked at count as
        well. `size_of`: what those of one target count as."""
        count = looks = 0
        for key in self._within_reach(name) if name in self.in_force else ():
            for target in targets_of(self.in_force[key]) if key in self.in_force else ():
                to = self._resolver.key_of(target)
                looks += 1
                if to is not None and (to == key or to not in self.in_force or target.tag):
                    count += size_of(self._services[to].instances) if to in self._services else 0
            if looks > MAX_LOOKS:
                return count + looks
            if count > most:
                break
        return count

    def _within_reach(self, *names: str) -> Iterator[str]:
        """The services, and those that their routes lead to, as deep as routes are followed."""
        if not any(name in self.in_force for name in names):  # most of them
            yield from names
            return
        met, level = {*names}, [*names]
        seen: set[Target] = set()
        for _ in range(MAX_DEPTH + 1):
            if not level:
                return
            yield from level
            below = set().union(*[self._led[one] for one in level if one in self._led]) - seen
            seen |= below
            keys = {key for target in below if (key := self._resolver.key_of(target)) is not None}
            level = [*(keys - met)][:MAX_REACHED]
            met.update(level)

    def follow_aside(self, name: str) -> Following[Routed]:
        """The following of its route, to be done in a thread."""
        return Following(lambda: partial(self._freeze().follow, name))

    def sift_aside(self, service: Service, attempt: Callable[[Beyond], object]) -> Following[Sifted]:
        """The same of what is left of all that its names give beside its own instances once that is left out
        which an error of ours is about. `attempt` raises where such can't be compiled."""

        def begin() -> Callable[[], Sifted]:
            views = [v for key in self._views_of(service.name) if (v := self._services.get(key)) is not None]
            held = dict(self._services), dict(self.in_force), self.views.finder()
            return partial(Sifter(service, views, *held, attempt).sift, self._path_of(service))

        return Following(begin)

    def _freeze(self) -> Resolver:
        """One that finds all as it stands now."""
        return Resolver(dict(self._services), dict(self.in_force), self.views.finder())

    def beyond(self, name: str, routed: Routed | Sifted | None = None) -> Beyond:
        """What the names of a service give beside its own instances. `routed`: its route, where that was
        followed already."""
        service = self._services.get(name)
        if isinstance(routed, Sifted):
            self._blame(name, routed.faults)
            if routed.beyond.route is not None and service is not None:
                self._tell_wrong(service, routed.beyond.route)
            return routed.beyond
        if name in self.faults:
            self._blame(name, ())
        if service is None or not (service.view_of or self.is_composed(name)):
            return NOTHING
        if service.view_of:
            base = self._services.get(service.view_of)
            return Beyond(guests_of(base, [service]))
        views = [view for key in self._views_of(name) if (view := self._services.get(key)) is not None]
        guests = guests_of(service, views)
        if name not in self.in_force:
            return Beyond(guests, notes=notes_of(views)) if guests else NOTHING
        if not self._room.has(name):
            routed = self._resolver.refuse(name, CROWDED)
        routed = routed or self._resolver.follow(name)
        self._tell_wrong(service, routed)
        return Beyond(guests, routed, notes_of(views))

    def _tell_wrong(self, service: Service, routed: Routed) -> None:
        path, name = self._path_of(service), service.name
        self.problems[name] = tuple(
            Problem(path, f"the route of {name}: {what}; it counts as without instances", CURE)
            for what in routed.problems
        )

    def _path_of(self, service: Service) -> str:
        """Where its route is written."""
        return node(service.name) if service.name in self.laid else service.path

    def _blame(self, name: str, faults: tuple[Problem, ...]) -> None:
        self._wall.count(f"what {name} leads to", faults)
        if faults:
            self.faults[name] = faults
        else:
            self.faults.pop(name, None)

    def registries(self, service: Service) -> tuple[str, ...]:
        """The registries that a service's answers come from, by name: those of all that it leads to."""
        if not self._are_several:
            return ()
        names = {*service.registries}
        for key in self._within_reach(service.name):
            if key != service.name:  # of this one the given, not what stood there before
                names.update(self._services[key].registries if key in self._services else ())
        return tuple(sorted(names))

    def relied_on(self, name: str, routed: Routed) -> tuple[str, ...]:
        """The same of the addresses alone: tiers that nobody had to ask may be as old as they like."""
        if not self._are_several:
            return ()
        names: set[str] = set()
        others: dict[str, None] = {}
        """Those of which all that they lead to counts: walked together, for it is the same in a web."""
        for target in routed.asked():
            key = self._resolver.key_of(target)
            service = self._services.get(key) if key is not None else None
            if service is None or key is None:
                continue
            is_route = key != name and key in self.in_force
            held = () if is_route else {i.registry for i in service.instances if i.registry}
            names.update(held)
            if not held:
                others[key] = None
        for key in self._within_reach(*others):
            names.update(self._services[key].registries if key in self._services else ())
        return tuple(sorted(names))

    def _note_view(self, service: Service | None, name: str) -> None:
        """A service is judged so, or is gone with all that was kept of it."""
        view = service or self._services.get(name)
        if view is None or not view.view_of:
            return
        if service is not None:
            self._judged_views.setdefault(view.view_of, {})[name] = None
        elif (keys := self._judged_views.get(view.view_of)) is not None:
            keys.pop(name, None)
            if not keys:
                del self._judged_views[view.view_of]

    def _views_of(self, name: str) -> tuple[str, ...]:
        """The keys of a service's views, registered or kept."""
        return tuple(dict.fromkeys((*self.views.of(name), *self._judged_views.get(name, ()))))

    # --- which one ------------------------------------------------------------------------------------

    def _choose(self, service: Service, now: float) -> StandsFor | None:
        if service.view_of:
            return None
        name = service.name
        laid = self.laid.get(name)
        for override in in_force(laid, now) if laid is not None else ():
            if override.route is not None:
                return StandsFor(override.route, "override", override.until, override.who, override.why)
        if service.settings.route is not None:
            return StandsFor(service.settings.route, NODE)
        behind = [r for r in self._failover if view_key(name, r) in self._views_of(name)]
        if not behind:
            return None
        own = (((Target(name), ONE),), *(((Target(name, "", r), ONE),) for r in behind))
        return StandsFor(Route(own), "failover")

    def _needs_of(self, in_force: InForce | None, name: str) -> frozenset[str]:
        targets = targets_of(in_force) if in_force is not None else ()
        keys = {view_key(t.service, t.registry) if t.registry else t.service for t in targets}
        # What is told of a target that names none depends on whether a service has all of it for its name.
        dotted = {f"{t.tag}.{t.service}" for t in targets if t.tag}
        return frozenset({*keys, *dotted, *self._views_of(name)} - {name})


def _sooner(one: float | None, other: float | None) -> float | None:
    return min((at for at in (one, other) if at is not None), default=None)

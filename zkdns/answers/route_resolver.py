"""Routes that are followed: what each name that stands for other services gives now.

Rules: pure. `routes` composes one route of its targets' pools; here targets are found, routes of routes
followed, and what comes of it becomes instances with the weights and priorities that their records have. A
target that can't be followed counts as without instances, and is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import TypeAlias

from zkdns.answers import records
from zkdns.answers.parts import Parts
from zkdns.answers.ports import port_labels, tag_labels
from zkdns.answers.route_notes import tell_giving
from zkdns.answers.routed import Given, InForce, Routed, as_alias, targets_of, view_key
from zkdns.answers.routes import EMPTY, MAX_DEPTH, Composed, Member, Pool, compose, places, pool_of
from zkdns.model import MAX_WEIGHT, Instance, Service, State
from zkdns.routes import Target

MAX_FOLLOWED = 64
"""Routes that are followed for one name, each as often as it is met: eight deep, routes of 64 targets that
all are routes have more ways than there is time for."""

MAX_FOLLOWED_INSTANCES = 100_000
"""Instances of all its targets, each as often as it is met: 64 tags of one large service are 64 times its."""

MAX_FOLLOWED_BELOW = 20_000
"""The same of those behind routes that it leads to: each costs as much for every route above it, and one
service's node is enough to make a route."""

MAX_COUNTED = 200_000
"""Instances that are looked at to tell how many of each target's are healthy, each as often as it is met."""

MAX_TOLD = 8
"""Problems of one route."""

MAX_PORTS = 64
"""Ports by name that a route has SRV names for."""

Keep: TypeAlias = Callable[[Instance], bool]
Named: TypeAlias = Mapping[int, Instance]


class Resolver:
    """`services`: all as they are judged, views by `view_key`; `routes`: those in force, by the name of their
    service; `find`: the name of the service that a target names."""

    def __init__(
        self,
        services: Mapping[str, Service],
        routes: Mapping[str, InForce],
        find: Callable[[str], str | None],
    ) -> None:
        self._services = services
        self._routes = routes
        self._find = find
        self._pools: dict[tuple[str, str], tuple[Service, Pool]] = {}
        self._followed = self._members = self._below = self._counted = 0
        """Routes that were followed for the name under way, and instances that were met, behind other routes
        and when they were counted."""
        self._behind: dict[tuple[str, ...], Composed] = {}
        """The routes behind it as they were followed, by the names from it on."""

    def follow(self, name: str) -> Routed:
        """The route of this service, which is in force."""
        service = self._services[name]
        problems: dict[str, None] = {}
        self._counted = 0
        self._behind.clear()
        composed = self._compose_all(name, None, problems)
        reached = self._reach(name, 1, {})
        # By the object: instances of two registries may have the same path. What a service and a view of it
        # both have is one instance.
        once: dict[str, Instance] = {}
        named = {id(m.instance): once.setdefault((i := _named(m, service)).key, i) for m in reached}
        group = tuple(once.values())
        whole = _given(group, composed, service, named)

        def give(members: Sequence[Member]) -> Given:
            is_all = len(members) == len(reached)
            return whole if is_all else self._narrow(name, service, members, named)

        protocols: dict[str, Given] = {}
        ports: dict[tuple[str, str], Given] = {}
        for protocol in records.protocols(group):
            members = [m for m in reached if m.instance.registration.protocol == protocol]
            protocols[protocol] = give(members)
            by_port = _by_port(members)
            for number, (port, having) in enumerate(by_port.items()):
                if number >= MAX_PORTS:
                    problems[f"its port {port} is beyond the {MAX_PORTS} that a route has names for"] = None
                    break
                ports[protocol, port] = give(having)
        in_force = self._routes[name]
        healthy = {
            t: self._count(t, name) for t in dict.fromkeys(t for tier in in_force.tiers for t, _ in tier)
        }
        note = tell_giving(in_force, composed, healthy.__getitem__)
        notes = dict.fromkeys(self._notes_on((name,), composed))
        self._behind.clear()
        return Routed(
            in_force,
            composed,
            whole,
            protocols,
            ports,
            note,
            self._alone(name),
            healthy,
            _some(problems),
            notes=_some(notes, "notes"),
        )

    def refuse(self, name: str, why: str) -> Routed:
        """The same of one that is not followed: it gives nothing."""
        in_force = self._routes[name]
        composed = compose(in_force.tiers, in_force.spill, dict.fromkeys(targets_of(in_force), EMPTY))
        return Routed(
            in_force, composed, _given((), composed, self._services[name], {}), {}, {}, problems=(why,)
        )

    def key_of(self, target: Target) -> str | None:
        """The key of the service that a target names; None where there is none."""
        service = self._find(target.service)
        if service is None or not target.registry:
            return service
        key = view_key(service, target.registry)
        return key if key in self._services else None

    # --- one by one -----------------------------------------------------------------------------------

    def _narrow(self, name: str, service: Service, members: Sequence[Member], named: Named) -> Given:
        """The same with these alone."""
        kept = frozenset(id(m.instance) for m in members)
        group = tuple({(i := named[id(m.instance)]).key: i for m in members}.values())
        return _given(group, self._compose_all(name, lambda i: id(i) in kept, {}), service, named)

    def _compose_all(self, name: str, keep: Keep | None, problems: dict[str, None]) -> Composed:
        self._followed = self._members = self._below = 0
        return self._compose(name, (name,), keep, problems)

    def _compose(
        self, name: str, within: tuple[str, ...], keep: Keep | None, problems: dict[str, None]
    ) -> Composed:
        in_force = self._routes[name]
        pools = {target: self._pool(target, within, keep, problems) for target in targets_of(in_force)}
        return compose(in_force.tiers, in_force.spill, pools)

    def _pool(
        self, target: Target, within: tuple[str, ...], keep: Keep | None, problems: dict[str, None]
    ) -> Pool:
        named = self._find(target.service)
        if named is None:
            problems[f"its target {target} names no service{self._as_label(target)}"] = None
            return EMPTY
        if not target.registry and not target.tag and named != within[-1] and named in self._routes:
            if named in within:
                circle = " to ".join((*within[within.index(named) :], named))
                problems[f"its target {target} leads in a circle: {circle}"] = None
                return EMPTY
            if len(within) >= MAX_DEPTH:
                problems[f"its target {target} is a route more than {MAX_DEPTH} deep"] = None
                return EMPTY
            self._followed += 1
            if self._followed > MAX_FOLLOWED:
                problems[f"it leads through more than {MAX_FOLLOWED} routes, {target} among the rest"] = None
                return EMPTY
            composed = self._compose(named, (*within, named), keep, problems)
            if keep is None:
                self._behind[*within, named] = composed
            return composed.pool
        key = self.key_of(target)
        if key is None:
            problems[f"its target {target} names no service of a registry {target.registry}"] = None
            return EMPTY
        service = self._services.get(key)
        if service is None:
            problems[f"its target {target} names no service"] = None
            return EMPTY
        if not self._may_meet(len(service.instances), within, target, problems):
            return EMPTY
        if keep is not None:
            return pool_of(service.label, [i for i in _members(service, target.tag) if keep(i)])
        known = self._pools.get((key, target.tag))
        if known is None or known[0] is not service:
            known = self._pools[key, target.tag] = (
                service,
                pool_of(service.label, _members(service, target.tag)),
            )
        return known[1]

    def _as_label(self, target: Target) -> str:
        """How a service is named whose own name has dots: what is before the last one is read as a tag."""
        known = self._find(f"{target.tag}.{target.service}")
        service = self._services.get(known) if known is not None else None
        return f": it has dots, so it goes by its label, {service.label}" if service is not None else ""

    def _may_meet(
        self, count: int, within: tuple[str, ...], target: Target, problems: dict[str, None]
    ) -> bool:
        """Whether so many instances more are met."""
        self._members += count
        many = f"{MAX_FOLLOWED_INSTANCES} instances" if self._members > MAX_FOLLOWED_INSTANCES else ""
        if len(within) > 1:
            self._below += count
            if self._below > MAX_FOLLOWED_BELOW:
                many = many or f"{MAX_FOLLOWED_BELOW} instances behind other routes"
        if many:
            problems[f"it leads to more than {many}, {target} among the rest"] = None
        return not many

    def _reach(self, name: str, depth: int, met: dict[str, int]) -> list[Member]:
        """Every instance that stands behind a route, whatever its state, once. `met`: how deep routes were
        met so far: what was followed from there is not followed again from deeper."""
        reached: dict[tuple[str, int], Member] = {}
        met[name] = depth
        for target in targets_of(self._routes[name]):
            named = self._find(target.service)
            is_route = named != name and named in self._routes and not target.registry and not target.tag
            if is_route and named is not None:
                is_new = met.get(named, MAX_DEPTH + 1) > depth + 1 and len(met) <= MAX_FOLLOWED
                below = self._reach(named, depth + 1, met) if is_new and depth < MAX_DEPTH else []
            else:
                key = self.key_of(target)
                service = self._services.get(key) if key is not None else None
                below = []
                if service is not None and self._may_count(len(service.instances)):
                    below = [Member(service.label, i) for i in _members(service, target.tag)]
            for member in below:
                reached.setdefault((member.service, id(member.instance)), member)
        return list(reached.values())

    def _notes_on(self, within: tuple[str, ...], composed: Composed) -> Iterator[str]:
        """The notes on the routes and services behind it that give any of what it gives."""
        for target in (target for tier in composed.due for target, part in tier if part):
            named, key = self._find(target.service), self.key_of(target)
            if named is None or key is None or key == within[0]:
                continue
            behind = None if target.tag or target.registry else self._behind.get((*within, named))
            service = self._services[key]
            note = service.note
            if behind is not None:
                note = tell_giving(self._routes[named], behind, partial(self._count, name=named))
            if note:
                yield f"{key.removeprefix(f'{within[0]}@')}: {note}"
            if behind is not None:
                yield from self._notes_on((*within, named), behind)

    def _may_count(self, count: int) -> bool:
        self._counted += count
        return self._counted <= MAX_COUNTED

    def _count(self, target: Target, name: str) -> tuple[int, int]:
        named = self._find(target.service)
        if named in self._routes and named != name and not target.registry and not target.tag:
            group = [m.instance for m in self._reach(named, 2, {name: 1})] if named is not None else []
        else:
            key = self.key_of(target)
            service = self._services.get(key) if key is not None else None
            group = _members(service, target.tag) if service is not None else []
        return sum(i.is_healthy for i in group), len(group)

    def _alone(self, name: str) -> Service | None:
        """The service that the route is an alias of, as its own name is dealt: where that is an alias too,
        what it doesn't say is said by the one behind it."""
        met, behind = [name], list[Service]()
        in_force = self._routes.get(name)
        while in_force is not None and len(met) <= MAX_DEPTH:
            targets = targets_of(in_force)
            key = self.key_of(targets[0]) if len(targets) == 1 else None
            service = self._services.get(key) if key is not None else None
            if key is None or service is None or key in met:
                break
            met.append(key)
            behind.append(service)
            is_whole = not (targets[0].tag or targets[0].registry)
            in_force = self._routes.get(key) if is_whole else None
        alone = behind.pop() if behind else None
        while behind and alone is not None:
            alone = as_alias(behind.pop(), alone)
        return alone


def _some(problems: Iterable[str], of: str = "targets") -> tuple[str, ...]:
    """The first of them: who writes a route must not flood the page."""
    every = list(problems)
    rest = len(every) - MAX_TOLD
    return tuple(every) if rest <= 0 else (*every[:MAX_TOLD], f"and {rest} more {of}")


def _by_port(members: Iterable[Member]) -> dict[str, list[Member]]:
    """Which of them have a port of each name; each is looked at once."""
    by_port: dict[str, list[Member]] = {}
    for member in members:
        own: dict[str, int] = {}
        for port, number in member.instance.registration.ports:
            for label in port_labels(port):
                own.setdefault(label, number)
        for label, number in own.items():
            having = by_port.setdefault(label, [])
            if number:
                having.append(member)
    return by_port


def _members(service: Service, tag: str) -> list[Instance]:
    readable = [i for i in service.instances if i.state is not State.UNREADABLE]
    if not tag:
        return readable
    wanted = tag_labels(tag)[0]
    return [i for i in readable if any(tag_labels(t)[0] == wanted for t in i.registration.tags)]


def _named(member: Member, service: Service) -> Instance:
    home = member.service if member.service != service.label else ""
    return member.instance if member.instance.home == home else replace(member.instance, home=home)


def _given(group: tuple[Instance, ...], composed: Composed, service: Service, named: Named) -> Given:
    """`named`: instances with their home, by the object."""
    shares = composed.pool.first
    counts = _weights(shares, [shared[0][0] for shared in composed.groups])
    first = tuple(
        _weighing(named[id(member.instance)], n) for (member, _), n in zip(shares, counts, strict=True)
    )
    levels = []
    for number, level in enumerate(composed.pool.levels):
        weights = _weights(level, [member.service for member, _ in level])
        priority = min(number, MAX_WEIGHT)
        levels.append(
            tuple(
                _standing(_weighing(named[id(member.instance)], weight), priority)
                for (member, _), weight in zip(level, weights, strict=True)
            )
        )
    parts = Parts(
        {i.key: shared for i, shared in zip(first, composed.groups, strict=True)},
        tuple(
            {i.key: shared for i, shared in zip(level, marks, strict=True)}
            for level, marks in zip(levels, composed.by_level, strict=True)
        ),
        {
            tier: tuple({(i := named[id(one)]).key: i for group_ in groups for one in group_}.values())
            for tier, groups in composed.standing.items()
        },
    )
    return Given(group, (first,) if first else (), tuple(levels), parts)


def _weighing(i: Instance, weight: int) -> Instance:
    return i if i.weight == weight else replace(i, weight=weight)


def _standing(i: Instance, priority: int) -> Instance:
    """At this priority."""
    if i.registration.priority == priority:
        return i
    return replace(i, registration=replace(i.registration, priority=priority))


def _weights(shares: Sequence[tuple[Member, Fraction]], groups: Sequence[object]) -> list[int]:
    """Whole numbers in proportion to the shares: the instances' own weights where these are so already."""
    own = [member.instance.weight for member, _ in shares]
    total = sum(own)
    if total and all(share * total == weight for (_, share), weight in zip(shares, own, strict=True)):
        return own
    counts = places(shares, groups)
    return counts if any(counts) else own

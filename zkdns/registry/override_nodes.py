"""The nodes /zkdns/overrides/SERVICE/ID and /zkdns/overrides/SERVICE -> what operators ordered, by service.

Rules: pure. A node that can't be read costs itself: it is a Problem and orders nothing. The cost is that of
what changed: whoever may write there may have ten thousand, and change one of them all the time.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from zkdns.model import Data, Event, Override, Problem, fault
from zkdns.persistent import PersistentMap
from zkdns.registry.overrides import decode, encode, parse, parse_laid
from zkdns.registry.scope import Scope
from zkdns.registry.znodes import Names, Nodes, Written
from zkdns.roots import OVERRIDES
from zkdns.steps import Steps, finish

MAX_OVERRIDES: Final = 10_000
"""Nodes that are read; of more, those of the first names count."""

FEW: Final = 256
"""So many come and go one by one: to number all of them anew would cost more."""

NO_ORDER: Final = Override()
NOTHING: Final[Mapping[str, Override]] = MappingProxyType({})

ROUTE_CURE: Final = 'write {"to": [{"TARGET": SHARE}]}, with "until", "why" and "who" as wanted, or delete it'
CURE: Final = 'write {"drain": true} or {"weight": N}, with "until", "why" and "who" as wanted, or delete it'

Key: TypeAlias = tuple[str, str]
"""A service's name and an instance's id; "" for the service itself."""

ByService: TypeAlias = PersistentMap[Mapping[str, Override]]
"""By service, and of each by instance id."""


Standing: TypeAlias = tuple[bytes, Written]
"""What a node holds, and since when."""


def by_service(orders: Mapping[Key, Override]) -> ByService:
    """The same in another shape."""
    services: dict[str, dict[str, Override]] = {}
    for (service, id), order in orders.items():
        services.setdefault(service, {})[id] = order
    return PersistentMap(services)


def flat(services: ByService) -> dict[Key, Override]:
    """And back."""
    return {(service, id): order for service, orders in services.items() for id, order in orders.items()}


class Overrides:
    """The reducer: what is ordered, and `problems()`: what is wrong. The cost is that of what changed."""

    def __init__(self, root: str = OVERRIDES) -> None:
        self.root = root
        self._nodes = Nodes(root, 1, 2)
        self._standing: dict[Names, Standing] = {}
        self._order: list[Names] = []
        """The names of all that count, in order."""
        self._edge: Names | None = None
        """The first of them that is left out."""
        self._parsed: dict[Names, _Parsed] = {}
        """What is in force, and what would be if it could be read."""
        self._heard: dict[Names, _Parsed] = {}
        """What was told since: it is read as it comes, for ten thousand at once take a turn of the loop."""
        self._givers: dict[Key, dict[Names, tuple[bool, Names, Override]]] = {}
        """What nodes order for each, whose name may be spelled in several ways; those that mean it count
        before those that only spell it so."""
        self._by_service: ByService = PersistentMap()
        self._flat: tuple[ByService, dict[Key, Override]] = self._by_service, {}
        self._wrong: dict[Names, Problem] = {}
        self._problems: tuple[Problem, ...] = ()
        self._is_told = True
        self._is_in_parts = False
        """Whether somebody takes what came in parts, and is not at its end."""

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """What is read."""
        return self._nodes.scopes

    @property
    def zxid(self) -> int:
        return self._nodes.zxid

    def apply(self, event: Event) -> None:
        finish(self.steps(event))

    def steps(self, event: Event) -> Steps[None]:
        """The same with pauses."""
        yield from self._nodes.steps(event)
        if isinstance(event, Data) and len(self._heard) < MAX_OVERRIDES:
            names = tuple(event.path[len(self.root) + 1 :].split("/"))
            stands = event.data, Written(event.stat.mtime, event.stat.mzxid)
            with suppress(Exception):  # an error of ours is met again when it is put in force
                self._heard[names] = _parse(self.root, names, stands)

    def take(self, most: int | None) -> bool:
        """Read so many at most (None: all) of those that came, went or were written. Returns whether more are
        left: until they are read, what is told is of those that were."""
        self._take_moved(most)
        self._is_in_parts = self._nodes.has_moved
        return self._is_in_parts

    def by_service(self) -> ByService:
        """What is ordered now; the same object as before where nothing changed."""
        self._take_rest()
        return self._by_service

    def by_instance(self) -> dict[Key, Override]:
        """The same by service and instance id ("" for the service itself)."""
        self._take_rest()
        if self._flat[0] is not self._by_service:
            self._flat = self._by_service, flat(self._by_service)
        return self._flat[1]

    def lifted_by(self, service: str) -> int:
        """The transaction that ended what was laid over a service: of its node, where that is there without a
        route, else the last that removed one."""
        own = max(self._nodes.written((name,)).zxid for name in (service, encode(service)))
        return own or self._nodes.listed_by

    @property
    def refusals(self) -> tuple[Problem, ...]:
        """What can't be read of it."""
        return self._nodes.refusals

    def problems(self) -> tuple[Problem, ...]:
        """The same object as before where they are the same."""
        self._take_rest()
        if not self._is_told:
            self._is_told = True
            self._problems = tuple(self._wrong.values())
            if self._edge is not None:
                first = "/".join(self._edge)
                what = f"holds more than {MAX_OVERRIDES} overrides: those from {first} on are left out"
                self._problems += (Problem(self.root, what, "delete those that are not meant any more"),)
        return self._problems

    def _take_rest(self) -> None:
        if not self._is_in_parts:
            self._take_moved()

    def _take_moved(self, most: int | None = None) -> None:
        moved = self._nodes.take_moved(most)
        if not moved:
            return
        touched: list[Key] = []
        for names in sorted(self._number(moved)):
            before, after = self._parsed.pop(names, None), None
            problem = self._wrong.pop(names, None)
            self._is_told = self._is_told and problem is None
            if names in self._standing and (self._edge is None or names < self._edge):
                try:
                    after = self._read(names, before)
                    problem = after.problem
                except Exception as error:  # ours: it costs this override, and the others go on
                    problem = fault("/".join((self.root, *names)), error)
                if problem is not None:
                    self._wrong[names], self._is_told = problem, False
            if before is not None:
                for key in before.keys:
                    del self._givers[key][names]
                    touched.append(key)
            if after is not None:
                self._parsed[names] = after
                for at, key in enumerate(after.keys):
                    self._givers.setdefault(key, {})[names] = at == 0, names, after.order
                    touched.append(key)
            self._heard.pop(names, None)
        if not self._nodes.has_moved:
            self._heard = {}
        self._put(touched)

    def _number(self, moved: Mapping[Names, Standing | None]) -> set[Names]:
        """Number those that came, and drop the numbers of those that went: so many are in force, the first
        by name. Returns those that this changes."""
        came, gone = [], []
        for names, stands in moved.items():
            if stands is not None and (len(names) > 1 or stands[0].strip()):
                if names not in self._standing:
                    came.append(names)
                self._standing[names] = stands
            elif self._standing.pop(names, None) is not None:  # it only holds those of its instances
                gone.append(names)
        if not (came or gone):
            return {*moved}
        order = self._order
        if len(came) + len(gone) > FEW:
            order[:] = sorted(self._standing)
        else:
            for names in gone:
                del order[bisect_left(order, names)]
            for names in came:
                insort(order, names)
        edges = [self._edge, order[MAX_OVERRIDES] if len(order) > MAX_OVERRIDES else None]
        self._is_told = self._is_told and edges[0] == edges[1]
        self._edge = edges[1]
        low, high = sorted(len(order) if edge is None else bisect_left(order, edge) for edge in edges)
        return {*moved, *order[low:high]}

    def _read(self, names: Names, known: _Parsed | None) -> _Parsed:
        """What a node orders; as it was read, where it stands as it did."""
        stands = self._standing[names]
        parsed = self._heard.get(names, known)
        return parsed if parsed is not None and parsed.stands == stands else _parse(self.root, names, stands)

    def _put(self, touched: list[Key]) -> None:
        """Put in force what is ordered for these: of several nodes the last counts."""
        changes: dict[str, dict[str, Override]] = {}
        for key in dict.fromkeys(touched):
            service, id = key
            if service not in changes:
                changes[service] = dict(self._by_service.get(service, NOTHING))
            if givers := self._givers[key]:
                changes[service][id] = max(givers.values())[-1]
            else:
                del self._givers[key]
                changes[service].pop(id, None)
        others = {s: orders for s, orders in changes.items() if orders != self._by_service.get(s, NOTHING)}
        self._by_service = self._by_service.changed({s: orders or None for s, orders in others.items()})


class _Parsed(NamedTuple):
    """One node as it was read: those that stay as they are are the same objects. `keys`: what its order is
    given by, none where it orders nothing: its names as they are meant, then as they stand (a route's as they
    are meant alone). `problem`: what is wrong."""

    stands: Standing
    order: Override = NO_ORDER
    keys: tuple[Key, ...] = ()
    problem: Problem | None = None


def _parse(root: str, names: Names, stands: Standing) -> _Parsed:
    data, written = stands
    is_laid = len(names) == 1
    key = (names[0], "") if is_laid else (names[0], names[1])
    try:
        order = parse_laid(data, *written) if is_laid else parse(data, *written)
    except ValueError as error:
        path, cure = "/".join((root, *names)), ROUTE_CURE if is_laid else CURE
        return _Parsed(stands, problem=Problem(path, f"the override {error}", cure))
    meant = decode(key)
    # A route makes a service of its name: one that is only spelled so would be a second one.
    return _Parsed(stands, order, (meant,) if is_laid else tuple(dict.fromkeys((meant, key))))

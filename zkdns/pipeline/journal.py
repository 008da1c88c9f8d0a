"""What changed in the answers: what is kept of it, what can be asked, and how all stood after it.

Rules: pure. A flood of changes is summed up by service, and the service is told anew after it; until then
nobody knows how it stood.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple, TypeAlias

from msgspec import Struct

from zkdns.lists import some_of
from zkdns.model import Change, Instance, Service
from zkdns.topology import NO_TOPOLOGY, Topology

MAX_AT_ONCE = 2_000
"""Changes of one moment beyond which they are summed up by service."""
MAX_NAMED = 3
"""Instances that a sum names."""


service_of = attrgetter("service")
moment_of = attrgetter("at")
_kind_of = attrgetter("service", "what")


class OutOfReach(Exception):
    """The journal doesn't reach that moment; the text says how far it does."""


Shells: TypeAlias = Mapping[str, Service | None]
"""By name: a service without its instances, where that changed; None where it went."""


@dataclass(frozen=True, slots=True)
class Record:
    """What came together at one moment: `changes`, and the services' own side of them."""

    changes: tuple[Change, ...]
    shells: Shells = field(default_factory=dict)
    topology: Topology | None = None
    """Where networks stand from then on, where that changed."""
    lost: frozenset[str] = frozenset()
    """Services whose changes are sums: how they stand is known again when they are told anew."""


class Query(Struct, frozen=True):
    """Which changes are asked for: "" and None for any. `since` and `until`: seconds since the epoch."""

    service: str = ""
    id: str = ""
    since: float | None = None
    until: float | None = None
    limit: int = 1000

    def takes(self, change: Change) -> bool:
        """Whether this change is asked for."""
        return (
            (not self.service or change.service == self.service)
            and (not self.id or change.id == self.id)
            and (self.since is None or change.at >= self.since)
            and (self.until is None or change.at <= self.until)
        )

    def newest(self, changes: Iterable[Change]) -> list[Change]:
        """The newest of those that are asked for, oldest first."""
        return list(deque((c for c in changes if self.takes(c)), maxlen=max(0, self.limit)))


class LeftOut(NamedTuple):
    """Of a service that changed too often for all of it to be kept: how many of its changes went before those
    of others did, and since when its own are known."""

    service: str
    changes: int
    since: float


class History(NamedTuple):
    """What was asked for, oldest first. `since`: how far back the journal reaches, None: there is none yet.
    `left_out`: who of those asked for reaches less far."""

    changes: Sequence[Change] = ()
    since: float | None = None
    left_out: tuple[LeftOut, ...] = ()


def gather(changes: Sequence[Change], shells: Shells, topology: Topology | None = None) -> Record:
    """What is to be kept of one moment's changes."""
    if len(changes) <= MAX_AT_ONCE:
        return Record(tuple(changes), shells, topology)
    sums: dict[tuple[str, str], list[Change]] = {}
    for kind, some in groupby(changes, _kind_of):
        sums.setdefault(kind, []).extend(some)
    lost = frozenset(service for (service, _), those in sums.items() if len(those) > 1)
    known = {name: shell for name, shell in shells.items() if name not in lost}
    return Record(tuple(_sum(those) for those in sums.values()), known, topology, lost)


def _sum(changes: Sequence[Change]) -> Change:
    first = changes[0]
    if len(changes) == 1:
        return first
    why = some_of([change.id for change in changes], MAX_NAMED) + (f": {first.why}" if first.why else "")
    return replace(first, id="", was="", now=f"{len(changes)} instances", why=why, instance=None)


OUT_OF_REACH: Final = "out of reach"
WITHIN_REACH: Final = "within reach"
"""What a registry is."""


def move_reach(away: set[str], change: Change) -> bool:
    """Take over what a change says of which registries are out of reach; whether that changes anything."""
    if change.what != "registry" or change.service or (change.now == OUT_OF_REACH) is (change.id in away):
        return False
    away ^= {change.id}
    return True


class World:
    """Services as they stood, brought forward record by record."""

    def __init__(self, services: Mapping[str, Service] | None = None) -> None:
        self.topology = NO_TOPOLOGY
        self.unknown: dict[str, LeftOut] = {}
        """Services of which nobody knows how they stood; those that `services` gives of them are empty."""
        self.away: set[str] = set()
        """Registries that were out of reach."""
        self._shells: dict[str, Service] = {}
        self._instances: dict[str, dict[str, Instance]] = {}
        self._unshared: set[str] = set()
        """Services whose instances stand here alone; those of the others no copy may change."""
        for name, service in (services or {}).items():
            self._shells[name] = replace(service, instances=())
            self._put_own(name, {i.id: i for i in service.instances})

    def copy(self) -> World:
        """One that goes its own way. It costs next to nothing: what is changed afterwards is copied then."""
        other = World()
        other.topology = self.topology
        other.unknown = dict(self.unknown)
        other.away = set(self.away)
        other._shells = dict(self._shells)
        other._instances = dict(self._instances)
        self._unshared.clear()
        return other

    def _put_own(self, name: str, instances: dict[str, Instance]) -> dict[str, Instance]:
        """These are the service's, and nobody else has them."""
        self._instances[name] = instances
        self._unshared.add(name)
        return instances

    def _to_change(self, name: str) -> dict[str, Instance]:
        """The service's instances, which are changed then."""
        own = self._instances.get(name, {})
        return own if name in self._unshared else self._put_own(name, dict(own))

    def put(self, name: str, shell: Service | None) -> None:
        """A service without its instances; None takes it out with them."""
        if shell is None:
            self._shells.pop(name, None)
            self._instances.pop(name, None)
            self._unshared.discard(name)
        else:
            self._shells[name] = shell
            if name not in self._instances:
                self._put_own(name, {})

    def place(self, name: str, instances: Iterable[Instance]) -> None:
        """These instances stand in the service, beside those that do."""
        self._to_change(name).update((i.id, i) for i in instances)

    def hide(self, left: LeftOut) -> None:
        """Of this service nobody knows how it stood; its name is known all the same."""
        name = left.service
        shell = self._shells.get(name) or Service(name, name.lower(), "")
        self._shells[name] = shell
        self._put_own(name, {})
        self.unknown[name] = left

    def apply(self, record: Record) -> None:
        """Everything that happened at one moment."""
        if record.topology is not None:
            self.topology = record.topology
        for name, shell in record.shells.items():
            if shell is not None:
                self.put(name, shell)
        for change in record.changes:
            self.change(change)
        for name, shell in record.shells.items():
            if shell is None:
                self.put(name, None)

    def change(self, change: Change) -> None:
        move_reach(self.away, change)
        if change.service not in self._instances or not change.id:
            return
        if change.what == "gone":
            self._to_change(change.service).pop(change.id, None)
        elif change.instance is not None:
            self._to_change(change.service)[change.id] = change.instance

    def services(self) -> dict[str, Service]:
        """All services, their instances in the order of their ids."""
        return {
            name: replace(shell, instances=tuple(i for _, i in sorted(self._instances[name].items())))
            for name, shell in self._shells.items()
        }

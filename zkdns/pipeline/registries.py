"""All registries of one pipeline, by name, and what they say together.

Rules: pure; time comes in as an argument. The first ensemble among them is our *own*: what stands under
/zkdns (overrides, ballots, servers, the topology) is read there, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, ValuesView

from zkdns.arrivals import NOTHING, Came
from zkdns.config import Settings
from zkdns.health.guard import NO_GRACE, Grace
from zkdns.model import Catalog, Change, Override, serial_of
from zkdns.persistent import PersistentMap
from zkdns.pipeline.journal import OUT_OF_REACH, WITHIN_REACH
from zkdns.pipeline.registry import Registry
from zkdns.pipeline.replica import ServerNode
from zkdns.registry.override_nodes import ByService, by_service
from zkdns.roots import OVERRIDES
from zkdns.wall import Wall


class Registries(Mapping[str, Registry]):
    """`own`: None where there is no ensemble."""

    def __init__(self, settings: Settings, now: float, wall: Wall | None = None) -> None:
        self._wall = wall = wall or Wall()
        several = len(settings.registry) > 1
        first = next((url for url in settings.registry if url.scheme == "zk"), None)
        self._registries = {
            url.name: Registry(url, now, own=url is first, label=url.name if several else "", wall=wall)
            for url in settings.registry
        }
        self.own = next((r for r in self._registries.values() if OVERRIDES in r.reducers), None)
        self._remembered_overrides: ByService = PersistentMap()
        self._were_away: set[str] = set()

    def __getitem__(self, name: str) -> Registry:
        return self._registries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._registries)

    def __len__(self) -> int:
        return len(self._registries)

    def values(self) -> ValuesView[Registry]:
        return self._registries.values()  # a Mapping's own looks each up, and they are asked at every turn

    # --- in ---------------------------------------------------------------------------------------

    def remember(self, name: str, catalog: Catalog, overrides: Mapping[tuple[str, str], Override]) -> None:
        """What one of them said before we started, and what operators had ordered."""
        self[name].remember(catalog)
        if overrides:
            self._remembered_overrides = by_service(overrides)

    def shift(self, by: float) -> None:
        """The clock was set."""
        for registry in self.values():
            registry.shift(by)

    # --- out --------------------------------------------------------------------------------------

    @property
    def is_live(self) -> bool:
        """Whether one was read, and not only remembered."""
        return any(registry.is_whole for registry in self.values())

    @property
    def has_work(self) -> bool:
        """Whether one of them was told more than it shows."""
        return any(registry.backlog for registry in self.values())

    @property
    def backlog(self) -> int:
        """How many services that is of, about."""
        return sum(registry.backlog for registry in self.values())

    @property
    def in_part(self) -> int:
        """Those of them that are so large that they are made in several steps, and are not made yet."""
        return sum(registry.in_part for registry in self.values())

    @property
    def own_backlog(self) -> int:
        """Those of them that something was told of each, and not of thousands by one list."""
        return sum(registry.own_backlog for registry in self.values())

    def show(self, most: int, is_late: Callable[[], bool]) -> int:
        """Have each make of what it was told what it holds, until it is late; how many services moved."""
        return sum(registry.show(most, is_late) for registry in self.values())

    @property
    def serial(self) -> int:
        """The SOA's: the sum of all of theirs (mod 2^32), so that a change in any of them moves it."""
        return sum(self.serial_of(registry) for registry in self.values()) & 0xFFFFFFFF

    def serial_of(self, registry: Registry) -> int:
        """One registry's part in it."""
        is_live = registry.is_whole and registry.tree is not None
        return serial_of(registry.zxid) if is_live else registry.shown.serial

    @property
    def zxid(self) -> int:
        """The largest zxid in what makes the answers."""
        return max((r.zxid for r in self.values()), default=0)

    @property
    def overrides(self) -> ByService:
        """All overrides, by service, and of each by instance id ("" for the service itself)."""
        if self.own is not None and OVERRIDES in self.own.wholes:
            return self.own.overrides.by_service()
        return self._remembered_overrides

    def take_overrides(self, most: int) -> bool:
        """Read so many of the overrides that were told of: whether more are left."""
        return self.own is not None and OVERRIDES in self.own.wholes and self.own.overrides.take(most)

    def take_orders(self) -> Came:
        """When came what operators ordered since the last call."""
        return self.own.take_orders() if self.own is not None else NOTHING

    def lifted_by(self, service: str) -> int:
        """The transaction that ended what was laid over a service; 0 for none."""
        return self.own.overrides.lifted_by(service) if self.own is not None else 0

    @property
    def servers(self) -> Mapping[str, ServerNode]:
        """The live replicas by id, as far as they are read; it may be looked at in a thread."""
        return self.own.read_servers() if self.own is not None else {}

    def grace(self, now: float, seconds: float) -> Grace:
        """Whose instances may have gone with an outage, and are given that long to come back."""
        until = tuple((r.label, r.graced_until) for r in self.values() if r.graced_until >= now)
        return Grace(until, seconds) if until else NO_GRACE

    def stale_seconds(self, now: float) -> float:
        """How long the one that is longest out of reach has been so; 0 while all are within."""
        since = [r.stale_since for r in self.values() if r.stale_since is not None]
        return max(0.0, now - min(since)) if since else 0.0

    def take_reach_changes(self, now: float) -> list[Change]:
        """Which went out of reach since the last call, and which came back."""
        away = {r.name for r in self.values() if r.stale_since is not None}
        if away == self._were_away:
            return []
        changes = []
        for name in sorted(away ^ self._were_away):
            words = (WITHIN_REACH, OUT_OF_REACH) if name in away else (OUT_OF_REACH, WITHIN_REACH)
            changes.append(Change(now, self[name].zxid, "", name, "registry", *words))
        self._were_away = away
        return changes

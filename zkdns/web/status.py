"""How a server stands at one moment: the values that the page, the API and the metrics are made of.

Rules: frozen; nothing here can reach back into the server. Times are seconds since the epoch, ages seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import msgspec

from zkdns.answers.first_places import FirstAnswers
from zkdns.answers.routed import InForce, Routed
from zkdns.explain.routing import TargetShare
from zkdns.forward.upstreams import UpstreamStatus
from zkdns.health.thresholds import LastProbe
from zkdns.model import Problem, Service
from zkdns.pipeline.journal import History, Query
from zkdns.pipeline.outages import Outage
from zkdns.pipeline.replica import ServerNode
from zkdns.serve.clients import NOT_KEPT, Demand, Told
from zkdns.topology import Topology
from zkdns.web.shapes import Firsts

Buckets = tuple[tuple[float, ...], tuple[int, ...], float]
"""A histogram: upper bounds, counts (one more: above them all), and the sum."""


@dataclass(frozen=True, slots=True)
class RegistryStatus:
    """One registry. `trouble`: what its client last complained of, "" while all is well."""

    name: str
    url: str
    connected: bool
    whole: bool = True
    stale_seconds: float = 0.0
    nodes: int = 0
    reads: int = 0
    resyncs: int = 0
    audit_repairs: int = 0
    zxid: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """`ready`: /ready is 200; `loaded`: a catalog is in force, lameduck or not; `why`: what keeps /ready from
    being 200, or what a person should know. `serial`: the SOA's. `outages`: the services without a healthy
    instance, by name. `address`: where others ask it. `problems` may be
    spelled by who reads them first: in a thread."""

    version: str
    engine: str
    phase: str
    ready: bool
    loaded: bool
    why: str
    serial: int
    stale_seconds: float
    started: float
    zones: tuple[str, ...]
    zone_files: tuple[str, ...]
    registries: tuple[RegistryStatus, ...]
    replica: str
    lag_seconds: float | None
    replicas: Mapping[str, ServerNode]
    search_misses: Mapping[str, int]
    upstreams: tuple[UpstreamStatus, ...]
    forward: Mapping[str, int]
    problems: Sequence[Problem]
    services: Mapping[str, Service]
    ttl: int
    outages: Mapping[str, Outage]
    address: str

    def spell(self) -> dict[str, Any]:
        """For `/api/v1/status` and the page: plain dicts, lists, texts and numbers."""
        return {
            "version": self.version,
            "engine": self.engine,
            "phase": self.phase,
            "ready": self.ready,
            "serial": self.serial,
            "stale_seconds": self.stale_seconds,
            "started": self.started,
            "zones": list(self.zones),
            "zone_files": list(self.zone_files),
            "registries": [asdict(registry) for registry in self.registries],
            "replica": self.replica,
            "lag_seconds": self.lag_seconds,
            "replicas": {id: msgspec.to_builtins(node) for id, node in sorted(self.replicas.items())},
            "search_misses": dict(self.search_misses),
            "upstreams": [asdict(upstream) for upstream in self.upstreams],
            "forward": {key: self.forward[key] for key in ("cached", "in_flight")},
        }


@dataclass(frozen=True, slots=True)
class Counters:
    """What a server has counted since it began. `queries`: by transport, type and rcode; `settings_read`:
    whether settings and zone files were read as they stand; `tcp_waiting`: bytes that wait for clients."""

    queries: Mapping[tuple[str, int, int], int]
    query_seconds: Buckets
    dropped: Mapping[str, int]
    search_misses: int
    errors: int
    faults: int
    tcp_open: int
    tcp_waiting: int
    tcp_closed: Mapping[str, int]
    settings_read: bool
    change_seconds: Buckets
    registry_reads: int
    registry_resyncs: int
    registry_audit_repairs: int
    forward_queries: Mapping[tuple[str, str], int]
    forward_cache_hits: int
    forward_limited: int
    forward_forgeries: int
    forward_stale: int
    forward_blocked: int
    history_left_out: int = 0


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands beside one service's instances. `route`: what its name stands for, None for them, with its
    `targets`; `zones`: the shares from zone to zone (`explain.locality`), none where all clients get the
    same; `told`: who asked for it, the latest first; `probes`: what the server's own probes of its instances
    said last, by id."""

    route: Routed | None = None
    targets: Sequence[TargetShare] = ()
    zones: Sequence[Mapping[str, Any]] = ()
    told: Told = NOT_KEPT
    probes: Mapping[str, LastProbe] = field(default_factory=dict)


class Observed(Protocol):
    """A server, for those who look at it; each call is made in its loop."""

    def status(self) -> Status: ...

    def counters(self) -> Counters: ...

    def firsts(self, service: str) -> Callable[[], Firsts]:
        """How often each instance of the service stood first, by id; may be called in a thread."""
        ...

    def walk_first_answers(self) -> Iterator[FirstAnswers]:
        """The same for all services, one after another: whoever walks may pause between two."""
        ...

    def given_instead(self) -> Callable[[str], int]:
        """How many instances are given for a service; may be called in a thread."""
        ...

    def topology(self) -> Topology: ...

    def routes(self) -> Mapping[str, InForce]:
        """The routes in force, by service."""
        ...

    def routed(self) -> Mapping[str, Routed]:
        """The same, followed to what they give now."""
        ...

    def beside(self, service: str) -> Callable[[], Beside]:
        """What stands beside its instances; may be called in a thread."""
        ...

    def names(self) -> Callable[[], Mapping[str, list[str]]]:
        """Spells the names of each service; may be called in a thread."""
        ...

    def explain(
        self, name: str, qtype: str, client: str | None, changes: list[str], at: float | None
    ) -> Callable[[], dict[str, Any]]:
        """Says why an answer is what it is, or was at `at` (OutOfReach); may be called in a thread
        (ValueError, OutOfReach, OSError)."""
        ...

    def told(self, service: str | None, client: str | None) -> Callable[[], Told]:
        """Who was told what, of one service, of one client, or all; may be called in a thread."""
        ...

    def demand(self, since: float, most: int) -> Callable[[], Demand]:
        """How often each service was asked for, and so many of the clients seen since (seconds since the
        epoch); may be called in a thread."""
        ...

    async def recorded(self) -> None:
        """Return once the journal has what is in the answers now."""
        ...

    def history(self, query: Query) -> Callable[[], History]:
        """Reads what changed, and how far back that is known; may be called in a thread (OSError)."""
        ...

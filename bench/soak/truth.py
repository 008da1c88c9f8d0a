"""What ZooKeeper, the overrides and the listeners say now -> what every server must answer.

Rules: reads with a plain kazoo client, and works it out from the contract alone: nothing of ours that
answers has a part in it.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

from bench.soak.asking import ZONE
from bench.soak.hostile import is_hers
from bench.soak.model import HOME, Key
from bench.soak.services import FAILOVER, REGISTRIES
from support.route_model import Data
from support.route_model import Model as RouteModel

ORDERS, HEALTH = "/zkdns/overrides", "/zkdns/health"


@dataclass(frozen=True, slots=True)
class Standing:
    """One registered instance."""

    id: str
    addresses: tuple[str, ...]
    port: int
    ports: Mapping[str, int]
    priority: int
    weight: int
    tags: tuple[str, ...]
    out: tuple[str, ...]
    """Why it is not healthy, in the model's words; () where it is."""
    owner: int
    """The session that it is bound to."""
    registered: int = 0
    """The weight that it registered, whatever an operator made of it."""


@dataclass(frozen=True, slots=True)
class Truth:
    """`raw`: the nodes as they stand, for people."""

    services: Mapping[str, Mapping[str, Standing]]
    settings: Mapping[str, Mapping[str, Any]]
    ordered: tuple[Key, ...]
    serial: int
    raw: Mapping[str, str] = field(repr=False, default_factory=dict)
    unreadable: Mapping[str, int] = field(default_factory=dict)
    """How many registrations of each service can't be read: registered, and never answered."""
    by_registry: Mapping[str, Mapping[str, Mapping[str, Standing]]] = field(default_factory=dict)
    routes: RouteModel = field(default_factory=lambda: RouteModel((), ()))
    """What names stand for, worked out the slow way."""
    spoilt: frozenset[tuple[str, str, str]] = frozenset()
    """Registry, service and id of those that can't be read."""
    at: float = 0.0
    """When its reading began, seconds since the epoch: what goes by itself may be gone when it ends."""

    def judged(self) -> dict[str, Mapping[str, Standing]]:
        """By the names under which they are judged and told: services, and what one registry alone holds
        where a route or --failover asks for it (`web@dc2`)."""
        asked = {t for tiers in self._tiers() for tier in tiers for t in tier if "@" in t}
        asked |= {f"{s}@{r}" for r in FAILOVER for s in self.by_registry.get(r, {})}
        views: dict[str, Mapping[str, Standing]] = {}
        for target in asked:
            service, _, registry = target.partition("@")
            if (own := self.by_registry.get(registry, {}).get(service)) is not None:
                views[target] = own
        return {**self.services, **views}

    def _tiers(self) -> Iterator[Any]:
        for fields, _ in (*self.routes.nodes.values(), *self.routes.laid.values()):
            yield fields["to"]

    def _every(self) -> Iterator[tuple[Key, Standing]]:
        for service, found in self.services.items():
            yield from (((service, i.id), i) for i in found.values())
        for registry in FAILOVER:
            for service, found in self.by_registry.get(registry, {}).items():
                yield from (((service, i.id), i) for i in found.values())

    def keys_told(self) -> set[Key]:
        """The instances by the names under which journals tell of them, with those that can't be read."""
        judged = self.judged()
        keys = {(s, id) for s, found in judged.items() for id in found}
        for registry, service, id in self.spoilt:
            names = {service} if registry not in FAILOVER else set()
            keys |= {(name, id) for name in names | ({f"{service}@{registry}"} & judged.keys())}
        return keys

    def standing(self) -> dict[Key, tuple[str, ...]]:
        return {key: i.out for key, i in self._every()}

    def owners(self) -> dict[Key, int]:
        return {key: i.owner for key, i in self._every()}


@dataclass(frozen=True, slots=True)
class Expected:
    """One answer: the rdata in text, of which `most` are given. `rcode` where there are none."""

    rdata: frozenset[str]
    most: int = 1000
    rcode: str = "NOERROR"

    def allows(self, got: set[str], rcode: str) -> bool:
        if rcode != self.rcode:
            return False
        return got <= self.rdata and len(got) == min(len(self.rdata), self.most)


@dataclass
class _Ensemble:
    """One of them, as a plain client reads it."""

    client: KazooClient
    raw: dict[str, str]
    name: str
    largest: dict[str, int] = field(default_factory=dict)

    def below(self, root: str, path: str) -> dict[str, tuple[bytes, Any]]:
        """The children of a node, with their data. `root`: whose serial they count for."""
        try:
            self.get(root, path)
            names = self.client.get_children_async(path).get(timeout=5)
        except NoNodeError:
            return {}
        return {name: self.get(root, f"{path}/{name}") for name in sorted(names)}

    def get(self, root: str, path: str) -> tuple[bytes, Any]:
        data, stat = self.client.get_async(path).get(timeout=5)
        self.largest[root] = max(self.largest.get(root, 0), stat.mzxid, stat.pzxid)
        where = f"{self.name}:{path}" if self.name != HOME else path
        told = data[:500].decode(errors="replace")
        self.raw[where] = f"mzxid {stat.mzxid:#x} session {stat.ephemeralOwner:#x} {told}"
        return data, stat


@dataclass
class _Orders:
    """What operators ordered, as far as it is in force."""

    of: dict[Key, dict[str, Any]] = field(default_factory=dict)
    laid: dict[str, tuple[dict[str, Any], float]] = field(default_factory=dict)


def read(clients: Mapping[str, KazooClient], is_open: Callable[[Key], bool], now: float) -> Truth:
    """`clients`: one of each ensemble; `now`: seconds since the epoch, since overrides end by the clock."""
    raw: dict[str, str] = {}
    ensembles = {name: _Ensemble(client, raw, name) for name, client in clients.items()}
    for client in clients.values():
        client.sync_async("/zookeeper").get(timeout=5)
    orders = _read_orders(ensembles[HOME], now)
    model = RouteModel(tuple(r for r in REGISTRIES if REGISTRIES[r][0] in clients), FAILOVER, now=now)
    model.laid = orders.laid
    by_registry: dict[str, dict[str, dict[str, Standing]]] = {}
    settings: dict[str, dict[str, Any]] = {}
    unreadable: dict[str, int] = {}
    spoilt: set[tuple[str, str, str]] = set()
    for registry in model.registries:
        ensemble, root = REGISTRIES[registry]
        found = by_registry[registry] = {}
        for service, (data, node) in ensembles[ensemble].below(root, root).items():
            nodes = ensembles[ensemble].below(root, f"{root}/{service}")
            if is_hers(service):
                continue
            settings.setdefault(service, json.loads(data or b"{}"))
            if "to" in settings[service]:
                model.nodes[service] = settings[service], node.mtime / 1000
            found[service] = {}
            for id, (payload, stat) in nodes.items():
                try:
                    said = json.loads(payload)
                except ValueError:
                    unreadable[service] = unreadable.get(service, 0) + (registry not in FAILOVER)
                    spoilt.add((registry, service, id))
                    continue
                is_shut = "check" in settings[service] and not is_open((service, id))
                one = _stand(id, said, stat.ephemeralOwner, orders.of.get((service, id), {}), is_shut)
                found[service][id] = one
            model.held[registry, service] = {
                i.id: Data(i.addresses[0], i.weight, i.priority, not i.out, "", i.registered)
                for i in found[service].values()
            }
    parts = [ensembles[REGISTRIES[r][0]].largest.get(REGISTRIES[r][1], 0) for r in model.registries]
    parts[0] = max(parts[0], *(ensembles[HOME].largest.get(root, 0) for root in (ORDERS, HEALTH)))
    serial = sum((z >> 32) * (1 << 24) + (z & 0xFFFFFFFF) for z in parts) & 0xFFFFFFFF
    services: dict[str, dict[str, Standing]] = {}
    for registry, held in by_registry.items():
        for service, own in held.items():
            merged = services.setdefault(service, {})
            if registry not in FAILOVER:
                services[service] = own | merged
    return Truth(
        services,
        settings,
        tuple(orders.of),
        serial,
        raw,
        unreadable,
        by_registry,
        model,
        frozenset(spoilt),
        now,
    )


def _read_orders(home: _Ensemble, now: float) -> _Orders:
    orders = _Orders()
    for service, (laid, stat) in home.below(ORDERS, ORDERS).items():
        below = home.below(ORDERS, f"{ORDERS}/{service}")
        if is_hers(service):
            continue
        if laid.strip():
            orders.laid[service] = json.loads(laid), stat.mtime / 1000
        for id, (data, _) in below.items():
            order = json.loads(data)
            is_over = order.get("until") is not None and order["until"] <= now
            orders.of[service, id] = {} if is_over else order
    home.below(HEALTH, HEALTH)
    return orders


def _stand(id: str, said: Mapping[str, Any], owner: int, order: Mapping[str, Any], is_shut: bool) -> Standing:
    whys = (("status", said["status"] != "up"), ("drained", order.get("drain")), ("check", is_shut))
    weight = order.get("weight")
    return Standing(
        id,
        tuple(said["address"]),
        said["port"],
        said.get("ports", {}),
        said["priority"],
        said["weight"] if weight is None else weight,
        tuple(said.get("tags", ())),
        tuple(why for why, is_so in whys if is_so),
        owner,
        said["weight"],
    )


def expect(truth: Truth, service: str) -> dict[tuple[str, str], Expected]:
    """Owner and type of the service's answers, and what each must be."""
    name = f"{service}.{ZONE}"
    everyone = truth.services[service].values()
    settings = truth.settings[service]
    most, scale = settings.get("answers", 8), settings.get("srv_scale", 1)
    registered = len(everyone) + truth.unreadable.get(service, 0)
    healthy = [i for i in everyone if not i.out]

    def addresses(group: list[Standing], six: bool) -> Expected:
        lowest = min((i.priority for i in group), default=0)
        tier = [i for i in group if i.priority == lowest]
        return Expected(frozenset(a for i in tier for a in i.addresses if (":" in a) == six), most)

    def targets(group: list[Standing], port: Callable[[Standing], int]) -> Expected:
        found = frozenset(
            f"{i.priority} {min(i.weight * scale, 65535)} {port(i)} {i.id}.{name}." for i in group if port(i)
        )
        return Expected(found, settings.get("answers", 1000))

    expected = {
        (name, "A"): addresses(healthy, False),
        (name, "AAAA"): addresses(healthy, True),
        (name, "SRV"): targets(healthy, lambda i: i.port),
        (f"_{service}._tcp.{ZONE}", "SRV"): targets(healthy, lambda i: i.port),
        (f"_{service}._tcp.{ZONE}", "PTR"): Expected(
            frozenset(f"{i.id}._{service}._tcp.{ZONE}." for i in healthy)
        ),
        (name, "TXT"): Expected(frozenset({f"instances={registered}", f"healthy={len(healthy)}"})),
    }
    http = targets(healthy, lambda i: i.ports.get("http", 0))
    if not any(i.ports.get("http") for i in everyone):
        http = Expected(frozenset(), rcode="NXDOMAIN")
    expected[f"_http._tcp.{name}", "SRV"] = http
    for tag in ("blue", "canary"):
        tagged = [i for i in healthy if tag in i.tags]
        there = any(tag in i.tags for i in everyone)
        expected[f"{tag}.{name}", "A"] = (
            addresses(tagged, False) if there else Expected(frozenset(), rcode="NXDOMAIN")
        )
    for i in sorted(everyone, key=lambda i: i.id)[-2:]:
        expected[f"{i.id}.{name}", "A"] = Expected(frozenset(a for a in i.addresses if ":" not in a))
        expected[ipaddress.ip_address(i.addresses[-1]).reverse_pointer, "PTR"] = Expected(
            frozenset({f"{i.id}.{name}."})
        )
    return expected

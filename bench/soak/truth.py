"""What ZooKeeper, the overrides and the listeners say now -> what every server must answer.

Rules: reads with a plain kazoo client, and works it out from the contract alone: nothing of ours that
answers has a part in it.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

from bench.soak.asking import ZONE
from bench.soak.model import Key


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

    def standing(self) -> dict[Key, tuple[str, ...]]:
        return {(s, i.id): i.out for s, found in self.services.items() for i in found.values()}

    def owners(self) -> dict[Key, int]:
        return {(s, i.id): i.owner for s, found in self.services.items() for i in found.values()}


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


def read(client: KazooClient, is_open: Callable[[Key], bool], now: float) -> Truth:
    """`now`: seconds since the epoch, since overrides end by the clock."""
    largest = 0
    raw: dict[str, str] = {}

    def get(path: str) -> tuple[bytes, Any]:
        nonlocal largest
        data, stat = client.get_async(path).get(timeout=5)
        largest = max(largest, stat.mzxid, stat.pzxid)
        raw[path] = f"mzxid {stat.mzxid:#x} session {stat.ephemeralOwner:#x} {data.decode(errors='replace')}"
        return data, stat

    def below(path: str) -> dict[str, tuple[bytes, Any]]:
        try:
            get(path)
            names = client.get_children_async(path).get(timeout=5)
        except NoNodeError:
            return {}
        return {name: get(f"{path}/{name}") for name in sorted(names)}

    client.sync_async("/services").get(timeout=5)
    orders: dict[Key, dict[str, Any]] = {}
    for service in below("/zkdns/overrides"):
        for id, (data, _) in below(f"/zkdns/overrides/{service}").items():
            orders[service, id] = json.loads(data)
    below("/zkdns/health")
    services: dict[str, dict[str, Standing]] = {}
    settings: dict[str, dict[str, Any]] = {}
    unreadable: dict[str, int] = {}
    for service, (data, _) in below("/services").items():
        settings[service] = json.loads(data or b"{}")
        services[service] = {}
        for id, (data, stat) in below(f"/services/{service}").items():
            try:
                said = json.loads(data)
            except ValueError:
                unreadable[service] = unreadable.get(service, 0) + 1
                continue
            key = (service, id)
            order = orders.get(key, {})
            in_force = order.get("until") is None or order["until"] > now
            out = []
            if said["status"] != "up":
                out.append("status")
            if in_force and order.get("drain"):
                out.append("drained")
            if "check" in settings[service] and not is_open(key):
                out.append("check")
            weight = order.get("weight") if in_force else None
            services[service][id] = Standing(
                id,
                tuple(said["address"]),
                said["port"],
                said.get("ports", {}),
                said["priority"],
                said["weight"] if weight is None else weight,
                tuple(said.get("tags", ())),
                tuple(out),
                stat.ephemeralOwner,
            )
    serial = ((largest >> 32) * (1 << 24) + (largest & 0xFFFFFFFF)) & 0xFFFFFFFF
    return Truth(services, settings, tuple(orders), serial, raw, unreadable)


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

"""Curator's service discovery (x-discovery), and Spring Cloud's payload in it:

    {"name": "web", "id": "0c9a…", "address": "10.0.0.5", "port": 8080, "sslPort": null,
     "payload": {"@class": "org.springframework.cloud.zookeeper.discovery.ZookeeperInstance", "id": …,
                 "name": …, "metadata": {"zone": "eu-1a"}},
     "registrationTimeUTC": 1700000000000, "serviceType": "DYNAMIC", "uriSpec": {…}, "enabled": true}

Schema: org.apache.curator.x.discovery.ServiceInstance as JsonInstanceSerializer writes it, and Spring
Cloud's ZookeeperInstance, LoadBalancer metadata (`weight`, `zone`) and StatusConstants (`instance_status`).
Rules: every serviceType is taken (who is listed is alive, STATIC and PERMANENT by decision of their owner);
uriSpec is ignored; `enabled: false` and OUT_OF_SERVICE are meant to keep an instance out, so they are read
as draining, which fail_open does not bring back. A port of -1 is none: so Druid's announcer writes
(CuratorServiceAnnouncer: `getPlaintextPort`, `getTlsPort` of DruidNode). A weight that is no number costs
the weight alone (spring-cloud-loadbalancer's WeightedServiceInstanceListSupplier). Dubbo's applications tell
the ports of their protocols in the metadata: `"dubbo.endpoints": "[{\"port\":20880,\"protocol\":\"dubbo\"}]"`
(ServiceInstanceMetadataUtils.setEndpoints, DefaultServiceInstance.Endpoint).
"""

from __future__ import annotations

from typing import Any

from zkdns.model import Registration, Status
from zkdns.registry.addresses import where
from zkdns.registry.fields import PORT, BadData, Rule, decode, digits, loose_meta, share
from zkdns.registry.formats import Node, Parsed, demand_object
from zkdns.registry.json_values import MAX_ITEMS

RANK = 30
FOLDERS: frozenset[str] = frozenset()
QUIET: frozenset[str] = frozenset({"_c_*"})
"""Votes and locks of Curator's recipes: ProtectedUtils' prefix."""

KEPT: frozenset[str] = frozenset()

_ENDPOINTS = "dubbo.endpoints"
_WANTED = ("instance_status", "weight", "zone", _ENDPOINTS)
_MARKS = ("serviceType", "registrationTimeUTC", "uriSpec")
_STATUSES: dict[str, Status] = {"UP": "up", "STARTING": "starting", "DOWN": "down"}


def _read_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


_WEIGHT = digits(0, 65535)
_FLAG = Rule("true or false", _read_flag)


def claims(node: Node) -> bool:
    value = node.object
    return "address" in value and any(mark in value for mark in _MARKS)


def parse(node: Node) -> Registration | Parsed:
    value = demand_object(node)
    if value.get("address") is None:
        raise BadData("it has no address", "give the ServiceInstance an address")
    addresses, host = where(value["address"])
    port = _port(value, "port")
    ssl_port = _port(value, "sslPort")
    enabled = value.get("enabled")
    status: Status = "up"
    payload = value.get("payload")
    inner = payload.get("metadata") if isinstance(payload, dict) and "metadata" in payload else payload
    meta = loose_meta(inner, *_WANTED)
    meta.pop("@class", None)
    status_text = meta.pop("instance_status", "UP")
    if enabled is not None and not _FLAG.take("enabled", enabled):
        status = "draining"
    else:
        status = _STATUSES.get(status_text.upper(), "draining")
    weight, left_out = _weight(meta)
    registration = Registration(
        addresses,
        host,
        port or ssl_port,
        weight,
        status=status,
        zone=share(meta.get("zone", "")),
        ports=share(tuple(sorted(_ports(meta, ssl_port).items()))),
        meta=share(tuple(sorted(meta.items()))),
        format="curator",
    )
    return Parsed(registration, (left_out,)) if left_out is not None else registration


def _ports(meta: dict[str, str], ssl_port: int) -> dict[str, int]:
    text = meta.get(_ENDPOINTS)
    endpoints = decode(text.encode()) if text else ()
    ports = {
        one["protocol"]: one["port"]
        for one in (endpoints[:MAX_ITEMS] if isinstance(endpoints, list) else ())
        if isinstance(one, dict)
        and isinstance(one.get("protocol"), str)
        and one["protocol"]
        and type(one.get("port")) is int
        and 0 < one["port"] < 65536
    }
    return ports | {"https": ssl_port} if ssl_port else ports


def _port(value: dict[str, Any], field: str) -> int:
    number = value.get(field)
    if number is None or (type(number) is int and number == -1):
        return 0
    port: int = PORT.take(field, number)
    return port


def _weight(meta: dict[str, str]) -> tuple[int, BadData | None]:
    text = meta.get("weight")
    if not text:
        return 1, None
    try:
        weight: int = _WEIGHT.take("the metadata's weight", text)
    except BadData as error:
        return 1, BadData(f"{error.what}: it is left out", error.cure)
    return weight, None

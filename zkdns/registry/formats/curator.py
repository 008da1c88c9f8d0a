"""Curator's service discovery (x-discovery), and Spring Cloud's payload in it:

    {"name": "web", "id": "0c9a…", "address": "10.0.0.5", "port": 8080, "sslPort": null,
     "payload": {"@class": "org.springframework.cloud.zookeeper.discovery.ZookeeperInstance", "id": …,
                 "name": …, "metadata": {"zone": "eu-1a"}},
     "registrationTimeUTC": 1700000000000, "serviceType": "DYNAMIC", "uriSpec": {…}, "enabled": true}

Schema: org.apache.curator.x.discovery.ServiceInstance as JsonInstanceSerializer writes it, and
Spring Cloud's ZookeeperInstance, LoadBalancer metadata (`weight`, `zone`) and StatusConstants
(`instance_status`). Rules: every serviceType is taken (who is listed is alive, STATIC and PERMANENT by
decision of their owner); uriSpec is ignored; `enabled: false` and OUT_OF_SERVICE are meant to keep an
instance out, so they are read as draining, which fail_open does not bring back.
"""

from __future__ import annotations

from typing import Any

from zkdns.model import Registration, Status
from zkdns.registry.fields import PORT, BadData, Rule, loose_meta, share, show, where
from zkdns.registry.formats import Node, demand_object

RANK = 30
FOLDERS: frozenset[str] = frozenset()
QUIET: frozenset[str] = frozenset()

_MARKS = ("serviceType", "registrationTimeUTC", "uriSpec")
_STATUSES: dict[str, Status] = {"UP": "up", "STARTING": "starting", "DOWN": "down"}


def _read_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


_FLAG = Rule("true or false", _read_flag)


def claims(node: Node) -> bool:
    value = node.object
    return "address" in value and any(mark in value for mark in _MARKS)


def parse(node: Node) -> Registration:
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
    meta = loose_meta(inner)
    meta.pop("@class", None)
    said = meta.pop("instance_status", "UP")
    if enabled is not None and not _FLAG.take("enabled", enabled):
        status = "draining"
    else:
        status = _STATUSES.get(said.upper(), "draining")
    return Registration(
        addresses,
        host,
        port or ssl_port,
        _weight(meta),
        status=status,
        zone=share(meta.get("zone", "")),
        ports=share((("https", ssl_port),)) if ssl_port else (),
        meta=share(tuple(sorted(meta.items()))),
        format="curator",
    )


def _port(value: dict[str, Any], field: str) -> int:
    port: int = PORT.take(field, value[field]) if value.get(field) is not None else 0
    return port


def _weight(meta: dict[str, str]) -> int:
    text = meta.get("weight")
    if not text:
        return 1
    if not (text.isascii() and text.isdigit() and int(text[:9]) <= 65535):
        must = "a whole number from 0 to 65535"
        raise BadData(f"the metadata's weight is {show(text)}, not {must}", f"set it to {must}")
    return int(text)

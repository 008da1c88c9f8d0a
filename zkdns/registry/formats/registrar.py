"""Joyent's registrar, whose DNS server is Binder (Triton, Manta). A host record, and the service's own:

    {"type": "load_balancer", "address": "172.27.10.62", "ttl": 30,
     "load_balancer": {"address": "172.27.10.62", "ports": [80]}}
    {"type": "service", "service": {"type": "service", "ttl": 60,
     "service": {"srvce": "_http", "proto": "_tcp", "port": 80, "ttl": 60}}}

Schema: "ZooKeeper data format" in TritonDataCenter/registrar's README, and binder's lib/server.js, which
says what comes of it. Rules: `load_balancer`, `moray_host`, `ops_host`, `redis_host` and `rr_host` stand for
the service; `host`, `db_host` and `database` for their own name alone (read as draining: no fail_open gives
them). Other types are unknown to Binder. An address of null is no instance. The first of `ports` is the main
port, the others are named `port2`, `port3`, ...; a host record without ports takes the service record's;
that record's `srvce` names all of them, so that there is an SRV record for each. Of the ttl of a record the
innermost counts: a host record's is that of its own addresses, the service record's that of SRV, and where
addresses stand for the service the smallest of all: one RRset has one (RFC 2181, section 5.2). A service
record of one level (`{"type": "service", "service": {"srvce": ..., "port": ...}}`) is read as well.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct

from zkdns.model import Protocol, Registration, ServiceSettings
from zkdns.registry.addresses import where
from zkdns.registry.endpoints import MAX_URL_CHARACTERS
from zkdns.registry.fields import ABSENT, BadData, Rule, share, show, whole
from zkdns.registry.formats import Node, demand_object
from zkdns.registry.json_values import MAX_ITEMS

RANK = 40
FOLDERS: frozenset[str] = frozenset()
QUIET: frozenset[str] = frozenset()
KEPT: frozenset[str] = frozenset()

OF_SERVICE: Final = frozenset({"load_balancer", "moray_host", "ops_host", "redis_host", "rr_host"})
OF_ITSELF: Final = frozenset({"host", "db_host", "database"})

MAX_NAME_CHARACTERS: Final = 63
"""Of what the service's record calls the ports of each of its instances: a label of DNS has no more."""


def _read_name(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_NAME_CHARACTERS:
        raise ValueError
    return value


_NAME = Rule(f"a text of {MAX_NAME_CHARACTERS} characters at most", _read_name)
_PORT = whole(1, 65535)
_TTL = whole(0, 2**31 - 1)


def _read_ports(value: Any) -> list[int]:
    if not isinstance(value, list):
        raise ValueError
    return [_PORT.read(port) for port in value[:MAX_ITEMS]]


_PORTS = Rule("a list of port numbers from 1 to 65535", _read_ports)


class Inherited(Struct, frozen=True):
    """What the service's record gives to its instances."""

    port: int
    name: str
    protocol: Protocol

    def complete(self, registration: Registration) -> Registration:
        if registration.format != "registrar":
            return registration
        port = registration.port or self.port
        ports = registration.ports
        if self.name and port:  # these first: there may be too many of both
            every = dict.fromkeys((port, *(number for _, number in registration.ports)))
            ports = (*((self.name, number) for number in every), *ports)
        return replace(registration, port=port, protocol=self.protocol, ports=share(ports))


def claims(node: Node) -> bool:
    kind = node.object.get("type")
    return isinstance(kind, str) and isinstance(node.object.get(kind), dict)


def parse(node: Node) -> Registration | None:
    value = demand_object(node)
    kind = value.get("type")
    if not isinstance(kind, str):
        raise BadData(f"type is {show(kind)}, not a record's type", 'set type, such as "load_balancer"')
    inner = value.get(kind)
    if kind == "service" or not isinstance(inner, dict):
        raise BadData(f"it is no host record of type {kind}", f'add "{kind}": {{"address": ...}}')
    if kind not in OF_SERVICE | OF_ITSELF:
        known = ", ".join(sorted(OF_SERVICE | OF_ITSELF))
        raise BadData(f"type is {show(kind)}, which Binder does not know", f"set type to one of {known}")
    address = _primary(inner) if kind == "database" else inner.get("address", value.get("address", ABSENT))
    if address is None:
        return None
    if address is ABSENT:
        raise BadData("it has no address", f"set {kind}.address to an IPv4 address")
    addresses, host = where(address, f"{kind}.address")
    ports = inner.get("ports")
    numbers: list[int] = _PORTS.take(f"{kind}.ports", ports) if ports is not None else []
    named = tuple((f"port{at}", port) for at, port in enumerate(numbers[1:], 2))
    ttl = inner.get("ttl", value.get("ttl"))
    if ttl is not None:
        ttl = _TTL.take("ttl", ttl)
    meta = [("ttl", str(ttl))] if ttl is not None else []
    return Registration(
        addresses,
        host,
        numbers[0] if numbers else 0,
        status="draining" if kind in OF_ITSELF else "up",
        ports=share(named),
        meta=share((*meta, ("type", kind))),
        format="registrar",
        ttl=ttl,
    )


def _primary(inner: dict[str, Any]) -> object:
    """The host in a database's URL: `tcp://postgres@10.0.0.5/postgres`."""
    primary = inner.get("primary", ABSENT)
    if not isinstance(primary, str):
        return primary
    if len(primary) > MAX_URL_CHARACTERS:
        return ABSENT
    try:
        return urlsplit(primary).hostname or ABSENT
    except ValueError:
        return ABSENT


def settings(value: Any) -> tuple[ServiceSettings, list[BadData], Inherited] | None:
    """The settings in a service record; None where it is none."""
    if not isinstance(value, dict) or value.get("type") != "service":
        return None
    outer = value.get("service")
    if not isinstance(outer, dict):
        return None
    inner = outer.get("service")
    inner = inner if isinstance(inner, dict) else outer
    wrong: list[BadData] = []
    ttl = _take(_TTL, "service.ttl", inner.get("ttl", outer.get("ttl", value.get("ttl"))), wrong)
    port = _take(_PORT, "service.port", inner.get("port"), wrong)
    name = _take(_NAME, "service.srvce", inner.get("srvce"), wrong)
    label = name.removeprefix("_") if name is not None else ""
    protocol: Protocol = "udp" if inner.get("proto") == "_udp" else "tcp"
    given = ("ttl",) if ttl is not None else ()
    return ServiceSettings(ttl=ttl, given=given), wrong, Inherited(port or 0, label, protocol)


def _take(rule: Rule, field: str, value: object, wrong: list[BadData]) -> Any:
    if value is None:
        return None
    try:
        return rule.take(field, value)
    except BadData as error:
        wrong.append(error)
        return None

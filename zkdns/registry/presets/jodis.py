"""Codis' proxies for Jodis clients: `/jodis/<product>/proxy-<token>`.

Source: codis 3.2, pkg/models/store.go (JodisPath) and pkg/models/jodis.go (the JSON: addr, admin_addr,
state, token), pkg/proxy/jodis.go. Rules: a state other than `online` is `down`; the admin address is a port
named `admin` where it is on the same host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from zkdns.model import Registration
from zkdns.registry.endpoints import host_port, named_ports
from zkdns.registry.fields import Rule, share, text
from zkdns.registry.formats import Node, demand_object
from zkdns.registry.places import Part, Preset, place

_TEXT = Rule("a text", text)


def _read_proxy(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
    value = demand_object(node)
    server = host_port(value.get("addr"), "addr")
    admin = value.get("admin_addr")
    other = host_port(admin, "admin_addr") if admin else None
    ports = {"admin": other.port} if other and other.place == server.place else {}
    state: str = _TEXT.take("state", value.get("state", "online"))
    yield Registration(
        server.addresses,
        server.host,
        server.port,
        status="up" if state == "online" else "down",
        ports=share(named_ports(ports)),
        format="jodis",
    )


PRESET = Preset("jodis", (place("/jodis/{service}/proxy-{id}", "{service}", _read_proxy),))

"""Apache Druid: `/druid/internal-discovery/<ROLE>/<host:port>`, leaders of coordinators and overlords.

Source: druid 30, server's CuratorDruidNodeAnnouncer (the path; NodeRole.toString is in upper case),
DiscoveryDruidNode and DruidNode (the JSON: druidNode{service, host, plaintextPort, tlsPort,
enablePlaintextPort, enableTlsPort}, -1 for none), CuratorDruidLeaderSelector and DiscoveryModule (latches
below `/druid/coordinator/_COORDINATOR` and `/druid/overlord/_OVERLORD`, whose data is scheme://host:port).
Rules: the main port is the plaintext one where it is on, else TLS; TLS is named `https` as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from zkdns.model import Registration
from zkdns.registry.elections import latch_reader
from zkdns.registry.endpoints import at, named_ports
from zkdns.registry.fields import BadData, Rule, loose_meta, share, show
from zkdns.registry.formats import Node, demand_object
from zkdns.registry.places import Part, Preset, place


def _read_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


_FLAG = Rule("true or false", _read_flag)


def _read_node(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
    value = demand_object(node).get("druidNode")
    if not isinstance(value, dict):
        raise BadData(f"druidNode is {show(value)}, not an object", "let the Druid process announce itself")
    plain = _port(value, "plaintextPort", "enablePlaintextPort", True)
    secure = _port(value, "tlsPort", "enableTlsPort", False)
    server = at(value.get("host"), plain or secure, "druidNode")
    texts = {"service": value.get("service")}
    yield Registration(
        server.addresses,
        server.host,
        server.port,
        ports=share(named_ports({"https": secure})),
        meta=share(tuple(sorted(loose_meta(texts).items()))),
        format="druid",
    )


def _port(value: dict[str, Any], field: str, switch: str, default: bool) -> int:
    port = value.get(field)
    flag = value.get(switch)
    if port is None or port == -1 or not (default if flag is None else _FLAG.take(switch, flag)):
        return 0
    return at(value.get("host"), port, f"druidNode's {field}").port


_read_latch = latch_reader()
LEADER = ("leader",)

PRESET = Preset(
    "druid",
    (
        place("/druid/internal-discovery/{service}/{id}", "druid-{role}", _read_node, stem="druid"),
        place(
            "/druid/coordinator/_COORDINATOR/{id}",
            "druid-coordinator",
            _read_latch,
            members=False,
            offices=LEADER,
            stem="druid",
        ),
        place(
            "/druid/overlord/_OVERLORD/{id}",
            "druid-overlord",
            _read_latch,
            members=False,
            offices=LEADER,
            stem="druid",
        ),
    ),
)

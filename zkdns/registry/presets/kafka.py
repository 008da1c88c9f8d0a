"""Apache Kafka up to 3.9, with ZooKeeper: `/brokers/ids/<n>`, and the controller in `/controller`.

Source: kafka 3.9, core/src/main/scala/kafka/zk/ZkData.scala (BrokerIdZNode: JSON versions 1 to 5;
ControllerZNode) and kafka/cluster/EndPoint.scala (`connectionString`: LISTENER://host:port, IPv6 in
brackets). Rules: the first endpoint says where a broker is; each listener is a port by its name in lower
case, and one that is advertised on another host is told in `meta` too. `host` and `port` count where there
are no endpoints (version 1): without a PLAINTEXT listener they are null and -1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from zkdns.model import Registration
from zkdns.registry.endpoints import Endpoint, at, named_ports, url
from zkdns.registry.fields import BadData, Rule, share, show, text, whole
from zkdns.registry.formats import Node, demand_object
from zkdns.registry.json_values import MAX_ITEMS
from zkdns.registry.places import Leads, Part, Preset, place

_TEXT = Rule("a text", text)
_BROKER_ID = whole(0, 2**31 - 1)


def _read_broker(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
    value = demand_object(node)
    endpoints = value.get("endpoints")
    if endpoints is None:
        endpoints = []
    if not isinstance(endpoints, list):
        raise BadData(f"endpoints is {show(endpoints)}, not a list of URLs", "let the broker register again")
    addresses = [url(item, f"endpoints[{n}]") for n, item in enumerate(endpoints[:MAX_ITEMS])]
    first = addresses[0] if addresses else at(value.get("host"), value.get("port"), "the broker")
    rack = value.get("rack")
    yield Registration(
        first.addresses,
        first.host,
        first.port,
        zone="" if rack is None else share(_TEXT.take("rack", rack)),
        ports=share(named_ports({end.scheme.lower(): end.port for end in addresses})),
        meta=share(_meta(addresses, first, value.get("version"))),
        format="kafka",
    )


def _meta(addresses: list[Endpoint], first: Endpoint, version: object) -> tuple[tuple[str, str], ...]:
    meta = {f"listener-{end.scheme.lower()}": str(end) for end in addresses if end.place != first.place}
    if type(version) is int:
        meta["version"] = str(version)
    return tuple(sorted(meta.items()))


def _read_controller(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
    yield Leads(str(_BROKER_ID.take("brokerid", demand_object(node).get("brokerid"))))


PRESET = Preset(
    "kafka",
    (
        place("/brokers/ids/{id}", "kafka", _read_broker),
        place("/controller", "kafka", _read_controller, members=False, offices=("leader", "controller")),
    ),
)

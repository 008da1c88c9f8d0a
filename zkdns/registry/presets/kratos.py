"""go-kratos' registry for ZooKeeper: `/<service>/<id>` below `/microservices`.

Source: kratos 2.8, contrib/registry/zookeeper/register.go (the path) and registry/registry.go
(ServiceInstance: id, name, version, metadata, endpoints such as grpc://10.0.0.5:9000?isSecure=false).
Rules: the first endpoint says where it is, and each on the same host is a port by its scheme; metadata's
`weight` (selector/node) counts where it is a whole number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from zkdns.model import Registration
from zkdns.registry.endpoints import named_ports, url
from zkdns.registry.fields import WEIGHT, BadData, from_digits, loose_meta, share, show
from zkdns.registry.formats import Node, demand_object
from zkdns.registry.json_values import MAX_ITEMS
from zkdns.registry.places import Part, Preset, place

_CURE = "let the service register itself again"


def _read_instance(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
    value = demand_object(node)
    endpoints = value.get("endpoints")
    if not isinstance(endpoints, list) or not endpoints:
        raise BadData(f"endpoints is {show(endpoints)}, not a list of URLs", _CURE)
    ends = [url(item, f"endpoints[{n}]") for n, item in enumerate(endpoints[:MAX_ITEMS])]
    first = ends[0]
    ports = {end.scheme.lower(): end.port for end in ends if end.place == first.place}
    meta = loose_meta(value.get("metadata"), "weight")
    weight = meta.get("weight", "1")
    if isinstance(value.get("version"), str) and value["version"]:
        meta["version"] = value["version"]
    yield Registration(
        first.addresses,
        first.host,
        first.port,
        WEIGHT.take("metadata's weight", from_digits(weight)),
        ports=share(named_ports(ports)),
        meta=share(tuple(sorted(meta.items()))),
        format="kratos",
    )


PRESET = Preset("kratos", (place("/{service}/{id}", "{service}", _read_instance),))

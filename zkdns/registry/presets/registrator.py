"""gliderlabs' registrator: `<root>/<service>/<ip>:<port>`.

Source: registrator 7, zookeeper/zookeeper.go (ZnodeBody: Name, IP, PublicPort, PrivatePort, ContainerID,
Tags, Attrs) and bridge/bridge.go (Tags are SERVICE_TAGS; Attrs the other SERVICE_… variables). Rules: the
public port is what can be reached; attributes are `meta`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from zkdns.model import Registration
from zkdns.registry.endpoints import at
from zkdns.registry.fields import META, TAGS, share
from zkdns.registry.formats import Node, demand_object
from zkdns.registry.places import Part, Preset, place


def _read_container(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
    value = demand_object(node)
    server = at(value.get("IP"), value.get("PublicPort"), "the service")
    attributes = value.get("Attrs")
    meta = () if attributes is None else META.take("Attrs", attributes)
    tags = value.get("Tags")
    yield Registration(
        server.addresses,
        server.host,
        server.port,
        tags=() if tags is None else share(TAGS.take("Tags", tags)),
        meta=share(meta),
        format="registrator",
    )


PRESET = Preset("registrator", (place("/{service}/{id}", "{service}", _read_container),))

"""Apache Storm's Nimbus servers: `/storm/nimbuses/<host:port>`, and the leader's latch.

Source: storm 2.6, ClusterUtils (NIMBUSES_SUBTREE), StormClusterStateImpl.addNimbusHost (the id is
host:port), LeaderElectorImp (`/leader-lock` below storm.zookeeper.root, a LeaderLatch with
NimbusInfo.toHostPortString as its id). Rules: the name says it all; the data is Thrift and not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from zkdns.model import Registration
from zkdns.registry.elections import latch_reader
from zkdns.registry.endpoints import host_port
from zkdns.registry.formats import Node
from zkdns.registry.places import Part, Preset, place


def _read_nimbus(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
    server = host_port(node.name, "its name")
    yield Registration(server.addresses, server.host, server.port, format="storm")


PRESET = Preset(
    "storm",
    (
        place("/storm/nimbuses/{id}", "storm-nimbus", _read_nimbus),
        place("/storm/leader-lock/{id}", "storm-nimbus", latch_reader(), members=False, offices=("leader",)),
    ),
)

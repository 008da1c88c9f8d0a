"""ClickHouse's cluster discovery: `/shards/<uuid>` below the path that the cluster's `<discovery>` names.

Source: ClickHouse 24.3, src/Interpreters/ClusterDiscovery.cpp (`getShardsListPath`, NodeInfo::parse and
serialize: version, address, shard_id). Rules: the shard is a tag.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from zkdns.model import Registration
from zkdns.registry.endpoints import host_port
from zkdns.registry.fields import share, whole
from zkdns.registry.formats import Node, demand_object
from zkdns.registry.layout import layout
from zkdns.registry.places import Part, Preset, place

_SHARD = whole(0, 2**32 - 1)


def _read_node(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
    value = demand_object(node)
    server = host_port(value.get("address"), "address")
    shard = value.get("shard_id")
    yield Registration(
        server.addresses,
        server.host,
        server.port,
        tags=() if shard is None else share((f"shard-{_SHARD.take('shard_id', shard)}",)),
        format="clickhouse",
    )


PRESET = Preset(
    "clickhouse",
    (place("/shards/{id}", "clickhouse", _read_node),),
    usual=(layout("/clickhouse/discovery/{any}"),),
)

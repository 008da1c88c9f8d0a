"""rest.li's dynamic discovery: `/d2/uris/<cluster>/<host-seq>`.

Source: rest.li 29, d2's ZKFSUtil (`/d2`, `uris`), ZooKeeperEphemeralStore (one node an announcement) and
UriPropertiesJsonSerializer (weights{uri: w}, partitionDesc{uri: {partition: {weight}}}; the latter wins).
Rules: an announcement is one server, so its first URI says where it is and others on the same host are
ports by their scheme; of several partitions the default one's (0) weight counts, else the largest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from zkdns.model import Registration
from zkdns.registry.endpoints import named_ports, url
from zkdns.registry.fields import BadData, number, share, show
from zkdns.registry.formats import Node, demand_object
from zkdns.registry.json_values import MAX_ITEMS
from zkdns.registry.places import Part, Preset, place

SCALE: Final = 100
"""D2's weights are fractions of 1; ours are whole."""

_WEIGHT = number(0, 65535 / SCALE)
_CURE = "let the server announce itself again"


def _read_announcement(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
    value = demand_object(node)
    weights = _weights(value)
    if not weights:
        raise BadData("it has neither weights nor partitionDesc", _CURE)
    ends = {uri: url(uri, "the URI") for uri in weights}
    uri, first = next(iter(ends.items()))
    ports = {end.scheme.lower(): end.port for end in ends.values() if end.place == first.place}
    yield Registration(
        first.addresses,
        first.host,
        first.port,
        round(weights[uri] * SCALE),
        ports=share(named_ports(ports)),
        format="d2",
    )


def _weights(value: dict[str, Any]) -> dict[str, float]:
    """The weight of each URI, in the order in which they stand there."""
    described = _object(value.get("partitionDesc"), "partitionDesc")
    by_host: dict[str, dict[str, float]] = {}
    every = (
        (uri, partition, item)
        for uri, partitions in islice(described.items(), MAX_ITEMS)
        for partition, item in _object(partitions, "a URI's partitions").items()
    )
    for uri, partition, item in islice(every, MAX_ITEMS):
        weight = _object(item, f"partition {partition}").get("weight")
        by_host.setdefault(uri, {})[partition] = _WEIGHT.take("weight", weight)
    if by_host:
        return {uri: each.get("0", max(each.values())) for uri, each in by_host.items()}
    weights = islice(_object(value.get("weights"), "weights").items(), MAX_ITEMS)
    return {uri: _WEIGHT.take("weight", weight) for uri, weight in weights}


def _object(value: object, field: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadData(f"{field} is {show(value)}, not an object", _CURE)
    return value


PRESET = Preset("d2", (place("/d2/uris/{service}/{id}", "{service}", _read_announcement),))

"""Twitter's and Finagle's ServerSets: members named `member_0000000001`, with JSON such as

    {"serviceEndpoint": {"host": "10.0.0.5", "port": 8080},
     "additionalEndpoints": {"admin": {"host": "10.0.0.5", "port": 9990}}, "status": "ALIVE", "shard": 3}

Schema: com.twitter.serverset.thrift.ServiceInstance of twitter/commons, as finagle-serversets reads
its JSON (`serverset2/Entry.scala`). Rules: only ALIVE is served (so does Finagle's resolver), and an
additional endpoint counts only where it is on the same host: it becomes a named port.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Final

from zkdns.model import Registration, Status
from zkdns.registry.addresses import endpoint
from zkdns.registry.fields import BadData, loose_meta, share, show, whole
from zkdns.registry.formats import Node, demand_object
from zkdns.registry.json_values import MAX_ITEMS

RANK = 20
FOLDERS: frozenset[str] = frozenset()
QUIET: frozenset[str] = frozenset({"singleton_candidate_*"})
"""Aurora's scheduler votes beside its members (twitter/commons, CandidateImpl and SingletonService)."""

KEPT: frozenset[str] = frozenset()

STATUSES: Final[Mapping[str, Status]] = {
    "ALIVE": "up",
    "WARNING": "up",
    "STARTING": "starting",
    "STOPPING": "draining",
    "STOPPED": "down",
    "DEAD": "down",
    "UNKNOWN": "down",
}

_PORT = whole(1, 65535)


def claims(node: Node) -> bool:
    return "serviceEndpoint" in node.object


def parse(node: Node) -> Registration:
    value = demand_object(node)
    if value.get("serviceEndpoint") is None:
        raise BadData("it has no serviceEndpoint", 'add "serviceEndpoint": {"host": ..., "port": ...}')
    addresses, host, port = endpoint(value["serviceEndpoint"], "serviceEndpoint", _PORT)
    status = value.get("status")
    if status is not None and (not isinstance(status, str) or status not in STATUSES):
        must = "one of " + ", ".join(STATUSES)
        raise BadData(f"status is {show(status)}, not {must}", f"set status to {must}")
    meta = loose_meta(value.get("metadata"))
    if type(value.get("shard")) is int:
        meta["shard"] = str(value["shard"])
    return Registration(
        addresses,
        host,
        port,
        status=STATUSES[status] if status is not None else "up",
        ports=share(_ports(value.get("additionalEndpoints"), (addresses, host))),
        meta=share(tuple(sorted(meta.items()))),
        format="serverset",
    )


def _ports(value: object, here: tuple[tuple[str, ...], str | None]) -> tuple[tuple[str, int], ...]:
    if value is None:
        return ()
    if not isinstance(value, dict):
        must = "an object of names and endpoints"
        raise BadData(f"additionalEndpoints is {show(value)}, not {must}", f"set it to {must}")
    ports = []
    for name, item in islice(value.items(), MAX_ITEMS):
        addresses, host, port = endpoint(item, f"additionalEndpoints.{name}", _PORT)
        if name and (addresses, host) == here:
            ports.append((name, port))
    return tuple(sorted(ports))

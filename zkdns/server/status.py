"""How the parts of a running server stand: what the page shows and `/api/v1/status` gives.

Rules: reads only; every value is a plain dict, list, text or number.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec

from zkdns import __version__
from zkdns.registry.source import ZooKeeperSource

if TYPE_CHECKING:
    from zkdns.server.lifecycle import Server


def status(server: Server) -> dict[str, Any]:
    """How the parts of the server stand, for the page and people."""
    registries = []
    for source in server.sources:
        if isinstance(source, ZooKeeperSource):
            status = source.mirror.status()
            registries.append(
                {
                    "url": source.url.text,
                    "connected": status.connected,
                    "nodes": status.nodes,
                    "reads": status.reads,
                    "resyncs": status.resyncs,
                    "audit_repairs": status.audit_repairs,
                    "zxid": f"{status.last_zxid:#x}",
                    "trouble": status.trouble,
                }
            )
        else:
            registries.append({"url": f"file:{source.path}", "connected": True})
    forwarding = server.forwarder.status()
    return {
        "version": __version__,
        "engine": server.engine.name,
        "ready": server.is_ready,
        "serial": server.builder.serial,
        "stale_seconds": server.staleness.seconds,
        "started": server.started,
        "zones": [*server.settings.zone],
        "zone_files": server.zone_files.paths,
        "registries": registries,
        "replica": server.replica.id,
        "lag_seconds": server.replica.lag,
        "replicas": {id: msgspec.to_builtins(node) for id, node in server.replica.all().items()},
        "search_misses": dict(server.engine.search_misses().most_common(10)),
        "upstreams": [asdict(upstream) for upstream in forwarding.upstreams],
        "forward": {"cached": forwarding.cached, "in_flight": forwarding.in_flight},
    }

"""Which services have no instance, and whether they ever had one: the outage that leaves nothing to look at.

Rules: reads only. An empty folder tells by itself whether it was used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from zkdns.answers.routed import Routed
from zkdns.config import Settings
from zkdns.model import Problem, Service
from zkdns.registry.zk.connect import Unreachable
from zkdns.registry.zk.nodes import Refused, open_nodes

EMPTIED = "all its instances are gone: its names are NODATA"
EMPTIED_BEFORE = "all its own instances are gone: its names give what stands behind them"
ZOOKEEPERS_OWN = "/zookeeper/"
"""What a server keeps of itself is no folder that anybody may delete; a standalone one has no members."""
UNUSED = "it has no instance, and never had one: its names are NODATA"


def tell(
    services: Iterable[Service], settings: Settings, route_of: Callable[[Service], Routed | None]
) -> tuple[list[Problem], list[Problem]]:
    """The problems and the notes of services without an instance; whose name stands for others alone needs
    none."""
    rows = [(service, route_of(service)) for service in services if not service.instances]
    given = {s.name: bool(route.name.first) for s, route in rows if route is not None}
    empty = [s for s, route in rows if route is None or any(t.service == s.name for t in route.healthy)]
    if not empty:
        return [], []
    used = set(_used(empty, settings))
    cure = "see why its processes don't register; or delete its folder, if it is over"
    problems = [
        Problem(s.path, EMPTIED_BEFORE if given.get(s.name) else EMPTIED, cure)
        for s in empty
        if s.path in used
    ]
    notes = [
        Problem(s.path, UNUSED, "register an instance, or delete its folder")
        for s in empty
        if s.path not in used and not given.get(s.name) and not s.path.startswith(ZOOKEEPERS_OWN)
    ]
    return problems, notes


def _used(empty: Iterable[Service], settings: Settings) -> Iterator[str]:
    """The paths of folders where children came and went."""
    paths = [service.path for service in empty]
    for url in settings.registry:
        root = url.root.rstrip("/") + "/" if url.scheme == "zk" else None
        inside = [path for path in paths if root is not None and path.startswith(root)]
        if not inside:
            continue
        with suppress(Refused, Unreachable), open_nodes(url.hosts, settings.zookeeper) as nodes:
            yield from nodes.emptied(inside)  # what can't be seen is told of as a note

"""A registry's tree of znodes, as a reader makes a catalog of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from zkdns.model import Begin, Catalog, Children, Data, Event, Stat, Whole
from zkdns.registry.readers import open_tree
from zkdns.registry.service_tree import ServiceTree
from zkdns.registry.url import RegistryURL

ROOT = "/services"


def open_root(root: str, format: str = "auto") -> ServiceTree:
    """The tree of a root of services in the usual layout; nothing is read yet."""
    return open_tree(RegistryURL(f"zk://{root}", "zk", root=root, format=format))


def catalog_of(nodes: Mapping[str, Any], format: str = "auto") -> Catalog:
    """A tree of these nodes (by path below the root), with all folders above them."""
    every: dict[str, bytes] = {"": b""}
    for path, data in nodes.items():
        names = path.split("/")
        for depth in range(1, len(names)):
            every.setdefault("/".join(names[:depth]), b"")
        every[path] = data if isinstance(data, bytes) else json.dumps(data).encode() if data != "" else b""
    below: dict[str, list[str]] = {path: [] for path in every}
    for path in every:
        if path:
            below[path.rpartition("/")[0]].append(path.rpartition("/")[2])
    tree = open_root(ROOT, format)
    (scope,) = tree.scopes
    events: list[Event] = [Begin()]
    for zxid, path in enumerate(sorted(every, key=lambda path: path.count("/") + bool(path)), 2):
        full = f"{ROOT}/{path}".rstrip("/")
        here = scope.at(full)
        if here is None:
            continue
        events.append(Data(full, every[path], Stat(zxid, zxid, 1.0, False, bool(below[path]))))
        if here.lists:
            names_ = tuple(name for name, _ in scope.children(full, here, below[path]))
            events.append(Children(full, names_, zxid))
    for event in (*events, Whole()):
        tree.apply(event)
    return tree.catalog()

"""A preset over a few znodes, as the registry would hand them to it: for tests without a registry."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from zkdns.model import Begin, Children, Data, Event, Instance, Problem, Stat, Unreadable, Whole
from zkdns.registry.arrange import Arranged, Found, arrange
from zkdns.registry.formats import Node
from zkdns.registry.places import Preset
from zkdns.registry.scope import Scope
from zkdns.registry.service_tree import ServiceTree
from zkdns.steps import finish


def arrange_all(preset: Preset, znodes: Mapping[str, bytes | str]) -> dict[str, Arranged]:
    """Every service that comes of the znodes (their data by path), with all problems."""
    found: dict[str, list[Found]] = defaultdict(list)
    problems: dict[str, list[Problem]] = defaultdict(list)
    services: set[str] = set()
    for path, text in znodes.items():
        names = tuple(path.strip("/").split("/"))
        data = text.encode() if isinstance(text, str) else text
        for place in preset.places:
            for depth in range(len(names)) if place.members else ():
                holes = place.layout.folder.match(names[:depth])
                if holes is not None:
                    services.add(place.service_of(holes))
            holes = place.layout.match(names)
            if holes is None:
                continue
            service = place.service_of(holes)
            parts, error = place.parts(Node(names[-1], data), holes)
            if error is not None:
                problems[service].append(Problem(path, error.what, error.cure))
            found[service].append(Found(path, holes.get("id", names[-1]), place, parts))
    arranged = {service: finish(arrange(preset, service, found[service])) for service in services}
    return {
        name: Arranged(a.instances, a.offices, (*problems[name], *a.problems)) for name, a in arranged.items()
    }


def summary(instance: Instance) -> str:
    """An instance in one line: what it is reached at, and what makes it differ from another."""
    said = instance.registration
    where = ",".join(said.addresses) or said.host
    ports = "".join(f" {name}={port}" for name, port in said.ports)
    more = "".join(
        f" {word}={value}"
        for word, value, default in (
            ("weight", said.weight, 1),
            ("status", said.status, "up"),
            ("zone", said.zone, ""),
        )
        if value != default
    )
    tags = f" [{' '.join(said.tags)}]" if said.tags else ""
    return f"{instance.id} {where}:{said.port}{ports}{more}{tags}"


def summaries(preset: Preset, znodes: Mapping[str, bytes | str]) -> dict[str, list[str]]:
    return {
        name: [summary(i) for i in arranged.instances]
        for name, arranged in sorted(arrange_all(preset, znodes).items())
    }


def read_fixture(name: str) -> dict[str, bytes]:
    """The znodes of `tests/fixtures/presets/NAME.json`: their data by path."""
    text = (Path(__file__).parents[1] / "fixtures" / "presets" / f"{name}.json").read_text()
    znodes: dict[str, str | dict[str, str]] = json.loads(text)["znodes"]
    return {
        path: data.encode() if isinstance(data, str) else bytes.fromhex(data["hex"])
        for path, data in znodes.items()
    }


def grow(znodes: Mapping[str, bytes]) -> tuple[dict[str, bytes], dict[str, set[str]]]:
    """With the nodes above them, which hold nothing: the data by path, and the names below each path."""
    children: dict[str, set[str]] = defaultdict(set)
    data = dict(znodes)
    for path in znodes:
        while path != "/":
            parent, _, name = path.rpartition("/")
            children[parent or "/"].add(name)
            data.setdefault(parent or "/", b"")
            path = parent or "/"
    return data, children


def read_into(
    tree: ServiceTree, znodes: Mapping[str, bytes], refused: Iterable[str] = (), *, anew: bool = True
) -> ServiceTree:
    """One whole reading of all the roots that the tree watches; or else what changed since the last one."""
    data, children = grow(znodes)
    for scope in tree.scopes:
        root = tree.reducers[scope.root]
        if anew:
            root.apply(Begin())
        for event in _read(scope, scope.root, data, children, frozenset(refused)):
            root.apply(event)
        if anew:
            root.apply(Whole())
    return tree


def _read(
    scope: Scope,
    path: str,
    data: Mapping[str, bytes],
    children: Mapping[str, set[str]],
    refused: frozenset[str],
) -> Iterator[Event]:
    spot = scope.at(path)
    if spot is None:
        return
    if path not in data:
        yield Children(path, (), 0)
    elif path in refused:
        yield Unreadable(path, "its ACL does not let us read it")
    else:
        names = [name for name, _ in scope.children(path, spot, sorted(children.get(path, ())))]
        if spot.lists or path == scope.root:
            yield Children(path, tuple(names), 2)
        if spot.data:
            yield Data(path, data[path], Stat(1, 1, 1.0, True))
        for name in names:
            yield from _read(scope, f"{path.rstrip('/')}/{name}", data, children, refused)

"""A preset over a few znodes, as the registry would hand them to it: for tests without a registry."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from zkdns.model import Instance, Problem
from zkdns.registry.arrange import Arranged, Found, arrange
from zkdns.registry.formats import Node
from zkdns.registry.places import Preset


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
    arranged = {service: arrange(preset, service, found[service]) for service in services}
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

"""A preset's nodes, as a registry's reader: what each place reads, put together by `arrange`.

Rules: pure. A node may fit several places of a service, and of several services; what it tells of each is
kept, so that a service is arranged of what was read already.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from zkdns.model import Data, Problem, Service
from zkdns.registry.arrange import Found, arrange
from zkdns.registry.format_reader import make_distinct, renew
from zkdns.registry.formats import Node
from zkdns.registry.labels import to_label
from zkdns.registry.layout import Layout
from zkdns.registry.places import Preset
from zkdns.registry.znodes import Names


@dataclass(frozen=True, slots=True)
class Told:
    """What a node tells of one service: by place, and what is wrong with it."""

    found: tuple[Found, ...]
    problems: tuple[Problem, ...]


class PresetReader:
    def __init__(self, preset: Preset) -> None:
        self._preset = preset
        self._folders = [(place, place.layout.folder) for place in preset.places if place.members]

    @property
    def layouts(self) -> Iterable[Layout]:
        return [place.layout for place in self._preset.places]

    def services(self, names: Names) -> Iterable[str]:
        for place, folder in self._folders:
            holes = folder.match(names)
            if holes is not None:
                yield place.service_of(holes)

    def owners(self, names: Names) -> Iterable[str]:
        fits = (
            place.service_of(holes)
            for place in self._preset.places
            if (holes := place.layout.match(names)) is not None
        )
        return dict.fromkeys(fits)

    def read(self, service: str, names: Names, event: Data) -> Told:
        node = Node(names[-1] if names else event.path.rpartition("/")[2], event.data)
        found: list[Found] = []
        problems: list[Problem] = []
        for place in self._preset.places:
            holes = place.layout.match(names)
            if holes is None or place.service_of(holes) != service:
                continue
            parts, error = place.parts(node, holes)
            if error is not None:
                problems.append(Problem(event.path, error.what, error.cure))
            id = holes.get("id", node.name)
            if parts:
                found.append(Found(event.path, id, place, parts, event.stat.ctime, event.stat.ephemeral))
        return Told(tuple(found), tuple(problems))

    def refuse(self, service: str, names: Names, problem: Problem) -> Told:
        return Told((), (problem,))

    def assemble(
        self, name: str, path: str, values: Iterable[Told], before: Service | None
    ) -> tuple[Service, tuple[Problem, ...]]:
        every = list(values)
        arranged = arrange(self._preset, name, (found for told in every for found in told.found))
        problems = [problem for told in every for problem in told.problems]
        problems += arranged.problems
        distinct = make_distinct(list(arranged.instances), before, problems)
        problems.sort(key=lambda problem: problem.path)
        service = Service(name, to_label(name), path, instances=distinct, offices=arranged.offices)
        return renew(service, before), tuple(problems)

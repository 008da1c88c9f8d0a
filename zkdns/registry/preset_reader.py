"""A preset's nodes, as a registry's reader: what each place reads, put together by `arrange`.

Rules: pure. A node may fit several places of a service, and of several services; what it tells of each is
kept, so that a service is arranged of what was read already. A member that can't be read is an instance in
that state; a vote that may not be read keeps its place in the line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from operator import attrgetter

from msgspec import Struct

from zkdns.model import UNSEEN, Data, Instance, Problem, Registration, Service
from zkdns.order import sort
from zkdns.registry.arrange import Found, arrange
from zkdns.registry.distinct import Distinct
from zkdns.registry.fields import bounded
from zkdns.registry.format_reader import renew
from zkdns.registry.formats import Node
from zkdns.registry.labels import to_label
from zkdns.registry.layout import Layout
from zkdns.registry.places import Leads, Member, Part, Place, Preset
from zkdns.registry.reading import Assembled
from zkdns.registry.unread import unread
from zkdns.registry.znodes import Names
from zkdns.steps import Steps, walk


class Told(Struct, frozen=True):
    """What a node tells of one service: by place, and what is wrong with it. `instance`: the member that
    can't be read."""

    found: tuple[Found, ...]
    problems: tuple[Problem, ...]
    instance: Instance | None = None


class PresetReader:
    def __init__(self, preset: Preset) -> None:
        self._preset = preset
        self._distinct = Distinct()
        self.forget = self._distinct.forget
        self._folders = [(place, place.layout.folder) for place in preset.places if place.members]

    @property
    def layouts(self) -> Iterable[Layout]:
        return [place.layout for place in self._preset.places]

    def services(self, names: Names) -> Iterable[str]:
        for place, folder in self._folders:
            holes = folder.match(names)
            if holes is None and len(place.layout.prefix) == len(names):
                holes = place.layout.match(names)  # one node alone, whose folder is not looked at
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
        stat = event.stat
        node = Node(_name(names, event.path), event.data)
        finds: list[Found] = []
        problems: list[Problem] = []
        instance: Instance | None = None
        for place, holes in self._fitting(service, names):
            parts, error = place.parts(node, holes)
            id = holes.get("id", node.name)
            if error is not None:
                problems.append(Problem(event.path, error.what, error.cure))
                if place.members:
                    instance = unread(id, event.path, stat, error.what)
            if parts:
                parts = tuple(_bound(part, event.path, problems) for part in parts)
                finds.append(Found(event.path, id, place, parts, stat))
        return Told(tuple(finds), tuple(problems), instance)

    def refuse(self, service: str, names: Names, problem: Problem) -> Told:
        node = Node(_name(names, problem.path), b"")
        finds: list[Found] = []
        instance: Instance | None = None
        for place, holes in self._fitting(service, names):
            id = holes.get("id", node.name)
            votes = tuple(part for part in place.parts(node, holes)[0] if isinstance(part, Leads))
            if votes:
                finds.append(Found(problem.path, id, place, votes))
            if place.members:
                instance = unread(id, problem.path, UNSEEN, problem.what)
        return Told(tuple(finds), (problem,), instance)

    def _fitting(self, service: str, names: Names) -> Iterator[tuple[Place, dict[str, str]]]:
        for place in self._preset.places:
            holes = place.layout.match(names)
            if holes is not None and place.service_of(holes) == service:
                yield place, holes

    def assemble(
        self, name: str, path: str, values: Sequence[Told], before: Service | None
    ) -> Steps[Assembled]:
        finds: list[Found] = []
        problems: list[Problem] = []
        lost: list[Instance] = []

        def sort_out(some: Sequence[Told]) -> None:
            for one in some:
                finds.extend(one.found)
                problems.extend(one.problems)
                if one.instance:
                    lost.append(one.instance)

        yield from walk(values, sort_out)
        arranged = yield from arrange(self._preset, name, finds)
        problems += arranged.problems
        instances = list(arranged.instances)
        if lost:
            known = {instance.id for instance in instances}
            instances += [instance for instance in lost if instance.id not in known]
            yield from sort(instances, attrgetter("id", "path"))
        standing = before.instances if before else ()
        distinct = yield from self._distinct.make(name, instances, standing, problems)
        yield from sort(problems, attrgetter("path"))
        service = Service(name, to_label(name), path, instances=distinct, offices=arranged.offices)
        return renew(service, before), tuple(problems)


def _bound(part: Part, path: str, problems: list[Problem]) -> Part:
    """The part, its registration within the limits of one instance."""
    registration = part.registration if isinstance(part, Member) else part
    if not isinstance(registration, Registration):
        return part
    within, beyond = bounded(registration)
    if not beyond:
        return part
    problems += (Problem(path, error.what, error.cure) for error in beyond)
    return replace(part, registration=within) if isinstance(part, Member) else within


def _name(names: Names, path: str) -> str:
    return names[-1] if names else path.rpartition("/")[2]

"""The instances of one service -> the same, no two of which have an id or a label in common.

Rules: pure. How equal ids were told apart is remembered by service: a change among thousands of them costs
its neighbours, not all. It is forgotten with the service, and once its ids differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from operator import attrgetter, itemgetter
from typing import Final

from zkdns.model import Instance, Problem
from zkdns.order import sort
from zkdns.registry.labels import Labels
from zkdns.steps import GLANCES, Steps, glance, walk

FEW: Final = 16
"""Ids that come or go in one step: each is folded for several times, and looked for among those alike."""

_label = attrgetter("label")
_but_label = attrgetter(
    *(field.name for field in fields(Instance) if field.compare and field.name != "label")
)


class Ids:
    """The labels of a service's ids, and what is to be told of those that are alike."""

    def __init__(self) -> None:
        self._labels = Labels()
        self._paths: Mapping[str, str] = {}
        self._told: dict[str, Problem] = {}
        self._problems: tuple[Problem, ...] = ()

    def __getitem__(self, id: str) -> str:
        return self._labels[id]

    def take(self, instances: Sequence[Instance]) -> Steps[tuple[Problem, ...]]:
        """These are there now, no two of one id. What is to be told of them, in the order of their ids."""
        old, paths = self._paths, dict[str, str]()
        yield from glance(instances, lambda some: paths.update([(i.id, i.path) for i in some]))
        if paths == old:
            return self._problems
        affected: set[str] = set()
        for at, id in enumerate(old.keys() - paths.keys(), 1):
            affected |= self._labels.change((), (id,))
            self._told.pop(id, None)
            if not at % FEW:
                yield
        for at, id in enumerate(paths.keys() - old.keys(), 1):
            affected |= self._labels.change((id,), ())
            if not at % FEW:
                yield

        def look(some: Sequence[str]) -> None:
            affected.update([id for id in some if paths.get(id) != old.get(id)])

        def tell(some: Sequence[str]) -> None:
            for id in some:
                problem = self._labels.tell(id, paths[id], "id") if id in paths else None
                if problem is not None:
                    self._told[id] = problem
                else:
                    self._told.pop(id, None)

        yield from walk([*self._told], look)
        yield from walk([*affected], tell)
        rows = [*self._told.items()]
        yield from sort(rows, itemgetter(0))
        self._paths = paths
        self._problems = tuple([problem for _, problem in rows])
        return self._problems


class Distinct:
    """Those of the services of one registry."""

    def __init__(self) -> None:
        self._ids: dict[str, Ids] = {}

    def forget(self, service: str) -> None:
        self._ids.pop(service, None)

    def make(
        self,
        service: str,
        instances: list[Instance],
        before: Sequence[Instance],
        problems: list[Problem],
    ) -> Steps[tuple[Instance, ...]]:
        """Sorted by id and path when they come in. `before`: as they were, which go on as the same objects.
        `problems` is told of those that have another's id or label."""
        labels: set[str] = set()
        if len(instances) <= GLANCES:
            labels.update(map(_label, instances))
        else:
            yield from glance(instances, lambda some: labels.update(map(_label, some)))
        if len(labels) == len(instances):
            self.forget(service)
            return tuple(instances)
        by_id: dict[str, Instance] = {}
        known: dict[str, Instance] = {}
        distinct: list[Instance] = []

        def put(some: Sequence[Instance]) -> None:
            for instance in some:
                first = by_id.setdefault(instance.id, instance)
                if first is not instance:
                    what = f"its id is that of {first.path} too, which is served"
                    problems.append(Problem(instance.path, what, "register it under an id of its own"))

        def relabel_some(some: Sequence[Instance]) -> None:
            distinct.extend([relabel(i, ids[i.id], known.get(i.id)) for i in some])

        yield from walk(instances, put)
        every = [*by_id.values()]
        ids = self._ids.setdefault(service, Ids())
        problems += yield from ids.take(every)
        yield from glance(before, lambda some: known.update([(i.id, i) for i in some]))
        yield from walk(every, relabel_some)
        return tuple(distinct)


def relabel(instance: Instance, label: str, known: Instance | None) -> Instance:
    """The instance with this label; as the one that is `known`, where that is equal."""
    if instance.label == label:
        return known if known is not None and (known is instance or known == instance) else instance
    if known is not None and known.label == label and _but_label(known) == _but_label(instance):
        return known  # found before one is made: thousands that are alike are made anew at each change
    return replace(instance, label=label)

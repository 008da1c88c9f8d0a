"""The instances of one service -> the same with ids and labels of which no two are equal.

Rules: pure. What was said of ids that are alike is remembered by service: a change among thousands of them
costs its neighbours, not all. Forgotten with the service, and once its ids differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from operator import attrgetter

from zkdns.model import Instance, Problem
from zkdns.registry.labels import Labels

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

    def take(self, paths: Mapping[str, str]) -> tuple[Problem, ...]:
        """These are its ids now, and where each stands. What is to be told of them, in their order."""
        old = self._paths
        if paths == old:
            return self._problems
        affected = self._labels.change(paths.keys() - old.keys(), old.keys() - paths.keys())
        affected |= {id for id in self._told if id in paths and paths[id] != old[id]}
        for id in self._told.keys() - paths.keys():
            del self._told[id]
        for id in affected:
            problem = self._labels.tell(id, paths[id], "id")
            if problem is not None:
                self._told[id] = problem
            else:
                self._told.pop(id, None)
        self._paths = paths
        self._problems = tuple(self._told[id] for id in sorted(self._told))
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
        before: Iterable[Instance],
        problems: list[Problem],
    ) -> tuple[Instance, ...]:
        """Sorted by id and path when they come in. `before`: as they were, which go on as the same objects.
        `problems` is told of those that have another's id or label."""
        if len({*map(_label, instances)}) == len(instances):
            self.forget(service)
            return tuple(instances)
        by_id: dict[str, Instance] = {}
        for instance in instances:
            first = by_id.setdefault(instance.id, instance)
            if first is not instance:
                what = f"its id is that of {first.path} too, which is served"
                problems.append(Problem(instance.path, what, "register it under an id of its own"))
        ids = self._ids.setdefault(service, Ids())
        problems += ids.take({id: i.path for id, i in by_id.items()})
        known = {i.id: i for i in before}
        return tuple(relabel(i, ids[id], known.get(id)) for id, i in by_id.items())


def relabel(instance: Instance, label: str, known: Instance | None) -> Instance:
    """The instance with this label; as the one that is `known`, where that is equal."""
    if instance.label == label:
        return known if known is not None and (known is instance or known == instance) else instance
    if known is not None and known.label == label and _but_label(known) == _but_label(instance):
        return known  # found before one is made: thousands that are alike are made anew at each change
    return replace(instance, label=label)

"""The instances of one service that several registries hold -> those of the service, joined.

Rules: pure. The first registry that names an instance wins. A change among thousands costs what changed, as
long as no two ids fold to one label; else all are looked at, in steps.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from operator import attrgetter

from zkdns.identity import moved
from zkdns.model import Instance, Problem
from zkdns.order import sort
from zkdns.registry.distinct import Ids, relabel
from zkdns.registry.labels import to_label
from zkdns.steps import SLICE, Steps, glance, walk

_id_of = attrgetter("id")


def find(instances: Sequence[Instance], id: str) -> Instance | None:
    """The instance with this id; they stand in the order of their ids."""
    at = bisect_left(instances, id, key=_id_of)
    return instances[at] if at < len(instances) and instances[at].id == id else None


class Meeting:
    """Those of one service. `problems`: what is to be told of ids of several registries that are alike."""

    __slots__ = ("_held", "_ids", "_joined", "_labels", "problems")

    def __init__(self) -> None:
        self.problems: tuple[Problem, ...] = ()
        self._ids: Ids | None = None
        self._held: Sequence[Sequence[Instance]] = ()
        """What was joined last, where that was much and no two were alike; `_labels`: theirs."""
        self._joined: tuple[Instance, ...] = ()
        self._labels: set[str] = set()

    def join(
        self, held: Sequence[Sequence[Instance]], before: Sequence[Instance]
    ) -> Steps[tuple[Instance, ...]]:
        """`held`: by registry, each in the order of ids. `before`: as they were joined, which go on as the
        same objects."""
        known, self._held = self._held, ()  # until it is done
        joined: tuple[Instance, ...] | None = None
        if len(known) == len(held):
            ids: dict[str, None] = {}
            for old, new in zip(known, held, strict=True):
                gone, come = yield from moved(old, new)
                ids |= dict.fromkeys(map(_id_of, (*gone, *come)))
            joined = self._change(ids, held) if len(ids) <= SLICE else None
        if joined is None:
            joined = yield from self._join_all(held, before)
        if self._ids is None and len(joined) > SLICE:
            self._held, self._joined = held, joined
        else:
            self._joined, self._labels = (), set()
        return joined

    def _change(self, ids: Iterable[str], held: Sequence[Sequence[Instance]]) -> tuple[Instance, ...] | None:
        """With other instances of these ids; None where some are alike."""
        pairs = []
        for id in ids:
            was = find(self._joined, id)
            now = next((one for each in held if (one := find(each, id)) is not None), None)
            if was != now:
                pairs.append((id, was, now))
        self._labels.difference_update([was.label for _, was, _ in pairs if was is not None])
        joined = [*self._joined]
        for id, was, now in pairs:
            at = bisect_left(joined, id, key=_id_of)
            joined[at : at + (was is not None)] = [now] if now is not None else []
            if now is not None:
                if now.label in self._labels or not _is_own(now):
                    return None
                self._labels.add(now.label)
        return tuple(joined) if pairs else self._joined

    def _join_all(
        self, held: Sequence[Sequence[Instance]], before: Sequence[Instance]
    ) -> Steps[tuple[Instance, ...]]:
        by_id: dict[str, Instance] = {}
        known: dict[str, Instance] = {}
        labels: set[str] = set()
        others = 0

        def put(some: Sequence[Instance]) -> None:
            for instance in some:
                by_id.setdefault(instance.id, instance)

        def look(some: Sequence[Instance]) -> None:
            nonlocal others
            others += sum([not _is_own(i) for i in some])
            labels.update([i.label for i in some])

        for each in held:
            yield from glance(each, put)
        instances = [*by_id.values()]
        yield from sort(instances, _id_of)
        yield from walk(instances, look)
        yield from glance(before, lambda some: known.update([(i.id, i) for i in some]))
        problems: tuple[Problem, ...] = ()
        self.problems = ()
        are_alike = bool(others) or len(labels) < len(instances)
        self._ids = ids = (self._ids or Ids()) if are_alike else None
        if ids is not None:
            problems = yield from ids.take(instances)
        joined: list[Instance] = []

        def relabel_some(some: Sequence[Instance]) -> None:
            for i in some:
                label = ids[i.id] if ids is not None else i.label
                if label != i.label:  # else the one registry that has them tells it
                    self.problems = problems
                joined.append(relabel(i, label, known.get(i.id)))

        yield from walk(instances, relabel_some)
        self._labels = labels
        return tuple(joined)


def _is_own(instance: Instance) -> bool:
    """Whether its label is what its id folds to: what is its own label folds to itself."""
    return instance.label == instance.id or to_label(instance.id) == instance.label

"""Several registries' Catalogs -> one, and the labels of its services, assigned over all of them.

Rules: pure. By service name, in the order of the registries: the first that names an instance wins, and
the first that has settings for the service; an office is held by one instance, of the first in which anybody
holds it. None is called as what one registry alone holds of another (`web@dc2`): it would be taken for that.
An unchanged service is the same object as before. The cost is that of the services that changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from operator import is_

from zkdns.model import DEFAULTS, EMPTY, Catalog, Instance, Problem, Service, fault
from zkdns.order import in_order
from zkdns.persistent import PersistentMap, differing
from zkdns.printable import printable
from zkdns.problems import Problems, ours_of
from zkdns.registry.labels import Labels, to_label
from zkdns.registry.meeting import Meeting
from zkdns.steps import Steps, finish
from zkdns.wall import blame


class Merger:
    """Remembers what it merged last. `previous`: a Catalog whose services go on as the same objects where
    they are equal. `registries`: the names of all."""

    def __init__(self, previous: Catalog = EMPTY, registries: Collection[str] = ()) -> None:
        self._catalog = previous
        self._registries = frozenset(registries)
        self._inputs: list[Mapping[str, Service]] = []
        self._joined: dict[str, Service] = {}
        """As they are joined, before the labels of all are assigned."""
        self._labels = Labels()
        self._relabelled: dict[str, Service] = {}
        self._met: dict[str, Meeting] = {}
        """Of the services that several registries have, their instances."""
        self._of_ids: dict[str, tuple[Problem, ...]] = {}
        self._of_names: dict[str, Problem] = {}
        self._left_out: dict[str, Problem] = {}
        """Services that may not be called so."""
        self._faults: dict[str, Problem] = {}
        self._told: tuple[Sequence[Problem], ...] | None = None
        """The problems of each registry, as they went into those of all; and `_own` the Merger's."""
        self._own: tuple[object, ...] = {}, {}, {}, {}

    def merge(self, catalogs: Sequence[Catalog]) -> Steps[Catalog]:
        """One Catalog of all. `serial` is the largest; `stale_since` the oldest of those that are stale;
        `complete` once all are. The same object as before where nothing changed."""
        inputs = [catalog.services for catalog in catalogs]
        before = self._inputs
        self._inputs = inputs
        nothing: Mapping[str, Service] = {}
        pairs = zip_longest(before, inputs, fillvalue=nothing)
        changed = dict.fromkeys(name for old, new in pairs for name in differing(old, new))
        changes = yield from self._join(changed, inputs)
        services = self._catalog.services
        if len(inputs) == 1 and not (self._relabelled or self._left_out):
            services = services if _are_same(services, inputs[0], changes) else inputs[0]
        else:
            if not isinstance(services, PersistentMap):
                services = PersistentMap(services)
            gone = [name for name in services if name not in self._joined] if not before else []
            services = services.changed({**dict.fromkeys(gone), **changes})
        return self._take(services, catalogs)

    def _take(self, services: Mapping[str, Service], catalogs: Sequence[Catalog]) -> Catalog:
        old, before = self._catalog, self._told
        each = self._told = tuple([catalog.problems for catalog in catalogs])
        own = self._of_ids, self._of_names, self._left_out, self._faults
        problems = old.problems
        if before is None:  # equal to those of the catalog that we began with, or others
            first = self._problems(each)
            problems = problems if problems == first else first
        elif own != self._own or len(each) != len(before) or not all(map(is_, each, before)):
            problems = self._problems(each)
        stale = [c.stale_since for c in catalogs if c.stale_since is not None]
        merged = Catalog(
            services,
            problems,
            max((c.serial for c in catalogs), default=0),
            all(c.complete for c in catalogs),
            min(stale, default=None),
        )
        if services is not old.services or problems is not old.problems or _rest(merged) != _rest(old):
            self._catalog = merged
        return self._catalog

    def _problems(self, each: tuple[Sequence[Problem], ...]) -> Problems:
        """Those of each registry, and what joining them told."""
        ids, names, faults = dict(self._of_ids), dict(self._of_names), dict(self._faults)
        left_out = dict(self._left_out)
        self._own = ids, names, left_out, faults

        def spell() -> Iterator[Problem]:
            for those in (*each, *ids.values()):
                yield from those
            for by_name in (names, left_out, faults):
                for name in in_order(by_name):
                    yield by_name[name]

        return Problems(spell, [*(one for those in each for one in ours_of(those)), *faults.values()])

    def _join(
        self, names: Iterable[str], inputs: Sequence[Mapping[str, Service]]
    ) -> Steps[dict[str, Service | None]]:
        """Put together what changed; the services that are other ones now, None for those that are gone."""
        added, removed = [], []
        changes: dict[str, Service | None] = {}
        for name in names:
            standing = [service for services in inputs if (service := services.get(name)) is not None]
            if not standing and name in self._joined:
                removed.append(name)
            self._left_out.pop(name, None)
            try:
                if standing and "@" in name and name.rpartition("@")[2] in self._registries:
                    self._left_out[name] = _refuse(name, standing[0].path)
                    changes[name] = None
                    continue
                if standing and name not in self._joined:
                    to_label(name)  # whoever can't have one is no reason for the others to lose theirs
                    added.append(name)
            except Exception as error:
                self._faults[name] = fault(standing[0].path, error)
                changes[name] = None
                continue
            try:
                changes[name] = yield from self._join_one(name, standing)
                self._faults.pop(name, None)
            except Exception as error:  # ours: it costs this service, and the others go on
                changes[name], self._faults[name] = self._join_rest(name, standing, error)
        affected = self._labels.change(added, removed) if added or removed else set()
        for name in removed:
            self._relabelled.pop(name, None)
            self._of_names.pop(name, None)
        affected |= changes.keys() & self._of_names.keys()  # it may stand elsewhere now
        for name in {*changes, *affected}:
            try:
                if name in affected:
                    self._tell_of(name)
                changes[name] = self._label(name)
            except Exception as error:
                self._faults[name] = fault(self._joined[name].path if name in self._joined else name, error)
        return changes

    def _tell_of(self, name: str) -> None:
        problem = self._labels.tell(name, self._joined[name].path, "name")
        if problem is None:
            self._of_names.pop(name, None)
        else:
            self._of_names[name] = problem

    def _join_one(self, name: str, standing: list[Service]) -> Steps[Service | None]:
        self._of_ids.pop(name, None)
        if len(standing) < 2:
            self._met.pop(name, None)
        if not standing:
            self._joined.pop(name, None)
            return None
        service = standing[0]
        if len(standing) > 1:
            before = self._catalog.services.get(name)
            met = self._met.setdefault(name, Meeting())
            held = [service.instances for service in standing]
            instances = yield from met.join(held, before.instances if before else ())
            problems = met.problems
            if offices := _offices_of(standing):
                instances, plain = _with_offices_once(standing, offices, instances)
                problems = (*problems, *plain)
            service = _join(standing, offices, instances)
            service = before if before is not None and before == service else service
            if problems:
                self._of_ids[name] = problems
        self._joined[name] = service
        return service

    def _join_rest(
        self, name: str, standing: list[Service], error: Exception
    ) -> tuple[Service | None, Problem]:
        """We are wrong: it is joined without the instances that are to blame; where none is, it stays as it
        is."""

        def join(some: Iterable[tuple[int, Instance]]) -> Service | None:
            self._met.pop(name, None)  # what is remembered may be what we fall over
            held: list[list[Instance]] = [[] for _ in standing]
            for n, instance in some:
                held[n].append(instance)
            rest = [
                replace(service, instances=tuple(own)) for service, own in zip(standing, held, strict=True)
            ]
            return finish(self._join_one(name, rest))

        every = [(n, i) for n, service in enumerate(standing) for i in service.instances]
        blamed = blame(every, join)
        path = standing[0].path if standing else name
        try:
            joined = join(one for n, one in enumerate(every) if n not in blamed)
        except Exception:
            joined = self._joined.setdefault(name, standing[0]) if standing else None
            return joined, fault(path, error)
        return joined, fault(next((every[n][1].path for n in blamed), path), error)

    def _label(self, name: str) -> Service | None:
        service = self._joined.get(name)
        if service is None:
            return None
        label = self._labels[name]
        if service.label == label:
            self._relabelled.pop(name, None)
            return service
        service = replace(service, label=label)
        known = self._catalog.services.get(name)
        service = self._relabelled[name] = known if known is not None and known == service else service
        return service


def _refuse(name: str, path: str) -> Problem:
    service, _, registry = name.rpartition("@")
    what = f"its name is that of what the registry {registry} alone holds of {service}: it is left out"
    return Problem(path, printable(what), "choose a name that does not end in @ and a registry's name")


def _are_same(
    services: Mapping[str, Service], others: Mapping[str, Service], changes: Mapping[str, Service | None]
) -> bool:
    """Whether these are the others, where only `changes` may be other ones."""
    return len(services) == len(others) and all(services.get(n) is s for n, s in changes.items())


def _rest(catalog: Catalog) -> tuple[object, ...]:
    return catalog.serial, catalog.complete, catalog.stale_since


def _offices_of(standing: list[Service]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(office for service in standing for office in service.offices))


def _join(standing: list[Service], offices: tuple[str, ...], instances: tuple[Instance, ...]) -> Service:
    """One service out of several registries. The path is that of the first."""
    first = standing[0]
    return Service(
        first.name,
        first.label,
        first.path,
        next((s.settings for s in standing if s.settings != DEFAULTS), DEFAULTS),
        instances,
        first.note,
        tuple(dict.fromkeys(name for service in standing for name in service.registries)),
        offices,
        zxid=first.zxid,
    )


def _with_offices_once(
    standing: list[Service], offices: tuple[str, ...], instances: tuple[Instance, ...]
) -> tuple[tuple[Instance, ...], tuple[Problem, ...]]:
    """The name of an office leads to one instance: each election has a winner of its own, of which the first
    counts, and who calls itself so where nobody is elected has no part in it. What is to be told of those."""
    elects = {registry: {*one.offices} for one in standing for registry in one.registries}
    holders: dict[str, str] = {}
    for i in (i for service in standing for i in service.instances):
        for tag in elects.get(i.registry, set()).intersection(i.registration.tags):
            holders.setdefault(tag, i.registry)
    once, plain = [], []
    for i in instances:
        tags = i.registration.tags
        lost = [t for t in tags if t in offices and holders.get(t) != i.registry]
        if lost:
            left = tuple(t for t in tags if t not in lost)
            plain += [(t, i.path) for t in lost if t not in elects.get(i.registry, ())]
            i = replace(i, registration=replace(i.registration, tags=left))
        once.append(i)
    return tuple(once), _tell_plain(plain)


def _tell_plain(plain: Sequence[tuple[str, str]]) -> tuple[Problem, ...]:
    if not plain:
        return ()
    (tag, path), instances = plain[0], len({path for _, path in plain})
    what = f"its tag {tag} is left out: another registry elects who has it"
    more = f" (so it is with {instances} instances of the service)" if instances > 1 else ""
    return (Problem(path, what + more, "choose another tag"),)

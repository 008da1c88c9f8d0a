"""All that the registries hold -> one Catalog, and the views that stand beside and behind it.

Rules: pure. A failover registry gives the names of its services and their settings, and no instance: those
are in its views. What is laid over a service makes its name, even where nothing is registered. The cost is
that of what changed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from operator import is_

from zkdns.model import EMPTY, Catalog, Override, Service
from zkdns.persistent import PersistentMap, differing
from zkdns.pipeline.registry import Registry
from zkdns.pipeline.views import Views
from zkdns.registry.labels import to_label
from zkdns.registry.merge import Merger
from zkdns.registry.overrides import node
from zkdns.roots import OVERRIDES
from zkdns.routes import Target
from zkdns.steps import Steps
from zkdns.wall import Wall


class Gatherer:
    """`failover`: the registries whose instances stand behind those of the others; `names`: those of all."""

    def __init__(self, failover: Sequence[str], wall: Wall, names: Collection[str] = ()) -> None:
        self.views = Views(failover, wall)
        self._wall = wall
        self.catalog: Catalog = EMPTY
        """What the registries hold together."""
        self.services: Mapping[str, Service] = {}
        """Its services and their views."""
        self._failover = frozenset(failover)
        self._merger = Merger(registries=names)
        self._told: list[Catalog] = []
        """What was gathered last, of each registry."""
        self._held: dict[str, Mapping[str, Service]] = {}
        self._behind: dict[str, PersistentMap[Service]] = {}
        self._laid: Mapping[str, Override] = PersistentMap()
        self._named: PersistentMap[Service] = PersistentMap()
        self._targets: PersistentMap[tuple[Target, ...]] = PersistentMap()

    def take(self, registries: Collection[Registry], laid: Mapping[str, Override]) -> Steps[None]:
        """The registries that are known now, and what is laid over services."""
        each = [r.shown for r in registries]
        if laid is self._laid and len(each) == len(self._told) and all(map(is_, each, self._told)):
            return  # most of what is heard moves nothing here: nodes of ours, and a reading under way
        self._told = each
        held: dict[str, Mapping[str, Service]] = {}
        for registry, catalog in zip(registries, each, strict=True):
            held[registry.name] = yield from registry.mark_services(catalog.services)
        catalogs = [
            _with(c, held[r.name])
            for r, c in zip(registries, each, strict=True)
            if r.name not in self._failover
        ]
        for registry, catalog in zip(registries, each, strict=True):
            if registry.name in self._failover:
                services = self._without_instances(registry.name, held[registry.name])
                catalogs.append(_with(catalog, services))
        if laid is not self._laid:
            self._lay(laid)
        if self._named:
            catalogs.append(Catalog(self._named, complete=True))
        catalog = yield from self._merger.merge(catalogs)
        self.services = yield from self.views.take(catalog.services, held, self._targets)
        self.catalog = catalog

    def _lay(self, laid: Mapping[str, Override]) -> None:
        moved, old, self._laid = differing(self._laid, laid), self._laid, laid
        came_or_went = [name for name in moved if (name in old) is not (name in laid)]
        self._named = self._named.changed({name: self._name(name, name in laid) for name in came_or_went})
        targets: dict[str, tuple[Target, ...] | None] = {}
        for name in moved:
            targets[name] = None
            with self._wall.around(f"{OVERRIDES}/{name}", "targets"):
                targets[name] = _targets(laid.get(name)) or None
        self._targets = self._targets.changed(targets)

    def _without_instances(self, name: str, services: Mapping[str, Service]) -> Mapping[str, Service]:
        changes = {
            key: replace(service, instances=()) if (service := services.get(key)) is not None else None
            for key in differing(self._held.get(name, {}), services)
        }
        self._held[name] = services
        self._behind[name] = self._behind.get(name, PersistentMap[Service]()).changed(changes)
        return self._behind[name]

    def _name(self, name: str, is_laid: bool) -> Service | None:
        """A service that is there since something is laid over its name."""
        with self._wall.around(f"{OVERRIDES}/{name}", "named"):
            return Service(name, to_label(name), node(name)) if is_laid else None
        return None


def _with(catalog: Catalog, services: Mapping[str, Service]) -> Catalog:
    return catalog if catalog.services is services else replace(catalog, services=services)


def _targets(one: Override | None) -> tuple[Target, ...]:
    """Those of all that is laid over a service, whether it is in force now or later."""
    targets: tuple[Target, ...] = ()
    while one is not None:
        targets = (*targets, *(one.route.targets() if one.route is not None else ()))
        one = one.under
    return targets

"""Several registries' Catalogs -> one, and the labels of its services, settled over all of them.

Rules: pure. By service name, in the order of the registries: the first that names an instance wins, and
the first that has settings for the service. An unchanged service is the same object as in `previous`,
which is what the last call gave.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from zkdns.model import DEFAULTS, Catalog, Instance, Problem, Service
from zkdns.registry.labels import assign_labels, tell_collisions


def merge(catalogs: Sequence[Catalog], previous: Catalog | None = None) -> Catalog:
    """One Catalog of all. `serial` is the largest; `stale_since` the oldest of those that are stale;
    `complete` once all are."""
    before = previous.services if previous is not None else {}
    problems = [problem for catalog in catalogs for problem in catalog.problems]
    services: Mapping[str, Service]
    if len(catalogs) == 1:
        services = catalogs[0].services
    else:
        services = _join([catalog.services for catalog in catalogs], before, problems)
    services = _label(services, before, problems)
    if previous is not None and _same_services(services, before):
        services = before
    told = tuple(problems)
    stale = [c.stale_since for c in catalogs if c.stale_since is not None]
    merged = Catalog(
        services,
        previous.problems if previous is not None and previous.problems == told else told,
        max((c.serial for c in catalogs), default=0),
        all(c.complete for c in catalogs),
        min(stale, default=None),
    )
    if previous is not None and services is before and _rest(merged) == _rest(previous):
        return previous
    return merged


def _rest(catalog: Catalog) -> tuple[object, ...]:
    return catalog.problems, catalog.serial, catalog.complete, catalog.stale_since


def _same_services(these: Mapping[str, Service], those: Mapping[str, Service]) -> bool:
    return these is those or (
        len(these) == len(those) and all(those.get(name) is service for name, service in these.items())
    )


def _join(
    all_services: Sequence[Mapping[str, Service]], before: Mapping[str, Service], problems: list[Problem]
) -> dict[str, Service]:
    joined: dict[str, Service] = {}
    for name in dict.fromkeys(name for services in all_services for name in services):
        standing = [services[name] for services in all_services if name in services]
        joined[name] = standing[0] if len(standing) == 1 else _join_one(standing, before.get(name), problems)
    return joined


def _join_one(standing: list[Service], before: Service | None, problems: list[Problem]) -> Service:
    """One service out of several registries. The path is that of the first."""
    by_id: dict[str, Instance] = {}
    for service in standing:
        for instance in service.instances:
            by_id.setdefault(instance.id, instance)
    settings = next((s.settings for s in standing if s.settings != DEFAULTS), DEFAULTS)
    labels = assign_labels(by_id)
    if any(instance.label != labels[id] for id, instance in by_id.items()):
        collisions = tell_collisions({id: i.path for id, i in by_id.items()}, labels, "id")
        problems += [problem for problem in collisions if problem not in problems]
    known = {i.id: i for i in before.instances} if before is not None else {}
    instances = tuple(_relabel(by_id[id], labels[id], known.get(id)) for id in sorted(by_id))
    first = standing[0]
    offices = tuple(dict.fromkeys(office for service in standing for office in service.offices))
    service = Service(first.name, first.label, first.path, settings, instances, first.note, offices=offices)
    return before if before is not None and before == service else service


def _relabel(instance: Instance, label: str, known: Instance | None) -> Instance:
    if instance.label != label:
        instance = replace(instance, label=label)
    return known if known is not None and known == instance else instance


def _label(
    services: Mapping[str, Service], before: Mapping[str, Service], problems: list[Problem]
) -> Mapping[str, Service]:
    # As they come, labels are those of each name alone (or settled by an earlier merge).
    if len({service.label for service in services.values()}) == len(services):
        return services
    labels = assign_labels(services)
    problems += tell_collisions({name: s.path for name, s in services.items()}, labels, "name")
    other = dict(_relabel_services(services, labels, before))
    return {**services, **other} if other else services


def _relabel_services(
    services: Mapping[str, Service], labels: Mapping[str, str], before: Mapping[str, Service]
) -> Iterator[tuple[str, Service]]:
    for name, service in services.items():
        if service.label != labels[name]:
            known = before.get(name)
            relabelled = replace(service, label=labels[name])
            yield name, known if known is not None and known == relabelled else relabelled

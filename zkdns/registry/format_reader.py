"""Nodes of one format in a layout, as a registry's reader: `/{service}/{id}` and what a URL says else.

Rules: pure. A node that can't be read is an instance in the state `unreadable` and a problem; one that is no
instance (a format's own bookkeeping) is nothing at all. The node of a service may hold its settings: in a
layout of one's own, where it is somebody else's, only what is plainly meant so counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import TypeAlias

from msgspec import Struct

from zkdns.model import (
    DEFAULTS,
    UNSEEN,
    Data,
    Instance,
    Problem,
    Registration,
    Service,
    ServiceSettings,
    fault,
)
from zkdns.order import sort
from zkdns.registry import formats, presets, settings
from zkdns.registry.distinct import Distinct
from zkdns.registry.fields import BadData, bounded, share
from zkdns.registry.labels import to_label
from zkdns.registry.layout import Layout, layout, name_service
from zkdns.registry.reading import Assembled
from zkdns.registry.unread import unread
from zkdns.registry.url import DEFAULT_LAYOUT, JSON, RegistryURL
from zkdns.registry.znodes import Names
from zkdns.steps import SLICE, Steps, walk

_by_id = attrgetter("id")


class Settings(Struct, frozen=True):
    """What a service's own node says."""

    settings: ServiceSettings
    inherits: formats.Inherits | None
    problems: tuple[Problem, ...]


class Told(Struct, frozen=True):
    """A node with problems: the instance that it is all the same, if it is one."""

    instance: Instance | None
    problems: tuple[Problem, ...]


class Kept:
    """A node that a format's own program keeps beside the services."""


KEPT = Kept()

Value: TypeAlias = Settings | Instance | Told | Kept


class FormatReader:
    """The reader of a URL with a format. `label`: what instances are marked with as they are read: of
    thousands it would take a turn of its own later."""

    def __init__(self, url: RegistryURL, label: str = "") -> None:
        self._label = label
        self._format = url.format
        self._parse = _parser(url)
        self._layout = url.layout
        self._service = url.service
        self._is_default = url.layout == DEFAULT_LAYOUT
        self._folders: frozenset[str] = frozenset()
        self._quiet: frozenset[str] = frozenset()
        self._kept: frozenset[str] = frozenset()
        for module in formats.some(url.format) if self._is_default else ():
            self._folders = module.FOLDERS
            self._quiet = module.FOLDERS | {name for name in module.QUIET if not name.endswith("*")}
            self._kept = module.KEPT
        every = [name for module in formats.some(url.format) for name in module.QUIET]
        self._quiet_starts = tuple(name[:-1] for name in every if name.endswith("*"))
        self._settings = _settings_of(url.layout)
        self._settings_at = len(self._settings.segments) if self._settings is not None else -1
        # Below a service a format may have folders of its own: there the last name is the id.
        at = None if self._is_default else url.layout.at("id")
        self._id_at = -1 if at is None else at
        self._distinct = Distinct()
        self.forget = self._distinct.forget

    @property
    def layouts(self) -> Iterable[Layout]:
        deeper = [layout(f"/{{service}}/{folder}/{{id}}") for folder in sorted(self._folders)]
        own = () if self._settings is None else (self._settings,)
        return (*own, self._layout, *deeper)

    def services(self, names: Names) -> Iterable[str]:
        if self._is_default:
            return (self._name(names[0]),) if len(names) == 1 else ()
        # Where no node is the service's own it is there while an instance is.
        holes = (self._layout.folder if self._settings is not None else self._layout).match(names)
        return () if holes is None else (name_service(self._service, holes),)

    def owners(self, names: Names) -> Iterable[str]:
        if self._is_default:
            depth = len(names)
            if depth in (1, 2) or (depth == 3 and names[1] in self._folders):
                return (self._name(names[0]),)
            return ()
        holes = self._layout.match(names)
        if holes is None and self._settings is not None:
            holes = self._settings.match(names)
        return () if holes is None else (name_service(self._service, holes),)

    def read(self, service: str, names: Names, event: Data) -> Value | None:
        if len(names) == self._settings_at:
            return self._read_settings(names, event)
        id = names[self._id_at]
        node = formats.Node(id, event.data)
        if self._is_quiet(id) and not (self._format == "auto" and node.object):
            return None
        if names[0] in self._kept and not formats.claimant(node):
            return KEPT
        try:
            parsed = self._parse(node)
        except BadData as error:
            if event.stat.has_children and settings.is_empty(event.data):
                return Told(None, (_deeper(event.path),))
            return self._unread(id, event, Problem(event.path, error.what, error.cure))
        if parsed is None:
            return None
        registration, left_out = (
            (parsed.registration, parsed.left_out) if isinstance(parsed, formats.Parsed) else (parsed, ())
        )
        registration, beyond = bounded(registration)
        if self._label:
            registration = labelled(registration, self._label)
        stat = event.stat
        instance = Instance(
            id,
            to_label(id),
            event.path,
            registration,
            stat.ctime,
            stat.ephemeral,
            weight=registration.weight,
            owner=stat.owner,
            registry=self._label,
            zxid=stat.mzxid,
        )
        if not (left_out or beyond):
            return instance
        problems = tuple(Problem(event.path, error.what, error.cure) for error in (*left_out, *beyond))
        return Told(instance, problems)

    def refuse(self, service: str, names: Names, problem: Problem) -> Value:
        if len(names) == self._settings_at or self._is_quiet(id := names[self._id_at]):
            return Told(None, (problem,))
        return self._unread(id, None, problem)

    def assemble(
        self, name: str, path: str, values: Sequence[Value], before: Service | None
    ) -> Steps[Assembled]:
        chosen: ServiceSettings = DEFAULTS
        is_kept = False
        inherits: formats.Inherits | None = None
        problems: list[Problem] = []
        instances: list[Instance] = []
        ttls: list[int] = []

        def take(some: Sequence[Value]) -> None:
            nonlocal chosen, is_kept, inherits
            for value in some:
                if isinstance(value, Instance):
                    instances.append(value)
                    continue
                if isinstance(value, Kept):
                    is_kept = True
                    continue
                problems.extend(value.problems)
                if isinstance(value, Settings):
                    chosen, inherits = value.settings, value.inherits
                elif value.instance is not None:
                    instances.append(value.instance)

        def complete(some: Sequence[Instance]) -> None:
            for i in some:
                try:
                    registration, beyond = bounded(complete_one(i.registration))
                    whole.append(replace(i, registration=registration))
                    problems.extend([Problem(i.path, error.what, error.cure) for error in beyond])
                except Exception as error:  # ours: it inherits nothing, and the others do
                    problems.append(fault(i.path, error))
                    whole.append(i)

        def note_ttls(some: Sequence[Instance]) -> None:
            ttls.extend([ttl for i in some if (ttl := i.registration.ttl) is not None])

        yield from walk(values, take)
        if is_kept and not (instances or problems):
            return None, ()
        if inherits is not None:
            complete_one = inherits.complete
            whole: list[Instance] = []
            yield from walk(instances, complete)
            instances = whole
        yield from walk(instances, note_ttls)
        if ttls and chosen.ttl is None:
            chosen = replace(chosen, ttl=min(ttls))
        if (yield from sort(instances, _by_id)):
            yield from sort(instances, attrgetter("id", "path"))
        known = before.instances if before else ()
        distinct = yield from self._distinct.make(name, instances, known, problems)
        yield from sort(problems, attrgetter("path"))
        if len(distinct) > SLICE:
            yield
        return renew(Service(name, to_label(name), path, chosen, distinct), before), tuple(problems)

    def _name(self, name: str) -> str:
        return name if self._service == "{service}" else name_service(self._service, {"service": name})

    def _is_quiet(self, name: str) -> bool:
        return name in self._quiet or name.startswith(self._quiet_starts)

    def _read_settings(self, names: Names, event: Data) -> Settings | None:
        node = formats.Node(names[-1] if names else "", event.data)
        read, wrong, inherits = settings.read_node(self._format, node, event.stat.mtime, event.stat.mzxid)
        if self._is_default:
            if inherits is None and (format := formats.claimant(node)):
                path = event.path
                what = f"its data is that of an instance ({format}), which stands one level too high"
                cure = f"register it as {path}/ID; the data of {path} itself is for the service's settings"
                return Settings(DEFAULTS, None, (Problem(path, what, cure),))
            if names and names[0] in self._kept and not read.given:
                return None
        elif inherits is None and not read.given:
            return None  # somebody else's
        if read == DEFAULTS and not wrong and inherits is None:
            return None
        problems = tuple(Problem(event.path, error.what, error.cure) for error in wrong)
        return Settings(read, inherits, problems)

    @staticmethod
    def _unread(id: str, event: Data | None, problem: Problem) -> Told:
        stat = event.stat if event is not None else UNSEEN
        return Told(unread(id, problem.path, stat, problem.what), (problem,))


def labelled(registration: Registration, label: str) -> Registration:
    """With the name of its registry among its tags."""
    tags = registration.tags
    return registration if label in tags else replace(registration, tags=share((*tags, label)))


def _deeper(path: str) -> Problem:
    """What to tell of an empty node with others below it."""
    parent, _, name = path.rpartition("/")
    what = "it has no data, and other nodes stand below it: it is no instance"
    cure = (
        f"if instances stand there, read them by a registry of their own, whose root is {parent} "
        f"(then {name} is a service), or which has a layout= that tells where they stand"
    )
    return Problem(path, what, cure)


def _parser(url: RegistryURL) -> Callable[[formats.Node], Registration | formats.Parsed | None]:
    if url.format == JSON and url.fields is not None:
        return url.fields.parse
    for module in formats.some(url.format):
        return module.parse
    preset = presets.named(url.format)
    return lambda node: presets.parse(preset, node)


def _settings_of(where: Layout) -> Layout | None:
    """Where a service's own node stands: the one that names it, or the folder of its instances. None where
    each instance has a node of its own that names it."""
    if not where.by_service:
        return where.folder
    texts = where.text.split("/")
    named = texts[: texts.index("{service}") + 1]
    return None if "{id}" in named else layout("/".join(named))


def renew(service: Service, before: Service | None) -> Service:
    """The service; `before` where that is equal, else with what of it is."""
    if before is None:
        return service
    if before.instances == service.instances:
        service = replace(service, instances=before.instances)
    if before.name == service.name and before.label != service.label:
        service = replace(service, label=before.label)
    return before if before == service else service

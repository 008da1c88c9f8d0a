"""What the registries last held, on disk: read at a start that can't reach them, written as they change.

Rules: one file a registry, so that one that is away at a restart is answered from it while the others are
live. Writing is done in a thread and never holds up an answer; a full disk is a line in the log.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from msgspec import Struct

from zkdns.model import Catalog, ConfigError, Instance, Problem, Service
from zkdns.pipeline.inputs import Remembered
from zkdns.pipeline.pipeline import Pipeline
from zkdns.pipeline.registry import Registry
from zkdns.registry import state
from zkdns.registry.state import InstanceOverrides
from zkdns.registry.url import RegistryURL
from zkdns.server.alone import Alone

log = logging.getLogger("zkdns.state")

EVERY = 5.0
"""Seconds between two writes."""

AT_A_TIME = 512
"""Services, and instances, that are let go of together: half a millisecond."""


class Kept(Struct, frozen=True):
    """What is to be on disk of one registry."""

    catalog: Catalog
    overrides: InstanceOverrides
    serial: int
    topology: bytes | None

    def is_on_disk(self, saved: Kept | None) -> bool:
        return (
            saved is not None
            and saved.catalog is self.catalog
            and (saved.overrides, saved.topology) == (self.overrides, self.topology)
        )


class StateDirectory:
    """The state directory of one server, made where it is missing; does nothing where none is set."""

    def __init__(self, directory: str, pipeline: Pipeline) -> None:
        self._directory = Path(directory) if directory else None
        try:
            if self._directory is not None:
                self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = "no directory" if isinstance(error, FileExistsError) else error.strerror or str(error)
            raise ConfigError(f"--state {directory}", why) from None
        self._pipeline = pipeline
        self._registries = list(pipeline.registries.values())
        self._saved: dict[str, Kept] = {}
        self._moved: set[str] = set()
        """Registries that were found under another name than theirs is now."""
        self._failed: set[str] = set()
        """Registries whose last write failed: they are written again, whatever they hold by then."""
        self._saved_at = float("-inf")
        self._writing: asyncio.Task[None] | None = None
        self._alone = Alone(self._directory) if self._directory is not None else None
        self._looked_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self.problem: Problem | None = None
        """Why it can't be read or written."""
        self.errors = 0
        self._faults: dict[str, list[Problem]] = {}
        """By registry, what can't be written for an error of ours."""
        self.shared: Problem | None = None
        """That another server keeps its state there as well."""

    @property
    def problems(self) -> list[Problem]:
        """All that is wrong with what is kept."""
        faults = [one for faults in self._faults.values() for one in faults]
        return [*filter(None, (self.problem, self.shared)), *faults]

    async def load(self) -> list[Remembered]:
        """What the registries that were not read yet held last; its age is the time it was known."""
        directory = self._directory
        if directory is None:
            return []
        unread = [r for r in self._registries if not r.is_whole]
        loaded = [await asyncio.to_thread(self._load, directory, r) for r in unread]
        by_name = {one.registry: one for one in loaded if one is not None}
        # Only now, for its own name may be another's that was loaded meanwhile: they may have changed places.
        for registry in (r for r in unread if r.name in self._moved):
            await asyncio.to_thread(self._take_along, directory, registry, by_name[registry.name])
        return list(by_name.values())

    def _load(self, directory: Path, registry: Registry) -> Remembered | None:
        own = self._file_of(registry)
        name = _newest_of(directory, registry.url) or own
        loaded = state.load(directory, name)
        self.problem = self.problem or loaded.problem
        if loaded.problem is not None:
            log.warning("%s: %s", loaded.problem.path, loaded.problem.what)
        if loaded.catalog is None:
            return None
        if not is_same(loaded.source, registry.url):
            log.warning("%s is of another registry (%s): left alone", directory / name, loaded.source)
            return None
        known_at = loaded.catalog.stale_since or (directory / name).stat().st_mtime
        known_at = min(known_at, time.time())  # a clock that was ahead then makes nothing young
        catalog = replace(loaded.catalog, stale_since=known_at)
        if name != own:
            log.info("%s is of what is named %s now", directory / name, registry.name)
            self._moved.add(registry.name)
            catalog = _unmarked(catalog)
        return Remembered(registry.name, catalog, loaded.overrides, loaded.topology)

    def _take_along(self, directory: Path, registry: Registry, remembered: Remembered) -> None:
        """What was found under another name is written under its own: who has that other name now is
        written there as soon as it is read, and this one may be away for longer."""
        try:
            state.save(
                directory, remembered.catalog, remembered.overrides,
                name=self._file_of(registry), source=registry.url.text, topology=remembered.topology,
            )  # fmt: skip
        except OSError as error:
            self._fail(directory, error.strerror or str(error))

    def _file_of(self, registry: Registry) -> str:
        return f"catalog-{registry.name}.zkdns" if registry.label else state.NAME

    def _due(self) -> Iterator[tuple[Registry, Kept]]:
        if self._pipeline.is_loading:  # nothing is shown yet, and what is on disk may be all that there is
            return
        for registry in self._registries:
            if registry.is_whole and (registry.name in self._saved or not registry.backlog):
                overrides = registry.overrides.by_instance()
                serial = self._pipeline.registries.serial_of(registry)
                kept = Kept(registry.shown, overrides, serial, registry.topology.nodes().get(()))
                if registry.name in self._failed or not kept.is_on_disk(self._saved.get(registry.name)):
                    yield registry, kept

    def keep(self) -> None:
        """Write what is not on disk yet, soon. Called every second or so."""
        if self._directory is None or self._writing is not None:
            return
        if time.monotonic() - self._saved_at < EVERY:
            return
        if due := list(self._due()):
            self._writing = asyncio.create_task(self._write(self._directory, due), name="state")

    def look(self) -> None:
        """Find out, soon, what became of what is on disk. Called every second or so."""
        if self._directory is None or self._looking is not None:
            return
        if time.monotonic() - self._looked_at >= EVERY:
            self._looking = asyncio.create_task(self._look(self._directory), name="state looked at")

    async def _look(self, directory: Path) -> None:
        self._looked_at = time.monotonic()
        paths = {r.name: directory / self._file_of(r) for r in self._registries if r.name in self._saved}
        try:
            # Somebody may have removed them: then nothing that changes would have them written again.
            self._failed |= await asyncio.to_thread(_missing, paths)
            if self._alone is not None:
                self._share(directory, is_alone=await asyncio.to_thread(self._alone.claim))
        except OSError as error:
            self._fail(directory, error.strerror or str(error))
        finally:
            self._looking = None

    def _share(self, directory: Path, *, is_alone: bool) -> None:
        if is_alone:
            self.shared = None
        elif self.shared is None:
            what = "another server keeps its state here: one overwrites the other's, the history is of both"
            self.shared = Problem(str(directory), what, "give each server a --state directory of its own")
            log.warning("%s: %s; %s", self.shared.path, self.shared.what, self.shared.cure)

    async def _write(self, directory: Path, due: list[tuple[Registry, Kept]]) -> None:
        self._saved_at = time.monotonic()
        self._failed |= {registry.name for registry, _ in due}
        try:
            for registry, kept in due:
                catalog, faults = replace(kept.catalog, serial=kept.serial), list[Problem]()
                notice = await asyncio.to_thread(
                    state.save, directory, catalog, kept.overrides,
                    name=self._file_of(registry), source=registry.url.text, topology=kept.topology,
                    faults=faults,
                )  # fmt: skip
                self._tell_faults(registry.name, faults)
                if notice:
                    log.warning("%s", notice)
                before = [self._saved[registry.name]] if registry.name in self._saved else []
                self._saved[registry.name] = kept
                self._failed.discard(registry.name)
                await asyncio.to_thread(_let_go, before)
        except OSError as error:
            self._fail(directory, error.strerror or str(error))
        except Exception:
            log.exception("the state can't be written")
        else:
            if self.problem is not None:
                log.info("%s: the state is written again", directory)
            self.problem = None
        finally:
            self._writing = None

    def _tell_faults(self, registry: str, faults: list[Problem]) -> None:
        for new in (one for one in faults if one not in self._faults.get(registry, ())):
            self.errors += 1
            log.error("%s is left out of the state: %s", new.path, new.what)
        self._faults[registry] = faults

    def _fail(self, directory: Path, why: str) -> None:
        problem = Problem(
            str(directory), f"the state can't be written: {why}", "make room, or mend the rights"
        )
        if problem != self.problem:
            log.warning("%s: %s; answers go on", problem.path, problem.what)
        self.problem = problem

    async def stop(self) -> None:
        """Write what is not on disk yet."""
        if self._writing is not None:
            await self._writing
        if self._looking is not None:
            await self._looking
        self._saved_at = float("-inf")
        self.keep()
        if self._writing is not None:
            await self._writing
        if self._alone is not None:
            self._alone.release()


def _newest_of(directory: Path, url: RegistryURL) -> str:
    """The newest file that is of this registry, whatever it is named by; "" for none. A registry's name goes
    by its position and by the flags, and those change: what it held is its own all the same."""
    files = (path for path in directory.glob("catalog*.zkdns") if path.is_file())
    of_it = [path for path in files if is_same(state.source_of(path), url)]
    return max(of_it, key=lambda path: path.stat().st_mtime).name if of_it else ""


def _unmarked(catalog: Catalog) -> Catalog:
    """Without the name that the registry had when it was kept, which is a tag of all that it held."""
    services = {}
    for name, service in catalog.services.items():
        instances = tuple(map(_unmark, service.instances))
        services[name] = replace(service, instances=instances)
    return replace(catalog, services=services)


def _unmark(i: Instance) -> Instance:
    if not i.registry:
        return i
    tags = tuple(tag for tag in i.registration.tags if tag != i.registry)
    return replace(i, registration=replace(i.registration, tags=tags), registry="")


def _missing(paths: Mapping[str, Path]) -> set[str]:
    return {name for name, path in paths.items() if not path.exists()}


def _let_go(saved: list[Kept]) -> None:
    """Drop what was on disk before, some at a time; nobody else may hold it. Where all of it has changed
    since, these are the last references: to free 20,000 services at once keeps every thread from running for
    15 ms."""
    services: list[Service] = []
    while saved:
        services += saved.pop().catalog.services.values()
    instances = [i for service in services for i in service.instances]
    for held in (services, instances):  # those first that hold the others
        while held:
            del held[-AT_A_TIME:]


def is_same(source: str, url: RegistryURL) -> bool:
    """Whether what was saved of `source` may stand for the registry at `url`: the hosts of an ensemble come
    and go, and its services stay where they are."""
    was, now = (text.removeprefix("zk://").partition("/") for text in (source, url.text))
    hosts = set(was[0].split(",")) & set(now[0].split(","))
    return bool(hosts) and was[2].rstrip("/") == now[2].rstrip("/")

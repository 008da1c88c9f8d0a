"""The file registry: a TOML file of services and instances -> a Catalog, read again when it changes.

Rules: `parse` is pure. A bad instance or setting is a Problem and costs only itself; a file that can't
be read leaves the last good one in force, and says so in a Problem. Only the first reading raises.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from zkdns import toml
from zkdns.files import MAX_UNSETTLED, MIB, SETTLE, Mark, mark_of, read_bounded
from zkdns.model import Catalog, ConfigError, Instance, Problem, Service, Stat, fault
from zkdns.persistent import PersistentMap
from zkdns.printable import printable
from zkdns.registry.distinct import Distinct
from zkdns.registry.fields import BadData, bounded, show
from zkdns.registry.formats import native
from zkdns.registry.labels import to_label
from zkdns.registry.settings import read_table
from zkdns.registry.unread import unread
from zkdns.steps import finish

log = logging.getLogger("zkdns.registry.file")

POLL = 1.0
"""Seconds between two looks at the file."""

EXAMPLE = 'write [[web.instances]] with id = "a" and address = "10.0.0.5"'


def parse(text: bytes, changed_at: float, path: str, previous: Catalog | None = None) -> Catalog:
    """The Catalog in a file's text. `path` is how Problems call the file; an instance that stood in
    `previous` keeps its `since`. ConfigError, with the line, for what is no TOML."""
    try:
        tables = toml.parse(text)
    except toml.NotTOML as error:
        raise ConfigError(str(path), str(error)) from None
    problems: list[Problem] = []
    services: dict[str, Service] = {}
    before = previous.services if previous is not None else {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            what = printable(f"{show(table)} stands outside of a service's table")
            shown = show(name).strip('"')
            cure = printable(f"write [{shown}] for a service; {EXAMPLE}")
            problems.append(Problem(f"{path}: {name}", what, cure))
        elif not name or "/" in name:
            what = printable(f"the service's name is {show(name)}")
            problems.append(Problem(f"{path}: {name}", what, "give it a name without a slash"))
        else:
            try:
                services[name] = _read_service(name, table, changed_at, path, before.get(name), problems)
            except Exception as error:  # ours: it costs this service, and the others are served
                problems.append(fault(f"{path}: {name}", error))
                if name in before:
                    services[name] = before[name]
    known = before if isinstance(before, PersistentMap) else PersistentMap(before)
    standing = known.changed({**dict.fromkeys(before), **services})
    return Catalog(standing, tuple(problems), int(changed_at) & 0xFFFFFFFF, complete=True)


def _read_service(
    name: str,
    table: Mapping[str, Any],
    changed_at: float,
    path: str,
    before: Service | None,
    problems: list[Problem],
) -> Service:
    place = f"{path}: {name}"
    settings, wrong = read_table({k: v for k, v in table.items() if k != "instances"}, changed_at)
    problems += [Problem(place, error.what, error.cure) for error in wrong]
    rows = table.get("instances", [])
    if not isinstance(rows, list):
        what = printable(f"instances is {show(rows)}, not an array of tables")
        problems.append(Problem(place, what, EXAMPLE))
        rows = []
    known = {i.id: i for i in before.instances} if before is not None else {}
    by_id: dict[str, Instance] = {}
    for at, row in enumerate(rows):
        try:
            id = _read_id(row, by_id)
        except BadData as error:
            problems.append(Problem(f"{place}/instances[{at}]", error.what, error.cure))
            continue
        since = known[id].since if id in known else changed_at
        try:
            registration, left_out = bounded(native.from_table(row))
        except BadData as error:
            problems.append(Problem(f"{place}/{id}", error.what, error.cure))
            by_id[id] = unread(id, f"{place}/{id}", Stat(0, 0, since, False), error.what)
            continue
        except Exception as error:  # ours: it costs this instance
            problems.append(fault(f"{place}/{id}", error))
            by_id[id] = unread(id, f"{place}/{id}", Stat(0, 0, since, False), problems[-1].what)
            continue
        problems += [Problem(f"{place}/{id}", error.what, error.cure) for error in left_out]
        by_id[id] = Instance(
            id, to_label(id), f"{place}/{id}", registration, since, False, weight=registration.weight
        )
    every = sorted(by_id.values(), key=attrgetter("id"))
    instances = finish(Distinct().make(name, every, [*known.values()], problems))
    instances = tuple(known[i.id] if known.get(i.id) == i else i for i in instances)
    service = Service(name, to_label(name), place, settings, instances)
    return before if before is not None and before == service else service


def _read_id(row: object, by_id: Mapping[str, Instance]) -> str:
    if not isinstance(row, dict):
        raise BadData(f"it is {show(row)}, not a table", EXAMPLE)
    id = row.get("id")
    if id is None:
        raise BadData("it has no id", 'add id = "a", unique within the service')
    if not isinstance(id, str) or not id or "/" in id:
        raise BadData(f"id is {show(id)}, not a text without slashes", "set id to a text without slashes")
    if id in by_id:
        raise BadData(f"id {show(id)} stands there twice", "give each instance an id of its own")
    return id


MAX_BYTES = 64 * MIB


class FileSource:
    """Follows one file on the asyncio loop. `changed` is called after `catalog` was replaced."""

    def __init__(self, path: Path, changed: Callable[[], None], poll: float = POLL) -> None:
        self.path = path
        self.catalog = Catalog()
        self._good = self.catalog
        self._changed = changed
        self._poll = poll
        self._mark: Mark | None = None
        self._unsettled = 0
        """Looks in a row that found it being written."""
        self._task: asyncio.Task[None] | None = None

    def load(self) -> Catalog:
        """Read it for the first time. ConfigError where it can't be read."""
        try:
            text, self._mark = read_file(self.path)
        except OSError as error:
            raise ConfigError(str(self.path), _why(error)) from None
        self._good = self.catalog = parse(text, self._mark[0] / 1e9, str(self.path))
        return self.catalog

    def start(self) -> None:
        """Follow it from now on; call `load` before."""
        self._task = asyncio.get_running_loop().create_task(self._follow(), name=f"file {self.path}")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._poll)
            try:
                await self.look()
            except Exception:
                log.exception("following %s goes on after an error of its own", self.path)

    async def look(self) -> None:
        """Look at the file once, and take what it says if it changed."""
        # In threads: a file on a dead network share must not keep the loop from answering.
        try:
            mark = await asyncio.to_thread(_mark, self.path)
            if mark == self._mark:
                return
            # A writer that truncates first leaves an empty, valid file for a moment.
            await asyncio.sleep(min(SETTLE, self._poll))
            if await asyncio.to_thread(_mark, self.path) != mark:
                self._meet_writer()
                return
            text, mark = await asyncio.to_thread(read_file, self.path)
            if await asyncio.to_thread(_mark, self.path) != mark:  # a part of it may be all that was read
                self._meet_writer()
                return
            self._unsettled = 0
            read = await asyncio.to_thread(parse, text, mark[0] / 1e9, str(self.path), self._good)
        except OSError as error:
            self._mark = None
            self._keep(_why(error), "put the file back, readable for the server")
        except ConfigError as error:
            self._mark = mark
            self._keep(error.why, "mend the file; what it said before is in force")
        else:
            self._mark = mark
            self._good = read
            self._show(read)

    def _meet_writer(self) -> None:
        """It is not whole yet: at another look it is, or this is told."""
        self._unsettled += 1
        if self._unsettled >= MAX_UNSETTLED:
            self._mark = None
            self._keep("is written to all the time", "write it aside, and move it into its place")

    def _keep(self, what: str, cure: str) -> None:
        problem = Problem(str(self.path), what, cure)
        if problem not in self.catalog.problems:
            log.warning("%s: %s; the last good one stays in force", self.path, what)
        self._show(replace(self._good, problems=(problem, *self._good.problems)))

    def _show(self, catalog: Catalog) -> None:
        old, self.catalog = self.catalog, catalog
        # What did not change is the same object; to compare all that did would take the loop's time.
        if catalog.services is not old.services or _rest(catalog) != _rest(old):
            self._changed()


def _rest(catalog: Catalog) -> tuple[object, ...]:
    return catalog.problems, catalog.serial, catalog.stale_since


def _why(error: OSError) -> str:
    return f"can't be read: {error.strerror or error}"


def _mark(path: Path) -> Mark:
    return mark_of(path.stat())


def read_file(path: Path) -> tuple[bytes, Mark]:
    """The text and the mark that goes with it."""
    return read_bounded(path, MAX_BYTES)

"""Keeps what changed in the answers, and tells of any moment in its reach.

Rules: lives in the loop; what is read of files is read in threads of whoever asks. Without a state directory
the newest changes are kept in memory.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Final

from msgspec import Struct

from zkdns.config import Settings
from zkdns.model import Change, Problem, Service
from zkdns.pipeline import journal, journal_reading
from zkdns.pipeline.changes import UNKNOWN, Known
from zkdns.pipeline.journal import History, Query, Record, World, moment_of, service_of
from zkdns.pipeline.journal_files import JournalFiles
from zkdns.pipeline.journal_memory import MemoryJournal
from zkdns.pipeline.journal_resume import resume
from zkdns.pipeline.journal_undated import FIRST, is_first_set
from zkdns.pipeline.outages import Outages
from zkdns.pipeline.wall_clock import WallClock
from zkdns.steps import Steps
from zkdns.topology import NO_TOPOLOGY, Topology
from zkdns.turn import go_on

log = logging.getLogger("zkdns.journal")

MAX_DAMAGED: Final = 16
"""Damaged files that are told: the newest, which stay longest."""


class _Start(Struct):
    """Of a server that has a journal already. `changes`: what is read until it is ready. `services`: as they
    stand then. `later`: what came since."""

    changes: list[Change] = []
    services: dict[str, Service] | None = None
    later: list[tuple[float, Record]] = []


class Recorder:
    """`services`: those that are answered now, by name. `topology`: where networks stand now. `is_ready`:
    whether they are all that is registered. `within`: registries that are within reach. `known`: what is
    known of causes now, and the newest transaction."""

    def __init__(
        self,
        settings: Settings,
        services: Mapping[str, Service],
        topology: Callable[[], Topology] = lambda: NO_TOPOLOGY,
        is_ready: Callable[[], bool] = lambda: True,
        within: Callable[[], Collection[str]] = tuple,
        *,
        known: Callable[[], Known] = lambda: (UNKNOWN, 0),
    ) -> None:
        self._services = services
        self._is_ready = is_ready
        self._within = within
        self._known = known
        self._topology = topology
        self._told: Topology | None = None
        self.outages = Outages(services)
        self._shells: dict[str, Service] = {}
        self._memory: MemoryJournal | None = None
        self._taken_at = float("-inf")
        self._unkept: deque[Steps[None]] = deque()
        """What is not kept yet, or not spelled: of a service of thousands all may change at once."""
        self._clock = WallClock(time.time, time.monotonic)
        self._writing = asyncio.Lock()
        self._files: JournalFiles | None = None
        self._directory = Path(settings.state) if settings.state else None
        if self._directory is not None:
            self._files = JournalFiles(
                self._directory, lambda: services, settings.journal_days, settings.journal_mb,
                topology=topology,
            )  # fmt: skip
        goes_on = self._directory is not None and bool(journal_reading.segments(self._directory))
        self._start = _Start() if goes_on else None
        self._damaged: dict[Path, str] = {}
        """Of what was there at the start, the files with something that can't be read, and what that is."""

    @property
    def problems(self) -> list[Problem]:
        """What is wrong with what is kept."""
        problems = [_tell_damage(path, what) for path, what in self._damaged.items() if path.exists()]
        if self._files is not None and self._files.problem is not None:
            problems.append(self._files.problem)
        return problems

    @property
    def left_out(self) -> int:
        """Changes that went before those of others, since the server began."""
        kept = self._files or self._memory
        return kept.left_out if kept is not None else 0

    def take(self, changes: Sequence[Change]) -> None:
        """These are in the answers now."""
        self.outages.take(changes)
        now = self._moment_of(changes)
        if self._start is not None and not self._has_begun(self._start, changes):
            return
        if self._files is None and self._memory is None:
            # What is there at the start is what all else rests upon, and is told as well: it begins with
            # the first change, which is older than this moment.
            self._memory = MemoryJournal({}, min(now, min(map(moment_of, changes), default=now)))
        shells = self._moved({name for name, _ in groupby(changes, service_of) if name})
        moved = self._moved_topology()
        record = journal.gather(changes, shells, moved)
        if self._start is not None:
            self._start.later.append((now, record))
        elif self._files is not None:
            self._keep(self._files.steps(now, record))
        elif self._memory is not None:
            # In memory a flood costs no more than the instances that are there anyway.
            self._keep(self._memory.steps(now, Record(tuple(changes), shells, moved)))

    def _moment_of(self, changes: Sequence[Change]) -> float:
        """When all stood as they say: at the time that is told of them, and not when we are told, which is
        some milliseconds later. Never before what was taken before them."""
        now = time.time()
        self._taken_at = min(now, max(self._taken_at, changes[0].at if changes else now))
        return self._taken_at

    def begin(self) -> None:
        """What was taken so far is the start, where that is over."""
        if self._start is not None:
            self._has_begun(self._start, ())

    def _keep(self, steps: Steps[None]) -> None:
        """Do that with what is kept, behind what waits for it."""
        self._unkept.append(steps)
        if len(self._unkept) == 1:
            self._keep_on()

    def _keep_on(self) -> None:
        """Keep what waits: the next step of it now, and the rest behind what comes meanwhile."""
        steps = self._unkept.popleft()
        try:
            next(steps)
            self._unkept.appendleft(steps)
        except StopIteration:
            pass
        finally:
            if self._unkept:
                go_on(asyncio.get_running_loop(), self._keep_on)

    async def _catch_up(self) -> None:
        """Until all is kept that waits now."""
        if self._unkept:
            done = asyncio.get_running_loop().create_future()
            self._keep(_tell(done))
            await done

    def _has_begun(self, start: _Start, changes: Sequence[Change]) -> bool:
        """Whether these come after the start; else they are kept until it is over."""
        if start.services is not None:
            return True
        start.changes += changes
        if self._is_ready():
            start.services = dict(self._services)
            self._moved(set(start.services))
        return False

    async def _go_on(self, start: _Start, files: JournalFiles, directory: Path) -> None:
        """What has changed since the last end is told, in place of all that is read at the start."""
        now = time.time()
        at = min(now, min(map(moment_of, start.changes), default=now))
        after, within, known = start.services or {}, self._within(), self._known()

        def compare() -> tuple[dict[str, Service], set[str], Record]:
            try:
                # By a clock that is not set yet nobody can say when: it stood so at the end.
                world = journal_reading.read_world(directory, at if at >= FIRST else float("inf"))
            except journal.OutOfReach:
                world = World()
            before = world.services()
            shells: dict[str, Service | None] = {
                name: shell
                for name, shell in ((name, replace(one, instances=())) for name, one in after.items())
                if name not in before or shell != replace(before[name], instances=())
            }
            shells |= dict.fromkeys(before.keys() - after.keys())
            came = resume(before, after, start.changes, at, world.away, within, known=known)
            return before, world.away, journal.gather(came, shells)

        before, away, record = await asyncio.to_thread(compare)
        topology = self._moved_topology()
        files.begin(at, before, away)
        if record.changes or record.shells or topology is not None:
            start.later.insert(0, (at, replace(record, topology=topology)))
        for moment, later in start.later:  # and what comes meanwhile
            for _ in files.steps(moment, later):
                await asyncio.sleep(0)
        self._start = None

    async def _look_for_damage(self, directory: Path) -> None:
        with suppress(OSError):  # who asks for the history is told
            damaged = await asyncio.to_thread(journal_reading.find_damage, directory)
            newest = [*damaged.items()][-MAX_DAMAGED:]
            self._damaged = {directory / name: what for name, what in newest}
        for problem in self.problems:
            log.warning("%s: %s", problem.path, problem.what)

    def _moved_topology(self) -> Topology | None:
        topology = self._topology()
        moved = topology if topology != self._told else None
        self._told = topology
        return moved

    def _moved(self, names: set[str]) -> dict[str, Service | None]:
        """What has changed about the services themselves."""
        moved: dict[str, Service | None] = {}
        for name in names:
            service = self._services.get(name)
            if service is None:
                if self._shells.pop(name, None) is not None:
                    moved[name] = None
                continue
            shell = replace(service, instances=())
            if self._shells.get(name) != shell:
                self._shells[name] = moved[name] = shell
        return moved

    async def write(self) -> None:
        """Put on disk what is not there yet. Called every second, and before the journal is read; never
        raises. Whoever is cancelled meanwhile leaves it to its end: no other may go on with what a thread
        writes."""
        await asyncio.shield(self._write_in_turn())

    async def _write_in_turn(self) -> None:
        async with self._writing:
            directory = await self._write()
        if directory is not None:
            await self._look_for_damage(directory)  # it reads all of the journal: nothing waits for it

    async def _write(self) -> Path | None:
        """Where that was the first time, the directory."""
        start, files, directory = self._start, self._files, self._directory
        if start is not None and files is not None and directory is not None:
            self._has_begun(start, ())
            if start.services is None:
                return None
            await self._go_on(start, files, directory)
            await files.write()
            return directory
        await self._catch_up()
        if files is not None:
            await files.write()
        elif self._memory is not None:
            now, by = self._clock.look()
            if is_first_set(now, by):
                self._keep(self._memory.date(by))
        return None

    async def close(self) -> None:
        if self._files is not None:
            async with self._writing:
                await self._catch_up()
                await self._files.close()

    def history(self, query: Query) -> Callable[[], History]:
        """Reads the changes that are asked for; may be called in a thread. OSError."""
        directory, memory = self._directory, self._memory
        if directory is not None:
            return lambda: journal_reading.read_changes(directory, query)
        if memory is None:
            return History
        return memory.history(query)

    def world_at(self, moment: float) -> Callable[[], World]:
        """Reads how all stood; may be called in a thread. OutOfReach, OSError."""
        directory, memory = self._directory, self._memory
        if directory is not None:
            return lambda: journal_reading.read_world(directory, moment)
        if memory is None:
            raise journal.OutOfReach("nothing has changed yet since the server began")
        return memory.at(moment)


def _tell(done: asyncio.Future[None]) -> Steps[None]:
    """That all is kept which waited before it."""
    if not done.done():
        done.set_result(None)
    yield from ()


def _tell_damage(path: Path, what: str) -> Problem:
    return Problem(str(path), what, "what it told is missing in the history; the row ends with the file")

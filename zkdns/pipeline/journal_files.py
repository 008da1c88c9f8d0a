"""The journal on disk: segments in the state directory, appended to once a second, the oldest first out.

Rules: writing is done in a thread and never holds up an answer. A full disk costs the journal, not the
answers, and is a problem row. A segment is never appended to by another process than the one that began it:
a torn end is an end.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from zkdns.files import MIB, create_aside, read_bounded, sync_directory
from zkdns.model import Change, Problem, Service
from zkdns.pipeline import journal
from zkdns.pipeline.journal import History, Query, Record, World
from zkdns.topology import NO_TOPOLOGY, Topology

log = logging.getLogger("zkdns.journal")

PREFIX, SUFFIX = "journal-", ".zkdns"
EVERY = 1.0
"""Seconds between two writings, each of them synced: what a power cut may cost."""
MAX_SEGMENT_SECONDS = 86_400.0
MIN_SEGMENT_BYTES = MIB
SNAPSHOT_EVERY = 60.0
"""Seconds between two snapshots at least, however much changes."""
FILLED_SECONDS = 600.0
"""In which snapshots that follow floods would fill the journal at the earliest, were there no end of them."""
GAP_LEAST = 1.0
RETRY_EVERY = 5.0
MAX_SEGMENT_BYTES = 1024 * MIB
MAX_WAITING_BYTES = 16 * MIB
"""What waits to be written at most; beyond it, records are left out and counted."""


class JournalFiles:
    """`services`: those that are served now, for snapshots. `days`, `megabytes`: what is kept at most."""

    def __init__(
        self,
        directory: Path,
        services: Callable[[], Mapping[str, Service]],
        days: float,
        megabytes: float,
        clock: Callable[[], float] = time.time,
        topology: Callable[[], Topology] = lambda: NO_TOPOLOGY,
    ) -> None:
        self.problem: Problem | None = None
        self.left_out = 0
        self._directory = directory
        self._services = services
        self._days = days
        self._bytes = int(megabytes * MIB)
        self._clock = clock
        self._topology = topology
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._unwritten = b""
        """Of what is being written, what a reader does not have yet."""
        self._file: int | None = None
        self._began_at = self._again_at = float("-inf")
        self._snapshot_bytes = 0
        self._written_bytes = 0
        self._gap = False
        self._first_at: float | None = None
        """When the first record came: there the first segment begins."""
        self._before: Mapping[str, Service] = {}
        """What stood before it."""
        self._writing = asyncio.Lock()

    def begin(self, at: float, before: Mapping[str, Service]) -> None:
        """The first record will be of this moment; these services stood before it."""
        self._first_at, self._before = at, before

    def add(self, at: float, record: Record) -> None:
        """To be written soon."""
        if self._first_at is None:
            self._first_at = at
        if self._waiting_bytes > MAX_WAITING_BYTES:
            self.left_out += len(record.changes)
            self._gap = True
            return
        text = journal.spell_record(at, record)
        self._waiting.append(text)
        self._waiting_bytes += len(text)
        self._gap |= record.gap

    async def write(self) -> None:
        """Write what waits. Called every second; never raises."""
        async with self._writing:
            now = self._clock()
            services = dict(self._services()) if self._is_due(now) else None
            if self._first_at is None or (services is None and (self._file is None or not self._waiting)):
                return
            text, self._waiting, self._waiting_bytes = b"".join(self._waiting), [], 0
            self._unwritten = text
            is_first = self._began_at == float("-inf") and self._again_at == float("-inf")
            try:
                if is_first and not self._gap:
                    await asyncio.to_thread(self._write, b"", self._before, self._first_at, text)
                else:
                    await asyncio.to_thread(self._write, text, services, now)
            except OSError as error:
                self._fail(error, now)
            else:
                if self.problem is not None:
                    log.info("the journal is written again")
                self.problem = None
                self._before = {}

    async def close(self) -> None:
        await self.write()
        self._close()

    def _is_due(self, now: float) -> bool:
        """Whether a new segment is to begin."""
        if self._file is None:
            return now >= self._again_at
        age = now - self._began_at
        if self._gap and age >= self._gap_seconds:
            return True
        if age < SNAPSHOT_EVERY:
            return False
        full = self._written_bytes > max(MIN_SEGMENT_BYTES, 2 * self._snapshot_bytes)
        return full or age > MAX_SEGMENT_SECONDS

    @property
    def _gap_seconds(self) -> float:
        """How long after a snapshot another may end a gap: a small one soon, or floods would leave nothing
        else in the journal."""
        part = self._snapshot_bytes / max(self._bytes, 1)
        return min(max(GAP_LEAST, part * FILLED_SECONDS), SNAPSHOT_EVERY)

    def _write(
        self, text: bytes, services: Mapping[str, Service] | None, now: float, after: bytes = b""
    ) -> None:
        """Append `text`; then, where `services` are given, begin a segment with them and `after`."""
        if text and self._file is not None:
            self._append(text)
            text = b""
        if services is not None:
            self._close()
            path = self._directory / f"{PREFIX}{int(now * 1000):015d}{SUFFIX}"
            try:
                with create_aside(path) as file:
                    self._file = os.dup(file.fileno())
                    # Without a segment before it, it tells first what led to its snapshot.
                    size = sum(
                        map(
                            file.write,
                            (text, *journal.spell_snapshot(services, now, self._topology()), after),
                        )
                    )
                    file.flush()
                    os.fsync(file.fileno())
            except OSError:
                path.unlink(missing_ok=True)  # half a snapshot would stand for the moments after it
                raise
            self._began_at, self._gap = now, False
            self._snapshot_bytes, self._written_bytes = size, 0
            sync_directory(self._directory)
            self._remove_old(now)

    def _append(self, text: bytes) -> None:
        assert self._file is not None  # noqa: S101  (the caller has looked)
        view, at = memoryview(text), 0
        try:
            while at < len(text):
                at += os.write(self._file, view[at:])
        except OSError:
            self._unwritten = text[text.rfind(b"\n", 0, at) + 1 :]  # whole lines are read, torn ones are not
            raise
        os.fsync(self._file)
        self._written_bytes += len(text)
        self._unwritten = b""

    def _fail(self, error: OSError, now: float) -> None:
        """A half-written line ends a segment: what comes after it would not be read."""
        self._close()
        self._again_at = now + RETRY_EVERY
        self._waiting.insert(0, self._unwritten)
        self._waiting_bytes += len(self._unwritten)
        what = f"the journal can't be written: {error.strerror or error}"
        if self.problem is None:
            log.warning("%s: %s; answers go on without it", self._directory, what)
        self.problem = Problem(str(self._directory), what, "make room, or let the server write there")

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _remove_old(self, now: float) -> None:
        """The oldest segments go, but the newest, while there is too much or what they hold is too old."""
        paths = segments(self._directory)
        sizes = [path.stat().st_size for path in paths]
        total = sum(sizes)
        for path, size, following in zip(paths, sizes, paths[1:], strict=False):
            if total <= self._bytes and began_at(following) > now - self._days * 86_400:
                break
            path.unlink(missing_ok=True)
            total -= size


def segments(directory: Path) -> list[Path]:
    """The segments of a state directory, oldest first. What has a segment's name and is no file is none."""
    paths = []
    for path in directory.glob(f"{PREFIX}*{SUFFIX}"):
        try:
            began_at(path)
            if stat.S_ISREG(path.lstat().st_mode):
                paths.append(path)
        except (ValueError, OSError):
            continue
    return sorted(paths, key=began_at)


def began_at(path: Path) -> float:
    return int(path.name.removeprefix(PREFIX).removesuffix(SUFFIX)) / 1000


def read_changes(directory: Path, query: Query) -> History:
    """The newest changes that are asked for. OSError where it can't be read."""
    paths = segments(directory)
    changes: list[Change] = []
    for at in range(len(paths) - 1, -1, -1):
        if query.until is not None and began_at(paths[at]) > query.until:
            continue
        some = list(journal.changes_in(_lines(paths[at])))
        changes[:0] = query.newest(some)
        if len(changes) >= query.limit or (query.since is not None and began_at(paths[at]) < query.since):
            break
    return History(query.newest(changes), began_at(paths[0]) if paths else None)


def count_damaged(directory: Path) -> dict[str, int]:
    """How many lines of each segment can't be read. OSError where it can't be read at all."""
    lines = {path.name: sum(n.kind == journal.DAMAGED for n in _lines(path)) for path in segments(directory)}
    return {name: n for name, n in lines.items() if n}


def read_services(directory: Path, moment: float) -> dict[str, Service]:
    """The services as they stood at a moment; OutOfReach, OSError."""
    return read_world(directory, moment).services()


def read_world(directory: Path, moment: float) -> World:
    """How all stood at a moment; OutOfReach, OSError."""
    before = [path for path in segments(directory) if began_at(path) <= moment]
    if not before:
        raise journal.OutOfReach("the journal does not reach back so far")
    return journal.replay(_lines(before[-1]), moment)


def _lines(path: Path) -> Iterator[journal.Line]:
    return journal.read_lines(read_bounded(path, MAX_SEGMENT_BYTES)[0])

"""The journal on disk: segments in the state directory, appended to once a second, the oldest first out.

Rules: writing is done in a thread and never holds up an answer. A full disk costs the journal, not the
answers, and is a problem row. A segment is never appended to by another process than the one that began it:
a torn end is an end.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from zkdns.files import MIB, create_aside, sync_directory
from zkdns.model import Change, Problem, Service
from zkdns.pipeline import journal_lines, journal_undated
from zkdns.pipeline.journal import Record, move_reach
from zkdns.pipeline.journal_aside import Aside
from zkdns.pipeline.journal_dated import SET_BACK, Dated
from zkdns.pipeline.journal_room import GROWS, Room
from zkdns.pipeline.journal_shares import Shares
from zkdns.pipeline.wall_clock import WallClock
from zkdns.steps import SLICE, Steps, finish
from zkdns.topology import NO_TOPOLOGY, Topology

log = logging.getLogger("zkdns.journal")

NOTHING: Mapping[str, Service | None] = {}

SEGMENTS = Dated("journal-")
EVERY = 1.0
"""Seconds between two writings, each of them synced: what a power cut may cost."""
MAX_SEGMENT_SECONDS = 86_400.0
SNAPSHOT_EVERY = 60.0
"""Seconds between two snapshots at least, however much changes, while there is room."""
FILLED_SECONDS = 600.0
"""In which services that are told anew after floods would fill the journal at the earliest, were there no end
of them."""
ANEW_LEAST = 1.0
RETRY_EVERY = 5.0
HOUR = 3600.0
MAX_WAITING_BYTES = 16 * MIB
"""What waits to be written at most; beyond it, changes are left out and counted."""
SPELLED_BYTES = MIB // 4
"""What is spelled in one step: half a millisecond."""
EACH = 1 / 4
"""Of one service, as a part of it."""
BURST = 1 / 16
"""What a service may write at once, as a part of the journal; not less than a segment has at least."""
STEADY = 1 / 4
"""What it may write in all the time that the journal has, as a part of it."""


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
        *,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = WallClock(clock, steady)
        self._room = Room(int(megabytes * MIB))
        self.problem: Problem | None = None
        self._shares = Shares(
            max(self._room.free, BURST * megabytes * MIB),
            STEADY * megabytes * MIB / (days * 86_400),
        )
        self._directory = directory
        self._services = services
        self._aside = Aside(directory, STEADY * megabytes * MIB, days)
        self._days = days
        self._clock = clock
        self._topology = topology
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._waiting_of: Counter[str] = Counter()
        self._within = 0
        """Moments that are spelled in part: what stands now has all of them."""
        self._anew_at: dict[str, float] = {}
        """When a service that was told anew may be so again."""
        self._unwritten = b""
        """Of what is being written, what a reader does not have yet."""
        self._file: int | None = None
        self._path = directory
        """Where that stands."""
        self._began_at = self._again_at = float("-inf")
        self._believed_at = float("-inf")
        """When the clock is believed that was set far ahead: until then nothing is too old."""
        self._undated: list[Path] = []
        """Segments that began by a clock that was not set yet."""
        self._first_at: float | None = None
        """When the first record came: there the first segment begins."""
        self._before: Mapping[str, Service] = {}
        """What stood before it."""
        self._away: set[str] = set()
        """Registries that are out of reach, as far as was written."""
        self._writing = asyncio.Lock()

    def begin(self, at: float, before: Mapping[str, Service], away: Iterable[str] = ()) -> None:
        """The first record will be of this moment; these services stood before it, and these registries were
        out of reach."""
        self._first_at, self._before, self._away = at, before, set(away)

    def add(self, at: float, record: Record) -> None:
        """To be written soon."""
        finish(self.steps(at, record))

    def steps(self, at: float, record: Record) -> Steps[None]:
        """The same with pauses: a thousand instances with long names are tens of megabytes of lines."""
        if self._first_at is None:
            self._first_at = at
        for one in record.changes:
            move_reach(self._away, one)
        for service in record.lost:
            self._shares.lose(service)
        now, lines, left = self._clock(), 0, SPELLED_BYTES
        self._within += 1
        try:
            for lines, (service, line, change) in enumerate(journal_lines.spell_lines(at, record), 1):
                self._take(at, service, line, change, service in record.lost, now)
                left -= len(line)
                if left < 0 or not lines % SLICE:
                    left = SPELLED_BYTES
                    yield
        finally:
            self._within -= 1

    def _take(
        self, at: float, service: str, line: bytes, change: Change | None, is_lost: bool, now: float
    ) -> None:
        """A line of what came at that moment, where there is room for it."""
        if self._waiting_bytes <= self._max_of_each and not self._room.is_crowded and not self._shares.lost:
            self._waiting.append(line)
            self._waiting_bytes += len(line)
            return
        has_room = self._has_room(service, len(line))
        if service and not (has_room and self._fits(service, now)):
            if change is not None and has_room:
                self._aside.put(line)
            was_known = self._shares.leave_out(change) if change else self._shares.lose(service)
            if was_known:
                self._put(service, journal_lines.spell_lost(at, service), now)
        elif change is not None or service not in self._shares.lost or is_lost:
            self._put(service, line, now)

    @property
    def _max_of_each(self) -> float:
        """Of what waits, in bytes, one service's at most."""
        return min(EACH * MAX_WAITING_BYTES, GROWS * self._room.limit / 2)

    def _has_room(self, service: str, size: int) -> bool:
        each = self._waiting_of[service] + size
        most = min(MAX_WAITING_BYTES, GROWS * self._room.limit)
        return self._waiting_bytes <= most and each <= self._max_of_each

    def _fits(self, service: str, now: float) -> bool:
        """Whether that is its share."""
        return not self._room.is_crowded or self._shares.fits(service, now)

    def _put(self, service: str, line: bytes, now: float) -> None:
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        if service:
            self._waiting_of[service] += len(line)
            self._shares.take(service, len(line), now)

    async def write(self, *, is_end: bool = False) -> None:
        """Write what waits. Called every second; never raises."""
        async with self._writing:
            now, by = self._wall.look()
            self._follow_clock(now, by)
            if journal_undated.is_first_set(now, by):
                await self._date(by)
            if self._file is not None and await asyncio.to_thread(_has_gone, self._path, self._file):
                self._close()  # somebody removed it, or its folder: what is written there nobody reads
            if self._aside.waits:
                with suppress(OSError):  # the journal itself tells of it, and the sums of what is lost
                    await asyncio.to_thread(self._write_aside, self._aside.take(), now)
            if self._file is not None:
                for change in self._shares.sums(now, is_end=is_end):
                    self._put(change.service, journal_lines.spell("change", {"at": now, "c": change}), now)
            services = dict(self._services()) if self._is_due(now) and not self._within else None
            is_to_go_on = services is None and self._file is not None and not self._within
            anew = self._due_anew(now) if is_to_go_on else {}
            if self._first_at is None or (
                services is None and not anew and (self._file is None or not self._waiting)
            ):
                return
            lines, self._waiting, self._waiting_bytes = self._waiting, [], 0
            self._waiting_of.clear()
            is_first = self._began_at == float("-inf") and self._again_at == float("-inf")
            sizes: dict[str, int] = {}
            # What is left out of them while this is written is lost anew.
            known = list(anew if services is None else self._shares.lost)
            for name in known:
                del self._shares.lost[name]
            try:
                if is_first and not known:
                    await asyncio.to_thread(self._write, lines, self._before, self._first_at, is_first=True)
                else:
                    sizes = await asyncio.to_thread(self._write, lines, services, now, anew)
            except OSError as error:
                for name in known:
                    self._shares.lose(name)
                self._fail(error, now)
            else:
                if self.problem is not None:
                    log.info("the journal is written again")
                self.problem = None
                self._before = {}
                self._pace(sizes, now)

    def _follow_clock(self, now: float, by: float) -> None:
        """Where it was set back, what waits would do so until it has caught up; where it was set ahead, all
        there is would be too old."""
        self._believed_at += by
        if by > HOUR:
            self._believed_at = now + HOUR
        if by < 0:
            self._again_at += by
            self._anew_at = {name: at + by for name, at in self._anew_at.items()}
            self._shares.shift(by)

    async def _date(self, by: float) -> None:
        """Nobody had set the clock until now: what was written by it was so much later."""
        self._close()
        lines, self._waiting = self._waiting, []
        self._waiting_bytes -= sum(map(len, lines))
        waiting = await asyncio.to_thread(lambda: journal_undated.date_lines(b"".join(lines), by))
        self._waiting.insert(0, waiting)
        self._waiting_bytes += len(waiting)
        if self._first_at is not None:
            self._first_at = journal_undated.dated(self._first_at, by)
        paths, self._undated = self._undated, []
        with suppress(OSError):  # they stay as they are
            await asyncio.to_thread(journal_undated.date_files, SEGMENTS, paths, by)

    def _due_anew(self, now: float) -> dict[str, Service | None]:
        """Those of which the journal does not know how they stand, and that may be told anew now."""
        lost = [name for name in self._shares.lost if now >= self._anew_at.get(name, 0.0)]
        if self._room.is_crowded:
            lost = [name for name in lost if self._shares.fits(name, now)]
        services = self._services() if lost else {}
        return {name: services.get(name) for name in lost}

    def _pace(self, sizes: Mapping[str, int], now: float) -> None:
        """These were told anew, in so many bytes."""
        for name, size in sizes.items():
            self._shares.take(name, size, now)
            rest = size / max(self._room.limit, 1) * FILLED_SECONDS
            self._anew_at[name] = now + min(max(ANEW_LEAST, rest), SNAPSHOT_EVERY)
        self._anew_at = {name: at for name, at in self._anew_at.items() if at > now}

    @property
    def left_out(self) -> int:
        return self._shares.left_out

    async def close(self) -> None:
        await self.write(is_end=True)
        self._aside.close()
        self._close()

    def _is_due(self, now: float) -> bool:
        """Whether a new segment is to begin."""
        if self._file is None:
            return now >= self._again_at
        age = now - self._began_at
        if age < -SET_BACK:
            return True  # it would go on until the clock has caught up, and be read as of that time
        if self._room.is_short(self._waiting_bytes):
            return True
        return age >= SNAPSHOT_EVERY and (self._room.is_full or age > MAX_SEGMENT_SECONDS)

    def _write(
        self,
        lines: list[bytes],
        services: Mapping[str, Service] | None,
        now: float,
        anew: Mapping[str, Service | None] = NOTHING,
        *,
        is_first: bool = False,
    ) -> dict[str, int]:
        """Append these lines, and these services anew; then, where `services` are given, begin a segment with
        them; the lines come after it where nothing was written before. Returns what each of those that were
        told anew took."""
        text = self._unwritten = b"".join(lines)
        after = b""
        if is_first:
            text, after = after, text
        lines_of = {
            name: b"".join(journal_lines.spell_anew(now, name, service)) for name, service in anew.items()
        }
        text += b"".join(lines_of.values())
        if text and self._file is not None:
            self._append(text)
            self._make_room(now)
            text = b""
        if services is not None:
            self._close()
            path = self._path = SEGMENTS.path(self._directory, now)
            snapshot = journal_lines.spell_snapshot(services, now, self._topology(), set(self._away))
            try:
                with create_aside(path) as file:
                    self._file = os.dup(file.fileno())
                    # Without a segment before it, it tells first what led to its snapshot.
                    size = sum(map(file.write, (text, *snapshot, after)))
                    file.flush()
                    os.fsync(file.fileno())
                self._unwritten = b""
            except OSError:
                path.unlink(missing_ok=True)  # half a snapshot would stand for the moments after it
                raise
            if now < journal_undated.FIRST:
                self._undated.append(path)
            self._began_at = now
            self._room.written = len(text) + len(after)
            self._room.snapshot = size - self._room.written
            sync_directory(self._directory)
            self._remove_old(now)
        return {name: len(one) for name, one in lines_of.items()}

    def _write_aside(self, text: bytes, now: float) -> None:
        self._aside.write(text, now)
        self._room.aside = self._aside.remove_old(now)
        self._make_room(now)

    def _make_room(self, now: float) -> None:
        if self._room.is_over:
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
        self._room.written += len(text)
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
        """What stands beside the segments counts as theirs."""
        room = self._room
        room.aside = self._aside.remove_old(now)
        days = self._days if now >= self._believed_at else float("inf")
        kept = SEGMENTS.remove_old(self._directory, room.limit - room.aside, now, days * 86_400, room.free)
        room.kept = kept - room.written


def _has_gone(path: Path, file: int) -> bool:
    """Whether this open file is not at its place any more."""
    try:
        return not os.path.samestat(path.lstat(), os.fstat(file))
    except OSError:
        return True

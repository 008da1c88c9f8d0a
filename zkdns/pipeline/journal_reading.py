"""The journal on disk, as it is read: what changed, and how all stood at a moment.

Rules: may take long, and is done in threads of whoever asks. What can't be read of a segment costs itself,
all of one that is no more, or not ours to read; its writer may remove it meanwhile.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge
from itertools import chain, takewhile
from pathlib import Path
from typing import Final

from zkdns.lists import plural
from zkdns.model import Change
from zkdns.pipeline import journal, journal_lines
from zkdns.pipeline.journal import History, Query, World
from zkdns.pipeline.journal_aside import OFTEN, changes_of
from zkdns.pipeline.journal_dated import read_file
from zkdns.pipeline.journal_files import SEGMENTS
from zkdns.pipeline.journal_merge import TOGETHER
from zkdns.pipeline.journal_shares import SUMMED_EVERY, is_sum

NOT_SO_FAR: Final = "the journal does not reach back so far"

_NO_LEAD: Final = (journal_lines.BEGIN, journal_lines.DAMAGED)


def segments(directory: Path) -> list[Path]:
    """The segments of a state directory, oldest first."""
    return SEGMENTS.paths_in(directory)


def read_changes(directory: Path, query: Query) -> History:
    """The newest changes that are asked for. OSError where it can't be read."""
    now = time.time()
    paths, beside = SEGMENTS.paths_in(directory, now), OFTEN.paths_in(directory, now)
    often = _newest(beside, OFTEN.began_at, changes_of, query)
    changes = _newest(paths, SEGMENTS.began_at, lambda path: journal_lines.changes_in(_lines(path)), query)
    if beside:
        # What is kept one by one is not told in sums as well.
        one_by_one = min(map(OFTEN.began_at, beside)) + SUMMED_EVERY
        changes = [change for change in changes if change.at < one_by_one or not is_sum(change)]
        changes = list(merge(changes, often, key=lambda change: (change.at, change.zxid)))
    return History(query.newest(changes), min(map(SEGMENTS.began_at, paths), default=None))


def _newest(
    paths: Sequence[Path], began: Callable[[Path], float], read: Callable[[Path], Iterable[Change]],
    query: Query,
) -> list[Change]:  # fmt: skip
    """Of files that follow one another."""
    several: list[tuple[float, list[Change]]] = []
    for path in reversed(paths):
        if query.until is not None and began(path) > query.until:
            continue
        try:
            several.append((began(path), query.newest(read(path))))
        except OSError:
            continue
        enough = sum(len(one) for _, one in several) >= query.limit
        if enough or (query.since is not None and began(path) < query.since):
            break
    return _without_twins(several[::-1])


def _without_twins(several: Iterable[tuple[float, Sequence[Change]]]) -> list[Change]:
    """Segments and when they began, as one. Two servers may have written in the directory, as in a restart by
    overlap: one began before the other had ended, and what both saw is told once."""
    changes: list[Change] = []
    marks: dict[tuple[object, ...], float] = {}
    ended, has_twins = -math.inf, False
    for began, segment in several:
        before = dict(marks) if began < ended else {}
        for change in segment:
            mark = _mark(change)
            marks[mark] = change.at
            if abs(change.at - before.get(mark, -math.inf)) <= TOGETHER:
                has_twins = True
            else:
                changes.append(change)
            ended = max(ended, change.at)
    return sorted(changes, key=lambda change: (change.at, change.zxid)) if has_twins else changes


def _mark(c: Change) -> tuple[object, ...]:
    # A service's own line has no transaction of its own, but the newest that its writer knew.
    return c.zxid if c.id else 0, c.service, c.id, c.what, c.was, c.now, c.why, c.by


def find_damage(directory: Path) -> dict[str, str]:
    """What can't be read, by the name of its segment, in words. OSError where there is nothing to look at."""
    damage = {}
    for path in segments(directory):
        try:
            data, is_whole = read_file(path)
            lines = sum(line.kind == journal_lines.DAMAGED for line in journal_lines.read_lines(data))
        except FileNotFoundError:
            continue
        except OSError as error:
            damage[path.name] = f"this part of the journal can't be read: {error.strerror or error}"
        else:
            if lines:
                damage[path.name] = f"{plural(lines, 'line')} of the journal can't be read"
            elif not is_whole:
                damage[path.name] = "the end of this part of the journal was never written"
    return damage


def read_world(directory: Path, moment: float) -> World:
    """How all stood at a moment; OutOfReach."""
    paths = segments(directory)
    before = [path for path in paths if SEGMENTS.began_at(path) <= moment]
    later: list[journal_lines.Line] = []
    try:
        for path in paths[len(before) :][:1]:
            later = _led_to(path)
        for path in reversed(before):
            try:
                return journal_lines.replay(chain(_lines(path), later), moment)
            except journal_lines.CutShort:  # who began it was killed: it stood as the one before tells
                later = _led_to(path) + later
    except FileNotFoundError:
        pass
    except OSError as error:
        why = error.strerror or str(error)
        raise journal.OutOfReach(f"the journal of that time can't be read: {why}") from error
    raise journal.OutOfReach(NOT_SO_FAR)


def _led_to(path: Path) -> list[journal_lines.Line]:
    """What a segment tells of the time before it, as a full disk has it: what could not be written there. One
    that is damaged there says nothing of it."""
    return [*takewhile(lambda line: line.kind not in _NO_LEAD, _lines(path))]


def _lines(path: Path) -> Iterator[journal_lines.Line]:
    return journal_lines.read_lines(read_file(path)[0])

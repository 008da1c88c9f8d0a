"""The journal on disk, as it is read: what changed, and how all stood at a moment.

Rules: may take long, and is done in threads of whoever asks. What can't be read of a segment costs itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge
from pathlib import Path

from zkdns.files import read_bounded
from zkdns.model import Change
from zkdns.pipeline import journal, journal_lines
from zkdns.pipeline.journal import History, Query, World
from zkdns.pipeline.journal_aside import OFTEN, changes_of
from zkdns.pipeline.journal_dated import MAX_BYTES
from zkdns.pipeline.journal_files import SEGMENTS
from zkdns.pipeline.journal_merge import TOGETHER
from zkdns.pipeline.journal_shares import SUMMED_EVERY, is_sum


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
        several.append((began(path), query.newest(list(read(path)))))
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


def count_damaged(directory: Path) -> dict[str, int]:
    """How many lines of each segment can't be read. OSError where it can't be read at all."""
    lines = {
        path.name: sum(n.kind == journal_lines.DAMAGED for n in _lines(path)) for path in segments(directory)
    }
    return {name: n for name, n in lines.items() if n}


def read_world(directory: Path, moment: float) -> World:
    """How all stood at a moment; OutOfReach, OSError."""
    before = [path for path in segments(directory) if SEGMENTS.began_at(path) <= moment]
    if not before:
        raise journal.OutOfReach("the journal does not reach back so far")
    return journal_lines.replay(_lines(before[-1]), moment)


def _lines(path: Path) -> Iterator[journal_lines.Line]:
    return journal_lines.read_lines(read_bounded(path, MAX_BYTES)[0])

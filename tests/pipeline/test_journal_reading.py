"""Which changes are read of the files that hold them: the newest, each once, whatever clock wrote them."""

from __future__ import annotations

import errno
import os
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest

from zkdns.files import MIB
from zkdns.model import Change
from zkdns.pipeline import journal_reading
from zkdns.pipeline.journal import OutOfReach, Query, Record
from zkdns.pipeline.journal_aside import OFTEN
from zkdns.pipeline.journal_dated import Dated
from zkdns.pipeline.journal_files import SEGMENTS
from zkdns.pipeline.journal_lines import DAMAGED, read_lines, spell_record
from zkdns.pipeline.journal_reading import find_damage, read_changes
from zkdns.pipeline.journal_shares import LEFT_OUT, SUMMED_EVERY

BEGAN = 1_800_000_000.0


def change(at: float, id: str = "a", why: str = "") -> Change:
    return Change(at, int(at), "web", id, "weight", "1", "2", why)


def a_sum(at: float) -> Change:
    return change(at, "", f"{LEFT_OUT} (a)")


def write(directory: Path, of: Dated, began: float, *changes: Change) -> None:
    of.path(directory, began).write_bytes(b"".join(spell_record(c.at, Record((c,))) for c in changes))


def times(directory: Path, **asked: float) -> list[float]:
    return [one.at - BEGAN for one in read_changes(directory, Query(**asked)).changes]  # type: ignore[arg-type]


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Three segments of three changes each, ten seconds apart."""
    for n in (0, 30, 60):
        write(tmp_path, SEGMENTS, BEGAN + n, *(change(BEGAN + n + k) for k in (0, 10, 20)))
    return tmp_path


def test_the_newest_are_as_many_as_were_asked_for_wherever_they_stand(three: Path) -> None:
    every = [float(at) for at in range(0, 90, 10)]
    for limit in range(11):
        assert times(three, limit=limit) == every[len(every) - min(limit, 9) :]
    assert times(three, until=BEGAN + 45, limit=2) == [30.0, 40.0]
    assert times(three, since=BEGAN + 20, until=BEGAN + 60) == [20.0, 30.0, 40.0, 50.0, 60.0]
    assert read_changes(three, Query(limit=1)).since == BEGAN, "how far it reaches is another matter"


def test_no_more_segments_are_read_than_those_that_may_have_them(
    three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[float] = []
    real = journal_reading._lines
    monkeypatch.setattr(
        journal_reading, "_lines", lambda path: read.append(SEGMENTS.began_at(path) - BEGAN) or real(path)
    )
    for asked, begun in (
        ({"limit": 3}, [60]),
        ({"since": BEGAN + 35}, [60, 30]),
        ({"until": BEGAN + 35}, [30, 0]),
    ):
        read.clear()
        times(three, **asked)
        assert read == begun


def test_what_is_kept_one_by_one_is_told_so_and_in_sums_no_more_once_it_is_whole(tmp_path: Path) -> None:
    """The first sum may be of changes before those that are kept."""
    ends = SUMMED_EVERY + 10
    write(
        tmp_path,
        SEGMENTS,
        BEGAN,
        change(BEGAN, "b"),
        a_sum(BEGAN + 10),
        a_sum(BEGAN + ends),
        change(BEGAN + 200, "b"),
    )
    write(tmp_path, OFTEN, BEGAN, *(change(BEGAN + at) for at in (1, 2, 90)))
    assert times(tmp_path) == [0, 1, 2, 10, 90, 200]


def test_what_a_clock_wrote_that_was_set_back_since_stands_before_what_came_after(tmp_path: Path) -> None:
    now = time.time()
    ahead = now + 86_400
    write(tmp_path, SEGMENTS, ahead, change(ahead, "ahead"))
    write(tmp_path, SEGMENTS, now - 60, change(now - 60, "now"))
    assert [one.id for one in read_changes(tmp_path, Query()).changes] == ["ahead", "now"]
    assert [one.id for one in read_changes(tmp_path, Query(limit=1)).changes] == ["now"]


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "gone"), PermissionError(errno.EACCES, "not ours")]
)
def test_a_segment_that_is_gone_or_not_ours_to_read_costs_itself(
    three: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """Its writer removes the oldest, while others are read."""
    gone = journal_reading.segments(three)[1]
    real = journal_reading.read_file

    def read(path: Path) -> object:
        if path == gone:
            raise error
        return real(path)

    monkeypatch.setattr(journal_reading, "read_file", read)
    assert times(three) == [0.0, 10.0, 20.0, 60.0, 70.0, 80.0]
    with pytest.raises(OutOfReach):
        journal_reading.read_world(three, BEGAN + 45)
    told = {} if isinstance(error, FileNotFoundError) else {gone.name: "not ours"}
    assert {name: what.rpartition(": ")[2] for name, what in find_damage(three).items()} == told


def test_lines_that_are_no_objects_are_damaged_ones() -> None:
    for text in (b"[1]", b"5", b'"k"', b"null", b'{"x":1}'):
        assert [line.kind for line in read_lines(b"%08x %s\n" % (zlib.crc32(text), text))] == [DAMAGED]


def test_what_was_never_written_of_a_segment_is_not_read(tmp_path: Path) -> None:
    """A power cut may leave its length and not its end, and of a name alone a gigabyte of zeros was read."""
    write(tmp_path, SEGMENTS, BEGAN, change(BEGAN + 1))
    path, empty = SEGMENTS.path(tmp_path, BEGAN), SEGMENTS.path(tmp_path, BEGAN + 50)
    empty.touch()
    os.truncate(empty, 512 * MIB)
    with path.open("r+b") as file:
        file.truncate(512 * MIB)
    tracemalloc.start()
    try:
        assert [one.at for one in read_changes(tmp_path, Query()).changes] == [BEGAN + 1]
        assert {*find_damage(tmp_path).values()} == {"the end of this part of the journal was never written"}
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()

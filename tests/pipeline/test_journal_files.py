"""The journal on disk: bounded, readable after any end, and no reason to stop answering."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.examples import examples
from zkdns.model import Change, Instance, Registration, Service
from zkdns.pipeline import journal_files, journal_lines, journal_room, journal_undated
from zkdns.pipeline.journal import OutOfReach, Query, Record
from zkdns.pipeline.journal_aside import OFTEN
from zkdns.pipeline.journal_dated import Dated
from zkdns.pipeline.journal_files import SEGMENTS, SPELLED_BYTES, JournalFiles
from zkdns.pipeline.journal_reading import find_damage, read_changes, read_world, segments
from zkdns.pipeline.journal_undated import FIRST
from zkdns.steps import SLICE


class Desk:
    """A journal with a clock that is set by hand, and the services that it is about."""

    def __init__(self, directory: Path, days: float = 14, megabytes: float = 64) -> None:
        self.directory = directory
        self.now = 1_000_000.0
        self.services: dict[str, Service] = {}
        self.set_by = 0.0
        """What the clock was set ahead."""
        self.files = JournalFiles(
            directory, lambda: self.services, days, megabytes, lambda: self.now,
            steady=lambda: self.now - self.set_by,
        )  # fmt: skip

    def set(self, by: float) -> None:
        """Somebody sets the clock."""
        self.now += by
        self.set_by += by

    async def put(self, id: str, weight: int = 1) -> None:
        """An instance of `web` comes or changes, and a second goes by."""
        self.tell(id, weight)
        await self.files.write()
        self.now += 1

    def tell(self, id: str, weight: int = 1, name: str = "web") -> None:
        """The same, not written yet."""
        registration = Registration(("10.0.0.1",), weight=weight, meta=(("text", "x" * 200),))
        one = Instance(id, id, f"/services/{name}/{id}", registration, 0.0, weight=weight)
        known = self.services.get(name) or Service(name, name, f"/services/{name}")
        instances = {i.id: i for i in known.instances} | {id: one}
        after = Service(name, name, known.path, instances=tuple(i for _, i in sorted(instances.items())))
        self.services[name] = after
        shells = {name: Service(name, name, known.path)} if len(instances) == 1 else {}
        told = Change(self.now, 1, name, id, "registered", "", "healthy", instance=one)
        self.files.add(self.now, Record((told,), shells))

    async def put_all(self, ids: Iterable[str], apart: float = 0.0) -> None:
        """One after the other, so many seconds from each to the next, each with a weight of its own."""
        for weight, id in enumerate(ids, 1):
            await self.put(id, weight)
            self.now += apart


@pytest.fixture(autouse=True)
def _wait_for_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """They were three thousand: what a power cut would cost is told by which calls there are, and when."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_what_was_written_is_read_with_how_far_it_reaches(desk: Desk) -> None:
    await desk.put_all(f"i{n}" for n in range(5))
    changes, since, _ = read_changes(desk.directory, Query("web", limit=3))
    assert [c.id for c in changes] == ["i2", "i3", "i4"]
    assert since == 1_000_000.0
    assert read_changes(desk.directory, Query("db")) == ([], since, ())
    assert [i.id for i in read_world(desk.directory, 1_000_002.5).services()["web"].instances] == [
        "i0",
        "i1",
        "i2",
    ]
    with pytest.raises(OutOfReach):
        read_world(desk.directory, 999_999.0).services()


async def test_a_new_segment_begins_with_what_stands_and_the_oldest_go(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_room, "MIN_SEGMENT_BYTES", 2000)
    desk.files._room.limit = 20_000
    await desk.put_all((f"i{n % 3}" for n in range(400)), apart=20)
    paths = segments(desk.directory)
    assert len(paths) > 2
    assert sum(p.stat().st_size for p in paths) < 30_000
    changes, since, _ = read_changes(desk.directory, Query())
    assert since is not None
    assert since > 1_000_000
    assert [c.at for c in changes] == sorted(c.at for c in changes)
    for c in changes:
        if c.at >= since:
            assert c.id in {i.id for i in read_world(desk.directory, c.at).services()["web"].instances}
    latest = read_world(desk.directory, desk.now).services()["web"]
    assert latest == desk.services["web"]


async def test_no_more_goes_than_what_is_too_much(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_room, "MIN_SEGMENT_BYTES", 2000)
    monkeypatch.setattr(journal_room, "GROWS", 0.0)
    await desk.put_all(["a"] * 60, apart=20)
    kept = segments(desk.directory)
    assert len(kept) > 5
    desk.files._room.limit = sum(path.stat().st_size for path in kept[1:])
    desk.files._remove_old(desk.now)
    assert segments(desk.directory) == kept[1:]
    OFTEN.path(desk.directory, desk.now).write_bytes(b"x")  # what stands beside it counts
    desk.files._remove_old(desk.now)
    assert segments(desk.directory) == kept[2:]


async def test_a_flood_begins_no_segment_within_a_minute_and_then_the_count_is_anew(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each costs a snapshot of all that there is."""
    monkeypatch.setattr(journal_room, "MIN_SEGMENT_BYTES", 2000)
    began = desk.now
    await desk.put_all(["a"] * 50)
    assert len(segments(desk.directory)) == 1
    desk.now = began + journal_files.SNAPSHOT_EVERY
    await desk.put("a", 100)
    assert len(segments(desk.directory)) == 2
    desk.now = began + 2 * journal_files.SNAPSHOT_EVERY + 2
    await desk.put("a", 101)
    assert len(segments(desk.directory)) == 2, "little was written since"


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


@pytest.mark.parametrize(("services", "instances"), [(1, 1), (60, 1), (10, 60)])
async def test_however_much_changes_the_journal_takes_no_more_than_it_may(
    tmp_path: Path, services: int, instances: int
) -> None:
    """A flood of many services passes the share of none; within a minute it was many times the limit."""
    desk = Desk(tmp_path, megabytes=1)
    names = [f"s{n}" for n in range(services)]
    for name in names:
        for id in range(instances):
            desk.tell(f"i{id}", 1, name)
    sizes = []
    for weight in range(1, 50):
        for name in names:
            for n in range(600 // services):
                desk.tell(f"i{n % instances}", weight, name)
        await desk.files.write()
        desk.now += 1
        sizes.append(_size(tmp_path))
    assert max(sizes) <= 1 << 20
    assert min(sizes[5:]) >= 1 << 18, "no more goes than has to"
    assert read_changes(tmp_path, Query()).changes[-1].at == desk.now - 1


async def test_a_segment_grows_to_twice_what_its_snapshot_takes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a large registry's journal would be nothing but snapshots."""
    monkeypatch.setattr(journal_room, "MIN_SEGMENT_BYTES", 100)
    await desk.put_all(f"i{n}" for n in range(40))
    desk.now += journal_files.MAX_SEGMENT_SECONDS + 1
    await desk.put("i0", 2)
    size = segments(desk.directory)[-1].stat().st_size
    assert size > 1000
    for n in range(200):
        desk.now += 60
        await desk.put("i0", n + 3)
        if segments(desk.directory)[-1].stat().st_size < 2 * size:
            continue
        break
    sizes = [path.stat().st_size for path in segments(desk.directory)]
    assert len(sizes) == 2
    assert sizes[-1] >= 2 * size


async def test_a_segment_tells_of_the_moment_at_which_it_begins(desk: Desk) -> None:
    began = desk.now
    await desk.put("a")
    assert read_world(desk.directory, began).services()
    desk.now = began + journal_files.MAX_SEGMENT_SECONDS + 1
    second = desk.now
    await desk.put("b")
    segments(desk.directory)[0].unlink()
    assert [i.id for i in read_world(desk.directory, second).services()["web"].instances] == ["a", "b"]


async def test_segments_that_were_written_hold_no_descriptor(desk: Desk) -> None:
    def held() -> int:
        return sum(desk.directory in fd.resolve().parents for fd in Path("/proc/self/fd").iterdir())

    await desk.put_all((f"i{n}" for n in range(3)), apart=journal_files.MAX_SEGMENT_SECONDS + 1)
    assert len(segments(desk.directory)) == 3
    assert held() == 1
    await desk.files.close()
    assert held() == 0


async def test_what_is_too_old_goes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.put_all(["a"] * 20, apart=86_401)
    reach = [SEGMENTS.began_at(p) for p in segments(desk.directory)]
    assert len(reach) in (14, 15, 16)
    assert max(reach) - min(reach) < 15 * 86_402


async def test_another_process_goes_on_in_a_segment_of_its_own(desk: Desk) -> None:
    await desk.put("a")
    (torn,) = segments(desk.directory)
    with torn.open("ab") as file:
        file.write(b"0000 torn")
    other = Desk(desk.directory)
    other.now = desk.now + 10
    await other.put("a")
    await other.put("b")
    assert len(segments(desk.directory)) == 2
    assert [c.id for c in read_changes(desk.directory, Query())[0]] == ["a", "a", "b"]
    assert len(read_world(desk.directory, other.now).services()["web"].instances) == 2
    assert len(read_world(desk.directory, desk.now).services()["web"].instances) == 1


async def test_a_full_disk_is_a_problem_row_and_nothing_is_lost_that_memory_holds(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.put("a")
    with monkeypatch.context() as full:

        def refuse(*_: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        full.setattr(journal_files.os, "write", refuse)
        full.setattr(journal_files, "create_aside", refuse)
        await desk.put("b")
        assert desk.files.problem is not None
        assert "No space left" in desk.files.problem.what
        await desk.put("c")
    desk.now += 10
    await desk.put("d")
    assert desk.files.problem is None
    assert [c.id for c in read_changes(desk.directory, Query())[0]] == ["a", "b", "c", "d"]
    assert len(read_world(desk.directory, desk.now).services()["web"].instances) == 4


async def test_what_waits_is_bounded_and_what_is_left_out_is_counted(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_files, "MAX_WAITING_BYTES", 1000)
    for n in range(10):
        desk.files.add(desk.now, Record((Change(desk.now, n, "web", "a", "state", "x" * 500, ""),)))
    assert desk.files.left_out == 9, "a service has a quarter of it"
    desk.files.add(desk.now, Record((Change(desk.now, 1, "db", "a", "state", "x", ""),)))
    assert desk.files.left_out == 9, "and others the rest"


async def test_what_waits_for_a_full_disk_is_bounded_however_often_it_is_tried(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_files, "MAX_WAITING_BYTES", 10_000)

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(journal_files, "create_aside", refuse)
    await desk.put_all(["a"] * 100, apart=journal_files.RETRY_EVERY)
    assert sum(map(len, desk.files._waiting)) < 12_000
    assert desk.files.left_out > 50


async def flood(desk: Desk, n: int = 1) -> None:
    """More changes at once than are told one by one, and a second goes by."""
    desk.files.add(
        desk.now,
        Record((Change(desk.now, n, "web", "", "state", "", "3000 instances"),), lost=frozenset({"web"})),
    )
    await desk.files.write()
    desk.now += 1


async def test_the_answers_of_then_are_known_again_a_second_after_a_flood_of_a_small_registry(
    desk: Desk,
) -> None:
    await desk.put("a")
    await flood(desk)
    await flood(desk)
    await desk.put("b")
    assert {i.id for i in read_world(desk.directory, desk.now).services()["web"].instances} == set("ab")


def lines_of(desk: Desk) -> list[journal_lines.Line]:
    return [line for path in segments(desk.directory) for line in journal_lines.read_lines(path.read_bytes())]


async def test_floods_without_end_leave_room_for_more_than_what_is_told_anew_after_them(desk: Desk) -> None:
    """A journal of 2 MiB, and a service of some 100 KB that is told anew after a flood of it."""
    await desk.put("a")
    instances = []
    for n in range(300):
        registration = Registration(("10.0.0.1",), meta=(("text", secrets.token_hex(250)),))
        instances.append(Instance(f"i{n:03}", f"i{n:03}", f"/services/web/i{n:03}", registration, 0.0))
    desk.services["web"] = Service("web", "web", "/services/web", instances=tuple(instances))
    desk.files._room.limit = 2 << 20
    for n in range(200):
        await flood(desk, n)
    told = [line.fields["at"] for line in lines_of(desk) if line.kind == "anew"]
    assert 3 < len(told) <= 12
    assert all(b - a >= 15 for a, b in itertools.pairwise(told))
    assert read_world(desk.directory, told[-1]).services()["web"] == desk.services["web"]


@pytest.mark.parametrize("room", [0, 1, 150, 700, 1500])
async def test_what_a_full_disk_took_in_part_is_told_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """The disk takes some bytes more, in the middle of a line or between two, and then none."""
    await desk.put("a")
    real, left = os.write, room

    def write(file: int, data: bytes) -> int:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = real(file, data[:left])
        left -= done
        return done

    with monkeypatch.context() as full:
        full.setattr(journal_files.os, "write", write)
        for id in "bcd":
            desk.tell(id)
            desk.now += 1
        await desk.files.write()
        assert desk.files.problem is not None
    desk.now += 10
    began = desk.now
    await desk.put("e")
    changes = read_changes(desk.directory, Query())[0]
    assert [c.id for c in changes] == ["a", "b", "c", "d", "e"]
    for n, one in enumerate(changes, 1):
        stood = read_world(desk.directory, min(one.at + 0.5, began + 0.5)).services()["web"]
        assert [i.id for i in stood.instances] == [c.id for c in changes[:n]], "also while it was full"


async def test_who_is_killed_as_a_segment_begins_leaves_what_stood_before_known(desk: Desk) -> None:
    """Whatever of it came to the disk, its name alone at least."""
    await desk.put("a")
    await desk.put("b")
    desk.now += 90_000
    killed_at = desk.now
    await desk.put("c")
    path = segments(desk.directory)[-1]
    whole = path.read_bytes()
    snapshot = sum(map(len, journal_lines.spell_snapshot(desk.services, killed_at)))
    assert len(segments(desk.directory)) == 2
    for end in (*range(0, snapshot - 1, 50), snapshot - 1):
        path.write_bytes(whole[:end])
        assert read_world(desk.directory, killed_at + 5).services() == desk.services
    path.write_bytes(whole)
    assert read_world(desk.directory, killed_at + 5).services() == desk.services
    segments(desk.directory)[0].unlink()
    path.write_bytes(whole[:100])
    with pytest.raises(OutOfReach, match="does not reach back"):
        read_world(desk.directory, killed_at + 5)


async def test_what_is_damaged_of_a_segment_is_nothing_to_the_one_before(desk: Desk) -> None:
    await desk.put("a")
    await desk.put("b")
    restarted = Desk(desk.directory)
    restarted.now = desk.now + 90_000
    await restarted.put("c")
    path = segments(desk.directory)[-1]
    for line in range(path.read_bytes().count(b"\n")):
        lines = path.read_bytes().splitlines(keepends=True)
        lines[line] = b"garbage\n"
        path.write_bytes(b"".join(lines))
        assert read_world(desk.directory, desk.now).services() == desk.services


async def test_what_another_server_removes_in_the_same_directory_is_nobodys_error(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.put("a")
    desk.now += 90_000
    (first,) = segments(desk.directory)
    real = SEGMENTS.__class__.paths_in

    def paths_in(of: Dated, directory: Path, now: float = float("inf")) -> list[Path]:
        paths = real(of, directory, now)
        first.unlink(missing_ok=True)
        return paths

    monkeypatch.setattr(SEGMENTS.__class__, "paths_in", paths_in)
    await desk.put("b")
    await desk.put("c")
    assert desk.files.problem is None
    assert [c.id for c in read_changes(desk.directory, Query())[0]] == ["c"]


async def test_what_may_not_be_removed_keeps_nobody_from_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's, where the directory is everybody's (sticky), or one that was made immutable."""
    desk = Desk(tmp_path, days=1)
    await desk.put("a")
    (first,) = segments(desk.directory)
    real = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path == first:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        real(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    for n in range(4):
        desk.now += 90_000
        await desk.put("b", n + 2)
    assert desk.files.problem is None
    assert len(segments(desk.directory)) == 3, "the last two, and that one"
    weights = [c.instance for c in read_changes(desk.directory, Query())[0]]
    assert len(weights) == 3, "each once"


async def test_what_is_in_the_snapshot_is_not_told_again_though_nothing_could_be_removed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails right behind the writing."""
    with monkeypatch.context() as broken:

        def fail(directory: Path) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        broken.setattr(journal_files, "sync_directory", fail)
        await desk.put("a")
        assert desk.files.problem is not None
    desk.now += 10
    await desk.put("b")
    assert [c.id for c in read_changes(desk.directory, Query())[0]] == ["a", "b"]


async def test_a_segment_that_could_not_be_begun_is_not_left_there(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.put("a")
    desk.now += 90_000
    with monkeypatch.context() as full:

        def refuse(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        full.setattr(
            journal_files.os, "fsync", lambda file: refuse() if len(segments(desk.directory)) > 1 else None
        )
        await desk.put("b")
        assert desk.files.problem is not None
    assert len(segments(desk.directory)) == 1
    desk.now += 10
    await desk.put("c")
    assert [c.id for c in read_changes(desk.directory, Query())[0]] == ["a", "b", "c"]
    assert {i.id for i in read_world(desk.directory, desk.now).services()["web"].instances} == set("abc")


async def test_files_that_are_no_segments_are_let_be(desk: Desk) -> None:
    (desk.directory / "journal-notes.zkdns").write_text("mine")
    SEGMENTS.path(desk.directory, desk.now - 10).symlink_to("journal-notes.zkdns")
    SEGMENTS.path(desk.directory, desk.now - 20).mkdir()
    await desk.put("a")
    assert len(segments(desk.directory)) == 1
    assert (desk.directory / "journal-notes.zkdns").exists()


@pytest.mark.parametrize("middle", ["-99999999999999", "1_0", " 5", "\u0663" * 15, "9" * 230, ""])
async def test_what_python_reads_as_a_number_is_a_moment_only_where_it_is_digits(
    desk: Desk, middle: str
) -> None:
    """One such name was the moment to which the journal reached back, and too old to be kept."""
    other = desk.directory / f"journal-{middle}.zkdns"
    other.write_text("mine")
    began = desk.now
    await desk.put("a")
    assert read_changes(desk.directory, Query()).since == pytest.approx(began, abs=0.01)
    assert other.read_text() == "mine"


async def test_each_writing_is_on_the_disk_before_it_counts_as_written_and_so_is_a_new_segments_name(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut costs what came since (fsync(2): of a new file its folder, too)."""
    synced: dict[Path, int] = {}
    real = os.fsync

    def fsync(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        synced[path] = len(list(path.iterdir())) if path.is_dir() else path.stat().st_size
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    for n in range(3):
        await desk.put(f"i{n}")
        (segment,) = segments(desk.directory)
        assert synced[segment] == segment.stat().st_size
        assert synced[desk.directory] == 1
    synced.clear()
    desk.now += journal_files.MAX_SEGMENT_SECONDS + 1
    await desk.put("later")
    first, second = segments(desk.directory)
    assert (synced[first], synced[second]) == (first.stat().st_size, second.stat().st_size)
    assert synced[desk.directory] == 2


async def test_what_was_left_out_is_summed_up_and_how_its_service_stands_told_anew(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.put("a")
    monkeypatch.setattr(journal_files, "MAX_WAITING_BYTES", -1)
    at = desk.now
    await desk.put("b")
    monkeypatch.undo()
    assert read_world(desk.directory, at - 0.5).unknown.keys() == set()
    desk.now += journal_files.SNAPSHOT_EVERY
    await desk.put("c")
    (one,) = desk.services.values()
    assert read_world(desk.directory, desk.now).services()["web"].instances == one.instances
    assert [(c.id, c.now) for c in read_changes(desk.directory, Query()).changes] == [
        ("a", "healthy"), ("", "1 change"), ("c", "healthy"),
    ]  # fmt: skip
    await desk.put_all(f"later{n}" for n in range(5))
    assert len(segments(desk.directory)) == 1


class Tenants:
    """A journal of 1 MiB for a day, of which a half is full; `quiet` changes every minute, `flap` whenever it
    is told to. It is written every `PAUSE` seconds."""

    PAUSE = 5

    def __init__(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        self.desk = desk
        monkeypatch.setattr(journal_room, "MIN_SEGMENT_BYTES", 32 << 10)
        desk.files = JournalFiles(desk.directory, lambda: desk.services, 1, 1, lambda: desk.now)
        self.quiet: list[Change] = []

    def change(self, name: str, weight: int) -> Change:
        one = Instance("a", "a", f"/services/{name}/a", Registration(("10.0.0.1",)), 0.0, weight=weight)
        shell = Service(name, name, f"/services/{name}")
        shells = {} if name in self.desk.services else {name: shell}
        self.desk.services[name] = Service(name, name, shell.path, instances=(one,))
        told = Change(self.desk.now, weight, name, "a", "weight", str(weight - 1), str(weight), instance=one)
        self.desk.files.add(self.desk.now, Record((told,), shells))
        return told

    async def live(self, minutes: int, flaps: int) -> None:
        """`flaps`: so many times from one writing to the next."""
        for minute in range(minutes):
            self.quiet.append(self.change("quiet", len(self.quiet)))
            for _ in range(60 // self.PAUSE):
                for n in range(flaps):
                    self.change("flap", minute + n)
                await self.desk.files.write()
                self.desk.now += self.PAUSE


async def test_a_service_that_flaps_takes_no_more_of_the_journal_than_its_share(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenants = Tenants(desk, monkeypatch)
    await tenants.live(30, 0)
    await tenants.live(60, 20)
    await desk.files.close()
    known = read_changes(desk.directory, Query(limit=100_000)).changes
    assert [change.at for change in known] == sorted(change.at for change in known)
    quiet = [replace(change, instance=None) for change in tenants.quiet]
    assert [change for change in known if change.service == "quiet"] == quiet, "all of an hour and a half"
    assert sum(path.stat().st_size for path in desk.directory.iterdir()) < 1 << 20
    newest = [change.zxid for change in known if change.service == "flap" and change.id][-200:]
    assert sorted(newest) == sorted(59 + n for _ in range(10) for n in range(20)), "one by one"
    sums = [change for change in known if change.service == "flap" and not change.id]
    written = sum(change.service == "flap" and change.id != "" for change in known)
    assert sums
    assert all("left out: it changes too often (a)" in change.why for change in sums)
    total = written + sum(int(change.now.split()[0]) for change in sums)
    in_a_minute = 60 // tenants.PAUSE * 20
    assert 0 <= total - 60 * in_a_minute <= 2 * in_a_minute, (
        "none is forgotten; those of two minutes may be told twice"
    )
    for moment in (desk.now - 1800, desk.now - 1):
        world = read_world(desk.directory, moment)
        assert world.services()["quiet"].instances
        assert "flap" in world.unknown or world.services()["flap"].instances


async def test_once_it_is_quiet_again_how_it_stands_is_known(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenants = Tenants(desk, monkeypatch)
    await tenants.live(30, 20)
    await desk.files.write()
    assert "flap" in read_world(desk.directory, desk.now).unknown
    desk.now += 86_400 / 2
    await desk.files.write()
    world = read_world(desk.directory, desk.now)
    assert not world.unknown
    assert world.services() == desk.services


async def test_what_is_left_out_while_its_service_is_told_anew_is_not_taken_for_known(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenants = Tenants(desk, monkeypatch)
    await tenants.live(30, 20)
    desk.now += 86_400 / 2
    real = journal_lines.spell_anew

    def spell(at: float, name: str, service: Service | None) -> Iterator[bytes]:
        for n in range(500):  # in the middle of it
            tenants.change("flap", n)
        return real(at, name, service)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(journal_lines, "spell_anew", spell)
        await desk.files.write()
    await desk.files.write()
    world = read_world(desk.directory, desk.now)
    assert "flap" in world.unknown or world.services()["flap"] == desk.services["flap"]
    assert "flap" in world.unknown


async def test_while_there_is_room_whoever_changes_much_is_written_as_it_comes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenants = Tenants(desk, monkeypatch)
    await tenants.live(1, 15)
    known = read_changes(desk.directory, Query("flap", limit=10_000)).changes
    assert len(known) == 60 // tenants.PAUSE * 15
    assert desk.files.left_out == 0


async def test_what_is_left_out_at_the_end_is_summed_up_there(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenants = Tenants(desk, monkeypatch)
    await tenants.live(10, 20)
    before = desk.files.left_out
    tenants.change("flap", 5)
    assert desk.files.left_out == before + 1
    await desk.files.close()
    for path in OFTEN.paths_in(desk.directory):
        path.unlink()
    last = read_changes(desk.directory, Query("flap")).changes[-1]
    assert (last.id, last.what) == ("", "weight")


async def test_what_is_asked_for_is_looked_for_in_each_segment_that_may_have_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_files, "MAX_SEGMENT_SECONDS", 0.0)
    await desk.put_all((f"i{n}" for n in range(4)), apart=journal_files.SNAPSHOT_EVERY)
    began = [SEGMENTS.began_at(path) for path in segments(desk.directory)]
    assert len(began) == 4
    for n in range(4):
        after = [f"i{k}" for k in range(n, 4)]
        found, *_ = read_changes(desk.directory, Query(since=1_000_000.0 + n * 61))
        assert [c.id for c in found] == after


async def test_a_segment_whose_end_is_young_enough_stays_though_its_beginning_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path, days=1.0)
    monkeypatch.setattr(journal_files, "MAX_SEGMENT_SECONDS", 40_000.0)
    await desk.put_all((f"i{n}" for n in range(4)), apart=50_000)
    days = [(desk.now - SEGMENTS.began_at(path)) / 86_400 for path in segments(desk.directory)]
    assert [round(age, 2) for age in days] == [1.74, 1.16, 0.58], "what is a day old is in the first"


seconds = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 3), st.booleans(), st.sampled_from([1, 1, 1, 60, 4000])),
    max_size=30,
)
"""How often `flap` and `db` change in a second, whether `flap` goes in it, and when the next begins."""


@settings(deadline=None, max_examples=examples(30))
@given(seconds)
def test_whatever_is_left_out_no_moment_is_told_otherwise_than_it_was(
    tmp_path_factory: pytest.TempPathFactory, lives: list[tuple[int, int, bool, int]]
) -> None:
    desk = Desk(tmp_path_factory.mktemp("journal"))
    stood: list[tuple[float, dict[str, Service]]] = []
    every: list[tuple[str, str, int]] = []

    async def live() -> None:
        for flaps, changes, goes, rest in lives:
            for name in ["flap"] * flaps + ["db"] * changes:
                told = tenants.change(name, len(every))
                every.append((told.service, told.id, told.zxid))
            if goes and "flap" in desk.services:
                (one,) = desk.services.pop("flap").instances
                gone = Change(desk.now, len(every), "flap", "a", "gone", "healthy", "", instance=one)
                every.append(("flap", "a", gone.zxid))
                desk.files.add(desk.now, Record((gone,), {"flap": None}))
            stood.append((desk.now, dict(desk.services)))
            await desk.files.write()
            desk.now += rest
        await desk.files.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal_files, "SNAPSHOT_EVERY", 5.0)
        tenants = Tenants(desk, patch)
        patch.setattr(journal_room, "MIN_SEGMENT_BYTES", 1500)
        desk.files = JournalFiles(desk.directory, lambda: desk.services, 1, 0.02, lambda: desk.now)
        asyncio.run(live())
    for at, services in stood:
        try:
            world = read_world(desk.directory, at)
        except OutOfReach:
            continue
        known = {name: one for name, one in world.services().items() if name not in world.unknown}
        assert world.unknown.keys() <= world.services().keys(), "whose name is looked for is found"
        assert known == {name: one for name, one in services.items() if name not in world.unknown}
    rows = [c for c in read_changes(desk.directory, Query(limit=10_000)).changes if c.id]
    assert [c.at for c in rows] == sorted(c.at for c in rows)
    for name in ("flap", "db"):
        own = [(c.service, c.id, c.zxid) for c in rows if c.service == name]
        assert own == [row for row in every if row in own], "each once, in their order"


async def test_a_clock_that_was_ahead_leaves_nothing_that_pushes_out_what_came_since(desk: Desk) -> None:
    """Files bear the moment at which they began: those of a clock that is set back are ahead of others."""
    real = desk.now
    desk.set(10 * 365 * 86_400)
    await desk.put_all(["a", "b"])
    assert len(segments(desk.directory)) == 1
    desk.set(real - desk.now)
    await desk.put("c")
    began = {SEGMENTS.began_at(path) for path in segments(desk.directory)}
    assert real in began, "what stands now is not read as of ten years later"
    assert [i.id for i in read_world(desk.directory, real + 0.5).services()["web"].instances] == [
        "a",
        "b",
        "c",
    ]
    most, week = 1.0, 7 * 86_400.0
    assert SEGMENTS.remove_old(desk.directory, most, real + 1, week) > 0
    assert [SEGMENTS.began_at(path) for path in segments(desk.directory)] == [real], (
        "the other one went first"
    )


async def test_a_journal_that_could_not_be_written_is_tried_again_though_the_clock_is_set_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SEGMENTS.__class__, "path", lambda self, folder, now: folder / "none" / "such")
    await desk.put("a")
    assert desk.files.problem is not None
    monkeypatch.undo()
    desk.set(-3600)
    await desk.put("b")
    desk.now += journal_files.RETRY_EVERY
    await desk.files.write()
    assert desk.files.problem is None
    await desk.files.close()


async def test_a_folder_that_was_moved_is_written_to_no_more(desk: Desk) -> None:
    """Who keeps an old state directory so had the journal go on there, where nobody looks."""
    await desk.put("a")
    moved = desk.directory.with_name("moved")
    desk.directory.rename(moved)
    desk.directory.mkdir()
    (before,) = segments(moved)
    size = before.stat().st_size
    await desk.put("b")
    assert before.stat().st_size == size
    assert {i.id for i in read_world(desk.directory, desk.now).services()["web"].instances} == {"a", "b"}


async def test_a_segment_that_somebody_removes_is_followed_by_another(desk: Desk) -> None:
    await desk.put("a")
    for path in segments(desk.directory):
        path.unlink()
    await desk.put("b")
    await desk.put("c")
    assert [i.id for i in read_world(desk.directory, desk.now).services()["web"].instances] == ["a", "b", "c"]
    assert [c.id for c in read_changes(desk.directory, Query("web")).changes] == ["b", "c"]


@pytest.mark.parametrize("is_set_back", [True, False])
async def test_a_clock_that_is_set_far_ahead_makes_nothing_old_before_it_was_so_for_an_hour(
    desk: Desk, is_set_back: bool
) -> None:
    await desk.put_all(["a", "b"], 90_000.0)
    kept, real = segments(desk.directory), desk.now
    desk.set(400 * 86_400)
    await desk.put("c")
    assert segments(desk.directory)[: len(kept)] == kept
    if is_set_back:
        desk.set(real - desk.now)
    for _ in range(3):
        desk.now += 90_000.0
        await desk.put("d")
    assert (kept[0] in segments(desk.directory)) is is_set_back


@pytest.fixture
def unset(desk: Desk) -> Iterator[tuple[Desk, float]]:
    """A machine that thinks it is 1970, which has written of `a` and `b`, and is to write of `c`; and by how
    much it is behind."""
    desk.now, by = 100.0, FIRST + 86_400.0

    async def live() -> None:
        await desk.put_all(["a", "b"])
        desk.tell("c")
        desk.now += 1

    asyncio.run(live())
    yield desk, by
    asyncio.run(desk.files.close())


def test_what_was_written_before_anybody_set_the_clock_is_dated_once_somebody_does(
    unset: tuple[Desk, float],
) -> None:
    desk, by = unset
    (path,) = segments(desk.directory)
    path.write_bytes(path.read_bytes() + b"no line\n")
    desk.set(by)
    asyncio.run(desk.put("d"))
    history = read_changes(desk.directory, Query(since=desk.now - 60))
    assert [(c.id, c.at - by) for c in history.changes] == [("a", 100), ("b", 101), ("c", 102), ("d", 103)]
    assert history.since == 100 + by
    assert [SEGMENTS.began_at(path) - by for path in segments(desk.directory)] == [100, 103]
    assert [i.id for i in read_world(desk.directory, 100.5 + by).services()["web"].instances] == ["a"]
    with pytest.raises(OutOfReach, match="reach back"):
        read_world(desk.directory, desk.now - 3600)
    assert len(find_damage(desk.directory)) == 1, "what could not be read still can't be"


def test_what_can_not_be_dated_stays_as_it_is(
    unset: tuple[Desk, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, by = unset

    def fill(path: Path) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(journal_undated, "create_aside", fill)
    desk.set(by)
    asyncio.run(desk.put("d"))
    assert [SEGMENTS.began_at(path) for path in segments(desk.directory)] == [100, 103 + by]
    assert [c.id for c in read_changes(desk.directory, Query()).changes] == ["a", "b", "c", "d"]


def test_what_is_dated_in_part_as_the_disk_is_full_is_not_left_there(
    unset: tuple[Desk, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, by = unset
    before = segments(desk.directory)

    def fill(handle: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "fsync", fill)
    with pytest.raises(OSError, match="no space"):
        journal_undated.date_files(SEGMENTS, before, by)
    assert segments(desk.directory) == before


@pytest.mark.parametrize("by", [-3 * 3600.0, 3 * 3600.0])
async def test_a_clock_that_was_set_already_and_is_set_anew_dates_nothing_anew(desk: Desk, by: float) -> None:
    desk.now = FIRST + 86_400
    await desk.put("a")
    desk.set(by)
    await desk.put("b")
    assert {c.id: c.at - FIRST for c in read_changes(desk.directory, Query()).changes} == {
        "a": 86_400, "b": 86_401 + by,
    }  # fmt: skip
    await desk.files.close()


def long_changes(desk: Desk, count: int, size: int) -> Record:
    """Instances that come, each with so long an id."""
    ids = [f"{n:04}".ljust(size, "x") for n in range(count)]
    told = (Change(desk.now, n, "web", id, "registered", "", "healthy") for n, id in enumerate(ids))
    return Record(tuple(told), {"web": Service("web", "web", "/services/web")})


@pytest.mark.parametrize(("count", "size"), [(60, 100_000), (3 * SLICE, 10)])
def test_what_came_at_once_is_spelled_by_bytes_and_by_lines(desk: Desk, count: int, size: int) -> None:
    record, lines, spelled = long_changes(desk, count, size), [0], [0]
    for _ in desk.files.steps(desk.now, record):
        lines.append(len(desk.files._waiting))
        spelled.append(desk.files._waiting_bytes)
    lines.append(len(desk.files._waiting))
    spelled.append(desk.files._waiting_bytes)
    assert lines[-1] == count + 1
    assert max(b - a for a, b in itertools.pairwise(spelled)) <= SPELLED_BYTES + size + 1000
    assert max(b - a for a, b in itertools.pairwise(lines)) <= SLICE
    assert len(lines) > 3


async def test_a_segment_does_not_begin_between_two_lines_of_a_moment(desk: Desk) -> None:
    """What stands then has all of them, and the rest would be looked for in the segment before."""
    await desk.put("a")
    desk.now += journal_files.MAX_SEGMENT_SECONDS
    steps = desk.files.steps(desk.now, long_changes(desk, 3 * SLICE, 10))
    next(steps)
    await desk.files.write()
    assert len(segments(desk.directory)) == 1
    for _ in steps:
        pass
    desk.now += 1
    await desk.files.write()
    first, _ = segments(desk.directory)
    assert first.read_bytes().count(b'"registered"') == 3 * SLICE + 1


async def test_what_two_servers_wrote_in_one_directory_is_told_once(tmp_path: Path) -> None:
    """A restart by overlap, of servers with the same settings: both see what changes meanwhile."""
    old, new = Desk(tmp_path), Desk(tmp_path)
    await old.put_all(["a", "b"])
    new.services, new.now = dict(old.services), old.now + 0.5
    new.files.begin(new.now, new.services)
    for n in range(3):
        for desk in (old, new):
            desk.tell(f"both{n}")
            if not n:
                own = Change(desk.now, 1 + (desk is new), "db", "", "registered", "", "registered")
                desk.files.add(desk.now, Record((own,)))
            await desk.files.write()
            desk.now += 1
    await old.put("old")
    new.now += 1
    await new.put_all(["new", "both0"])
    told = [change.id or change.service for change in read_changes(tmp_path, Query()).changes]
    assert told == ["a", "b", "both0", "db", "both1", "both2", "old", "new", "both0"]

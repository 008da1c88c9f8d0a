"""What a server remembers of changes: from the first of them on, and over its restarts."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from support.listening import Listening
from zkdns.config import Address, Settings
from zkdns.model import Change, Instance, Registration, Service, State
from zkdns.pipeline import changes, journal, journal_memory, journal_reading
from zkdns.pipeline.journal import Query
from zkdns.pipeline.journal_files import JournalFiles
from zkdns.server.recorder import MAX_DAMAGED, Recorder
from zkdns.steps import SLICE
from zkdns.topology import parse_topology


def test_what_is_remembered_begins_with_the_first_change_and_not_after_it() -> None:
    first = Change(time.time() - 3, 1, "web", "a", "registered", "", "healthy")
    second = Change(time.time() - 2, 2, "web", "b", "registered", "", "healthy")
    recorder = Recorder(Settings(), {})
    recorder.take([first, second])
    changes, since, _ = recorder.history(Query("web"))()
    assert changes == [first, second]
    assert since == first.at


def test_where_networks_stood_is_remembered_with_each_change_of_it() -> None:
    maps = [parse_topology("map", {"10.0.0.0/8": zone})[0] for zone in ("here", "there")]
    stands = maps[0]
    recorder = Recorder(Settings(), {}, lambda: stands)
    at = time.time()
    recorder.take([Change(at, 1, "web", "a", "registered", "", "healthy")])
    time.sleep(0.01)
    between = time.time()
    time.sleep(0.01)
    stands = maps[1]
    recorder.take([Change(time.time(), 2, "", "topology", "settings", "here", "there")])
    assert recorder.world_at(between)().topology == maps[0]
    assert recorder.world_at(time.time())().topology == maps[1]


def healthy(id: str, zxid: int = 7) -> Instance:
    registered = Registration((f"10.0.0.{ord(id)}",), port=80)
    return Instance(id, id, f"/s/web/{id}", registered, 0.0, weight=1, zxid=zxid, state=State.HEALTHY)


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """By how many seconds somebody sets the clock."""
    real, ahead = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + ahead[0])
    return ahead


async def test_what_is_remembered_of_the_time_before_the_clock_was_set_is_dated_then(
    ahead: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead[0] = -time.time()
    recorder = Recorder(Settings(), {})
    await recorder.write()
    some = [Change(time.time(), n, "web", f"i{n}", "state", "x", "y") for n in range(3 * SLICE)]
    recorder.take(some)
    await recorder.write()
    behind, ahead[0] = ahead[0], 0.0
    await recorder.write()
    for _ in some:  # in steps
        await asyncio.sleep(0)
    dated, since, _ = recorder.history(Query(limit=10_000))()
    assert [change.at + behind for change in dated] == pytest.approx([change.at for change in some], abs=0.1)
    assert since == pytest.approx(time.time(), abs=60)
    with pytest.raises(journal.OutOfReach):
        recorder.world_at(time.time() - 3600)()


async def test_before_the_clock_is_set_a_journal_goes_on_where_it_ended(
    ahead: list[float], tmp_path: Path
) -> None:
    ids = ["a"]
    for behind in (0.0, -time.time()):
        ahead[0] = behind
        web = Service("web", "web", "/s/web", instances=tuple(map(healthy, ids)))
        recorder = Recorder(Settings(state=str(tmp_path)), {"web": web})
        recorder.take(changes.between(None, web, changes.Moment(time.time(), 9)))
        await recorder.write()
        await recorder.close()
        ids.append("b")
    ahead[0] = 0.0
    told = journal_reading.read_changes(tmp_path, Query()).changes
    assert sorted(change.id for change in told) == ["", "a", "b"], "each once"


async def test_a_journal_goes_on_after_a_restart_with_what_changed_meanwhile(tmp_path: Path) -> None:
    def web(*ids: str) -> Service:
        return Service("web", "web", "/s/web", instances=tuple(map(healthy, ids)))

    async def live(*steps: Service, ready_at: int = 0) -> Recorder:
        """A server that reads the first of these at its start, sees the others, and ends."""
        services: dict[str, Service] = {}
        stage = {"ready": False}
        recorder = Recorder(Settings(state=str(tmp_path)), services, is_ready=lambda: stage["ready"])
        for n, after in enumerate(steps):
            before = services.get("web")
            services["web"] = after
            stage["ready"] = n >= ready_at
            recorder.take(changes.between(before, after, changes.Moment(time.time(), 9)))
            if n < len(steps) - 1:
                await asyncio.sleep(0.01)
        await recorder.write()
        await recorder.close()
        await asyncio.sleep(0.01)
        return recorder

    def told(recorder: Recorder) -> list[tuple[str, str]]:
        return [(c.id, c.what) for c in recorder.history(Query())()[0]]

    first = [("", "registered"), ("a", "registered"), ("b", "registered")]
    assert told(await live(web("a", "b"))) == first
    assert told(await live(web("a", "b"))) == first, "what is read again is no change"
    moved = [*first, ("b", "gone"), ("c", "registered")]
    assert told(await live(web("a", "c"))) == moved
    # Of what a start reads step by step the last counts; what comes after it is told as it came.
    recorder = await live(web("a"), web("a", "c"), web("a", "c", "d"), web("a", "c"), ready_at=1)
    assert told(recorder) == [*moved, ("d", "registered"), ("d", "gone")]
    stands = recorder.world_at(time.time())().services()["web"]
    assert [i.id for i in stands.instances] == ["a", "c"]


async def test_what_changes_right_after_a_restart_is_no_part_of_it(tmp_path: Path) -> None:
    def web(*ids: str) -> Service:
        return Service("web", "web", "/s/web", instances=tuple(map(healthy, ids)))

    def take(recorder: Recorder, services: dict[str, Service], after: Service) -> None:
        before, services["web"] = services.get("web"), after
        recorder.take(changes.between(before, after, changes.Moment(time.time(), 9)))

    for _ in range(2):
        services: dict[str, Service] = {}
        stage = {"ready": False}
        recorder = Recorder(Settings(state=str(tmp_path)), services, is_ready=lambda: stage["ready"])  # noqa: B023
        take(recorder, services, web("a"))
        stage["ready"] = True
        recorder.begin()
        between = time.time()
        await asyncio.sleep(0.01)
        take(recorder, services, web("b"))
        await recorder.write()
        await recorder.close()
        await asyncio.sleep(0.01)
    stood = recorder.world_at(between)().services()["web"]
    assert [i.id for i in stood.instances] == ["a"]


async def test_after_a_restart_services_stand_as_they_were_found(tmp_path: Path) -> None:
    """One that went while the server was away is gone; and it goes on though nothing more is ever told."""
    web, db = (Service(name, name, f"/s/{name}", instances=(healthy("a"),)) for name in ("web", "db"))

    async def live(services: dict[str, Service], *, tells: bool) -> Recorder:
        stage = {"ready": False}
        recorder = Recorder(Settings(state=str(tmp_path)), services, is_ready=lambda: stage["ready"])
        moment = changes.Moment(time.time(), 9)
        for service in services.values():
            recorder.take(changes.between(None, service, moment))
        stage["ready"] = True
        if tells:
            recorder.take(())
        await recorder.write()
        await recorder.close()
        await asyncio.sleep(0.01)
        return recorder

    await live({"web": web, "db": db}, tells=True)
    recorder = await live({"web": web}, tells=False)
    assert set(recorder.world_at(time.time())().services()) == {"web"}
    assert [(c.service, c.what) for c in recorder.history(Query())()[0]][-2:] == [("db", "gone")] * 2


async def test_over_restarts_a_registry_is_told_once_to_be_away_and_once_to_be_back(tmp_path: Path) -> None:
    async def live(*words: tuple[str, str, str], within: tuple[str, ...] = ()) -> None:
        """A start that tells these of registries, and its end."""
        recorder = Recorder(Settings(state=str(tmp_path)), {}, within=lambda: within)
        recorder.take([Change(time.time(), 1, "", id, "registry", was, now) for id, was, now in words])
        await recorder.write()
        await recorder.close()
        told.append([(c.id, c.now) for c in recorder.history(Query())()[0][sum(map(len, told)) :]])
        await asyncio.sleep(0.01)

    told: list[list[tuple[str, str]]] = []
    away, back = ("within reach", "out of reach"), ("out of reach", "within reach")
    await live(("r1", *away), within=("r2",))
    await live(("r1", *away), within=("r2",))
    await live(("r1", *away), ("r2", *away))
    await live(("r2", *away), ("r2", *back), within=("r1",))
    await live(within=("r1", "r2"))
    assert told == [
        [("r1", "out of reach")],
        [],
        [("r2", "out of reach")],
        [("r1", "within reach"), ("r2", "within reach")],
        [],
    ]


def test_a_service_is_noted_again_only_where_it_became_another(monkeypatch: pytest.MonkeyPatch) -> None:
    records: list[journal.Record] = []
    monkeypatch.setattr(
        journal_memory.MemoryJournal, "steps", lambda self, at, record: iter(records.append(record) or ())
    )
    services = {"web": Service("web", "web", "/web")}
    recorder = Recorder(Settings(), services)
    change = Change(time.time(), 1, "web", "a", "registered", "", "healthy")
    recorder.take([change])
    recorder.take([change])
    services["web"] = Service("web", "web", "/web", note="another")
    recorder.take([change])
    del services["web"]
    recorder.take([change])
    recorder.take([change])
    assert [[*r.shells.values()] for r in records] == [
        [Service("web", "web", "/web")], [], [Service("web", "web", "/web", note="another")], [None], [],
    ]  # fmt: skip
    assert [r.topology is None for r in records] == [False, True, True, True, True], "the map stands"


async def test_in_memory_a_flood_is_kept_whole_and_in_steps() -> None:
    many = [
        Change(time.time(), 1, "web", f"i{n}", "registered", "", "healthy")
        for n in range(journal.MAX_AT_ONCE + 1)
    ]
    recorder = Recorder(Settings(), {})
    recorder.take(many)
    recorder.take([replace(many[0], what="gone")])
    kept = [len(recorder.history(Query("web", limit=9999))()[0])]
    while kept[-1] <= len(many):
        await asyncio.sleep(0)
        kept.append(len(recorder.history(Query("web", limit=9999))()[0]))
    assert max(later - before for before, later in pairwise([0, *kept])) <= SLICE
    assert recorder.history(Query("web", limit=9999))()[0] == [*many, replace(many[0], what="gone")]
    assert recorder.world_at(time.time())().services() == {}


async def test_what_is_written_is_all_that_was_taken_though_it_is_spelled_in_steps(tmp_path: Path) -> None:
    recorder = Recorder(Settings(state=str(tmp_path)), {})
    at = time.time()
    some = [
        Change(at, n, "web", f"{n:03}".ljust(20_000, "x"), "registered", "", "healthy") for n in range(100)
    ]
    last = Change(at, 100, "db", "a", "registered", "", "healthy")
    recorder.take(some)
    recorder.take([last])
    assert len(recorder._unkept) == 2, "the first of them is spelled in part"
    await recorder.write()
    assert journal_reading.read_changes(tmp_path, Query(limit=1000)).changes == [*some, last]
    recorder.take(some)
    await recorder.close()
    assert len(journal_reading.read_changes(tmp_path, Query(limit=1000)).changes) == 201


def test_services_without_anybody_are_told_of_since_when() -> None:
    services = {"web": Service("web", "web", "/web")}
    recorder = Recorder(Settings(), services)
    recorder.take([Change(5.0, 1, "web", "", "registered", "", "registered")])
    assert recorder.outages.standing().keys() == {"web"}


async def test_lines_of_an_earlier_journal_that_cannot_be_read_are_told_until_their_file_goes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def live() -> Recorder:
        recorder = Recorder(Settings(state=str(tmp_path)), {"web": Service("web", "web", "/s/web")})
        recorder.take([Change(time.time(), 1, "web", "a", "registered", "", "healthy")])
        recorder.take([Change(time.time(), 2, "web", "b", "registered", "", "healthy")])
        await recorder.write()
        await recorder.close()
        return recorder

    assert (await live()).problems == []
    (path,) = journal_reading.segments(tmp_path)
    first, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([first, b"garbage" + rest[0][7:], *rest[1:]]))
    recorder = await live()
    (told,) = recorder.problems
    assert (told.path, told.what) == (str(path), "1 line of the journal can't be read")
    assert told.what in caplog.text
    path.unlink()
    assert recorder.problems == []


async def test_of_thousands_of_damaged_files_the_newest_are_told(tmp_path: Path) -> None:
    """Each row is looked at whenever somebody asks what is wrong."""
    began = int(time.time() * 1000) - 60_000
    paths = [tmp_path / f"journal-{began + n}.zkdns" for n in range(MAX_DAMAGED + 5)]
    for path in paths:
        path.write_bytes(b"garbage\n")
    recorder = Recorder(Settings(state=str(tmp_path)), {})
    await recorder.write()
    await recorder.close()
    assert [problem.path for problem in recorder.problems] == [str(path) for path in paths[5:]]


async def test_what_is_being_written_as_the_server_ends_is_written_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waited for it is cancelled then: of two threads in one file each would close the other's."""
    recorder = Recorder(Settings(state=str(tmp_path)), {})
    real, threads, at_once = JournalFiles._write, 0, 0
    begun, may_go_on = threading.Event(), threading.Event()

    def write(*given: Any, **more: Any) -> dict[str, int]:
        nonlocal threads, at_once
        threads += 1
        at_once = max(at_once, threads)
        begun.set()
        assert may_go_on.wait(10)
        try:
            return real(*given, **more)
        finally:
            threads -= 1

    monkeypatch.setattr(JournalFiles, "_write", write)
    recorder.take([Change(time.time(), 1, "web", "a", "state", "healthy", "drained")])
    writing = asyncio.create_task(recorder.write())
    assert await asyncio.to_thread(begun.wait, 10)
    recorder.take([Change(time.time(), 2, "web", "b", "state", "healthy", "drained")])
    writing.cancel()
    closing = asyncio.create_task(recorder.close())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not closing.done()
    may_go_on.set()
    await closing
    assert at_once == 1
    assert [c.id for c in journal_reading.read_changes(tmp_path, Query()).changes] == ["a", "b"]


@pytest.mark.parametrize("kept", ["in memory", "on disk"])
async def test_who_asks_for_the_history_is_told_what_is_not_written_yet(kept: str, tmp_path: Path) -> None:
    """Files are written once a second: an order was in the answers, and the history did not know of it."""
    recorder = Recorder(Settings(state=str(tmp_path) if kept == "on disk" else ""), {})
    server = Listening(recorded=recorder.write, history=recorder.history)
    await server.web.start(Address(*server.address))
    told = []
    for n in range(3):
        recorder.take([Change(time.time(), n + 1, "web", f"i{n}", "state", "healthy", "drained")])
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(b"GET /api/v1/history HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        body = await reader.read()
        told.append([one for one in range(3) if b'"i%d"' % one in body])
        writer.close()
    await server.web.stop()
    await recorder.close()
    assert told == [[0], [0, 1], [0, 1, 2]]


@pytest.mark.parametrize("kept", ["in memory", "on disk"])
async def test_at_the_time_that_is_told_of_a_change_all_stood_as_it_says(kept: str, tmp_path: Path) -> None:
    """We are told of it some milliseconds later: until then it stood as before it."""
    services = {"web": Service("web", "web", "/s/web")}
    recorder = Recorder(Settings(state=str(tmp_path) if kept == "on disk" else ""), services)
    began = time.time() - 60
    for n in range(5):
        one = Instance(f"i{n}", f"i{n}", f"/s/web/i{n}", Registration(("10.0.0.1",)), 0.0)
        recorder.take([Change(began + n, n, "web", one.id, "registered", "", "healthy", instance=one)])
    await recorder.write()
    for n in range(5):
        stood = recorder.world_at(began + n)().services()["web"]
        assert [i.id for i in stood.instances] == [f"i{k}" for k in range(n + 1)]
    await recorder.close()

"""The state directory of a server: one file a registry, as old as it was known, and never of another one."""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from zkdns.config import Settings
from zkdns.model import (
    Begin,
    Catalog,
    Children,
    ConfigError,
    Data,
    Instance,
    Override,
    Session,
    Stat,
    Whole,
)  # fmt: skip
from zkdns.pipeline.inputs import Heard
from zkdns.pipeline.pipeline import Pipeline
from zkdns.registry import state, state_items
from zkdns.registry.url import parse_registry
from zkdns.roots import OVERRIDES, TOPOLOGY
from zkdns.server import state_directory
from zkdns.server.state_directory import AT_A_TIME, Kept, StateDirectory, is_same
from zkdns.topology import Place

NOW = 1_700_000_000.0


def a_pipeline(*urls: str) -> Pipeline:
    named = [replace(parse_registry(url), name=f"r{n}") for n, url in enumerate(urls, 1)]
    return Pipeline(Settings(registry=tuple(named)), NOW)


def read(pipeline: Pipeline, registry: str = "r1", *services: str) -> None:
    """The registry was read whole."""
    hear(pipeline, registry, *services)
    pipeline.ready(NOW)


def hear(pipeline: Pipeline, registry: str, *services: str) -> None:
    """The same, and nothing of it is shown yet."""
    zxid = 0x100000001
    roots = [r for r in pipeline.registries[registry].reducers if r != "/services"]
    for root in roots:
        pipeline.step(Heard(registry, root, (Begin(), Whole(), Session(True))), NOW)
    events = [Begin(), Children("/services", services, zxid)]
    for name in services:
        events.append(Children(f"/services/{name}", ("a",), zxid))
        stat = Stat(zxid, zxid, NOW, True)
        events.append(Data(f"/services/{name}/a", b'{"address": "10.0.0.1"}', stat))
    pipeline.step(Heard(registry, "/services", (*events, Whole(), Session(True))), NOW)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


ONE = ("zk://h:1/services",)
TWO = ("zk://h:1/services", "zk://i:1/services")


async def test_what_was_kept_is_remembered_with_its_serial_and_overrides(tmp_path: Path) -> None:
    before = a_pipeline(*ONE)
    read(before, "r1", "web")
    stat = Stat(9, 9, NOW, False)
    for event in (
        Children(OVERRIDES, ("web",), 7),
        Children(f"{OVERRIDES}/web", ("a",), 8),
        Data(f"{OVERRIDES}/web/a", b'{"drain": true}', stat),
    ):
        before.step(Heard("r1", OVERRIDES, (event,)), NOW)
    await StateDirectory(str(tmp_path), before).stop()
    assert files(tmp_path) == ["catalog.zkdns"]
    (remembered,) = await StateDirectory(str(tmp_path), a_pipeline(*ONE)).load()
    assert remembered.registry == "r1"
    assert set(remembered.catalog.services) == {"web"}
    assert remembered.catalog.serial == before.registries.serial
    assert remembered.overrides == {("web", "a"): Override(drain=True)}


async def kept(folder: Path) -> dict[str, set[str]]:
    """What is on disk, by registry."""
    loaded = await StateDirectory(str(folder), a_pipeline(*TWO)).load()
    return {one.registry: set(one.catalog.services) for one in loaded}


async def begun_anew(folder: Path) -> Pipeline:
    """Where two registries were kept, one that has read the first again."""
    before = a_pipeline(*TWO)
    read(before, "r1", "web")
    read(before, "r2", "db")
    await StateDirectory(str(folder), before).stop()
    fresh = a_pipeline(*TWO)
    read(fresh, "r1", "web")
    return fresh


async def test_a_start_that_shows_nothing_yet_leaves_what_was_kept(tmp_path: Path) -> None:
    fresh = await begun_anew(tmp_path)
    assert fresh.is_loading, "the other one may be there in a moment"
    assert fresh.registries["r1"].is_whole
    await StateDirectory(str(tmp_path), fresh).stop()
    assert await kept(tmp_path) == {"r1": {"web"}, "r2": {"db"}}


async def test_a_registry_that_is_read_later_is_kept_once_all_of_it_is_shown(tmp_path: Path) -> None:
    fresh = await begun_anew(tmp_path)
    fresh.ready(NOW + 60)
    assert not fresh.is_loading
    hear(fresh, "r2", "db", "cache")
    await StateDirectory(str(tmp_path), fresh).stop()
    assert await kept(tmp_path) == {"r1": {"web"}, "r2": {"db"}}
    fresh.ready(NOW + 60)
    await StateDirectory(str(tmp_path), fresh).stop()
    assert await kept(tmp_path) == {"r1": {"web"}, "r2": {"db", "cache"}}


async def test_the_map_of_networks_is_remembered_too(tmp_path: Path) -> None:
    before = a_pipeline(*ONE)
    read(before, "r1", "web")
    directory = StateDirectory(str(tmp_path), before)
    await directory.stop()
    data = b'{"10.1.0.0/16": "eu/eu-1a"}'
    root = TOPOLOGY
    before.step(Heard("r1", root, (Data(root, data, Stat(9, 9, NOW, False)),)), NOW)
    await directory.stop()
    after = a_pipeline(*ONE)
    (remembered,) = await StateDirectory(str(tmp_path), after).load()
    after.step(remembered, NOW)
    assert after.builder.topology.place_of("10.1.2.3") == Place("eu", "eu-1a")
    read(after, "r1", "web")
    after.ready(NOW)
    assert after.builder.topology.place_of("10.1.2.3") is None, "once it is read, what it says counts"


async def test_what_is_remembered_is_as_old_as_its_file(tmp_path: Path) -> None:
    before = a_pipeline(*ONE)
    read(before, "r1", "web")
    await StateDirectory(str(tmp_path), before).stop()
    os.utime(tmp_path / state.NAME, (NOW - 900, NOW - 900))
    (remembered,) = await StateDirectory(str(tmp_path), a_pipeline(*ONE)).load()
    assert remembered.catalog.stale_since == NOW - 900


async def test_what_was_out_of_reach_when_it_was_kept_is_as_old_as_that(tmp_path: Path) -> None:
    before = a_pipeline(*ONE)
    read(before, "r1", "web")
    before.step(Heard("r1", "/services", (Session(False),)), NOW + 50)
    before.ready(NOW + 50)
    await StateDirectory(str(tmp_path), before).stop()
    (remembered,) = await StateDirectory(str(tmp_path), a_pipeline(*ONE)).load()
    assert remembered.catalog.stale_since == NOW + 50


async def test_each_of_several_registries_has_a_file_and_what_was_read_is_not_remembered(
    tmp_path: Path,
) -> None:
    await keep_two(tmp_path)
    assert files(tmp_path) == ["catalog-r1.zkdns", "catalog-r2.zkdns"]
    after = a_pipeline(*TWO)
    read(after, "r1", "web")
    (remembered,) = await StateDirectory(str(tmp_path), after).load()
    assert (remembered.registry, set(remembered.catalog.services)) == ("r2", {"db"})


async def test_a_registry_that_was_never_read_overwrites_nothing(tmp_path: Path) -> None:
    before = a_pipeline(*ONE)
    read(before, "r1", "web")
    await StateDirectory(str(tmp_path), before).stop()
    kept = (tmp_path / state.NAME).read_bytes()
    await StateDirectory(str(tmp_path), a_pipeline(*ONE)).stop()
    assert (tmp_path / state.NAME).read_bytes() == kept


async def test_what_another_registry_held_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = a_pipeline(*ONE)
    read(before, "r1", "web")
    await StateDirectory(str(tmp_path), before).stop()
    with caplog.at_level(logging.WARNING):
        assert await StateDirectory(str(tmp_path), a_pipeline("zk://other:1/services")).load() == []
    assert "is of another registry (zk://h:1/services)" in caplog.text


async def of_each(folder: Path, *urls: str) -> dict[str, set[str]]:
    """What a start with these registries remembers, by registry."""
    loaded = await StateDirectory(str(folder), a_pipeline(*urls)).load()
    return {one.registry: set(one.catalog.services) for one in loaded}


@pytest.mark.parametrize(
    ("was", "now"), [(TWO, TWO[::-1]), (TWO, TWO[1:]), (ONE, TWO[::-1]), (TWO, (*TWO[::-1], "zk://j:1/s"))]
)
async def test_what_a_registry_held_is_found_whatever_it_is_named_now(
    tmp_path: Path, was: tuple[str, ...], now: tuple[str, ...]
) -> None:
    before = a_pipeline(*was)
    for n, url in enumerate(was, 1):
        read(before, f"r{n}", {TWO[0]: "web", TWO[1]: "db"}[url])
    await StateDirectory(str(tmp_path), before).stop()
    held = {f"r{n}": {"web" if url == TWO[0] else "db"} for n, url in enumerate(now, 1) if url in {*was}}
    assert await of_each(tmp_path, *now) == held
    assert await of_each(tmp_path, *now) == held, "and again"


async def keep_two(directory: Path) -> None:
    """`web` of the first of two registries, and `db` of the second."""
    before = a_pipeline(*TWO)
    read(before, "r1", "web")
    read(before, "r2", "db")
    await StateDirectory(str(directory), before).stop()


async def test_what_was_found_under_anothers_name_outlives_that_ones_next_writing(tmp_path: Path) -> None:
    await keep_two(tmp_path)
    after = a_pipeline(*TWO[::-1])
    directory = StateDirectory(str(tmp_path), after)
    for remembered in await directory.load():
        after.step(remembered, NOW)
    hear(after, "r1", "db", "cache")
    after.ready(NOW + 60)
    after.ready(NOW + 60)
    await directory.stop()
    assert await of_each(tmp_path, *TWO[::-1]) == {"r1": {"db", "cache"}, "r2": {"web"}}


async def test_nobody_is_marked_with_the_name_that_his_registry_had(tmp_path: Path) -> None:
    await keep_two(tmp_path)
    after = a_pipeline(*TWO[::-1])
    for remembered in await StateDirectory(str(tmp_path), after).load():
        after.step(remembered, NOW)
    after.ready(NOW + 60)
    (web,) = after.catalog.services["web"].instances
    assert (web.registration.tags, web.registry) == (("r2",), "r2")


async def test_of_several_files_of_a_registry_the_newest_counts(tmp_path: Path) -> None:
    for urls, service in ((ONE, "old"), (TWO, "new")):
        before = a_pipeline(*urls)
        for n in range(len(urls)):
            read(before, f"r{n + 1}", service)
        await StateDirectory(str(tmp_path), before).stop()
    os.utime(tmp_path / "catalog.zkdns", (NOW, NOW))
    assert await of_each(tmp_path, *ONE) == {"r1": {"new"}}


@pytest.mark.parametrize("data", [b"", b"zkdns catalog\n", b"{}", b"zkdns catalog\n\0\1" + b"\xff" * 99])
async def test_a_file_that_says_nothing_is_of_no_registry(tmp_path: Path, data: bytes) -> None:
    before = a_pipeline(*ONE)
    read(before, "r1", "web")
    await StateDirectory(str(tmp_path), before).stop()
    (tmp_path / "catalog-x.zkdns").write_bytes(data)
    (tmp_path / "catalog-y.zkdns").mkdir()
    os.mkfifo(tmp_path / "catalog-z.zkdns")
    assert await of_each(tmp_path, *ONE) == {"r1": {"web"}}


@pytest.mark.parametrize(
    ("was", "now", "same"),
    [
        ("zk://a:1,b:1/services", "zk://b:1,c:1/services", True),
        ("zk://a:1/services", "zk://a:1/services/", True),
        ("zk://a:1/services", "zk://b:1/services", False),
        ("zk://a:1/services", "zk://a:1/other", False),
        ("", "zk://a:1/services", False),
    ],
)
def test_an_ensemble_is_known_by_a_host_and_the_place_of_its_services(was: str, now: str, same: bool) -> None:
    assert is_same(was, parse_registry(now)) is same


async def test_it_is_written_every_five_seconds_at_most_and_only_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(state_directory.time, "monotonic", lambda: now)
    written: list[str] = []
    real = state.save

    def save(directory: Path, catalog: Catalog, *args: object, name: str, **rest: object) -> None:
        written.append(name)
        real(directory, catalog, *args, name=name, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(state, "save", save)
    pipeline = a_pipeline(*TWO)
    read(pipeline, "r1", "web")
    read(pipeline, "r2", "db")
    kept = StateDirectory(str(tmp_path), pipeline)

    async def keep() -> None:
        kept.keep()
        if kept._writing is not None:
            await kept._writing

    await keep()
    assert written == ["catalog-r1.zkdns", "catalog-r2.zkdns"]
    read(pipeline, "r2", "db", "more")
    now += 4.9
    await keep()
    assert len(written) == 2
    now += 0.2
    await keep()
    assert written[2:] == ["catalog-r2.zkdns"], "the other is on disk"


async def test_what_changed_while_it_was_written_is_on_disk_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = a_pipeline(*ONE)
    read(pipeline, "r1", "web")
    kept = StateDirectory(str(tmp_path), pipeline)
    kept.keep()
    assert kept._writing is not None
    read(pipeline, "r1", "web", "db")
    await kept.stop()
    assert kept._writing is None
    (remembered,) = await StateDirectory(str(tmp_path), a_pipeline(*ONE)).load()
    assert set(remembered.catalog.services) == {"web", "db"}


async def test_what_was_on_disk_before_is_let_go_of_in_a_thread_and_some_at_a_time(tmp_path: Path) -> None:
    lines, went = [0], list[tuple[int, int]]()

    class Part:
        def __init__(self, *parts: Part) -> None:
            self.instances = parts

        def __del__(self) -> None:
            went.append((threading.get_ident(), lines[0]))

    def trace(frame: FrameType, event: str, _: object) -> Any:
        lines[0] += event == "line" and frame.f_code is state_directory._let_go.__code__
        return trace

    pipeline = a_pipeline(*ONE)
    read(pipeline, "r1", "web")
    kept = StateDirectory(str(tmp_path), pipeline)
    services: Any = {f"s{n}": Part(Part(), Part()) for n in range(2 * AT_A_TIME)}
    kept._saved["r1"] = Kept(Catalog(services), {}, 0, None)
    del services
    before = threading.gettrace()
    threading.settrace(trace)
    try:
        await kept.stop()
    finally:
        threading.settrace(before)  # type: ignore[arg-type]
    assert len(went) == 6 * AT_A_TIME
    assert {thread for thread, _ in went}.isdisjoint({threading.get_ident()})
    assert max(Counter(line for _, line in went).values()) == AT_A_TIME


async def test_a_full_disk_is_told_once_and_until_it_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = a_pipeline(*ONE)
    read(pipeline, "r1", "web")
    kept = StateDirectory(str(tmp_path), pipeline)
    real = state.save

    def full(*args: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state, "save", full)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            await kept.stop()
    assert caplog.text.count("No space left on device") == 1
    assert kept.problem is not None
    monkeypatch.setattr(state, "save", real)
    await kept.stop()
    assert kept.problem is None
    assert (tmp_path / state.NAME).exists()


def test_a_directory_that_cannot_be_made_is_the_operators_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="--state"):
        StateDirectory(str(tmp_path / "file" / "below"), a_pipeline(*ONE))


async def test_what_was_put_aside_is_said_though_nobody_had_to_read_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "catalog.zkdns").write_bytes(b"not ours")
    pipeline = a_pipeline(*ONE)
    read(pipeline, "r1", "web")
    await StateDirectory(str(tmp_path), pipeline).stop()
    assert "it is not a file of zkdns; kept as catalog.zkdns.aside-1" in caplog.text


async def test_a_problem_of_writing_ends_though_the_registry_holds_again_what_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    now = 1000.0
    monkeypatch.setattr(state_directory.time, "monotonic", lambda: now)
    pipeline = a_pipeline(*ONE)
    read(pipeline, "r1", "web")
    kept = StateDirectory(str(tmp_path), pipeline)

    async def keep() -> None:
        nonlocal now
        now += 6
        kept.keep()
        if kept._writing is not None:
            await kept._writing

    def full(*args: object, **rest: object) -> None:
        raise OSError(28, "No space left on device")

    await keep()
    assert kept.problem is None
    real, held = state.save, pipeline.registries["r1"].shown
    monkeypatch.setattr(state, "save", full)
    read(pipeline, "r1", "web", "db")
    await keep()
    assert kept.problem is not None
    monkeypatch.setattr(state, "save", real)
    monkeypatch.setattr(type(pipeline.registries["r1"]), "shown", held)
    await keep()
    assert kept.problem is None
    assert "the state is written again" in caplog.text


async def look(kept: StateDirectory) -> None:
    kept._looked_at = float("-inf")
    kept.look()
    assert kept._looking is not None
    await kept._looking


@pytest.mark.parametrize("folder", [False, True])
async def test_what_somebody_removed_is_written_again_though_nothing_changed(
    folder: bool, tmp_path: Path
) -> None:
    place = tmp_path / "state"
    pipeline = a_pipeline(*ONE)
    read(pipeline, "r1", "web")
    kept = StateDirectory(str(place), pipeline)
    await kept.stop()
    await look(kept)
    kept._saved_at = float("-inf")
    kept.keep()
    assert kept._writing is None, "it is there"
    (place / state.NAME).unlink()
    if folder:
        place.rmdir()
    await look(kept)
    kept.keep()
    assert kept._writing is not None
    await kept._writing
    assert (place / state.NAME).exists()


async def test_two_servers_with_one_directory_are_told_until_one_of_them_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = (StateDirectory(str(tmp_path), a_pipeline(*ONE)) for _ in range(2))
    await look(one)
    for _ in range(3):
        await look(other)
    assert one.shared is None
    assert other.shared is not None
    assert caplog.text.count("another server keeps its state here") == 1
    await one.stop()
    await look(other)
    assert other.shared is None
    await look(one)
    assert one.shared is not None
    await other.stop()


async def test_a_directory_that_was_made_anew_is_claimed_anew(tmp_path: Path) -> None:
    place = tmp_path / "state"
    one, other = (StateDirectory(str(place), a_pipeline(*ONE)) for _ in range(2))
    await look(one)
    place.rmdir()
    await look(one)
    assert one.shared is None, "nobody can say"
    place.mkdir()
    await look(one)
    await look(other)
    assert other.shared is not None
    await one.stop()
    await other.stop()


async def test_what_can_not_be_kept_for_an_error_of_ours_costs_itself_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was written any more, of nobody, with a traceback every five seconds."""
    pipeline = a_pipeline(*ONE)
    read(pipeline, "r1", "web", "db", "bad")
    row = state_items._row

    def fall(instance: Instance) -> tuple[object, ...]:
        if instance.path == "/services/bad/a":
            raise RuntimeError("planted")
        return row(instance)

    monkeypatch.setattr(state_items, "_row", fall)
    directory = StateDirectory(str(tmp_path), pipeline)
    await directory.stop()
    assert [(one.path, one.ours) for one in directory.problems] == [("/services/bad/a", True)]
    assert directory.errors == 1
    (remembered,) = await StateDirectory(str(tmp_path), a_pipeline(*ONE)).load()
    kept = {name: len(one.instances) for name, one in remembered.catalog.services.items()}
    assert kept == {"web": 1, "db": 1, "bad": 0}
    monkeypatch.setattr(state_items, "_row", row)
    read(pipeline, "r1", "web", "bad")
    await directory.stop()
    assert not directory.problems

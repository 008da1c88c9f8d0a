"""One server in the test's own loop: what it takes over when it is told to read again, and in which order."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import pytest
import pytest_asyncio

from support.ports import free_port
from support.upstream import addresses, run
from support.waiting import until
from zkdns.answers.table import Delta
from zkdns.answers.zonefiles import folder as zone_folder
from zkdns.answers.zonefiles.master_file import MasterFile
from zkdns.config import Address, RegistryURL, Settings
from zkdns.model import Catalog, Change, ConfigError, Instance, Registration, Service
from zkdns.pipeline import locality
from zkdns.pipeline.inputs import Ready
from zkdns.registry import state
from zkdns.registry.url import parse_registry
from zkdns.server import lifecycle
from zkdns.server.lifecycle import Server
from zkdns.server.status import Phase

WEB = '[[web.instances]]\nid = "a"\naddress = "10.0.0.1"\n'
NOW = 1_700_000_000.0
SOA = dns.rdata.from_text("IN", "SOA", "ns. root. 1 2 3 4 5")
ZONE = "@ 300 SOA ns root 1 2 3 4 5\n@ 300 NS ns\nns 300 A 192.0.2.53\n"


def file_registry(path: Path) -> RegistryURL:
    return replace(parse_registry(f"file:{path}"), name="r1")


class Running:
    """A server, and the settings that it finds when it reads them again."""

    def __init__(self, settings: Settings) -> None:
        self.settings: Settings | ConfigError = settings
        self.server = Server(settings, self._read)

    def _read(self) -> Settings:
        if isinstance(self.settings, ConfigError):
            raise self.settings
        return self.settings

    async def ask(self, name: str) -> dns.message.Message:
        (address,) = self.server.settings.listen
        query = dns.message.make_query(name, "A")
        return await dns.asyncquery.udp(query, address.host, 10, address.port)

    async def answers(self, name: str) -> list[str]:
        return [rdata.to_text() for rrset in (await self.ask(name)).answer for rdata in rrset]

    async def reads_again(self) -> None:
        """What a SIGHUP does, and all that comes of it."""
        self.server.reload()
        reading = {"settings", "zone files"}
        await until(lambda: not any(task.get_name() in reading for task in self.server._tasks))
        await until(lambda: self.server.pipeline.idle)


Start = Callable[..., Awaitable[Running]]


@pytest_asyncio.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    started: list[Running] = []

    async def start(phase: Phase = Phase.READY, **more: Any) -> Running:
        path = tmp_path / "services.toml"
        path.write_text(WEB)
        settings = Settings(
            registry=more.pop("registry", (file_registry(path),)),
            listen=(Address("127.0.0.1", free_port()),), http=None, engine="python", **more,
        )  # fmt: skip
        started.append(Running(settings))
        await started[-1].server.start()
        await until(lambda: started[-1].server.phase is phase)
        return started[-1]

    yield start
    for one in started:
        if one.server.phase is not Phase.STOPPED:
            await one.server.stop()
    gc.unfreeze()


async def test_what_upstreams_said_of_a_zone_that_a_file_brings_is_forgotten(
    start: Start, tmp_path: Path
) -> None:
    """The file may go again: then upstreams are asked, and nobody is given what they said long before it."""
    zones = tmp_path / "zones"
    zones.mkdir()
    async with run(addresses("192.0.2.1", ttl=3600)) as upstream:
        one = await start(forward=(upstream.address,), zones=str(zones))
        assert await one.answers("www.example.org") == ["192.0.2.1"]
        assert await one.answers("www.example.net") == ["192.0.2.1"]
        file = zones / "example.org.zone"
        file.write_text(f"$ORIGIN example.org.\n{ZONE}")
        await one.reads_again()
        assert (await one.ask("www.example.org")).rcode() == dns.rcode.NXDOMAIN
        file.unlink()
        upstream.script = addresses("192.0.2.2", ttl=3600)
        await one.reads_again()
        assert await one.answers("www.example.org") == ["192.0.2.2"]
        assert await one.answers("www.example.net") == ["192.0.2.1"], "it was never ours"


async def test_who_is_told_of_a_change_and_asks_at_once_has_the_new_answer(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await start()
    order: list[str] = []
    apply, take, tell = one.server.engine.apply, one.server.recorder.take, one.server.web.tell

    def publish(delta: Delta) -> None:
        order.append("answers")
        apply(delta)

    def record(changes: Any) -> None:
        order.append("journal")
        take(changes)

    def spread(changes: Iterable[Change]) -> None:
        order.append("events")
        tell(changes)

    monkeypatch.setattr(one.server.engine, "apply", publish)
    monkeypatch.setattr(one.server.recorder, "take", record)
    monkeypatch.setattr(one.server.web, "tell", spread)
    (tmp_path / "services.toml").write_text(WEB.replace("10.0.0.1", "10.0.0.2"))
    await until(lambda: len(order) >= 3)
    assert order == ["answers", "journal", "events"]


async def test_settings_that_are_wrong_leave_the_old_ones_in_force_and_that_is_told(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    one = await start(ttl=7)
    assert isinstance(one.settings, Settings)
    right = one.settings
    for wrong in (
        ConfigError("ttl", "is no number"),
        replace(right, ttl=9, service_defaults={"policy": "best"}),
        replace(right, ttl=9, forward=("nowhere",)),
    ):
        one.settings = wrong
        await one.reads_again()
        assert not one.server.web._observed.counters().settings_read
        assert (await one.ask("web.svc.local")).answer[0].ttl == 7
        assert "the old settings stay in force" in caplog.text
    one.settings = replace(right, ttl=9)
    await one.reads_again()
    assert one.server.web._observed.counters().settings_read
    assert (await one.ask("web.svc.local")).answer[0].ttl == 9


async def test_settings_are_read_again_in_no_turn_of_the_loop(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand networks and all who may ask were turns of half a second."""
    networks = [f"10.{n // 250}.{n % 250}.0/24" for n in range(1000)]
    readers = set()

    def noting(work: Callable[..., Any]) -> Callable[..., Any]:
        def note(*arguments: Any, **more: Any) -> Any:
            readers.add(threading.current_thread())
            return work(*arguments, **more)

        return note

    one = await start(forward=("192.0.2.1",))
    assert isinstance(one.settings, Settings)
    monkeypatch.setattr(one.server, "_reload", noting(one._read))
    monkeypatch.setattr(locality, "parse_topology", noting(locality.parse_topology))
    monkeypatch.setattr(ipaddress, "ip_network", noting(ipaddress.ip_network))
    one.settings = replace(
        one.settings, topology=dict.fromkeys(networks, "eu/eu-1a"), ecs_from=tuple(networks),
        forward_allow=tuple(networks),
    )  # fmt: skip
    await one.reads_again()
    await until(lambda: len(one.server.pipeline.builder.topology.networks) == len(networks))
    assert readers
    assert threading.main_thread() not in readers
    assert one.server.forwarder.allows("10.0.1.5")


async def test_what_needs_a_restart_is_told_and_stays_as_it_was(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    one = await start()
    assert isinstance(one.settings, Settings)
    one.settings = replace(one.settings, zone=("other.example",), cache_mb=1, query_log_sample=1)
    caplog.set_level(logging.INFO, "zkdns")
    await one.reads_again()
    told = [r.getMessage() for r in caplog.records if "needs a restart" in r.getMessage()]
    assert [text.split()[1] for text in told] == ["zone", "cache_mb"]
    assert (one.server.settings.zone, one.server.settings.cache_mb) == (("svc.local",), 64)
    assert await one.answers("web.svc.local") == ["10.0.0.1"]
    assert "query 127.0.0.1 udp web.svc.local. A: NOERROR" in caplog.text, "the engine was told, too"


async def test_an_error_of_ours_in_what_is_done_each_second_ends_nothing(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one = await start()
    kept = []

    def keep() -> None:
        kept.append(len(kept))
        if len(kept) == 1:
            raise RuntimeError("ours")

    monkeypatch.setattr(one.server.state_directory, "keep", keep)
    await until(lambda: len(kept) == 2)
    assert "the server goes on after an error of its own" in caplog.text


async def test_the_end_of_a_part_that_is_the_operators_error_ends_the_server(start: Start) -> None:
    one = await start()

    async def wrong() -> None:
        raise ConfigError("--http", "the address is taken")

    one.server._spawn(wrong(), "part")
    await asyncio.wait_for(one.server._stop_asked.wait(), 10)
    assert one.server._mistake is not None


async def test_a_server_in_lameduck_answers_on_and_is_not_ready_again(start: Start, tmp_path: Path) -> None:
    one = await start(lameduck=30.0)
    one.server._stop_asked.set()  # the signal
    stopping = asyncio.create_task(one.server.stop())
    await until(lambda: one.server.phase is Phase.LAMEDUCK)
    (tmp_path / "services.toml").write_text(WEB.replace("10.0.0.1", "10.0.0.2"))
    await until(lambda: one.server.pipeline.services["web"].instances[0].addresses == ("10.0.0.2",))
    assert await one.answers("web.svc.local") == ["10.0.0.2"]
    assert one.server.phase is Phase.LAMEDUCK
    one.server._stop_asked.set()  # a second signal
    await asyncio.wait_for(stopping, 30)
    assert one.server.phase is Phase.STOPPED
    await until(lambda: not one.server._tasks)


async def test_while_zone_files_are_read_for_minutes_all_else_is_looked_after_and_it_ends_at_once(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "zones").mkdir()
    one = await start(zones=str(tmp_path / "zones"))
    monkeypatch.setattr(zone_folder, "SLOW", 0.0)
    caplog.set_level(logging.INFO)
    begun, looked_at = threading.Event(), asyncio.Event()

    def read(file: MasterFile, path: Path) -> None:
        begun.set()
        while True:
            file.sink.add(dns.name.root, 300, SOA)

    monkeypatch.setattr(MasterFile, "read_file", read)
    (tmp_path / "zones" / "long.example.zone").write_text("")
    await until(begun.is_set)
    monkeypatch.setattr(one.server.state_directory, "look", looked_at.set)
    await asyncio.wait_for(looked_at.wait(), 30)
    assert "take long to read" in caplog.text
    assert await one.answers("web.svc.local") == ["10.0.0.1"]
    await one.server.stop()
    await until(lambda: not one.server._tasks)
    assert not one.server.zone_files.broken, "what was not read to its end says nothing"


async def test_a_start_that_reads_zone_files_has_the_time_that_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd ended it after a minute and a half, and so each that came after it."""
    told: list[tuple[str, bool]] = []
    (tmp_path / "services.toml").write_text(WEB)
    registry = (file_registry(tmp_path / "services.toml"),)
    server = Running(
        Settings(registry=registry, listen=(Address("127.0.0.1", free_port()),), http=None, engine="python")
    ).server
    monkeypatch.setattr(server.notifier, "wait", lambda what, prolongs: told.append((what, prolongs)))
    is_read = asyncio.Event()
    monkeypatch.setattr(server, "_load_zone_files", is_read.wait)
    starting = asyncio.create_task(server.start())
    await until(lambda: len(told) > 1)
    is_read.set()
    await starting
    assert {*told} == {("reads zone files", True)}
    await server.stop()
    assert not any(task.get_name() == "tell" for task in asyncio.all_tasks())


async def test_who_is_told_to_stop_while_it_reads_zone_files_never_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones" / "long.example.zone").write_text("")
    (tmp_path / "services.toml").write_text(WEB)
    begun = threading.Event()

    def read(file: MasterFile, path: Path) -> None:
        begun.set()
        while True:
            file.sink.add(dns.name.root, 300, SOA)

    monkeypatch.setattr(MasterFile, "read_file", read)
    settings = Settings(
        registry=(file_registry(tmp_path / "services.toml"),), zones=str(tmp_path / "zones"),
        listen=(Address("127.0.0.1", free_port()),), http=None, engine="python",
    )  # fmt: skip
    server = Running(settings).server
    running = asyncio.create_task(server.run())
    await until(begun.is_set)
    server._ask_stop()  # the signal
    await asyncio.wait_for(running, 30)
    assert server.phase is Phase.STOPPED
    assert not server._listens.is_set()


async def test_a_second_word_to_stop_ends_the_lameduck(start: Start) -> None:
    one = await start(lameduck=3600.0)
    stopping = asyncio.create_task(one.server.stop())
    await until(lambda: one.server.phase is Phase.LAMEDUCK)
    assert await one.answers("web.svc.local") == ["10.0.0.1"]
    one.server._stop_asked.set()
    await stopping
    assert one.server.phase is Phase.STOPPED


async def test_ready_is_told_once_it_listens_though_all_was_read_before(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Zone files and a registry file are read while it does not listen yet."""
    caplog.set_level(logging.INFO)
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones" / "new.example.zone").write_text(ZONE)
    told: list[bool] = []
    listen = Server._listen

    async def listen_late(server: Server) -> None:
        await until(lambda: server.phase is Phase.READY)
        await asyncio.sleep(0.02)
        told.append("ready: engine" in caplog.text)
        await listen(server)

    monkeypatch.setattr(Server, "_listen", listen_late)
    await start(zones=str(tmp_path / "zones"))
    await until(lambda: "ready: engine" in caplog.text)
    assert told == [False]


async def test_ready_is_told_once_it_listens_though_another_answered_there_until_then(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who waits for that word (systemd, an orchestrator) stops the other then."""
    caplog.set_level(logging.INFO)
    may, listen = asyncio.Event(), Server._listen

    async def listen_late(server: Server) -> None:
        await may.wait()
        await listen(server)

    monkeypatch.setattr(Server, "_is_shared", lambda server: True)
    monkeypatch.setattr(Server, "_listen", listen_late)
    one = await start()
    for _ in range(20):
        await asyncio.sleep(0.005)
    assert "ready: engine" not in caplog.text
    may.set()
    await until(lambda: "ready: engine" in caplog.text)
    assert await one.answers("web.svc.local") == ["10.0.0.1"]


async def test_how_many_there_are_is_not_counted_in_the_loop(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    counted: list[threading.Thread] = []
    count = lifecycle.count_held

    def noted(services: Mapping[str, Service]) -> str:
        counted.append(threading.current_thread())
        return count(services)

    monkeypatch.setattr(lifecycle, "count_held", noted)
    await start()
    await until(lambda: "1 service, 1 instance, on" in caplog.text)
    assert threading.main_thread() not in counted


async def test_what_was_loaded_is_not_walked_by_the_collector_again_and_again(start: Start) -> None:
    """In a registry of 50,000 instances each walk would keep the loop for some hundred milliseconds."""
    gc.unfreeze()
    await start()
    assert gc.get_freeze_count() > 1000


async def test_after_a_turn_that_is_not_the_last_the_collector_looks_at_what_came(start: Start) -> None:
    one = await start()
    looks = gc.get_stats()[1]["collections"]
    one.server._take_ready(Ready(more=True))
    assert gc.get_stats()[1]["collections"] == looks + 1


async def test_what_the_last_moment_changed_is_on_disk_when_the_server_has_stopped(
    start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "state"
    one = await start(state=str(folder))
    (tmp_path / "services.toml").write_text(WEB.replace("10.0.0.1", "10.0.0.2"))
    await until(lambda: one.server.pipeline.services["web"].instances[0].addresses == ("10.0.0.2",))
    await one.server.stop()
    assert b"10.0.0.2" in (folder / "catalog.zkdns").read_bytes()
    (journal,) = folder.glob("journal-*.zkdns")
    assert b"10.0.0.2" in journal.read_bytes()


async def test_zone_files_are_looked_at_by_themselves(start: Start, tmp_path: Path) -> None:
    zones = tmp_path / "zones"
    zones.mkdir()
    one = await start(zones=str(zones))
    (zones / "example.org.zone").write_text(f"$ORIGIN example.org.\n{ZONE}www 300 A 192.0.2.9\n")
    await until(lambda: one.server.zone_files.paths)
    await until(lambda: one.server.pipeline.idle)
    assert await one.answers("www.example.org") == ["192.0.2.9"]


async def test_what_changed_is_in_the_journal_soon_and_not_at_the_end_alone(
    start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "state"
    await start(state=str(folder))
    (tmp_path / "services.toml").write_text(WEB.replace("10.0.0.1", "10.0.0.2"))
    await until(lambda: any(b"10.0.0.2" in path.read_bytes() for path in folder.glob("journal-*.zkdns")))


async def test_a_service_that_nobody_had_asked_for_is_compiled_for_its_first_question(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "DEFERS", 1)
    one = await start()
    assert one.server.pipeline.builder.services["web"].deferred
    assert await one.answers("web.svc.local") == ["10.0.0.1"]
    assert not one.server.pipeline.builder.services["web"].deferred


async def test_a_start_that_cannot_reach_its_registry_answers_from_the_state_directory(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    held = Instance("a", "a", "/services/web/a", Registration(("10.0.0.7",), port=80), NOW)
    catalog = Catalog({"web": Service("web", "web", "/services/web", instances=(held,))}, complete=True)
    url = f"zk://127.0.0.1:{free_port()}/services"
    state.save(tmp_path / "state", catalog, source=url)
    one = await start(
        registry=(replace(parse_registry(url), name="r1"),), state=str(tmp_path / "state"),
        phase=Phase.FROM_STATE,
    )  # fmt: skip
    assert await one.answers("web.svc.local") == ["10.0.0.7"]
    assert "answers are those that the state directory holds" in caplog.text


async def test_a_registry_that_goes_and_comes_is_a_line_in_the_log(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    one = await start()
    caplog.set_level(logging.INFO, "zkdns")
    for was, now in (("within reach", "out of reach"), ("out of reach", "within reach")):
        one.server._take_ready(Ready(changes=(Change(NOW, 1, "", "r1", "registry", was, now),)))
    assert "the registry is out of reach: answers go on from what was last known (EDE 3)" in caplog.text
    assert "the registry is back" in caplog.text


async def test_the_collector_looks_at_little_at_a_time_whatever_comes(start: Start) -> None:
    await start()
    looks = gc.get_stats()[1]["collections"]
    await until(lambda: gc.get_stats()[1]["collections"] >= looks + 3)


async def test_a_disk_that_hangs_keeps_nothing_else_from_being_looked_after(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = (await start()).server
    hangs = asyncio.Event()
    monkeypatch.setattr(server.recorder, "write", hangs.wait)
    real, looked = server.driver.look, []
    monkeypatch.setattr(server.driver, "look", lambda: looked.append(1) or real())
    for name in ("tick", "journal"):
        (task,) = (one for one in server._tasks if one.get_name() == name)
        task.cancel()
    monkeypatch.setattr(lifecycle.asyncio, "sleep", lambda _, sleep=asyncio.sleep: sleep(0.001))
    server._spawn(server._look_at(server.recorder.write, "the journal"), "journal")
    server._spawn(server._tick(), "tick")
    await until(lambda: len(looked) > 5)
    hangs.set()

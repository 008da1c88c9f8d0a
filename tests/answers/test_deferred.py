"""Services that are compiled when they are asked for: they say what they would have said at once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from support import scenario
from zkdns.answers.builder import Builder
from zkdns.answers.deferred import MAX_INSTANCES, Asleep, defer
from zkdns.answers.table import EVERY, Table
from zkdns.answers.zonefiles.reader import ZoneFolder
from zkdns.dns import names
from zkdns.explain.explain import explain
from zkdns.model import DEFAULTS, Instance, Registration, Service
from zkdns.pipeline.inputs import ZoneFilesRead
from zkdns.serve.dispatch import Dispatcher
from zkdns.serve.request import Request
from zkdns.serve.respond import next_position, respond

MORE = {"port": 80, "tags": ["t"], "ports": {"http": 8080}}
WEB = [
    "list /services web",
    "list /services/web a b",
    f"data /services/web/a {json.dumps({'address': '10.0.0.1', **MORE})}",
    f"data /services/web/b {json.dumps({'address': '10.0.0.2', **MORE})}",
]


def service(size: int = 2, **settings: object) -> Service:
    instances = tuple(
        Instance(
            f"i{n}",
            f"i{n}",
            f"/services/web/i{n}",
            Registration((f"10.0.{n >> 8}.{n & 255}",), None, 80),
            0.0,
        )
        for n in range(size)
    )
    return Service("web", "web", "/services/web", replace(DEFAULTS, **settings), instances)  # type: ignore[arg-type]


@pytest.fixture
def world() -> scenario.World:
    world = scenario.World(defers=0)
    world.run(WEB)
    world.publish()
    return world


def deferred(world: scenario.World) -> bool:
    return world.pipeline.builder.services["web"].deferred


@pytest.mark.parametrize(
    "question",
    ["web.svc.local A", "_web._tcp.svc.local PTR", "_http._tcp.web.svc.local SRV", "a.web.svc.local TXT",
     "t.web.svc.local A", "_tcp.web.svc.local A", "nope.web.svc.local A", "a._web._tcp.svc.local SRV"],
)  # fmt: skip
def test_any_name_of_a_service_has_it_compiled_and_once(world: scenario.World, question: str) -> None:
    assert deferred(world)
    at_once = scenario.World()
    at_once.run(WEB)
    assert world.run([f"ask {question}"]) == at_once.run([f"ask {question}"])
    answers = world.pipeline.builder.services["web"]
    assert not answers.deferred
    world.run([f"ask {question}"])
    assert world.pipeline.builder.services["web"] is answers


@pytest.mark.parametrize("question", ["_services._dns-sd._udp.svc.local PTR", "1.0.0.10.in-addr.arpa PTR"])
def test_browsing_and_reverse_names_need_no_service_to_be_compiled(
    world: scenario.World, question: str
) -> None:
    assert world.run([f"ask {question}"]).startswith("NOERROR")
    assert deferred(world)


def test_what_was_asked_for_once_is_compiled_whenever_it_changes(world: scenario.World) -> None:
    world.run(["ask web.svc.local A", "list /services/web a"])
    world.publish()
    assert not deferred(world)
    assert world.run(["ask web.svc.local A"]).endswith("10.0.0.1")


def test_what_nobody_asked_for_changes_without_being_compiled(world: scenario.World) -> None:
    world.run(["list /services/web a"])
    world.publish()
    assert deferred(world)
    assert world.run(["ask 2.0.0.10.in-addr.arpa PTR"]).startswith("REFUSED")
    assert world.run(["ask web.svc.local A"]).endswith("10.0.0.1")


def test_a_service_that_went_and_came_back_waits_for_its_question_again(world: scenario.World) -> None:
    world.run(["ask web.svc.local A", "list /services"])
    world.publish()
    world.run(WEB)
    world.publish()
    assert deferred(world)


def test_explain_has_it_compiled_for_itself_alone(world: scenario.World) -> None:
    snapshot = world.pipeline.builder.snapshot()
    said = explain(snapshot, "web.svc.local", "A", client=None, changes=(), forwards=lambda client: False)
    assert sorted(said["answer"]) == ["10.0.0.1", "10.0.0.2"]
    assert deferred(world)


def test_its_names_are_shown_before_and_after_alike(world: scenario.World) -> None:
    builder = world.pipeline.builder
    before = builder.services["web"].shown(builder.zones[0])
    world.run(["ask web.svc.local A"])
    assert sorted(builder.services["web"].shown(builder.zones[0])) == sorted(before)
    assert "t.web.svc.local" in before


def test_large_services_and_those_of_near_are_compiled_at_once() -> None:
    builder = Builder(["svc.local"])
    assert builder.defer(service(MAX_INSTANCES)) is not None
    assert builder.defer(service(MAX_INSTANCES + 1)) is None
    assert builder.defer(service(near="prefer")) is None


def test_nothing_is_deferred_where_a_zone_begins_below_another() -> None:
    assert Builder(["svc.local", "eu.svc.local"]).defer(service()) is None
    assert Builder(["svc.local", "svc.other"]).defer(service()) is not None


def test_an_error_of_ours_costs_the_question_and_is_not_met_again_by_the_next(
    world: scenario.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    def fail(self: Builder, service: Service, *rest: object) -> None:
        tries.append(service.name)
        raise RuntimeError("ours")

    monkeypatch.setattr(Builder, "compile", fail)
    assert world.run(["ask web.svc.local A"]).startswith("SERVFAIL")
    world.publish()
    count = len(tries)
    assert world.run(["ask web.svc.local A"]).startswith("SERVFAIL")
    assert len(tries) == count
    assert any("an error of ours" in problem.what for problem in world.pipeline.problems)


def test_where_nobody_compiles_the_question_is_servfail() -> None:
    builder = Builder(["svc.local"])
    builder.replace("web", defer(service(), builder.zones, 5, EVERY))
    table = Table(builder.take())
    packet = bytes.fromhex("000101000001000000000000") + names.wire("web.svc.local") + b"\0\1\0\1"
    with pytest.raises(Asleep):
        respond(Request(packet, "127.0.0.1"), table, next_position)
    dispatcher = Dispatcher(table)
    reply = dispatcher.dispatch(dispatcher.read(packet, "127.0.0.1"))
    assert isinstance(reply, bytes)
    assert reply[3] & 15 == 2


def test_an_alias_of_a_zone_file_leads_to_what_is_not_compiled_yet(
    world: scenario.World, tmp_path: Path
) -> None:
    (tmp_path / "svc.local.zone").write_text("www 60 CNAME web\n")
    folder = ZoneFolder(tmp_path, [names.wire("svc.local")])
    folder.load()
    world.pipeline.step(ZoneFilesRead(folder.loaded.zones), world.now)
    world.publish()
    said = world.run(["ask www.svc.local A"])
    assert "10.0.0.1" in said
    assert "10.0.0.2" in said
    assert not deferred(world)

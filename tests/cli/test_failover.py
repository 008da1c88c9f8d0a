"""Commands with `--failover` show what a server with the same flags answers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.ports import free_port
from support.server import Zkdns, run
from zkdns.cli.failover import as_servers_have_it
from zkdns.cli.registries import CONNECT, Registries
from zkdns.config import Settings, load
from zkdns.model import Begin, Children, Data, Stat, Whole
from zkdns.pipeline.inputs import Heard
from zkdns.pipeline.replica import Replica, ServerNode, read_node
from zkdns.registry.url import parse_registry
from zkdns.roots import SERVERS

ONE = """
[[web.instances]]
id = "a"
address = "10.1.0.1"
port = 80
status = "{status}"
"""
TWO = """
[[web.instances]]
id = "b"
address = "10.2.0.2"
port = 80
[solo]
to = [{ web = 1, nope = 1 }]
[[solo.instances]]
id = "z"
address = "10.2.0.9"
port = 80
"""


@pytest.fixture
def flags(tmp_path: Path) -> list[str]:
    for name, text in (("dc1", ONE.format(status="down")), ("dc2", TWO)):
        (tmp_path / f"{name}.toml").write_text(text)
    registries = [f"--registry={name}=file:{tmp_path / name}.toml" for name in ("dc1", "dc2")]
    return [*registries, "--failover=dc2"]


def told(*words: str, code: int = 0) -> Any:
    done = run(*words, "--json")
    assert done.code == code, done
    return done.json


@pytest.mark.parametrize("rtype", ["A", "SRV"])
def test_explain_tells_what_the_server_gives(
    flags: list[str], serve: Callable[..., Zkdns], rtype: str
) -> None:
    server = serve(*flags)
    for name in ("web", "solo"):
        said = told("explain", name, rtype, *flags)
        served = server.json(f"/api/v1/explain?name={name}.svc.local&type={rtype}")
        for key in ("rcode", "instances", "targets"):
            assert said[key] == served[key], key
        assert sorted(said["answer"]) == server.answers(f"{name}.svc.local", rtype)
    assert "failed over to dc2 (0 of 1 healthy)" in json.dumps(told("explain", "web", *flags)["notes"])


def test_what_would_be_is_tried_upon_it(flags: list[str]) -> None:
    said = told("explain", "web", "--if", "up=web/a", *flags)
    assert said["answer"] == ["10.1.0.1"]
    said = told("explain", "web", "--if", "route:web=web@dc1,web@dc2", "--if", "up=web/a", *flags)
    assert {one["target"]: one["due"] for one in said["targets"]} == {"web@dc1": 0.5, "web@dc2": 0.5}


def test_services_instances_and_check_know_what_stands_behind(flags: list[str]) -> None:
    rows = {row["name"]: row["instances"] for row in told("services", *flags)["services"]}
    assert rows == {"web": 1, "web@dc2": 1, "solo": 0, "solo@dc2": 1}
    assert [i["id"] for i in told("instances", "web@dc2", *flags)["instances"]] == ["b"]
    problems = told("check", *flags, code=1)["problems"]
    assert any("nope names no service" in row["what"] for row in problems)
    without = [flag for flag in flags if not flag.startswith("--failover")]
    assert {row["name"] for row in told("services", *without)["services"]} == {"web", "solo"}


def test_a_failover_that_is_no_registry_is_one_line(flags: list[str]) -> None:
    for command in (["services"], ["check"], ["explain", "web"], ["instances", "web"], ["watch"]):
        run(*command, *flags, "--failover=dc9").fails(2, "--failover", "dc9", "dc1, dc2")


BEHIND = ServerNode(failover=("dc2",))


def settings(*names: str, failover: tuple[str, ...] = ()) -> Settings:
    urls = tuple(replace(parse_registry("zk://h/services"), name=name) for name in names)
    return Settings(registry=urls, failover=failover)


@pytest.mark.parametrize("servers", [[], [ServerNode()], [ServerNode(), ServerNode()]])
def test_where_servers_have_no_failover_there_is_none(
    servers: list[ServerNode], capsys: pytest.CaptureFixture[str]
) -> None:
    given = settings("dc1", "dc2")
    assert as_servers_have_it(given, servers) is given
    assert capsys.readouterr().err == ""


def test_the_servers_failover_is_taken_where_none_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert as_servers_have_it(settings("dc1", "dc2"), [BEHIND, BEHIND]).failover == ("dc2",)
    given = settings("dc1", "dc2", failover=("dc1",))
    assert as_servers_have_it(given, [BEHIND]) is given
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("servers", "what"),
    [
        ([BEHIND, ServerNode()], "the servers differ in --failover (dc2; none)"),
        ([ServerNode(failover=("dc2", "dc9"))], "no --registry here is named dc9"),
    ],
)
def test_what_can_not_be_known_of_failover_is_said(
    servers: list[ServerNode], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = settings("dc1", "dc2")
    assert as_servers_have_it(given, servers) is given
    assert what in capsys.readouterr().err


async def test_what_servers_mean_is_heeded_before_all_is_read() -> None:
    """Else a large registry is read twice."""
    given = load({"registry": (f"dc1=zk://127.0.0.1:{free_port()}/services", "dc2=zk://127.0.0.2:1/s")}, {})
    registries = Registries(given)
    try:
        node = Replica("r1", failover=("dc2",)).tell(7, 1000.0)
        assert node is not None
        said = Data(f"{SERVERS}/r1", node, Stat(1, 1, 1000.0, True))
        told = (Begin(), Children(SERVERS, ("r1",), 1), said, Whole())
        registries.pipeline.step(Heard("dc1", SERVERS, told), time.time())
        await asyncio.wait_for(registries.load(ask_servers=True), CONNECT / 2)
        assert registries.meant == replace(given, failover=("dc2",))
        assert not registries.pipeline.registries["dc1"].is_whole
    finally:
        await registries.stop()


def test_a_server_tells_what_stands_behind_in_its_node() -> None:
    node = Replica("r1", failover=("dc2",)).tell(7, 1000.0)
    assert node is not None
    assert read_node(node).failover == ("dc2",)


def test_services_and_check_do_not_call_a_route_empty_that_gives_something(tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(
        "[api]\nto = [{web = 1}]\n[lost]\nto = [{none = 1}]\n[none]\n"
        '[[web.instances]]\nid = "a"\naddress = "10.0.0.1"\n'
    )
    shown = run("services", f"--registry=file:{file}")
    lines = {line.split()[0]: " ".join(line.split()[6:]) for line in shown.out.splitlines()[1:]}
    assert lines == {
        "api": "stands for web", "lost": "stands for none: none healthy", "none": "no instance", "web": "-",
    }  # fmt: skip
    assert "2 of 4 without a healthy instance" in shown.err
    notes = {note["path"] for note in run("check", f"--registry=file:{file}", "--json").json["notes"]}
    assert f"{file}: none" in notes
    assert not notes & {f"{file}: api", f"{file}: lost"}

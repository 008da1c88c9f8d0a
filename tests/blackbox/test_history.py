"""What changed, told again: by a server, by its files, by two replicas, and after any end."""

from __future__ import annotations

import json
import os
import random
import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from kazoo.client import KazooClient

from support.server import Zkdns, run
from support.waiting import eventually
from support.zookeeper import ZooKeeperServer
from zkdns.model import Change
from zkdns.pipeline.journal import Query, Record
from zkdns.pipeline.journal_lines import spell_record, spell_snapshot
from zkdns.pipeline.journal_reading import read_changes, read_world

pytestmark = pytest.mark.zookeeper


def zkdns(*words: str, code: int = 0) -> str:
    ran = run(*words)
    assert ran.code == code, ran
    assert "Traceback" not in ran.err
    return ran.out if code == 0 else ran.err


def register(zk: KazooClient, path: str, **fields: Any) -> None:
    data = json.dumps({"address": "10.0.0.1", **fields}).encode()
    if zk.exists(path):
        zk.set(path, data)
    else:
        zk.create(path, data, makepath=True)


def url(server: Zkdns) -> str:
    return f"http://127.0.0.1:{server.http_port}"


def lived(server: Zkdns, zk: KazooClient, root: str) -> float:
    """Some changes of web/a; the moment between the two last."""
    register(zk, f"{root}/web/a", port=80)
    register(zk, f"{root}/web/b", address="10.0.0.2", port=80)
    eventually(lambda: len(server.answers("web.svc.local")) == 2)
    register(zk, f"{root}/web/a", port=80, weight=5)
    eventually(lambda: server.json("/api/v1/services/web")["instances"][0]["weight"] == 5)
    time.sleep(0.05)
    moment = time.time()
    time.sleep(0.05)
    zk.delete(f"{root}/web/b")
    eventually(lambda: server.answers("web.svc.local") == ["10.0.0.1"])
    return moment


def told(lines: list[dict[str, Any]], id: str) -> list[tuple[str, str, str]]:
    return [(c["what"], c["from"], c["to"]) for c in lines if c["id"] == id]


@pytest.mark.parametrize("kept", ["in memory", "on disk"])
def test_history_and_the_answer_of_then_are_told(
    kept: str,
    zookeeper: ZooKeeperServer,
    zk: KazooClient,
    zk_root: str,
    serve: Callable[..., Zkdns],
    tmp_path: Path,
) -> None:
    flags = ("--state", str(tmp_path / "state")) if kept == "on disk" else ()
    server = serve(*flags, registry=f"zk://{zookeeper.hosts}{zk_root}")
    moment = lived(server, zk, zk_root)

    def history() -> list[dict[str, Any]]:
        said: list[dict[str, Any]] = json.loads(zkdns("history", "web", "--server", url(server), "--json"))[
            "changes"
        ]
        return said

    eventually(lambda: ("gone", "healthy", "") in told(history(), "b"), 10)
    changes = history()
    assert told(changes, "a") == [("registered", "", "healthy"), ("weight", "1", "5")]
    assert [c["zxid"] for c in changes] == sorted(c["zxid"] for c in changes)
    assert all(c["why"] for c in changes if c["what"] == "gone")
    then = datetime.fromtimestamp(moment, UTC).isoformat()
    said = json.loads(zkdns("explain", "web.svc.local", "--server", url(server), "--at", then, "--json"))
    assert sorted(said["answer"]) == ["10.0.0.1", "10.0.0.2"]
    assert {i["id"]: round(i["share"], 3) for i in said["instances"]} == {"a": 0.833, "b": 0.167}
    refusal = zkdns("explain", "web.svc.local", "--server", url(server), "--at", "1000h ago", code=1)
    assert "reach" in refusal
    if kept == "on disk":
        server.terminate(10)
        assert "gone" in zkdns("history", "web/b", "--state", str(tmp_path / "state"))


def test_two_replicas_tell_a_change_once(
    zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str, serve: Callable[..., Zkdns]
) -> None:
    servers = [serve(registry=f"zk://{zookeeper.hosts}{zk_root}") for _ in range(2)]
    lived(servers[0], zk, zk_root)
    eventually(lambda: servers[1].answers("web.svc.local") == ["10.0.0.1"])
    both = [word for server in servers for word in ("--server", url(server))]
    merged = json.loads(zkdns("history", "web", *both, "--json"))["changes"]
    assert told(merged, "b") == [("registered", "", "healthy"), ("gone", "healthy", "")]


class Flapping:
    """500 instances of `flap` that have another weight whenever that is asked for."""

    def __init__(self, server: Zkdns, zk: KazooClient, root: str, note: str = "") -> None:
        self.server = server
        self.zk = zk
        self.paths = [f"{root}/flap/i{n}" for n in range(500)]
        self.registered = {"address": "10.0.0.9", "meta": {"note": note}}
        self.weight = 0
        zk.ensure_path(f"{root}/flap")

    def flap(self) -> dict[str, Any]:
        """The history, once that is in it."""
        self.weight += 1
        transaction = self.zk.transaction()
        for path in self.paths:
            data = json.dumps({**self.registered, "weight": self.weight}).encode()
            (transaction.set_data if self.weight > 1 else transaction.create)(path, data)
        transaction.commit()
        to = [str(self.weight) if self.weight > 1 else "healthy"]
        newest = "/api/v1/history?service=flap&limit=1"
        eventually(lambda: [c["to"] for c in self.server.json(newest)["changes"]] == to, 30)
        said: dict[str, Any] = self.server.json("/api/v1/history?limit=10000")
        assert [c["at"] for c in said["changes"]] == sorted(c["at"] for c in said["changes"])
        return said


def test_a_service_that_flaps_takes_the_history_of_no_other(
    zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str, serve: Callable[..., Zkdns]
) -> None:
    server = serve(registry=f"zk://{zookeeper.hosts}{zk_root}")
    moment = lived(server, zk, zk_root)
    quiet = told(server.json("/api/v1/history?service=web")["changes"], "a")
    flapping = Flapping(server, zk, zk_root)
    said: dict[str, Any] = {}
    while "left_out" not in said and flapping.weight < 60:
        said = flapping.flap()
    (left,) = said["left_out"]
    assert (left["service"], left["changes"] > 0) == ("flap", True)
    assert told([c for c in said["changes"] if c["service"] == "web"], "a") == quiet
    alone = server.json("/api/v1/history?service=flap")  # the last of its changes may have come in between
    assert alone["since"] == alone["left_out"][0]["since"] >= left["since"]
    assert "left_out" not in server.json("/api/v1/history?service=web")
    assert server.metrics()["zkdns_history_left_out_total"] >= left["changes"]
    assert "flap changed too often" in zkdns("history", "--server", url(server), "--limit", "1")
    then = datetime.fromtimestamp(moment, UTC).isoformat()
    answer = json.loads(zkdns("explain", "web", "--server", url(server), "--at", then, "--json"))["answer"]
    assert sorted(answer) == ["10.0.0.1", "10.0.0.2"]
    assert "flap" in zkdns("explain", "flap", "--server", url(server), "--at", then, code=1)


def test_a_service_that_flaps_takes_the_journal_of_no_other(
    zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str, serve: Callable[..., Zkdns], tmp_path: Path
) -> None:
    config, state = tmp_path / "c.toml", tmp_path / "state"
    config.write_text("journal_mb = 16\n")
    flags = ("--config", str(config), "--state", str(state))
    server = serve(*flags, registry=f"zk://{zookeeper.hosts}{zk_root}")
    moment = lived(server, zk, zk_root)
    eventually(lambda: ("gone", "healthy", "") in told(server.json("/api/v1/history")["changes"], "b"))
    quiet = server.json("/api/v1/history?service=web")["changes"]
    flapping = Flapping(server, zk, zk_root, note="x" * 1000)
    while not server.metrics()["zkdns_history_left_out_total"] and flapping.weight < 60:
        flapping.flap()
    assert server.metrics()["zkdns_history_left_out_total"] > 0
    said = flapping.flap()
    assert [c for c in said["changes"] if c["service"] == "web"] == quiet
    then = datetime.fromtimestamp(moment, UTC).isoformat()
    answer = json.loads(zkdns("explain", "web", "--server", url(server), "--at", then, "--json"))["answer"]
    assert sorted(answer) == ["10.0.0.1", "10.0.0.2"]
    now = datetime.now(UTC).isoformat()
    assert "not known" in zkdns("explain", "flap", "--server", url(server), "--at", now, code=1)
    server.terminate(10)
    rows = json.loads(zkdns("history", "--state", str(state), "--limit", "10000", "--json"))["changes"]
    assert [c for c in rows if c["service"] == "web"] == quiet
    assert sum(path.stat().st_size for path in state.glob("*-*.zkdns")) <= 16 << 20


KILLS = int(os.environ.get("ZKDNS_KILLS", "4"))
"""Rounds; `make kills` has a hundred."""


def test_a_server_that_is_killed_at_any_moment_loses_the_last_second_at_most(
    zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    chance = random.Random(20)
    weight, known = 1, 0
    register(zk, f"{zk_root}/web/a")
    for round_ in range(KILLS):
        with Zkdns("--state", str(state), registry=f"zk://{zookeeper.hosts}{zk_root}") as server:
            begun, written = time.time(), {weight: 0.0}
            until = begun + chance.uniform(0.2, 4 if round_ % 2 else 2)
            while time.time() < until:
                weight += 1
                register(zk, f"{zk_root}/web/a", weight=weight)
                written[weight] = time.time()
                time.sleep(chance.choice([0, 0.005, 0.05]))
            server.kill()
        ended = time.time()
        changes, since, _ = read_changes(state, Query("web", "a", limit=1_000_000))
        assert since is not None
        assert len(changes) >= known, "what was once there stays"
        known = len(changes)
        own = [c for c in changes if c.at >= begun and c.what in ("weight", "registered")]
        for one, other in pairwise(c for c in own if c.what == "weight"):
            assert other.was == one.now, "nothing is missing in between"
        if ended - begun > 2:
            told = max([int(c.now) for c in own if c.what == "weight"], default=0)
            lost = [at for n, at in written.items() if n > told]
            assert ended - min(lost, default=ended) < 5, "the last second, and what a loaded machine takes"
        if changes:
            assert "web" in read_world(state, changes[-1].at).services()


def test_a_disk_that_is_full_costs_the_journal_and_not_the_answers(
    zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str, serve: Callable[..., Zkdns], tmp_path: Path
) -> None:
    """No file may grow any more: what a full disk says, said by the kernel."""
    server = serve("--state", str(tmp_path / "state"), registry=f"zk://{zookeeper.hosts}{zk_root}")
    limits = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (64 << 10, limits[1]))

    def troubles() -> str:
        found: list[dict[str, str]] = server.json("/api/v1/problems")["problems"]
        return " ".join(row["what"] for row in found)

    def weights() -> list[int]:
        return [i["weight"] for i in server.json("/api/v1/services/web")["instances"]]

    for n in range(2, 60):
        register(zk, f"{zk_root}/web/a", weight=n, meta={"text": "x" * 2000})
        eventually(lambda n=n: weights() == [n])
    eventually(lambda: "the journal can't be written" in troubles())
    register(zk, f"{zk_root}/web/a", address="10.0.0.9")
    eventually(lambda: server.answers("web.svc.local") == ["10.0.0.9"])
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, limits)
    eventually(lambda: "journal" not in troubles(), 30)
    changes, *_ = read_changes(tmp_path / "state", Query("web", "a", limit=1000))
    assert [int(c.now) for c in changes if c.what == "weight"] == [*range(3, 60), 1]


def test_what_is_no_server_and_no_folder_is_one_line(tmp_path: Path) -> None:
    assert "no such directory" in zkdns("history", "--state", str(tmp_path / "nowhere"), code=2)
    assert "no moment such as 14:02" in zkdns("history", "--since", "yesterday", code=2)
    assert "don't go together" in zkdns(
        "history", "--state", str(tmp_path), "--server", "http://127.0.0.1:1", code=2
    )
    assert "nothing changed" in zkdns("history", "--state", str(tmp_path))


def test_a_damaged_line_costs_itself_and_is_told_with_its_file(tmp_path: Path) -> None:
    text = b"".join(spell_snapshot({}, 1000.0))
    for n, id in enumerate(("one", "two", "six"), 1001):
        text += spell_record(float(n), Record((Change(float(n), n, "web", id, "gone", "healthy", ""),)))
    segment = tmp_path / "journal-1000000.zkdns"
    segment.write_bytes(text.replace(b"two", b"tw\0"))
    ran = run("history", "--state", str(tmp_path))
    assert ran.code == 0
    assert "one" in ran.out
    assert "six" in ran.out
    assert ran.err == f"{segment}: 1 line of the journal can't be read\n"
    segment.write_bytes(text[:-5])
    torn = run("history", "--state", str(tmp_path))
    assert "two" in torn.out
    assert (torn.err, "six" in torn.out) == ("", False)

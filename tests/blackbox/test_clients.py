"""Who was told what, and a drain that waits for them, with real servers and clients on 127.0.0.x."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kazoo.client import KazooClient

from support.missing import ENGINES
from support.server import REPOSITORY, Ran, Zkdns, run
from support.waiting import eventually
from support.zookeeper import ZooKeeperServer

pytestmark = pytest.mark.zookeeper


@pytest.fixture
def registry(zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str) -> Iterator[str]:
    for n, id in enumerate("ab", 1):
        data = f'{{"address": "10.0.0.{n}", "port": 80}}'.encode()
        zk.create(f"{zk_root}/web/{id}", data, makepath=True)
    zk.set(f"{zk_root}/web", b'{"policy": "round_robin", "ttl": 2}')
    yield f"zk://{zookeeper.hosts}{zk_root}"
    zk.delete("/zkdns", recursive=True)


def url(server: Zkdns) -> str:
    return f"http://127.0.0.1:{server.http_port}"


def rows(server: Zkdns, asked: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.json(f"/api/v1/clients?{asked}")["clients"]
    return found


@contextmanager
def polling(*servers: Zkdns, source: str) -> Iterator[None]:
    """A client that asks each in turn, five times a second, and has asked each once."""
    over = threading.Event()

    def poll() -> None:
        n = 0
        while not over.wait(0.2):
            servers[n % len(servers)].ask("web.svc.local", source=source)
            n += 1

    for server in servers:
        server.ask("web.svc.local", source=source)
    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("engine", ENGINES)
def test_who_was_told_is_told_by_service_and_by_client(
    engine: str, registry: str, serve: Callable[..., Zkdns]
) -> None:
    server = serve("--engine", engine, registry=registry)
    eventually(lambda: len(server.answers("web.svc.local", source="127.0.0.9")) == 2)
    for tcp in (False, True, False):
        server.ask("web.svc.local", source="127.0.0.2", tcp=tcp)
    server.ask("web.svc.local", "AAAA", source="127.0.0.3")
    eventually(lambda: len(rows(server, "client=127.0.0.2")) == 1)
    (row,) = rows(server, "client=127.0.0.2")
    assert (row["client"], row["service"], row["queries"]) == ("127.0.0.2", "web", 3)
    assert row["last_first"] in ("a", "b")
    assert row["first"] <= row["last"]
    assert {r["client"] for r in rows(server, "service=web")} == {"127.0.0.2", "127.0.0.9"}
    assert rows(server, "service=db") == []
    unknown = "* no service 'wbe' is registered now"
    assert run("clients", "wbe", "--server", url(server)).out.splitlines() == [
        "nobody asked for wbe",
        unknown,
    ]
    assert unknown in run("history", "wbe", "--server", url(server)).out
    assert "no service" not in run("history", "web", "--until", "3h", "--server", url(server)).out
    said = run("clients", "web", "--server", url(server))
    assert said.code == 0
    assert next(line.split()[0] for line in said.out.splitlines()) == "CLIENT"
    assert "127.0.0.2" in said.out
    assert run("asks", "127.0.0.2", "--server", url(server), "--json").json["clients"] == [row]
    assert "asked for no service" in run("asks", "127.0.0.77", "--server", url(server)).out
    run("asks", "web", "--server", url(server)).fails(2, "no IP address")


def test_what_is_turned_off_is_not_kept(registry: str, serve: Callable[..., Zkdns], tmp_path: Any) -> None:
    config = tmp_path / "zkdns.toml"
    config.write_text("client_table = false\n")
    server = serve("--config", str(config), registry=registry)
    eventually(lambda: len(server.answers("web.svc.local")) == 2)
    assert server.json("/api/v1/clients") == {"clients": [], "forgotten": 0, "kept": False}
    assert "client_table is false" in run("clients", "web", "--server", url(server)).out


def drain(registry: str, *words: str) -> Ran:
    return run("drain", "web/a", "--wait", "--registry", registry, *words)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_drain_waits_for_those_who_poll_and_names_those_who_hold(
    engine: str, registry: str, serve: Callable[..., Zkdns]
) -> None:
    servers = [serve("--engine", engine, registry=registry) for _ in range(2)]
    for server in servers:
        eventually(lambda server=server: len(server.answers("web.svc.local", source="127.0.0.9")) == 2)
    with polling(*servers, source="127.0.0.2"):
        servers[1].ask("web.svc.local", source="127.0.0.3")  # it holds what it got
        said = drain(registry, "--json")
    assert said.code == 0, said
    waited = said.json["wait"]
    assert waited["over"]
    assert {"127.0.0.2", "127.0.0.3"} <= set(waited["given"])
    assert "127.0.0.2" in waited["asked_again"]
    assert "127.0.0.3" in waited["left"]
    assert waited["away"] == {}
    assert waited["ttl"] == 2
    assert servers[0].answers("web.svc.local") == ["10.0.0.2"]


@pytest.mark.parametrize("engine", ENGINES)
def test_who_asks_for_a_name_that_a_route_leads_to_it_is_waited_for_too(
    engine: str, registry: str, zk: KazooClient, zk_root: str, serve: Callable[..., Zkdns]
) -> None:
    zk.create(f"{zk_root}/shop", b'{"to": [{"web": 1}], "ttl": 3600}')
    server = serve("--engine", engine, registry=registry)
    eventually(lambda: len(server.answers("shop.svc.local", source="127.0.0.3")) == 2)
    said = drain(registry, "--timeout", "2s")
    said.fails(1, "1 client may still hold it")
    held = next(line for line in said.out.splitlines() if line.startswith("  127.0.0.3"))
    assert "for shop" in held


def told_for_an_hour(
    registry: str, zk: KazooClient, zk_root: str, serve: Callable[..., Zkdns], source: str
) -> Zkdns:
    """A server that told this client of an answer that it may keep for an hour."""
    zk.set(f"{zk_root}/web", b'{"ttl": 3600}')
    server = serve(registry=registry)
    eventually(lambda: server.ask("web.svc.local", source=source).answer[0].ttl == 3600)
    return server


def test_a_drain_ends_as_soon_as_all_are_back(
    registry: str, zk: KazooClient, zk_root: str, serve: Callable[..., Zkdns]
) -> None:
    server = told_for_an_hour(registry, zk, zk_root, serve, "127.0.0.2")
    with polling(server, source="127.0.0.2"):
        said = drain(registry, "--timeout", "30s")
    assert said.code == 0, said
    assert "1 of 1 client given web/a" in said.out


def test_at_its_timeout_a_drain_tells_who_may_still_hold_it(
    registry: str, zk: KazooClient, zk_root: str, serve: Callable[..., Zkdns]
) -> None:
    told_for_an_hour(registry, zk, zk_root, serve, "127.0.0.3")
    said = drain(registry, "--timeout", "2s")
    said.fails(1, "1 client may still hold it")
    assert "these may still hold it:\n  127.0.0.3" in said.out


def test_a_replica_that_is_away_is_named(registry: str, zk: KazooClient, serve: Callable[..., Zkdns]) -> None:
    server = serve(registry=registry)
    eventually(lambda: len(server.answers("web.svc.local", source="127.0.0.3")) == 2)
    zk.create("/zkdns/servers/lost-1", b'{"http": "127.0.0.1:1"}', makepath=True)
    said = drain(registry)
    assert said.code == 0, said
    assert "replica lost-1 is away" in said.out
    assert "these never came back:\n  127.0.0.3" in said.out
    assert "JVM" in said.out


def test_ctrl_c_leaves_the_drain_in_force(
    registry: str, zk: KazooClient, serve: Callable[..., Zkdns]
) -> None:
    server = serve(registry=registry)
    zk.create("/zkdns/servers/lost-1", b'{"http": "127.0.0.1:1"}', makepath=True)
    command = [sys.executable, "-m", "zkdns", "drain", "web/a", "--wait", "--registry", registry]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(REPOSITORY)},
    ) as waiting:
        eventually(lambda: server.answers("web.svc.local") == ["10.0.0.2"])
        assert waiting.stdout is not None
        waiting.stdout.readline()
        waiting.stdout.readline()
        eventually(lambda: rows(server, "service=web"))
        waiting.send_signal(signal.SIGINT)
        _, err = waiting.communicate(timeout=20)
    assert waiting.returncode == 130
    assert "the drain of web/a stays in force" in err
    assert server.answers("web.svc.local") == ["10.0.0.2"]


@pytest.mark.parametrize("engine", ENGINES)
def test_who_is_near_to_others_alone_does_not_hold_it(
    engine: str, registry: str, zk: KazooClient, zk_root: str, serve: Callable[..., Zkdns]
) -> None:
    for n, id in enumerate("ab", 1):
        zk.set(f"{zk_root}/web/{id}", f'{{"address": "10.0.0.{n}", "port": 80, "zone": "z{n}"}}'.encode())
    zk.set(f"{zk_root}/web", b'{"near": "prefer", "ttl": 3600}')
    zk.create("/zkdns/topology", b'{"127.0.1.0/24": "z1", "127.0.2.0/24": "z2"}', makepath=True)
    server = serve("--engine", engine, registry=registry)
    eventually(lambda: server.answers("web.svc.local", source="127.0.1.1") == ["10.0.0.1"])
    server.ask("web.svc.local", source="127.0.1.2")
    server.ask("web.svc.local", source="127.0.2.2")
    server.ask("_web._tcp.svc.local", "SRV", source="127.0.2.3")
    ended = drain(registry, "--timeout", "2s")
    ended.fails(1, "may still hold it")
    assert ("127.0.1.2" in ended.out, "127.0.2.3" in ended.out) == (True, True)
    assert "127.0.2.2" not in ended.out

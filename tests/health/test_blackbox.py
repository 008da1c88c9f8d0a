"""Health from outside: real servers, real ZooKeeper, real backends that sicken and recover."""

from __future__ import annotations

import http.server
import json
import signal
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import dns.edns
import pytest
from kazoo.client import KazooClient

from support.server import Ran, Zkdns, run
from support.waiting import eventually
from support.zookeeper import ZooKeeperServer, clients

pytestmark = pytest.mark.zookeeper


def count_children(zk: KazooClient, path: str) -> int:
    """0 where there is no such node yet."""
    return len(zk.get_children(path)) if zk.exists(path) else 0


class Backend:
    """An HTTP server on an address of loopback; `status` is what /healthz says."""

    def __init__(self, address: str) -> None:
        self.status = 200
        backend = self

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(backend.status if self.path == "/healthz" else 404)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer((address, 0), Answer)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Proxy:
    """TCP between a server and ZooKeeper, to be cut."""

    def __init__(self, hosts: str) -> None:
        host, _, port = hosts.partition(":")
        self._there = (host, int(port))
        self._open: list[socket.socket] = []
        self._cut = False
        proxy = self

        class Pass(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                if proxy._cut:
                    return
                try:
                    there = socket.create_connection(proxy._there)
                except OSError:
                    return
                proxy._open += [self.request, there]
                back = threading.Thread(target=_pump, args=(there, self.request), daemon=True)
                back.start()
                _pump(self.request, there)
                back.join()
                there.close()

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Pass)
        self.hosts = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def cut(self) -> None:
        self._cut = True
        for one in self._open:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._open.clear()

    def mend(self) -> None:
        self._cut = False

    def close(self) -> None:
        self.cut()
        self._server.shutdown()
        self._server.server_close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for one in (source, sink):
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Registry:
    """The services of one test, as they register themselves."""

    def __init__(self, zk: KazooClient, hosts: str, root: str) -> None:
        self.zk, self.hosts, self.root = zk, hosts, root
        self.url = f"zk://{hosts}{root}"

    def service(self, name: str = "web", **settings: object) -> None:
        path = f"{self.root}/{name}"
        self.zk.ensure_path(path)
        self.zk.set(path, json.dumps(settings).encode())

    def put(self, id: str, address: str, client: KazooClient | None = None, **fields: object) -> None:
        data = json.dumps({"address": address, "port": 80, **fields}).encode()
        (client or self.zk).create(f"{self.root}/web/{id}", data, ephemeral=True, makepath=True)

    def run(self, *words: str) -> Ran:
        ran = run(words[0], "--registry", self.url, *words[1:])
        assert ran.code == 0, ran
        return ran


@pytest.fixture
def registry(zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str) -> Iterator[Registry]:
    yield Registry(zk, zookeeper.hosts, zk_root)
    zk.delete("/zkdns/overrides", recursive=True)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def web(server: Zkdns) -> list[str]:
    return server.answers("web.svc.local")


def becomes(server: Zkdns, *addresses: str) -> None:
    def is_so() -> bool:
        assert web(server) == list(addresses)
        return True

    eventually(is_so)


def why(server: Zkdns) -> str:
    """The Extended DNS Error's text of an answer for the service."""
    reply = server.ask("web.svc.local", edns=True)
    return " ".join(option.text or "" for option in reply.options if isinstance(option, dns.edns.EDEOption))


HTTP = {
    "type": "http",
    "port": "http",
    "path": "/healthz",
    "interval": 0.2,
    "timeout": 2,
    "rise": 2,
    "fall": 2,
}


def test_http_backends_go_out_when_they_sicken_and_come_back_when_they_recover(
    registry: Registry, stack: ExitStack
) -> None:
    one, two = Backend("127.0.0.1"), Backend("127.0.0.2")
    stack.callback(one.close)
    stack.callback(two.close)
    registry.service(check=HTTP)
    registry.put("a", "127.0.0.1", ports={"http": one.port})
    registry.put("b", "127.0.0.2", ports={"http": two.port})
    server = stack.enter_context(Zkdns(registry=registry.url))
    assert web(server) == ["127.0.0.1", "127.0.0.2"]
    one.status = 503
    becomes(server, "127.0.0.2")
    two.status = 500
    becomes(server)
    assert why(server) == "web: 2 registered, 0 healthy (2 failing)"
    assert server.answers("a.web.svc.local") == ["127.0.0.1"]  # an instance's own name: as long as registered
    one.status = 204
    becomes(server, "127.0.0.1")
    registry.service(check=HTTP, fail_open=0.9)
    becomes(server, "127.0.0.1", "127.0.0.2")


def test_a_tcp_backend_that_is_not_there_is_out_from_the_start(registry: Registry, stack: ExitStack) -> None:
    backend = Backend("127.0.0.1")
    stack.callback(backend.close)
    registry.service(check={"type": "tcp", "interval": 0.2})
    registry.put("a", "127.0.0.1", port=backend.port)
    registry.put("b", "127.0.0.3", port=1)
    server = stack.enter_context(Zkdns(registry=registry.url))
    assert web(server) == ["127.0.0.1"]
    backend.close()
    becomes(server)


def test_a_restart_never_empties_a_service(registry: Registry, stack: ExitStack) -> None:
    backend = Backend("127.0.0.1")
    stack.callback(backend.close)
    registry.service(check={**HTTP, "interval": 60})
    registry.put("a", "127.0.0.1", ports={"http": backend.port})
    server = stack.enter_context(Zkdns(registry=registry.url))
    for _ in range(2):
        assert web(server) == ["127.0.0.1"]
        server.kill()
        server.start()
    assert web(server) == ["127.0.0.1"]


# --- replicas -----------------------------------------------------------------------------------------


class Replicas:
    """Three servers, each with a home of its own: its command check looks there, so each one can be
    made to see what the others don't. The third reaches ZooKeeper through a proxy."""

    def __init__(self, registry: Registry, stack: ExitStack, folder: Path) -> None:
        self.proxy = Proxy(registry.hosts)
        stack.callback(self.proxy.close)
        settings = folder / "settings.toml"
        settings.write_text("allow_command_checks = true\n[zookeeper]\nsession_timeout = 4\n")
        registry.service(check={"type": "command", "command": ["sh", "-c", 'test -e "$HOME/$ZKDNS_ID"'],
                                "interval": 0.3, "timeout": 5, "rise": 1, "fall": 1})  # fmt: skip
        self.homes = [folder / name for name in ("r1", "r2", "r3")]
        self.servers = []
        for home in self.homes:
            home.mkdir()
            (home / "a").touch()
            (home / "b").touch()
            url = registry.url
            if home.name == "r3":
                url = url.replace(registry.hosts, self.proxy.hosts)
            server = Zkdns("--config", str(settings), registry=url, env={"HOME": str(home)})
            self.servers.append(stack.enter_context(server))
        for folder_of_all in ("/zkdns/servers", "/zkdns/health"):
            eventually(lambda path=folder_of_all: count_children(registry.zk, path) == 3)

    def see(self, id: str, well: bool, *replicas: int) -> None:
        for n in replicas:
            path = self.homes[n - 1] / id
            path.touch() if well else path.unlink()


@pytest.fixture
def replicas(registry: Registry, stack: ExitStack, tmp_path: Path) -> Replicas:
    registry.put("a", "10.0.0.1")
    registry.put("b", "10.0.0.2")
    found = Replicas(registry, stack, tmp_path)
    for server in found.servers:
        becomes(server, "10.0.0.1", "10.0.0.2")
    return found


def votes(registry: Registry) -> list[str]:
    """How many replicas find which instance bad, as `a1`."""
    bad: list[str] = []
    for name in registry.zk.get_children("/zkdns/health"):
        bad += json.loads(registry.zk.get(f"/zkdns/health/{name}")[0])["bad"]
    return sorted(path.rpartition("/")[2] for path in bad)


def test_the_majority_of_replicas_rules_and_all_of_them_say_the_same(
    registry: Registry, replicas: Replicas
) -> None:
    replicas.see("a", False, 3)
    eventually(lambda: votes(registry) == ["a"])
    for server in replicas.servers:
        assert web(server) == ["10.0.0.1", "10.0.0.2"]
    replicas.see("a", False, 1)
    for server in replicas.servers:
        becomes(server, "10.0.0.2")
    replicas.see("a", True, 3, 1)
    for server in replicas.servers:
        becomes(server, "10.0.0.1", "10.0.0.2")
    eventually(lambda: len({s.answers("svc.local", "SOA")[0].split()[2] for s in replicas.servers}) == 1)


def test_a_replica_that_is_cut_off_goes_by_its_own_checks_and_the_others_don_t_miss_it(
    registry: Registry, replicas: Replicas
) -> None:
    alone = replicas.servers[2]
    replicas.proxy.cut()
    eventually(lambda: len(registry.zk.get_children("/zkdns/health")) == 2)
    replicas.see("a", False, 3)
    becomes(alone, "10.0.0.2")
    replicas.see("b", False, 1, 2)
    for server in replicas.servers[:2]:
        becomes(server, "10.0.0.1")
    assert web(alone) == ["10.0.0.2"]
    replicas.proxy.mend()
    for server in replicas.servers:
        becomes(server, "10.0.0.1")


def test_overrides_reach_all_replicas_outlive_registrations_and_end_everywhere(
    registry: Registry, replicas: Replicas
) -> None:
    registry.run("drain", "web/a", "--why", "disk")
    for server in replicas.servers:
        becomes(server, "10.0.0.2")
    registry.zk.delete(f"{registry.root}/web/a")
    registry.put("a", "10.0.0.9")
    for server in replicas.servers:
        eventually(lambda server=server: server.answers("a.web.svc.local") == ["10.0.0.9"])  # type: ignore[misc]
        assert web(server) == ["10.0.0.2"]
    registry.run("drain", "web/b", "--for", "4s")
    for server in replicas.servers:
        eventually(lambda server=server: why(server) == "web: 2 registered, 0 healthy (2 drained)")  # type: ignore[misc]
    for server in replicas.servers:
        becomes(server, "10.0.0.2")
    registry.run("undrain", "web/a")
    for server in replicas.servers:
        becomes(server, "10.0.0.2", "10.0.0.9")
    registry.run("weight", "web/a", "7")
    for server in replicas.servers:
        eventually(lambda server=server: any(" 7 80 a." in f" {text}" or text.split()[1] == "7"  # type: ignore[misc]
                                             for text in server.answers("web.svc.local", "SRV")))  # fmt: skip


def test_replicas_are_told(registry: Registry, replicas: Replicas) -> None:
    rows = json.loads(registry.run("replicas", "--json").out)["replicas"]
    assert {row["address"] for row in rows} == {f"127.0.0.1:{server.port}" for server in replicas.servers}


# --- losses, warming -----------------------------------------------------------------------------------


@pytest.fixture
def rack(zookeeper: ZooKeeperServer) -> Iterator[KazooClient]:
    """A session that can be ended at once, as those of a rack that loses its power."""
    with clients() as make:
        yield make(zookeeper)


def test_a_mass_loss_is_held_told_and_over_after_its_time(
    registry: Registry, stack: ExitStack, rack: KazooClient
) -> None:
    registry.service(hold=6)
    registry.put("a", "10.0.0.1")
    for n, id in enumerate("bcd", 2):
        registry.put(id, f"10.0.0.{n}", client=rack)
    everyone = [f"10.0.0.{n}" for n in (1, 2, 3, 4)]
    server = stack.enter_context(Zkdns(registry=registry.url))
    assert web(server) == everyone
    rack.stop()
    eventually(lambda: registry.zk.get_children(f"{registry.root}/web") == ["a"])
    gone_at = time.monotonic()
    registry.put("z", "10.0.0.9")
    becomes(server, *everyone, "10.0.0.9")
    registry.run("drain", "web/z")
    becomes(server, *everyone)
    becomes(server, "10.0.0.1")
    assert time.monotonic() - gone_at > 5


def test_a_small_loss_is_not_held(registry: Registry, stack: ExitStack, rack: KazooClient) -> None:
    registry.service(hold=3600)
    registry.put("a", "10.0.0.1")
    registry.put("b", "10.0.0.2")
    registry.put("c", "10.0.0.3", client=rack)
    server = stack.enter_context(Zkdns(registry=registry.url))
    assert len(web(server)) == 3
    rack.stop()
    becomes(server, "10.0.0.1", "10.0.0.2")


def test_a_new_instance_warms_up_from_its_creation(registry: Registry, stack: ExitStack) -> None:
    registry.service(warm=6)
    registry.put("a", "10.0.0.1", weight=100)
    server = stack.enter_context(Zkdns(registry=registry.url))

    def weights() -> dict[str, int]:
        found = (text.split() for text in server.answers("web.svc.local", "SRV"))
        return {target.partition(".")[0]: int(weight) for _, weight, _, target in found}

    eventually(lambda: weights() == {"a": 100})
    registry.put("b", "10.0.0.2", weight=100)
    seen: list[int] = []

    def is_warm() -> bool:
        weight = weights().get("b", 0)
        if not seen or seen[-1] != weight:
            seen.append(weight)
        return weight == 100

    eventually(is_warm)
    assert seen == sorted(seen)
    assert len(seen) > 10
    assert weights() == {"a": 100, "b": 100}


def test_a_frozen_server_that_thaws_has_overrides_end_on_time(registry: Registry, stack: ExitStack) -> None:
    registry.put("a", "10.0.0.1")
    server = stack.enter_context(Zkdns(registry=registry.url))
    registry.run("drain", "web/a", "--for", "2s")
    becomes(server)
    server.signal(signal.SIGSTOP)
    time.sleep(2.5)
    server.signal(signal.SIGCONT)
    becomes(server, "10.0.0.1")

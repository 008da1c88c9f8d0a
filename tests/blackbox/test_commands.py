"""`zkdns serve` as an operator meets it: wrong words, signals, restarts, a registry that is not there."""

from __future__ import annotations

import asyncio
import functools
import json
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import dns.asyncquery
import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from support.ports import free_port
from support.registry_file import instance
from support.server import Zkdns, run
from support.upstream import Seen, Wait, reply
from support.upstream import run as run_upstream
from support.waiting import eventually
from support.zookeeper import ZooKeeperServer, finish
from zkdns import __version__

FILE = f"""
[web]
ttl = 9
{instance("web", "a", "10.0.0.1")}
{instance("web", "b", "10.0.0.2")}
"""


# --- wrong words -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--nosuch"], "--nosuch"),
        (["extra"], "extra"),
        (["--registry", "http://x/y"], "http://x/y"),
        (["--registry", "file:/nowhere/at/all.toml"], "/nowhere/at/all.toml"),
        (["--listen", "203.0.113.77:5300"], "203.0.113.77:5300"),
        (["--http", "203.0.113.77:8053"], "203.0.113.77:8053"),
        (["--workers", "many"], "many"),
        (["--forward", "dns.example"], "dns.example"),
        (["--zones", "/nowhere/zones"], "/nowhere/zones"),
        (["--state", "/proc/nowhere"], "/proc/nowhere"),
        (["--state", "/dev/null"], "/dev/null: no directory"),
        (["--config", "/nowhere/zkdns.toml"], "/nowhere/zkdns.toml"),
    ],
)
def test_a_wrong_flag_is_one_line_that_names_it(file: Path, words: list[str], named: str) -> None:
    given = [] if "--registry" in words else ["--registry", f"file:{file}"]
    for flag in ("--listen", "--http"):
        given += [] if flag in words else [flag, f"127.0.0.1:{free_port()}"]
    run("serve", *given, *words).fails(2, named)


def test_a_registry_file_that_cannot_be_read_at_start_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "services.toml"
    path.write_text("[web")
    ran = run("serve", "--registry", f"file:{path}", "--listen", f"127.0.0.1:{free_port()}", "--http", "")
    ran.fails(2, str(path))


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_port_in_use_is_one_line_that_names_it(file: Path, engine: str, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        at = f"127.0.0.1:{taken.getsockname()[1]}"
        ran = run(
            "serve", "--registry", f"file:{file}", "--listen", at, "--http", "", "--engine", engine
        )  # fmt: skip
        ran.fails(1, at, "in use")


def test_an_http_port_in_use_is_one_line_that_names_it(file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        at = f"127.0.0.1:{taken.getsockname()[1]}"
        listen = f"127.0.0.1:{free_port()}"
        run("serve", "--registry", f"file:{file}", "--listen", listen, "--http", at).fails(
            1, "--http", at, "in use"
        )


def test_version_and_help() -> None:
    assert run("--version").out.startswith(f"zkdns {__version__}, engine ")
    help = run("serve", "--help")
    assert help.code == 0
    for flag in (
        "registry", "zone", "listen", "http", "engine", "workers", "forward", "forward-allow", "zones",
        "state", "ttl", "lameduck", "config",
    ):  # fmt: skip
        assert f"--{flag} " in help.out


# --- settings -----------------------------------------------------------------------------------------


def test_flags_win_over_the_environment_and_that_over_the_file(file: Path, tmp_path: Path) -> None:
    config = tmp_path / "zkdns.toml"
    config.write_text('registry = "file:/nowhere/a.toml"\nttl = 30\nzone = ["one.test", "two.test"]\n')
    other = tmp_path / "other.toml"
    other.write_text('[[db.instances]]\nid = "a"\naddress = "10.0.0.9"\n')
    flags = ("--config", str(config), "--ttl", "31")
    with Zkdns(*flags, env={"ZKDNS_REGISTRY": f"file:{other}"}) as server:
        [rrset] = server.ask("db.two.test").answer
        assert rrset.ttl == 31
    with Zkdns(*flags, registry=f"file:{file}", env={"ZKDNS_REGISTRY": "file:/nowhere/b"}) as server:
        assert server.answers("web.one.test") == ["10.0.0.1", "10.0.0.2"]


def test_http_can_be_turned_off(file: Path) -> None:
    with Zkdns("--http", "", registry=f"file:{file}") as server:
        assert server.answers("web.svc.local") == ["10.0.0.1", "10.0.0.2"]
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", server.http_port), 5)


# --- ready and not ----------------------------------------------------------------------------------


def ready_line(server: Zkdns) -> str:
    [line] = [line for line in server.log.splitlines() if "ready" in line]
    return line


def test_the_ready_line_names_engine_zones_and_numbers(file: Path, engine: str) -> None:
    with Zkdns("--zone", "a.test", "--zone", "b.test", "--engine", engine, registry=f"file:{file}") as server:
        line = ready_line(server)
        for word in (engine, "a.test", "b.test", "1 service", "2 instances"):
            assert word in line
        assert server.terminate() == 0
        assert "Traceback" not in server.log


@pytest.mark.zookeeper
def test_until_the_first_catalog_it_is_not_ready_and_never_nxdomain(
    own_zookeeper: ZooKeeperServer, engine: str
) -> None:
    own_zookeeper.stop()
    server = Zkdns("--engine", engine, registry=f"zk://{own_zookeeper.hosts}/services")
    server.launch()
    try:
        eventually(lambda: server.is_answering("web.svc.local"))
        for name in ("web.svc.local", "nope.svc.local", "svc.local", "_tcp.svc.local"):
            for tcp in (False, True):
                reply = server.ask(name, "A", edns=True, tcp=tcp)
                assert reply.rcode() == dns.rcode.SERVFAIL
                assert codes(reply) == [14]
        assert server.ask("example.com").rcode() == dns.rcode.REFUSED
        assert server.http("/health")[0] == 200
        assert server.http("/ready")[0] == 503
        assert "ready: engine" not in server.log
        named = f"not read yet: zk://{own_zookeeper.hosts}/services: SERVFAIL with EDE 14"
        eventually(lambda: named in server.log)
        own_zookeeper.start()
        client = own_zookeeper.client()
        client.create("/services/web/a", b'{"address": "10.0.0.1"}', makepath=True)
        eventually(lambda: server.answers("web.svc.local") == ["10.0.0.1"])
        assert is_quiet(server)
        assert server.http("/ready")[0] == 200
        assert server.ask("nope.svc.local").rcode() == dns.rcode.NXDOMAIN
        finish(client)
        assert server.terminate() == 0
    finally:
        server.close()


def codes(reply: dns.message.Message) -> list[int]:
    return [int(option.code) for option in reply.options if isinstance(option, dns.edns.EDEOption)]


def is_quiet(server: Zkdns) -> bool:
    return codes(server.ask("web.svc.local", edns=True)) == []


# --- the end -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_although_clients_hold_on(
    file: Path, engine: str, number: signal.Signals
) -> None:
    with Zkdns("--engine", engine, registry=f"file:{file}") as server:
        idle = socket.create_connection((server.host, server.port))
        browser = socket.create_connection(("127.0.0.1", server.http_port))
        browser.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200" in browser.recv(100)
        server.signal(number)
        assert server.process is not None
        assert server.process.wait(10) == 0
        assert "Traceback" not in server.log
        idle.close()
        browser.close()


def test_it_ends_before_it_was_ready(engine: str) -> None:
    server = Zkdns("--engine", engine, registry=f"zk://127.0.0.1:{free_port()}/services")
    server.launch()
    try:
        eventually(lambda: server.is_answering("web.svc.local"))
        assert server.terminate() == 0
        assert "Traceback" not in server.log
    finally:
        server.close()


def test_lameduck_answers_on_while_not_ready(file: Path, engine: str) -> None:
    with Zkdns("--engine", engine, "--lameduck", "2", registry=f"file:{file}") as server:
        assert server.http("/ready")[0] == 200
        server.signal(signal.SIGTERM)
        eventually(lambda: server.http("/ready")[0] == 503, 5)
        assert server.http("/health")[0] == 200
        assert server.answers("web.svc.local") == ["10.0.0.1", "10.0.0.2"]
        assert server.answers("web.svc.local", tcp=True) == ["10.0.0.1", "10.0.0.2"]
        assert server.process is not None
        assert server.process.wait(10) == 0
        assert server.log.count("ready") == 1


def test_a_second_sigterm_in_lameduck_ends_it_at_once(file: Path) -> None:
    with Zkdns("--lameduck", "600", registry=f"file:{file}") as server:
        server.signal(signal.SIGTERM)
        eventually(lambda: "lameduck" in server.log, 5)
        server.signal(signal.SIGTERM)
        assert server.process is not None
        assert server.process.wait(10) == 0


def test_what_came_before_sigterm_is_answered(file: Path, engine: str) -> None:
    with Zkdns("--engine", engine, registry=f"file:{file}") as server:
        server.signal(signal.SIGSTOP)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            asking.settimeout(10)
            asking.connect((server.host, server.port))
            for id in range(500):
                asking.send(dns.message.make_query("web.svc.local", "A", id=id).to_wire())
            server.signal(signal.SIGTERM)
            server.signal(signal.SIGCONT)
            replies = {int.from_bytes(asking.recv(600)[:2], "big") for _ in range(500)}
        assert replies == set(range(500))
        assert server.process is not None
        assert server.process.wait(10) == 0


def test_connections_that_the_kernel_took_before_sigterm_are_answered(file: Path, engine: str) -> None:
    query = dns.message.make_query("web.svc.local", "A").to_wire()
    with Zkdns("--engine", engine, registry=f"file:{file}") as server, ExitStack() as sockets:
        server.signal(signal.SIGSTOP)
        asking = [
            sockets.enter_context(socket.create_connection((server.host, server.port), 10)) for _ in range(50)
        ]
        server.signal(signal.SIGTERM)
        server.signal(signal.SIGCONT)
        for each in asking:
            each.sendall(len(query).to_bytes(2, "big") + query)
        for each in asking:
            assert each.recv(600)[2:4] == query[:2]
        assert server.process is not None
        assert server.process.wait(10) == 0


async def test_a_forwarded_query_under_way_at_sigterm_is_answered(file: Path, engine: str) -> None:
    def script(seen: Seen) -> list[bytes | Wait] | None:
        if seen.is_probe:
            return None
        asked.set()
        return [Wait(0.3), reply(seen, f"{seen.name} 60 A 192.0.2.1")]

    asked = asyncio.Event()
    async with run_upstream(script) as upstream:
        flags = ("--forward", upstream.address, "--engine", engine)
        server = Zkdns(*flags, registry=f"file:{file}")
        try:
            await asyncio.to_thread(server.start)
            query = dns.message.make_query("www.example.com", "A")
            waiting = asyncio.create_task(dns.asyncquery.udp(query, server.host, 5, server.port))
            await asyncio.wait_for(asked.wait(), 5)
            server.signal(signal.SIGTERM)
            assert (await waiting).answer[0][0].to_text() == "192.0.2.1"
            assert server.process is not None
            assert await asyncio.to_thread(server.process.wait, 10) == 0
        finally:
            await asyncio.to_thread(server.close)


# --- reload ------------------------------------------------------------------------------------------


def test_sighup_takes_new_settings_and_keeps_the_old_where_the_file_is_bad(
    file: Path, tmp_path: Path, engine: str
) -> None:
    file.write_text(FILE.replace("ttl = 9", ""))
    config = tmp_path / "zkdns.toml"
    config.write_text("ttl = 6\n")
    with Zkdns("--config", str(config), "--engine", engine, registry=f"file:{file}") as server:
        assert ttl_of(server, "web.svc.local") == 6
        config.write_text("ttl = 17\n")
        server.signal(signal.SIGHUP)
        eventually(lambda: ttl_of(server, "web.svc.local") == 17, 10)
        assert ttl_of(server, "a.web.svc.local") == 17
        assert ttl_of(server, "ns.dns.svc.local") == 17
        assert server.json("/api/v1/services")["services"][0]["ttl"] == 17
        for bad in ("ttl = \n", "ttl = -1\n", "nope = 1\n"):
            before = len(server.log)
            config.write_text(bad)
            server.signal(signal.SIGHUP)
            eventually(lambda: str(config) in server.log[before:], 10)  # noqa: B023
            assert ttl_of(server, "web.svc.local") == 17
            assert server.metrics()["zkdns_config_reload_success"] == 0
        config.unlink()
        before = len(server.log)
        server.signal(signal.SIGHUP)
        eventually(lambda: str(config) in server.log[before:], 10)
        assert server.answers("web.svc.local") == ["10.0.0.1", "10.0.0.2"]
        config.write_text("ttl = 18\n")
        server.signal(signal.SIGHUP)
        eventually(lambda: ttl_of(server, "web.svc.local") == 18, 10)
        assert server.metrics()["zkdns_config_reload_success"] == 1
        assert "Traceback" not in server.log


def ttl_of(server: Zkdns, name: str) -> int:
    return server.ask(name).answer[0].ttl


def test_sighup_reads_zone_files_again_and_keeps_the_last_good_one(
    file: Path, tmp_path: Path, engine: str
) -> None:
    zones = tmp_path / "zones"
    zones.mkdir()
    zone = zones / "example.zone"
    text = "$ORIGIN example.test.\n@ 60 SOA ns h 1 60 60 60 60\n@ 60 NS ns\nns 60 A 10.0.0.1\nwww 60 A {}\n"
    zone.write_text(text.format("10.0.0.2"))
    flags = ("--zones", str(zones), "--engine", engine)
    with Zkdns(*flags, registry=f"file:{file}") as server:
        reply = server.ask("www.example.test")
        assert reply.flags & dns.flags.AA
        zone.write_text(text.format("10.0.0.3"))
        server.signal(signal.SIGHUP)
        eventually(lambda: server.answers("www.example.test") == ["10.0.0.3"], 10)
        zone.write_text(text.format("not an address"))
        server.signal(signal.SIGHUP)
        eventually(lambda: "example.zone:5" in server.log, 10)
        assert server.answers("www.example.test") == ["10.0.0.3"]
        said = json.dumps(server.json("/api/v1/problems"))
        assert "example.zone" in said


# --- two at one address -------------------------------------------------------------------------------


class Asking:
    """Clients with a fresh socket for each query, until told to stop."""

    def __init__(self, port: int, send: Callable[..., dns.message.Message]) -> None:
        self.lost: list[str] = []
        self.asked = 0
        self._port = port
        self._send = send
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(3)]

    def _ask(self) -> None:
        while not self._stop.is_set():
            self.asked += 1
            query = dns.message.make_query("web.svc.local", "A")
            try:
                assert len(self._send(query, "127.0.0.1", 30, self._port).answer[0]) == 2
            except Exception as error:
                self.lost.append(repr(error))

    def __enter__(self) -> Asking:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


# What is sent to whoever had a client's port before is none of our replies.
UDP = functools.partial(dns.query.udp, ignore_unexpected=True)


@pytest.mark.parametrize("send", [UDP, dns.query.tcp], ids=["udp", "tcp"])
def test_a_restart_by_overlap_loses_no_query(
    file: Path, engine: str, send: Callable[..., dns.message.Message]
) -> None:
    """The same command line for both, HTTP included."""
    first = Zkdns("--engine", engine, registry=f"file:{file}")
    second = Zkdns("--engine", engine, registry=f"file:{file}")
    second.command, second.port, second.http_port = first.command, first.port, first.http_port
    with first, Asking(first.port, send) as asking:
        eventually(lambda: asking.asked > 100)
        with second:
            before = asking.asked
            eventually(lambda: asking.asked > before + 200)
            assert first.terminate() == 0
            before = asking.asked
            eventually(lambda: asking.asked > before + 200)
            assert not asking.lost
            assert second.http("/ready")[0] == 200


def test_a_server_that_is_not_ready_leaves_the_address_to_the_one_that_answers(
    file: Path, engine: str
) -> None:
    first = Zkdns("--engine", engine, registry=f"file:{file}")
    at = ("--listen", f"127.0.0.1:{first.port}", "--http", f"127.0.0.1:{first.http_port}")
    nowhere = f"zk://127.0.0.1:{free_port()}/services"
    second, third = (Zkdns(*at, "--engine", engine, registry=nowhere) for _ in range(2))
    second.port, second.http_port = first.port, first.http_port
    try:
        with first:
            for waiting in (second, third):
                waiting.launch()
                eventually(lambda: "another server" in waiting.log)  # noqa: B023
            eventually(lambda: "not read yet" in second.log)
            for _ in range(50):
                assert first.answers("web.svc.local") == ["10.0.0.1", "10.0.0.2"]
                assert first.http("/ready")[0] == 200
            assert third.terminate() == 0
            assert first.terminate() == 0
        eventually(lambda: second.is_answering("web.svc.local"))
        assert codes(second.ask("web.svc.local", edns=True)) == [14]
        assert second.http("/ready")[0] == 503
        assert "ready" not in second.log
        assert second.terminate() == 0
        assert "Traceback" not in second.log + third.log
    finally:
        for each in (second, third):
            each.close()


# --- wildcard sockets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [dns.query.udp, dns.query.tcp])
def test_on_wildcard_sockets_a_reply_leaves_from_the_address_asked(
    file: Path, engine: str, how: Callable[..., dns.message.Message]
) -> None:
    port = free_port()
    listen = ("--listen", f"0.0.0.0:{port}", "--listen", f"[::]:{port}")
    with Zkdns(*listen, "--engine", engine, registry=f"file:{file}"):
        for address in ("127.0.0.1", "127.0.0.2", "127.77.0.3", "::1"):
            for name, rcode in (("web.svc.local", 0), ("nope.svc.local", 3), ("example.com", 5)):
                for edns in (False, 0):
                    query = dns.message.make_query(name, "A", use_edns=edns)
                    assert how(query, address, 5, port).rcode() == rcode  # UnexpectedSource otherwise
        server = dns.query.udp(dns.message.make_query("svc.local", "NS"), "127.0.0.2", 5, port)
        name = server.answer[0][0].target
        found = dns.query.udp(dns.message.make_query(name, "A"), "127.0.0.2", 5, port).answer[0]
        assert found[0].address != "0.0.0.0"


def test_several_addresses_are_served_at_once(file: Path, engine: str) -> None:
    one, two = free_port(), free_port("::1")
    listen = ("--listen", f"127.0.0.3:{one}", "--listen", f"[::1]:{two}", "--engine", engine)
    with Zkdns(*listen, registry=f"file:{file}") as server:
        for host, port in (("127.0.0.3", one), ("::1", two)):
            for how in (dns.query.udp, dns.query.tcp):
                assert how(dns.message.make_query("web.svc.local", "A"), host, 5, port).answer
        assert re.search(rf"127\.0\.0\.3:{one}.*\[::1\]:{two}", ready_line(server))


# --- files --------------------------------------------------------------------------------------------


def test_the_file_registry_is_followed_and_a_broken_one_leaves_the_last_good(file: Path, engine: str) -> None:
    with Zkdns("--engine", engine, registry=f"file:{file}") as server:
        before = server.ask("svc.local", "SOA").answer[0][0].serial
        assert before == int(file.stat().st_mtime)
        file.write_text(FILE.replace("10.0.0.2", "10.0.0.22"))
        eventually(lambda: server.answers("web.svc.local") == ["10.0.0.1", "10.0.0.22"])
        file.write_text("[web\n")
        eventually(lambda: str(file) in json.dumps(server.json("/api/v1/problems")))
        assert server.answers("web.svc.local") == ["10.0.0.1", "10.0.0.22"]
        file.unlink()
        time.sleep(2.2)  # two looks at it
        assert server.answers("web.svc.local") == ["10.0.0.1", "10.0.0.22"]
        file.write_text(FILE + '[[web.instances]]\nid = "c"\naddress = "10.0.0.3"\nport = 70000\n')
        eventually(lambda: server.answers("web.svc.local") == ["10.0.0.1", "10.0.0.2"])
        [problem] = server.json("/api/v1/problems")["problems"]
        assert "web/c" in problem["path"]
        assert problem["cure"]

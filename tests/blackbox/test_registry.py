"""What is registered and how it changes, ZooKeeper's own shell as operator; the registry away and back."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dns.edns
import dns.message
import dns.rcode
import pytest
from kazoo.client import KazooClient
from kazoo.security import READ_ACL_UNSAFE

from support.server import Zkdns, run
from support.waiting import eventually
from support.zookeeper import ZooKeeperServer, finish

pytestmark = pytest.mark.zookeeper

Put = Callable[..., None]
Serve = Callable[..., Zkdns]


@pytest.fixture
def url(zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str) -> str:
    zk.ensure_path(zk_root)
    return f"zk://{zookeeper.hosts}{zk_root}"


def codes(reply: dns.message.Message) -> list[int]:
    return [int(option.code) for option in reply.options if isinstance(option, dns.edns.EDEOption)]


def becomes(server: Zkdns, name: str, wanted: list[str], type: str = "A", timeout: float = 30.0) -> None:
    """Wait until this is answered."""

    def is_so() -> bool:
        found = server.answers(name, type)
        assert found == wanted
        return True

    eventually(is_so, timeout)


def is_gone(server: Zkdns, name: str) -> bool:
    return server.ask(name).rcode() == dns.rcode.NXDOMAIN


def problems(server: Zkdns) -> dict[str, str]:
    """What is wrong, by the end of its path; each has a cure."""
    rows = server.json("/api/v1/problems")["problems"]
    assert all(row["what"] and row["cure"] for row in rows)
    return {row["path"]: row["what"] for row in rows}


# --- changes ------------------------------------------------------------------------------------------


def test_what_zookeepers_shell_does_is_followed(
    zookeeper: ZooKeeperServer, zk_root: str, url: str, put: Put, serve: Serve
) -> None:
    put("web/a", address="10.0.0.1", port=80)
    server = serve(registry=url)
    assert server.answers("web.svc.local") == ["10.0.0.1"]
    zookeeper.cli("create", f"{zk_root}/web/b", '{"address":"10.0.0.2","port":81}')
    becomes(server, "web.svc.local", ["10.0.0.1", "10.0.0.2"])
    zookeeper.cli("set", f"{zk_root}/web/a", '{"address":"10.0.0.9","port":80}')
    becomes(server, "web.svc.local", ["10.0.0.2", "10.0.0.9"])
    assert server.ask("1.0.0.10.in-addr.arpa", "PTR").rcode() == dns.rcode.REFUSED
    zookeeper.cli("delete", f"{zk_root}/web/b")
    becomes(server, "web.svc.local", ["10.0.0.9"])
    assert is_gone(server, "b.web.svc.local")
    zookeeper.cli("create", f"{zk_root}/db", '{"ttl":33,"policy":"first","answers":1}')
    eventually(lambda: "db.svc.local" in str(server.json("/api/v1/services")))
    assert server.ask("db.svc.local").rcode() == dns.rcode.NOERROR


def test_each_field_that_changes_is_in_the_answers(
    url: str, put: Put, serve: Serve, engine: str, zk: KazooClient, zk_root: str
) -> None:
    put("web/a", address="10.0.0.1", port=80)
    put("web/b", address="10.0.0.2", port=80)
    server = serve("--engine", engine, "--ttl", "3", registry=url)
    serial = server.ask("svc.local", "SOA").answer[0][0].serial
    put("web/a", address="10.0.0.1", port=80, status="draining")
    becomes(server, "web.svc.local", ["10.0.0.2"])
    assert server.ask("svc.local", "SOA").answer[0][0].serial > serial
    assert server.answers("a.web.svc.local") == ["10.0.0.1"]
    put("web/a", address="10.0.0.1", port=80, priority=1, weight=5)
    becomes(server, "web.svc.local", ["0 1 80 b.web.svc.local.", "1 5 80 a.web.svc.local."], "SRV")
    put("web/b", address="10.0.0.2", port=80, status="down")
    becomes(server, "web.svc.local", ["10.0.0.1"])
    put("web/b", address=["10.0.0.2", "fd00::b"], port=80)
    becomes(server, "web.svc.local", ["fd00::b"], "AAAA")
    put("web/b", address="10.0.0.2", port=80, tags=["canary"], ports={"grpc": 90})
    becomes(server, "_grpc._tcp.web.svc.local", ["0 1 90 b.web.svc.local."], "SRV")
    assert server.answers("canary.web.svc.local") == ["10.0.0.2"]
    put("web/b", address="10.0.0.2", port=80)
    eventually(lambda: is_gone(server, "canary.web.svc.local"))
    assert is_gone(server, "_grpc._tcp.web.svc.local")
    assert not is_gone(server, "_tcp.web.svc.local")  # the folder of its ports, empty now
    put("web", ttl=44, policy="first", answers=1)
    eventually(lambda: server.ask("web.svc.local").answer[0].ttl == 44)
    zk.delete(f"{zk_root}/web", recursive=True)
    eventually(lambda: is_gone(server, "web.svc.local"))
    assert is_gone(server, "_web._tcp.svc.local")


def test_a_session_that_ends_takes_its_instance_with_it(
    zookeeper: ZooKeeperServer, url: str, zk_root: str, serve: Serve, put: Put
) -> None:
    put("web/a", address="10.0.0.1")
    server = serve(registry=url)
    owner = zookeeper.client()
    owner.create(f"{zk_root}/web/b", b'{"address": "10.0.0.2"}', ephemeral=True)
    becomes(server, "web.svc.local", ["10.0.0.1", "10.0.0.2"])
    finish(owner)
    becomes(server, "web.svc.local", ["10.0.0.1"])


def test_a_root_that_is_removed_and_made_again_is_followed(
    url: str, put: Put, serve: Serve, zk: KazooClient, zk_root: str
) -> None:
    put("web/a", address="10.0.0.1")
    server = serve(registry=url)
    zk.delete(zk_root, recursive=True)
    eventually(lambda: is_gone(server, "web.svc.local"))
    put("web/b", address="10.0.0.2")
    becomes(server, "web.svc.local", ["10.0.0.2"])


def test_a_root_that_is_not_there_yet_is_an_empty_catalog(
    zookeeper: ZooKeeperServer, zk_root: str, serve: Serve, put: Put
) -> None:
    server = serve(registry=f"zk://{zookeeper.hosts}{zk_root}/deep/down")
    eventually(lambda: f"{zk_root}/deep/down: there is no node {zk_root}/deep/down" in server.log)
    assert is_gone(server, "web.svc.local")
    assert codes(server.ask("web.svc.local", edns=True)) == []
    put("deep/down/web/a", address="10.0.0.1")
    becomes(server, "web.svc.local", ["10.0.0.1"])


# --- bad data beside good data --------------------------------------------------------------------------

BAD: dict[str, Any] = {
    "empty": b"",
    "spaces": b"  \n",
    "text": b"hello world",
    "binary": b"\x00\xff\xfe\x80",
    "number": b"7",
    "null": b"null",
    "array": b"[1]",
    "cut": b'{"address": "10.1.0.1"',
    "deep": b"[" * 100_000,
    "large": b'{"address": "' + b"x" * 900_000 + b'"}',
    "no-address": {"port": 1},
    "wrong-type": {"address": 5},
    "empty-list": {"address": []},
    "no-ip": {"address": "10.0.0.256"},
    "anywhere": {"address": "0.0.0.0"},
    "scoped": {"address": "fe80::1%eth0"},
    "with-port": {"address": "10.0.0.1:80"},
    "mixed-list": {"address": ["10.0.0.1", "host.example"]},
    "weight-low": {"address": "10.1.0.1", "weight": -1},
    "weight-high": {"address": "10.1.0.1", "weight": 65536},
    "weight-half": {"address": "10.1.0.1", "weight": 1.5},
    "weight-text": {"address": "10.1.0.1", "weight": "1"},
    "weight-flag": {"address": "10.1.0.1", "weight": True},
    "priority-high": {"address": "10.1.0.1", "priority": 65536},
    "port-high": {"address": "10.1.0.1", "port": 65536},
    "port-low": {"address": "10.1.0.1", "port": -1},
    "status": {"address": "10.1.0.1", "status": "sideways"},
    "protocol": {"address": "10.1.0.1", "protocol": "sctp"},
    "tags": {"address": "10.1.0.1", "tags": "canary"},
    "ports": {"address": "10.1.0.1", "ports": {"http": 0}},
    "ports-list": {"address": "10.1.0.1", "ports": [80]},
    "meta": {"address": "10.1.0.1", "meta": {"a": {"b": 1}}},
    "nowhere": {"address": "no-such-host.invalid"},
}
GOOD: dict[str, Any] = {
    "ok": {"address": "10.9.0.1", "port": 80},
    "unknown-field": {"address": "10.9.0.2", "colour": "red"},
    "ok-nulls": {"address": "10.9.0.3", "weight": None, "tags": None},
    "ok-edges": {"address": "10.9.0.4", "weight": 65535, "priority": 0, "port": 65535},
}


def test_each_bad_payload_costs_itself_alone_and_is_named(
    url: str, put: Put, serve: Serve, zk_root: str
) -> None:
    for id, data in {**BAD, **GOOD}.items():
        put(f"web/{id}", data if isinstance(data, bytes) else json.dumps(data).encode())
    server = serve(registry=url)
    assert server.answers("web.svc.local") == [f"10.9.0.{n}" for n in (1, 2, 3, 4)]
    eventually(lambda: len(problems(server)) == len(BAD))
    assert set(problems(server)) == {f"{zk_root}/web/{id}" for id in BAD}
    assert server.metrics()["zkdns_registry_problems"] == len(BAD)
    assert "no-such-host.invalid" in problems(server)[f"{zk_root}/web/nowhere"]
    for id in BAD:
        if id != "nowhere":  # registered by a name that leads nowhere: it is there, without an address
            assert is_gone(server, f"{id}.web.svc.local")
    page = server.http("/")[1]
    assert f"{zk_root}/web/weight-high" in page
    checked = run("check", "--registry", url)
    assert checked.code == 1
    assert f"{zk_root}/web/weight-high" in checked.out.replace("\n", "")
    put("web/empty", address="10.9.0.5")
    becomes(server, "web.svc.local", [f"10.9.0.{n}" for n in (1, 2, 3, 4, 5)])
    assert len(problems(server)) == len(BAD) - 1
    put("web/ok", b"broken now")
    becomes(server, "web.svc.local", [f"10.9.0.{n}" for n in (2, 3, 4, 5)])
    assert "Traceback" not in server.log


@pytest.mark.parametrize(
    "settings",
    [
        b"not json",
        b"[]",
        b'{"ttl": -1}',
        b'{"ttl": "5"}',
        b'{"policy": "best"}',
        b'{"answers": 0}',
        b'{"check": {"type": "carrier pigeon"}}',
        b'{"fail_open": "yes"}',
        b'{"fail_open": 2}',
        b'{"srv_scale": -1}',
        b'{"warm": -1}',
        b'{"hold": true}',
    ],
)
def test_bad_service_settings_cost_only_the_settings(
    shared: tuple[Zkdns, KazooClient, str], settings: bytes
) -> None:
    server, zk, root = shared
    zk.set(f"{root}/web", settings)
    eventually(lambda: f"{root}/web" in problems(server))
    assert server.answers("web.svc.local") == ["10.0.0.1"]
    assert server.ask("web.svc.local").answer[0].ttl == 5
    zk.set(f"{root}/web", b'{"ttl": 6}')
    eventually(lambda: f"{root}/web" not in problems(server))
    eventually(lambda: server.ask("web.svc.local").answer[0].ttl == 6)


@pytest.fixture(scope="module")
def shared(zookeeper: ZooKeeperServer) -> Iterator[tuple[Zkdns, KazooClient, str]]:
    """One server and one service for many small changes."""
    client = zookeeper.client()
    root = "/shared-by-registry-tests"
    client.create(f"{root}/web/a", b'{"address": "10.0.0.1"}', makepath=True)
    with Zkdns(registry=f"zk://{zookeeper.hosts}{root}") as server:
        yield server, client, root
    client.delete(root, recursive=True)
    finish(client)


# --- names --------------------------------------------------------------------------------------------


def test_names_that_are_no_labels_are_folded_and_never_mixed_up(url: str, put: Put, serve: Serve) -> None:
    put("My_Service/Node 1:8080", address="10.0.0.1", port=1, tags=["Blue Green"])
    put("Web/a", address="10.0.1.1")
    put("web/a", address="10.0.1.2")
    put(f"{'long' * 30}/a", address="10.0.2.1")
    put("ids/A", address="10.0.3.1", port=1)
    put("ids/a", address="10.0.3.2", port=1)
    put("bücher/ä", address="10.0.4.1")
    server = serve(registry=url)
    other = serve(registry=url)
    services = {s["name"]: s["names"] for s in server.json("/api/v1/services")["services"]}
    assert services == {s["name"]: s["names"] for s in other.json("/api/v1/services")["services"]}
    assert server.answers("my-service.svc.local") == ["10.0.0.1"]
    assert server.answers("node-1-8080.my-service.svc.local") == ["10.0.0.1"]
    assert server.answers("blue-green.my-service.svc.local") == ["10.0.0.1"]
    assert server.answers("web.svc.local") == ["10.0.1.2"], "a name that is a label keeps it"
    for name, address in (("Web", "10.0.1.1"), ("web", "10.0.1.2"), ("long" * 30, "10.0.2.1")):
        [own] = [n for n in services[name] if n.count(".") == 2]
        label = own.split(".")[0]
        assert len(label) <= 63
        assert label.startswith(name.lower()[:3])
        assert server.answers(own) == [address]
    assert server.answers("ids.svc.local") == ["10.0.3.1", "10.0.3.2"]
    targets = server.answers("ids.svc.local", "SRV")
    assert len({t.split()[-1] for t in targets}) == 2
    for target in targets:
        assert len(server.answers(target.split()[-1])) == 1


def test_a_service_with_the_name_of_something_of_ours_does_no_harm(
    url: str, put: Put, serve: Serve, engine: str
) -> None:
    put("dns/ns", address="10.0.0.1")
    put("dns/a", address="10.0.0.2")
    put("_tcp/a", address="10.0.0.3")
    put("ns/a", address="10.0.0.4")
    server = serve("--engine", engine, registry=url)
    assert server.answers("dns.svc.local") == ["10.0.0.1", "10.0.0.2"]
    [name] = server.answers("svc.local", "NS")
    assert server.answers(name) == ["127.0.0.1"]
    assert server.answers("ns.svc.local") == ["10.0.0.4"]
    assert "Traceback" not in server.log


def test_a_host_name_stays_the_target_and_is_resolved_for_addresses(
    url: str, put: Put, serve: Serve, engine: str
) -> None:
    put("web/a", address="localhost", port=80)
    put("web/b", address="a.db.svc.local", port=81)
    put("db/a", address="10.0.0.7", port=1)
    put("loop/a", address="loop.svc.local", port=1)
    put("loop/b", address="10.0.0.8", port=1)
    server = serve("--engine", engine, registry=url)
    assert server.answers("web.svc.local") == ["10.0.0.7", "127.0.0.1"]
    assert server.answers("web.svc.local", "SRV") == ["0 1 80 localhost.", "0 1 81 a.db.svc.local."]
    assert server.answers("loop.svc.local") == ["10.0.0.8"]
    reply = server.ask("web.svc.local", "SRV")
    assert "10.0.0.7" in {item.to_text() for rrset in reply.additional for item in rrset}
    put("db/a", address="10.0.0.77", port=1)
    becomes(server, "web.svc.local", ["10.0.0.77", "127.0.0.1"])
    put("late/a", address="later.svc.local", port=1)
    eventually(lambda: "later.svc.local" in str(problems(server)))
    put("later/x", address="10.0.0.5")
    becomes(server, "late.svc.local", ["10.0.0.5"])
    put("later/x", address="10.0.0.5", status="down")
    put("later/y", address="10.0.0.6")
    becomes(server, "late.svc.local", ["10.0.0.6"])


# --- several registries ----------------------------------------------------------------------------------


def test_zookeeper_and_a_file_are_one_registry(
    url: str, put: Put, serve: Serve, tmp_path: Path, zk_root: str
) -> None:
    put("web/a", address="10.0.0.1", port=1)
    put("web/b", address="10.0.0.2", port=1)
    file = tmp_path / "services.toml"
    text = (
        '[web]\nttl = 9\n[[web.instances]]\nid = "a"\naddress = "10.1.0.1"\n'
        '[[web.instances]]\nid = "c"\naddress = "10.1.0.3"\n'
        '[[db.instances]]\nid = "x"\naddress = "10.1.0.9"\n'
    )
    file.write_text(text)
    server = serve(registry=[url, f"file:{file}"])
    assert server.answers("web.svc.local") == ["10.0.0.1", "10.0.0.2", "10.1.0.3"]
    assert server.answers("db.svc.local") == ["10.1.0.9"]
    turned = serve(registry=[f"file:{file}", url])
    assert turned.answers("web.svc.local") == ["10.0.0.2", "10.1.0.1", "10.1.0.3"]
    file.write_text(text.replace("10.1.0.3", "10.1.0.33"))
    becomes(server, "web.svc.local", ["10.0.0.1", "10.0.0.2", "10.1.0.33"])
    put("web/c", address="10.0.0.3")
    becomes(server, "web.svc.local", ["10.0.0.1", "10.0.0.2", "10.0.0.3"])


def test_two_roots_of_one_ensemble_are_one_registry(
    zookeeper: ZooKeeperServer, url: str, put: Put, serve: Serve, zk_root: str
) -> None:
    put("one/web/a", address="10.0.0.1")
    put("two/web/a", address="10.0.1.1")
    put("two/web/b", address="10.0.1.2")
    server = serve(registry=[f"{url}/one", f"{url}/two"])
    assert server.answers("web.svc.local") == ["10.0.0.1", "10.0.1.2"]


# --- away and back ---------------------------------------------------------------------------------------


def put_alone(server: ZooKeeperServer, path: str, **fields: Any) -> None:
    client = server.client()
    client.create(f"/services/{path}", json.dumps(fields).encode(), makepath=True)
    finish(client)


def test_what_operators_took_out_stays_out_in_a_restart_while_the_registry_is_away(
    own_zookeeper: ZooKeeperServer, serve: Serve, tmp_path: Path, engine: str
) -> None:
    for id, address in (("a", "10.0.0.1"), ("b", "10.0.0.2"), ("c", "10.0.0.3")):
        put_alone(own_zookeeper, f"web/{id}", address=address, port=80)
    registry = f"zk://{own_zookeeper.hosts}/services"
    flags = ("--engine", engine, "--state", str(tmp_path))
    server = serve(*flags, registry=registry)
    assert run("weight", "web/b", "7", "--registry", registry).code == 0
    assert run("drain", "web/a", "--registry", registry).code == 0
    becomes(server, "web.svc.local", ["10.0.0.2", "10.0.0.3"])
    serial = server.json("/api/v1/services")["serial"]
    own_zookeeper.stop()
    eventually(lambda: codes(server.ask("web.svc.local", edns=True)) == [3])
    assert server.terminate() == 0

    again = serve(*flags, registry=registry)
    given = ["0 1 80 c.web.svc.local.", "0 7 80 b.web.svc.local."]
    assert again.answers("web.svc.local", "SRV") == given
    assert again.json("/api/v1/services")["serial"] == serial

    # Back, and while it is read again: never a moment with the drained one.
    seen: list[list[str]] = []
    own_zookeeper.start()

    def is_back() -> bool:
        seen.append(again.answers("web.svc.local", "SRV"))
        return codes(again.ask("web.svc.local", edns=True)) == []

    eventually(is_back)
    assert all(answer == given for answer in seen)
    assert run("undrain", "web/a", "--registry", registry).code == 0
    becomes(again, "web.svc.local", ["10.0.0.1", "10.0.0.2", "10.0.0.3"])


def test_answers_go_on_while_the_registry_is_away_and_say_so(
    own_zookeeper: ZooKeeperServer, serve: Serve, tmp_path: Path, engine: str
) -> None:
    put_alone(own_zookeeper, "web/a", address="10.0.0.1", port=80)
    put_alone(own_zookeeper, "web/b", address="10.0.0.2", port=80)
    state = tmp_path / "state"
    flags = ("--engine", engine, "--state", str(state))
    registry = f"zk://{own_zookeeper.hosts}/services"
    server = serve(*flags, registry=registry)
    assert codes(server.ask("web.svc.local", edns=True)) == []
    assert server.metrics()["zkdns_registry_connected"] == 1
    own_zookeeper.stop()
    eventually(lambda: codes(server.ask("web.svc.local", edns=True)) == [3])
    for tcp in (False, True):
        assert server.answers("web.svc.local", tcp=tcp) == ["10.0.0.1", "10.0.0.2"]
        for name in ("a.web.svc.local", "nope.svc.local", "svc.local", "web.svc.local"):
            reply = server.ask(name, "SRV", edns=True, tcp=tcp)
            assert 3 in codes(reply)
            assert all(len(o.text or "") < 100 for o in reply.options if isinstance(o, dns.edns.EDEOption))
    assert server.ask("web.svc.local").answer[0].ttl == 5
    assert server.http("/ready")[0] == 200
    said = server.json("/api/v1/services")
    assert said["stale"] is True
    assert said["age_seconds"] >= 0
    assert server.metrics()["zkdns_registry_connected"] == 0
    eventually(lambda: server.metrics()["zkdns_registry_stale_seconds"] > 0)

    # A restart in that time answers from what was kept.
    assert server.terminate() == 0
    again = serve(*flags, registry=registry)
    assert again.answers("web.svc.local") == ["10.0.0.1", "10.0.0.2"]
    assert codes(again.ask("web.svc.local", edns=True)) == [3]
    assert again.http("/ready")[0] == 200

    # Without state, or where it is cut, there is nothing to answer: never NXDOMAIN.
    for kept in state.iterdir():
        kept.write_bytes(kept.read_bytes()[: kept.stat().st_size // 2])
    cut = Zkdns(*flags, registry=registry)
    cut.launch()
    eventually(lambda: str(state) in cut.log)
    reply = eventually(lambda: asked(cut))
    assert reply.rcode() == dns.rcode.SERVFAIL
    assert codes(reply) == [14]
    assert cut.http("/ready")[0] == 503

    # Back: what left meanwhile is gone, and nothing says stale any more.
    own_zookeeper.start()
    client = own_zookeeper.client()
    client.delete("/services/web/b")
    for each in (again, cut):
        becomes(each, "web.svc.local", ["10.0.0.1"])
        eventually(lambda: codes(each.ask("web.svc.local", edns=True)) == [])  # noqa: B023
        assert each.http("/ready")[0] == 200
        assert "Traceback" not in each.log
    finish(client)
    cut.close()


def asked(server: Zkdns) -> dns.message.Message | None:
    try:
        return server.ask("web.svc.local", edns=True, timeout=0.3)
    except (OSError, dns.exception.Timeout):
        return None


def test_past_stale_max_it_is_servfail_until_the_registry_is_back(
    own_zookeeper: ZooKeeperServer, serve: Serve, tmp_path: Path, engine: str
) -> None:
    put_alone(own_zookeeper, "web/a", address="10.0.0.1", port=80)
    config = tmp_path / "zkdns.toml"
    config.write_text("stale_max = 2\n[zookeeper]\nsession_timeout = 4\n")
    server = serve(
        "--engine", engine, "--config", str(config), registry=f"zk://{own_zookeeper.hosts}/services"
    )
    own_zookeeper.stop()
    eventually(lambda: codes(server.ask("web.svc.local", edns=True)) == [3])
    eventually(lambda: server.ask("web.svc.local").rcode() == dns.rcode.SERVFAIL)
    for tcp in (False, True):
        for name in ("nope.svc.local", "a.web.svc.local", "svc.local", "1.0.0.10.in-addr.arpa"):
            for type in ("A", "PTR", "SOA"):
                reply = server.ask(name, type, edns=True, tcp=tcp)
                assert reply.rcode() == dns.rcode.SERVFAIL, (name, type)
                assert codes(reply) == [22]
    own_zookeeper.start()
    becomes(server, "web.svc.local", ["10.0.0.1"])
    assert codes(server.ask("web.svc.local", edns=True)) == []


def test_an_ensemble_set_back_to_an_older_backup_is_served_as_it_stands(
    own_zookeeper: ZooKeeperServer, serve: Serve
) -> None:
    put_alone(own_zookeeper, "web/a", address="10.0.0.1")
    backup = own_zookeeper.snapshot()
    put_alone(own_zookeeper, "web/b", address="10.0.0.2")
    server = serve(registry=f"zk://{own_zookeeper.hosts}/services")
    assert server.answers("web.svc.local") == ["10.0.0.1", "10.0.0.2"]
    own_zookeeper.restore(backup)
    put_alone(own_zookeeper, "web/c", address="10.0.0.3")
    client = own_zookeeper.client()
    for n in range(40):  # ZooKeeper turns away a client that has seen a later zxid than its own
        client.create(f"/other{n}")
    becomes(server, "web.svc.local", ["10.0.0.1", "10.0.0.3"])
    client.delete("/services/web/a")
    becomes(server, "web.svc.local", ["10.0.0.3"])
    finish(client)


def test_a_frozen_registry_is_stale_and_comes_back(
    own_zookeeper: ZooKeeperServer, serve: Serve, tmp_path: Path
) -> None:
    put_alone(own_zookeeper, "web/a", address="10.0.0.1")
    config = tmp_path / "zkdns.toml"
    config.write_text("[zookeeper]\nsession_timeout = 4\n")
    server = serve("--config", str(config), registry=f"zk://{own_zookeeper.hosts}/services")
    own_zookeeper.freeze()
    eventually(lambda: codes(server.ask("web.svc.local", edns=True)) == [3])
    assert server.answers("web.svc.local") == ["10.0.0.1"]
    own_zookeeper.thaw()
    eventually(lambda: codes(server.ask("web.svc.local", edns=True)) == [])


def test_sigterm_ends_it_in_time_although_the_registry_is_frozen(
    own_zookeeper: ZooKeeperServer, serve: Serve
) -> None:
    put_alone(own_zookeeper, "web/a", address="10.0.0.1")
    server = serve(registry=[f"zk://{own_zookeeper.hosts}/{root}" for root in ("services", "b", "c", "d")])
    own_zookeeper.freeze()
    server.signal(signal.SIGTERM)
    assert server.process is not None
    assert server.process.wait(8) == 0  # promised are 5 s; one registry after the other takes 10
    own_zookeeper.thaw()


def test_what_it_writes_is_below_zkdns_alone(own_zookeeper: ZooKeeperServer, serve: Serve) -> None:
    put_alone(own_zookeeper, "web/a", address="127.0.0.1", port=1)
    client = own_zookeeper.client()
    client.set("/services/web", b'{"check": {"type": "tcp", "interval": 0.5, "timeout": 0.5}}')
    before = {path: client.get(path)[1].mzxid for path in ("/services", "/services/web", "/services/web/a")}
    server = serve(registry=f"zk://{own_zookeeper.hosts}/services")
    eventually(lambda: client.exists("/zkdns/servers") and client.get_children("/zkdns/servers"))
    assert {path: client.get(path)[1].mzxid for path in before} == before
    assert sorted(client.get_children("/")) == ["services", "zkdns", "zookeeper"]
    [id] = client.get_children("/zkdns/servers")
    assert socket.gethostname() in id
    assert server.terminate() == 0
    eventually(lambda: not client.get_children("/zkdns/servers"))
    finish(client)


def test_without_the_right_to_write_it_serves_all_the_same_and_says_so_once(
    own_zookeeper: ZooKeeperServer, serve: Serve
) -> None:
    put_alone(own_zookeeper, "web/a", address="10.0.0.1")
    client = own_zookeeper.client()
    client.create("/zkdns", acl=READ_ACL_UNSAFE)
    client.set_acls("/", READ_ACL_UNSAFE)
    server = serve(registry=f"zk://{own_zookeeper.hosts}/services")
    assert server.answers("web.svc.local") == ["10.0.0.1"]
    eventually(lambda: "/zkdns" in server.log)
    assert sum("/zkdns" in line for line in server.log.splitlines()) <= 2
    finish(client)

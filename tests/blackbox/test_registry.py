"""The registry from outside: a real ZooKeeper, its own shell as the operator, dig as the client."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import dns.edns
import dns.message
import dns.rcode
import pytest
from kazoo.client import KazooClient
from kazoo.security import READ_ACL_UNSAFE, make_digest_acl

from support import zookeeper as real
from support.server import Zkdns
from support.waiting import eventually

pytestmark = pytest.mark.zookeeper

Serve = Callable[..., Zkdns]
Put = Callable[..., None]


def errors(reply: dns.message.Message) -> list[int]:
    return [int(o.code) for o in reply.options if isinstance(o, dns.edns.EDEOption)]


def rcode(server: Zkdns, name: str, type: str = "A") -> str:
    return dns.rcode.to_text(server.ask(name, type).rcode())


def becomes(server: Zkdns, expected: list[str], name: str = "web.svc.local", type: str = "A") -> None:
    def is_so() -> bool:
        assert server.answers(name, type) == sorted(expected)
        return True

    eventually(is_so)


def problems(server: Zkdns) -> dict[str, str]:
    return {p["path"]: p["what"] for p in server.json("/api/v1/problems")["problems"]}


# --- the operator's own shell -------------------------------------------------------------------------


def test_what_an_operator_does_with_zookeepers_own_shell_is_what_dig_says(
    zookeeper: real.ZooKeeperServer, zk_root: str, serve: Serve
) -> None:
    server = serve("--ttl", "1", registry=f"zk://{zookeeper.hosts}{zk_root}")

    def dig(*words: str) -> list[str]:
        return sorted(server.dig("+short", *words).split("\n")[:-1])

    assert rcode(server, "web.svc.local") == "NXDOMAIN", "the root is not there yet"
    zookeeper.cli("create", zk_root, "")
    zookeeper.cli("create", f"{zk_root}/web", "")
    eventually(lambda: rcode(server, "web.svc.local") == "NOERROR")
    assert dig("web.svc.local") == []

    zookeeper.cli("create", f"{zk_root}/web/a", '{"address":"10.0.0.1","port":80}')
    eventually(lambda: dig("web.svc.local") == ["10.0.0.1"])
    zookeeper.cli("create", f"{zk_root}/web/b", '{"address":["10.0.0.2","fd00::2"],"port":81,"weight":7}')
    eventually(lambda: dig("web.svc.local") == ["10.0.0.1", "10.0.0.2"])
    assert dig("web.svc.local", "AAAA") == ["fd00::2"]
    assert dig("_web._tcp.svc.local", "SRV") == ["0 1 80 a.web.svc.local.", "0 7 81 b.web.svc.local."]

    zookeeper.cli("set", f"{zk_root}/web/a", '{"address":"10.0.0.9","port":80}')
    eventually(lambda: dig("web.svc.local") == ["10.0.0.2", "10.0.0.9"])
    assert dig("-x", "10.0.0.9") == ["a.web.svc.local."]
    assert dig("-x", "10.0.0.1") == []

    zookeeper.cli("set", f"{zk_root}/web", '{"ttl":42,"policy":"first"}')
    eventually(lambda: server.ask("web.svc.local").answer[0].ttl == 42)
    zookeeper.cli("set", f"{zk_root}/web/b", '{"address":"10.0.0.2","status":"draining"}')
    eventually(lambda: dig("web.svc.local") == ["10.0.0.9"])
    zookeeper.cli("delete", f"{zk_root}/web/a")
    eventually(lambda: dig("web.svc.local") == [])
    assert rcode(server, "a.web.svc.local") == "NXDOMAIN"
    assert rcode(server, "b.web.svc.local") == "NOERROR"

    zookeeper.cli("deleteall", zk_root)
    eventually(lambda: rcode(server, "web.svc.local") == "NXDOMAIN")
    zookeeper.cli("create", zk_root, "")
    zookeeper.cli("create", f"{zk_root}/web", "")
    zookeeper.cli("create", f"{zk_root}/web/c", '{"address":"10.0.0.3"}')
    eventually(lambda: dig("web.svc.local") == ["10.0.0.3"])
    assert problems(server) == {}


# --- changes are followed -----------------------------------------------------------------------------


def test_an_instance_is_there_as_long_as_its_session(
    zookeeper: real.ZooKeeperServer, zk_root: str, serve: Serve, put: Put
) -> None:
    put("web/lasting", address="10.0.0.1")
    server = serve(registry=f"zk://{zookeeper.hosts}{zk_root}")
    becomes(server, ["10.0.0.1"])
    owner = zookeeper.client()
    owner.create(f"{zk_root}/web/passing", b'{"address": "10.0.0.2"}', ephemeral=True)
    becomes(server, ["10.0.0.1", "10.0.0.2"])
    real.finish(owner)
    becomes(server, ["10.0.0.1"])


def test_many_changes_in_one_go_end_in_the_last(
    zookeeper: real.ZooKeeperServer, zk: KazooClient, zk_root: str, serve: Serve, put: Put
) -> None:
    put("web/a", address="10.0.0.1")
    server = serve(registry=f"zk://{zookeeper.hosts}{zk_root}")
    for n in range(200):
        put("web/a", address=f"10.0.1.{n}")
        put(f"web/b{n}", address=f"10.0.2.{n}")
        if n:
            zk.delete(f"{zk_root}/web/b{n - 1}")
    becomes(server, ["10.0.1.199", "10.0.2.199"])
    for service in ("one", "two", "three"):
        put(f"{service}/a", address="10.1.0.1")
        zk.delete(f"{zk_root}/{service}", recursive=True)
    put("end/a", address="10.1.0.2")
    becomes(server, ["10.1.0.2"], "end.svc.local")
    assert {rcode(server, f"{s}.svc.local") for s in ("one", "two", "three")} == {"NXDOMAIN"}


def test_a_service_that_changes_its_spelling_is_served_on(
    zookeeper: real.ZooKeeperServer, zk: KazooClient, zk_root: str, serve: Serve, put: Put
) -> None:
    """The old node and the new one fold to the same label, and go and come in one transaction."""
    put("Web/a", address="10.0.0.1")
    server = serve(registry=f"zk://{zookeeper.hosts}{zk_root}")
    becomes(server, ["10.0.0.1"])
    for old, new in (("Web", "wEb"), ("wEb", "web"), ("web", "Web")):
        change = zk.transaction()
        change.delete(f"{zk_root}/{old}/a")
        change.delete(f"{zk_root}/{old}")
        change.create(f"{zk_root}/{new}", b"")
        change.create(f"{zk_root}/{new}/a", b'{"address": "10.0.0.2"}')
        assert all(result is True or isinstance(result, str) for result in change.commit())
        eventually(lambda new=new: [s["name"] for s in server.json("/api/v1/services")["services"]] == [new])
        becomes(server, ["10.0.0.2"])
        becomes(server, ["a.web.svc.local."], "2.0.0.10.in-addr.arpa", "PTR")


def test_the_root_of_a_chroot_and_the_root_of_all_are_roots_as_others(
    zookeeper: real.ZooKeeperServer, zk_root: str, serve: Serve, put: Put
) -> None:
    put("deep/er/web/a", address="10.0.0.1")
    server = serve(registry=f"zk://{zookeeper.hosts}{zk_root}/deep/er/")
    assert server.answers("web.svc.local") == ["10.0.0.1"]
    everything = serve(registry=f"zk://{zookeeper.hosts}/")
    label = zk_root.strip("/").lower()
    assert rcode(everything, f"{label}.svc.local") == "NOERROR"
    assert rcode(everything, "zookeeper.svc.local") == "NXDOMAIN", "its own nodes are no service"


def test_a_large_service_is_served_whole(
    zookeeper: real.ZooKeeperServer, zk: KazooClient, zk_root: str, serve: Serve
) -> None:
    zk.ensure_path(f"{zk_root}/many")
    zk.set(f"{zk_root}/many", b'{"answers": 3000}')
    for start in range(0, 3000, 500):
        made = zk.transaction()
        for n in range(start, start + 500):
            made.create(f"{zk_root}/many/i{n}", json.dumps({"address": f"10.{n >> 8}.{n & 255}.1"}).encode())
        made.commit()
    server = serve(registry=f"zk://{zookeeper.hosts}{zk_root}")
    assert len(server.answers("many.svc.local", tcp=True)) == 3000
    zk.delete(f"{zk_root}/many/i0")
    eventually(lambda: len(server.answers("many.svc.local", tcp=True)) == 2999)


# --- bad data costs itself -----------------------------------------------------------------------------

BAD: dict[str, bytes] = {
    "empty": b"",
    "blank": b"  ",
    "cut": b'{"address": "10.9.9.9"',
    "list": b"[]",
    "null": b"null",
    "number": b"7",
    "nan": b'{"address": "10.9.9.9", "weight": NaN}',
    "latin": '{"address": "10.9.9.9", "zone": "é"}'.encode("latin-1"),
    "binary": bytes(range(256)),
    "nested": b"[" * 100_000,
    "no-address": b'{"port": 80}',
    "address-null": b'{"address": null}',
    "address-empty": b'{"address": ""}',
    "address-none": b'{"address": []}',
    "address-number": b'{"address": 5}',
    "address-mixed": b'{"address": ["10.9.9.9", 5]}',
    "address-range": b'{"address": "10.0.0.0/8"}',
    "address-long": b'{"address": "10.9.9.9.9"}',
    "address-space": b'{"address": "a b"}',
    "address-label": b'{"address": "' + b"x" * 64 + b'.example"}',
    "port-high": b'{"address": "10.9.9.9", "port": 65536}',
    "port-low": b'{"address": "10.9.9.9", "port": -1}',
    "port-float": b'{"address": "10.9.9.9", "port": 80.5}',
    "port-list": b'{"address": "10.9.9.9", "port": [80]}',
    "weight-high": b'{"address": "10.9.9.9", "weight": 65536}',
    "weight-low": b'{"address": "10.9.9.9", "weight": -1}',
    "weight-true": b'{"address": "10.9.9.9", "weight": true}',
    "weight-huge": b'{"address": "10.9.9.9", "weight": 1e400}',
    "priority-high": b'{"address": "10.9.9.9", "priority": 65536}',
    "priority-text": b'{"address": "10.9.9.9", "priority": "low"}',
    "status": b'{"address": "10.9.9.9", "status": "sick"}',
    "protocol": b'{"address": "10.9.9.9", "protocol": "sctp"}',
    "tags": b'{"address": "10.9.9.9", "tags": "canary"}',
    "ports-list": b'{"address": "10.9.9.9", "ports": [80]}',
    "ports-high": b'{"address": "10.9.9.9", "ports": {"http": 65536}}',
    "meta": b'{"address": "10.9.9.9", "meta": "x"}',
}

BAD_SETTINGS: dict[str, bytes] = {
    "ttl": b'{"ttl": -1}',
    "ttl-text": b'{"ttl": "soon"}',
    "policy": b'{"policy": "fair"}',
    "answers": b'{"answers": 0}',
    "fail-open": b'{"fail_open": 2}',
    "warm": b'{"warm": "x"}',
    "scale": b'{"srv_scale": -1}',
    "check": b'{"check": {"type": "smoke-signal"}}',
    "check-list": b'{"check": []}',
    "text": b"hello",
    "cut": b'{"ttl": ',
}


def test_each_kind_of_bad_payload_costs_itself_and_is_named(
    zookeeper: real.ZooKeeperServer, zk_root: str, serve: Serve, put: Put
) -> None:
    put("web/aaa", address="10.0.0.1", port=80)
    put("web/zzz", address="10.0.0.2", port=80)
    for id, data in BAD.items():
        put(f"web/{id}", data)
    server = serve(registry=f"zk://{zookeeper.hosts}{zk_root}")
    assert server.answers("web.svc.local") == ["10.0.0.1", "10.0.0.2"]
    assert len(server.answers("_web._tcp.svc.local", "SRV")) == 2
    told = problems(server)
    assert set(told) == {f"{zk_root}/web/{id}" for id in BAD}
    assert all(told.values())
    for id in BAD:
        assert rcode(server, f"{id}.web.svc.local") == "NXDOMAIN", id
    assert server.metrics()["zkdns_registry_problems"] == len(BAD)

    # A good one that turns bad is out, and in again once it is mended.
    put("web/zzz", b"{")
    becomes(server, ["10.0.0.1"])
    put("web/zzz", address="10.0.0.2", port=80)
    becomes(server, ["10.0.0.1", "10.0.0.2"])
    put("web/empty", address="10.0.0.3")
    becomes(server, ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
    eventually(lambda: f"{zk_root}/web/empty" not in problems(server))
    assert "Traceback" not in server.log


def test_bad_settings_cost_the_settings_and_are_named(
    zookeeper: real.ZooKeeperServer, zk_root: str, serve: Serve, put: Put
) -> None:
    for name, data in BAD_SETTINGS.items():
        put(f"{name}/a", address="10.0.0.1")
        put(name, data)
    server = serve("--ttl", "9", registry=f"zk://{zookeeper.hosts}{zk_root}")
    for name in BAD_SETTINGS:
        reply = server.ask(f"{name}.svc.local")
        assert [(r.ttl, r[0].to_text()) for r in reply.answer] == [(9, "10.0.0.1")], name
    assert {path.removeprefix(f"{zk_root}/").split("/")[0] for path in problems(server)} == set(BAD_SETTINGS)


def test_names_that_are_no_labels_are_folded_and_two_that_meet_are_told_apart(
    zookeeper: real.ZooKeeperServer, zk_root: str, serve: Serve, put: Put
) -> None:
    put("My_App/Node.1", address="10.0.0.1")
    put("twin_x/a", address="10.0.0.2")
    put("twin.x/a", address="10.0.0.3")
    put("web/b_1", address="10.0.0.4")
    put("web/b.1", address="10.0.0.5")
    put("x" * 80 + "/a", address="10.0.0.6")
    server = serve(registry=f"zk://{zookeeper.hosts}{zk_root}")
    assert server.answers("my-app.svc.local") == ["10.0.0.1"]
    assert server.answers("node-1.my-app.svc.local") == ["10.0.0.1"]
    listed = server.json("/api/v1/services")["services"]
    names: dict[str, list[str]] = {s["name"]: s["names"] for s in listed}
    for raw, address in (("twin_x", "10.0.0.2"), ("twin.x", "10.0.0.3"), ("x" * 80, "10.0.0.6")):
        assert any(server.answers(name) == [address] for name in names[raw]), (raw, names[raw])
        assert all(len(label) <= 63 for name in names[raw] for label in name.split("."))
    assert rcode(server, "twin-x.svc.local") == "NXDOMAIN", "neither is the one"
    ends = {server.answers(f"{n}.0.0.10.in-addr.arpa", "PTR")[0] for n in (4, 5)}
    assert len(ends) == 2
    assert sorted(a for end in ends for a in server.answers(end)) == ["10.0.0.4", "10.0.0.5"]
    assert {f"{zk_root}/twin_x", f"{zk_root}/twin.x", f"{zk_root}/web/b_1"} <= set(problems(server))


def test_formats_may_be_mixed_in_one_service(
    zookeeper: real.ZooKeeperServer, zk_root: str, serve: Serve, put: Put
) -> None:
    put("web/native", address="10.0.0.1", port=1)
    put("web/curator", name="web", id="c", address="10.0.0.2", port=2, serviceType="DYNAMIC")
    put("web/member_0000000001", serviceEndpoint={"host": "10.0.0.3", "port": 3}, status="ALIVE")
    put("web/nerve", host="10.0.0.4", port=4, name="x")
    put("web/plain", b"10.0.0.5:5")
    put("web/bad", b"10.0.0.6:x")
    server = serve(registry=f"zk://{zookeeper.hosts}{zk_root}")
    assert server.answers("web.svc.local") == [f"10.0.0.{n}" for n in range(1, 6)]
    assert [p.split()[2] for p in server.answers("_web._tcp.svc.local", "SRV")] == ["1", "2", "3", "4", "5"]
    formats = {i["id"]: i["format"] for i in server.json("/api/v1/services/web")["instances"]}
    assert formats == {
        "native": "native", "curator": "curator", "member_0000000001": "serverset",
        "nerve": "nerve", "plain": "hostport",
    }  # fmt: skip
    only = serve(registry=f"zk://{zookeeper.hosts}{zk_root}?format=hostport")
    assert only.answers("web.svc.local") == ["10.0.0.5"]


def test_several_registries_are_merged_and_the_first_that_names_an_instance_wins(
    zookeeper: real.ZooKeeperServer, zk_root: str, serve: Serve, put: Put, tmp_path: Path
) -> None:
    file = tmp_path / "more.toml"
    file.write_text(
        '[web]\nttl = 77\n[[web.instances]]\nid = "a"\naddress = "10.9.0.1"\n'
        '[[web.instances]]\nid = "f"\naddress = "10.9.0.2"\n'
        '[[only.instances]]\nid = "x"\naddress = "10.9.0.3"\n'
    )
    put("web/a", address="10.0.0.1")
    put("web/b", address="10.0.0.2")
    url = f"zk://{zookeeper.hosts}{zk_root}"
    zookeeper_first = serve(registry=[url, f"file:{file}"])
    assert zookeeper_first.answers("web.svc.local") == ["10.0.0.1", "10.0.0.2", "10.9.0.2"]
    assert zookeeper_first.answers("only.svc.local") == ["10.9.0.3"]
    assert zookeeper_first.ask("web.svc.local").answer[0].ttl == 77
    file_first = serve(registry=[f"file:{file}", url])
    assert file_first.answers("web.svc.local") == ["10.0.0.2", "10.9.0.1", "10.9.0.2"]


def test_a_host_name_stays_the_target_and_its_addresses_are_found(
    zookeeper: real.ZooKeeperServer, zk_root: str, serve: Serve, put: Put
) -> None:
    put("web/a", address="localhost", port=80)
    put("web/b", address="10.0.0.2", port=80)
    put("web/gone", address="no-such-host.invalid", port=80)
    server = serve(registry=f"zk://{zookeeper.hosts}{zk_root}")
    becomes(server, ["10.0.0.2", "127.0.0.1"])
    targets = {text.split()[3] for text in server.answers("_web._tcp.svc.local", "SRV")}
    assert {"localhost.", "b.web.svc.local."} <= targets
    eventually(lambda: f"{zk_root}/web/gone" in problems(server))
    assert set(problems(server)) == {f"{zk_root}/web/gone"}


# --- when ZooKeeper goes and comes --------------------------------------------------------------------


def test_while_zookeeper_is_away_the_last_catalog_answers_and_says_so(
    own_zookeeper: real.ZooKeeperServer, serve: Serve, tmp_path: Path
) -> None:
    operator = own_zookeeper.client(timeout=30)
    operator.ensure_path("/services/web")
    operator.create("/services/web/lasting", b'{"address": "10.0.0.1"}')
    passing = own_zookeeper.client(timeout=2)
    passing.create("/services/web/passing", b'{"address": "10.0.0.2"}', ephemeral=True)
    url = f"zk://{own_zookeeper.hosts}/services"
    state = tmp_path / "state"
    server = serve("--state", str(state), registry=url)
    assert server.answers("web.svc.local") == ["10.0.0.1", "10.0.0.2"]
    assert errors(server.ask("web.svc.local", edns=True)) == []
    eventually(lambda: any(state.iterdir()) if state.is_dir() else False)
    metrics = server.metrics()
    assert metrics["zkdns_registry_connected"] == 1

    own_zookeeper.kill()
    real.finish(passing)
    eventually(lambda: errors(server.ask("web.svc.local", edns=True)) == [3])
    assert server.answers("web.svc.local") == ["10.0.0.1", "10.0.0.2"]
    assert 3 in errors(server.ask("nope.svc.local", edns=True))
    assert server.ask("web.svc.local").edns == -1
    assert server.metrics()["zkdns_registry_connected"] == 0
    assert server.http("/ready")[0] == 200

    # A server that starts now has what the other one kept.
    second = serve("--state", str(state), registry=url)
    assert second.answers("web.svc.local") == ["10.0.0.1", "10.0.0.2"]
    assert errors(second.ask("web.svc.local", edns=True)) == [3]
    assert second.http("/ready")[0] == 200

    own_zookeeper.start()
    for each in (server, second):
        eventually(lambda each=each: errors(each.ask("web.svc.local", edns=True)) == [], 60)
        becomes(each, ["10.0.0.1"])
    operator.create("/services/web/new", b'{"address": "10.0.0.3"}')
    for each in (server, second):
        becomes(each, ["10.0.0.1", "10.0.0.3"])
    real.finish(operator)


def test_past_stale_max_it_is_servfail_and_back_again(
    own_zookeeper: real.ZooKeeperServer, serve: Serve, tmp_path: Path
) -> None:
    operator = own_zookeeper.client()
    operator.ensure_path("/services/web")
    operator.create("/services/web/a", b'{"address": "10.0.0.1"}')
    config = tmp_path / "settings.toml"
    config.write_text("stale_max = 1\n")
    server = serve("--config", str(config), registry=f"zk://{own_zookeeper.hosts}/services")
    assert server.answers("web.svc.local") == ["10.0.0.1"]
    own_zookeeper.kill()
    eventually(lambda: rcode(server, "web.svc.local") == "SERVFAIL")
    assert rcode(server, "nope.svc.local") == "SERVFAIL"
    own_zookeeper.start()
    becomes(server, ["10.0.0.1"])
    real.finish(operator)


def test_a_server_that_nobody_may_write_for_serves_all_the_same_and_says_so_once(
    zookeeper: real.ZooKeeperServer, zk: KazooClient, zk_root: str, serve: Serve, put: Put
) -> None:
    put("web/a", address="10.0.0.1")
    zk.ensure_path("/zkdns/servers")
    before = zk.get_acls("/zkdns/servers")[0]
    zk.add_auth("digest", "operator:secret")
    owned = make_digest_acl("operator", "secret", all=True)
    zk.set_acls("/zkdns/servers", [owned, *READ_ACL_UNSAFE])
    try:
        server = serve(registry=f"zk://{zookeeper.hosts}{zk_root}")
        assert server.answers("web.svc.local") == ["10.0.0.1"]
        eventually(lambda: "/zkdns/servers" in server.log)
        put("web/b", address="10.0.0.2")
        becomes(server, ["10.0.0.1", "10.0.0.2"])
        warned = [line for line in server.log.splitlines() if "/zkdns/servers" in line]
        assert len(warned) == 1, warned
    finally:
        zk.set_acls("/zkdns/servers", before)

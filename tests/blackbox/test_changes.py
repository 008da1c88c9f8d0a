"""Changes that come thick: transactions, bursts, many children, a tree of several formats, odd roots."""

from __future__ import annotations

import json
from collections.abc import Callable

import dns.rcode
import pytest
from kazoo.client import KazooClient

from support import zookeeper as real
from support.server import Zkdns
from support.waiting import eventually

pytestmark = pytest.mark.zookeeper

Serve = Callable[..., Zkdns]
Put = Callable[..., None]


def rcode(server: Zkdns, name: str, type: str = "A") -> str:
    return dns.rcode.to_text(server.ask(name, type).rcode())


def becomes(server: Zkdns, expected: list[str], name: str = "web.svc.local", type: str = "A") -> None:
    def is_so() -> bool:
        assert server.answers(name, type) == sorted(expected)
        return True

    eventually(is_so)


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
    # Services are told of in turns: one that came later may be answered before another is gone.
    eventually(lambda: {rcode(server, f"{s}.svc.local") for s in ("one", "two", "three")} == {"NXDOMAIN"})


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
    instances = server.json("/api/v1/services/web")["instances"]
    assert [i["id"] for i in instances if i["state"] == "unreadable"] == ["bad"]
    formats = {i["id"]: i["format"] for i in instances if i["state"] != "unreadable"}
    assert formats == {
        "native": "native", "curator": "curator", "member_0000000001": "serverset",
        "nerve": "nerve", "plain": "hostport",
    }  # fmt: skip
    only = serve(registry=f"zk://{zookeeper.hosts}{zk_root}?format=hostport")
    assert only.answers("web.svc.local") == ["10.0.0.5"]

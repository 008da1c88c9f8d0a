"""Near answers of a running server: clients of two zones over UDP, TCP and IPv6, and those that ECS names."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import dns.edns
import dns.message
import dns.query
import dns.rdatatype
import pytest
from kazoo.client import KazooClient

from blackbox.conftest import Put
from support import zookeeper as real
from support.registry_file import instance
from support.server import Zkdns
from support.waiting import eventually

A, B, C = "127.0.1.7", "127.0.2.7", "127.0.9.9"

SETTINGS = """
ecs_from = ["127.0.9.0/24"]
location = "eu/eu-1b"
[topology]
"127.0.1.0/24" = "eu/eu-1a"
"127.0.2.0/24" = "eu/eu-1b"
"::1" = "eu/eu-1a"
[service_defaults]
near = "prefer"
"""

SERVICES = "\n".join(
    [
        instance("web", "a", "10.0.0.1", zone="eu-1a"),
        instance("web", "b", "10.0.0.2", zone="eu-1b"),
        '[off]\nnear = "off"',
        instance("off", "a", "10.0.0.1", None),
        '[share]\nnear = "balanced"',
        instance("share", "a", "10.0.1.1", None, zone="eu-1a"),
        instance("share", "b", "10.0.1.2", None, zone="eu-1b"),
        instance("share", "c", "10.0.1.3", None, zone="eu-1b"),
    ]
)


@pytest.fixture(scope="module")
def server(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zkdns]:
    folder: Path = tmp_path_factory.mktemp("near")
    (folder / "zkdns.toml").write_text(SETTINGS)
    (folder / "services.toml").write_text(SERVICES)
    flags = ("--engine", engine, "--config", str(folder / "zkdns.toml"))
    with Zkdns(*flags, registry=f"file:{folder / 'services.toml'}") as running:
        yield running


def ask(
    server: Zkdns, source: str, name: str = "web.svc.local", rtype: str = "A", tcp: bool = False,
    subnet: str = "",
) -> dns.message.Message:  # fmt: skip
    options = [dns.edns.ECSOption(subnet, 24)] if subnet else None
    query = dns.message.make_query(name, rtype, use_edns=0, options=options)
    way = dns.query.tcp if tcp else dns.query.udp
    return way(query, server.host, timeout=10, port=server.port, source=source, one_rr_per_rrset=True)


def given(message: dns.message.Message) -> list[str]:
    return [str(rrset[0]) for rrset in message.answer]


@pytest.mark.parametrize("tcp", [False, True])
def test_each_client_is_given_its_own_zone(server: Zkdns, tcp: bool) -> None:
    assert given(ask(server, A, tcp=tcp)) == ["10.0.0.1"]
    assert given(ask(server, B, tcp=tcp)) == ["10.0.0.2"]
    assert given(ask(server, C, tcp=tcp)) == ["10.0.0.2"], "in no network: where the server stands"
    assert given(ask(server, A, "off.svc.local", tcp=tcp)) == ["10.0.0.1"]
    distances = [(str(r[0].target), r[0].priority) for r in ask(server, B, rtype="SRV", tcp=tcp).answer]
    assert distances == [("b.web.svc.local.", 0), ("a.web.svc.local.", 1)]


@pytest.mark.parametrize("tcp", [False, True])
def test_ecs_counts_from_those_who_may_speak_for_others_alone(server: Zkdns, tcp: bool) -> None:
    trusted = ask(server, C, tcp=tcp, subnet="127.0.1.0")
    assert given(trusted) == ["10.0.0.1"]
    assert [(o.srclen, o.scopelen) for o in trusted.options if isinstance(o, dns.edns.ECSOption)] == [
        (24, 24)
    ]
    stranger = ask(server, B, tcp=tcp, subnet="127.0.1.0")
    assert given(stranger) == ["10.0.0.2"]
    assert not [o for o in stranger.options if isinstance(o, dns.edns.ECSOption)]


def test_shares_are_exact_and_told(server: Zkdns) -> None:
    firsts = Counter(given(ask(server, A, "share.svc.local"))[0] for _ in range(60))
    assert firsts == {"10.0.1.1": 40, "10.0.1.2": 10, "10.0.1.3": 10}
    metrics = server.metrics()
    to_a = 'zkdns_near_answers_total{from="eu-1a",service="share",to="eu-1a"}'
    to_b = 'zkdns_near_answers_total{from="eu-1a",service="share",to="eu-1b"}'
    assert (metrics[to_a], metrics[to_b]) == (40, 20)
    said = server.json(f"/api/v1/explain?name=share.svc.local&type=A&client={A}")
    assert {i["id"]: round(i["share"], 4) for i in said["instances"]} == {
        "a": 0.6667, "b": 0.1667, "c": 0.1667,
    }  # fmt: skip
    assert said["client"]["zone"] == "eu-1a"
    assert given(ask(server, A, "eu-1b.pin._zone.web.svc.local")) == ["10.0.0.2"]


def test_over_ipv6(engine: str, tmp_path: Path) -> None:
    (tmp_path / "zkdns.toml").write_text(SETTINGS)
    (tmp_path / "services.toml").write_text(SERVICES)
    flags = ("--engine", engine, "--config", str(tmp_path / "zkdns.toml"))
    with Zkdns(*flags, registry=f"file:{tmp_path / 'services.toml'}", host="::1") as server:
        for tcp in (False, True):
            assert given(ask(server, "::1", tcp=tcp)) == ["10.0.0.1"]


@pytest.mark.zookeeper
def test_the_map_in_zookeeper_wins_and_is_watched(
    engine: str, put: Put, zk: KazooClient, zk_root: str, zookeeper: real.ZooKeeperServer
) -> None:
    put("web", near="prefer")
    put("web/a", address="10.0.0.1", zone="here")
    put("web/b", address="10.0.0.2", zone="there")
    zk.ensure_path("/zkdns")
    zk.create("/zkdns/topology", json.dumps({"127.0.1.0/24": "here"}).encode())
    try:
        with Zkdns("--engine", engine, registry=f"zk://{zookeeper.hosts}{zk_root}") as server:
            assert given(ask(server, A)) == ["10.0.0.1"]
            zk.set("/zkdns/topology", json.dumps({"127.0.1.0/24": "there"}).encode())
            eventually(lambda: given(ask(server, A)) == ["10.0.0.2"])
            moved = time.time()
            zk.delete("/zkdns/topology")
            eventually(lambda: len(given(ask(server, A))) == 2)
            said = server.json(f"/api/v1/explain?name=web.svc.local&type=A&client={A}&at={moved}")
            assert (said["answer"], said["client"]["zone"]) == (["10.0.0.2"], "there"), "the map of then"
            told = [c for c in server.json("/api/v1/history")["changes"] if c["id"] == "topology"]
            assert [(c["from"], c["to"]) for c in told][-1] == (
                "1 network in 1 zone",
                "0 networks in 0 zones",
            )
    finally:
        if zk.exists("/zkdns/topology"):
            zk.delete("/zkdns/topology")

"""A whole ensemble by name: every system at once, with a real ZooKeeper and real sockets.

Proves: the lines that `zkdns discover` prints make all of it resolvable, leaders first; nodes of no one's
business cost no read, at the start and when they change; one session carries all registries of an
ensemble; a change of leader, and none at all, are in the answers.
"""

from __future__ import annotations

import json
import re
import shlex
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import dns.edns
import dns.message
import dns.rdatatype
import dns.rrset
import pytest
from kazoo.client import KazooClient

from support.placing import read_fixture
from support.server import Zkdns, run
from support.waiting import eventually
from support.zookeeper import ZooKeeperServer, finish
from zkdns.registry import presets

pytestmark = pytest.mark.zookeeper

UNRELATED = 20_000
HOST = "192.0.2.1"
NAMES = [name for name in presets.names() if name != "zookeeper"]

EXPECTED = {
    ("leader.kafka.svc.local", "A"): ["10.0.0.11"],
    ("controller.kafka.svc.local", "A"): ["10.0.0.11"],
    ("_client._tcp.kafka.svc.local", "SRV"): ["0 1 9092 1.kafka.svc.local."],
    ("4.kafka.svc.local", "A"): ["10.0.0.14"],
    ("solr.svc.local", "A"): ["10.0.7.1", "10.0.7.3"],
    ("hbase-rs.svc.local", "A"): ["10.0.1.1", "10.0.1.2"],
    ("active.hbase-master.svc.local", "SRV"): ["0 1 16000 hm1.example."],
    ("standby.hbase-master.svc.local", "SRV"): ["0 1 16000 hm2.example."],
    ("active.ns1.svc.local", "SRV"): ["0 1 8020 nn2.example."],
    ("hiveserver2.svc.local", "A"): ["10.0.8.2"],
    ("kyuubi.svc.local", "A"): ["10.0.9.1"],
    ("leader.druid-coordinator.svc.local", "A"): ["10.0.2.1"],
    ("_https._tcp.druid-broker.svc.local", "SRV"): ["0 1 8282 10-0-2-4-8282.druid-broker.svc.local."],
    ("_pulsar-ssl._tcp.pulsar.svc.local", "SRV"): ["0 1 6651 10-0-10-1-8080.pulsar.svc.local."],
    ("bookie.svc.local", "A"): ["10.0.4.1", "10.0.4.4"],
    ("primary.pg1.svc.local", "A"): ["10.0.6.2"],
    ("replica.pg1.svc.local", "A"): ["10.0.6.1"],
    ("pg1.svc.local", "A"): ["10.0.6.1", "10.0.6.2"],
    ("shard-1.clickhouse.svc.local", "A"): ["10.0.11.1"],
    ("leader.mesos.svc.local", "A"): ["10.0.12.3"],
    ("mesos.svc.local", "A"): ["10.0.12.1", "10.0.12.3"],
    ("cluster-coordinator.nifi.svc.local", "A"): ["10.0.3.1"],
    ("primary-node.nifi.svc.local", "A"): ["10.0.3.2"],
    ("leader.storm-nimbus.svc.local", "SRV"): ["0 1 6627 nimbus2.example."],
    ("server.pinot.svc.local", "A"): ["10.0.5.1"],
    ("_greetings._tcp.svc.local", "SRV"): [
        "0 100 1338 10-0-13-1-0000000001.greetings.svc.local.",
        "0 26 1339 d2-2.example.",
    ],
    ("codis-demo.svc.local", "A"): ["10.0.14.1"],
    ("_http._tcp.helloworld.svc.local", "SRV"): ["0 1 8000 3e5b0a3a-web.helloworld.svc.local."],
    ("cache.redis.svc.local", "A"): ["10.0.16.1"],
}


@dataclass
class World:
    """The ensemble, a client of it, and a server with a registry for each system in it."""

    zookeeper: ZooKeeperServer
    client: KazooClient
    server: Zkdns
    urls: list[str]

    def reads(self) -> int:
        status, body = self.server.http("/metrics")
        assert status == 200
        found = re.findall(r"^zkdns_registry_reads_total(?:\{[^}]*\})? ([0-9.e+]+)$", body, re.MULTILINE)
        return int(sum(map(float, found)))


@contextmanager
def hosts() -> Iterator[str]:
    """A resolver that knows every host: each is at 192.0.2.1."""

    class Reply(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            query = dns.message.from_wire(self.request[0])
            reply = dns.message.make_response(query, recursion_available=True)
            question = query.question[0]
            if question.rdtype == dns.rdatatype.A:
                reply.answer = [dns.rrset.from_text(question.name, 300, "IN", "A", HOST)]
            self.request[1].sendto(reply.to_wire(), self.client_address)

    with socketserver.ThreadingUDPServer(("127.0.0.1", 0), Reply) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with ZooKeeperServer() as zookeeper:
        client = zookeeper.client()
        try:
            for name in NAMES:
                for path, data in sorted(read_fixture(name).items()):
                    client.ensure_path(f"/{name}-prod{path}")
                    client.set(f"/{name}-prod{path}", data)
            for n in range(UNRELATED // 1000):
                client.ensure_path(f"/kafka-prod/brokers/topics/t{n}/partitions")
                transaction = client.transaction()
                for m in range(1000):
                    transaction.create(f"/kafka-prod/brokers/topics/t{n}/partitions/{m}", b"{}")
                transaction.commit()
            told = run("discover", f"zk://{zookeeper.hosts}")
            assert told.code == 0, told
            lines = [shlex.split(line)[1] for line in told.out.splitlines() if "--registry" in line]
            with hosts() as upstream, Zkdns("--forward", upstream, registry=lines) as server:
                yield World(zookeeper, client, server, lines)
        finally:
            finish(client)


def test_what_discover_prints_makes_every_system_resolvable(world: World) -> None:
    assert len(world.urls) == len(NAMES)

    def are_there() -> bool:
        found = {question: world.server.answers(*question) for question in EXPECTED}
        assert {
            question: [text for text in answer if text != HOST] for question, answer in found.items()
        } == EXPECTED
        return True

    eventually(are_there)  # host names are resolved in the background


def test_nothing_is_wrong_with_any_of_them(world: World) -> None:
    eventually(lambda: world.server.json("/api/v1/problems")["problems"] == [])
    for name, service in (("kafka", "kafka"), ("patroni", "pg1"), ("helix", "pinot")):
        instances = world.server.json(f"/api/v1/services/{service}")["instances"]
        assert {one["format"] for one in instances} == {name}


def test_nodes_of_no_ones_business_cost_no_read(world: World) -> None:
    fitting = sum(len(read_fixture(name)) for name in NAMES)
    assert world.reads() < 4 * fitting  # a listing and a read each, and those of /zkdns
    before = world.reads()
    done = [
        world.client.set_async(f"/kafka-prod/brokers/topics/t{n % 20}/partitions/{n}", b"{1}")
        for n in range(1000)
    ]
    for result in done:
        result.get(timeout=30)
    # A change that counts, after them: by then those before were seen.
    world.client.set("/patroni-prod/service/pg1/leader", b"pg-a")
    eventually(lambda: world.server.answers("primary.pg1.svc.local") == ["10.0.6.1"])
    assert world.reads() - before < 20
    world.client.set("/patroni-prod/service/pg1/leader", b"pg-b")
    eventually(lambda: world.server.answers("primary.pg1.svc.local") == ["10.0.6.2"])


def test_one_session_carries_all_registries_of_an_ensemble(world: World) -> None:
    sessions = [line for line in world.client.command(b"cons").splitlines() if "sid=0x" in line]
    assert len(sessions) == 2, sessions  # the server's and this test's


def test_while_nobody_leads_the_name_says_so(world: World) -> None:
    path = "/patroni-prod/service/pg1/leader"
    world.client.delete(path)
    try:
        for name in ("leader.pg1.svc.local", "primary.pg1.svc.local"):

            def is_told(name: str = name) -> bool:
                reply = world.server.ask(name, edns=True)
                assert (reply.rcode(), reply.answer) == (0, [])
                texts = [option.text for option in reply.options if isinstance(option, dns.edns.EDEOption)]
                assert texts == ["pg1: no leader"]
                return True

            eventually(is_told)
    finally:
        world.client.create(path, b"pg-b")
    eventually(lambda: world.server.answers("primary.pg1.svc.local") == ["10.0.6.2"])


def test_a_node_that_can_not_be_read_is_one_problem_and_no_more(world: World) -> None:
    hostile = {
        "/hbase-prod/hbase/master": b"\xff\0\0\1\0",
        "/hdfs-prod/hadoop-ha/ns1/ActiveStandbyElectorLock": b"\x0a\xff",
        "/hive-prod/hiveserver2/serverUri=;version=;x%": b"",
        "/kafka-prod/brokers/ids/9": b'{"endpoints": [7]}',
    }
    kept = {path: world.client.get(path)[0] for path in hostile if world.client.exists(path)}
    for path, data in hostile.items():
        world.client.ensure_path(path)
        world.client.set(path, data)
    try:

        def are_told() -> bool:
            problems = world.server.json("/api/v1/problems")["problems"]
            assert sorted(one["path"] for one in problems) == sorted(hostile)
            return True

        eventually(are_told)
        assert world.server.answers("active.hbase-master.svc.local", "SRV") == []
        assert world.server.answers("hbase-rs.svc.local") == ["10.0.1.1", "10.0.1.2"]
        assert world.server.answers("4.kafka.svc.local") == ["10.0.0.14"]
    finally:
        for path in hostile:
            if path in kept:
                world.client.set(path, kept[path])
            else:
                world.client.delete(path)
    eventually(lambda: world.server.json("/api/v1/problems")["problems"] == [])


def test_a_rewritten_load_report_publishes_nothing(world: World) -> None:
    path = "/pulsar-prod/loadbalance/brokers/10.0.10.1:8080"
    report = json.loads(world.client.get(path)[0])
    since = {one["id"]: one["since"] for one in world.server.json("/api/v1/services/pulsar")["instances"]}
    world.client.set(path, json.dumps(report | {"lastUpdate": 7}).encode())
    world.client.set("/patroni-prod/service/pg1/leader", b"pg-a")  # a change that is seen after it
    eventually(lambda: world.server.answers("primary.pg1.svc.local") == ["10.0.6.1"])
    world.client.set("/patroni-prod/service/pg1/leader", b"pg-b")
    after = {one["id"]: one["since"] for one in world.server.json("/api/v1/services/pulsar")["instances"]}
    assert after == since


def test_kazoos_own_election_is_followed_change_by_change(world: World) -> None:
    """Its locks are named otherwise than Curator's, and the lowest sequence number leads all the same."""
    ends = {f"10.9.0.{n}:6627": f"10.9.0.{n}" for n in (1, 2, 3)}
    name = "leader.storm-nimbus.svc.local"
    for path in world.client.get_children("/storm-prod/storm/leader-lock"):
        world.client.delete(f"/storm-prod/storm/leader-lock/{path}")
    for end in ends:
        world.client.create(f"/storm-prod/storm/nimbuses/{end}")
    turns = threading.Barrier(2)
    led: list[str] = []

    def take_turns() -> None:
        line = list(ends)
        for _ in range(60):
            end = line.pop(0)
            line.append(end)
            lock = world.client.Lock("/storm-prod/storm/leader-lock", end)
            with lock:
                led.append(end)
                turns.wait(30)  # it leads
                turns.wait(30)  # it was seen

    voter = threading.Thread(target=take_turns, daemon=True)
    voter.start()
    for _ in range(60):
        turns.wait(30)
        eventually(lambda: world.server.answers(name) == [ends[led[-1]]], 30, 0.002)
        turns.wait(30)
    voter.join(30)
    eventually(lambda: world.server.answers(name) == [])

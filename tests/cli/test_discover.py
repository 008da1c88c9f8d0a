"""`zkdns discover` on a real ensemble that others filled: the lines it prints make it resolvable."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from click.testing import CliRunner
from kazoo.client import KazooClient

from support.placing import read_fixture
from support.zookeeper import ZooKeeperServer
from zkdns.cli import commands
from zkdns.registry import presets
from zkdns.registry.url import parse_registry

UNRELATED = 20_000


def fill(client: KazooClient, znodes: dict[str, bytes]) -> None:
    for path, data in sorted(znodes.items()):
        client.ensure_path(path.rpartition("/")[0] or "/")
        if not client.exists(path):
            client.create(path, data)
        else:
            client.set(path, data)


@contextmanager
def session(server: ZooKeeperServer) -> Iterator[KazooClient]:
    client = server.client()
    try:
        yield client
    finally:
        client.stop()
        client.close()


@pytest.fixture(scope="module")
def ensemble() -> Iterator[ZooKeeperServer]:
    """All systems at once, each in a chroot, one of them twice, beside many nodes of no one's business."""
    with ZooKeeperServer() as server, session(server) as client:
        for name in presets.names():
            if name != "zookeeper":
                fill(client, {f"/{name}-prod{path}": data for path, data in read_fixture(name).items()})
        fill(client, {f"/eu/kafka-2{path}": data for path, data in read_fixture("kafka").items()})
        for n in range(UNRELATED // 1000):
            client.ensure_path(f"/app/{n}")
            transaction = client.transaction()
            for m in range(20):
                transaction.create(f"/app/{n}/{m}")
                for at in range(49):
                    transaction.create(f"/app/{n}/{m}/{at}", b'{"a": 1}')
            transaction.commit()
        yield server


def discover(*arguments: str) -> str:
    result = CliRunner().invoke(commands, ["discover", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_every_system_is_told_with_the_line_that_serves_it(ensemble: ZooKeeperServer) -> None:
    text = discover(f"zk://{ensemble.hosts}")
    assert text.count("--registry") == len(presets.names())  # without the ensemble itself, and kafka twice
    lines = [shlex.split(line) for line in text.splitlines() if "--registry" in line]
    urls = [parse_registry(words[1]) for words in lines]
    assert sorted(url.format for url in urls) == sorted([*(set(presets.names()) - {"zookeeper"}), "kafka"])
    assert "leader.pg1.svc.local  primary.pg1.svc.local  pg1.svc.local" in text
    assert re.search(r"^patroni at /patroni-prod: pg1 \(4\)$", text, re.MULTILINE)


def test_two_that_would_give_one_name_get_another(ensemble: ZooKeeperServer) -> None:
    systems = json.loads(discover(f"zk://{ensemble.hosts}", "--json"))["systems"]
    kafkas = {one["path"]: one for one in systems if one["system"] == "kafka"}
    assert [one["name"] for one in kafkas["/eu/kafka-2"]["services"]] == ["kafka"]
    assert [one["name"] for one in kafkas["/kafka-prod"]["services"]] == ["kafka-prod"]
    assert kafkas["/kafka-prod"]["registry"].endswith("/kafka-prod?preset=kafka&as=kafka-prod")
    assert "leader.kafka-prod.svc.local" in kafkas["/kafka-prod"]["names"]
    names = [service["name"] for one in systems for service in one["services"]]
    assert len(names) == len(set(names))


def test_a_chroot_is_looked_below_alone(ensemble: ZooKeeperServer) -> None:
    systems = json.loads(discover(f"zk://{ensemble.hosts}/eu", "--json"))["systems"]
    assert [(one["system"], one["path"], one["instances"]) for one in systems] == [
        ("kafka", "/eu/kafka-2", 4)
    ]


def test_it_leaves_nothing_behind(ensemble: ZooKeeperServer) -> None:
    with session(ensemble) as client:
        before = client.get("/")[1].pzxid
        discover("--registry", f"zk://{ensemble.hosts}/services")
        assert client.get("/")[1].pzxid == before
        assert not client.exists("/services")
        assert not client.exists("/zkdns")


@pytest.mark.parametrize("url", ["file:x", "nonsense", "zk://h/x?preset=kafka", "a=zk://h"])
def test_what_is_no_ensemble_is_wrong_usage(url: str) -> None:
    result = CliRunner().invoke(commands, ["discover", url])
    assert result.exit_code == 2
    assert url in result.stderr


def test_where_nothing_is_known_it_says_so(ensemble: ZooKeeperServer) -> None:
    assert "nothing that is known was found" in discover(f"zk://{ensemble.hosts}/app/0")

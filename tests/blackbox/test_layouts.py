"""Layouts of one's own: where instances stand is the URL's to say, and nothing else is looked at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient

from support.server import Zkdns
from support.waiting import eventually
from support.zookeeper import ZooKeeperServer

pytestmark = pytest.mark.zookeeper


@pytest.fixture
def served(zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str, engine: str) -> Iterator[Zkdns]:
    for path, data in {
        "apps/web/members/a": b'{"address": "10.0.0.1", "port": 80}',
        "apps/web/members/b": b'{"address": "10.0.0.2", "port": 80}',
        "apps/web/config/a": b'{"address": "10.0.0.3", "port": 80}',
        "apps/none/config": b"",
        "search/nodes/n1": b'{"net": {"url": "https://10.0.1.1:9200/"}, "state": "UP", "share": "3"}',
        "search/nodes/n2": b'{"net": {"url": "https://10.0.1.2:9200/"}, "state": "Draining"}',
        "hb/rs/10.0.2.1,16020,1700000000011": b"",
    }.items():
        zk.create(f"{zk_root}/{path}", data, makepath=True)
    base = f"zk://{zookeeper.hosts}{zk_root}"
    urls = [
        f"{base}/apps?layout=/{{service}}/members/{{id}}&as=prod-{{service}}",
        f"{base}?layout=/search/nodes/{{id}}&as=search&format=json&address=net.url&weight=share&status=state",
        f"{base}/hb?layout=/rs/{{id}}&as=hbase-rs&format=hbase",
    ]
    with Zkdns("--engine", engine, registry=urls) as server:
        yield server


def test_instances_are_found_where_the_layout_says(served: Zkdns) -> None:
    assert served.answers("prod-web.svc.local") == ["10.0.0.1", "10.0.0.2"]
    assert served.answers("search.svc.local", "SRV") == ["0 3 9200 n1.search.svc.local."]
    assert served.answers("hbase-rs.svc.local", "SRV") == [
        "0 1 16020 10-0-2-1-16020-1700000000011.hbase-rs.svc.local."
    ]


def test_what_does_not_fit_is_no_service_and_no_problem(served: Zkdns) -> None:
    for name in ("web", "none", "prod-none", "config"):
        assert served.ask(f"{name}.svc.local").rcode() == 3
    assert served.json("/api/v1/problems")["problems"] == []


def test_changes_are_followed(served: Zkdns, zk: KazooClient, zk_root: str) -> None:
    zk.delete(f"{zk_root}/apps/web/members/b")
    zk.create(f"{zk_root}/apps/new/members/x", b'{"address": "10.0.0.9"}', makepath=True)
    zk.set(f"{zk_root}/search/nodes/n2", b'{"net": {"url": "10.0.1.2:9200"}, "state": "up"}')
    eventually(lambda: served.answers("prod-web.svc.local") == ["10.0.0.1"])
    eventually(lambda: served.answers("prod-new.svc.local") == ["10.0.0.9"])
    eventually(lambda: served.answers("search.svc.local") == ["10.0.1.1", "10.0.1.2"])


def test_a_node_that_fits_and_can_not_be_read_is_a_problem(
    served: Zkdns, zk: KazooClient, zk_root: str
) -> None:
    zk.set(f"{zk_root}/search/nodes/n1", b'{"net": 7}')

    def is_told() -> bool:
        problems = served.json("/api/v1/problems")["problems"]
        assert [one["path"] for one in problems] == [f"{zk_root}/search/nodes/n1"]
        assert "net.url" in problems[0]["what"]
        return True

    eventually(is_told)
    instances = served.json("/api/v1/services/search")["instances"]
    assert {one["id"]: one["state"] for one in instances} == {"n1": "unreadable", "n2": "draining"}

"""Layouts of one's own: where instances stand is the URL's to say, and nothing else is looked at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient
from kazoo.security import make_digest_acl

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


@pytest.fixture
def by_id(zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str, engine: str) -> Iterator[Zkdns]:
    """The id is not the last that the path names."""
    for path, data in {
        "nodes": b'{"ttl": 9}',
        "nodes/n1/info": b"10.0.0.1:80",
        "nodes/n2/info": b"10.0.0.2:80",
        "nodes/n3/other": b"10.0.0.3:80",
        "nodes/n4/info": b"?",
        "hosts/h1/web": b"10.0.1.1:80",
        "hosts/h2/web": b"10.0.1.2:80",
        "hosts/h1/db": b"10.0.1.1:81",
    }.items():
        zk.ensure_path(f"{zk_root}/{path}")
        zk.set(f"{zk_root}/{path}", data)
    base = f"zk://{zookeeper.hosts}{zk_root}"
    urls = [
        f"{base}?layout=/nodes/{{id}}/info&as=search",
        f"{base}/hosts?layout=/{{id}}/{{service}}",
    ]
    with Zkdns("--engine", engine, registry=urls) as server:
        yield server


def test_the_id_is_where_the_layout_has_it(by_id: Zkdns, zk: KazooClient, zk_root: str) -> None:
    (rrset,) = by_id.ask("search.svc.local").answer
    assert (sorted(map(str, rrset)), rrset.ttl) == (["10.0.0.1", "10.0.0.2"], 9)
    assert by_id.answers("n2.search.svc.local") == ["10.0.0.2"]
    assert by_id.ask("n3.search.svc.local").rcode() == 3
    assert by_id.answers("web.svc.local", "SRV") == ["0 1 80 h1.web.svc.local.", "0 1 80 h2.web.svc.local."]
    assert by_id.answers("h1.db.svc.local") == ["10.0.1.1"]
    problems = by_id.json("/api/v1/problems")["problems"]
    assert [one["path"] for one in problems] == [f"{zk_root}/nodes/n4/info"]
    assert by_id.json("/api/v1/services/search")["instances"][2]["id"] == "n4"


def test_a_service_that_each_instance_names_by_itself_is_there_while_one_is(
    by_id: Zkdns, zk: KazooClient, zk_root: str
) -> None:
    zk.delete(f"{zk_root}/hosts/h1/db")
    eventually(lambda: by_id.ask("db.svc.local").rcode() == 3)
    zk.delete(f"{zk_root}/hosts/h1/web")
    eventually(lambda: by_id.answers("web.svc.local") == ["10.0.1.2"])
    zk.create(f"{zk_root}/hosts/h3/api", b"10.0.1.3:80", makepath=True)
    eventually(lambda: by_id.answers("h3.api.svc.local") == ["10.0.1.3"])


def test_what_may_not_be_read_is_named_by_the_id_too(by_id: Zkdns, zk: KazooClient, zk_root: str) -> None:
    zk.ensure_path(f"{zk_root}/nodes/n5")
    zk.create(f"{zk_root}/nodes/n5/info", b"10.0.0.5:80", acl=[make_digest_acl("a", "b", all=True)])

    def is_told() -> bool:
        states = {i["id"]: i["state"] for i in by_id.json("/api/v1/services/search")["instances"]}
        return states.get("n5") == "unreadable"

    eventually(is_told)

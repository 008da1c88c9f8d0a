"""Nodes of a real ensemble, as commands read and write them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient
from kazoo.security import make_acl

from support.old_zookeeper import OldZooKeeper
from support.trees import open_root
from support.zookeeper import ZooKeeperServer
from zkdns.registry.access import ZooKeeperSettings
from zkdns.registry.override_nodes import Overrides
from zkdns.registry.zk.nodes import Forbidden, HasChildren, Nodes, Overtaken, Refused, open_nodes

pytestmark = pytest.mark.zookeeper


@pytest.fixture
def nodes(zookeeper: ZooKeeperServer) -> Iterator[Nodes]:
    with open_nodes(zookeeper.hosts, ZooKeeperSettings()) as opened:
        yield opened


def test_what_is_not_there_is_none(nodes: Nodes, zk_root: str) -> None:
    assert nodes.get(f"{zk_root}/x") is None
    assert nodes.children(f"{zk_root}/x") == ()
    assert nodes.get_below(f"{zk_root}/x") == {}


def test_a_node_comes_with_those_above_it_and_tells_when_it_was_written(nodes: Nodes, zk_root: str) -> None:
    before = time.time()
    nodes.create(f"{zk_root}/a/b", b"one")
    nodes.set(f"{zk_root}/a/b", b"two")
    node = nodes.get(f"{zk_root}/a/b")
    assert node is not None
    assert (node.data, node.version) == (b"two", 1)
    assert before - 1 <= node.modified <= time.time() + 1


def test_an_ephemeral_goes_with_its_session(
    nodes: Nodes, zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str
) -> None:
    with open_nodes(zookeeper.hosts, ZooKeeperSettings()) as others:
        others.create(f"{zk_root}/held", b"", ephemeral=True)
        assert nodes.get(f"{zk_root}/held") is not None
    assert zk.exists(f"{zk_root}/held") is None


def test_whoever_wrote_in_between_is_not_overwritten(nodes: Nodes, zk: KazooClient, zk_root: str) -> None:
    nodes.create(f"{zk_root}/x", b"ours")
    zk.set(f"{zk_root}/x", b"theirs")
    for write in (
        lambda: nodes.set(f"{zk_root}/x", b"again", 0),
        lambda: nodes.delete(f"{zk_root}/x", 0),
        lambda: nodes.create(f"{zk_root}/x", b"again"),
        lambda: nodes.set(f"{zk_root}/gone", b"again"),
    ):
        with pytest.raises(Overtaken):
            write()
    assert zk.get(f"{zk_root}/x")[0] == b"theirs"


def test_what_has_children_is_not_deleted(nodes: Nodes, zk_root: str) -> None:
    nodes.create(f"{zk_root}/a/b", b"")
    with pytest.raises(HasChildren):
        nodes.delete(f"{zk_root}/a")


def test_a_refusal_is_told_by_zookeepers_name_for_it(nodes: Nodes) -> None:
    with pytest.raises(Refused, match="BadArgumentsError"):
        nodes.delete("/")


def test_of_many_nodes_those_that_we_may_read_are_given(nodes: Nodes, zk: KazooClient, zk_root: str) -> None:
    nodes.create(f"{zk_root}/m", b"")
    transaction = zk.transaction()
    for n in range(250):
        transaction.create(f"{zk_root}/m/{n:03}", str(n).encode())
    transaction.commit()
    zk.create(f"{zk_root}/m/secret", b"", acl=[make_acl("digest", "no:body", all=True)])
    assert {name: node.data for name, node in nodes.get_below(f"{zk_root}/m").items()} == {
        f"{n:03}": str(n).encode() for n in range(250)
    }
    with pytest.raises(Forbidden):
        nodes.get(f"{zk_root}/m/secret")


def test_a_folder_that_never_had_a_child_is_not_emptied(nodes: Nodes, zk: KazooClient, zk_root: str) -> None:
    for path in ("used/x", "full/x", "new"):
        zk.create(f"{zk_root}/{path}", makepath=True)
    zk.delete(f"{zk_root}/used/x")
    every = [f"{zk_root}/{name}" for name in ("used", "full", "new", "absent")]
    assert list(nodes.emptied(every)) == [f"{zk_root}/used"]


def test_one_service_is_read_and_no_other(nodes: Nodes, zk: KazooClient, zk_root: str) -> None:
    for path in ("web/a", "web/providers/b", "db/c"):
        zk.create(f"{zk_root}/{path}", b'{"address": "10.0.0.1"}', makepath=True)
    tree = open_root(zk_root)
    nodes.read_service(tree, "web")
    catalog = tree.catalog()
    assert list(catalog.services) == ["web"]
    assert [i.id for i in catalog.services["web"].instances] == ["a", "b"]


def test_a_reducer_is_told_all_below_its_root(nodes: Nodes, zk: KazooClient, zk_root: str) -> None:
    zk.create(f"{zk_root}/o/web/a", b'{"drain": true}', makepath=True)
    reducer = Overrides(f"{zk_root}/o")
    nodes.read_root(reducer)
    assert reducer.by_instance()["web", "a"].drain


def test_before_3_6_all_is_read_although_the_refusal_of_multiread_ends_the_connection(
    zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str
) -> None:
    for path in ("s/web/a", "s/web/b", "s/db/c", "o/web/a"):
        zk.create(f"{zk_root}/{path}", b'{"drain": true, "address": "10.0.0.1"}', makepath=True)
    with (
        OldZooKeeper(zookeeper.port) as old,
        open_nodes(old.hosts, ZooKeeperSettings()) as nodes,
    ):
        one, every, overrides = (
            open_root(f"{zk_root}/s"),
            open_root(f"{zk_root}/s"),
            Overrides(f"{zk_root}/o"),
        )
        nodes.read_service(one, "web")
        nodes.read_root(overrides)
        nodes.read_tree(every)
        assert nodes.get(f"{zk_root}/s/db/c") is not None
        assert old.refused == 1, "what the server does not know is asked for once"
    assert {name: len(s.instances) for name, s in one.catalog().services.items()} == {"web": 2}
    assert {name: len(s.instances) for name, s in every.catalog().services.items()} == {"web": 2, "db": 1}
    assert overrides.by_instance()["web", "a"].drain

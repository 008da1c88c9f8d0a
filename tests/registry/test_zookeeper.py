"""The mirror beside a real ZooKeeper: it says what is there, by either kind of watch."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient
from kazoo.protocol.connection import ConnectionDropped
from kazoo.security import make_acl, make_digest_acl

from support.mirrored import Mirrored, eventually, truth
from support.zookeeper import ZooKeeperServer, expire, finish
from zkdns.model import Begin, Children, Data, Session, Unreadable, Whole
from zkdns.registry.access import ZooKeeperSettings
from zkdns.registry.scope import Scope
from zkdns.registry.zk.adopt import MAX_FRAME, adopt, cut
from zkdns.registry.zk.connect import open_client

pytestmark = pytest.mark.zookeeper


@pytest.fixture(params=[False, True], ids=["persistent", "one-shot"])
def one_shot(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def mirrored(zookeeper: ZooKeeperServer, zk_root: str, one_shot: bool) -> Iterator[Mirrored]:
    """A mirror of `zk_root`, whole."""
    with Mirrored(zookeeper.hosts, zk_root, one_shot=one_shot) as it:
        eventually(lambda: it.wholes)
        yield it


def test_instances_come_change_and_go(mirrored: Mirrored, zk: KazooClient, zk_root: str) -> None:
    zk.create(f"{zk_root}/web/a", b"1", ephemeral=True, makepath=True)
    mirrored.follows(zk, zk_root)
    zk.set(f"{zk_root}/web/a", b"2")
    mirrored.follows(zk, zk_root)
    zk.set(f"{zk_root}/web", b"settings")
    zk.create(f"{zk_root}/web/b", b"")
    mirrored.follows(zk, zk_root)
    zk.delete(f"{zk_root}/web/a")
    mirrored.follows(zk, zk_root)
    assert mirrored.view(zk_root) == {zk_root: b"", f"{zk_root}/web": b"settings", f"{zk_root}/web/b": b""}
    zk.delete(f"{zk_root}/web", recursive=True)
    mirrored.follows(zk, zk_root)
    zk.create(f"{zk_root}/web/a", b"3", makepath=True)
    mirrored.follows(zk, zk_root)


def test_a_node_deleted_and_made_again_at_once_is_told_with_its_new_zxid(
    mirrored: Mirrored, zk: KazooClient, zk_root: str
) -> None:
    path = f"{zk_root}/web/a"
    zk.create(path, b"same", makepath=True)
    mirrored.follows(zk, zk_root)
    with zk.transaction() as both:
        both.delete(path)
        both.create(path, b"same")
    created = zk.get(path)[1].czxid
    eventually(lambda: any(isinstance(e, Data) and e.stat.czxid == created for _, e in mirrored.events))


def test_a_child_of_a_service_may_have_children_of_its_own(
    mirrored: Mirrored, zk: KazooClient, zk_root: str
) -> None:
    zk.create(f"{zk_root}/dubbo.Service/providers", b"", makepath=True)
    mirrored.follows(zk, zk_root)
    zk.create(f"{zk_root}/dubbo.Service/providers/dubbo%3A%2F%2F10.0.0.1", b"x", ephemeral=True)
    zk.create(f"{zk_root}/dubbo.Service/configurators", b"")
    mirrored.follows(zk, zk_root)
    zk.set(f"{zk_root}/dubbo.Service/providers/dubbo%3A%2F%2F10.0.0.1", b"y")
    zk.create(f"{zk_root}/dubbo.Service/providers/deep", b"x")
    zk.create(f"{zk_root}/dubbo.Service/providers/deep/deeper/deepest", b"not read", makepath=True)
    mirrored.follows(zk, zk_root)
    zk.delete(f"{zk_root}/dubbo.Service/providers", recursive=True)
    mirrored.follows(zk, zk_root)


def test_what_stood_there_before_is_read_whole(
    zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str, one_shot: bool
) -> None:
    for service in range(7):
        for instance in range(40):
            path = f"{zk_root}/s{service}/i{instance}"
            zk.create(path, path.encode(), ephemeral=True, makepath=True)
    zk.create(f"{zk_root}/dubbo/providers/url", b"x", makepath=True)
    zk.create(f"{zk_root}/empty", b"")
    with Mirrored(zookeeper.hosts, zk_root, one_shot=one_shot) as it:
        eventually(lambda: it.wholes)
        assert it.view(zk_root) == truth(zk, zk_root)
        assert it.mirror.status().nodes == len(it.view(zk_root))
        assert it.mirror.status().one_shot == (one_shot or zk.server_version() < (3, 6))
        kinds = [type(event) for _, event in it.events]
        assert kinds[0] is Session
        assert kinds[1] is Begin
        assert kinds[-2:] == [Whole, Session]
        # A node costs one read, and a service two: the list and the data.
        assert it.mirror.status().reads <= 2 * len(it.view(zk_root))  # its data and its children, once


def test_a_missing_root_is_whole_and_empty_and_noticed_when_it_comes(
    mirrored: Mirrored, zk: KazooClient, zk_root: str
) -> None:
    assert (zk_root, Children(zk_root, (), 0)) in mirrored.events
    assert mirrored.view(zk_root) == {}
    zk.create(f"{zk_root}/web/a", b"1", makepath=True)
    mirrored.follows(zk, zk_root)


def test_a_root_removed_and_made_again_is_followed(mirrored: Mirrored, zk: KazooClient, zk_root: str) -> None:
    for turn in range(3):
        zk.create(f"{zk_root}/web/a", b"%d" % turn, makepath=True)
        zk.create(f"{zk_root}/db/b", b"%d" % turn, makepath=True)
        mirrored.follows(zk, zk_root)
        zk.delete(zk_root, recursive=True)
        if turn < 2:
            mirrored.follows(zk, zk_root)
            assert mirrored.view(zk_root) == {}
    zk.create(zk_root, b"new")
    mirrored.follows(zk, zk_root)


def test_a_forbidden_node_costs_itself_alone(mirrored: Mirrored, zk: KazooClient, zk_root: str) -> None:
    nobody = [make_digest_acl("somebody", "else", all=True)]
    zk.create(f"{zk_root}/web/a", b"1", makepath=True)
    zk.create(f"{zk_root}/web/secret", b"2", acl=nobody)
    zk.create(f"{zk_root}/hidden", b"", acl=nobody)
    # A persistent watch says nothing of nodes that its owner may not read (CVE-2024-23944): they are
    # found with the next change beside them, or by the audit.
    zk.create(f"{zk_root}/web/b", b"3")
    zk.create(f"{zk_root}/db", b"")
    mirrored.follows(zk, zk_root)
    assert mirrored.view(zk_root)[f"{zk_root}/web/secret"] is None
    told = [event for _, event in mirrored.events if isinstance(event, Unreadable)]
    assert {event.path for event in told} == {f"{zk_root}/web/secret", f"{zk_root}/hidden"}
    assert "ACL" in told[0].why


@pytest.mark.parametrize("service", ["web", "other"])
def test_what_goes_after_it_may_not_be_read_any_more_is_gone(
    mirrored: Mirrored, zk: KazooClient, zk_root: str, service: str
) -> None:
    """Servers since 3.8.4 and 3.9.2 send no event for it (CVE-2024-23944)."""
    for name in ("a", "b"):
        zk.create(f"{zk_root}/web/{name}", b"1", makepath=True)
    mirrored.follows(zk, zk_root)
    zk.add_auth("digest", "someone:secret")
    own = [make_digest_acl("someone", "secret", all=True)]
    zk.set_acls(f"{zk_root}/web/a", own)
    zk.delete(f"{zk_root}/web/a")
    zk.ensure_path(f"{zk_root}/{service}")
    zk.create(f"{zk_root}/{service}/secret", b"{}", acl=own)
    zk.create(f"{zk_root}/shut", b"{}", acl=own)
    path = f"{zk_root}/{service}/secret"
    eventually(
        lambda: mirrored.view(zk_root).get(path, b"") is None and f"{zk_root}/shut" in mirrored.view(zk_root)
    )
    assert f"{zk_root}/web/a" not in mirrored.view(zk_root)
    for gone in (path, f"{zk_root}/shut"):
        zk.delete(gone)
    eventually(lambda: None not in mirrored.view(zk_root).values())
    assert mirrored.mirror.status().audit_repairs == 0


def test_a_node_of_nearly_a_mebibyte_and_an_odd_name_are_read(
    mirrored: Mirrored, zk: KazooClient, zk_root: str
) -> None:
    zk.create(f"{zk_root}/web/große Instanz, 日本", b"x" * 1_000_000, makepath=True)
    mirrored.follows(zk, zk_root)
    zk.set(f"{zk_root}/web/große Instanz, 日本", b"")
    mirrored.follows(zk, zk_root)


def test_thousands_of_children_are_read_and_followed(
    mirrored: Mirrored, zk: KazooClient, zk_root: str, one_shot: bool
) -> None:
    count = 2_000 if one_shot else 3_000
    zk.create(f"{zk_root}/big", b"", makepath=True)
    results = [zk.create_async(f"{zk_root}/big/instance-{i:05}", b"%d" % i) for i in range(count)]
    for result in results:
        result.get(timeout=60)
    wanted = {f"{zk_root}/big/instance-{i:05}": b"%d" % i for i in range(count)}
    eventually(lambda: mirrored.view(zk_root).keys() >= wanted.keys(), 60)
    assert mirrored.view(zk_root) == {zk_root: b"", f"{zk_root}/big": b"", **wanted}
    # Events fall together while a list is read: not each of them costs another one. A small list on an
    # idle machine is read before the next event comes, and one-shot watches are seen with small ones only.
    lists = sum(isinstance(e, Children) and e.path.endswith("/big") for _, e in mirrored.events)
    assert one_shot or lists < count
    gone = list(wanted)[: count - 10]
    for result in [zk.delete_async(path) for path in gone]:
        result.get(timeout=60)
    for path in gone:
        del wanted[path]
    eventually(lambda: mirrored.view(zk_root) == {zk_root: b"", f"{zk_root}/big": b"", **wanted}, 60)


def test_several_roots_are_told_apart(zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str) -> None:
    services, overrides = f"{zk_root}/services", f"{zk_root}/overrides"
    with Mirrored(zookeeper.hosts, services, overrides) as it:
        eventually(lambda: it.wholes == 2)
        zk.create(f"{services}/web/a", b"1", makepath=True)
        zk.create(f"{overrides}/web/a", b"drain", makepath=True)
        it.follows(zk, services)
        it.follows(zk, overrides)
        assert all(event.path.startswith(root) for root, event in it.events if isinstance(event, Data))


def test_a_reading_that_is_begun_leaves_the_old_view_alone_until_it_is_whole(
    mirrored: Mirrored, zk: KazooClient, zk_root: str
) -> None:
    zk.create(f"{zk_root}/web/a", b"1", makepath=True)
    mirrored.follows(zk, zk_root)
    before, begun = mirrored.view(zk_root), mirrored.wholes
    cut(mirrored.mirror._client)
    eventually(lambda: mirrored.wholes > begun)
    assert mirrored.view(zk_root) == before
    assert mirrored.connected == [False, True, False, True]
    zk.set(f"{zk_root}/web/a", b"2")
    mirrored.follows(zk, zk_root)


def test_an_expired_session_is_replaced_and_what_changed_meanwhile_is_seen(
    mirrored: Mirrored, zk: KazooClient, zk_root: str
) -> None:
    zk.create(f"{zk_root}/web/a", b"1", makepath=True)
    mirrored.follows(zk, zk_root)
    session = mirrored.mirror.status().session_id
    expire(mirrored.mirror._client)
    zk.set(f"{zk_root}/web/a", b"2")
    eventually(lambda: mirrored.mirror.status().session_id not in (0, session))
    mirrored.follows(zk, zk_root)


def test_the_audit_repairs_what_a_lost_watch_did_not_tell(
    zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str
) -> None:
    if zk.server_version() < (3, 6):
        pytest.skip("this ZooKeeper knows no persistent watch that could get lost")
    for id in "ab":
        zk.create(f"{zk_root}/web/a/{id}", b"1", makepath=True)
    with Mirrored(zookeeper.hosts, zk_root, audit=2.0) as it:
        it.follows(zk, zk_root)
        # A server before 3.9 drops the recursive watch with this one on the same path (ZOOKEEPER-4466);
        # a newer one keeps it, and then nothing has to be repaired.
        it.mirror._client.exists(zk_root, watch=print)
        zk.set(zk_root, b"the watch on this path fires, and goes")
        zk.set(f"{zk_root}/web/a/a", b"2")
        zk.set(f"{zk_root}/web/a/b", b"3")  # lists have watches of their own
        it.follows(zk, zk_root)
        if zk.server_version() >= (3, 9):
            assert it.mirror.status().audit_repairs == 0
            return
        assert it.mirror.status().audit_repairs >= 2
        # Its watch is there again: the next change needs no audit.
        eventually(lambda: it.mirror.status().audits)
        repaired = it.mirror.status().audit_repairs
        zk.set(f"{zk_root}/web/a/a", b"4")
        it.follows(zk, zk_root)
        assert it.mirror.status().audit_repairs == repaired


def test_an_audit_under_churn_repairs_nothing(
    zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str, one_shot: bool
) -> None:
    with Mirrored(zookeeper.hosts, zk_root, audit=0.2, one_shot=one_shot) as it:
        eventually(lambda: it.wholes)
        turn = 0
        while it.mirror.status().audits < 4:
            turn += 1
            path = f"{zk_root}/s{turn % 7}/i{turn % 31}"
            if turn % 3 == 0 and zk.exists(path):
                zk.delete(path)
            elif zk.exists(path):
                zk.set(path, b"%d" % turn)
            else:
                zk.create(path, b"", makepath=True)
        it.follows(zk, zk_root)
        assert it.mirror.status().audit_repairs == 0


def test_an_audit_of_roots_that_are_not_there_or_come_and_go_repairs_nothing(
    zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str, one_shot: bool
) -> None:
    roots = [f"{zk_root}/{name}" for name in ("services", "overrides", "health", "servers/deep/below")]
    zk.create(f"{roots[0]}/web/a", b"1", makepath=True)
    with Mirrored(zookeeper.hosts, *roots, audit=0.2, one_shot=one_shot) as it:
        eventually(lambda: it.wholes >= len(roots))

        def audit_again(times: int) -> None:
            until = it.mirror.status().audits + times * len(roots)
            eventually(lambda: it.mirror.status().audits >= until, 30)

        audit_again(3)
        assert it.mirror.status().audit_repairs == 0, "what is not there is no change"
        for root in roots[1:]:
            zk.create(f"{root}/web/a", b"1", makepath=True)
            it.follows(zk, root)
        audit_again(2)
        for root in roots[1:]:
            zk.delete(root, recursive=True)
            eventually(lambda root=root: not it.view(root))  # type: ignore[misc]
        audit_again(2)
        assert it.mirror.status().audit_repairs == 0


def test_an_acl_that_opens_is_found_by_the_audit(
    zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str
) -> None:
    zk.add_auth("digest", "me:secret")
    mine = [make_digest_acl("me", "secret", all=True)]
    zk.create(zk_root, b"")
    zk.create(f"{zk_root}/web/a", b"1", makepath=True, acl=mine)
    with Mirrored(zookeeper.hosts, zk_root, audit=0.5) as it:
        eventually(lambda: it.wholes)
        assert it.view(zk_root)[f"{zk_root}/web"] is None
        everyone = [make_acl("world", "anyone", all=True)]
        zk.set_acls(f"{zk_root}/web", everyone)
        zk.set_acls(f"{zk_root}/web/a", everyone)
        it.follows(zk, zk_root)


def test_credentials_open_what_they_may(zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str) -> None:
    zk.add_auth("digest", "me:secret")
    zk.create(f"{zk_root}/web/a", b"1", makepath=True, acl=[make_digest_acl("me", "secret", all=True)])
    with Mirrored(zookeeper.hosts, zk_root, auth="digest:me:secret") as it:
        it.follows(zk, zk_root)
        assert it.view(zk_root)[f"{zk_root}/web/a"] == b"1"


def test_a_held_node_has_its_data_and_goes_with_the_mirror(
    zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str
) -> None:
    path = f"{zk_root}/servers/one"
    with Mirrored(zookeeper.hosts, f"{zk_root}/servers") as it:
        it.mirror.keep(path, b"1")
        it.mirror.keep(f"{zk_root}/elsewhere", b"x")
        eventually(lambda: it.view(f"{zk_root}/servers").get(path) == b"1")
        it.mirror.keep(path, b"2")
        eventually(lambda: it.view(f"{zk_root}/servers").get(path) == b"2")
        stat = zk.get(path)[1]
        assert stat.ephemeralOwner == it.mirror.status().session_id
        assert zk.exists(f"{zk_root}/elsewhere")
        it.mirror.give_up(f"{zk_root}/elsewhere")
        eventually(lambda: not zk.exists(f"{zk_root}/elsewhere"))
        zk.delete(path)
        eventually(lambda: it.view(f"{zk_root}/servers").get(path) == b"2")
        session = it.mirror.status().session_id
        expire(it.mirror._client)
        eventually(lambda: it.mirror.status().session_id not in (0, session))
        eventually(lambda: (found := zk.exists(path)) and found.ephemeralOwner != session)
    assert not zk.exists(path)


def test_the_node_of_an_earlier_run_is_replaced_once_and_not_fought_over(
    zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = f"{zk_root}/servers/one"
    zk.create(path, b"the run before", ephemeral=True, makepath=True)
    with Mirrored(zookeeper.hosts, zk_root) as it:
        it.mirror.keep(path, b"this run")
        eventually(lambda: it.view(zk_root).get(path) == b"this run")
        with zk.transaction() as both:
            both.delete(path)
            both.create(path, b"a second process with the same name", ephemeral=True)
        eventually(lambda: "is held by session" in caplog.text)
        assert zk.get(path)[0] == b"a second process with the same name"
        it.mirror.keep(path, b"this run, asked again")
        time.sleep(0.2)
        assert zk.get(path)[0] == b"a second process with the same name"
        assert caplog.text.count("is held by session") == 1


def test_without_the_right_to_write_holding_is_given_up_with_one_line(
    zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str, caplog: pytest.LogCaptureFixture
) -> None:
    zk.create(zk_root, b"", acl=[make_acl("world", "anyone", read=True)])
    with Mirrored(zookeeper.hosts, zk_root) as it:
        it.mirror.keep(f"{zk_root}/servers/one", b"1")
        eventually(lambda: "ZooKeeper refuses" in caplog.text)
        mirrored_again = it.wholes
        cut(it.mirror._client)
        eventually(lambda: it.wholes > mirrored_again)
        it.mirror.keep(f"{zk_root}/servers/one", b"2")
        it.follows(zk, zk_root)
        assert caplog.text.count("ZooKeeper refuses") == 1
        assert "NoAuth" in caplog.text


def test_what_emit_raises_is_logged_and_all_is_told_anew(
    zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str, caplog: pytest.LogCaptureFixture
) -> None:
    zk.create(f"{zk_root}/web/a", b"1", makepath=True)
    with Mirrored(zookeeper.hosts, zk_root) as it:
        it.follows(zk, zk_root)
        broken = iter([True])
        take = it.take

        def raising(scope: Scope, events: list) -> None:  # type: ignore[type-arg]
            if next(broken, False):
                raise ZeroDivisionError("ours")
            take(scope, events)

        it.mirror._emit = dict.fromkeys(it.mirror._emit, raising)
        zk.set(f"{zk_root}/web/a", b"2")
        it.follows(zk, zk_root)
        assert "ZeroDivisionError" in caplog.text


def test_stopping_takes_the_session_and_leaves_no_thread(
    zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str
) -> None:
    it = Mirrored(zookeeper.hosts, zk_root)
    with it:
        it.mirror.keep(zk_root, b"here")
        eventually(lambda: zk.exists(zk_root))
    assert not zk.exists(zk_root)
    assert not it.mirror._thread.is_alive()
    finish(it.mirror._client)


@pytest.mark.parametrize("length", [-1, MAX_FRAME + 1, 2**31 - 1])
def test_a_frame_of_any_length_that_is_announced_is_not_waited_for(length: int) -> None:
    """One of 2 GiB would be kept in memory, byte by byte, while pings go into it."""
    client, _ = open_client("127.0.0.1:1", ZooKeeperSettings())
    adopt(client, lambda events: None)
    with pytest.raises(ConnectionDropped, match=f"a frame of {length} bytes"):
        client._connection._read(length, 1.0)

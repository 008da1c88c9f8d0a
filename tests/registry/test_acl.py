"""Who may change what zkdns makes under /zkdns, by `zookeeper.acl`, on a real ZooKeeper."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from kazoo.security import ACL, CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE, make_acl

from support.mirrored import Mirrored, eventually
from support.zookeeper import ZooKeeperServer, finish
from zkdns.model import ConfigError
from zkdns.registry.access import ZooKeeperSettings
from zkdns.registry.zk import connect
from zkdns.registry.zk.acl import own_acl

GUARDED = [*CREATOR_ALL_ACL, *READ_ACL_UNSAFE]
OURS = "digest:zkdns:secret"


@pytest.mark.parametrize(
    ("settings", "acl"),
    [
        (ZooKeeperSettings(), OPEN_ACL_UNSAFE),
        (ZooKeeperSettings(auth=OURS), OPEN_ACL_UNSAFE),
        (ZooKeeperSettings(auth=OURS, acl="creator"), GUARDED),
        (ZooKeeperSettings(tls_cert="c.pem", acl="creator"), GUARDED),
        (ZooKeeperSettings(auth=OURS, acl="open"), OPEN_ACL_UNSAFE),
        (
            ZooKeeperSettings(acl="sasl:ops:cdrwa, digest:a:b:c=:rw,world:anyone:r"),
            [
                make_acl("sasl", "ops", all=True),
                make_acl("digest", "a:b:c=", read=True, write=True),
                make_acl("world", "anyone", read=True),
            ],
        ),
    ],
)
def test_what_we_make_is_open_unless_the_settings_say_otherwise(
    settings: ZooKeeperSettings, acl: list[ACL]
) -> None:
    assert own_acl(settings) == acl


@pytest.mark.parametrize(
    "acl", ["closed", "creator", "world:anyone", "world:anyone:", ":a:r", "sasl:a:rx", ","]
)
def test_an_acl_that_makes_no_sense_is_a_settings_error(acl: str) -> None:
    with pytest.raises(ConfigError) as error:
        connect.connect("127.0.0.1:1", ZooKeeperSettings(acl=acl))
    assert error.value.where == "zookeeper.acl"


@pytest.fixture
def connected(zookeeper: ZooKeeperServer) -> Iterator[Callable[[str], KazooClient]]:
    """Clients of the shared server with this auth, that end with the test."""
    clients: list[KazooClient] = []

    def make(auth: str) -> KazooClient:
        clients.append(connect.connect(zookeeper.hosts, ZooKeeperSettings(auth=auth)))
        return clients[-1]

    yield make
    for client in clients:
        finish(client)


@pytest.mark.zookeeper
def test_with_creator_what_a_server_holds_is_read_by_all_and_changed_by_its_own_user_alone(
    zookeeper: ZooKeeperServer,
    zk: KazooClient,
    zk_root: str,
    connected: Callable[[str], KazooClient],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = f"{zk_root}/servers/one"
    ours = ZooKeeperSettings(auth=OURS, acl="creator")
    with Mirrored(zookeeper.hosts, f"{zk_root}/servers", settings=ours) as it:
        it.mirror.keep(path, b"1")
        eventually(lambda: it.view(f"{zk_root}/servers").get(path) == b"1")
        assert zk.get(path)[0] == b"1"
        for stranger in (zk, connected("digest:other:one")):
            with pytest.raises(NoAuthError):
                stranger.set(path, b"forged")
            with pytest.raises(NoAuthError):
                stranger.delete(path)
            with pytest.raises(NoAuthError):
                stranger.create(f"{zk_root}/servers/two", b"forged")
        # Another replica with the same login stands beside it, one with another is told once and goes on.
        with Mirrored(zookeeper.hosts, f"{zk_root}/servers", settings=ours) as beside:
            beside.mirror.keep(f"{zk_root}/servers/two", b"2")
            eventually(lambda: it.view(f"{zk_root}/servers").get(f"{zk_root}/servers/two") == b"2")
        with Mirrored(zookeeper.hosts, f"{zk_root}/servers", auth="digest:other:one") as refused:
            refused.mirror.keep(f"{zk_root}/servers/three", b"3")
            eventually(lambda: "ZooKeeper refuses" in caplog.text)
            eventually(lambda: refused.view(f"{zk_root}/servers").get(path) == b"1")
        connected(OURS).set(path, b"by an operator who has the login")


def test_a_login_of_a_scheme_that_the_ensemble_does_not_know_is_told_at_once(
    zookeeper: ZooKeeperServer, zk_root: str, caplog: pytest.LogCaptureFixture
) -> None:
    unknown = ZooKeeperSettings(auth="nonsense:top-secret")
    with pytest.raises(connect.Unreachable, match="refuses the login") as refused:
        connect.connect(zookeeper.hosts, unknown)
    with Mirrored(zookeeper.hosts, zk_root, settings=unknown, watchdog=0.3) as it:
        eventually(lambda: (now := it.mirror.status()).refused and now.trouble == connect.NO_LOGIN)
    assert "top-secret" not in f"{refused.value}{caplog.text}"

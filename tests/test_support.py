"""The fixtures themselves: what other tests take for granted of a real ZooKeeper."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.security import READ_ACL_UNSAFE

from support import zookeeper as real
from support.waiting import eventually
from zkdns import ensemble as installed

TESTS = Path(__file__).parent

pytestmark = pytest.mark.zookeeper


def test_zookeeper_own_shell_and_kazoo_see_the_same_nodes(
    zookeeper: real.ZooKeeperServer, zk: KazooClient, zk_root: str
) -> None:
    zookeeper.cli("create", zk_root, "made-by-zkcli")
    assert zk.get(zk_root)[0] == b"made-by-zkcli"


def test_an_expired_session_loses_its_ephemerals(
    zookeeper: real.ZooKeeperServer, zk: KazooClient, zk_root: str
) -> None:
    owner = zookeeper.client(timeout=2.0)
    owner.create(zk_root, ephemeral=True)
    assert zk.get(zk_root)[1].ephemeralOwner == owner.client_id[0]
    real.expire(owner)
    assert not zk.exists(zk_root)
    real.finish(owner)


def test_a_dead_client_of_two_seconds_is_noticed(
    zookeeper: real.ZooKeeperServer, zk: KazooClient, zk_root: str
) -> None:
    source = (
        "import sys, time; from support.zookeeper import connect\n"
        "connect(sys.argv[1], timeout=2.0).create(sys.argv[2], ephemeral=True); print('there', flush=True)\n"
        "time.sleep(100)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", source, zookeeper.hosts, zk_root],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": f"{TESTS}:{TESTS.parent}"},
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"there\n"
    owner.kill()
    owner.wait()
    owner.stdout.close()
    eventually(lambda: not zk.exists(zk_root))


def test_a_killed_server_comes_back_on_its_port_with_its_data(own_zookeeper: real.ZooKeeperServer) -> None:
    hosts = own_zookeeper.hosts
    client = own_zookeeper.client()
    client.create("/kept", b"1")
    own_zookeeper.kill()
    assert own_zookeeper.mode == ""
    own_zookeeper.start()
    assert own_zookeeper.hosts == hosts
    assert client.retry(client.get, "/kept")[0] == b"1"
    real.finish(client)


def test_a_wiped_server_starts_again_at_low_zxids(own_zookeeper: real.ZooKeeperServer) -> None:
    client = own_zookeeper.client()
    for i in range(20):
        client.create(f"/lost-{i}")
    before = client.exists("/lost-19").czxid
    real.finish(client)
    own_zookeeper.wipe()
    client = own_zookeeper.client()
    client.create("/new")
    assert client.exists("/new").czxid < before
    assert client.exists("/lost-19") is None
    real.finish(client)


def test_a_restored_backup_holds_what_was_there_then(own_zookeeper: real.ZooKeeperServer) -> None:
    client = own_zookeeper.client()
    client.create("/then", b"old")
    backup = own_zookeeper.snapshot()
    client.set("/then", b"new")
    client.create("/later")
    real.finish(client)
    own_zookeeper.restore(backup)
    client = own_zookeeper.client()
    assert client.get("/then")[0] == b"old"
    with pytest.raises(NoNodeError):
        client.get("/later")
    real.finish(client)


def test_a_frozen_server_answers_nobody_until_it_is_thawed(own_zookeeper: real.ZooKeeperServer) -> None:
    client = own_zookeeper.client(timeout=10.0)
    own_zookeeper.freeze()
    with pytest.raises((KazooTimeoutError, ConnectionLoss)):
        client.get_async("/").get(timeout=1.0)
    own_zookeeper.thaw()
    eventually(lambda: client.connected)
    assert client.retry(client.exists, "/") is not None
    real.finish(client)


def test_a_server_that_is_lent_again_is_empty_and_one_that_can_not_be_emptied_is_another() -> None:
    with real.Lent() as lent:
        first = lent.take()
        client = first.client()
        client.create("/left/behind", ephemeral=True, makepath=True)
        lent.give_back(first)
        assert lent.take() is first
        assert client.retry(client.get_children, "/") == ["zookeeper"]
        client.set_acls("/", READ_ACL_UNSAFE)
        real.finish(client)
        lent.give_back(first)
        second = lent.take()
        assert second is not first
        assert not first.running
        second.kill()
        lent.give_back(second)
        third = lent.take()
        assert third is not second
        lent.give_back(third)


def test_an_ensemble_outlives_its_leader(ensemble: real.Ensemble) -> None:
    client = real.connect(ensemble.hosts)
    client.create("/kept", b"1")
    leader = ensemble.leader
    leader.kill()
    assert client.retry(client.get, "/kept")[0] == b"1"
    eventually(lambda: any(server.mode == "leader" for server in ensemble.servers))
    assert ensemble.leader is not leader
    leader.start()
    assert leader.mode == "follower"
    real.finish(client)


def test_tls_needs_the_authority_and_where_asked_a_client_certificate() -> None:
    with real.ZooKeeperServer(tls=True, client_auth="need") as server:
        keys = server.certificates
        assert keys is not None
        client = real.connect(
            server.secure_hosts,
            use_ssl=True,
            ca=str(keys.ca),
            certfile=str(keys.client_cert),
            keyfile=str(keys.client_key),
        )
        client.create("/over-tls", b"1")
        plain = server.client()
        assert plain.get("/over-tls")[0] == b"1"
        real.finish(plain)
        real.finish(client)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            talk_without_a_certificate(server.secure_port, keys.ca)


def talk_without_a_certificate(port: int, ca: Path) -> None:
    """Raises where the server wants one: in the handshake, or with TLS 1.3 in the first read."""
    context = ssl.create_default_context(cafile=ca)
    with (
        socket.create_connection(("127.0.0.1", port)) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as connection,
    ):
        connection.sendall(b"ruok")
        if not connection.recv(10):
            raise ConnectionError("closed")


def test_without_zookeeper_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "_find_jars", lambda: "")
    with pytest.raises(installed.Missing, match="apt-get install zookeeper") as caught:
        installed.find()
    assert "\n" not in str(caught.value)


def test_a_server_that_cannot_start_says_why() -> None:
    server = real.ZooKeeperServer(settings={"tickTime": "soon"})
    with pytest.raises(installed.NotStarted, match="NumberFormatException"):
        server.start()

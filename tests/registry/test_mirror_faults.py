"""The mirror under every fault of a real server and a real ensemble: late at worst, never wrong."""

from __future__ import annotations

import gc
import random
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError, NoNodeError

from support.mirrored import Mirrored, eventually, truth
from support.ports import free_port
from support.zookeeper import Ensemble, ZooKeeperServer, clients, finish
from zkdns.model import ConfigError
from zkdns.registry.access import ZooKeeperSettings
from zkdns.registry.zk.adopt import cut
from zkdns.registry.zk.connect import Unreachable, close, connect
from zkdns.registry.zk.mirror import Mirror

pytestmark = pytest.mark.zookeeper

ROOT = "/services"


Clients = Callable[[ZooKeeperServer], KazooClient]


@pytest.fixture
def client_of() -> Iterator[Clients]:
    with clients() as make:
        yield make


def test_a_killed_server_leaves_the_old_view_until_it_is_back(
    own_zookeeper: ZooKeeperServer, client_of: Clients
) -> None:
    zk = client_of(own_zookeeper)
    zk.create(f"{ROOT}/web/a", b"1", makepath=True)
    with Mirrored(own_zookeeper.hosts, ROOT) as it:
        it.follows(zk, ROOT)
        it.mirror.keep("/zkdns/servers/me", b"here")
        eventually(lambda: zk.retry(zk.exists, "/zkdns/servers/me"))
        before = it.view(ROOT)
        own_zookeeper.kill()
        eventually(lambda: it.connected[-1] is False)
        assert it.view(ROOT) == before
        assert it.mirror.status().trouble
        own_zookeeper.start()
        eventually(lambda: it.connected[-1])
        zk.retry(zk.set, f"{ROOT}/web/a", b"2")
        it.follows(zk, ROOT)
        eventually(lambda: zk.retry(zk.exists, "/zkdns/servers/me"))
        assert it.mirror.status().restarts == 0


def test_a_frozen_server_is_noticed_and_followed_again(
    own_zookeeper: ZooKeeperServer, client_of: Clients
) -> None:
    zk = client_of(own_zookeeper)
    zk.create(f"{ROOT}/web/a", b"1", makepath=True)
    with Mirrored(own_zookeeper.hosts, ROOT, timeout=2.0) as it:
        it.follows(zk, ROOT)
        before = it.view(ROOT)
        own_zookeeper.freeze()
        eventually(lambda: it.connected[-1] is False)
        assert it.view(ROOT) == before
        own_zookeeper.thaw()
        eventually(lambda: it.connected[-1])
        zk.retry(zk.set, f"{ROOT}/web/a", b"2")
        it.follows(zk, ROOT)


@pytest.mark.parametrize("how", ["freeze", "kill"])
def test_stopping_ends_although_the_server_is_gone(own_zookeeper: ZooKeeperServer, how: str) -> None:
    with Mirrored(own_zookeeper.hosts, ROOT) as it:
        eventually(lambda: it.wholes)
        getattr(own_zookeeper, how)()
        it.mirror.stop()
        assert not it.mirror._thread.is_alive()
    if how == "freeze":
        own_zookeeper.thaw()


def test_a_server_wiped_to_smaller_zxids_is_followed_by_a_new_client(
    own_zookeeper: ZooKeeperServer, client_of: Clients
) -> None:
    zk = client_of(own_zookeeper)
    for i in range(50):
        zk.create(f"{ROOT}/web/i{i}", b"before", makepath=True)
    with Mirrored(own_zookeeper.hosts, ROOT, watchdog=1.0) as it:
        it.follows(zk, ROOT)
        it.mirror.keep("/zkdns/servers/me", b"here")
        finish(zk)
        own_zookeeper.wipe()
        eventually(lambda: it.connected[-1] and it.view(ROOT) == {})
        zk = client_of(own_zookeeper)
        zk.create(f"{ROOT}/web/new", b"after", makepath=True)
        it.follows(zk, ROOT)
        assert it.mirror.status().restarts >= 1
        eventually(lambda: zk.retry(zk.exists, "/zkdns/servers/me"))


def test_a_server_restored_from_an_older_backup_is_served_as_it_stands(
    own_zookeeper: ZooKeeperServer, client_of: Clients
) -> None:
    zk = client_of(own_zookeeper)
    zk.create(f"{ROOT}/web/a", b"old", makepath=True)
    backup = own_zookeeper.snapshot()
    zk.set(f"{ROOT}/web/a", b"newer")
    for i in range(50):
        zk.create(f"{ROOT}/web/i{i}", b"newer")
    with Mirrored(own_zookeeper.hosts, ROOT, watchdog=1.0) as it:
        it.follows(zk, ROOT)
        finish(zk)
        own_zookeeper.restore(backup)
        eventually(lambda: it.view(ROOT).get(f"{ROOT}/web/a") == b"old")
        zk = client_of(own_zookeeper)
        it.follows(zk, ROOT)
        zk.retry(zk.set, f"{ROOT}/web/a", b"after")
        it.follows(zk, ROOT)


def test_a_server_with_smaller_zxids_is_taken_up_when_the_session_s_time_is_over_not_the_watchdog_s(
    own_zookeeper: ZooKeeperServer, client_of: Clients
) -> None:
    zk = client_of(own_zookeeper)
    zk.create(f"{ROOT}/web/a", b"before", makepath=True)
    with Mirrored(own_zookeeper.hosts, ROOT, timeout=2.0, watchdog=3600.0) as it:
        it.follows(zk, ROOT)
        it.mirror.keep("/zkdns/servers/me", b"here")
        eventually(lambda: zk.exists("/zkdns/servers/me"))
        finish(zk)
        own_zookeeper.wipe()
        eventually(lambda: it.connected[-1] and it.view(ROOT) == {})
        assert it.mirror.status().restarts == 1
        zk = client_of(own_zookeeper)
        eventually(lambda: zk.retry(zk.exists, "/zkdns/servers/me"))


def test_members_without_a_quorum_cost_one_client_and_no_more(ensemble: Ensemble, client_of: Clients) -> None:
    zk = client_of(ensemble.servers[0])
    zk.set_hosts(ensemble.hosts)
    zk.create(f"{ROOT}/web/a", b"before", makepath=True)
    with Mirrored(ensemble.hosts, ROOT, timeout=2.0, watchdog=3600.0) as it:
        it.follows(zk, ROOT)
        it.mirror.keep("/zkdns/servers/me", b"here")
        for server in ensemble.followers:
            server.kill()
        eventually(lambda: it.mirror.status().restarts)
        turned_away = it.mirror._reasons._turned_away
        eventually(lambda: it.mirror._reasons._turned_away > turned_away + 10)
        assert it.mirror.status().restarts == 1
        assert it.view(ROOT)[f"{ROOT}/web/a"] == b"before"
        for server in ensemble.servers:
            if not server.running:
                server.start()
        zk.retry(zk.set, f"{ROOT}/web/a", b"after")
        it.follows(zk, ROOT)
        eventually(lambda: zk.retry(zk.exists, "/zkdns/servers/me"))
        assert zk.retry(zk.get, "/zkdns/servers/me")[0] == b"here"
        session = it.mirror.status().session_id
        eventually(lambda: zk.retry(zk.get, "/zkdns/servers/me")[1].ephemeralOwner == session)


def test_each_member_of_an_ensemble_may_die_in_turn(ensemble: Ensemble, client_of: Clients) -> None:
    zk = client_of(ensemble.servers[0])
    zk.set_hosts(ensemble.hosts)
    zk.create(f"{ROOT}/web/a", b"0", makepath=True)
    with Mirrored(ensemble.hosts, ROOT) as it:
        it.follows(zk, ROOT)
        for turn, server in enumerate(ensemble.servers):
            server.kill()
            zk.retry(zk.set, f"{ROOT}/web/a", b"%d" % turn)
            it.follows(zk, ROOT)
            server.start()
        for server in ensemble.servers:
            server.freeze()
        eventually(lambda: it.connected[-1] is False)
        assert it.view(ROOT)[f"{ROOT}/web/a"] == b"2"
        for server in ensemble.servers:
            server.thaw()
        zk.retry(zk.set, f"{ROOT}/web/a", b"thawed")
        it.follows(zk, ROOT)
        for server in ensemble.servers:
            server.kill()
        eventually(lambda: it.connected[-1] is False)
        ensemble.start()
        zk.retry(zk.set, f"{ROOT}/web/a", b"back")
        it.follows(zk, ROOT)


@pytest.mark.parametrize("one_shot", [False, True], ids=["persistent", "one-shot"])
def test_after_any_churn_and_any_number_of_breaks_the_view_is_the_truth(
    zookeeper: ZooKeeperServer, zk_root: str, one_shot: bool, client_of: Clients
) -> None:
    zk = client_of(zookeeper)
    zk.create(zk_root, b"")
    chance = random.Random(7)
    done = threading.Event()

    def churn() -> None:
        while not done.is_set():
            service = f"{zk_root}/s{chance.randrange(9)}"
            path = f"{service}/i{chance.randrange(30)}"
            if chance.random() < 0.2:
                path += f"/deep{chance.randrange(3)}"
            try:
                match chance.randrange(8):
                    case 0 | 1:
                        zk.delete(path, recursive=True)
                    case 2:
                        zk.set(path, b"%d" % chance.randrange(1000))
                    case 3 if chance.random() < 0.1:
                        zk.delete(service, recursive=True)
                    case _:
                        zk.create(path, b"%d" % chance.randrange(1000), makepath=True)
            except (NoNodeError, NodeExistsError):
                pass

    writer = threading.Thread(target=churn)
    with Mirrored(zookeeper.hosts, zk_root, one_shot=one_shot) as it:
        writer.start()
        try:
            for turn in range(12):
                resyncs = it.mirror.status().resyncs
                eventually(lambda: it.mirror._connected)
                client = it.mirror._client
                # kazoo's own hooks for its tests: a broken connection, and an expired session.
                if turn % 3:
                    cut(client)
                else:
                    zk_session = client.client_id
                    finish(zookeeper.client(client_id=zk_session))
                if turn % 4:
                    eventually(lambda seen=resyncs: it.mirror.status().resyncs > seen)  # type: ignore[misc]
        finally:
            done.set()
            writer.join()
        it.follows(zk, zk_root)
        assert it.view(zk_root) == truth(zk, zk_root)
        assert it.mirror.status().resyncs >= 8


class Poison(tuple[()]):
    """A request that kazoo's connection thread dies of, as of an error code that it doesn't know."""

    type = 1

    def serialize(self) -> bytes:
        raise RuntimeError("Invalid error code")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_client_whose_own_thread_died_is_replaced(
    zookeeper: ZooKeeperServer, zk_root: str, client_of: Clients
) -> None:
    zk = client_of(zookeeper)
    zk.create(f"{zk_root}/web/a", b"1", makepath=True)
    with Mirrored(zookeeper.hosts, zk_root, watchdog=0.5) as it:
        it.follows(zk, zk_root)
        it.mirror.keep(f"{zk_root}/web/held", b"here")
        it.follows(zk, zk_root)
        it.mirror._client._call(Poison(), it.mirror._client.handler.async_result())
        eventually(lambda: it.mirror.status().restarts)
        zk.set(f"{zk_root}/web/a", b"2")
        it.follows(zk, zk_root)
        # The old session lives on for a while, and our node is no longer to hang on it.
        eventually(lambda: zk.get(f"{zk_root}/web/held")[1].ephemeralOwner == it.mirror.status().session_id)


def test_an_ensemble_that_is_not_there_is_one_clear_error() -> None:
    port = free_port()
    with pytest.raises(Unreachable, match=f"ZooKeeper at 127.0.0.1:{port}: .*refused"):
        connect(f"127.0.0.1:{port}", ZooKeeperSettings(), timeout=0.5)


def test_what_answers_and_is_no_zookeeper_is_told_so_and_each_complaint_names_its_ensemble(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hosts = f"127.0.0.1:{listener.getsockname()[1]}"

        def answer() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(1024)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with Mirrored(hosts, ROOT) as it:
            eventually(lambda: "is that ZooKeeper's port?" in it.mirror.status().trouble)
        with pytest.raises(Unreachable, match="is it a ZooKeeper"):
            connect(hosts, ZooKeeperSettings(), timeout=1.0)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
    assert caplog.messages
    assert [line for line in caplog.messages if not line.startswith(f"ZooKeeper at {hosts}: ")] == []
    assert "retry policy" not in caplog.text


def test_a_host_that_does_not_resolve_is_one_clear_error() -> None:
    with pytest.raises(Unreachable, match="no-such-host"):
        connect("no-such-host.invalid:2181", ZooKeeperSettings(), timeout=0.5)


@pytest.mark.parametrize("hosts", ["", "host:port", "a:2181/chroot", "a:99999", ":2181", "a:2181,,b:2181"])
def test_hosts_that_make_no_sense_are_settings_errors(hosts: str) -> None:
    with pytest.raises(ConfigError, match="hosts"):
        connect(hosts, ZooKeeperSettings(), timeout=0.1)


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        (ZooKeeperSettings(auth="digest"), "zookeeper.auth"),
        (ZooKeeperSettings(auth="sasl:user-alone"), "zookeeper.auth"),
        (ZooKeeperSettings(tls_ca="/no/such.pem"), "zookeeper.tls_ca"),
        (ZooKeeperSettings(tls_ca=__file__), "zookeeper.tls_ca"),
        (ZooKeeperSettings(tls_cert=__file__), "zookeeper.tls_cert"),
        (ZooKeeperSettings(tls_key=__file__), "zookeeper.tls_key"),
    ],
)
def test_settings_that_can_not_work_fail_before_anything_is_dialled(
    settings: ZooKeeperSettings, where: str
) -> None:
    with pytest.raises(ConfigError) as error:
        Mirror("127.0.0.1:1", (), settings, print)
    assert error.value.where == where


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_with_a_client_certificate_is_followed_and_secrets_stay_out_of_logs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    with ZooKeeperServer(tls=True, client_auth="need") as server:
        assert server.certificates is not None
        settings = ZooKeeperSettings(
            auth="digest:me:top-secret",
            tls_ca=str(server.certificates.ca),
            tls_cert=str(server.certificates.client_cert),
            tls_key=str(server.certificates.client_key),
            session_timeout=4.0,
        )
        zk = connect(server.secure_hosts, settings)
        for i in range(300):
            zk.create(f"{ROOT}/web/i{i}", b"x" * 1000, makepath=True)
        with Mirrored(server.secure_hosts, ROOT, settings=settings) as it:
            it.follows(zk, ROOT)
            zk.set(f"{ROOT}/web/i7", b"y")
            it.follows(zk, ROOT)
            assert "top-secret" not in repr(settings) + repr(it.mirror.status())
        bare = ZooKeeperSettings(tls_ca=settings.tls_ca, session_timeout=4.0)
        for hosts, wrong, cure in (
            (server.secure_hosts, bare, "set zookeeper.tls_cert and zookeeper.tls_key"),
            (server.secure_hosts, ZooKeeperSettings(), "is that the port for TLS (zookeeper.tls_ca)?"),
            (server.hosts, settings, "is that the port for TLS?"),
            (f"127.0.0.1:{free_port()}", settings, "is ZooKeeper running there?"),
        ):
            with pytest.raises(Unreachable, match=re.escape(cure)):
                connect(hosts, wrong, timeout=2.0)
        lone = ZooKeeperSettings(tls_cert=settings.tls_cert)
        with pytest.raises(ConfigError, match=r"no certificate with its key in PEM; .* set tls_key"):
            connect(server.secure_hosts, lone, timeout=2.0)

        assert close(zk, 2.0)
        # kazoo leaves a socket whose handshake failed to the garbage collector.
        gc.collect()
    assert "top-secret" not in caplog.text

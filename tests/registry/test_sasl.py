"""SASL on a real ZooKeeper with DIGEST-MD5: what opens, what is refused, and that no secret is told."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError

from support import zookeeper as real
from support.mirrored import Mirrored, eventually
from support.sasl import GOOD, MINE, OTHER, SECRET, WRONG, sasl_server
from support.zookeeper import ZooKeeperServer, expire, finish
from zkdns.model import ConfigError
from zkdns.registry.access import ZooKeeperSettings
from zkdns.registry.zk import connect
from zkdns.registry.zk.adopt import cut
from zkdns.registry.zk.connect import Unreachable

pytestmark = pytest.mark.zookeeper


@pytest.fixture
def connected() -> Iterator[Callable[..., KazooClient]]:
    """Logged-in clients that end with the test."""
    clients: list[KazooClient] = []

    def make(server: ZooKeeperServer, auth: str) -> KazooClient:
        clients.append(connect.connect(server.hosts, ZooKeeperSettings(auth=auth, session_timeout=4.0)))
        return clients[-1]

    yield make
    for client in clients:
        finish(client)


def test_a_sasl_login_opens_what_its_acl_guards_and_survives_breaks_and_expiry(
    sasl: ZooKeeperServer,
    zk_root: str,
    connected: Callable[..., KazooClient],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    zk = connected(sasl, GOOD)
    zk.create(zk_root, b"", acl=MINE)
    zk.create(f"{zk_root}/web", b"", acl=MINE)
    zk.create(f"{zk_root}/web/a", b"1", acl=MINE)
    with Mirrored(sasl.hosts, zk_root, auth=GOOD) as it:
        it.follows(zk, zk_root)
        assert it.view(zk_root)[f"{zk_root}/web/a"] == b"1"
        it.mirror.keep(f"{zk_root}/web/held", b"here")
        for turn, lose in enumerate((cut, expire, cut)):
            resyncs = it.mirror.status().resyncs
            lose(it.mirror._client)
            eventually(lambda before=resyncs: it.mirror.status().resyncs > before)  # type: ignore[misc]
            zk.set(f"{zk_root}/web/a", b"after %d" % turn)
            it.follows(zk, zk_root)
            assert it.view(zk_root)[f"{zk_root}/web/a"] == b"after %d" % turn
        eventually(lambda: it.view(zk_root).get(f"{zk_root}/web/held") == b"here")
        assert it.mirror.status().restarts == 0
        assert SECRET not in repr(it.mirror.status())
    assert SECRET not in caplog.text


def test_without_a_login_the_same_nodes_are_closed(
    sasl: ZooKeeperServer, zk_root: str, connected: Callable[..., KazooClient]
) -> None:
    connected(sasl, GOOD).create(zk_root, b"", acl=MINE)
    for auth in ("", OTHER, "digest:zkdns:other"):
        with pytest.raises(NoAuthError):
            connected(sasl, auth).get(zk_root)


@pytest.mark.parametrize("auth", [WRONG, "sasl:nobody:x"], ids=["wrong secret", "unknown user"])
def test_a_refused_login_is_one_clear_error_without_the_secret(
    sasl: ZooKeeperServer, auth: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with pytest.raises(Unreachable, match=r"refused the login of zookeeper\.auth") as error:
        connect.connect(sasl.hosts, ZooKeeperSettings(auth=auth))
    assert "\n" not in str(error.value)
    assert "not-the-secret" not in str(error.value) + caplog.text
    assert "Traceback" not in caplog.text


def test_a_mirror_whose_login_is_refused_says_so_once_and_tries_again(
    sasl: ZooKeeperServer, zk_root: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Mirrored(sasl.hosts, zk_root, auth=WRONG, watchdog=0.3) as it:
        eventually(lambda: it.mirror.status().restarts >= 3)
        # One moment: between two tries it is neither refused nor in trouble.
        eventually(lambda: (now := it.mirror.status()).refused and "refused the login" in now.trouble)
        assert it.wholes == 0
    assert caplog.text.count("refused the login") == 1
    assert "new client" not in caplog.text
    assert "Traceback" not in caplog.text


def test_a_server_that_demands_sasl_says_so_to_who_has_none_or_a_wrong_one(
    tmp_path: Path, zk_root: str, connected: Callable[..., KazooClient], caplog: pytest.LogCaptureFixture
) -> None:
    real.demand()
    with sasl_server(tmp_path, sessionRequireClientSASLAuth="true") as server:
        connected(server, GOOD).create(zk_root, b"")
        with pytest.raises(Unreachable, match="refused the login"):
            connect.connect(server.hosts, ZooKeeperSettings(auth=WRONG))
        with pytest.raises(Unreachable, match="demands a login"):
            connect.connect(server.hosts, ZooKeeperSettings())
        with Mirrored(server.hosts, zk_root) as it:
            eventually(lambda: "demands a login" in caplog.text)
            eventually(lambda: "demands a login" in it.mirror.status().trouble)
            assert it.wholes == 0
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("lenient", [True, False], ids=["lets failures in", "knows no SASL"])
def test_a_server_that_does_not_log_us_in_is_told_and_not_asked_without_end(
    tmp_path: Path, zookeeper: ZooKeeperServer, lenient: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def attempt(server: ZooKeeperServer) -> None:
        with pytest.raises(Unreachable, match="does no SASL login"):
            connect.connect(server.hosts, ZooKeeperSettings(auth=WRONG))

    if lenient:
        with sasl_server(tmp_path, allowSaslFailedClients="true") as server:
            attempt(server)
    else:
        attempt(zookeeper)
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("auth", "missing", "told"),
    [
        (GOOD, "puresasl", r"pip install 'zkdns\[sasl\]'"),
        ("sasl", "puresasl", r"pip install 'zkdns\[sasl\]'"),
        ("sasl", "kerberos", r"pip install 'zkdns\[kerberos\]'"),
    ],
)
def test_a_package_that_is_missing_is_named_before_anything_is_dialled(
    auth: str, missing: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec

    def found(name: str, *more: Any) -> Any:
        return None if name == missing else find(name, *more)

    monkeypatch.setattr(importlib.util, "find_spec", found)
    with pytest.raises(ConfigError, match=told) as error:
        connect.connect("127.0.0.1:1", ZooKeeperSettings(auth=auth))
    assert error.value.where == "zookeeper.auth"
    assert SECRET not in str(error.value)

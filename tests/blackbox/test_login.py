"""`zkdns serve` and the operators' commands where ZooKeeper asks for a login."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from kazoo.security import READ_ACL_UNSAFE

from support.sasl import GOOD, MINE, OTHER, SECRET, WRONG
from support.server import Zkdns, run
from support.waiting import eventually
from support.zookeeper import ZooKeeperServer, finish
from zkdns.registry.access import ZooKeeperSettings
from zkdns.registry.zk import connect

pytestmark = pytest.mark.zookeeper

ROOT = "/services"
PLACES = ("/", "/api/v1/status", "/api/v1/problems", "/metrics")


@pytest.fixture
def owner(sasl: ZooKeeperServer) -> Iterator[KazooClient]:
    """Logged in as `zkdns`; what it registers no other user may read."""
    client = connect.connect(sasl.hosts, ZooKeeperSettings(auth=GOOD, session_timeout=4.0))
    client.ensure_path(ROOT, acl=MINE)
    client.ensure_path(f"{ROOT}/web", acl=MINE)
    client.create(f"{ROOT}/web/a", b'{"address": "10.0.0.1"}', acl=MINE)
    yield client
    client.retry(client.delete, ROOT, recursive=True)
    client.retry(client.delete, "/zkdns", recursive=True)
    finish(client)


def told(server: Zkdns) -> str:
    """All that it shows of itself."""
    shown = [server.http(path)[1] for path in PLACES]
    return "".join([server.log, Path(f"/proc/{server.pid}/cmdline").read_text(), *shown])


def test_a_server_that_logs_in_follows_what_is_guarded_and_tells_no_secret(
    sasl: ZooKeeperServer, owner: KazooClient, serve: Callable[..., Zkdns]
) -> None:
    server = serve(registry=f"zk://{sasl.hosts}{ROOT}", env={"ZKDNS_ZOOKEEPER_AUTH": GOOD}, is_fresh=True)
    assert server.answers("web.svc.local") == ["10.0.0.1"]
    sasl.restart()
    owner.retry(owner.create, f"{ROOT}/web/b", b'{"address": "10.0.0.2"}', acl=MINE)
    eventually(lambda: server.answers("web.svc.local") == ["10.0.0.1", "10.0.0.2"])
    assert server.json("/api/v1/problems")["problems"] == []
    assert SECRET not in told(server)


def test_operators_with_the_login_may_drain_and_others_are_told_in_one_line(
    sasl: ZooKeeperServer, owner: KazooClient, serve: Callable[..., Zkdns], tmp_path: Path
) -> None:
    config = tmp_path / "zkdns.toml"
    config.write_text('[zookeeper]\nacl = "creator"\n')
    owner.set_acls(ROOT, readable := [*MINE, *READ_ACL_UNSAFE])
    owner.set_acls(f"{ROOT}/web", readable)
    owner.set_acls(f"{ROOT}/web/a", readable)
    url = f"zk://{sasl.hosts}{ROOT}"
    server = serve("--config", str(config), registry=url, env={"ZKDNS_ZOOKEEPER_AUTH": GOOD})
    eventually(lambda: owner.exists("/zkdns/servers"))
    for auth in ("", OTHER):
        env = {"ZKDNS_ZOOKEEPER_AUTH": auth}
        run("drain", "web/a", "--registry", url, env=env).fails(1, "/zkdns/overrides/web/a", "zookeeper.auth")
    assert server.answers("web.svc.local") == ["10.0.0.1"]
    words = ("--registry", url, "--config", str(config))
    assert run("drain", "web/a", *words, env={"ZKDNS_ZOOKEEPER_AUTH": GOOD}).code == 0
    eventually(lambda: server.answers("web.svc.local") == [])
    for auth in ("", OTHER):
        env = {"ZKDNS_ZOOKEEPER_AUTH": auth}
        run("undrain", "web/a", "--registry", url, env=env).fails(1, "zookeeper.auth")
        assert "127.0.0.1" in run("replicas", "--registry", url, env=env).out
        stranger = connect.connect(sasl.hosts, ZooKeeperSettings(auth=auth))
        try:
            with pytest.raises(NoAuthError):
                stranger.set("/zkdns/overrides/web/a", b"{}")
            with pytest.raises(NoAuthError):
                stranger.create("/zkdns/servers/forged", b"{}")
        finally:
            finish(stranger)


def test_a_wrong_secret_is_one_line_and_is_shown_nowhere(sasl: ZooKeeperServer, owner: KazooClient) -> None:
    url = f"zk://{sasl.hosts}{ROOT}"
    server = Zkdns(registry=url, env={"ZKDNS_ZOOKEEPER_AUTH": WRONG}, is_fresh=True)
    try:
        server.launch()
        eventually(lambda: "refused the login" in server.log)
        eventually(lambda: "refused the login" in server.http("/api/v1/status")[1])
        assert server.http("/ready")[0] == 503
        assert server.log.count("refused the login") == 1
        assert "Traceback" not in server.log
        assert "not-the-secret" not in told(server)
    finally:
        server.close()
    for words in (["services"], ["check"], ["replicas"], ["drain", "web/a"]):
        run(*words, "--registry", url, env={"ZKDNS_ZOOKEEPER_AUTH": WRONG}).fails(1, "refused the login")

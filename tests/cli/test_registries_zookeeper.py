"""The reading commands on a real ZooKeeper: they say what a running server says."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NotEmptyError
from kazoo.security import OPEN_ACL_UNSAFE, make_digest_acl

from support.server import Zkdns, run
from support.waiting import eventually
from support.watching import Watch
from support.zookeeper import ZooKeeperServer
from zkdns.roots import SERVERS

pytestmark = pytest.mark.zookeeper


@pytest.fixture
def url(zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str) -> Iterator[str]:
    # A server that another test killed is told of until its session ends.
    eventually(lambda: not (zk.exists(SERVERS) and zk.get_children(SERVERS)), 30)
    yield f"zk://{zookeeper.hosts}{zk_root}"
    eventually(lambda: is_cleared(zk), 10)


def is_cleared(zk: KazooClient) -> bool:
    """Nothing is left under /zkdns: a server that is about to end may write there once more."""
    try:
        zk.delete("/zkdns", recursive=True)
    except NotEmptyError:
        return False
    return True


def register(zk: KazooClient, path: str, **fields: Any) -> None:
    zk.create(path, json.dumps(fields).encode(), ephemeral=True, makepath=True)


def read_json(url: str, *words: str, code: int = 0) -> dict[str, Any]:
    done = run(words[0], "--registry", url, *words[1:], "--json")
    assert done.code == code, f"{done.out}{done.err}"
    said = json.loads(done.out)
    assert isinstance(said, dict)
    return said


def states(said: dict[str, Any]) -> dict[str, tuple[str, str, float, int]]:
    return {i["id"]: (i["state"], i["reason"], i["share"], i["weight"]) for i in said["instances"]}


def test_states_are_those_of_the_servers(
    url: str, zk: KazooClient, zk_root: str, serve: Callable[..., Zkdns]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as well:
        port = well.getsockname()[1]
        settings = {"check": {"type": "tcp", "interval": 0.2, "timeout": 1, "fall": 1}}
        zk.create(f"{zk_root}/web", json.dumps(settings).encode(), makepath=True)
        register(zk, f"{zk_root}/web/well", address="127.0.0.1", port=port, weight=2)
        register(zk, f"{zk_root}/web/other", address="127.0.0.2", port=port)
        register(zk, f"{zk_root}/web/sick", address="127.0.0.1", port=1)
        register(zk, f"{zk_root}/web/drained", address="127.0.0.1", port=port)
        register(zk, f"{zk_root}/web/leaving", address="127.0.0.1", port=port, status="draining")
        alone = read_json(url, "instances", "web")
        assert states(alone)["well"][:2] == (
            "healthy",
            "not probed: no server is registered under /zkdns/servers",
        )
        server = serve(registry=url)
        assert run("drain", "web/drained", "--why", "disk", "--registry", url).code == 0
        assert run("weight", "web/well", "6", "--registry", url).code == 0

        def agree() -> bool:
            told = states(server.json("/api/v1/services/web"))
            said = states(read_json(url, "instances", "web"))
            assert said == told
            return told["sick"][0] == "failing" and told["drained"][0] == "drained" and told["well"][3] == 6

        eventually(agree)
        ours = read_json(url, "explain", "web.svc.local")
        theirs = server.json("/api/v1/explain?name=web.svc.local&type=A")
        for key in ("name", "type", "rcode", "stale", "instances", "notes"):
            assert ours[key] == theirs[key], key
        assert set(ours["answer"]) == set(theirs["answer"])
        assert read_json(url, "services")["services"] == server.json("/api/v1/services")["services"]


def test_watch_tells_of_what_comes_goes_and_is_drained(
    url: str, zk: KazooClient, zk_root: str, tmp_path: Path
) -> None:
    register(zk, f"{zk_root}/web/a", address="10.0.0.1", port=80)
    watch = Watch("--registry", url, "--json", folder=tmp_path)

    def told(service: str, id: str, change: str, state: str | None = None) -> dict[str, Any]:
        def find() -> list[dict[str, Any]]:
            events = map(json.loads, watch.lines)
            return [
                e
                for e in events
                if (e["service"], e.get("instance"), e["change"]) == (service, id, change)
                and state in (None, e.get("state"))
            ]

        return eventually(find)[0]

    try:
        register(zk, f"{zk_root}/db/one", address="10.0.0.2", port=5432)
        assert told("db", "one", "added", "healthy")["address"] == ["10.0.0.2"]
        assert run("drain", "web/a", "--why", "disk swap", "--registry", url).code == 0
        assert "disk swap" in told("web", "a", "changed", "drained")["reason"]
        assert run("undrain", "web/a", "--registry", url).code == 0
        assert told("web", "a", "changed", "healthy")["was"] == "drained"
        zk.delete(f"{zk_root}/web/a")
        told("web", "a", "removed")
    finally:
        assert watch.end() == 130


def test_check_names_what_is_wrong_and_how_it_was_read(url: str, zk: KazooClient, zk_root: str) -> None:
    register(zk, f"{zk_root}/web/a", address="10.0.0.1", port=80)
    clean = read_json(url, "check")
    assert clean["problems"] == []
    assert [n["path"] for n in clean["notes"]] == ["zone svc.local"]
    zk.create(f"{zk_root}/web/stays", b"10.0.0.2:80")
    zk.create(f"{zk_root}/web/empty", b"")
    zk.create(f"{zk_root}/db", b'{"ttl": "soon"}')
    zk.create("/zkdns/overrides/web/gone", b'{"drain": true}', makepath=True)
    zk.create("/zkdns/overrides/web/a", b"nonsense")
    said = read_json(url, "check", code=1)
    problems = {p["path"]: p for p in said["problems"]}
    assert problems.keys() == {f"{zk_root}/web/empty", f"{zk_root}/db", "/zkdns/overrides/web/a"}
    assert all(p["what"] and p["cure"] for p in problems.values())
    assert said["formats"] == {"db": {}, "web": {"hostport": 1, "native": 1}}
    notes = {n["path"]: n["what"] for n in said["notes"]}
    assert "persistent" in notes[f"{zk_root}/web"]
    assert "stays" in notes[f"{zk_root}/web"]
    assert "not registered" in notes["/zkdns/overrides/web/gone"]


def test_a_service_that_lost_all_its_instances_is_a_problem_and_one_that_never_had_any_a_note(
    url: str, zk: KazooClient, zk_root: str
) -> None:
    zk.create(f"{zk_root}/unused", b'{"ttl": 9}', makepath=True)
    paths = sorted(n["path"] for n in read_json(url, "check")["notes"])
    assert paths == [f"{zk_root}/unused", "zone svc.local"]
    register(zk, f"{zk_root}/web/a", address="10.0.0.1", port=80)
    assert read_json(url, "check")["problems"] == []
    zk.delete(f"{zk_root}/web/a")
    (problem,) = read_json(url, "check", code=1)["problems"]
    assert problem["path"] == f"{zk_root}/web"
    assert "gone" in problem["what"]
    zk.delete(f"{zk_root}/web")
    assert read_json(url, "check")["problems"] == []


def test_check_tells_of_each_override_without_an_instance_once(
    url: str, zk: KazooClient, zk_root: str
) -> None:
    # Encoded as `zkdns drain` does it, and as they are, as by hand.
    for id in ("Node 1", "a%3Ab", "by%20hand"):
        register(zk, f"{zk_root}/web/{id}", address="10.0.0.1", port=80)
    made = ["Node%201", "a%253Ab", "by%20hand", "gone%20one"]
    for name in made:
        zk.create(f"/zkdns/overrides/web/{name}", b'{"drain": true}', makepath=True)
    notes = [n["path"] for n in read_json(url, "check")["notes"] if n["path"].startswith("/zkdns")]
    assert notes == ["/zkdns/overrides/web/gone%20one"]
    run("undrain", "web/a%3Ab", "--registry", url)
    run("undrain", "web/a%3Ab", "--registry", url).fails(
        1, "those have: web/Node 1, web/by hand, web/gone one"
    )


def test_an_empty_registry_is_no_failure(url: str) -> None:
    done = run("services", "--registry", url)
    assert done.code == 0
    assert "no service" in done.out
    assert read_json(url, "services")["services"] == []
    assert run("instances", "web", "--registry", url).code == 1


def test_a_registry_that_may_not_be_read_is_no_empty_one(url: str, zk: KazooClient, zk_root: str) -> None:
    """Commands say so, and exit 1; the server's own line tells why it waits."""
    zk.add_auth("digest", "op:secret")
    zk.create(zk_root, acl=[make_digest_acl("op", "secret", all=True)])
    why = f"{zk_root}: it can't be read: its ACL does not let us read it"
    for words in (["services"], ["services", "--json"], ["instances", "web"]):
        run(*words, "--registry", url).fails(1, why)
    run("drain", "web/a", "--registry", url).fails(1, zk_root)
    zk.set_acls(zk_root, OPEN_ACL_UNSAFE)


def test_watch_goes_on_through_a_loss_of_zookeeper(own_zookeeper: ZooKeeperServer, tmp_path: Path) -> None:
    client = own_zookeeper.client()
    register(client, "/services/web/a", address="10.0.0.1", port=80)
    client.create("/services/web/b", b'{"address": "10.0.0.2"}')
    watch = Watch("--registry", f"zk://{own_zookeeper.hosts}/services", folder=tmp_path)
    try:
        own_zookeeper.stop()
        eventually(lambda: "out of reach" in watch.told)
        own_zookeeper.start()
        eventually(lambda: "is back" in watch.told, 60)
        client.retry(client.set, "/services/web/b", b'{"address": "10.0.0.3"}')
        eventually(lambda: any("10.0.0.3" in line for line in watch.lines))
    finally:
        assert watch.end() == 130
        client.stop()
        client.close()


def test_where_nothing_is_registered_it_is_said_where_was_looked_and_whether_there_is_such_a_node(
    url: str, zk: KazooClient, zk_root: str
) -> None:
    zk.ensure_path(zk_root)
    for words in (["instances", "web"], ["drain", "web/a"], ["services"]):
        for where, is_there in ((url, True), (f"{url}/typo", False)):
            done = run(words[0], *words[1:], "--registry", where)
            assert done.code == (words[0] != "services")
            told = done.out + done.err
            assert f"none is registered in {where}" in told
            assert ("there is no node" not in told) is is_there
            assert ("`zkdns discover zk://" in told) is not is_there
    for where, notes in ((url, 0), (f"{url}/typo", 1)):
        said = read_json(where, "check", "--zone", "svc.test")
        assert [note["path"] for note in said["notes"]] == [where] * notes
        assert said["problems"] == []
    hosts = url.removeprefix("zk://").partition("/")[0]
    assert "/nope, which is not there" in run("discover", f"zk://{hosts}/nope").out


def test_of_several_registries_those_within_reach_are_told_of_and_the_others_are_named(
    url: str, zk: KazooClient, zk_root: str
) -> None:
    register(zk, f"{zk_root}/web/a", address="10.0.0.1")
    zk.create(f"{zk_root}/alias", json.dumps({"to": [{"web": 1}]}).encode())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        away = f"zk://127.0.0.1:{taken.getsockname()[1]}/services"
        both = ("--registry", f"dc1={url}", "--registry", f"dc2={away}", "--json")
        done = run("services", *both)
        assert [row["name"] for row in done.json["services"]] == ["alias", "web"]
        done.fails(1, "the registry dc2 is not read", away.split("/")[2])
        for name in ("web", "alias"):
            done = run("explain", name, *both)
            assert (done.json["rcode"], done.json["answer"]) == ("NOERROR", ["10.0.0.1"]), name
            done.fails(1, "dc2")
        done = run("explain", "none", *both)  # which the other one may have
        assert (done.json["rcode"], done.code) == ("SERVFAIL", 1)
        run("instances", "none", *both).fails(1, "within reach", "dc2")
        run("services", *both[2:]).fails(1, away.split("/")[2])

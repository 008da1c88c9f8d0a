"""drain, undrain, weight and replicas against a real ZooKeeper, as an operator runs them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError
from kazoo.security import OPEN_ACL_UNSAFE, make_digest_acl

from support.zookeeper import ZooKeeperServer
from zkdns import cli
from zkdns.cli import overrides as cli_overrides
from zkdns.lists import MAX_NEAR
from zkdns.model import Override
from zkdns.registry import overrides
from zkdns.registry.labels import to_label
from zkdns.roots import OVERRIDES, SERVERS

pytestmark = pytest.mark.zookeeper


class Operator:
    """Runs one command line; keeps what it said."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.url = url
        self._capsys = capsys

    def run(self, *words: str, code: int = 0) -> str:
        """Its stdout, or its one line of complaint where it is to fail."""
        got, line = cli._run([words[0], "--registry", self.url, *words[1:]])
        out = self._capsys.readouterr().out
        assert got == code, f"{out}{line}"
        return line if code else out


@pytest.fixture
def operator(
    zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str, capsys: pytest.CaptureFixture[str]
) -> Iterator[Operator]:
    zk.create(f"{zk_root}/web/a", b'{"address": "10.0.0.1", "weight": 3}', makepath=True)
    zk.create(f"{zk_root}/web/b", b'{"address": "10.0.0.2"}')
    zk.create(f"{zk_root}/Data_Base/Node_1", b'{"address": "10.0.0.3"}', makepath=True)
    yield Operator(f"zk://{zookeeper.hosts}{zk_root}", capsys)
    zk.delete("/zkdns", recursive=True)


def standing(zk: KazooClient, service: str = "web", id: str = "a") -> Override | None:
    try:
        return overrides.parse(zk.get(overrides.path(service, id))[0])
    except NoNodeError:
        return None


def test_drain_writes_who_when_why_and_until(operator: Operator, zk: KazooClient) -> None:
    before = time.time()
    out = operator.run("drain", "web/a", "--for", "30m", "--why", "disk  swap")
    order = standing(zk)
    assert order is not None
    assert order.drain
    assert order.why == "disk swap"
    assert "@" in order.who
    assert before <= order.at <= time.time()
    assert order.until == pytest.approx(order.at + 1800)
    assert out.startswith("web/a: drained until ")
    assert "1 of 2 instances of web are not drained" in out


@pytest.mark.parametrize(
    ("failover", "said", "meant"),
    [
        ("dc2", "web/b", "web/b"),  # the first that has it
        ("dc2", "web@dc1/b", "web/b"),
        ("dc2", "web@dc2/b", "web@dc2/b"),
        ("dc2", "web/b-dc2", "web@dc2/b"),
        ("dc2", "web@dc2/c", "web/c"),  # nobody else has it
        ("dc1", "web@dc1/b", "web@dc1/b"),  # the service's own is the other's
        ("dc1", "web@dc2/b", "web/b"),
        ("", "web@dc2/b", "web@dc2/b"),
    ],
)
def test_one_whose_id_another_registry_has_too_goes_by_that_registry(
    operator: Operator, zk: KazooClient, zk_root: str, failover: str, said: str, meant: str
) -> None:
    for id in "bc":
        zk.create(f"{zk_root}/there/web/{id}", b'{"address": "10.2.0.1"}', makepath=True)
    server = json.dumps({"failover": [failover] if failover else []}).encode()
    zk.create(f"{SERVERS}/some", server, makepath=True)
    more = [f"--registry=dc2={operator.url}/there"]
    operator.url = f"dc1={operator.url}"
    for words in (["drain", said], ["weight", said, "7"], ["undrain", said]):
        assert operator.run(*words, *more).startswith(f"{meant}: ")
    service, _, id = meant.partition("/")
    order = standing(zk, service, id)
    assert order is not None
    assert (order.drain, order.weight) == (False, 7)
    operator.run("drain", "web@dc3/b", *more, code=1)
    operator.run("drain", "web@dc2/x", *more, code=1)


def test_undrain_leaves_nothing_behind(operator: Operator, zk: KazooClient) -> None:
    operator.run("drain", "web/a")
    out = operator.run("undrain", "web/a")
    assert "web/a: override ended (it was drained" in out
    assert zk.get_children("/zkdns/overrides") == []


def test_a_weight_set_on_a_drained_instance_leaves_it_drained(operator: Operator, zk: KazooClient) -> None:
    operator.run("drain", "web/a")
    operator.run("weight", "web/a", "50", "--for", "1h")
    order = standing(zk)
    assert order is not None
    assert (order.weight, order.drain) == (50, False)
    assert order.under is not None
    assert order.under.drain


def test_undrain_gives_back_the_weight_that_was_set_and_a_second_one_ends_that(
    operator: Operator, zk: KazooClient
) -> None:
    operator.run("weight", "web/a", "0")
    operator.run("drain", "web/a")
    operator.run("drain", "web/a", "--why", "again")
    assert "weight 0" in operator.run("undrain", "web/a")
    order = standing(zk)
    assert order is not None
    assert (order.weight, order.drain, order.under) == (0, False, None)
    operator.run("undrain", "web/a")
    assert standing(zk) is None


def test_an_override_whose_time_is_over_is_not_kept_beneath_a_new_one(
    operator: Operator, zk: KazooClient
) -> None:
    ended = Override(weight=5, until=time.time() - 1)
    zk.create(overrides.path("web", "a"), overrides.spell(ended), makepath=True)
    operator.run("drain", "web/a")
    order = standing(zk)
    assert order is not None
    assert order.under is None


@pytest.mark.parametrize("word", ["set", "delete"])
def test_what_another_operator_writes_at_the_same_time_is_kept(
    operator: Operator, zk: KazooClient, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    operator.run("weight", "web/a", "5")
    write = getattr(KazooClient, word)
    drained = Override(drain=True, who="another", under=Override(weight=9))

    def late(client: KazooClient, path: str, *args: object, **options: object) -> object:
        if path == overrides.path("web", "a"):
            monkeypatch.undo()
            zk.set(path, overrides.spell(drained))
        return write(client, path, *args, **options)

    monkeypatch.setattr(KazooClient, word, late)
    operator.run(*(("weight", "web/a", "7") if word == "set" else ("undrain", "web/a")))
    order = standing(zk)
    assert order is not None
    if word == "set":
        assert order.weight == 7
        assert order.under is not None
        assert (order.under.drain, order.under.who) == (True, "another")
    else:
        assert order.weight == 9


def test_an_unreadable_override_is_overwritten(operator: Operator, zk: KazooClient) -> None:
    zk.create(overrides.path("web", "a"), b"\xff", makepath=True)
    operator.run("drain", "web/a")
    assert standing(zk) is not None


def test_names_as_dns_has_them_are_understood(operator: Operator, zk: KazooClient) -> None:
    operator.run("drain", "data-base/node-1")
    assert standing(zk, "Data_Base", "Node_1") is not None


def test_an_unknown_service_is_an_error_that_names_what_exists(operator: Operator) -> None:
    assert operator.run("drain", "wbe/a", code=1) == "zkdns: no service 'wbe'; there are web, Data_Base"


def test_an_unknown_instance_is_an_error_that_names_what_exists(operator: Operator) -> None:
    for command in (["drain", "web/c"], ["weight", "web/c", "1"], ["undrain", "web/c"]):
        assert operator.run(*command, code=1) == "zkdns: no instance 'c' in service 'web'; there are a, b"


def test_undrain_without_an_override_names_those_that_have_one(operator: Operator, zk: KazooClient) -> None:
    assert operator.run("undrain", "web/a", code=1) == "zkdns: web/a has no override; none has"
    operator.run("drain", "web/b")
    assert operator.run("undrain", "web/a", code=1) == "zkdns: web/a has no override; those have: web/b"
    for n in range(MAX_NEAR):
        zk.create(overrides.path("web", f"x{n}"), b'{"drain": true}', makepath=True)
    assert operator.run("undrain", "web/a", code=1).endswith(f"web/x{MAX_NEAR - 2} and 1 more")


def test_undrain_works_for_an_instance_that_is_registered_no_more(
    operator: Operator, zk: KazooClient
) -> None:
    operator.run("drain", "web/a")
    root = "/" + operator.url.rpartition("/")[2]
    zk.delete(f"{root}/web/a")
    operator.run("undrain", "web/a")
    assert standing(zk) is None


@pytest.mark.parametrize(
    "words",
    [
        ["drain", "web"],
        ["drain", "/a"],
        ["drain", "web/a", "--for", "soon"],
        ["drain", "web/a", "--for", "0m"],
        ["weight", "web/a", "65536"],
        ["weight", "web/a", "ten"],
        ["weight", "web/a"],
    ],
)
def test_wrong_usage_is_exit_code_2(operator: Operator, words: list[str]) -> None:
    assert operator.run(*words, code=2)


def test_json_tells_what_stands_now(operator: Operator) -> None:
    said = json.loads(operator.run("weight", "web/a", "7", "--json"))
    assert (said["service"], said["id"], said["override"]["weight"]) == ("web", "a", 7)
    assert json.loads(operator.run("undrain", "web/a", "--json"))["override"] is None


def test_the_last_override_that_ends_leaves_their_folder_with_its_acl_and_zxid(
    operator: Operator, zk: KazooClient
) -> None:
    operator.run("route", "shop", "web")
    before = zk.exists(OVERRIDES)
    others = [name for name in zk.get_children(OVERRIDES) if name != "shop"]
    operator.run("route", "shop", "--end")
    after = zk.exists(OVERRIDES)
    assert zk.get_children(OVERRIDES) == others
    assert after is not None
    assert after.czxid == before.czxid
    assert after.pzxid > before.pzxid, "a serial never goes back"


def test_an_instance_in_a_folder_is_found(operator: Operator, zk: KazooClient) -> None:
    root = "/" + operator.url.rpartition("/")[2]
    url = "dubbo%3A%2F%2F10.0.0.9%3A20880%2Fcom.acme.Api"
    zk.create(f"{root}/com.acme.Api/providers/{url}", b"", makepath=True)
    operator.url += "?format=dubbo"
    id = operator.run("drain", "com.acme.Api/nope", code=1).rpartition("there is ")[2]
    operator.run("drain", f"com.acme.Api/{id}")
    assert standing(zk, "com.acme.Api", id) is not None


def test_without_a_zookeeper_registry_there_is_no_place_for_overrides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "services.toml"
    path.write_text('[[web.instances]]\nid = "a"\naddress = "10.0.0.1"\n')
    code, line = cli._run(["drain", "--registry", f"file:{path}", "web/a"])
    assert (code, line) == (
        2, "zkdns: --registry: overrides are kept in ZooKeeper, and none of them is a zk:// one",
    )  # fmt: skip


def test_instances_of_a_file_registry_beside_zookeeper_can_be_drained(
    operator: Operator, zk: KazooClient, tmp_path: Path
) -> None:
    path = tmp_path / "services.toml"
    path.write_text('[[old.instances]]\nid = "x"\naddress = "10.0.0.1"\n')
    code, line = cli._run(["drain", "--registry", f"file:{path}", "--registry", operator.url, "old/x"])
    assert (code, line) == (0, "")
    assert standing(zk, "old", "x") is not None


def test_a_zookeeper_out_of_reach_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, line = cli._run(["drain", "--registry", "zk://127.0.0.1:1/services", "web/a"])
    assert code == 1
    assert line.startswith("zkdns: ZooKeeper at 127.0.0.1:1: ")


# --- replicas -----------------------------------------------------------------------------------------


def test_replicas_are_told_with_their_lag(operator: Operator, zk: KazooClient) -> None:
    assert "no server is registered" in operator.run("replicas")
    for name, lag in (("r1", 0.0042), ("r2", None)):
        said = {"address": "10.0.0.1:53", "version": "0.1.0", "serial": 100, "lag": lag, "later": 1}
        zk.create(f"/zkdns/servers/{name}", json.dumps(said).encode(), makepath=True)
    zk.create("/zkdns/servers/odd", b"\xff")
    for n, data in enumerate(
        (b'{"lag": 1%s}' % (b"0" * 400), b'{"lag": 1e400}', b'{"address": "%s"}' % (b"x" * 4096))
    ):
        zk.create(f"/zkdns/servers/strange{n}", data)
    zk.create("/zkdns/servers/r3", b'{"address": "10.0.0.1:53", "version": "0.1.0"}')
    table = operator.run("replicas").splitlines()
    assert table[0].split() == ["id", "address", "version", "serial", "lag"]
    assert table[1].split() == ["odd", "-", "-", "-", "-"]
    assert table[2].split() == ["r1", "10.0.0.1:53", "0.1.0", "100", "0.004", "s"]
    assert table[3].split() == ["r2", "10.0.0.1:53", "0.1.0", "100", "-"]
    assert table[4].split() == ["r3", "10.0.0.1:53", "0.1.0", "0", "-"], "servers leave out what is 0"
    assert [line.split() for line in table[5:]] == [[f"strange{n}", "-", "-", "-", "-"] for n in range(3)]
    rows = json.loads(operator.run("replicas", "--json"), parse_constant=pytest.fail)["replicas"]
    assert rows[1] == {
        "id": "r1", "address": "10.0.0.1:53", "version": "0.1.0", "serial": 100, "lag": 0.0042,
    }  # fmt: skip
    assert rows[0] == {"id": "odd", "address": None, "version": None, "serial": None, "lag": None}


def test_a_member_of_a_preset_is_found_by_its_service(operator: Operator, zk: KazooClient) -> None:
    root = operator.url.rpartition("/")[2]
    member = b'{"conn_url": "postgres://10.0.0.7:5432/x", "state": "running", "role": "replica"}'
    zk.create(f"/{root}/service/pg1/members/pg-a", member, makepath=True)
    operator.url += "?preset=patroni"
    assert "pg1/pg-a: drained" in operator.run("drain", "pg1/pg-a")
    assert standing(zk, "pg1", "pg-a") is not None
    assert "there is pg-a" in operator.run("drain", "pg1/nope", code=1)


def test_an_instance_in_a_layout_of_ones_own_is_found(operator: Operator, zk: KazooClient) -> None:
    root = operator.url.rpartition("/")[2]
    zk.create(f"/{root}/apps/web/members/x", b'{"at": "10.0.0.7:80"}', makepath=True)
    operator.url += "/apps?layout=/{service}/members/{id}&as=prod-{service}&format=json&address=at"
    assert "prod-web/x: drained" in operator.run("drain", "prod-web/x")
    assert standing(zk, "prod-web", "x") is not None


def test_a_route_that_is_laid_is_no_override_of_an_instance(
    operator: Operator, zk: KazooClient, zk_root: str
) -> None:
    # A node that had instances, and is a route now; one that is laid over nothing.
    zk.create(f"{zk_root}/moved/a", b'{"address": "10.0.0.9"}', makepath=True)
    zk.delete(f"{zk_root}/moved/a")
    zk.set(f"{zk_root}/moved", json.dumps({"to": [{"web": 1}]}).encode())
    operator.run("route", "laid", "web=3", "Data_Base=1")
    checked = json.loads(operator.run("check", "--json"))
    assert checked["problems"] == []
    assert not [note for note in checked["notes"] if "laid" in note["path"] or "moved" in note["path"]]
    rows = {row.split()[0]: row for row in operator.run("services").splitlines()}
    assert "stands for web=3 Data_Base=1" in rows["laid"]
    assert "stands for web" in rows["moved"]


def test_a_route_is_laid_over_the_service_that_has_the_label(
    operator: Operator, zk: KazooClient, zk_root: str
) -> None:
    for name in ("Web_App", "web.app"):  # neither has the label that both fold to
        zk.create(f"{zk_root}/{name}/a", b'{"address": "10.0.0.7"}', makepath=True)
    for typed, meant in (
        ("data-base", "Data_Base"), ("DATA-base", "Data_Base"), ("Data_Base", "Data_Base"), ("WEB", "web"),
        (to_label("Web_App", 1), "Web_App"), ("web-app", "web-app"), ("none", "none"),
    ):  # fmt: skip
        operator.run("route", typed, f"{typed}=3", "web=1")
        assert json.loads(zk.get(overrides.node(meant))[0])["to"] == [{typed: 3, "web": 1}]
        assert json.loads(operator.run("route", typed, "--json"))["routes"][0]["service"] == meant
        assert operator.run("route", typed, "--end").startswith(f"{meant}: ended")
    # What is laid over a label that nobody had keeps it, whoever registers.
    operator.run("route", "new-one", "web")
    zk.create(f"{zk_root}/New_One/a", b'{"address": "10.0.0.8"}', makepath=True)
    assert operator.run("route", "new-one", "--end").startswith("new-one: ended")


def test_a_target_that_servers_do_not_find_is_told_of(
    operator: Operator, capsys: pytest.CaptureFixture[str]
) -> None:
    for target, is_there in (("Data_Base", True), ("data-base", True), ("DATA-base", False), ("x", False)):
        assert cli._run(["route", "--registry", operator.url, "web", target]) == (0, "")
        assert (f"{target} is not there now" in capsys.readouterr().err) is not is_there, target


def test_a_standalone_server_s_own_node_is_not_called_an_unused_folder(
    operator: Operator, zookeeper: ZooKeeperServer
) -> None:
    operator.url = f"zk://{zookeeper.hosts}/?preset=zookeeper"
    assert "delete its folder" not in operator.run("check")


@pytest.mark.parametrize("words", [["check"], ["services"], ["explain", "web"]])
def test_a_registry_that_we_may_not_read_is_told_and_not_waited_for(
    operator: Operator, zk: KazooClient, zk_root: str, words: list[str]
) -> None:
    zk.set_acls(zk_root, [make_digest_acl("them", "secret", all=True)])
    try:
        out = operator.run(*words, code=1 if words[0] in ("check", "services") else 0)
        assert words != ["services"] or "its ACL does not let us read it" in out
    finally:
        zk.add_auth("digest", "them:secret")
        zk.set_acls(zk_root, OPEN_ACL_UNSAFE)


def test_an_end_that_is_reckoned_by_a_clock_that_is_apart_is_told_of(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def say(*lines: str, err: bool = False) -> None:
        told.extend(lines if err else ())

    monkeypatch.setattr(cli_overrides, "say", say)
    real = time.time
    monkeypatch.setattr(cli_overrides.time, "time", lambda: real() - 7200)
    operator.run("drain", "web/a", "--for", "1h")
    (line,) = told
    assert line.startswith("this machine's clock is 7200 s behind ZooKeeper's: by that much it ends earlier")
    told.clear()
    operator.run("drain", "web/b")
    assert told == []
